"""One writer at a time, across processes. A lock ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from genai_desktop.core.errors import BusyError
from genai_desktop.library.disk import storage_error

_POLL_SECONDS = 0.02


class FileLock:
    """An advisory lock on a file of its own. Not re-entrant; usable from any thread.

    The file is removed on release; a waiter that locked a file no longer to be found at `path` tries again.
    """

    def __init__(self, path: Path, *, timeout: float = 5.0, what: str = "") -> None:
        self._path = path
        self._timeout = timeout
        self._what = what or f"Work on '{path.name}'"
        self._fd: int | None = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold it for a block of asynchronous code; the waiting is done in a thread."""
        import asyncio  # late: settings are read, under this lock, before the window is painted

        acquiring = asyncio.ensure_future(asyncio.to_thread(self.acquire))
        try:
            await asyncio.shield(acquiring)
        except asyncio.CancelledError:
            await asyncio.wait({acquiring})  # at most the time-out
            acquiring.exception()
            self.release()
            raise
        try:
            yield
        finally:
            await asyncio.to_thread(self.release)

    @property
    def is_held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        """Raises BusyError after the time-out, StorageError when the lock file cannot be made."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise storage_error(error, "lock", self._path) from error
            if _try_lock(fd):
                if _is_at(fd, self._path):
                    self._fd = fd
                    return
                os.close(fd)
                continue
            os.close(fd)
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"{self._what} is under way already, here or in another process.",
                    remedy="Wait until it is done, or stop it there.",
                )
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Idempotent."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        if sys.platform == "win32":  # an open file cannot be removed there
            _unlock(fd)
            os.close(fd)
            return
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    try:
        ours, there = os.fstat(fd), path.stat()
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        with contextlib.suppress(OSError):
            os.lseek(fd, 0, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
