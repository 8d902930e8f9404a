"""What is on the disk of an unfinished transfer, written down so that a kill or a power cut loses little."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genai_desktop.core.errors import GenaiError
from genai_desktop.library.atomic import write_atomic
from genai_desktop.library.disk import Disk, storage_error

_log = logging.getLogger(__name__)
VERSION = 1
_NAME_LIMIT = 255
_LONGEST_SUFFIX = len(".part.json.lock")


def companion(dest: Path, suffix: str) -> Path:
    """`dest` with a suffix; a short stand-in for names that would grow too long for the file system."""
    if len(os.fsencode(dest.name)) + _LONGEST_SUFFIX <= _NAME_LIMIT:
        return dest.with_name(dest.name + suffix)
    short = hashlib.sha256(os.fsencode(dest.name)).hexdigest()[:24]
    return dest.with_name(f".{short}{suffix}")


@dataclass(frozen=True)
class Journal:
    """State of a `.part` file. segments: (start, end or None, position): bytes start..position are there."""

    url: str
    size: int | None
    sha256: str | None
    etag: str
    last_modified: str
    segments: tuple[tuple[int, int | None, int], ...]

    @property
    def done(self) -> int:
        return sum(position - start for start, _, position in self.segments)

    @classmethod
    def load(cls, path: Path) -> Journal | None:
        """None when there is none, or none that this version understands."""
        try:
            raw = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        try:
            return cls._from_raw(raw)
        except (KeyError, TypeError, ValueError):
            _log.warning("the journal %s is damaged; that download starts again", path)
            return None

    @classmethod
    def _from_raw(cls, raw: Any) -> Journal | None:
        if raw["v"] != VERSION:
            return None
        segments = []
        for start, end, position in raw["segments"]:
            numbers = [n for n in (start, end, position) if n is not None]
            if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
                raise TypeError("segments are whole numbers")
            if not 0 <= start <= position or (end is not None and position > end):
                raise ValueError("a segment out of order")
            segments.append((start, end, position))
        size, sha256 = raw["size"], raw["sha256"]
        if not isinstance(size, int | None) or not isinstance(sha256, str | None):
            raise TypeError("wrong types")
        texts = [raw[key] for key in ("url", "etag", "last_modified")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("wrong types")
        return cls(texts[0], size, sha256, texts[1], texts[2], tuple(segments))

    def save(self, path: Path) -> None:
        data = json.dumps({"v": VERSION, **asdict(self)}, separators=(",", ":")).encode()
        write_atomic(path, data, doing="note the progress of the download in")


class Journalist(threading.Thread):
    """Every few seconds: make the bytes durable, then write down how many. The receiver never waits for that.

    A failure is kept in `failure` for the receiver to raise.
    """

    def __init__(
        self, disk: Disk, fd: int, path: Path, snapshot: Callable[[], Journal], seconds: float
    ) -> None:
        super().__init__(name="transfer-journal", daemon=True)
        self._disk = disk
        self._fd = fd
        self._path = path
        self._snapshot = snapshot
        self._seconds = seconds
        self._end = threading.Event()
        self.failure: GenaiError | None = None

    def run(self) -> None:
        while not self._end.wait(self._seconds):
            try:
                self.write()
            except GenaiError as error:
                self.failure = error
                return

    def write(self) -> None:
        """Raises StorageError."""
        journal = self._snapshot()
        try:
            self._disk.sync(self._fd)
        except OSError as error:
            raise storage_error(error, "store the download in", self._path.parent) from error
        journal.save(self._path)

    def finish(self) -> None:
        """Stop the thread; idempotent. What came last is not written: call `write` for that."""
        self._end.set()
        if self.is_alive():
            self.join()
