"""The image engine as a service: one job at a time, first come first painted, cancellable at any moment.

Every job goes through the memory broker (the orchestrator) before the engine is started: there is no other
way to an engine process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genai_desktop.core.errors import BusyError, GenaiError, ModelNotFoundError
from genai_desktop.core.events import Emitter
from genai_desktop.core.images import ImageGenerationConfig, ImageJob, ImageProgress, ImageResult, ImageStage
from genai_desktop.core.sd_launch import SWITCHES, DiffusionServerConfig
from genai_desktop.core.servers import LogEntry, ServerInfo, ServerStatus
from genai_desktop.engines.logs import ProcessLog, RotatingFile
from genai_desktop.engines.sd_cli import STALL_SECONDS, sweep_folders
from genai_desktop.library.image_records import ImageRecords
from genai_desktop.services.image_estimates import ImageEstimates, ImageFootprint, estimate_key
from genai_desktop.services.image_painter import ENGINE, ImagePainter, Painting
from genai_desktop.services.image_queue import Entry, ImageQueue, OnProgress
from genai_desktop.services.image_worker import ImageWorker
from genai_desktop.services.memory_broker import AmpleMemory, MemoryBroker

if TYPE_CHECKING:
    from genai_desktop.core.models import ModelInfo
    from genai_desktop.engines.ledger import Ledger
    from genai_desktop.engines.process import ProcessLauncher
    from genai_desktop.library.database import Database
    from genai_desktop.library.gallery import Gallery
    from genai_desktop.library.paths import DataPaths
    from genai_desktop.library.settings import SettingsStore
    from genai_desktop.services.image_painter import EngineProvider, ModelProvider


class DiffusionServerManager:
    """Owner of the image queue and of the one engine process.

    events: "progress" (ImageProgress, at most 30 a second), "jobs_changed" (tuple[ImageJob]), "finished"
    (ImageResult: the pictures are in the gallery), "started", "stopped", "crashed", "status_changed",
    "changed" (ServerInfo), "log" (LogEntry).
    """

    def __init__(
        self,
        *,
        launcher: ProcessLauncher,
        engine: EngineProvider,
        models: ModelProvider,
        paths: DataPaths,
        ledger: Ledger,
        gallery: Gallery,
        database: Database,
        settings: SettingsStore | None = None,
        clock: Callable[[], float] = time.time,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._engine = engine
        self._models = models
        self._paths = paths
        self._gallery = gallery
        self._settings = settings
        self._clock = clock
        self.events = Emitter()
        self._log = ProcessLog(
            RotatingFile(paths.logs / "diffusion.log"),
            time=clock,
            on_entry=lambda entry: self.events.emit("log", entry),
        )
        self._records = ImageRecords(database)
        self._queue = ImageQueue(self._records, clock=clock, on_changed=self._jobs_changed)
        self._estimates = ImageEstimates(self._records, clock=clock)
        self._painter = ImagePainter(
            launcher=launcher,
            models=models,
            paths=paths,
            ledger=ledger,
            gallery=gallery,
            settings=settings,
            estimates=self._estimates,
            log=self._log,
            clock=clock,
            stall_seconds=stall_seconds,
        )
        self._broker: MemoryBroker = AmpleMemory()
        self._config = DiffusionServerConfig()
        self._info = ServerInfo("diffusion")
        self._worker = ImageWorker(
            self._queue,
            paint=self._paint,
            on_done=self._tell_done,
            on_failed=self._tell_failure,
            on_released=lambda: self._set(self._info.status, is_busy=False, pid=None),
            on_idle=self._tell_idle,
        )
        self._is_closed = False

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def set_memory_broker(self, broker: MemoryBroker) -> None:
        """Who makes room before each job. Set once, before the first job."""
        self._broker = broker

    # the server ---------------------------------------------------------------------------------------------

    async def start(self, config: DiffusionServerConfig) -> ServerInfo:
        """Make the service ready for a model. Raises ModelNotFoundError, EngineError, ModelFileError.

        While it runs, another configuration takes effect with the next job.
        """
        config = config.validated()
        if self._info.status in ("stopped", "crashed"):
            self._set("starting", error_code="", error_message="", error_remedy="", log_tail=())
        try:
            model = await self._models.get_model_info(config.model_id) if config.model_id else None
            if model is not None:
                await asyncio.to_thread(self._painter.check, model)
            command = await self._engine.command(ENGINE)
        except GenaiError as error:
            self._set(
                "stopped", error_code=error.code, error_message=error.message, error_remedy=error.remedy
            )
            raise
        self._config = config
        was_running = self._info.status == "running"
        self._set(
            "running",
            health="ok",
            model_id=config.model_id or None,
            model_name=model.name if model is not None else None,
            engine=command.label,
            started_at=self._info.started_at if was_running else self._clock(),
            generation=self._info.generation + (0 if was_running else 1),
            requested={name: getattr(config, name) for name in ("port", "threads", *SWITCHES)},
            error_code="",
            error_message="",
            error_remedy="",
        )
        if not was_running:
            self.events.emit("started", self._info)
        return self._info

    async def stop(self) -> None:
        """Cancel what is painted and what waits; returns when nothing of it runs."""
        if self._info.status == "stopped":
            return
        self._set("stopping")
        await self._worker.cancel_all()
        self._set(
            "stopped", health="unknown", pid=None, model_id=None, model_name=None, started_at=None,
            is_busy=False,
        )  # fmt: skip
        self.events.emit("stopped", self._info)

    async def restart(self) -> ServerInfo:
        """Stop, and start with the same configuration."""
        config = self._config
        await self.stop()
        return await self.start(config)

    def show_http(self, url: str | None, port: int | None) -> None:
        """Where the HTTP face listens, for the snapshot."""
        self._set(self._info.status, url=url, port=port)

    def get_status(self) -> ServerStatus:
        return self._info.status

    def get_info(self) -> ServerInfo:
        return self._info

    async def is_healthy(self) -> bool:
        """Is there an engine that could paint now?"""
        if self._info.status != "running":
            return False
        try:
            await self._engine.command(ENGINE)
        except GenaiError:
            return False
        return True

    def get_logs(self, lines: int = 100) -> list[str]:
        return [entry.to_line() for entry in self._log.entries(lines)]

    def get_structured_logs(self, lines: int = 100) -> list[LogEntry]:
        return list(self._log.entries(lines))

    def clear_logs(self) -> None:
        self._log.clear()

    # jobs ---------------------------------------------------------------------------------------------------

    def jobs(self) -> tuple[ImageJob, ...]:
        """The running one, then what waits in order, then what ended, newest first."""
        return self._queue.jobs()

    def job(self, job_id: str) -> ImageJob:
        """Raises NotFoundError."""
        return self._queue.entry(job_id).job

    @property
    def has_waiting(self) -> bool:
        """Is another job waiting behind the one being painted?"""
        return self._queue.has_waiting

    @property
    def is_busy(self) -> bool:
        """Something is painted or waits."""
        return self._queue.is_busy

    async def enqueue(
        self,
        config: ImageGenerationConfig,
        on_progress: OnProgress | None = None,
        *,
        only_if_idle: bool = False,
    ) -> str:
        """Put a job at the end of the queue; its id. It is on disk when this returns.

        only_if_idle: raise BusyError instead of waiting behind another one (there is no await between the
        question and the answer, so two callers cannot both be first). Raises InvalidInputError.
        """
        config = config.validated()
        if self._info.status == "stopping":
            raise BusyError("The image service is being stopped.", remedy="Try again in a moment.")
        return await self._worker.enqueue(config, on_progress, only_if_idle=only_if_idle)

    async def generate_image(
        self, config: ImageGenerationConfig, on_progress: OnProgress | None = None
    ) -> ImageResult:
        """Paint and wait. Behind others it waits its turn. Cancelling the caller cancels the job.

        Raises ImageError and what else keeps a picture from being made; core CancelledError when it was
        cancelled by its id.
        """
        job_id = await self.enqueue(config, on_progress)
        try:
            return await self.wait(job_id)
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.ensure_future(self.cancel(job_id)))
            raise

    async def wait(self, job_id: str) -> ImageResult:
        """Until the job has ended. Raises what made it fail."""
        return await self._worker.wait(job_id)

    async def cancel(self, job_id: str | None = None) -> bool:
        """Cancel a job, or the one being painted; whatever stage it is in, the hand-off included.

        Returns when nothing of it runs any more: True, or False when there was nothing to cancel.
        """
        return await self._worker.cancel(job_id)

    async def retry(self, job_id: str) -> str:
        """Put a failed or cancelled job at the end of the queue again. Raises NotFoundError."""
        await self._worker.retry(job_id)
        return job_id

    async def move(self, job_id: str, offset: int) -> None:
        """Move a waiting job earlier (negative) or later."""
        await self._queue.move(job_id, offset)

    async def dismiss(self, job_id: str) -> None:
        """Take a job that has ended off the list."""
        await self._queue.dismiss(job_id)

    async def estimate_seconds(self, config: ImageGenerationConfig) -> float | None:
        """How long such a job takes here; None when nothing comparable was ever painted."""
        model = await self.model_for(config)
        command = await self._engine.command(ENGINE)
        return await self._estimates.seconds(estimate_key(config, model, command.label), config)

    async def footprint(self, config: ImageGenerationConfig) -> ImageFootprint:
        """How much memory such a job needs."""
        model = await self.model_for(config)
        command = await self._engine.command(ENGINE)
        return await self._estimates.footprint(estimate_key(config, model, command.label), model)

    @property
    def peak_bytes(self) -> int:
        """The most memory the engine was seen to hold in the present or last run."""
        return self._painter.peak_bytes

    async def model_for(self, config: ImageGenerationConfig) -> ModelInfo:
        """The model a job would use: its own, the started one, the one of the settings."""
        settings = self._settings.current if self._settings is not None else None
        chosen = (
            config.model_id or self._config.model_id or (settings.default_image_model if settings else "")
        )
        if not chosen:
            raise ModelNotFoundError(
                "No image model is chosen.", remedy="Choose one in the Image Studio, or import one."
            )
        return await self._models.get_model_info(chosen)

    def report_stage(self, job_id: str, stage: ImageStage) -> None:
        """The broker tells what a job waits for."""
        with contextlib.suppress(GenaiError):
            entry = self._queue.entry(job_id)
            self._publish(entry, replace(entry.job.progress or ImageProgress(job_id, stage), stage=stage))

    # opening and closing ------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """At start-up: offer what a crash interrupted, adopt pictures it left unrecorded; how many jobs."""
        jobs = await self._queue.recover()
        await asyncio.to_thread(sweep_folders, self._paths.temp)
        await self._gallery.adopt(self._painter.images_folder())
        await self._gallery.purge()
        return jobs

    async def close(self) -> None:
        """End the engine; unfinished jobs stay on disk and are offered at the next start."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._worker.close()
        if self._info.status != "stopped":
            self._set("stopped", health="unknown", pid=None, is_busy=False)
            self.events.emit("stopped", self._info)
        await self._log.flush()

    # inside -------------------------------------------------------------------------------------------------

    def _tell_idle(self) -> None:
        self._broker.idle()

    def _tell_done(self, result: ImageResult) -> None:
        self._set(self._info.status, error_code="", error_message="", error_remedy="", log_tail=())
        self.events.emit("finished", result)

    def _tell_failure(self, error: GenaiError) -> None:
        self._log.add(f"failed: {error.message}", "app")
        self._set(
            self._info.status,
            error_code=error.code,
            error_message=error.message,
            error_remedy=error.remedy,
            log_tail=tuple(error.details.get("log", ()))[-40:],
        )
        if error.code in ("ENGINE_CRASHED", "OUT_OF_MEMORY"):
            self.events.emit("crashed", self._info)

    async def _paint(self, entry: Entry) -> ImageResult:
        config = entry.job.config
        if self._info.status != "running":
            await self.start(replace(self._config, model_id=config.model_id or self._config.model_id))
        model = await self.model_for(config)
        await asyncio.to_thread(self._painter.check, model)
        command = await self._engine.command(ENGINE)
        self._set(
            self._info.status, is_busy=True, model_id=model.id, model_name=model.name, engine=command.label
        )
        job_id = entry.job.id
        async with self._broker.memory_for(entry.job) as grant:
            painting = Painting(
                job_id=job_id,
                config=config,
                server=self._config,
                model=model,
                command=command,
                grant=grant,
                on_progress=lambda progress: self._publish(entry, progress),
                on_started=lambda pid, argv, options: self._set(
                    self._info.status, pid=pid, command_line=argv, effective=options
                ),
            )
            images, seconds = await self._painter.paint(painting)
            # they are in the gallery before the memory is given back: nobody waits for the language model
            return ImageResult(job_id, images, seconds, grant.handoff)

    def _publish(self, entry: Entry, progress: ImageProgress) -> None:
        self._queue.progress(entry, progress)
        self.events.emit("progress", progress)

    def _jobs_changed(self) -> None:
        self.events.emit("jobs_changed", self._queue.jobs())

    def _set(self, status: ServerStatus, **changes: Any) -> None:
        before = self._info
        self._info = replace(before, status=status, **changes)
        if self._info == before:
            return
        self.events.emit("changed", self._info)
        if self._info.status != before.status:
            self.events.emit("status_changed", self._info)
