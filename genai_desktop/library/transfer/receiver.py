"""Fills a part file over as many connections as are worth it, and decides what follows from each failure."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from genai_desktop.core.errors import CancelledError
from genai_desktop.library.transfer.answers import Changed, Expired, NoRanges, Transient
from genai_desktop.library.transfer.journal import Journalist
from genai_desktop.library.transfer.lane import Lane
from genai_desktop.library.transfer.offer import expected_sha256, is_same_file
from genai_desktop.library.transfer.patience import Patience
from genai_desktop.library.transfer.policy import TransferPolicy, TransferRequest
from genai_desktop.library.transfer.ramp import Ramp
from genai_desktop.library.transfer.segments import Segment
from genai_desktop.library.transfer.store import Store
from genai_desktop.library.transfer.traffic import Traffic
from genai_desktop.library.transfer.web import RemoteFile, Stop, Web

_TICK = 0.05  # seconds between two looks at what is going on, at most
_LEAST_STEAL = 1024**2
_STEAL_SECONDS = 0.4  # a rest that arrives sooner is not worth a connection
_REFUSED_AGAIN = 60.0  # a fresh address refused within so many seconds: it is the range that displeases


class Receiver:
    """The connections of one transfer. `remote` is what is being fetched; it may change on the way.

    resolve: asks the first address again, patiently, and refuses what is not the file.
    on_restart: everything is to begin anew. report: (phase, is it urgent).
    """

    def __init__(
        self,
        request: TransferRequest,
        remote: RemoteFile,
        *,
        policy: TransferPolicy,
        web: Web,
        store: Store,
        traffic: Traffic,
        stop: Stop,
        patience: Patience,
        resolve: Callable[[], RemoteFile],
        on_restart: Callable[[RemoteFile], None],
        report: Callable[[str, bool], None],
    ) -> None:
        self._request = request
        self.remote = remote
        self._policy = policy
        self._web = web
        self._store = store
        self._map = store.map
        self._traffic = traffic
        self._stop = stop
        self._patience = patience
        self._resolve = resolve
        self._on_restart = on_restart
        self._report = report
        self._lanes: list[Lane] = []
        self._outcomes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        self._ramp = Ramp(policy)
        self._ceiling = policy.connections_max
        self._allowed = 1
        self._most_lanes = 0
        self._is_unsplit = False
        self._not_before = 0.0
        self._rewarded = 0
        self._refreshed_at = float("-inf")
        self._tick = min(_TICK, max(policy.progress_seconds, 0.005))

    def run(self, journalist: Journalist) -> None:
        """Until the file is complete. Raises what TransferEngine.fetch raises."""
        try:
            while not self._map.is_complete:
                self._check_stop()
                if journalist.failure is not None:
                    raise journalist.failure
                if self._traffic.is_paused:
                    self._pause()
                    continue
                self._fill()
                self._wait()
            self._check_stop()
        finally:
            self._end_lanes()
            self._traffic.hosts.leave(self)

    def _check_stop(self) -> None:
        if self._stop:
            raise CancelledError("The download was stopped.", remedy="What has arrived is kept.")

    # connections ------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """As many connections as are allowed and have something to do."""
        hosts = self._traffic.hosts
        hosts.join(urlsplit(self.remote.url).hostname or "", self)
        allowed = self._allowed = min(self._ceiling, hosts.allowance(self), self._ramp.wanted)
        active = [lane for lane in self._lanes if not lane.is_retired]
        for lane in active[allowed:]:
            lane.retire()
        if time.monotonic() < self._not_before:
            return
        for _ in range(allowed - len(self._lanes)):
            segment = self._map.claim() or self._steal()
            if segment is None:
                return
            self._start(segment)

    def _steal(self) -> Segment | None:
        """Half of the largest rest: large ones for the sake of speed, smaller ones so that nobody is idle."""
        if not self.remote.has_ranges or self._is_unsplit or any(lane.is_whole for lane in self._lanes):
            return None
        least = 2 * self._policy.min_segment
        if len(self._lanes) < self._most_lanes and self._ramp.rate:
            share = self._ramp.rate / self._most_lanes
            least = min(self._policy.min_segment, max(_LEAST_STEAL, int(share * _STEAL_SECONDS)))
        return self._map.steal(least)

    def _start(self, segment: Segment) -> None:
        lane = Lane(
            web=self._web,
            remote=self.remote,
            segment=segment,
            reach=self.remote.size if self._is_unsplit else segment.end,
            is_by_digest=expected_sha256(self._request, self.remote) is not None,
            store=self._store,
            policy=self._policy,
            throttle=self._traffic.throttle,
            stop=self._stop,
            outcomes=self._outcomes,
        )
        lane.start()
        self._lanes.append(lane)
        self._most_lanes = max(self._most_lanes, len(self._lanes))

    def _wait(self) -> None:
        """For something to happen, but not for long."""
        try:
            lane = self._outcomes.get(timeout=self._tick)
        except queue.Empty:
            pass
        else:
            self._settle(lane)
        now = time.monotonic()
        if self._traffic.throttle.limit is None:
            active = [lane for lane in self._lanes if not lane.is_retired]
            self._ramp.update(now, self._map.received, sum(lane.gained > 0 for lane in active))
        else:
            self._ramp.pause()
        is_waiting = not self._lanes and (now < self._not_before or not self._allowed)
        self._report("waiting" if is_waiting else "downloading", False)

    def _end_lanes(self) -> None:
        """Nobody writes any more when this returns. Raises nothing."""
        for lane in self._lanes:
            lane.retire()
        if self._lanes:
            self._stop.cut()
        while self._lanes:
            self._drop(self._outcomes.get())

    def _drop(self, lane: Lane) -> None:
        lane.join()
        self._lanes.remove(lane)
        self._map.release(lane.segment)

    def _pause(self) -> None:
        self._end_lanes()
        self._traffic.hosts.leave(self)
        self._ramp.pause()
        self._report("paused", True)
        while self._traffic.is_paused and not self._stop.wait(self._tick):
            pass

    # outcomes ---------------------------------------------------------------------------------------------

    def _settle(self, lane: Lane) -> None:
        self._drop(lane)
        self._check_stop()  # a stop cuts the connection, which looks like a fault
        error = lane.error
        expected = isinstance(error, Transient | Expired | Changed | NoRanges)
        if error is None or (lane.is_retired and expected):
            return
        received = self._map.received
        self._patience.reward(received - self._rewarded)
        self._rewarded = received
        if isinstance(error, Transient):
            self._failed(lane, error)
        elif isinstance(error, Expired):
            self._expired(lane, error)
        elif isinstance(error, Changed):
            self._patience.count_change()
            self._refresh()
        elif isinstance(error, NoRanges):
            self._patience.count_restart()
            self._end_lanes()
            self._ceiling = 1
            self._restart(self.remote)
        else:
            raise error

    def _failed(self, lane: Lane, fault: Transient) -> None:
        if self._lanes and not lane.gained:
            self._limit(len(self._lanes))  # perhaps one too many for the server
        if not self._lanes:
            self._report("waiting", True)
        self._not_before = time.monotonic() + self._patience.delay_after(fault)

    def _limit(self, connections: int) -> None:
        self._ceiling = max(1, min(self._ceiling, connections))
        self._ramp.settle(self._ceiling)

    def _expired(self, lane: Lane, expired: Expired) -> None:
        if lane.remote is not self.remote:
            return  # renewed in the meantime
        is_split = not self._is_unsplit and self._map.open_segments > 1
        if is_split and time.monotonic() - self._refreshed_at < _REFUSED_AGAIN:
            self._is_unsplit = True
            self._limit(1)
            return
        self._patience.count_refresh(expired)
        self._refresh()

    def _refresh(self) -> None:
        """Ask the first address again; begin anew when it offers another file now."""
        old, new = self.remote, self._resolve()
        self._refreshed_at = time.monotonic()
        sha256 = expected_sha256(self._request, old)
        is_same = is_same_file(self._request, new, sha256, old.etag, old.last_modified)
        if is_same and new.size == old.size and new.has_ranges:
            self.remote = new
            return
        self._end_lanes()
        self._restart(new)

    def _restart(self, remote: RemoteFile) -> None:
        # before `remote`: the journal must never claim old bytes for a new file
        self._map.restart(remote.size)
        self.remote = remote
        self._on_restart(remote)
