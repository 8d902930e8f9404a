"""The image service: one at a time, in order, cancellable at any moment, and nothing lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import (
    BusyError,
    CancelledError,
    EngineError,
    GenaiError,
    ImageError,
    InvalidInputError,
    ModelNotFoundError,
    NotFoundError,
)
from genai_desktop.core.images import MAX_SEED, ImageJob
from genai_desktop.core.sd_launch import DiffusionServerConfig
from genai_desktop.services.memory_broker import MemoryGrant
from tests.aio import run, until
from tests.fakes.image_studio import CONFIG, Studio, seeded

STAGES = ("start", "load", "sample", "decode", "save")


def test_a_picture_from_a_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            heard: list[Any] = []
            result = await studio.diffusion.generate_image(CONFIG, heard.append)
            assert [(i.seed, i.width, i.height) for i in result.images] == [(42, 64, 64)]
            assert Path(result.images[0].path).parent == studio.paths.gallery
            assert result.seconds > 0
            assert studio.finished == [result]
            assert heard == studio.progress
            percents = [p.percent for p in heard]
            assert percents == sorted(percents)
            assert (percents[-1], heard[-1].stage) == (100.0, "done")
            order = ["loading", "diffusion", "decoding", "saving", "done"]
            places = [order.index(p.stage) for p in heard]  # a stage may pass between two reads of the pipe
            assert places == sorted(places)
            items = await studio.gallery.list()
            assert [i.path for i in items] == [result.images[0].path]
            assert items[0].recipe["engine"] == "own fake"
            assert studio.models.touched == ["tiny"]
            assert list(studio.paths.temp.iterdir()) == []
            assert studio.living() == []
            assert studio.diffusion.get_info().is_busy is False
            assert any(info.is_busy and info.pid for info in studio.infos)

    run(main())


def test_a_random_seed_is_chosen_by_us_and_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            first = await studio.diffusion.generate_image(seeded(-1))
            second = await studio.diffusion.generate_image(replace(CONFIG, seed=-1, count=2))
            seeds = [i.seed for i in (*first.images, *second.images)]
            assert all(0 <= seed <= MAX_SEED for seed in seeds)
            assert seeds[2] == seeds[1] + 1
            assert seeds[0] != seeds[1]

    run(main())


def test_zero_is_a_seed_and_a_batch_counts_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            result = await studio.diffusion.generate_image(replace(CONFIG, seed=0, cfg_scale=0.0, count=5))
            assert [i.seed for i in result.images] == [0, 1, 2, 3, 4]
            items = await studio.gallery.list()
            assert sorted(i.seed for i in items) == [0, 1, 2, 3, 4]
            assert {i.recipe["cfg_scale"] for i in items} == {0.0}

    run(main())


def test_two_requests_at_the_same_moment_are_one_process_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            most = 0

            def look(_: object) -> None:
                nonlocal most
                most = max(most, len(studio.living()))

            studio.diffusion.on("progress", look)
            results = await asyncio.gather(*(studio.diffusion.generate_image(seeded(n)) for n in range(4)))
            assert [r.images[0].seed for r in results] == [0, 1, 2, 3]
            assert [r.images[0].seed for r in studio.finished] == [0, 1, 2, 3]
            assert most == 1
            assert studio.engines.pids() == list(dict.fromkeys(studio.engines.pids()))
            running = [[j.state for j in jobs].count("running") for jobs in studio.jobs]
            assert max(running) == 1

    run(main())


def test_only_if_idle_refuses_the_second_of_two_at_the_same_moment(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            answers = await asyncio.gather(
                *(studio.diffusion.enqueue(seeded(n), only_if_idle=True) for n in range(2)),
                return_exceptions=True,
            )
            assert [type(a) for a in answers] == [str, BusyError]
            await studio.diffusion.wait(str(answers[0]))
            assert len(studio.engines.pids()) == 1

    run(main())


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_at_every_stage_of_the_engine(tmp_path: Path, stage: str) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold(stage)
            job = await studio.diffusion.enqueue(CONFIG)
            await until((gate / f"{stage}.reached").exists)
            began = time.monotonic()
            assert await studio.diffusion.cancel(job)
            assert time.monotonic() - began < 1.0
            assert studio.diffusion.job(job).state == "cancelled"
            assert studio.living() == []
            assert list(studio.paths.temp.iterdir()) == []
            with pytest.raises(CancelledError):
                await studio.diffusion.wait(job)
            studio.engines.plan()
            await studio.diffusion.generate_image(CONFIG)  # the next one is not disturbed

    run(main())


def test_cancel_at_every_step_of_the_loop_leaves_nothing(tmp_path: Path) -> None:
    """Let the loop turn n times before cancelling: whatever await the job is in, nothing of it is left."""

    async def main() -> None:
        async with Studio(tmp_path) as studio:
            for turns in (*range(0, 60, 2), *range(60, 400, 20)):
                job = await studio.diffusion.enqueue(CONFIG)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await studio.diffusion.cancel(job)
                assert studio.diffusion.job(job).state in ("cancelled", "done")
                assert studio.living() == []
                assert list(studio.paths.temp.iterdir()) == []
            result = await studio.diffusion.generate_image(CONFIG)
            assert len(result.images) == 1

    run(main())


def test_cancelling_the_caller_cancels_the_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold("sample")
            task = asyncio.ensure_future(studio.diffusion.generate_image(CONFIG))
            await until((gate / "sample.reached").exists)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert studio.living() == []
            assert studio.diffusion.jobs()[0].state == "cancelled"

    run(main())


def test_cancel_of_what_waits_and_of_what_has_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold("sample")
            first = await studio.diffusion.enqueue(seeded(1))
            second = await studio.diffusion.enqueue(seeded(2))
            await until((gate / "sample.reached").exists)
            assert await studio.diffusion.cancel(second)
            assert [j.state for j in studio.diffusion.jobs()] == ["running", "cancelled"]
            (gate / "sample.go").touch()
            await studio.diffusion.wait(first)
            assert not await studio.diffusion.cancel(first)
            assert not await studio.diffusion.cancel()
            with pytest.raises(NotFoundError):
                await studio.diffusion.cancel("nope")
            assert len(studio.engines.pids()) == 1

    run(main())


def test_order_can_be_changed_while_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold("sample")
            ids = [await studio.diffusion.enqueue(seeded(n)) for n in range(4)]
            await until((gate / "sample.reached").exists)
            await studio.diffusion.move(ids[3], -9)
            await studio.diffusion.move(ids[1], 1)
            assert [j.config.seed for j in studio.diffusion.jobs()] == [0, 3, 2, 1]
            (gate / "sample.go").touch()
            await studio.diffusion.wait(ids[1])
            assert [r.images[0].seed for r in studio.finished] == [0, 3, 2, 1]

    run(main())


def test_a_failed_job_tells_why_and_can_be_retried(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            studio.engines.plan(exit=1, stderr="[ERROR] x.cpp:1 - get sd version from file failed: 't.gguf'")
            with pytest.raises(ImageError) as caught:
                await studio.diffusion.generate_image(CONFIG)
            assert caught.value.code == "BAD_MODEL_FILE"
            job = studio.diffusion.jobs()[0]
            assert (job.state, job.error_code) == ("failed", "BAD_MODEL_FILE")
            assert job.error_remedy
            assert studio.diffusion.get_info().error_code == "BAD_MODEL_FILE"
            assert studio.diffusion.get_info().log_tail
            assert any("t.gguf" in line for line in studio.diffusion.get_logs())
            studio.engines.plan()
            await studio.diffusion.retry(job.id)
            result = await studio.diffusion.wait(job.id)
            assert result.images[0].seed == 42
            assert studio.diffusion.get_info().error_code == ""

    run(main())


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"signal": 11}, "ENGINE_CRASHED"),
        ({"signal": 9, "at": "decode"}, "OUT_OF_MEMORY"),
        ({"files": "none"}, "NO_PICTURE"),
        ({"files": "truncated"}, "NO_PICTURE"),
    ],
    ids=str,
)
def test_faults_of_the_engine_fail_the_job_and_not_the_service(
    tmp_path: Path, plan: dict[str, Any], code: str
) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            studio.engines.plan(**plan)
            bad = await studio.diffusion.enqueue(seeded(1))
            with pytest.raises(ImageError) as caught:
                await studio.diffusion.wait(bad)
            assert caught.value.code == code
            assert studio.diffusion.get_status() == "running"
            studio.engines.plan()
            await studio.diffusion.generate_image(CONFIG)

    run(main())


def test_a_hang_is_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path, stall_seconds=0.4) as studio:
            studio.engines.plan(stop="sample")
            with pytest.raises(ImageError, match="has not moved"):
                await studio.diffusion.generate_image(CONFIG)
            assert studio.living() == []

    run(main())


def test_out_of_memory_is_tried_again_with_less(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            studio.engines.plan(signal=6, stderr="vae: failed to allocate the compute buffer", at="decode")
            with pytest.raises(ImageError) as caught:
                await studio.diffusion.generate_image(CONFIG)
            assert caught.value.code == "OUT_OF_MEMORY"
            # on a processor one sacrifice is possible: tiles
            assert len(studio.engines.pids()) == 2
            assert studio.diffusion.get_info().effective["vae_tiling"] is True
            percents = [p.percent for p in studio.progress]
            assert percents == sorted(percents)

    run(main())


def test_what_is_wrong_is_told_without_starting_anything(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            with pytest.raises(InvalidInputError, match="steps"):
                await studio.diffusion.enqueue(replace(CONFIG, steps=0))
            with pytest.raises(ModelNotFoundError):
                await studio.diffusion.generate_image(replace(CONFIG, model_id="nope"))
            with pytest.raises(ModelNotFoundError, match="chosen"):
                await studio.diffusion.generate_image(replace(CONFIG, model_id=""))
            Path(studio.models.model.path).rename(tmp_path / "away")
            with pytest.raises(ModelNotFoundError, match="gone"):
                await studio.diffusion.generate_image(CONFIG)
            (tmp_path / "away").rename(studio.models.model.path)
            studio.engines.is_missing = True
            with pytest.raises(EngineError):
                await studio.diffusion.generate_image(CONFIG)
            assert studio.engines.pids() == []

    run(main())


def test_jobs_of_a_process_that_died_are_offered_not_run(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path)
        gate = studio.hold("sample")
        running = await studio.diffusion.enqueue(seeded(1))
        waiting = await studio.diffusion.enqueue(seeded(2))
        await until((gate / "sample.reached").exists)
        await studio.reopen()
        async with studio:
            assert studio.living() == []
            assert await studio.diffusion.recover() == 2
            jobs = {j.id: j for j in studio.diffusion.jobs()}
            assert set(jobs) == {running, waiting}
            assert {(j.state, j.error_code) for j in jobs.values()} == {("failed", "INTERRUPTED")}
            assert "Retry" in jobs[waiting].error_remedy
            assert len(studio.engines.pids()) == 1
            studio.engines.plan()
            await studio.diffusion.retry(waiting)
            assert (await studio.diffusion.wait(waiting)).images[0].seed == 2
            await studio.diffusion.dismiss(running)
        await asyncio.sleep(0)
        studio._open()
        async with studio:
            assert await studio.diffusion.recover() == 0

    run(main())


def test_jobs_of_another_living_process_are_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold("sample")
            job = await studio.diffusion.enqueue(CONFIG)
            await until((gate / "sample.reached").exists)
            owner = f"1:{__import__('psutil').Process(1).create_time():.2f}"
            await studio.database.write(lambda c: c.execute("UPDATE image_jobs SET owner = ?", (owner,)))
            await studio.diffusion.cancel(job)
            await studio.database.write(
                lambda c: c.execute(
                    "INSERT INTO image_jobs SELECT 'x', 1, '{\"prompt\": \"p\"}', 'queued', '{}', ?, 1",
                    (owner,),
                )
            )
            assert await studio.diffusion.recover() == 0
            await studio.database.write(lambda c: c.execute("UPDATE image_jobs SET owner = '999999999:1'"))
            assert await studio.diffusion.recover() == 1

    run(main())


def test_times_are_remembered_across_restarts(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path)
        assert await studio.diffusion.estimate_seconds(CONFIG) is None
        await studio.diffusion.generate_image(CONFIG)
        assert {p.eta for p in studio.progress if p.stage != "done"} == {None}
        await studio.reopen()
        async with studio:
            assert (await studio.diffusion.estimate_seconds(CONFIG) or 0) > 0
            studio.progress.clear()
            await studio.diffusion.generate_image(CONFIG)
            assert all(p.eta is not None for p in studio.progress)

    run(main())


def test_the_server_has_states_and_events(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            names: list[str] = []
            for name in ("started", "stopped"):
                studio.diffusion.on(name, lambda _, name=name: names.append(name))
            info = await studio.diffusion.start(
                DiffusionServerConfig(model_id="tiny", threads=2, vae_tiling="on")
            )
            assert (info.status, info.model_name, info.engine) == ("running", "Tiny", "own fake")
            assert await studio.diffusion.is_healthy()
            await studio.diffusion.generate_image(replace(CONFIG, model_id=""))
            argv = studio.diffusion.get_info().command_line
            assert "--vae-tiling" in argv
            assert argv[argv.index("--threads") + 1] == "2"
            await studio.diffusion.stop()
            assert studio.diffusion.get_status() == "stopped"
            assert names == ["started", "stopped"]
            statuses = [i.status for i in studio.infos]
            assert [s for i, s in enumerate(statuses) if i == 0 or statuses[i - 1] != s] == [
                "starting", "running", "stopping", "stopped",
            ]  # fmt: skip
            assert (await studio.diffusion.restart()).generation == 2
            with pytest.raises(ModelNotFoundError):
                await studio.diffusion.start(DiffusionServerConfig(model_id="nope"))

    run(main())


def test_stop_cancels_what_runs_and_what_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gate = studio.hold("sample")
            ids = [await studio.diffusion.enqueue(seeded(n)) for n in range(3)]
            await until((gate / "sample.reached").exists)
            await studio.diffusion.stop()
            assert studio.living() == []
            assert {studio.diffusion.job(i).state for i in ids} == {"cancelled"}
            studio.engines.plan()
            await studio.diffusion.generate_image(CONFIG)  # it starts by itself again
            assert studio.diffusion.get_status() == "running"

    run(main())


def test_whoever_waits_is_told_when_the_program_closes(tmp_path: Path) -> None:
    async def main() -> None:
        studio = Studio(tmp_path)
        gate = studio.hold("sample")
        waits = [asyncio.ensure_future(studio.diffusion.generate_image(seeded(n))) for n in range(2)]
        await until((gate / "sample.reached").exists)
        await studio.close()
        for task in waits:
            with pytest.raises(CancelledError):
                await task
        assert studio.living() == []
        with pytest.raises(CancelledError):
            await studio.diffusion.enqueue(CONFIG)

    run(main())


class WatchedMemory:
    """Tells who got memory when; refuses on demand."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.refuse: GenaiError | None = None

    @asynccontextmanager
    async def memory_for(self, job: ImageJob) -> AsyncIterator[MemoryGrant]:
        self.log.append(f"enter {job.config.seed}")
        if self.refuse is not None:
            raise self.refuse
        try:
            yield MemoryGrant()
        finally:
            self.log.append(f"leave {job.config.seed}")

    def idle(self) -> None:
        self.log.append("idle")


def test_no_engine_runs_outside_the_memory_that_was_lent(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            memory = WatchedMemory()
            studio.diffusion.set_memory_broker(memory)
            studio.diffusion.on(
                "changed", lambda info: memory.log.append("engine") if info.pid and info.is_busy else None
            )
            await asyncio.gather(*(studio.diffusion.generate_image(seeded(n)) for n in range(2)))
            await until(lambda: "idle" in memory.log)
            short = [line for i, line in enumerate(memory.log) if i == 0 or memory.log[i - 1] != line]
            assert short == ["enter 0", "engine", "leave 0", "enter 1", "engine", "leave 1", "idle"]
            memory.refuse = EngineError("no room")
            with pytest.raises(EngineError, match="no room"):
                await studio.diffusion.generate_image(CONFIG)
            assert len(studio.engines.pids()) == 2

    run(main())


def test_pictures_are_in_the_gallery_before_the_memory_is_given_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            kept: list[int] = []

            class Memory(WatchedMemory):
                @asynccontextmanager
                async def memory_for(self, job: ImageJob) -> AsyncIterator[MemoryGrant]:
                    yield MemoryGrant()
                    kept.append(len(await studio.gallery.list()))

            studio.diffusion.set_memory_broker(Memory())
            await studio.diffusion.generate_image(CONFIG)
            assert kept == [1]

    run(main())


def test_a_folder_that_cannot_be_used_does_not_cost_the_picture(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            (tmp_path / "file").write_text("in the way")
            studio.settings.update(images_folder=str(tmp_path / "file"))
            result = await studio.diffusion.generate_image(CONFIG)
            assert Path(result.images[0].path).parent == studio.paths.gallery
            studio.settings.update(images_folder=str(tmp_path / "pictures"))
            result = await studio.diffusion.generate_image(CONFIG)
            assert Path(result.images[0].path).parent == tmp_path / "pictures"

    run(main())


def test_the_footprint_is_guessed_first_and_measured_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            assert (await studio.diffusion.footprint(CONFIG)).is_estimate  # not even a header to read
            gate = studio.hold("decode")
            job = await studio.diffusion.enqueue(CONFIG)
            await until((gate / "decode.reached").exists)
            await until(lambda: studio.diffusion.peak_bytes > 0)
            (gate / "decode.go").touch()
            await studio.diffusion.wait(job)
            measured = await studio.diffusion.footprint(CONFIG)
            assert measured.is_measured
            assert measured.bytes > measured.margin > 0

    run(main())
