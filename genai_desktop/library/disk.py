"""The disk as a collaborator: the system calls that can fail, behind one seam; and failures as sentences."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import threading
from pathlib import Path

from genai_desktop.core.errors import StorageError

# How much must stay free beside a file, so that the disk is never filled to the last byte (contracts: B.3.2).
MARGIN_BYTES = 64 * 1024**2
MARGIN_SHARE = 0.01
_SEEN_UNRESERVABLE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Disk:
    """The real disk. Tests inject a subclass that fails where a real one would."""

    def open_part(self, path: Path) -> int:
        """A descriptor for reading and writing; created when absent, never truncated, the owner's only."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        return os.open(path, flags, 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write_at(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`; raises OSError when the disk does not take it."""
        view = memoryview(data)
        while view:
            written = _pwrite(fd, view, offset)
            if written == 0:  # POSIX allows it on a full device
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = view[written:]
            offset += written

    def read_at(self, fd: int, buffer: bytearray, offset: int) -> int:
        """Bytes read into the start of `buffer`; 0 at the end of the file."""
        return _pread_into(fd, buffer, offset)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """What was written survives a power cut after this returns."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def replace(self, source: Path, target: Path) -> None:
        """Atomic rename, durable."""
        os.replace(source, target)  # noqa: PTH105 - one seam for all system calls
        sync_directory(target.parent)

    def free_bytes(self, folder: Path) -> int:
        """What an ordinary user may still write into `folder`, which need not exist yet."""
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        return shutil.disk_usage(place).free

    def reserve(self, fd: int, size: int) -> None:
        """Set `size` bytes aside for the file. Raises OSError(ENOSPC) when they are not there.

        Where the file system cannot reserve, nothing is done: the check of free_bytes has to do.
        """
        if os.fstat(fd).st_size > size:
            os.ftruncate(fd, size)
        if sys.platform == "linux":
            _fallocate(fd, size)
        elif sys.platform == "win32":
            os.ftruncate(fd, size)  # NTFS allocates on SetEndOfFile


def _fallocate(fd: int, size: int) -> None:
    """fallocate(2), not posix_fallocate: that one writes the whole file where there is no support for it."""
    if size <= 0:
        return
    call = ctypes.CDLL(None, use_errno=True).fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if call(fd, 0, 0, size) == 0:
        return
    code = ctypes.get_errno()
    if code in _SEEN_UNRESERVABLE:
        return
    raise OSError(code, os.strerror(code))


# Windows has no positioned reads and writes, and one descriptor has one position
_position = threading.Lock()


def _pwrite(fd: int, data: memoryview, offset: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset)
    with _position:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)


def _pread_into(fd: int, buffer: bytearray, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, [buffer], offset)
    if hasattr(os, "pread"):
        data = os.pread(fd, len(buffer), offset)
    else:
        with _position:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(buffer))
    buffer[: len(data)] = data
    return len(data)


def sync_directory(folder: Path) -> None:
    """Make a rename in `folder` durable. Windows cannot sync a directory and does it on its own."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse; the rename itself has happened
            os.fsync(fd)
    finally:
        os.close(fd)


def margin(size: int) -> int:
    """Bytes that must stay free beside a file of `size` bytes."""
    return max(MARGIN_BYTES, int(size * MARGIN_SHARE))


_READ_ONLY = "Choose a folder on another disk (--data-dir), or make this one writable."
_FULL = "Free some space or choose another folder, then try again; what is already there is kept."
# errno -> (why, remedy)
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", _FULL),
    getattr(errno, "EDQUOT", errno.ENOSPC): ("your disk quota is used up", _FULL),
    errno.EROFS: ("the disk is read-only", _READ_ONLY),
    errno.EACCES: ("you have no permission", "Change the permissions of the folder, or choose another one."),
    errno.EPERM: ("you have no permission", "Change the permissions of the folder, or choose another one."),
    errno.ENOENT: (
        "the file or folder is gone",
        "It may have been moved or its disk unplugged; bring it back or choose another folder.",
    ),
    errno.ENAMETOOLONG: (
        "the name is too long for this disk",
        "Choose a shorter name or a folder with a shorter path.",
    ),
    errno.EFBIG: (
        "this disk does not take files of that size",
        "Choose a folder on another disk (a FAT32 disk holds at most 4 GiB per file).",
    ),
}
_REASONS[errno.ENOSPC] = ("the disk is full", _FULL)
DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def storage_error(error: OSError, doing: str, path: Path | str) -> StorageError:
    """An operating system's refusal as a sentence.

    doing: continues "Could not", for example "write the settings".
    """
    why, remedy = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "Check the disk and try again.")
    )
    code = "DISK_FULL" if error.errno in DISK_FULL_ERRNOS else None
    return StorageError(f"Could not {doing} '{path}': {why}.", code=code, remedy=remedy)
