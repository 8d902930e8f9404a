"""SIGINT and SIGTERM while Qt idles (Python's own handlers do not run then: docs/adr/0001)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, Signal, Slot


class UnixSignals(QObject):
    """Turns process signals into one Qt signal in the GUI thread."""

    received = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._on_readable)
        self._old_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old = {n: signal.signal(n, _noop) for n in (signal.SIGINT, signal.SIGTERM)}
        if os.name == "posix":
            self._old[signal.SIGHUP] = signal.signal(signal.SIGHUP, _noop)

    def close(self) -> None:
        """Give the handlers back."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    @Slot()
    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self._reader.recv(64):
                self.received.emit(number)


def _noop(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor does the work; a handler must exist for it to fire."""
