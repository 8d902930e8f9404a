"""The board of long jobs: what runs, how far it is, and the one way to stop it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from genai_desktop.core.errors import CancelledError, GenaiError
from genai_desktop.core.events import Emitter
from genai_desktop.core.jobs import JobInfo, JobKind, Progress

_log = logging.getLogger(__name__)
T = TypeVar("T")

CHANGED_INTERVAL = 0.1  # seconds between two "changed" events
KEPT_FINISHED = 50


class JobHandle:
    """What a running job gets to report with."""

    def __init__(self, board: JobBoard, job_id: str) -> None:
        self._board = board
        self.id = job_id

    def report(self, progress: Progress) -> None:
        """From the loop's thread; as often as one likes, the board throttles."""
        self._board._update(self.id, progress=progress)

    def rename(self, title: str) -> None:
        self._board._update(self.id, title=title)


class JobBoard:
    """Runs jobs as tasks and publishes "changed" with all of them, oldest first, at most ten times a second.

    Cancelling a job cancels its task: whatever must be cleaned up is in the job's own `finally`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._jobs: dict[str, JobInfo] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._stopped_by_person: set[str] = set()
        self._last_emission = float("-inf")
        self._pending: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.events = Emitter()

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def list(self) -> tuple[JobInfo, ...]:
        """All jobs, the oldest first; finished ones are kept for a while."""
        return tuple(self._jobs.values())

    async def run(self, kind: JobKind, title: str, work: Callable[[JobHandle], Awaitable[T]]) -> T:
        """Run a job and wait for it. Raises what it raised; core CancelledError when a person stopped it."""
        job_id, task = self._launch(kind, title, work)
        try:
            return await task
        except asyncio.CancelledError:
            if job_id in self._stopped_by_person and not _is_being_cancelled():
                raise CancelledError(f"'{title}' was stopped.") from None
            raise
        finally:
            self._stopped_by_person.discard(job_id)

    def start(self, kind: JobKind, title: str, work: Callable[[JobHandle], Awaitable[T]]) -> str:
        """Run a job in the background; its id. How it ends is on the board."""
        job_id, task = self._launch(kind, title, work)
        task.add_done_callback(lambda done: self._retrieve(job_id, done))
        return job_id

    def cancel(self, job_id: str) -> bool:
        """Stop a job; False when there is nothing to stop: it has ended already, or never was."""
        task = self._tasks.get(job_id)
        if task is None or task.done():
            return False
        self._stopped_by_person.add(job_id)
        return task.cancel()

    def forget_finished(self) -> None:
        """Clear the list of what has ended."""
        self._jobs = {key: job for key, job in self._jobs.items() if not job.is_finished}
        self._changed()

    async def close(self) -> None:
        """Stop every job and wait for its cleaning up; new jobs are refused."""
        self._is_closed = True
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # let the tasks' callbacks run
        if self._pending is not None:
            self._emit()

    # -----------------------------------------------------------------------------------------------------

    def _launch(
        self, kind: JobKind, title: str, work: Callable[[JobHandle], Awaitable[T]]
    ) -> tuple[str, asyncio.Task[T]]:
        if self._is_closed:
            raise CancelledError(f"'{title}' was not started: the program is closing.")
        job_id = secrets.token_hex(6)
        self._jobs[job_id] = JobInfo(job_id, kind, title, "queued", created_at=self._clock())
        task = asyncio.create_task(self._execute(job_id, work), name=f"job {kind} {job_id}")
        # a task cancelled before its first step never enters _execute: the callback ends such a job
        task.add_done_callback(lambda done: self._finished(job_id, done))
        self._tasks[job_id] = task
        self._changed()
        return job_id, task

    async def _execute(self, job_id: str, work: Callable[[JobHandle], Awaitable[T]]) -> T:
        self._update(job_id, state="running")
        return await work(JobHandle(self, job_id))

    def _finished(self, job_id: str, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(job_id, None)
        if task.cancelled():
            self._update(job_id, state="cancelled")
        elif (error := task.exception()) is None:
            self._update(job_id, state="done")
        elif isinstance(error, CancelledError):
            self._update(job_id, state="cancelled", error_code=error.code, error_message=error.message)
        elif isinstance(error, GenaiError):
            self._update(
                job_id,
                state="failed",
                error_code=error.code,
                error_message=error.message,
                error_remedy=error.remedy,
            )
        else:
            self._update(job_id, state="failed", error_code="ERROR", error_message=str(error) or repr(error))
        self._drop_old()

    def _retrieve(self, job_id: str, task: asyncio.Task[Any]) -> None:
        """Nobody awaits a background job: its error is on the board, an unforeseen one also in the log."""
        self._stopped_by_person.discard(job_id)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, GenaiError):
            _log.error("job %s failed", job_id, exc_info=error)

    def _drop_old(self) -> None:
        finished = [key for key, job in self._jobs.items() if job.is_finished]
        for key in finished[: max(0, len(finished) - KEPT_FINISHED)]:
            del self._jobs[key]

    def _update(self, job_id: str, **changes: Any) -> None:
        job = self._jobs.get(job_id)
        if job is None or (job.is_finished and "state" not in changes):
            return
        self._jobs[job_id] = replace(job, **changes)
        self._changed()

    def _changed(self) -> None:
        loop = asyncio.get_running_loop()
        if self._pending is not None:
            return
        wait = self._last_emission + CHANGED_INTERVAL - loop.time()
        if wait <= 0:
            self._emit()
        else:
            self._pending = loop.call_later(wait, self._emit)

    def _emit(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        self._last_emission = asyncio.get_running_loop().time()
        self.events.emit("changed", self.list())


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
