"""What the window remembers between two runs: geometry, tab, splitters, form values."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, QObject, QTimer, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_desktop.bridge.settings import SettingsFacade


def encode(state: QByteArray) -> str:
    """Qt's opaque bytes as JSON can carry them."""
    return base64.b64encode(state.data()).decode("ascii")


def decode(text: object) -> QByteArray:
    """The other way; an empty array for anything that is not what `encode` wrote."""
    if not isinstance(text, str):
        return QByteArray()
    try:
        return QByteArray(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return QByteArray()


class UiMemory(QObject):
    """Collects what parts of the window want remembered; writes once, two seconds after the last change."""

    def __init__(self, settings: SettingsFacade, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._sources: dict[str, Callable[[], Any]] = {}
        self._written: dict[str, Any] = dict(settings.current.ui)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(2000)
        self._timer.timeout.connect(self.write)

    def known(self, key: str) -> Any:
        """What was remembered under `key`, or None."""
        return self._settings.current.ui.get(key)

    def add(self, key: str, source: Callable[[], Any]) -> None:
        """`source` tells the present value when it is time to write."""
        self._sources[key] = source

    @Slot()
    def note_change(self) -> None:
        """Something changed; write soon."""
        self._timer.start()

    def stop(self) -> None:
        """Nothing is written any more."""
        self._timer.stop()
        self._sources.clear()

    @Slot()
    def write(self) -> None:
        """Write what differs from what is on disk."""
        self._timer.stop()
        values = {key: source() for key, source in self._sources.items()}
        changed = {key: value for key, value in values.items() if self._written.get(key) != value}
        if changed:
            self._written.update(changed)
            self._settings.remember_ui(**changed)
