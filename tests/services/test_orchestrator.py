"""One memory for both: every way in which a hand-off can go, and the language model is back after each."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import BusyError, CancelledError, ImageError, ServerError
from genai_desktop.core.handoff import MemoryPicture, SavedLlmState, SavedSlot, decide, slot_file_name
from genai_desktop.core.images import HandoffReport
from genai_desktop.services.orchestrator import ResourceOrchestrator
from tests.aio import run, until
from tests.fakes.image_studio import CONFIG, Studio, seeded
from tests.fakes.llm_side import GIB, RESOLVED, FakeConversations, FakeLlama, FakeMemory, FakeTelemetry, Gates


class House:
    """A language model that runs, an image service on the fake engine, and the orchestrator between them."""

    def __init__(self, root: Path, *, total: int = 7 * GIB, vram: int = 0, is_running: bool = True) -> None:
        self.studio = Studio(root)
        self.gates = Gates()
        self.llama = FakeLlama(self.gates, self.studio.paths.slots)
        if is_running:
            self.llama.resolved_config = RESOLVED
            self.llama.set("running")
        self.memory = FakeMemory(self.llama, total, vram)
        self.talk = FakeConversations(self.gates, self.llama)
        self.telemetry = FakeTelemetry(self.llama, self.memory)
        self.states: list[dict[str, Any]] = []
        self.reports: list[HandoffReport] = []
        self.orchestrator = self.connect()
        self.images = self.studio.diffusion

    def connect(self) -> ResourceOrchestrator:
        orchestrator = ResourceOrchestrator(
            llama=self.llama,
            diffusion=self.studio.diffusion,
            conversations=self.talk,
            system=self.memory,
            settings=self.studio.settings,
            telemetry=self.telemetry,
            models=self.studio.models,
            paths=self.studio.paths,
            retry_seconds=0.01,
            memory_seconds=2.0,
        )
        orchestrator.on("state_changed", self.states.append)
        orchestrator.on("handoff", self.reports.append)
        return orchestrator

    async def __aenter__(self) -> House:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.orchestrator.close()
        await self.studio.close()

    def always(self) -> House:
        self.studio.settings.update(step_aside="always")
        return self

    def slot_files(self) -> list[str]:
        return [path.name for path in self.studio.paths.slots.iterdir()]

    def notes(self) -> list[Path]:
        return list(self.studio.paths.runtime.glob("suspended-*.json"))

    async def assert_all_is_as_before(self, tokens: int | None = 123) -> None:
        await self.orchestrator.wait_for_reload()
        assert self.llama.get_status() == "running"
        assert not self.talk.is_held
        assert self.slot_files() == []
        assert self.notes() == []
        assert self.orchestrator.get_saved_state() is None
        assert self.studio.living() == []
        assert list(self.studio.paths.temp.iterdir()) == []
        if tokens is not None:
            assert self.llama.tokens == tokens
        if self.states:
            assert self.states[-1]["suspended"] is False


# the way it should go -----------------------------------------------------------------------------------


def test_it_steps_aside_and_comes_back_with_the_conversation(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            seen: list[str] = []
            house.images.on("finished", lambda _: seen.append(house.llama.get_status()))
            result = await house.orchestrator.orchestrate_image_generation(CONFIG)
            assert len(result.images) == 1
            assert result.handoff.needed
            assert result.handoff.seconds_suspend > 0
            report = await house.orchestrator.wait_for_reload()
            assert report is not None
            assert (report.restored_tokens, report.error) == (123, "")
            assert report.seconds_resume > 0
            assert house.llama.starts == [RESOLVED]
            assert seen != ["running"]  # the picture was there before the language model was
            assert house.gates.log == ["drain", "save", "stop", "start", "restore", "release"]
            await house.assert_all_is_as_before()
            assert [kind for kind, _ in house.telemetry.marks] == [
                "suspended", "image-started", "image-finished", "resumed",
            ]  # fmt: skip
            assert [s["phase"] for s in house.states] == [
                "draining", "saving", "stopping", "suspended", "resuming", "running",
            ]  # fmt: skip
            assert [s["suspended"] for s in house.states] == [True] * 5 + [False]

    run(main())


def test_the_next_turn_tells_what_was_still_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            house.talk.answer()
            house.talk.answer()
            assert [r.cached_tokens for r in house.reports] == [None, 123]
            house.llama.tokens = 0
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            assert house.reports[-1].restored_tokens is None
            house.talk.answer()
            assert house.reports[-1].cached_tokens == 0
            assert house.reports[-1].error == ""

    run(main())


def test_nobody_moves_when_there_is_room(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, total=64 * GIB) as house:
            result = await house.images.generate_image(CONFIG)
            assert not result.handoff.needed
            assert "stays" in result.handoff.reason
            assert house.gates.log == []
            assert house.states == []
            assert await house.orchestrator.wait_for_reload() == result.handoff

    run(main())


def test_without_a_language_model_there_is_nothing_to_do(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, is_running=False).always() as house:
            result = await house.images.generate_image(CONFIG)
            assert not result.handoff.needed
            assert not (await house.orchestrator.forecast(CONFIG)).is_llm_running
            assert house.llama.starts == []

    run(main())


def test_waiting_jobs_share_one_hand_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            jobs = [await house.images.enqueue(seeded(n)) for n in range(3)]
            results = [await house.images.wait(job) for job in jobs]
            await house.orchestrator.wait_for_reload()
            assert house.gates.log.count("stop") == 1
            assert house.gates.log.count("start") == 1
            assert all(r.handoff.needed for r in results)
            await house.assert_all_is_as_before()

    run(main())


def test_a_batch_goes_the_same_way(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            result = await house.images.generate_image(replace(CONFIG, count=5))
            assert len(result.images) == 5
            assert result.handoff.needed
            await house.assert_all_is_as_before()

    run(main())


def test_a_job_that_comes_during_the_return_waits_for_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold("start")
            await house.images.generate_image(seeded(1))
            await until(lambda: house.gates.was_reached("start"))
            second = asyncio.ensure_future(house.images.generate_image(seeded(2)))
            await until(lambda: any(j.state == "running" for j in house.images.jobs()))
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(house.studio.engines.pids()) == 1
            house.gates.go("start")
            await second
            await house.assert_all_is_as_before()
            assert house.gates.log.count("stop") == 2

    run(main())


def test_a_running_reply_is_waited_for_or_paused_by_the_setting(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold("drain")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached("drain"))
            assert house.talk.is_held
            assert house.images.job(job).progress is not None
            assert house.images.job(job).progress.stage == "suspending"  # type: ignore[union-attr]
            assert house.llama.get_status() == "running"
            house.gates.go("drain")
            await house.images.wait(job)
            house.studio.settings.update(pause_reply_for_image=True)
            await house.images.generate_image(CONFIG)
            assert house.talk.paused == [False, True]
            await house.assert_all_is_as_before()

    run(main())


def test_those_who_wait_get_an_estimate_once_it_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            assert [eta for _, eta in house.talk.holds] == [None]
            await house.images.generate_image(CONFIG)
            etas = [eta for _, eta in house.talk.holds[1:]]
            assert all(eta is not None and eta > 0 for eta in etas)
            await house.orchestrator.wait_for_reload()

    run(main())


def test_every_slot_is_saved_and_empty_ones_are_not(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.llama.resolved_config = replace(RESOLVED, parallel_requests=2)
            house.gates.hold("stop")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached("stop"))
            state = house.orchestrator.get_saved_state()
            assert state is not None
            assert [(s.slot, s.tokens) for s in state.slots] == [(0, 123), (1, 123)]
            assert sorted(house.slot_files()) == sorted(s.file for s in state.slots)
            house.gates.go("stop")
            await house.images.wait(job)
            await house.orchestrator.wait_for_reload()
            house.llama.tokens = 0
            house.gates.hold("stop")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.log.count("stop") == 2)
            assert house.slot_files() == []
            house.gates.go("stop")
            await house.images.wait(job)

    run(main())


def test_a_model_that_is_just_loading_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, is_running=False).always() as house:
            house.gates.hold("start")
            loading = asyncio.ensure_future(house.llama.start(RESOLVED))
            await until(lambda: house.llama.get_status() == "starting")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.talk.is_held)
            house.gates.go("start")
            await loading
            await house.images.wait(job)
            await house.assert_all_is_as_before(tokens=None)
            assert len(house.llama.starts) == 2

    run(main())


# what can go wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan", [{"exit": 1}, {"signal": 11}, {"signal": 9, "at": "decode"}, {"files": "none"}], ids=str
)
def test_a_failed_picture_brings_it_back(tmp_path: Path, plan: dict[str, Any]) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.studio.engines.plan(**plan)
            with pytest.raises(ImageError):
                await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before()

    run(main())


def test_a_slot_that_cannot_be_saved_costs_only_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("save", ServerError("No space left on device"))
            result = await house.images.generate_image(CONFIG)
            assert len(result.images) == 1
            await house.assert_all_is_as_before(tokens=0)
            assert house.reports[-1].restored_tokens is None
            assert "No space left" in house.reports[-1].error

    run(main())


def test_a_slot_that_cannot_be_restored_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("restore", ServerError("Unable to restore slot"))
            await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before(tokens=0)
            assert "read again" in house.reports[-1].error

    run(main())


def test_a_first_failure_to_return_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("start", ServerError("out of memory"))
            await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before()
            assert len(house.llama.starts) == 2

    run(main())


def test_when_it_does_not_come_back_it_says_why_and_can_be_brought_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail(
                "start", *(ServerError("out of memory", remedy="Close something.") for _ in range(4))
            )
            await house.images.generate_image(CONFIG)
            report = await house.orchestrator.wait_for_reload()
            assert report is not None
            assert "out of memory" in report.error
            assert house.states[-1]["phase"] == "failed"
            assert house.states[-1]["suspended"] is True
            assert house.states[-1]["error"]["remedy"] == "Close something."
            assert not house.talk.is_held
            assert house.orchestrator.get_saved_state() is not None
            assert len(house.notes()) == 1
            with pytest.raises(ServerError, match="out of memory"):
                await house.orchestrator.resume_llm()
            assert house.orchestrator.get_saved_state() is not None
            await house.orchestrator.resume_llm()
            await house.assert_all_is_as_before()

    run(main())


def test_bringing_it_back_by_hand(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("start", ServerError("no"), ServerError("no"))
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            report = await house.orchestrator.resume_llm()
            assert report.restored_tokens == 123
            await house.assert_all_is_as_before()

    run(main())


def test_after_a_failed_return_the_next_picture_tries_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("start", ServerError("no"), ServerError("no"))
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before()

    run(main())


def test_after_a_failed_return_another_model_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.fail("start", ServerError("no"), ServerError("no"))
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            other = replace(RESOLVED, model_id="other")
            await house.llama.start(other)
            await house.assert_all_is_as_before(tokens=0)
            assert house.llama.resolved_config == other

    run(main())


def test_a_model_that_somebody_loaded_meanwhile_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            gate = house.studio.hold("sample")
            job = await house.images.enqueue(CONFIG)
            await until((gate / "sample.reached").exists)
            other = replace(RESOLVED, model_id="other")
            await house.llama.start(other)
            (gate / "sample.go").touch()
            await house.images.wait(job)
            await house.assert_all_is_as_before(tokens=0)
            assert house.llama.resolved_config == other
            assert "restore" not in house.gates.log

    run(main())


def test_a_crash_while_the_reply_ends_is_no_reason_to_stay_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold("drain")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached("drain"))
            house.llama.set("crashed")
            house.gates.go("drain")
            await house.images.wait(job)
            await house.assert_all_is_as_before(tokens=0)
            assert "save" not in house.gates.log

    run(main())


def test_unloading_it_while_the_reply_ends_is_respected(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold("drain")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached("drain"))
            await house.llama.stop()
            house.gates.go("drain")
            await house.images.wait(job)
            await house.orchestrator.wait_for_reload()
            assert house.llama.get_status() == "stopped"
            assert not house.talk.is_held
            assert house.states[-1]["suspended"] is False

    run(main())


def test_an_unwritable_folder_for_notes_does_not_stop_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.studio.paths.runtime.rmdir()
            house.studio.paths.runtime.write_text("in the way")
            await house.images.generate_image(CONFIG)
            await house.orchestrator.wait_for_reload()
            assert house.llama.get_status() == "running"
            assert house.reports[-1].restored_tokens == 123
            house.studio.paths.runtime.unlink()
            house.studio.paths.runtime.mkdir()

    run(main())


# cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["drain", "save", "stop"])
def test_cancel_while_it_steps_aside(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold(stage)
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached(stage))
            began = time.monotonic()
            assert await house.images.cancel(job)
            assert time.monotonic() - began < 1.0
            assert house.images.job(job).state == "cancelled"
            if stage in house.gates.held:
                house.gates.go(stage)
            await house.assert_all_is_as_before()
            assert house.studio.engines.pids() == []
            assert len(house.llama.starts) == (1 if stage == "stop" else 0)

    run(main())


@pytest.mark.parametrize("stage", ["start", "load", "sample", "decode", "save"])
def test_cancel_while_it_paints(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            gate = house.studio.hold(stage)
            job = await house.images.enqueue(CONFIG)
            await until((gate / f"{stage}.reached").exists)
            began = time.monotonic()
            assert await house.images.cancel(job)
            assert time.monotonic() - began < 1.0
            await house.assert_all_is_as_before()

    run(main())


@pytest.mark.parametrize("stage", ["start", "restore"])
def test_cancel_while_it_returns_finds_nothing_to_cancel(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold(stage)
            result = await house.images.generate_image(CONFIG)
            await until(lambda: house.gates.was_reached(stage))
            assert not await house.images.cancel(result.job_id)
            house.gates.go(stage)
            await house.assert_all_is_as_before()

    run(main())


def test_cancel_at_any_step_of_the_loop_and_it_is_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            for turns in (*range(0, 80, 3), *range(80, 500, 30)):
                job = await house.images.enqueue(CONFIG)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await house.images.cancel(job)
                await house.assert_all_is_as_before()
            await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before()

    run(main(), timeout=100)


def test_cancelling_the_last_waiting_job_ends_the_hand_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            gate = house.studio.hold("save")
            first = await house.images.enqueue(seeded(1))
            second = await house.images.enqueue(seeded(2))
            await until((gate / "save.reached").exists)
            (gate / "save.go").touch()
            (gate / "save.hold").unlink()
            await house.images.wait(first)
            await house.images.cancel(second)
            await house.assert_all_is_as_before()
            assert house.gates.log.count("stop") == 1

    run(main())


def test_a_waiting_job_that_fails_before_it_begins_ends_the_hand_off(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            first = await house.images.enqueue(seeded(1))
            second = await house.images.enqueue(replace(CONFIG, model_id="nope"))
            await house.images.wait(first)
            with pytest.raises(Exception, match="nope"):
                await house.images.wait(second)
            await house.assert_all_is_as_before()

    run(main())


def test_two_clicks_on_cancel(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.gates.hold("stop")
            job = await house.images.enqueue(CONFIG)
            await until(lambda: house.gates.was_reached("stop"))
            answers = await asyncio.gather(*(house.images.cancel(job) for _ in range(3)))
            assert any(answers)
            house.gates.go("stop")
            await house.assert_all_is_as_before()

    run(main())


# the memory is really free ------------------------------------------------------------------------------


def test_the_engine_starts_when_the_memory_is_free_and_not_when_the_process_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, total=7 * GIB).always() as house:
            seen: list[int] = []
            house.images.on(
                "changed", lambda info: seen.append(house.memory.slow) if info.pid and not seen else None
            )
            house.llama.size = 7 * GIB
            house.memory.slow = 6
            await house.images.generate_image(CONFIG)
            assert seen == [0]
            await house.assert_all_is_as_before()

    run(main())


def test_memory_that_never_comes_free_does_not_hold_the_job_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            house.memory.slow = 10**9
            result = await house.images.generate_image(CONFIG)
            assert len(result.images) == 1

    run(main())


# decisions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "held", "needed", "is_needed"),
    [(8, 6, 5, True), (24, 6, 5, False), (16, 8, 6, True), (16, 6, 6, False), (16, 6.1, 6, True)],
)
def test_the_seeds_rule_for_estimates(total: float, held: float, needed: float, is_needed: bool) -> None:
    picture = MemoryPicture("ram", int((total - held) * GIB), int(held * GIB), is_llm_running=True)
    forecast = decide(picture, int(needed * GIB), 0, is_estimate=True, step_aside="auto")
    assert forecast.needed is is_needed
    assert forecast.reason


def test_known_footprints_are_compared_with_what_is_free() -> None:
    picture = MemoryPicture("vram", 5 * GIB, 10 * GIB, is_llm_running=True)
    for needed, wanted in ((4 * GIB, False), (5 * GIB - 2**20, True), (6 * GIB, True)):
        assert decide(picture, needed, 2**26, is_estimate=False, step_aside="auto").needed is wanted
    assert not decide(picture, 6 * GIB, 0, is_estimate=False, step_aside="never").needed
    assert decide(picture, 1, 0, is_estimate=False, step_aside="always").needed
    gone = replace(picture, is_llm_running=False)
    assert not decide(gone, 6 * GIB, 0, is_estimate=False, step_aside="always").needed


def test_the_forecast_has_numbers_and_changes_with_the_memory(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, total=7 * GIB) as house:
            big = replace(CONFIG, width=1024, height=1024)
            assert await house.orchestrator.would_need_offload(big)
            forecast = await house.orchestrator.forecast(big)
            assert forecast.bytes_free == GIB
            assert forecast.bytes_needed > 0
            assert (forecast.resource, forecast.is_llm_running) == ("ram", True)
            house.memory.total = 64 * GIB
            assert not await house.orchestrator.would_need_offload(big)

    run(main())


def test_on_a_gpu_the_gpu_is_what_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path, total=64 * GIB, vram=7 * GIB) as house:
            assert (await house.orchestrator.forecast(CONFIG)).resource == "ram"  # it has no layer on the GPU
            house.llama._info = replace(house.llama.get_info(), effective={"offloaded_layers": 33})
            forecast = await house.orchestrator.forecast(CONFIG)
            assert (forecast.resource, forecast.bytes_free) == ("vram", GIB)

    run(main())


# by hand, after a crash, at the end ---------------------------------------------------------------------


def test_putting_it_aside_by_hand(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path) as house:
            state = await house.orchestrator.offload_llm()
            assert state is not None
            assert (state.config, state.was_running) == (RESOLVED, True)
            assert house.llama.get_status() == "stopped"
            with pytest.raises(BusyError):
                await house.orchestrator.offload_llm()
            report = await house.orchestrator.resume_llm()
            assert report.restored_tokens == 123
            await house.assert_all_is_as_before()
            house.llama.set("stopped")
            assert await house.orchestrator.offload_llm() is None

    run(main())


def test_put_aside_by_hand_it_comes_back_after_the_next_picture(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path) as house:
            await house.orchestrator.offload_llm()
            await house.images.generate_image(CONFIG)
            await house.assert_all_is_as_before()

    run(main())


def test_clearing_what_is_saved_keeps_it_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path).always() as house:
            gate = house.studio.hold("sample")
            job = await house.images.enqueue(CONFIG)
            await until((gate / "sample.reached").exists)
            await house.orchestrator.clear_saved_state()
            assert house.slot_files() == []
            assert house.notes() == []
            (gate / "sample.go").touch()
            await house.images.wait(job)
            await house.orchestrator.wait_for_reload()
            assert house.llama.get_status() == "stopped"
            assert not house.talk.is_held
            assert house.states[-1]["suspended"] is False

    run(main())


def test_a_killed_predecessor_leaves_an_offer(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path) as house:
            await house.orchestrator.offload_llm()
            (note,) = house.notes()
            if os.name == "posix":
                assert stat.S_IMODE(note.stat().st_mode) == 0o600
            # as if another process, which is gone, had written it
            values = json.loads(note.read_text())
            values["created"] = 1.0
            dead = note.with_name("suspended-4194305.json")
            dead.write_text(json.dumps(values))
            note.unlink()
            house.orchestrator._is_closed = True  # it was killed: nothing is tidied up
            next_one = house.orchestrator = house.connect()
            offered = await next_one.recover()
            assert offered is not None
            assert offered.config == RESOLVED
            assert next_one.get_saved_state() == offered
            assert house.notes() == [note]
            assert (await next_one.resume_llm()).restored_tokens == 123
            await house.assert_all_is_as_before()
            assert await next_one.recover() is None

    run(main())


def test_an_offer_can_be_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with House(tmp_path) as house:
            await house.orchestrator.offload_llm()
            (note,) = house.notes()
            note.write_text(json.dumps({**json.loads(note.read_text()), "created": 1.0}))
            house.orchestrator._is_closed = True
            house.orchestrator = house.connect()
            assert await house.orchestrator.recover() is not None
            await house.orchestrator.clear_saved_state()
            assert (house.notes(), house.slot_files()) == ([], [])
            assert house.orchestrator.get_saved_state() is None

    run(main())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"created": 1}', '{"created": 1, "config": {"model_id": 3}}']
)
def test_damaged_notes_are_removed(tmp_path: Path, text: str) -> None:
    async def main() -> None:
        async with House(tmp_path) as house:
            (house.studio.paths.runtime / "suspended-4194305.json").write_text(text)
            stray = house.studio.paths.slots / "handoff-abc-4194305-0.bin"
            stray.write_text("somebody's conversation")
            ours = house.studio.paths.slots / f"handoff-abc-{os.getpid()}-0.bin"
            ours.write_text("x")
            assert await house.orchestrator.recover() is None
            assert house.notes() == []
            assert house.slot_files() == [ours.name]

    run(main())


def test_closing_while_it_is_away_leaves_nothing_and_brings_nothing_back(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path).always()
        gate = house.studio.hold("sample")
        task = asyncio.ensure_future(house.images.generate_image(CONFIG))
        await until((gate / "sample.reached").exists)
        await house.orchestrator.close()
        await house.studio.close()
        with pytest.raises(CancelledError):
            await task
        assert house.llama.starts == []
        assert (house.notes(), house.slot_files()) == ([], [])
        assert house.studio.living() == []

    run(main())


@pytest.mark.parametrize("stage", ["drain", "save", "stop"])
def test_closing_while_it_steps_aside(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        house = House(tmp_path).always()
        house.gates.hold(stage)
        task = asyncio.ensure_future(house.images.generate_image(CONFIG))
        await until(lambda: house.gates.was_reached(stage))
        await house.orchestrator.close()
        closing = asyncio.ensure_future(house.studio.close())
        await asyncio.sleep(0)
        house.gates.go(stage)
        await closing
        with pytest.raises(CancelledError):
            await task
        assert house.llama.starts == []
        assert (house.notes(), house.slot_files()) == ([], [])

    run(main())


@pytest.mark.parametrize("stage", ["start", "restore"])
def test_closing_while_it_returns(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        house = House(tmp_path).always()
        house.gates.hold(stage)
        await house.images.generate_image(CONFIG)
        await until(lambda: house.gates.was_reached(stage))
        await house.orchestrator.close()
        await house.studio.close()
        assert (house.notes(), house.slot_files()) == ([], [])

    run(main())


# values -------------------------------------------------------------------------------------------------


def test_a_saved_state_survives_json() -> None:
    state = SavedLlmState(RESOLVED, True, 5.0, (SavedSlot(0, "a.bin", 9),), "own b1", "Talker")
    assert SavedLlmState.from_mapping(json.loads(json.dumps(state.to_mapping()))) == state
    assert SavedLlmState.from_mapping({"config": {"model_id": "x", "nope": 1}}) is None


def test_a_slot_file_is_only_for_a_server_that_can_read_it() -> None:
    def name(**changes: Any) -> str:
        return slot_file_name(replace(RESOLVED, **changes), "/m.gguf", "own b1", 7, 0)

    names = {
        name(),
        name(cache_type_k="q8_0"),
        name(cache_type_v="q8_0"),
        name(flash_attention="off"),
        name(model_id="other"),
        name(parallel_requests=2),
        slot_file_name(RESOLVED, "/m.gguf", "own b2", 7, 0),
        slot_file_name(RESOLVED, "/m.gguf", "own b1", 8, 0),
        slot_file_name(RESOLVED, "/m.gguf", "own b1", 7, 1),
        slot_file_name(RESOLVED, "/n.gguf", "own b1", 7, 0),
    }
    assert len(names) == 10
    assert name() == name(context_size=4096, port="auto", threads=9)
