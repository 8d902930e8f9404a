"""One server process over its life: started, watched, restarted after a crash, stopped. A state machine.

    stopped --start--> starting --ready--> running --stop--> stopping --> stopped
                          |                   |
                          +------ exit -------+--> crashed --back-off--> starting

Only `start` and `stop` move it on a person's behalf, and whether an end was asked for is known from the
state, never from the exit code: an unasked exit is a crash, exit code 0 and signals included. Each process
has a generation number; what an older one still says changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from genai_desktop.core.errors import BusyError, CancelledError, GenaiError, ServerError
from genai_desktop.core.events import Emitter
from genai_desktop.core.servers import ServerInfo, ServerStatus
from genai_desktop.engines.clock import Clock
from genai_desktop.engines.deadline import Deadline
from genai_desktop.engines.driver import Failure, Launch, ServerDriver
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.logs import OutputReader, ProcessLog
from genai_desktop.engines.process import ChildProcess, ProcessLauncher

__all__ = ["Failure", "Launch", "Policy", "ServerDriver", "Supervisor"]

_log = logging.getLogger(__name__)

LINES_FOR_DIAGNOSIS = 400
LINES_IN_SNAPSHOT = 40
QUICK_RETRIES = 3


@dataclass(frozen=True)
class Policy:
    """How patient a supervisor is. All times in seconds.

    delays: before each restart, and by their number the budget, refilled after `refill_after` of health;
    grace: between asking and killing; load_grace: the same while loading, when there is nothing to lose;
    check_interval and hang_checks: so many failed health checks in a row make a hung server.
    """

    delays: tuple[float, ...] = (1.0, 2.0, 4.0)
    refill_after: float = 300.0
    grace: float = 10.0
    load_grace: float = 1.0
    check_interval: float = 10.0
    hang_checks: int = 3
    kill_wait: float = 5.0


class Supervisor:
    """Owns one server. Emits "changed", "status_changed", "started", "stopped", "crashed" (ServerInfo)."""

    def __init__(
        self,
        name: str,
        *,
        launcher: ProcessLauncher,
        ledger: Ledger,
        clock: Clock,
        log: ProcessLog,
        events: Emitter,
        policy: Policy | None = None,
    ) -> None:
        self._name = name
        self._launcher = launcher
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._events = events
        self._policy = policy or Policy()
        self._info = ServerInfo(name)
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[ServerInfo] | None = None
        self._child: ChildProcess | None = None
        self._is_stop_asked = False
        self._grace = self._policy.grace
        self._lines: deque[str] = deque(maxlen=LINES_FOR_DIAGNOSIS)

    @property
    def info(self) -> ServerInfo:
        return self._info

    @property
    def is_active(self) -> bool:
        """Something runs, is being started, or will be restarted."""
        return self._task is not None and not self._is_stop_asked

    # -- what callers do

    async def start(self, driver: ServerDriver, snapshot: Mapping[str, Any]) -> ServerInfo:
        """`settled`, `begin` and `wait_started` in one."""
        await self.settled()
        self.begin(driver, snapshot)
        return await self.wait_started()

    async def settled(self) -> None:
        """Wait for a stop that is under way."""
        while (task := self._task) is not None and self._is_stop_asked:
            await asyncio.wait({task})
            self._ended(task)

    def begin(self, driver: ServerDriver, snapshot: Mapping[str, Any]) -> None:
        """Start without waiting. snapshot: what is known already. Raises BusyError when one is active."""
        if self._task is not None:
            status = self._info.status
            raise BusyError(f"The {self._name} server is already {status}.", remedy="Stop it first.")
        self._grace = self._policy.grace
        blank = ServerInfo(self._name, generation=self._info.generation)
        self._set("starting", blank, **snapshot)
        self._started = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._run(driver), name=f"{self._name} server")
        self._task.add_done_callback(self._ended)

    async def wait_started(self) -> ServerInfo:
        """The snapshot of the running server, once it runs, be it after a restart.

        Cancelling the caller before that stops the server. Raises what made the start, or the last restart,
        fail, or CancelledError (ours) when `stop` came first.
        """
        started = self._started
        if started is None:
            raise ServerError(f"The {self._name} server is not running.", code="NOT_RUNNING")
        try:
            await asyncio.shield(started)
        except asyncio.CancelledError:
            if not started.done():
                await self.stop()
            raise
        return self._info

    async def stop(self, grace: float | None = None) -> None:
        """Ask, wait `grace` seconds, kill; 0 kills at once. Returns when nothing runs any more.

        A second call joins, and may be in more of a hurry.
        """
        if self._task is None:
            if self._info.status == "crashed":
                self._set("stopped", error_code="", error_message="", error_remedy="")
            return
        task = self._task
        if not self._is_stop_asked:
            self._is_stop_asked = True
            self._grace = self._policy.grace if grace is None else grace
            self._fail_start(CancelledError("The start was cancelled."))
            self._set("stopping")
            task.cancel()
        elif grace is not None and not (await asyncio.wait({task}, timeout=grace))[0]:
            self.kill()
        await asyncio.wait({task})
        self._ended(task)

    def kill(self) -> None:
        """Kill the process group now, whatever the state says."""
        if self._child is not None:
            self._child.kill()

    # -- the one task

    async def _run(self, driver: ServerDriver) -> None:
        used = quick = 0
        has_served = False
        while True:
            began = self._clock.monotonic()
            failure = await self._one_process(driver)
            has_served = has_served or (self._started is not None and self._started.done())
            if not has_served:
                quick += 1
                if failure.is_retryable_at_once and quick <= QUICK_RETRIES:
                    continue
                self._give_up(failure, is_crash=self._info.pid is not None)
                return
            if self._clock.monotonic() - began >= self._policy.refill_after:
                used = 0
            if failure.is_final or used >= len(self._policy.delays):
                self._give_up(failure)
                return
            delay = 0.0 if failure.is_retryable_at_once else self._policy.delays[used]
            used += 1
            if self._started is None or self._started.done():
                self._started = asyncio.get_running_loop().create_future()  # for those who join the restart
            self._crash(failure, delay)
            await self._clock.sleep(delay)
            self._set("starting", restarts=self._info.restarts + 1, load_progress=None)

    async def _one_process(self, driver: ServerDriver) -> Failure:
        """From the launch to the unasked end of one process."""
        generation = self._info.generation + 1
        self._set("starting", generation=generation, pid=None, health="unknown")
        self._lines.clear()
        try:
            launch = await driver.prepare()
            reader = OutputReader(partial(self._read_line, driver, generation))
            child = await self._launcher.start(launch.spec, reader.feed)
        except GenaiError as error:
            await driver.detach()
            return Failure(error, is_final=True)
        self._child = child
        is_ready = False
        tasks: list[asyncio.Task[Any]] = []
        name, program = launch.spec.name, launch.spec.argv[0]
        written_down = asyncio.ensure_future(
            asyncio.to_thread(self._ledger.record, name, child.pid, launch.port, program)
        )
        try:
            driver.attach(child)
            self._set("starting", **{**launch.snapshot, "pid": child.pid, "started_at": self._clock.time()})
            ended = asyncio.ensure_future(child.wait())
            tasks.append(ended)
            ready = asyncio.ensure_future(driver.ready())
            tasks.append(ready)
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                try:
                    changes = ready.result()
                except GenaiError as error:
                    return Failure(error, is_final=True)
                is_ready = True
                self._now_running(changes)
                watch = asyncio.ensure_future(self._watch(driver))
                tasks.append(watch)
                await asyncio.wait({ended, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                watch.result()  # a bug in a health check is not a hung server
                child.kill()
                await self._wait_killed(child)
                return Failure(self._hung())
            reader.finish()
            return await driver.explain(ended.result(), tuple(self._lines))
        finally:
            try:
                await self._end(child, driver, is_ready)
            finally:
                await _cancel(tasks)
                reader.finish()
                self._child = None
                await asyncio.wait({written_down})
                await asyncio.to_thread(self._ledger.forget, name)
                await driver.detach()

    def _now_running(self, changes: Mapping[str, Any]) -> None:
        values = {"health": "ok", "load_progress": None, **changes}
        self._set("running", error_code="", error_message="", error_remedy="", log_tail=(), **values)
        if self._started is not None and not self._started.done():
            self._started.set_result(self._info)
        self._events.emit("started", self._info)

    async def _watch(self, driver: ServerDriver) -> None:
        """Returns when the server has not answered for too long."""
        failed = 0
        while failed < self._policy.hang_checks:
            await self._clock.sleep(self._policy.check_interval)
            is_healthy = await driver.is_healthy()
            failed = 0 if is_healthy else failed + 1
            health = "ok" if is_healthy else "error"
            if self._info.health != health:
                self._set("running", health=health)

    async def _end(self, child: ChildProcess, driver: ServerDriver, was_ready: bool) -> None:
        """Nothing of this process is left afterwards."""
        if child.exit_status is not None:
            await child.wait()
            return
        grace = self._grace if was_ready else min(self._grace, self._policy.load_grace)
        try:
            if grace > 0:
                if was_ready:
                    driver.ask_to_stop(child)
                else:
                    child.terminate()
                with contextlib.suppress(TimeoutError):
                    async with Deadline(grace):
                        await child.wait()
            if child.exit_status is None:
                if was_ready and grace > 0:
                    self._log.add(f"the server did not stop within {grace:g} seconds and is killed", "app")
                child.kill()
                await self._wait_killed(child)
        except asyncio.CancelledError:
            child.kill()  # somebody is in a hurry: the loop is ending
            raise

    async def _wait_killed(self, child: ChildProcess) -> None:
        try:
            async with Deadline(self._policy.kill_wait):
                await child.wait()
        except TimeoutError:
            # a process in the kernel (a dying disk, a wedged driver) cannot be killed; do not wait with it
            _log.error("process %d of the %s server does not die", child.pid, self._name)

    # -- state

    def _read_line(
        self, driver: ServerDriver, generation: int, line: str, stream: Literal["stdout", "stderr"]
    ) -> None:
        if not line.strip():
            return
        if generation != self._info.generation:
            self._log.add(line, stream)
            return
        heard = driver.read_line(line)
        if heard.is_for_people:
            self._lines.append(line)
            self._log.add(line, stream)
        if heard.changes:
            self.update(**heard.changes)

    def update(self, **changes: Any) -> None:
        """New facts about the current process; the status stays."""
        self._set(self._info.status, **changes)

    def _set(self, status: ServerStatus, base: ServerInfo | None = None, **changes: Any) -> None:
        before = self._info
        self._info = replace(base or before, status=status, **changes)
        if self._info == before:
            return
        self._events.emit("changed", self._info)
        if before.status != status:
            self._events.emit("status_changed", self._info)

    def _give_up(self, failure: Failure, *, is_crash: bool = True) -> None:
        self._crash(failure, None, is_crash=is_crash)
        self._fail_start(failure.error)

    def _crash(self, failure: Failure, delay: float | None, *, is_crash: bool = True) -> None:
        """Publish an unasked end. delay: seconds until the restart, None when there is none."""
        error = failure.error
        remedy = error.remedy if delay is None else f"It is started again in {delay:g} seconds."
        tail = tuple(entry.message for entry in self._log.entries(LINES_IN_SNAPSHOT)) if self._lines else ()
        if tail:
            error.details.setdefault("log", list(tail))
        self._set(
            "crashed" if is_crash else "stopped",
            error_code=error.code,
            error_message=error.message,
            error_remedy=remedy,
            log_tail=tail,
            pid=None,
            url=None,
            health="unknown",
            load_progress=None,
        )
        if is_crash:
            self._events.emit("crashed", self._info)

    def _hung(self) -> ServerError:
        seconds = self._policy.check_interval * self._policy.hang_checks
        return ServerError(
            f"The {self._name} server stopped answering for {seconds:g} seconds and was ended.",
            code="SERVER_HUNG",
            remedy="Start it again; if it happens again, use fewer GPU layers or a smaller context.",
        )

    def _fail_start(self, error: GenaiError) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_exception(error)
            self._started.exception()  # nobody may be waiting; that is not an error of its own

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The one task is over: stopped as asked, or crashed for good."""
        if self._task is not task:
            return
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("supervising the %s server failed", self._name, exc_info=error)
            internal = ServerError(f"The {self._name} server was lost by an internal error: {error!r}.")
            self._give_up(Failure(internal))
        elif task.cancelled() or self._is_stop_asked:
            self._fail_start(CancelledError("The start was cancelled."))
            self._set(
                "stopped", pid=None, health="unknown", load_progress=None, url=None,
                error_code="", error_message="", error_remedy="", log_tail=(),
            )  # fmt: skip
            self._events.emit("stopped", self._info)
        self._is_stop_asked = False


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
