"""Is what a server offers the file that was asked for, the one we began with, and is there room for it?"""

from __future__ import annotations

from pathlib import Path

from genai_desktop.core.errors import ChecksumError, StorageError
from genai_desktop.core.fileformat import refusal
from genai_desktop.library.disk import Disk, margin, storage_error
from genai_desktop.library.transfer.journal import Journal
from genai_desktop.library.transfer.policy import TransferRequest
from genai_desktop.library.transfer.segments import SegmentMap, Span
from genai_desktop.library.transfer.web import RemoteFile, is_web_page


def accept(request: TransferRequest, remote: RemoteFile) -> None:
    """Refuse what is not the file that was asked for, before anything is stored."""
    if is_web_page(remote):
        raise refusal("html", f"'{request.dest.name}'")
    if request.size is not None and remote.size is not None and request.size != remote.size:
        raise ChecksumError(
            f"The server offers {remote.size} bytes where {request.size} were expected.",
            remedy="The file was probably replaced: check the address or the revision.",
        )
    if request.sha256 and remote.sha256 and request.sha256 != remote.sha256:
        raise ChecksumError(
            "The hub offers a file with another SHA-256 than the one given.",
            remedy="Check the checksum, or the revision of the repository.",
        )
    if request.check is not None:
        request.check(remote)


def expected_sha256(request: TransferRequest, remote: RemoteFile) -> str | None:
    """The caller's word first, then the hub's."""
    return request.sha256 or remote.sha256


def is_same_file(
    request: TransferRequest, remote: RemoteFile, sha256: str | None, etag: str, last_modified: str
) -> bool:
    """Was what we have (the last three) taken from what the server offers now? Sizes are known to be equal.

    A digest decides alone: content delivery networks change the ETags of the same bytes.
    """
    expected = expected_sha256(request, remote)
    if sha256 and expected:
        return sha256 == expected
    if etag and not etag.startswith("W/") and remote.strong_etag:
        return etag == remote.strong_etag
    return bool(last_modified) and last_modified == remote.last_modified


def resumable_spans(
    request: TransferRequest, remote: RemoteFile, part: Path, journal_path: Path
) -> tuple[Span, ...]:
    """Which bytes of an earlier attempt are of this very file; empty when none are."""
    journal = Journal.load(journal_path)
    if journal is None or not journal.done or not SegmentMap.is_sound(remote.size, journal.segments):
        return ()
    try:
        on_disk = part.stat().st_size
    except OSError:
        return ()
    reached = max(position for start, _, position in journal.segments if position > start)
    if on_disk < reached or not remote.has_ranges or journal.size != remote.size:
        return ()
    is_same = is_same_file(request, remote, journal.sha256, journal.etag, journal.last_modified)
    return journal.segments if is_same else ()


def check_space(disk: Disk, part: Path, name: str, size: int | None) -> None:
    """Raises StorageError when the file would not fit beside what must stay free."""
    if size is None:
        return
    folder = part.parent
    try:
        free = disk.free_bytes(folder)
        if part.exists():  # its room is taken already, and it will be used or given back
            free += getattr(part.stat(), "st_blocks", 0) * 512
    except OSError as error:
        raise storage_error(error, "look at the free space of", folder) from error
    need = size + margin(size)
    if free < need:
        raise StorageError(
            f"'{name}' needs {_readable(need)}, but '{folder}' has only {_readable(free)} left.",
            code="DISK_FULL",
            remedy="Free some space, or move the data folder to a larger disk (--data-dir).",
            details={"need": need, "free": free},
        )


def _readable(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB" if count >= 1024**3 else f"{count / 1024**2:.0f} MiB"
