"""Small files written so that a reader sees the old or the new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from genai_desktop.library.disk import storage_error, sync_directory


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, doing: str = "write") -> None:
    """Replace the content of `path`. Raises StorageError; the old content is then untouched.

    The new file is complete and on the disk before it gets the name. doing: the action, for the sentence.
    """
    # not derived from the whole name: that may already be as long as the file system allows
    temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, doing, path) from error


def set_aside(path: Path, suffix: str = ".damaged") -> Path | None:
    """Rename a damaged file so that nothing is lost; where it went, or None when it could not be moved."""
    for number in range(1, 100):
        target = path.with_name(f"{path.name}{suffix}" if number == 1 else f"{path.name}{suffix}-{number}")
        if target.exists():
            continue
        try:
            path.rename(target)
        except OSError:
            return None
        return target
    return None
