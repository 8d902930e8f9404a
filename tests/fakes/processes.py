"""A launcher, a clock and a driver in the hand of the test, for the supervisor's state machine."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from genai_desktop.core.errors import GenaiError, ServerError
from genai_desktop.engines.driver import Failure, Heard, Launch
from genai_desktop.engines.process import ChildProcess, ExitStatus, LaunchSpec, OnOutput
from tests.aio import until


class FakeClock:
    """Stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.sleeps: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._count), future))
        await future

    @property
    def is_waited_for(self) -> bool:
        return any(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Wake everybody whose time has come, in order, and let them act."""
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, future = heapq.heappop(self._sleepers)
            self.now = max(self.now, when)
            if not future.done():
                future.set_result(None)
            for _ in range(20):
                await asyncio.sleep(0)
        self.now = end


class FakeChild:
    """A process that does what it is told. Deaf: SIGTERM does nothing; immortal: SIGKILL neither."""

    def __init__(self, pid: int, spec: LaunchSpec, on_output: OnOutput) -> None:
        self.pid = pid
        self.spec = spec
        self.say = on_output
        self.is_deaf = False
        self.is_immortal = False
        self.asked: list[str] = []
        self.exit_status: ExitStatus | None = None
        self._ended = asyncio.Event()

    def end(self, status: ExitStatus) -> None:
        if self.exit_status is None:
            self.exit_status = status
            self._ended.set()

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        assert self.exit_status is not None
        return self.exit_status

    def write(self, data: bytes) -> None:
        self.asked.append(f"write {data!r}")

    def close_stdin(self) -> None:
        self.asked.append("close")

    def terminate(self) -> None:
        self.asked.append("terminate")
        if not self.is_deaf:
            self.end(ExitStatus(signal=15))

    def kill(self) -> None:
        self.asked.append("kill")
        if not self.is_immortal:
            self.end(ExitStatus(signal=9))


class FakeLauncher:
    """Keeps every child it started."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.error: GenaiError | None = None
        self.is_born_deaf = False

    async def start(self, spec: LaunchSpec, on_output: OnOutput) -> ChildProcess:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        child = FakeChild(2**22 + len(self.children), spec, on_output)  # a pid no system gives away
        child.is_deaf = self.is_born_deaf
        self.children.append(child)
        return child

    async def child(self, number: int) -> FakeChild:
        """The child of that number, from 1, once it exists."""
        await until(lambda: len(self.children) >= number, what=f"child {number}")
        return self.children[number - 1]


class FakeDriver:
    """Ready when `let_in` is called; healthy until told otherwise."""

    def __init__(self) -> None:
        self.is_ready = asyncio.Event()
        self.ready_error: GenaiError | None = None
        self.prepare_error: GenaiError | None = None
        self.healthy = True
        self.failure = Failure(ServerError("it died", code="SERVER_CRASHED"))
        self.explained: list[tuple[ExitStatus, tuple[str, ...]]] = []
        self.detached = 0

    def let_in(self) -> None:
        self.is_ready.set()

    async def prepare(self) -> Launch:
        if self.prepare_error is not None:
            raise self.prepare_error
        return Launch(LaunchSpec("fake", ("fake",), {}), 4711, {"port": 4711, "url": "http://127.0.0.1:4711"})

    def attach(self, child: ChildProcess) -> None:
        pass

    async def ready(self) -> Mapping[str, Any]:
        await self.is_ready.wait()
        if self.ready_error is not None:
            raise self.ready_error
        return {"effective": {"n_ctx": 512}}

    async def is_healthy(self) -> bool:
        return self.healthy

    def read_line(self, line: str) -> Heard:
        if line.startswith("progress "):
            return Heard({"load_progress": float(line.split()[1])}, is_for_people=False)
        return Heard()

    def ask_to_stop(self, child: ChildProcess) -> None:
        child.terminate()

    async def explain(self, status: ExitStatus, lines: Sequence[str]) -> Failure:
        self.explained.append((status, tuple(lines)))
        return self.failure

    async def detach(self) -> None:
        self.detached += 1
