"""The asynchronous face of transfers: each runs in a thread of its own and ends with its task."""

from __future__ import annotations

from collections.abc import Callable

from genai_desktop.core.errors import InvalidInputError, OfflineError
from genai_desktop.core.jobs import Progress
from genai_desktop.library.disk import Disk
from genai_desktop.library.threads import in_thread, to_loop
from genai_desktop.library.transfer.policy import TransferPolicy, TransferRequest, TransferResult
from genai_desktop.library.transfer.traffic import Traffic
from genai_desktop.library.transfer.web import (
    ClientFactory,
    RemoteFile,
    Stop,
    Web,
    check_address,
    default_client,
)
from genai_desktop.library.transfer.worker import Worker

LEAST_LIMIT = 16 * 1024


def _not_offline() -> bool:
    return False


class TransferEngine:
    """Fetches files: resumable after a cancel, a crash or a power cut, checked while they arrive.

    disk, client_factory and policy are seams. is_offline: asked before every transfer.
    """

    def __init__(
        self,
        *,
        disk: Disk | None = None,
        client_factory: ClientFactory = default_client,
        policy: TransferPolicy | None = None,
        is_offline: Callable[[], bool] = _not_offline,
    ) -> None:
        self._disk = disk or Disk()
        self._factory = client_factory
        self._policy = policy or TransferPolicy()
        self.is_offline = is_offline
        self._traffic = Traffic(self._policy.host_connections)

    @property
    def limit(self) -> int | None:
        """Bytes a second of all transfers together; None: as fast as it goes."""
        return self._traffic.throttle.limit

    def set_limit(self, bytes_per_second: int | None) -> None:
        """Takes effect at once, also on what is under way. Raises InvalidInputError."""
        if bytes_per_second is not None and bytes_per_second < LEAST_LIMIT:
            raise InvalidInputError(
                f"A limit of {bytes_per_second} bytes a second is too low to be of use.",
                remedy=f"Set at least {LEAST_LIMIT}, or no limit; pause the downloads to stop them.",
            )
        self._traffic.throttle.set_limit(bytes_per_second)

    @property
    def is_paused(self) -> bool:
        return self._traffic.is_paused

    def pause_all(self) -> None:
        """Transfers close their connections, keep what arrived and wait, new ones too (phase "paused")."""
        self._traffic.is_paused = True

    def resume_all(self) -> None:
        """They go on where they were."""
        self._traffic.is_paused = False

    async def resolve(self, request: TransferRequest) -> RemoteFile:
        """Size, digest and first bytes of a remote file, without storing anything.

        Raises OfflineError, InvalidInputError (address), DownloadError, ModelFileError (by `request.check`).
        """
        self._refuse_offline(request.url)
        stop = Stop()

        def work() -> RemoteFile:
            worker = self._worker(request, stop, _ignore, None)
            try:
                return worker.look()
            finally:
                worker.close()

        return await in_thread(work, stop=stop.set, name="transfer resolve")

    async def fetch(
        self,
        request: TransferRequest,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        remote: RemoteFile | None = None,
    ) -> TransferResult:
        """Download to `request.dest`. remote: what `resolve` told a moment ago, to save asking again.

        on_progress is called in the loop's thread, about ten times a second. Cancelling the task leaves a
        resumable part behind. Raises OfflineError, InvalidInputError, DownloadError, ChecksumError,
        StorageError, BusyError, and what `request.check` raises.
        """
        self._refuse_offline(request.url)
        stop = Stop()
        report = to_loop(on_progress) if on_progress is not None else _ignore

        def work() -> TransferResult:
            worker = self._worker(request, stop, report, remote)
            try:
                return worker.run()
            finally:
                worker.close()

        return await in_thread(work, stop=stop.set, name=f"transfer {request.dest.name[:40]}")

    def _refuse_offline(self, url: str) -> None:
        if self.is_offline():
            raise OfflineError(
                "The offline switch is on: nothing is downloaded.",
                remedy="Turn it off in the settings, or start without --offline.",
            )
        check_address(url)

    def _worker(
        self,
        request: TransferRequest,
        stop: Stop,
        report: Callable[[Progress], None],
        remote: RemoteFile | None,
    ) -> Worker:
        web = Web(request.url, request.headers, self._policy, self._factory, stop)
        return Worker(
            request,
            policy=self._policy,
            disk=self._disk,
            web=web,
            stop=stop,
            traffic=self._traffic,
            on_progress=report,
            remote=remote,
        )


def _ignore(_: Progress) -> None:
    pass
