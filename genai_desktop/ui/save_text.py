"""Writes a text file without stopping the window."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable


class TextSaver(QObject):
    """One file at a time, in a thread of its own that ends with the file."""

    saved = Signal(str)  # path
    failed = Signal(str, str)  # path, why
    _done = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._done.connect(self._on_done, Qt.ConnectionType.QueuedConnection)

    @property
    def is_busy(self) -> bool:
        return self._thread is not None

    def save(self, path: str, lines: Iterable[str]) -> None:
        """Write `lines`, each with a line break, as UTF-8. `lines` is read in the thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, args=(path, lines), name="save-text")
            self._thread.start()

    def _write(self, path: str, lines: Iterable[str]) -> None:
        why = ""
        try:
            with Path(path).open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            why = error.strerror or str(error)
        self._done.emit(path, why)

    @Slot(str, str)
    def _on_done(self, path: str, why: str) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if why:
            self.failed.emit(path, why)
        else:
            self.saved.emit(path)
