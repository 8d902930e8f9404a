"""One transfer from the first request to the rename, in one worker thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import httpx

from genai_desktop.core.errors import CancelledError, ChecksumError, DownloadError, GenaiError, StorageError
from genai_desktop.core.jobs import Progress
from genai_desktop.library.disk import Disk, storage_error
from genai_desktop.library.locks import FileLock
from genai_desktop.library.transfer.answers import Changed, Expired, Transient
from genai_desktop.library.transfer.hasher import Hasher
from genai_desktop.library.transfer.journal import Journal, Journalist, companion
from genai_desktop.library.transfer.meter import Meter, SlowGuard
from genai_desktop.library.transfer.offer import (
    accept,
    check_space,
    expected_sha256,
    is_same_file,
    resumable_bytes,
)
from genai_desktop.library.transfer.patience import Patience
from genai_desktop.library.transfer.policy import TransferPolicy, TransferRequest, TransferResult
from genai_desktop.library.transfer.web import (
    RemoteFile,
    Stop,
    Web,
    content_range,
    refuse_encoding,
    whole_size,
    without_query,
)


class Worker:
    """Downloads one file. `run` blocks; `stop`, set from any thread, makes it raise CancelledError soon.

    What arrived stays in `<name>.part` with its journal, and the next attempt goes on from there.
    """

    def __init__(
        self,
        request: TransferRequest,
        *,
        policy: TransferPolicy,
        disk: Disk,
        web: Web,
        stop: Stop,
        on_progress: Callable[[Progress], None],
        remote: RemoteFile | None = None,
    ) -> None:
        self._request = request
        self._policy = policy
        self._disk = disk
        self._web = web
        self._stop = stop
        self._on_progress = on_progress
        self._part = companion(request.dest, ".part")
        self._journal_path = companion(request.dest, ".part.json")
        self._known = remote
        self._remote = remote or RemoteFile(request.url, None, b"", has_ranges=False)
        self._patience = Patience(policy, stop)
        self._position = 0
        self._resumed_from = 0
        self._received = 0
        self._is_complete = False
        self._meter = Meter(time.monotonic(), 0)
        self._last_report = 0.0

    def close(self) -> None:
        """Give the connections back."""
        self._web.close()

    def look(self) -> RemoteFile:
        """What the server offers, refused if it is not what was asked for; nothing is stored."""
        remote = self._resolve()
        accept(self._request, remote)
        return remote

    def run(self) -> TransferResult:
        """Raises DownloadError, ChecksumError, StorageError, ModelFileError, BusyError, CancelledError."""
        request = self._request
        try:
            request.dest.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, "create the folder", request.dest.parent) from error
        lock = companion(request.dest, ".part.lock")
        with FileLock(lock, timeout=2.0, what=f"The download of '{request.dest.name}'"):
            self._refuse_existing()
            self._remote = self._known or self._resolve()
            accept(request, self._remote)
            return self._download()

    def _refuse_existing(self) -> None:
        dest = self._request.dest
        try:
            is_there = dest.exists()
        except OSError as error:  # a name too long, for one
            raise storage_error(error, "create", dest) from error
        if is_there:
            raise StorageError(
                f"'{dest}' is there already and is not overwritten.",
                code="FILE_EXISTS",
                remedy="Delete it first, or choose another name.",
            )

    def _resolve(self) -> RemoteFile:
        """Ask what the server has, patiently."""
        while True:
            self._check_stop()
            try:
                return self._web.resolve()
            except Transient as fault:
                self._wait_after(fault)

    # the download -----------------------------------------------------------------------------------------

    def _download(self) -> TransferResult:
        start = resumable_bytes(self._request, self._remote, self._part, self._journal_path)
        check_space(self._disk, self._part, self._request.dest.name, self._remote.size)
        try:
            fd = self._disk.open_part(self._part)
        except OSError as error:
            raise storage_error(error, "create", self._part) from error
        self._position = self._resumed_from = start
        self._meter.restart(time.monotonic(), start)
        hasher = Hasher(self._disk, fd, start)
        seconds = self._policy.journal_seconds
        journalist = Journalist(self._disk, fd, self._journal_path, self._snapshot, seconds)
        try:
            self._reserve(fd, start)
            journalist.write()
            hasher.start()
            journalist.start()
            try:
                self._receive(fd, hasher, journalist)
            finally:
                journalist.finish()
                if journalist.failure is None:
                    with contextlib.suppress(GenaiError):  # must not hide the real error; a sync follows
                        journalist.write()
            digest = self._digest(hasher)
            self._check_digest(digest)
            self._guarded("store", lambda: self._disk.sync(fd))
        finally:
            hasher.stop()
            journalist.finish()
            self._disk.close(fd)
        self._publish()
        return TransferResult(
            path=self._request.dest,
            size=self._position,
            sha256=digest,
            source=without_query(self._request.url),
            etag=self._remote.etag,
            commit=self._remote.commit,
            resumed_from=self._resumed_from,
            received=self._received,
        )

    def _reserve(self, fd: int, start: int) -> None:
        def work() -> None:
            if start == 0:
                self._disk.truncate(fd, 0)
            if self._remote.size is not None:
                self._disk.reserve(fd, self._remote.size)

        self._guarded("reserve the space for", work)

    def _snapshot(self) -> Journal:
        remote = self._remote  # before the position: see _refresh
        return Journal(
            without_query(self._request.url),
            remote.size,
            expected_sha256(self._request, remote),
            remote.etag,
            remote.last_modified,
            ((0, remote.size, self._position),),
        )

    def _receive(self, fd: int, hasher: Hasher, journalist: Journalist) -> None:
        while not (self._is_complete or self._position == self._remote.size):
            self._check_stop()
            before = self._position
            try:
                self._request_rest(fd, hasher, journalist)
            except Transient as fault:
                self._patience.reward(self._position - before)
                self._wait_after(fault)
            except Expired as expired:
                self._patience.reward(self._position - before)
                self._patience.count_refresh(expired)
                self._refresh(fd, hasher)
            except Changed:
                self._patience.count_change()
                self._refresh(fd, hasher)

    def _refresh(self, fd: int, hasher: Hasher) -> None:
        """Ask the first address again; begin anew when it offers another file now."""
        old, new = self._remote, self._resolve()
        accept(self._request, new)
        sha256 = expected_sha256(self._request, old)
        is_same = is_same_file(self._request, new, sha256, old.etag, old.last_modified)
        if is_same and new.size == old.size and new.has_ranges:
            self._remote = new
            return
        self._position = 0  # before `_remote`: the journal must never claim old bytes for a new file
        self._remote = new
        self._restart(fd, hasher)

    def _restart(self, fd: int, hasher: Hasher) -> None:
        self._position = self._resumed_from = 0
        hasher.restart()
        self._meter.restart(time.monotonic(), 0)
        check_space(self._disk, self._part, self._request.dest.name, self._remote.size)
        self._reserve(fd, 0)

    def _request_rest(self, fd: int, hasher: Hasher, journalist: Journalist) -> None:
        """One request for what is missing. Raises Transient, Expired or Changed when it failed."""
        remote = self._remote
        headers: dict[str, str] = {}
        if remote.has_ranges:
            last = "" if remote.size is None else str(remote.size - 1)
            headers["Range"] = f"bytes={self._position}-{last}"
            validator = remote.strong_etag or remote.last_modified
            # where the digest is known it decides; a mirror with another ETag must not send everything again
            if validator and expected_sha256(self._request, remote) is None:
                headers["If-Range"] = validator
        with self._web.get(remote.url, headers) as (response, _):
            self._check_answer(response, fd, hasher)
            self._take_body(response, fd, hasher, journalist)

    def _check_answer(self, response: httpx.Response, fd: int, hasher: Hasher) -> None:
        status = response.status_code
        if status == 416:
            raise Changed
        if status not in (200, 206):
            refused = self._web.refusal(response)
            if isinstance(refused, DownloadError) and status in (401, 403, 404, 410):
                raise Expired(refused)
            raise refused
        refuse_encoding(response)
        if status == 206:
            start, _, total = content_range(response)
            self._refuse_change(response, total)
            if start != self._position:
                raise Transient("the server sent another part of the file than asked for")
            return
        self._refuse_change(response, whole_size(response))
        if self._position:  # the server ignores ranges, after all
            self._restart(fd, hasher)

    def _refuse_change(self, response: httpx.Response, size: int | None) -> None:
        remote, etag = self._remote, response.headers.get("etag", "")
        is_resized = size is not None and remote.size is not None and size != remote.size
        is_other = etag and remote.strong_etag and etag != remote.strong_etag
        if is_resized or (is_other and expected_sha256(self._request, remote) is None):
            raise Changed

    def _take_body(self, response: httpx.Response, fd: int, hasher: Hasher, journalist: Journalist) -> None:
        policy, size = self._policy, self._remote.size
        slow = SlowGuard(time.monotonic(), self._position, policy.slow_bytes_per_second, policy.slow_seconds)
        for chunk in response.iter_raw():
            self._check_stop()
            if journalist.failure is not None:
                raise journalist.failure
            if size is not None and self._position + len(chunk) > size:
                raise Transient("the server sent more than it announced")
            try:
                self._disk.write_at(fd, chunk, self._position)
            except OSError as error:
                raise storage_error(error, "store the download in", self._part.parent) from error
            self._position += len(chunk)
            self._received += len(chunk)
            hasher.advance(self._position)
            now = time.monotonic()
            self._report("downloading", now)
            if slow.is_too_slow(now, self._position):
                raise Transient("the connection was too slow to be of use")
        self._check_stop()  # a cut connection can look like the end of the file
        if size is not None and self._position < size:
            raise Transient("the connection ended before the file did")
        self._is_complete = True

    # after the last byte ----------------------------------------------------------------------------------

    def _digest(self, hasher: Hasher) -> str:
        hasher.complete(self._position)
        while hasher.is_alive():
            self._check_stop()
            self._on_progress(Progress(hasher.position, self._position, "bytes", "verifying"))
            hasher.join(self._policy.progress_seconds)
        self._check_stop()
        try:
            return hasher.hexdigest()
        except OSError as error:
            raise storage_error(error, "read back", self._part) from error

    def _check_digest(self, digest: str) -> None:
        expected = expected_sha256(self._request, self._remote)
        if expected is None or digest == expected:
            return
        for path in (self._journal_path, self._part):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise ChecksumError(
            f"'{self._request.dest.name}' arrived, but with the wrong SHA-256; it was thrown away.",
            remedy="Download it again; if that does not help, the server's file or the checksum is wrong.",
            details={"expected": expected, "actual": digest},
        )

    def _publish(self) -> None:
        dest = self._request.dest
        self._guarded("give its name to", lambda: self._disk.replace(self._part, dest))
        with contextlib.suppress(OSError):  # a leftover journal without its part file is ignored
            self._journal_path.unlink(missing_ok=True)
        self._on_progress(Progress(self._position, self._position, "bytes", "done"))

    # -------------------------------------------------------------------------------------------------------

    def _guarded(self, doing: str, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            raise storage_error(error, doing, self._request.dest) from error

    def _check_stop(self) -> None:
        if self._stop:
            raise CancelledError("The download was stopped.", remedy="What has arrived is kept.")

    def _wait_after(self, fault: Transient) -> None:
        self._check_stop()  # a stop cuts the connection, which looks like a fault
        self._report("waiting", time.monotonic(), force=True)
        self._patience.wait_after(fault)

    def _report(self, phase: str, now: float, *, force: bool = False) -> None:
        if force or now - self._last_report >= self._policy.progress_seconds:
            self._last_report = now
            self._on_progress(self._meter.progress(now, self._position, self._remote.size, phase))
