"""Live readings: the day in constant memory, markers, clocks that jump, GPUs that vanish."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.core.hardware import GpuInfo, MemoryInfo
from genai_desktop.core.telemetry import EventMarker, GpuSample, TelemetrySample
from genai_desktop.core.telemetry_history import TelemetryHistory
from genai_desktop.engines.telemetry.gpus import Gpus
from genai_desktop.engines.telemetry.host import Host, ProcessMemory, ProcessWatcher
from genai_desktop.services.telemetry import Clock, Telemetry
from tests.aio import run, until

GIB = 1 << 30


class FakeClock(Clock):
    """Time that moves when the service sleeps, or when the test says so."""

    def __init__(self) -> None:
        self.now, self.offset, self.sleeps = 0.0, 1_700_000_000.0, 0
        self.gate: asyncio.Event | None = None

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        if self.gate is not None:
            await self.gate.wait()
        self.now += max(seconds, 0.0)
        await asyncio.sleep(0)


class FakeHost(Host):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.load, self.fails = 4 * GIB, 0.25, False

    def memory(self) -> MemoryInfo:
        if self.fails:
            raise OSError("no proc")
        return MemoryInfo(16 * GIB, 16 * GIB - self.used, self.used, "test")

    def cpu_load(self) -> float:
        return self.load


class FakeWatcher(ProcessWatcher):
    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def read(self, pids: Mapping[str, int]) -> dict[str, ProcessMemory]:
        self.threads.add(threading.get_ident())
        return {name: ProcessMemory(900 + pid, 100 + pid, frozenset({pid})) for name, pid in pids.items()}


class OneGpu:
    name = "one"

    def __init__(self) -> None:
        self.is_there, self.used = True, 2 * GIB

    def detect(self) -> tuple[GpuInfo, ...]:
        return (
            (GpuInfo(0, "nvidia", "One", 8 * GIB, 6 * GIB, None, ("cuda",), "test"),) if self.is_there else ()
        )

    def sample(self) -> tuple[GpuSample, ...]:
        return (GpuSample(0, self.used, 8 * GIB, 0.5, 60.0, 100.0),) if self.is_there else ()

    def memory_of(self, pids: Any) -> dict[int, dict[int, int]]:
        return {0: {pid: pid * 1_000 for pid in pids}}


def telemetry(**options: Any) -> Telemetry:
    values: dict[str, Any] = {
        "host": FakeHost(), "gpus": Gpus([OneGpu()]), "watcher": FakeWatcher(), "clock": FakeClock(),
    }  # fmt: skip
    return Telemetry(**{**values, **options})


# the service ----------------------------------------------------------------------------------------------


def test_a_reading_has_everything_and_comes_on_the_loop() -> None:
    async def scenario() -> None:
        watcher = FakeWatcher()
        service = telemetry(watcher=watcher)
        heard: list[tuple[TelemetrySample, int]] = []
        service.on("sample", lambda sample: heard.append((sample, threading.get_ident())))
        service.track("llama", 7)
        service.track("diffusion", 9)
        sample = await service.sample_now()
        assert (sample.ram_used, sample.ram_total, sample.cpu) == (4 * GIB, 16 * GIB, 0.25)
        assert sample.ram_ours == (("diffusion", 909), ("llama", 907))
        assert sample.gpus[0].vram_ours == 16_000
        assert service.held_by("llama") == (107, (7_000,))
        assert service.held_by("diffusion") == (109, (9_000,))
        assert heard == [(sample, threading.get_ident())]
        assert threading.get_ident() not in watcher.threads  # readings are taken elsewhere
        service.track("llama", None)
        await service.sample_now()
        assert service.held_by("llama") == (0, ())
        assert service.latest is not None
        assert service.latest.ram_ours == (("diffusion", 909),)

    run(scenario())


def test_it_samples_once_a_second_and_stops() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        service = telemetry(clock=clock)
        times: list[float] = []
        service.on("sample", lambda sample: times.append(sample.time))
        service.start()
        service.start()  # a second start changes nothing
        await until(lambda: len(times) >= 6)
        await service.stop()
        count = len(times)
        assert [round(b - a, 6) for a, b in pairwise(times)] == [1.0] * (count - 1)
        assert len(service.history(300, 100)) == count
        await service.stop()
        assert len(times) == count

    run(scenario())


def test_after_a_long_pause_there_is_no_burst() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        clock.gate = asyncio.Event()
        service = telemetry(clock=clock)
        count = 0

        def heard(sample: object) -> None:
            nonlocal count
            count += 1

        service.on("sample", heard)
        service.start()
        await until(lambda: clock.sleeps == 1)
        clock.now += 3_600  # the lid was closed
        clock.gate.set()
        await until(lambda: count >= 4)
        await service.stop()
        assert clock.now >= 3_600
        assert clock.now < 3_600 + count + 2

    run(scenario())


def test_a_reading_that_fails_is_not_the_end() -> None:
    async def scenario() -> None:
        host = FakeHost()
        host.fails = True
        clock = FakeClock()
        service = telemetry(host=host, clock=clock)
        service.start()
        await until(lambda: clock.sleeps >= 3)
        assert service.latest is None
        host.fails = False
        await until(lambda: service.latest is not None)
        await service.stop()

    run(scenario())


def test_a_gpu_that_vanishes_shows_as_gone() -> None:
    async def scenario() -> None:
        gpu = OneGpu()
        service = telemetry(gpus=Gpus([gpu]))
        assert (await service.sample_now()).gpus[0].present
        gpu.is_there = False
        (gone,) = (await service.sample_now()).gpus
        assert (gone.present, gone.vram_used, gone.vram_total) == (False, None, 8 * GIB)
        gpu.is_there = True
        assert (await service.sample_now()).gpus[0].present

    run(scenario())


def test_markers() -> None:
    clock = FakeClock()
    service = telemetry(clock=clock)
    heard: list[EventMarker] = []
    unsubscribe = service.on("marker", heard.append)
    service.mark("started", "Llama")
    clock.now += 100
    service.mark("crashed", "Llama: out of memory")
    assert [(m.kind, m.label) for m in heard] == [("started", "Llama"), ("crashed", "Llama: out of memory")]
    assert [m.kind for m in service.markers(50)] == ["crashed"]
    assert [m.kind for m in service.markers(500)] == ["started", "crashed"]
    unsubscribe()
    for _ in range(20_000):
        service.mark("resumed", "x")
    assert len(heard) == 2
    assert len(service.markers(1e9)) == 10_000  # constant memory


def test_a_clock_set_back_leaves_no_knot() -> None:
    async def scenario() -> None:
        clock = FakeClock()
        service = telemetry(clock=clock)
        for _ in range(10):
            await service.sample_now()
            clock.now += 1
        clock.offset -= 7_200  # summer time by hand
        for _ in range(10):
            await service.sample_now()
            clock.now += 1
        times = [sample.time for sample in service.history(300, 100)]
        assert len(times) == 20
        assert times == sorted(times)
        assert times[-1] <= clock.wall()
        assert times[0] == pytest.approx(clock.wall() - 20)

    run(scenario())


def test_the_real_collaborators_work_together() -> None:
    async def scenario() -> None:
        service = Telemetry()
        service.track("llama", os.getpid())
        sample = await service.sample_now()
        assert sample.ram_total > 0
        assert dict(sample.ram_ours)["llama"] > 1 << 20
        assert service.held_by("llama")[0] > 1 << 20

    run(scenario())


# the history ----------------------------------------------------------------------------------------------


def sample(
    value: float = 0.5, ram: int = GIB, gpus: tuple[GpuSample, ...] = (), **ours: int
) -> TelemetrySample:
    return TelemetrySample(0.0, ram, 16 * GIB, value, gpus, tuple(ours.items()))


def test_a_day_in_constant_memory() -> None:
    history = TelemetryHistory()
    gpus = tuple(GpuSample(i, GIB, 8 * GIB, 0.5, 50.0, 90.0) for i in range(2))
    reading = sample(gpus=gpus, llama=5, diffusion=6)
    for second in range(10_000):
        history.add(float(second), reading)
    size = history.size().bytes
    for second in range(10_000, 90_000):
        history.add(float(second), reading)
    assert history.size().bytes == size
    assert size < 1 << 20
    day = history.window(89_999.0, 86_400, 600, wall=1e9)
    assert 590 <= len(day) <= 600
    assert day[-1].time - day[0].time == pytest.approx(86_400, abs=200)
    assert day[0].gpus == gpus
    assert day[0].ram_ours == (("diffusion", 6), ("llama", 5))


def test_the_last_minutes_are_second_by_second() -> None:
    history = TelemetryHistory()
    for second in range(7_000):
        history.add(float(second), sample(ram=second))
    minutes = history.window(6_999.0, 299.5, 1_000, wall=6_999.0)
    assert [s.ram_used for s in minutes] == list(range(6_700, 7_000))
    assert [s.time for s in minutes] == [float(t) for t in range(6_700, 7_000)]
    hour = history.window(6_999.0, 3_600, 1_000, wall=6_999.0)
    assert 715 <= len(hour) <= 725


def test_loads_are_averaged_and_memory_keeps_its_peak() -> None:
    history = TelemetryHistory()
    for second in range(100):
        history.add(
            float(second), sample(value=second % 2, ram=second, gpus=(GpuSample(0, second, 99, second % 2),))
        )
    (whole,) = history.window(99.0, 100, 1, wall=99.0)
    assert whole.cpu == pytest.approx(0.5)
    assert whole.ram_used == 99
    assert whole.gpus[0].load == pytest.approx(0.5)
    assert whole.gpus[0].vram_used == 99


def test_what_was_not_there_yet_is_not_there() -> None:
    history = TelemetryHistory()
    history.add(0.0, sample())
    history.add(1.0, sample(gpus=(GpuSample(1, None, 9, present=True),), llama=3))
    history.add(2.0, sample(gpus=(GpuSample(1, None, 9, present=False),)))
    first, second, third = history.window(2.0, 10, 10, wall=2.0)
    assert (first.gpus, first.ram_ours) == ((), ())
    assert second.gpus == (GpuSample(1, None, 9),)
    assert second.ram_ours == (("llama", 3),)
    assert (third.gpus[0].present, third.ram_ours) == (False, ())


def test_nothing_recorded_or_asked() -> None:
    history = TelemetryHistory()
    assert history.window(5.0, 10, 10, wall=5.0) == ()
    history.add(1.0, sample())
    assert history.window(5.0, 0, 10, wall=5.0) == ()
    assert history.window(5.0, 10, 0, wall=5.0) == ()
    assert len(history.window(5.0, 10, 10, wall=5.0)) == 1


def test_a_flood_of_names_is_bounded() -> None:
    history = TelemetryHistory()
    for second in range(300):
        history.add(float(second), sample(gpus=(GpuSample(second, 1, 2),), **{f"server{second}": 1}))
    assert history.size().bytes < 16 << 20


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.01, 4_000), min_size=1, max_size=120),
    st.floats(1, 100_000),
    st.integers(1, 500),
)
def test_any_rhythm_gives_ordered_bounded_answers(gaps: list[float], seconds: float, points: int) -> None:
    history = TelemetryHistory()
    now = 0.0
    for gap in gaps:
        now += gap
        history.add(now, sample(value=0.5))
    found = history.window(now, seconds, points, wall=now)
    times = [s.time for s in found]
    assert len(found) <= points
    assert times == sorted(times)
    assert all(now - seconds - 1e-6 <= t <= now + 1e-6 for t in times)
    assert found  # the last reading is always there
