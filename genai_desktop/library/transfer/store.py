"""Where the bytes of a transfer go: the `.part` file, what is in it, and the digest that follows."""

from __future__ import annotations

from pathlib import Path

from genai_desktop.library.disk import Disk, storage_error
from genai_desktop.library.transfer.hasher import Hasher
from genai_desktop.library.transfer.segments import Segment, SegmentMap, Span


class Store:
    """An open part file. `write` may be called from several threads, for different segments."""

    def __init__(self, disk: Disk, path: Path, size: int | None, spans: tuple[Span, ...]) -> None:
        """Raises StorageError."""
        self._disk = disk
        self._path = path
        self.map = SegmentMap(size, spans)
        try:
            self.fd = disk.open_part(path)
        except OSError as error:
            raise storage_error(error, "create", path) from error
        self.hasher = Hasher(disk, self.fd, self.map.watermark)

    def reserve(self, size: int | None) -> None:
        """Raises StorageError."""
        try:
            if self.map.done == 0:
                self._disk.truncate(self.fd, 0)
            if size is not None:
                self._disk.reserve(self.fd, size)
        except OSError as error:
            raise storage_error(error, "reserve the space for", self._path) from error

    def restart(self, size: int | None) -> None:
        """The file begins anew. Nobody may be writing."""
        self.map.restart(size)
        self.hasher.restart()
        self.reserve(size)

    def write(self, segment: Segment, chunk: bytes) -> int:
        """Put `chunk` where the segment stands; how much of it was the segment's. Raises StorageError."""
        count = self.map.grant(segment, len(chunk))
        try:
            self._disk.write_at(self.fd, chunk if count == len(chunk) else chunk[:count], segment.position)
        except OSError as error:
            raise storage_error(error, "store the download in", self._path.parent) from error
        self.hasher.advance(self.map.commit(segment))
        return count

    def close(self, segment: Segment) -> None:
        """The file ends where the segment stands."""
        self.map.close(segment)

    def sync(self) -> None:
        """Raises StorageError."""
        try:
            self._disk.sync(self.fd)
        except OSError as error:
            raise storage_error(error, "store", self._path) from error

    def shut(self) -> None:
        """End the digest, then close the descriptor: its number may belong to another file afterwards."""
        self.hasher.stop()
        self._disk.close(self.fd)
