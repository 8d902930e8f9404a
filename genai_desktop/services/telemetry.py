"""Live readings once a second, kept for a day (R107)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping

from genai_desktop.core.events import Emitter, Listener
from genai_desktop.core.telemetry import EventMarker, MarkerKind, TelemetrySample
from genai_desktop.core.telemetry_history import TelemetryHistory
from genai_desktop.engines.telemetry.gpus import Gpus
from genai_desktop.engines.telemetry.host import Host, ProcessMemory, ProcessWatcher

_log = logging.getLogger(__name__)
PERIOD = 1.0
MAX_MARKERS = 10_000
_DAY = 86_400.0
_DETECT_EVERY = 60  # readings between two looks for GPUs that came back


class Clock:
    """Monotonic time for order, wall time for display, and waiting; a test replaces it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Telemetry:
    """Samples in a worker thread; events "sample"(TelemetrySample) and "marker"(EventMarker) on the loop's
    thread.

    All collaborators are replaceable: `host`, `gpus`, `watcher`, `clock`.
    """

    def __init__(
        self,
        *,
        host: Host | None = None,
        gpus: Gpus | None = None,
        watcher: ProcessWatcher | None = None,
        clock: Clock | None = None,
    ) -> None:
        if gpus is None:
            from genai_desktop.services.system_info import default_sources

            gpus = Gpus(default_sources())
        self.events = Emitter()
        self._host = host if host is not None else Host()
        self._gpus = gpus
        self._watcher = watcher if watcher is not None else ProcessWatcher()
        self._clock = clock if clock is not None else Clock()
        self._history = TelemetryHistory()
        self._markers: deque[tuple[float, EventMarker]] = deque(maxlen=MAX_MARKERS)
        self._pids: dict[str, int] = {}
        self._held: Mapping[str, tuple[int, tuple[int, ...]]] = {}
        self._latest: TelemetrySample | None = None
        self._task: asyncio.Task[None] | None = None
        self._count = 0

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Subscribe to "sample" or "marker"; the returned callable unsubscribes."""
        return self.events.on(event, listener)

    # life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin sampling on the running loop; a second call does nothing."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="telemetry")

    async def stop(self) -> None:
        """End sampling; what was recorded stays readable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # what is asked ----------------------------------------------------------------------------------------

    @property
    def latest(self) -> TelemetrySample | None:
        """The last reading, None before the first."""
        return self._latest

    def history(self, seconds: float, points: int) -> tuple[TelemetrySample, ...]:
        """The last `seconds`, oldest first, in at most `points` samples (means of loads, peaks of memory)."""
        clock = self._clock
        return self._history.window(clock.monotonic(), seconds, points, clock.wall())

    def markers(self, seconds: float) -> tuple[EventMarker, ...]:
        """Markers of the last `seconds`, oldest first."""
        since = self._clock.monotonic() - seconds
        return tuple(marker for at, marker in self._markers if at >= since)

    def held_by(self, name: str) -> tuple[int, tuple[int, ...]]:
        """(RAM, VRAM per GPU) in bytes that come free when that server ends; (0, ()) while it does not run.

        RAM is without file pages: a mapped model already counts as available.
        """
        return self._held.get(name, (0, ()))

    # what is told -----------------------------------------------------------------------------------------

    def mark(self, kind: MarkerKind, label: str) -> None:
        """Put a marker at this moment."""
        marker = EventMarker(self._clock.wall(), kind, label)
        self._markers.append((self._clock.monotonic(), marker))
        self.events.emit("marker", marker)

    def track(self, name: str, pid: int | None) -> None:
        """Count the memory of this process (and its children) as ours from now on; None ends it."""
        if pid is None:
            self._pids.pop(name, None)
        else:
            self._pids[name] = pid

    # inside -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        due = self._clock.monotonic()
        while True:
            try:
                await self.sample_now()
            except Exception:  # noqa: BLE001 - one failed reading must not end the charts; it is logged
                _log.exception("a telemetry reading failed")
            due = max(due + PERIOD, self._clock.monotonic())  # after a pause: no burst to catch up
            await self._clock.sleep(due - self._clock.monotonic())

    async def sample_now(self) -> TelemetrySample:
        """Take one reading now, record and publish it."""
        pids = dict(self._pids)
        sample, held = await asyncio.to_thread(self._read, pids)
        self._latest, self._held = sample, held
        self._history.add(self._clock.monotonic(), sample)
        self.events.emit("sample", sample)
        return sample

    def _read(
        self, pids: Mapping[str, int]
    ) -> tuple[TelemetrySample, Mapping[str, tuple[int, tuple[int, ...]]]]:
        """In the worker thread: one sample, and (RAM, VRAM per GPU) by server."""
        if self._count % _DETECT_EVERY == 0:
            self._gpus.detect()
        self._count += 1
        servers: Mapping[str, ProcessMemory] = self._watcher.read(pids) if pids else {}
        ours = frozenset(pid for server in servers.values() for pid in server.pids)
        gpus, by_pid = self._gpus.read(ours)
        memory = self._host.memory()
        sample = TelemetrySample(
            time=self._clock.wall(),
            ram_used=memory.used,
            ram_total=memory.total,
            cpu=self._host.cpu_load(),
            gpus=gpus,
            ram_ours=tuple((name, server.resident) for name, server in sorted(servers.items())),
        )
        held = {
            name: (
                server.private,
                tuple(sum(by_pid.get(gpu.index, {}).get(pid, 0) for pid in server.pids) for gpu in gpus),
            )
            for name, server in servers.items()
        }
        return sample, held
