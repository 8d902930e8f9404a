"""Paints the queue: one job at a time, each cancellable at any moment, until nothing waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from genai_desktop.core.errors import BusyError, CancelledError, GenaiError, ImageError
from genai_desktop.core.images import ImageGenerationConfig, ImageResult
from genai_desktop.services.image_queue import Entry, ImageQueue, OnProgress

_log = logging.getLogger(__name__)


class ImageWorker:
    """The only place that starts a job.

    paint: does one job; on_done, on_failed: told in order, before the next one starts; on_idle: nothing is
    painted and nothing waits.
    """

    def __init__(
        self,
        queue: ImageQueue,
        *,
        paint: Callable[[Entry], Awaitable[ImageResult]],
        on_done: Callable[[ImageResult], None],
        on_failed: Callable[[GenaiError], None],
        on_released: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._paint = paint
        self._on_done = on_done
        self._on_failed = on_failed
        self._on_released = on_released
        self._on_idle = on_idle
        self._task: asyncio.Task[None] | None = None
        self._current: tuple[Entry, asyncio.Task[None]] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def enqueue(
        self, config: ImageGenerationConfig, on_progress: OnProgress | None, *, only_if_idle: bool
    ) -> str:
        """The id of the job, which is on disk by then. Raises BusyError, StorageError."""
        if self._is_closed:
            raise CancelledError("The program is closing.")
        if only_if_idle and self._queue.is_busy:
            raise BusyError(
                "Another picture is being painted.", remedy="Try again when it is finished, or cancel it."
            )
        entry = self._queue.put(config, on_progress)
        try:
            await self._queue.store(entry)
        except BaseException:
            self._queue.forget(entry)
            raise
        self.wake()
        return entry.job.id

    async def wait(self, job_id: str) -> ImageResult:
        """Until the job has ended. Raises what made it fail."""
        entry = self._queue.entry(job_id)
        await entry.ended.wait()
        if entry.error is not None:
            raise entry.error
        job = entry.job
        if job.result is None:  # left by an earlier run of the program
            raise ImageError(job.error_message, code=job.error_code, remedy=job.error_remedy)
        return job.result

    async def cancel(self, job_id: str | None) -> bool:
        """Of one job, or the one being painted. True when it was cancelled and nothing of it runs."""
        if job_id is None:
            return await self._cancel_current()
        entry = self._queue.entry(job_id)
        if self._current is not None and self._current[0] is entry:
            return await self._cancel_current()
        if entry.job.state != "queued":
            return False
        self._queue.end_cancelled(entry)
        await self._queue.store(entry)
        return True

    async def retry(self, job_id: str) -> None:
        await self._queue.retry(job_id)
        self.wake()

    async def cancel_all(self) -> None:
        """What waits and what is painted; returns when nothing runs."""
        for job in self._queue.jobs():
            if job.state == "queued":
                entry = self._queue.entry(job.id)
                self._queue.end_cancelled(entry)
                self._store_later(entry)
        await self._cancel_current()
        await self._settle()

    async def close(self) -> None:
        """End the running job; it and what waits stay on disk and are offered at the next start."""
        self._is_closed = True
        if self._current is not None:
            self._current[1].cancel()
        await self._settle()
        self._queue.abandon()

    def wake(self) -> None:
        """Something may wait now."""
        if not self._is_closed and (self._task is None or self._task.done()):
            self._task = asyncio.ensure_future(self._work())

    # inside -------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._is_closed and (entry := self._queue.first_waiting()) is not None:
            # "running" from this moment: no await lies between looking and taking
            self._queue.begin(entry)
            task = asyncio.ensure_future(self._run(entry))
            self._current = (entry, task)
            try:
                await asyncio.wait({task})
            finally:
                self._current = None
                self._on_released()
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("image job %s was lost by an internal error", entry.job.id, exc_info=error)
                self._queue.end_failed(entry, ImageError(f"Something unexpected went wrong: {error}."))
                self._store_later(entry)
            elif entry.job.state == "running" and not self._is_closed:
                self._queue.end_cancelled(entry)  # cancelled before its first step
                self._store_later(entry)
        self._on_idle()

    async def _run(self, entry: Entry) -> None:
        """One job. Its outcome is in the queue; not even cancellation is raised: who cancels waits for it."""
        try:
            await self._queue.store(entry)
            result = await self._paint(entry)
        except asyncio.CancelledError:
            if self._is_closed:
                return  # the row stays as it is
            self._queue.end_cancelled(entry)
        except GenaiError as error:
            self._on_failed(error)
            self._queue.end_failed(entry, error)
        else:
            self._queue.end_done(entry, result)
            self._on_done(result)
        self._store_later(entry)

    async def _cancel_current(self) -> bool:
        current = self._current
        if current is None:
            return False
        entry, task = current
        task.cancel()
        await asyncio.wait({task})
        return entry.job.state != "done"

    async def _settle(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._writes:
            await asyncio.wait(self._writes)

    def _store_later(self, entry: Entry) -> None:
        """The state in memory has changed; writing it must neither be cancelled nor hold up the next job."""

        async def store() -> None:
            try:
                await self._queue.store(entry)
            except GenaiError as error:
                _log.warning("the state of an image job could not be stored: %s", error.message)

        task = asyncio.ensure_future(store())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
