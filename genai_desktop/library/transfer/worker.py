"""One transfer from the first request to the rename, in one worker thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial

from genai_desktop.core.errors import CancelledError, ChecksumError, GenaiError, StorageError
from genai_desktop.core.jobs import Progress
from genai_desktop.library.disk import Disk, storage_error
from genai_desktop.library.locks import FileLock
from genai_desktop.library.transfer.answers import Transient
from genai_desktop.library.transfer.journal import Journal, Journalist, companion
from genai_desktop.library.transfer.meter import Meter
from genai_desktop.library.transfer.offer import accept, check_space, expected_sha256, resumable_spans
from genai_desktop.library.transfer.patience import Patience
from genai_desktop.library.transfer.policy import TransferPolicy, TransferRequest, TransferResult
from genai_desktop.library.transfer.receiver import Receiver
from genai_desktop.library.transfer.store import Store
from genai_desktop.library.transfer.traffic import Traffic
from genai_desktop.library.transfer.web import RemoteFile, Stop, Web, without_query


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
        traffic: Traffic,
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
        self._bad = companion(request.dest, ".part.bad")
        self._journal_path = companion(request.dest, ".part.json")
        self._known = remote
        self._remote = remote or RemoteFile(request.url, None, b"", has_ranges=False)
        self._patience = Patience(policy)
        self._traffic = traffic
        self._store: Store | None = None
        self._resumed_from = 0
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
                self._check_stop()  # a stop cuts the connection, which looks like a fault
                self._report("waiting", True)
                self._stop.wait(self._patience.delay_after(fault))

    # the download -----------------------------------------------------------------------------------------

    def _download(self) -> TransferResult:
        remote = self._remote
        with contextlib.suppress(OSError):  # of an attempt before, kept until now for a look
            self._bad.unlink(missing_ok=True)
        spans = resumable_spans(self._request, remote, self._part, self._journal_path)
        check_space(self._disk, self._part, self._request.dest.name, remote.size)
        store = self._store = Store(self._disk, self._part, remote.size, spans)
        self._resumed_from = store.map.done
        self._meter.restart(time.monotonic(), store.map.done)
        receiver = self._receiver(store)
        seconds = self._policy.journal_seconds
        snapshot = partial(self._snapshot, receiver, store)
        journalist = Journalist(self._disk, store.fd, self._journal_path, snapshot, seconds)
        try:
            store.reserve(remote.size)
            journalist.write()
            store.hasher.start()
            journalist.start()
            try:
                receiver.run(journalist)
            finally:
                journalist.finish()
                if journalist.failure is None:
                    with contextlib.suppress(GenaiError):  # must not hide the real error; a sync follows
                        journalist.write()
            digest = self._digest(store)
            self._check_digest(digest, receiver.remote)
            store.sync()
        finally:
            journalist.finish()
            store.shut()
        size = store.map.done
        self._publish(size)
        return TransferResult(
            path=self._request.dest,
            size=size,
            sha256=digest,
            source=without_query(self._request.url),
            etag=receiver.remote.etag,
            commit=receiver.remote.commit,
            resumed_from=self._resumed_from,
            received=store.map.received,
        )

    def _receiver(self, store: Store) -> Receiver:
        return Receiver(
            self._request,
            self._remote,
            policy=self._policy,
            web=self._web,
            store=store,
            traffic=self._traffic,
            stop=self._stop,
            patience=self._patience,
            resolve=self.look,
            on_restart=partial(self._begin_anew, store),
            report=self._report,
        )

    def _begin_anew(self, store: Store, remote: RemoteFile) -> None:
        self._resumed_from = 0
        self._meter.restart(time.monotonic(), 0)
        self._remote = remote
        check_space(self._disk, self._part, self._request.dest.name, remote.size)
        store.restart(remote.size)

    def _snapshot(self, receiver: Receiver, store: Store) -> Journal:
        remote = receiver.remote  # before the map: see Receiver._restart
        return Journal(
            without_query(self._request.url),
            remote.size,
            expected_sha256(self._request, remote),
            remote.etag,
            remote.last_modified,
            store.map.spans(),
        )

    # after the last byte ----------------------------------------------------------------------------------

    def _digest(self, store: Store) -> str:
        size, hasher = store.map.done, store.hasher
        hasher.complete(size)
        while hasher.is_alive():
            self._check_stop()
            self._on_progress(Progress(hasher.position, size, "bytes", "verifying"))
            hasher.join(self._policy.progress_seconds)
        self._check_stop()
        try:
            return hasher.hexdigest()
        except OSError as error:
            raise storage_error(error, "read back", self._part) from error

    def _check_digest(self, digest: str, remote: RemoteFile) -> None:
        expected = expected_sha256(self._request, remote)
        if expected is None or digest == expected:
            return
        with contextlib.suppress(OSError):
            self._journal_path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._disk.replace(self._part, self._bad)
        raise ChecksumError(
            f"'{self._request.dest.name}' arrived, but with the wrong SHA-256; it is not used.",
            remedy="Download it again; if that does not help, the server's file or the checksum is wrong.",
            details={"expected": expected, "actual": digest, "kept": str(self._bad)},
        )

    def _publish(self, size: int) -> None:
        dest = self._request.dest
        try:
            self._disk.replace(self._part, dest)
        except OSError as error:
            raise storage_error(error, "give its name to", dest) from error
        with contextlib.suppress(OSError):  # a leftover journal without its part file is ignored
            self._journal_path.unlink(missing_ok=True)
        self._on_progress(Progress(size, size, "bytes", "done"))

    # -------------------------------------------------------------------------------------------------------

    def _check_stop(self) -> None:
        if self._stop:
            raise CancelledError("The download was stopped.", remedy="What has arrived is kept.")

    def _report(self, phase: str, is_urgent: bool = False) -> None:
        now = time.monotonic()
        if is_urgent or now - self._last_report >= self._policy.progress_seconds:
            self._last_report = now
            done = self._store.map.done if self._store else 0
            self._on_progress(self._meter.progress(now, done, self._remote.size, phase))
