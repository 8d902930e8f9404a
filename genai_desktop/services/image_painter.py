"""From a job to pictures in the gallery: seed, switches, engine runs and retries, progress, recipe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genai_desktop.core.errors import GenaiError, ImageError, ModelNotFoundError, StorageError
from genai_desktop.core.images import MAX_SEED, GeneratedImage, ImageGenerationConfig, ImageProgress
from genai_desktop.core.progress import EstimateKey, ProgressTracker, StageTimes
from genai_desktop.core.recipe import make_recipe
from genai_desktop.core.sd_launch import (
    DiffusionServerConfig,
    SdMemory,
    SdOptions,
    aligned_size,
    check_model,
    decode_bytes,
    part_sizes,
    relieved,
    resolve_options,
)
from genai_desktop.core.sd_output import SdEvent, SdLine
from genai_desktop.engines.sd_cli import SdListener, SdOutcome, SdRun, job_folder, run_sd
from genai_desktop.services.image_estimates import ImageEstimates, estimate_key

if TYPE_CHECKING:
    from genai_desktop.core.builds import EngineCommand, EngineName
    from genai_desktop.core.models import ModelInfo
    from genai_desktop.engines.ledger import Ledger
    from genai_desktop.engines.logs import ProcessLog
    from genai_desktop.engines.process import ProcessLauncher
    from genai_desktop.library.gallery import Gallery
    from genai_desktop.library.paths import DataPaths
    from genai_desktop.library.settings import SettingsStore
    from genai_desktop.services.memory_broker import MemoryGrant

_log = logging.getLogger(__name__)

ENGINE: EngineName = "stable-diffusion.cpp"
CHILD = "diffusion"
TICK_SECONDS = 0.2
MIN_INTERVAL = 1 / 30  # seconds between two progress lines of the same stage


class EngineProvider(Protocol):
    async def command(self, engine: EngineName) -> EngineCommand:
        """How to start the engine in use. Raises EngineError when there is none."""
        ...


class ModelProvider(Protocol):
    async def get_model_info(self, model_id: str) -> ModelInfo:
        """Raises ModelNotFoundError."""
        ...

    async def touch(self, model_id: str) -> None:
        """It was used now."""


@dataclass(frozen=True)
class Painting:
    """One job with everything decided but the seed and the switches."""

    job_id: str
    config: ImageGenerationConfig
    server: DiffusionServerConfig
    model: ModelInfo
    command: EngineCommand
    grant: MemoryGrant
    on_progress: Callable[[ImageProgress], None]
    on_started: Callable[[int, tuple[str, ...], Mapping[str, Any]], None]


class ImagePainter:
    """Knows how to run one job. Holds no state of jobs."""

    def __init__(
        self,
        *,
        launcher: ProcessLauncher,
        models: ModelProvider,
        paths: DataPaths,
        ledger: Ledger,
        gallery: Gallery,
        settings: SettingsStore | None,
        estimates: ImageEstimates,
        log: ProcessLog,
        clock: Callable[[], float],
        stall_seconds: float,
    ) -> None:
        self._launcher = launcher
        self._models = models
        self._paths = paths
        self._ledger = ledger
        self._gallery = gallery
        self._settings = settings
        self._estimates = estimates
        self._log = log
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._follower: _Follower | None = None  # of the last run

    @property
    def peak_bytes(self) -> int:
        """The most memory the last (or present) run was seen to hold; 0 before it was seen."""
        return self._follower.peak_bytes if self._follower is not None else 0

    def check(self, model: ModelInfo) -> None:
        """Is the model complete? Blocking. Raises ModelFileError, ModelNotFoundError."""
        check_model(model)
        for path in [file.path for file in model.files] or [model.path]:
            if not Path(path).exists():
                raise ModelNotFoundError(
                    f"A file of the image model '{model.name}' is gone: {path}.",
                    remedy="Bring the file back, or import the model again in the Models tab.",
                )

    def images_folder(self) -> Path:
        """Where finished pictures are kept."""
        chosen = self._settings.current.images_folder if self._settings is not None else ""
        return Path(chosen) if chosen else self._paths.gallery

    async def paint(self, painting: Painting) -> tuple[tuple[GeneratedImage, ...], float]:
        """The pictures in the gallery, and the seconds it took (tries that ran out of memory included).

        After the engine ran out of memory it is tried again with the next sacrifice "auto" may make.
        Raises ImageError, StorageError.
        """
        config = _with_seed(painting.config)
        painting = replace(painting, config=config)
        options = self._options(painting)
        key = estimate_key(config, painting.model, painting.command.label)
        times = await self._estimates.times(key)
        began = time.monotonic()
        floor = 0.0
        while True:
            follower = self._follower = _Follower(painting, times, floor)
            try:
                async with job_folder(self._paths.temp) as folder:
                    outcome = await self._run(painting, options, folder, follower)
                    images = await self._deliver(painting, outcome, options)
            except ImageError as error:
                has_gpu = painting.grant.vram_free is not None
                easier = relieved(options, painting.server, has_gpu=has_gpu)
                if error.code != "OUT_OF_MEMORY" or easier is None:
                    raise
                self._log.add(f"out of memory; trying again with {_difference(options, easier)}", "app")
                options, floor = easier, follower.percent
                continue
            follower.finish()
            await self._learn(painting, key, follower)
            return images, time.monotonic() - began

    # one run ------------------------------------------------------------------------------------------------

    async def _run(
        self, painting: Painting, options: SdOptions, folder: Path, follower: _Follower
    ) -> SdOutcome:
        def started(pid: int, argv: tuple[str, ...]) -> None:
            self._ledger.record(CHILD, pid, None, argv[0])
            self._log.add(f"started process {pid}: {' '.join(painting.command.argv)}", "app")
            follower.watch(pid)
            painting.on_started(pid, argv, asdict(options))

        def line(said: SdLine) -> None:
            self._log.add(said.text, said.stream)

        run = SdRun(
            command=painting.command,
            config=painting.config,
            model=painting.model,
            folder=folder,
            options=options,
            threads=painting.server.threads,
            extra_args=painting.server.extra_args,
            environment=tuple(self._ledger.environment().items()),
        )
        ticking = asyncio.ensure_future(follower.tick())
        try:
            return await run_sd(
                self._launcher,
                run,
                SdListener(started, follower.feed, line),
                stall_seconds=self._stall_seconds,
            )
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            self._ledger.forget(CHILD)

    def _options(self, painting: Painting) -> SdOptions:
        width, height = aligned_size(painting.config, painting.model)
        text, diffusion, vae = part_sizes(painting.model)
        grant = painting.grant
        memory = SdMemory(
            text, diffusion, vae, decode_bytes(width, height) // 2, grant.vram_free, grant.ram_free
        )
        return resolve_options(painting.server, painting.model, width, height, memory)

    async def _deliver(
        self, painting: Painting, outcome: SdOutcome, options: SdOptions
    ) -> tuple[GeneratedImage, ...]:
        images = []
        for file in outcome.files:
            image = GeneratedImage(str(file.path), file.seed, file.width, file.height)
            recipe = make_recipe(
                painting.config,
                image,
                painting.model,
                engine=painting.command.label,
                options=asdict(options),
                seconds=outcome.seconds,
                created_at=self._clock(),
            )
            images.append(replace(image, path=await self._keep(image, recipe)))
        return tuple(images)

    async def _keep(self, image: GeneratedImage, recipe: Mapping[str, Any]) -> str:
        """Where the picture is now. A folder that cannot be written must not cost the picture."""
        folder = self.images_folder()
        try:
            return (await self._gallery.add(image, recipe, folder=folder)).path
        except StorageError as error:
            if folder == self._paths.gallery:
                raise
            self._log.add(f"{error.message} The picture is kept in {self._paths.gallery}.", "app")
            return (await self._gallery.add(image, recipe, folder=self._paths.gallery)).path

    async def _learn(self, painting: Painting, key: EstimateKey, follower: _Follower) -> None:
        # resident memory tells what is needed only where the processor computes
        peak = 0 if painting.grant.vram_free is not None else follower.peak_bytes
        await self._estimates.learn(key, follower.measured(), peak)
        try:
            await self._models.touch(painting.model.id)
        except GenaiError as error:
            _log.warning("the use of a model could not be noted: %s", error.message)


class _Follower:
    """Events of one run to progress lines, monotonic over retries; and the memory it takes."""

    def __init__(self, painting: Painting, times: StageTimes | None, floor: float) -> None:
        self._painting = painting
        self._tracker = ProgressTracker(
            painting.job_id,
            steps=painting.config.steps,
            images=painting.config.count,
            started=time.monotonic(),
            times=times,
        )
        self._last: ImageProgress | None = None
        self._last_time = float("-inf")
        self._pid: int | None = None
        self.percent = floor
        self.peak_bytes = 0

    def watch(self, pid: int) -> None:
        self._pid = pid

    def feed(self, events: list[SdEvent]) -> None:
        now = time.monotonic()
        self._tracker.feed(events, now)
        self._emit(now)

    async def tick(self) -> None:
        """Time passes between events too."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._emit(time.monotonic())
            if self._pid is not None:
                self.peak_bytes = max(self.peak_bytes, await asyncio.to_thread(_resident, self._pid))

    def finish(self) -> None:
        self._tracker.finish(time.monotonic())
        self._emit(time.monotonic())

    def measured(self) -> StageTimes | None:
        return self._tracker.measured()

    def _emit(self, now: float) -> None:
        progress = self._tracker.at(now)
        self.percent = max(self.percent, progress.percent)
        progress = replace(progress, percent=self.percent)
        if progress == self._last:
            return
        is_new_stage = self._last is None or progress.stage != self._last.stage
        if not is_new_stage and now - self._last_time < MIN_INTERVAL:
            return
        self._last, self._last_time = progress, now
        self._painting.on_progress(progress)


def _with_seed(config: ImageGenerationConfig) -> ImageGenerationConfig:
    """A random seed is chosen here, so that it is known, and so that those of a batch are seeds too."""
    if config.seed >= 0:
        return config
    return replace(config, seed=secrets.randbelow(MAX_SEED - config.count + 2))


def _difference(before: SdOptions, after: SdOptions) -> str:
    return ", ".join(name for name, is_on in asdict(after).items() if is_on and not getattr(before, name))


def _resident(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
