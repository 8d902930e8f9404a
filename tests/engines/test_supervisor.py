"""The state machine of one supervised server, with time, processes and health in the hand of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import (
    BusyError,
    CancelledError,
    EngineError,
    ModelNotFoundError,
    ServerError,
    ServerTimeoutError,
)
from genai_desktop.core.events import Emitter
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.driver import Failure
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.logs import ProcessLog
from genai_desktop.engines.process import ExitStatus
from genai_desktop.engines.supervisor import Policy, Supervisor
from tests.aio import run, until
from tests.fakes.processes import FakeClock, FakeDriver, FakeLauncher

QUICK = Policy(grace=0.05, load_grace=0.05, kill_wait=0.05)


class Stage:
    """A supervisor with everything around it."""

    def __init__(self, tmp_path: Path, policy: Policy = QUICK) -> None:
        self.launcher = FakeLauncher()
        self.clock = FakeClock()
        self.events = Emitter()
        self.log = ProcessLog(None, time=self.clock.time)
        self.driver = FakeDriver()
        self.seen: list[ServerInfo] = []
        self.told: list[str] = []
        self.events.on("changed", self.seen.append)
        for name in ("started", "stopped", "crashed"):
            self.events.on(name, lambda info, name=name: self.told.append(name))
        self.supervisor = Supervisor(
            "fake",
            launcher=self.launcher,
            ledger=Ledger(tmp_path),
            clock=self.clock,
            log=self.log,
            events=self.events,
            policy=policy,
        )

    @property
    def info(self) -> ServerInfo:
        return self.supervisor.info

    @property
    def path(self) -> list[str]:
        """The statuses in order, each once."""
        found: list[str] = []
        for info in self.seen:
            if not found or found[-1] != info.status:
                found.append(info.status)
        return found

    async def running(self) -> ServerInfo:
        self.driver.let_in()
        return await self.supervisor.start(self.driver, {"model_id": "m"})

    async def becomes(self, status: str) -> None:
        await until(lambda: self.info.status == status, what=f"status {status} (it is {self.info.status})")


def play(tmp_path: Path, act: Callable[[Stage], Awaitable[Any]], policy: Policy = QUICK) -> None:
    async def go() -> None:
        stage = Stage(tmp_path, policy)
        await act(stage)
        await stage.supervisor.stop(0)
        assert all(child.exit_status or child.is_immortal for child in stage.launcher.children)
        assert not list(tmp_path.glob("*.json")), "the ledger holds only what runs"

    run(go())


def test_start_and_stop(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        info = await stage.running()
        assert (info.status, info.health, info.model_id, info.generation) == ("running", "ok", "m", 1)
        assert info.effective == {"n_ctx": 512}
        assert info.pid == stage.launcher.children[0].pid
        assert info.started_at == stage.clock.now
        await stage.supervisor.stop()
        assert stage.path == ["starting", "running", "stopping", "stopped"]
        assert stage.told == ["started", "stopped"]
        assert stage.info.pid is None
        assert stage.info.url is None
        assert stage.launcher.children[0].asked == ["terminate"]
        assert stage.driver.detached == 1
        await stage.supervisor.stop()
        assert stage.told == ["started", "stopped"], "stopping twice is stopping once"

    play(tmp_path, act)


def test_every_snapshot_is_consistent(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].end(ExitStatus(signal=11))
        await stage.becomes("crashed")
        await stage.clock.advance(1)
        await stage.becomes("running")
        await stage.supervisor.stop()
        for info in stage.seen:
            assert (info.status == "running") <= (info.pid is not None and info.health == "ok")
            assert (info.status in ("stopped", "crashed")) <= (info.pid is None)
            assert (info.status == "crashed") <= bool(info.error_message)

    play(tmp_path, act)


@pytest.mark.parametrize(
    "status", [ExitStatus(code=0), ExitStatus(code=1), ExitStatus(signal=9), ExitStatus(signal=15)]
)
def test_any_unasked_end_is_a_crash_and_restarts(tmp_path: Path, status: ExitStatus) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].say("stderr", b"last words\nand half a li")
        stage.launcher.children[0].end(status)
        await stage.becomes("crashed")
        assert stage.told == ["started", "crashed"]
        assert stage.info.error_code == "SERVER_CRASHED"
        assert "1 second" in stage.info.error_remedy
        assert stage.info.log_tail == ("last words", "and half a li")
        assert stage.driver.explained == [(status, ("last words", "and half a li"))]
        await until(lambda: stage.clock.is_waited_for)
        await stage.clock.advance(1)
        await stage.becomes("running")
        assert (stage.info.restarts, stage.info.generation, stage.info.error_code) == (1, 2, "")
        assert stage.told == ["started", "crashed", "started"]

    play(tmp_path, act)


def test_back_off_and_budget(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        for number in range(1, 5):
            (await stage.launcher.child(number)).end(ExitStatus(code=1))
            await stage.becomes("crashed")
            if number < 4:
                await until(lambda: stage.clock.is_waited_for)
                await stage.clock.advance(stage.clock.sleeps[-1] - 0.01)
                assert stage.info.status == "crashed", "not a moment too early"
                await stage.clock.advance(0.01)
                await stage.becomes("running")
        assert [s for s in stage.clock.sleeps if s != QUICK.check_interval] == [1.0, 2.0, 4.0]
        await until(lambda: not stage.supervisor.is_active)
        assert stage.info.status == "crashed"
        assert "again in" not in stage.info.error_remedy
        assert len(stage.launcher.children) == 4
        await stage.supervisor.stop()
        assert stage.info.status == "stopped"
        assert stage.info.error_message == ""

    play(tmp_path, act)


def test_the_budget_is_refilled_by_healthy_time(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        for number in range(1, 9):
            stage.clock.now += QUICK.refill_after
            (await stage.launcher.child(number)).end(ExitStatus(code=1))
            await stage.becomes("crashed")
            await until(lambda: stage.clock.is_waited_for)
            assert stage.clock.sleeps[-1] == 1.0
            await stage.clock.advance(1)
            await stage.becomes("running")
        assert stage.info.restarts == 8

    play(tmp_path, act)


def test_no_restart_after_a_final_failure(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        error = EngineError("wrong processor", code="ILLEGAL_INSTRUCTION", remedy="another build")
        stage.driver.failure = Failure(error, is_final=True)
        stage.launcher.children[0].end(ExitStatus(signal=4))
        await stage.becomes("crashed")
        await until(lambda: not stage.supervisor.is_active)
        assert 1.0 not in stage.clock.sleeps
        assert (stage.info.error_code, stage.info.error_remedy) == ("ILLEGAL_INSTRUCTION", "another build")

    play(tmp_path, act)


def test_a_restart_that_cannot_be_prepared_is_given_up(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.driver.prepare_error = ModelNotFoundError("the drive is gone")
        stage.launcher.children[0].end(ExitStatus(code=1))
        await until(lambda: stage.clock.is_waited_for and stage.info.status == "crashed")
        await stage.clock.advance(1)
        await until(lambda: not stage.supervisor.is_active)
        assert (stage.info.status, stage.info.error_message) == ("crashed", "the drive is gone")

    play(tmp_path, act)


def test_exit_while_loading_beats_readiness_and_is_not_repeated(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        child = await stage.launcher.child(1)
        child.say("stderr", b"what went wrong\n")
        child.end(ExitStatus(code=1))
        with pytest.raises(ServerError) as caught:
            await asyncio.wait_for(starting, 5)
        assert caught.value.details["log"] == ["what went wrong"]
        assert stage.path == ["starting", "crashed"]
        assert stage.told == ["crashed"]
        assert stage.clock.sleeps == [], "a start that fails is reported, not repeated"

    play(tmp_path, act)


def test_a_start_that_cannot_be_prepared_or_launched(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.driver.prepare_error = ModelNotFoundError("no such model")
        with pytest.raises(ModelNotFoundError):
            await stage.running()
        assert (stage.info.status, stage.info.error_message) == ("stopped", "no such model")
        stage.driver.prepare_error = None
        stage.launcher.error = EngineError("no such program")
        with pytest.raises(EngineError):
            await stage.running()
        assert stage.told == [], "nothing ran, so nothing crashed"
        stage.launcher.error = None
        info = await stage.running()
        assert info.error_message == ""

    play(tmp_path, act)


def test_a_server_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.driver.ready_error = ServerTimeoutError("nothing happens")
        stage.launcher.is_born_deaf = True
        with pytest.raises(ServerTimeoutError):
            await stage.running()
        assert stage.launcher.children[0].asked == ["terminate", "kill"]
        assert stage.info.status == "crashed"

    play(tmp_path, act)


def test_bad_luck_is_tried_again_at_once_but_not_for_ever(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.driver.failure = Failure(ServerError("port taken"), is_retryable_at_once=True)
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        for number in (1, 2):
            (await stage.launcher.child(number)).end(ExitStatus(code=1))
        await stage.launcher.child(3)
        stage.driver.let_in()
        assert (await starting).generation == 3
        await stage.supervisor.stop()
        stage.driver.is_ready.clear()
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        for number in range(4, 8):
            (await stage.launcher.child(number)).end(ExitStatus(code=1))
        with pytest.raises(ServerError, match="port taken"):
            await starting
        assert stage.clock.sleeps == [QUICK.check_interval]

    play(tmp_path, act)


def test_a_hung_server_is_killed_and_restarted(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].is_deaf = True
        await until(lambda: stage.clock.is_waited_for)
        stage.driver.healthy = False
        await stage.clock.advance(2 * QUICK.check_interval)
        assert (stage.info.status, stage.info.health) == ("running", "error")
        stage.driver.healthy = True
        await stage.clock.advance(QUICK.check_interval)
        assert (stage.info.status, stage.info.health) == ("running", "ok"), "one good answer starts it afresh"
        stage.driver.healthy = False
        await stage.clock.advance(2 * QUICK.check_interval)
        assert stage.launcher.children[0].asked == []
        await stage.clock.advance(QUICK.check_interval)
        await stage.becomes("crashed")
        assert stage.info.error_code == "SERVER_HUNG"
        assert stage.launcher.children[0].asked == ["kill"], "asking what does not answer is a waste of time"
        stage.driver.healthy = True
        await until(lambda: stage.clock.is_waited_for)
        await stage.clock.advance(1)
        await stage.becomes("running")

    play(tmp_path, act)


def test_stop_asks_then_kills(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].is_deaf = True
        await stage.supervisor.stop()
        assert stage.launcher.children[0].asked == ["terminate", "kill"]
        assert stage.info.status == "stopped"
        assert any("did not stop" in entry.message for entry in stage.log.entries())

    play(tmp_path, act)


def test_stop_gives_up_on_what_cannot_be_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        child = stage.launcher.children[0]
        child.is_deaf = child.is_immortal = True
        await stage.supervisor.stop()
        assert stage.info.status == "stopped"
        child.is_immortal = False
        child.kill()

    play(tmp_path, act)
    assert "does not die" in caplog.text


def test_stop_without_grace_kills_at_once(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        await stage.supervisor.stop(0)
        assert stage.launcher.children[0].asked == ["kill"]

    play(tmp_path, act, Policy(grace=1000))


def test_a_second_stop_joins_and_may_be_in_a_hurry(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        child = stage.launcher.children[0]
        child.is_deaf = True
        first = asyncio.ensure_future(stage.supervisor.stop())
        await until(lambda: child.asked == ["terminate"])
        second = asyncio.ensure_future(stage.supervisor.stop())
        await asyncio.sleep(0)
        assert child.asked == ["terminate"]
        await stage.supervisor.stop(0)
        await asyncio.gather(first, second)
        assert child.asked == ["terminate", "kill"]
        assert stage.told == ["started", "stopped"]

    play(tmp_path, act, Policy(grace=1000))


def test_stop_while_loading_works_at_once(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        child = await stage.launcher.child(1)
        await until(lambda: stage.info.pid is not None)
        await stage.supervisor.stop()
        assert child.asked == ["terminate"]
        with pytest.raises(CancelledError):
            await starting
        assert stage.path == ["starting", "stopping", "stopped"]

    play(tmp_path, act, Policy(grace=1000))


def test_stop_before_anything_happened(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        await asyncio.sleep(0)
        await stage.supervisor.stop()
        with pytest.raises(CancelledError):
            await starting
        assert stage.info.status == "stopped"
        assert stage.launcher.children == []

    play(tmp_path, act)


@pytest.mark.parametrize("turns", range(1, 12))
def test_stop_at_any_turn_of_the_start_leaves_nothing(tmp_path: Path, turns: int) -> None:
    async def act(stage: Stage) -> None:
        stage.driver.let_in()
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        for _ in range(turns):
            await asyncio.sleep(0)
        await stage.supervisor.stop()
        assert stage.info.status == "stopped"
        await asyncio.gather(starting, return_exceptions=True)
        assert all(child.exit_status for child in stage.launcher.children)

    play(tmp_path, act)


def test_stop_during_back_off(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].end(ExitStatus(code=1))
        await until(lambda: stage.info.status == "crashed" and stage.clock.is_waited_for)
        assert stage.supervisor.is_active
        await stage.supervisor.stop()
        assert stage.info.status == "stopped"
        await stage.clock.advance(100)
        assert len(stage.launcher.children) == 1

    play(tmp_path, act)


def test_whoever_joins_during_back_off_waits_for_the_restart(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].end(ExitStatus(code=1))
        await until(lambda: stage.info.status == "crashed" and stage.clock.is_waited_for)
        joining = asyncio.ensure_future(stage.supervisor.wait_started())
        await asyncio.sleep(0)
        assert not joining.done()
        await stage.clock.advance(1)
        info = await joining
        assert (info.status, info.generation) == ("running", 2)

    play(tmp_path, act)


def test_whoever_joins_a_restart_hears_of_its_failure(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.driver.failure = Failure(ServerError("worse now"))
        stage.launcher.children[0].end(ExitStatus(code=1))
        await until(lambda: stage.info.status == "crashed" and stage.clock.is_waited_for)
        joining = asyncio.ensure_future(stage.supervisor.wait_started())
        stage.driver.failure = Failure(ServerError("and final"), is_final=True)
        stage.driver.is_ready.clear()
        await stage.clock.advance(1)
        (await stage.launcher.child(2)).end(ExitStatus(code=1))
        with pytest.raises(ServerError, match="and final"):
            await joining

    play(tmp_path, act)


def test_a_bug_in_the_health_check_is_not_a_hung_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(stage: Stage) -> None:
        async def bug() -> bool:
            raise ZeroDivisionError

        stage.driver.is_healthy = bug  # type: ignore[method-assign]
        await stage.running()
        await until(lambda: stage.clock.is_waited_for)
        await stage.clock.advance(QUICK.check_interval)
        await stage.becomes("crashed")
        assert "internal error" in stage.info.error_message

    play(tmp_path, act)
    assert "ZeroDivisionError" in caplog.text


def test_cancelling_the_one_who_waits_stops_the_start(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        child = await stage.launcher.child(1)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert child.exit_status is not None
        assert stage.info.status == "stopped"

    play(tmp_path, act)


def test_two_starts_at_once(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        first = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        await stage.launcher.child(1)
        with pytest.raises(BusyError):
            await stage.supervisor.start(FakeDriver(), {})
        stage.driver.let_in()
        await first
        assert len(stage.launcher.children) == 1

    play(tmp_path, act)


def test_a_start_waits_for_the_stop_before_it(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        stage.launcher.children[0].is_deaf = True
        stopping = asyncio.ensure_future(stage.supervisor.stop())
        await stage.becomes("stopping")
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        await asyncio.sleep(0)
        assert len(stage.launcher.children) == 1
        stage.launcher.children[0].end(ExitStatus(code=0))
        await stopping
        assert (await starting).generation == 2
        assert stage.path == ["starting", "running", "stopping", "stopped", "starting", "running"]

    play(tmp_path, act, Policy(grace=1000))


def test_late_words_of_an_older_process_change_nothing(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        await stage.running()
        old = stage.launcher.children[0]
        await stage.supervisor.stop()
        stage.driver.is_ready.clear()
        starting = asyncio.ensure_future(stage.supervisor.start(stage.driver, {}))
        new = await stage.launcher.child(2)
        await until(lambda: stage.info.pid == new.pid)
        new.say("stdout", b"progress 0.25\n")
        assert stage.info.load_progress == 0.25
        old.say("stdout", b"progress 0.9\nstill here\n")
        assert stage.info.load_progress == 0.25
        assert stage.log.entries()[-1].message == "still here", "but it is in the log"
        stage.driver.let_in()
        await starting
        assert "progress" not in " ".join(entry.message for entry in stage.log.entries()[:-2])

    play(tmp_path, act)


def test_a_broken_listener_does_not_stop_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(stage: Stage) -> None:
        def broken(info: ServerInfo) -> None:
            raise RuntimeError("view")

        stage.events.on("changed", broken)
        info = await stage.running()
        assert info.status == "running"

    play(tmp_path, act)
    assert "listener" in caplog.text


def test_a_driver_with_a_bug_is_a_crash_not_a_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(stage: Stage) -> None:
        async def bug() -> dict[str, Any]:
            raise ZeroDivisionError

        stage.driver.ready = bug  # type: ignore[method-assign]
        with pytest.raises(ServerError, match="internal error"):
            await stage.supervisor.start(stage.driver, {})
        assert stage.info.status == "crashed"
        assert stage.launcher.children[0].exit_status is not None

    play(tmp_path, act)
    assert "ZeroDivisionError" in caplog.text


def test_the_end_of_the_loop_kills_without_waiting(tmp_path: Path) -> None:
    stages: list[Stage] = []

    async def go() -> None:
        stage = Stage(tmp_path, Policy(grace=1000))
        stages.append(stage)
        stage.launcher.is_born_deaf = True
        await stage.running()
        task = asyncio.ensure_future(stage.supervisor.stop())
        await until(lambda: stage.launcher.children[0].asked == ["terminate"])
        del task

    asyncio.run(asyncio.wait_for(go(), 20))
    assert stages[0].launcher.children[0].asked == ["terminate", "kill"]
