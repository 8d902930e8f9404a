"""The queue of image jobs: first come, first painted; on disk, so that a crash loses nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from genai_desktop.core.errors import CancelledError, GenaiError, NotFoundError
from genai_desktop.core.images import ImageGenerationConfig, ImageJob, ImageProgress, ImageResult
from genai_desktop.library.image_records import ImageRecords

KEPT_FINISHED = 50
OnProgress = Callable[[ImageProgress], None]


@dataclass
class Entry:
    """One job with what only this process knows of it."""

    job: ImageJob
    position: float
    listeners: list[OnProgress] = field(default_factory=list)
    # set when the job has ended; never awaited directly, so that a cancelled waiter does not cancel the job
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    error: GenaiError | None = None


class ImageQueue:
    """Jobs by id. What is not a coroutine changes the memory at once; `store` brings the disk up to date."""

    def __init__(
        self, records: ImageRecords, *, clock: Callable[[], float], on_changed: Callable[[], None]
    ) -> None:
        self._records = records
        self._clock = clock
        self._on_changed = on_changed
        self._entries: dict[str, Entry] = {}

    # looking ------------------------------------------------------------------------------------------------

    def jobs(self) -> tuple[ImageJob, ...]:
        """The running one, then what waits in order, then what ended, newest first."""
        entries = list(self._entries.values())
        running = [e.job for e in entries if e.job.state == "running"]
        ended = [e.job for e in entries if e.job.state not in ("queued", "running")]
        return (*running, *(e.job for e in self._queued()), *reversed(ended))

    def entry(self, job_id: str) -> Entry:
        """Raises NotFoundError."""
        try:
            return self._entries[job_id]
        except KeyError:
            raise NotFoundError(f"There is no image job {job_id!r}.") from None

    def first_waiting(self) -> Entry | None:
        queued = self._queued()
        return queued[0] if queued else None

    @property
    def has_waiting(self) -> bool:
        return any(e.job.state == "queued" for e in self._entries.values())

    @property
    def is_busy(self) -> bool:
        """Something is painted or waits."""
        return any(e.job.state in ("queued", "running") for e in self._entries.values())

    # changing -----------------------------------------------------------------------------------------------

    def put(self, config: ImageGenerationConfig, on_progress: OnProgress | None = None) -> Entry:
        """At the end of the queue, in memory; follow with `store`."""
        now = self._clock()
        job = ImageJob(secrets.token_hex(8), config, "queued", now)
        entry = Entry(job, now)
        if on_progress is not None:
            entry.listeners.append(on_progress)
        self._entries[job.id] = entry
        self._on_changed()
        return entry

    async def store(self, entry: Entry) -> None:
        """Bring the disk up to date. The row of a job that is done or cancelled has done its duty."""
        if entry.job.state in ("done", "cancelled"):
            await self._records.delete_job(entry.job.id)
        else:
            await self._records.save_job(entry.job, entry.position)

    def forget(self, entry: Entry) -> None:
        """As if it had never been put (it could not be stored)."""
        self._entries.pop(entry.job.id, None)
        self._on_changed()

    async def retry(self, job_id: str) -> None:
        """A failed or cancelled job goes to the end of the queue."""
        entry = self.entry(job_id)
        if entry.job.state not in ("failed", "cancelled"):
            return
        entry.position = self._clock()
        entry.ended = asyncio.Event()
        entry.error = None
        job = replace(entry.job, state="queued", progress=None, result=None)
        entry.job = replace(job, error_code="", error_message="", error_remedy="")
        self._on_changed()
        await self.store(entry)

    async def move(self, job_id: str, offset: int) -> None:
        """A waiting job changes places with its neighbours: negative is earlier."""
        self.entry(job_id)
        queued = self._queued()
        ids = [e.job.id for e in queued]
        if job_id not in ids:
            return
        positions = [e.position for e in queued]
        entry = queued.pop(ids.index(job_id))
        queued.insert(min(len(queued), max(0, ids.index(job_id) + offset)), entry)
        for other, position in zip(queued, positions, strict=True):
            other.position = position
        self._on_changed()
        for other in queued:
            await self.store(other)

    def begin(self, entry: Entry) -> None:
        """It is painted now; follow with `store`, as after every change below."""
        self._set(entry, state="running")

    def progress(self, entry: Entry, progress: ImageProgress) -> None:
        """Remembered and told to whoever waits for this job; no "jobs_changed" for it."""
        entry.job = replace(entry.job, progress=progress)
        for listener in tuple(entry.listeners):
            listener(progress)

    def end_done(self, entry: Entry, result: ImageResult) -> None:
        self._end(entry, None, state="done", result=result)

    def end_failed(self, entry: Entry, error: GenaiError) -> None:
        """It can be retried, now or after the next start."""
        self._end(
            entry,
            error,
            state="failed",
            error_code=error.code,
            error_message=error.message,
            error_remedy=error.remedy,
        )

    def end_cancelled(self, entry: Entry) -> None:
        self._end(
            entry, CancelledError("The picture was cancelled."), state="cancelled", error_code="CANCELLED"
        )

    def abandon(self) -> None:
        """The program ends: whoever waits for a job is told; the rows stay for the next start."""
        for entry in self._entries.values():
            if not entry.ended.is_set():
                entry.error = CancelledError("The program is closing.")
                entry.ended.set()

    async def dismiss(self, job_id: str) -> None:
        """Take a job that has ended off the list."""
        entry = self.entry(job_id)
        if entry.job.state in ("queued", "running"):
            return
        del self._entries[job_id]
        self._on_changed()
        await self._records.delete_job(job_id)

    async def recover(self) -> int:
        """Offer what a predecessor left as failed jobs; how many."""
        found = await self._records.take_over()
        for job in found:
            if job.id not in self._entries:
                entry = Entry(job, job.created_at)
                entry.ended.set()
                self._entries[job.id] = entry
                await self.store(entry)
        if found:
            self._on_changed()
        return len(found)

    # inside -------------------------------------------------------------------------------------------------

    def _queued(self) -> list[Entry]:
        return sorted(
            (e for e in self._entries.values() if e.job.state == "queued"), key=lambda e: e.position
        )

    def _set(self, entry: Entry, **changes: Any) -> None:
        entry.job = replace(entry.job, **changes)
        self._on_changed()

    def _end(self, entry: Entry, error: GenaiError | None, **changes: Any) -> None:
        entry.error = error
        entry.listeners.clear()
        # the newest at the end: it is the order in which they ended
        self._entries[entry.job.id] = self._entries.pop(entry.job.id)
        self._set(entry, **changes)
        entry.ended.set()
        ended = [key for key, e in self._entries.items() if e.job.state in ("done", "cancelled")]
        for key in ended[:-KEPT_FINISHED]:
            del self._entries[key]
