"""One window per data folder: a second start hands over its arguments and leaves."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QLockFile, QObject, Signal, Slot

if TYPE_CHECKING:
    from PySide6.QtNetwork import QLocalServer, QLocalSocket

_log = logging.getLogger(__name__)


def _runtime_folder() -> Path:
    """A folder only this person can write, with a short name (a socket path has 107 bytes at most).

    Not QStandardPaths: it warns on stderr where XDG_RUNTIME_DIR is not set, and then uses a shared /tmp.
    """
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if session and Path(session).is_dir() and os.access(session, os.W_OK):
        return Path(session)
    folder = Path(tempfile.gettempdir()) / f"genai-desktop-{getattr(os, 'getuid', lambda: 0)()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if os.name == "posix" and (state.st_uid != os.getuid() or state.st_mode & 0o077):
        # someone else made it first: a private one then, at the price of not finding the other window
        return Path(tempfile.mkdtemp(prefix="genai-desktop-"))
    return folder


class SingleInstance(QObject):
    """The lock decides the race, the socket carries the message. Lives in the GUI thread."""

    message_received = Signal(list)  # arguments of the second start

    def __init__(self, data_dir: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
        stem = f"genai-desktop-{digest}"
        folder = _runtime_folder()
        self._name = str(folder / stem) if os.name != "nt" else stem
        self._lock = QLockFile(str(folder / f"{stem}.lock"))
        self._lock.setStaleLockTime(0)
        self._server: QLocalServer | None = None

    def acquire(self) -> bool:
        """True: we are the first. A lock of a dead process is taken over; then call `listen`."""
        return bool(self._lock.tryLock(0))

    def listen(self) -> None:
        """Hear of later starts from now on. After the first paint: the network module takes a moment."""
        from PySide6.QtNetwork import QLocalServer

        QLocalServer.removeServer(self._name)
        server = QLocalServer(self)
        server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        server.newConnection.connect(self._on_connection)
        if not server.listen(self._name):
            _log.warning("no second start can reach this window: %s", server.errorString())
        self._server = server

    def hand_over(self, arguments: list[str], timeout_ms: int = 2000) -> bool:
        """Tell the first instance; False when it does not answer."""
        from PySide6.QtNetwork import QLocalSocket

        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if not socket.waitForConnected(timeout_ms):
            return False
        socket.write(json.dumps(arguments).encode() + b"\n")
        is_written = socket.waitForBytesWritten(timeout_ms)
        socket.disconnectFromServer()
        return bool(is_written)

    def release(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._lock.unlock()

    @Slot()
    def _on_connection(self) -> None:
        assert self._server is not None  # noqa: S101
        while (socket := self._server.nextPendingConnection()) is not None:
            socket.readyRead.connect(self._on_ready)
            socket.disconnected.connect(socket.deleteLater)
            if socket.bytesAvailable():
                self._read(socket)

    @Slot()
    def _on_ready(self) -> None:
        from PySide6.QtNetwork import QLocalSocket

        socket = self.sender()
        if isinstance(socket, QLocalSocket):
            self._read(socket)

    def _read(self, socket: QLocalSocket) -> None:
        if not socket.canReadLine():
            return
        try:
            arguments = json.loads(bytes(socket.readLine(65_536).data()))
        except ValueError:
            return
        if isinstance(arguments, list):
            self.message_received.emit([str(a) for a in arguments])
