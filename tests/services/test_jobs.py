"""The job board."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from genai_desktop.core.errors import CancelledError, StorageError
from genai_desktop.core.jobs import JobInfo, Progress
from genai_desktop.services.jobs import KEPT_FINISHED, JobBoard, JobHandle
from tests.aio import run, until


def test_result_and_states() -> None:
    async def work() -> None:
        board = JobBoard(clock=lambda: 12.5)
        states: list[str] = []
        board.on("changed", lambda jobs: states.extend(j.state for j in jobs))

        async def job(handle: JobHandle) -> int:
            handle.report(Progress(1, 2, "bytes"))
            return 42

        assert await board.run("verify", "Verify x", job) == 42
        (info,) = board.list()
        assert (info.kind, info.title, info.state, info.created_at) == ("verify", "Verify x", "done", 12.5)
        assert info.progress.fraction == 0.5
        await board.close()
        assert states[0] == "queued"
        assert states[-1] == "done"

    run(work())


def test_failure_is_told_in_its_own_words() -> None:
    async def work() -> None:
        board = JobBoard()

        async def job(_: JobHandle) -> None:
            raise StorageError("The disk is full.", code="DISK_FULL", remedy="Free some.")

        with pytest.raises(StorageError):
            await board.run("download", "x", job)
        (info,) = board.list()
        assert info.state == "failed"
        assert (info.error_code, info.error_message, info.error_remedy) == (
            "DISK_FULL",
            "The disk is full.",
            "Free some.",
        )

    run(work())


def test_cancel_runs_the_cleaning_up_and_says_who_did_it() -> None:
    async def work() -> None:
        board, cleaned = JobBoard(), []
        begun = asyncio.Event()

        async def job(_: JobHandle) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(True)

        task = asyncio.create_task(board.run("other", "x", job))
        await begun.wait()
        (info,) = board.list()
        assert board.cancel(info.id)
        with pytest.raises(CancelledError, match="stopped"):
            await task
        assert cleaned == [True]
        assert board.list()[0].state == "cancelled"
        assert not board.cancel(info.id)
        assert not board.cancel("nobody")

    run(work())


def test_cancelling_the_caller_cancels_the_job() -> None:
    async def work() -> None:
        board, begun, cleaned = JobBoard(), asyncio.Event(), []

        async def job(_: JobHandle) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)

        task = asyncio.create_task(board.run("other", "x", job))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cleaned == [True]
        assert board.list()[0].state == "cancelled"

    run(work())


def test_cancelled_before_it_began() -> None:
    async def work() -> None:
        board = JobBoard()

        async def job(_: JobHandle) -> None:
            raise AssertionError("must not run")

        job_id = board.start("other", "x", job)
        board.cancel(job_id)
        await until(lambda: board.list()[0].is_finished)
        assert board.list()[0].state == "cancelled"

    run(work())


def test_background_job_that_fails_unexpectedly_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        board = JobBoard()

        async def job(_: JobHandle) -> None:
            raise ZeroDivisionError("oops")

        board.start("other", "x", job)
        await until(lambda: board.list()[0].is_finished)
        assert board.list()[0].error_message == "oops"
        await board.close()

    run(work())
    assert "oops" in caplog.text


def test_a_thousand_reports_are_few_events() -> None:
    async def work() -> None:
        board = JobBoard()
        events: list[tuple[JobInfo, ...]] = []
        board.on("changed", events.append)
        loop = asyncio.get_running_loop()
        begun = loop.time()

        async def job(handle: JobHandle) -> None:
            for step in range(1000):
                handle.report(Progress(step + 1, 1000))
                await asyncio.sleep(0)

        await board.run("other", "x", job)
        await until(lambda: events[-1][0].state == "done")
        assert len(events) <= 2 + (loop.time() - begun) / 0.1
        assert events[-1][0].progress.done == 1000

    run(work())


def test_closing_stops_all_and_refuses_more() -> None:
    async def work() -> None:
        board, cleaned = JobBoard(), []
        events: list[Any] = []
        board.on("changed", events.append)

        async def job(_: JobHandle) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)

        for _ in range(3):
            board.start("other", "x", job)
        await asyncio.sleep(0)
        await board.close()
        assert len(cleaned) == 3
        assert {j.state for j in board.list()} == {"cancelled"}
        assert {j.state for j in events[-1]} == {"cancelled"}
        with pytest.raises(CancelledError, match="closing"):
            await board.run("other", "late", job)

    run(work())


def test_only_the_last_finished_ones_are_kept() -> None:
    async def work() -> None:
        board = JobBoard()

        async def job(_: JobHandle) -> None:
            pass

        for _ in range(KEPT_FINISHED + 20):
            await board.run("other", "x", job)
        assert len(board.list()) == KEPT_FINISHED
        board.forget_finished()
        assert board.list() == ()

    run(work())


def test_jobs_side_by_side() -> None:
    async def work() -> None:
        board, gate = JobBoard(), asyncio.Event()

        async def job(_: JobHandle) -> None:
            await gate.wait()

        ids = [board.start("download", str(n), job) for n in range(3)]
        await asyncio.sleep(0)
        assert [j.state for j in board.list()] == ["running"] * 3
        board.cancel(ids[1])
        gate.set()
        with contextlib.suppress(asyncio.CancelledError):
            await until(lambda: all(j.is_finished for j in board.list()))
        assert [j.state for j in board.list()] == ["done", "cancelled", "done"]

    run(work())
