"""SHA-256 of a file while it grows: a thread that follows the bytes already written."""

from __future__ import annotations

import hashlib
import threading

from genai_desktop.library.disk import Disk

BLOCK = 1 << 20  # hashlib lets other threads run meanwhile; bigger blocks leave the cache


class Hasher(threading.Thread):
    """Reads behind the watermark set by `advance`. Begins at 0, so a resumed file is covered as a whole."""

    def __init__(self, disk: Disk, fd: int, watermark: int = 0) -> None:
        super().__init__(name="transfer-hash", daemon=True)
        self._disk = disk
        self._fd = fd
        self._condition = threading.Condition()
        self._digest = hashlib.sha256()
        self._watermark = watermark
        self._position = 0
        self._generation = 0
        self._is_last = False
        self._is_stopped = False
        self.failure: OSError | None = None

    @property
    def position(self) -> int:
        return self._position

    def advance(self, watermark: int) -> None:
        """Bytes below `watermark` are on the disk (or in its cache) and final."""
        with self._condition:
            self._watermark = max(self._watermark, watermark)  # several connections report, in any order
            self._condition.notify()

    def restart(self) -> None:
        """The file begins anew."""
        with self._condition:
            self._generation += 1
            self._digest = hashlib.sha256()
            self._position = self._watermark = 0

    def stop(self) -> None:
        """End the thread before its descriptor is closed; idempotent."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify()
        if self.is_alive():
            self.join()

    def complete(self, size: int) -> None:
        """No more than `size` bytes will come: the thread ends once they are read. Wait with `join`."""
        with self._condition:
            self._watermark = size
            self._is_last = True
            self._condition.notify()

    def hexdigest(self) -> str:
        """After the end of the thread."""
        if self.failure is not None:
            raise self.failure
        return self._digest.hexdigest()

    def run(self) -> None:
        buffer = bytearray(BLOCK)
        while True:
            with self._condition:
                while not self._is_due():
                    self._condition.wait()
                if self._is_stopped or (self._is_last and self._position >= self._watermark):
                    return
                generation, position = self._generation, self._position
                digest, want = self._digest, min(BLOCK, self._watermark - self._position)
            try:
                got = self._disk.read_at(self._fd, buffer, position)
            except OSError as error:
                self.failure = error
                return
            if got < want:
                with self._condition:
                    if generation != self._generation:
                        continue  # the file was cut to begin anew
                self.failure = OSError(f"only {got} of {want} bytes could be read back")
                return
            # outside the lock: this is the slow part
            digest.update(memoryview(buffer)[:want])
            with self._condition:
                if generation == self._generation:
                    self._position = position + want

    def _is_due(self) -> bool:
        waiting = self._watermark - self._position
        return self._is_stopped or waiting >= BLOCK or self._is_last
