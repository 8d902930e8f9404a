"""The composition of all services, shared by the window, the command line, the HTTP faces and scripts."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from genai_desktop.core.errors import CancelledError, GenaiError, InvalidInputError, ModelNotFoundError
from genai_desktop.core.recovery import Recovery
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.sessions import SessionFile

if TYPE_CHECKING:
    from genai_desktop.core.images import ImageGenerationConfig
    from genai_desktop.core.launch import LlamaServerConfig
    from genai_desktop.core.models import FitBadge, ModelDetails, ModelInfo
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.core.settings import Settings
    from genai_desktop.core.telemetry import EventMarker
    from genai_desktop.engines.process import ProcessLauncher

_log = logging.getLogger(__name__)
T = TypeVar("T")
EVENTS_KEPT = 30 * 86_400.0  # seconds of the event log kept on disk


class GenAI:
    """Everything the program can do. Build it with `GenAI.open`, end it with `close`.

    Attributes: paths, settings, system, telemetry, jobs, models, hub, engines, llama, conversations, gallery,
    diffusion, orchestrator. All methods belong to the loop that opened it.
    """

    def __init__(self, paths: DataPaths, launcher: ProcessLauncher, *, offline: bool = False) -> None:
        from genai_desktop.engines.ledger import Ledger
        from genai_desktop.library.database import Database
        from genai_desktop.library.gallery import Gallery
        from genai_desktop.library.models import ModelShelf
        from genai_desktop.library.settings import SettingsStore
        from genai_desktop.library.transfer import TransferEngine
        from genai_desktop.services.conversations import ConversationService
        from genai_desktop.services.diffusion_server import DiffusionServerManager
        from genai_desktop.services.engine_manager import EngineManager
        from genai_desktop.services.event_log import EventLog
        from genai_desktop.services.hub import HubService
        from genai_desktop.services.jobs import JobBoard
        from genai_desktop.services.llama_server import LlamaServerManager
        from genai_desktop.services.model_manager import ModelManager
        from genai_desktop.services.orchestrator import ResourceOrchestrator
        from genai_desktop.services.system_info import SystemInfo
        from genai_desktop.services.telemetry import Telemetry

        self.paths = paths
        self.launcher = launcher
        self._offline_by_argument = offline
        self.database = Database(paths.database)
        self.settings = SettingsStore(paths.settings)
        self.ledger = Ledger(paths.runtime)
        self.system = SystemInfo()
        self.telemetry = Telemetry()
        self.jobs = JobBoard()
        self.transfers = TransferEngine(is_offline=lambda: self.is_offline)
        self.models = ModelManager(
            shelf=ModelShelf(self.database, paths),
            paths=paths,
            settings=self.settings,
            transfers=self.transfers,
            jobs=self.jobs,
        )
        self.hub = HubService(
            models=self.models,
            system=self.system,
            is_offline=lambda: self.is_offline,
            held=lambda: self.telemetry.held_by("llama"),
        )
        self.engines = EngineManager(
            paths=paths, settings=self.settings, launcher=launcher, models=self.models, database=self.database
        )
        self.llama = LlamaServerManager(
            launcher=launcher,
            engine=self.engines,
            models=self.models,
            paths=paths,
            ledger=self.ledger,
            system=self.system,
        )
        self.conversations = ConversationService(
            database=self.database, llama=self.llama, settings=self.settings
        )
        self.gallery = Gallery(self.database, paths)
        self.diffusion = DiffusionServerManager(
            launcher=launcher,
            engine=self.engines,
            models=self.models,
            paths=paths,
            ledger=self.ledger,
            gallery=self.gallery,
            database=self.database,
            settings=self.settings,
        )
        self.orchestrator = ResourceOrchestrator(
            llama=self.llama,
            diffusion=self.diffusion,
            conversations=self.conversations,
            system=self.system,
            settings=self.settings,
            telemetry=self.telemetry,
            models=self.models,
            paths=paths,
        )
        self.session = SessionFile(paths.runtime)
        self._wanted_llm: LlamaServerConfig | None = None  # what a person asked for last
        self.recovery = Recovery()  # what an earlier run left unfinished
        self._put_aside = ""  # model that a killed predecessor had put aside, with its conversation
        self.events = EventLog(self.database, self.telemetry, self.session)
        self._closers: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        self._is_closed = False

    # opening and closing ----------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        data_dir: str | Path | None = None,
        *,
        launcher: ProcessLauncher | None = None,
        offline: bool = False,
        with_telemetry: bool = True,
    ) -> GenAI:
        """Open the data folder and all services; nothing is started.

        Raises StorageError when the folder cannot be written or the database is newer or damaged.
        """
        if launcher is None:
            from genai_desktop.engines.process import AsyncioLauncher

            launcher = AsyncioLauncher()
        paths = DataPaths.resolve(None if data_dir is None else str(data_dir))
        await asyncio.to_thread(paths.ensure)
        genai = cls(paths, launcher, offline=offline)
        try:
            await genai._open(with_telemetry)
        except BaseException:
            await genai.close()
            raise
        return genai

    async def _open(self, with_telemetry: bool) -> None:
        await asyncio.to_thread(self.database.open)
        await asyncio.to_thread(self.settings.load)
        await self._recover()
        self.events.follow("llama", self.llama)
        self.events.follow("diffusion", self.diffusion)
        if with_telemetry:
            self.telemetry.start()

    async def _recover(self) -> None:
        """End leftover children, mark what was cut, remember what can be offered."""
        ended = await asyncio.to_thread(self.ledger.sweep)
        for text in ended:
            _log.warning("ended a leftover of an earlier run: %s", text)
        crashed = await asyncio.to_thread(self.session.take_crashed)
        await asyncio.to_thread(self.session.update)
        messages = await self.conversations.recover()
        images = await self.diffusion.recover()
        suspended = await self.orchestrator.recover()
        model_id = suspended.config.model_id if suspended is not None else ""
        self._put_aside = model_id
        for values in crashed:
            model_id = model_id or str(values.get("model_id") or "")
        name = ""
        if model_id:
            try:
                name = (await self.models.get_model_info(model_id)).name
            except ModelNotFoundError:
                model_id = ""
        self.recovery = Recovery(model_id, name, tuple(ended), messages, images)

    async def close(self) -> None:
        """Stop everything, children first; idempotent; never raises for a part that fails to close."""
        if self._is_closed:
            return
        self._is_closed = True
        for name, step in (
            *self._closers,
            ("jobs", self.jobs.close),
            ("orchestrator", self.orchestrator.close),
            ("images", self.diffusion.close),
            ("conversations", self.conversations.close),
            ("language model", self.llama.close),
            ("telemetry", self._stop_telemetry),
            ("events", self.events.close),
        ):
            try:
                await step()
            except Exception:  # noqa: BLE001 - the next part must still be closed; this one is told
                _log.exception("closing %s failed", name)
        await asyncio.to_thread(self.database.close)
        await asyncio.to_thread(self.session.close)

    def on_close(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        """Run `step` before the services close; for what was built on top of them."""
        self._closers.append((name, step))

    def kill_children(self) -> None:
        """Last resort at the deadline of a shutdown: kill every child group now."""
        self.ledger.kill_all()

    async def _stop_telemetry(self) -> None:
        await self.telemetry.stop()

    # use cases that span services -------------------------------------------------------------------------

    @property
    def is_offline(self) -> bool:
        """No outbound request: by `--offline` or by the setting."""
        return self._offline_by_argument or self.settings.current.offline

    async def load_llm(self, model_id: str, options: dict[str, Any] | None = None) -> ServerInfo:
        """Start the server with a model.

        A running one is stopped first. Of several calls at once the last one counts: the others raise our
        CancelledError. options: LlamaServerConfig values.
        """
        from genai_desktop.core.launch import LlamaServerConfig

        settings = self.settings.current
        if self._put_aside == model_id and not options:
            self._put_aside = ""
            await self.orchestrator.resume_llm()
            return self.llama.get_info()
        values: dict[str, Any] = {
            "port": settings.llama_port or "auto",
            **dict(settings.llm.get("", {})),
            **dict(settings.llm.get(model_id, {})),
            **(options or {}),
        }
        config = self._wanted_llm = LlamaServerConfig.from_mapping({**values, "model_id": model_id})
        model = await self.models.get_model_info(model_id)
        # what the engine itself lists decides where layers may go: a build without CUDA uses no card
        self.system.use_engine_devices(await self.engines.devices("llama.cpp"))

        def check_wanted() -> None:
            if self._wanted_llm != config:
                raise CancelledError("Another model was chosen meanwhile, or none.")

        async def load(_: object) -> ServerInfo:
            check_wanted()
            if self.orchestrator.is_away:
                await self.orchestrator.clear_saved_state()
            if self.llama.get_status() != "stopped" and not self.llama.is_starting(config):
                await self.llama.stop()
            check_wanted()
            return await self.llama.start(config)

        info: ServerInfo = await self.jobs.run("load", f"Loading {model.name}", load)
        await self.models.touch(model_id)
        if self.settings.current.default_llm != model_id:
            await self.update_settings(default_llm=model_id)
        return info

    async def start_server(self, name: str, model_id: str = "") -> None:
        """Start "llama" (model: given, last used, or the Guide) or "diffusion"."""
        if name == "llama":
            await self.load_llm(model_id or await self.default_llm())
            return
        from genai_desktop.core.sd_launch import DiffusionServerConfig

        chosen = model_id or await self.default_image_model()
        port: int | Literal["auto"] = self.settings.current.image_port or "auto"
        await self.diffusion.start(DiffusionServerConfig(model_id=chosen, port=port))

    async def stop_server(self, name: str) -> None:
        """At a person's wish: a language model that has stepped aside is not brought back either."""
        if name != "llama":
            await self.diffusion.stop()
            return
        self._wanted_llm = None
        if self.orchestrator.is_away:
            await self.orchestrator.clear_saved_state()
        await self.llama.stop()

    async def restart_server(self, name: str) -> None:
        if name == "llama":
            await self.llama.restart()
            return
        model_id = self.diffusion.get_info().model_id or ""
        await self.diffusion.stop()
        await self.start_server("diffusion", model_id)

    async def default_llm(self) -> str:
        """The model the person used last, else any that is there, else the carried one."""
        models = [m for m in await self.models.list_models("llm") if not m.missing]
        wanted = self.settings.current.default_llm
        if any(m.id == wanted for m in models):
            return wanted
        if not models:
            raise ModelNotFoundError(
                "There is no language model yet.", remedy="Import or download one in the Models tab."
            )
        own = [m for m in models if m.source != "builtin"]
        return max(own or models, key=lambda m: (m.last_used_at or 0.0, m.added_at)).id

    async def default_image_model(self) -> str:
        models = [m for m in await self.models.list_models("diffusion") if not m.missing]
        wanted = self.settings.current.default_image_model
        if any(m.id == wanted for m in models):
            return wanted
        if not models:
            raise ModelNotFoundError(
                "There is no image model yet.",
                remedy="Import one in the Models tab: a checkpoint, or its parts by role.",
            )
        return max(models, key=lambda m: (m.last_used_at or 0.0, m.added_at)).id

    async def enqueue_image(self, config: ImageGenerationConfig) -> str:
        """Put a picture into the queue, with the person's image model when none is named; the job's id."""
        if not config.model_id:
            config = replace(config, model_id=await self.default_image_model())
        job_id = await self.diffusion.enqueue(config)
        await self.models.touch(config.model_id)
        if self.settings.current.default_image_model != config.model_id:
            await self.update_settings(default_image_model=config.model_id)
        return job_id

    async def cancel_job(self, job_id: str) -> None:
        """Cancel whatever has this id: a job of the board, or an image."""
        if not self.jobs.cancel(job_id):
            await self.diffusion.cancel(job_id)

    async def import_paths(self, paths: tuple[str, ...]) -> tuple[ModelInfo, ...]:
        """Import files and folders in place; what is refused raises after the others were imported."""
        found: list[ModelInfo] = []
        errors: list[GenaiError] = []
        for path in paths:
            try:
                if await asyncio.to_thread(Path(path).is_dir):
                    found.extend(await self.models.import_folder(path))
                else:
                    found.append(await self.models.import_model(path))
            except GenaiError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return tuple(found)

    async def import_components(self, name: str, components: dict[str, str]) -> tuple[ModelInfo, ...]:
        """One image model of several files by role."""
        if "diffusion_model" not in components:
            raise InvalidInputError(
                "The diffusion model itself is missing.",
                remedy="Choose a file for the role 'diffusion model'.",
            )
        main = components["diffusion_model"]
        return (
            await self.models.import_model(main, name=name or None, type="diffusion", components=components),
        )

    async def ensure_test_image_model(self) -> str:
        """Id of the person's image model, else of a tiny random one, made now (78 MB, under a second)."""
        from genai_desktop.library.image_test_set import tiny_flux_set

        models = [m for m in await self.models.list_models("diffusion") if not m.missing]
        if models:
            return await self.default_image_model()
        files = await asyncio.to_thread(tiny_flux_set, self.paths.root / "test-set")
        parts = {role: str(path) for role, path in files.items()}
        (model,) = await self.import_components("Test pattern (random weights)", parts)
        return model.id

    async def remove_model(self, model_id: str) -> int:
        """Bytes freed. A model in use is unloaded first."""
        saved = self.orchestrator.get_saved_state()
        if saved is not None and saved.config.model_id == model_id:
            await self.orchestrator.clear_saved_state()
        if self.llama.get_info().model_id == model_id:
            await self.llama.stop()
        if self.diffusion.get_info().model_id == model_id:
            await self.diffusion.stop()
        return await self.models.delete_model(model_id)

    async def free_for(self, model: ModelInfo) -> tuple[int, tuple[int, ...]]:
        """Bytes of RAM and of VRAM per GPU that a start of this model could use.

        Free now plus what unloading frees.
        """
        free = await self.system.free_memory()
        ours = self.telemetry.held_by("llama") if model.type == "llm" else (0, ())
        ram = int(free["ram"]) + ours[0]
        vram = tuple(
            int(v) + (ours[1][i] if i < len(ours[1]) else 0) for i, v in enumerate(free.get("vram", ()))
        )
        return ram, vram

    async def model_details(self, model_id: str, *, n_ctx: int = 0, cache_type: str = "f16") -> ModelDetails:
        model = await self.models.get_model_info(model_id)
        ram, vram = await self.free_for(model)
        return await self.models.details(
            model_id, n_ctx=n_ctx, cache_type=cache_type, free_ram=ram, free_vram=vram
        )

    async def fit_badges(self) -> dict[str, FitBadge]:
        """A short fit answer for every model on the shelf."""
        badges: dict[str, FitBadge] = {}
        for model in await self.models.list_models():
            ram, vram = await self.free_for(model)
            badges[model.id] = await self.models.fit_badge(model, free_ram=ram, free_vram=vram)
        return badges

    async def disk_space(self) -> tuple[int, int]:
        """Free and total bytes of the disk the models are on."""
        usage = await asyncio.to_thread(shutil.disk_usage, self.paths.root)
        return usage.free, usage.total

    async def update_settings(self, **changes: Any) -> Settings:
        return await asyncio.to_thread(lambda: self.settings.update(**changes))

    async def remember_ui(self, values: dict[str, Any]) -> None:
        """Merge what the window wants to find again."""
        merged = {**self.settings.current.ui, **values}
        if merged != self.settings.current.ui:
            await self.update_settings(ui=merged)

    async def read_recipe(self, path: str) -> dict[str, Any]:
        """Settings stored in a picture; InvalidInputError when it holds none."""
        from genai_desktop.library.gallery import read_recipe

        recipe = await asyncio.to_thread(read_recipe, Path(path))
        if not recipe:
            raise InvalidInputError(
                "This picture holds no settings.",
                remedy="Drop a PNG that was made here, or with a tool that stores its parameters.",
            )
        return dict(recipe)

    # events -----------------------------------------------------------------------------------------------

    async def markers(self, seconds: float) -> tuple[EventMarker, ...]:
        """The event log of the last `seconds`, oldest first, earlier runs included."""
        return await self.events.markers(seconds)

    # diagnostics ------------------------------------------------------------------------------------------

    async def doctor(self) -> dict[str, Any]:
        """The last JSON object of `doctor` (spec: command line)."""
        from genai_desktop.services.reports import doctor

        return await doctor(self)

    async def diagnostics(self) -> str:
        """What a bug report needs, as text: no keys, no prompts, the home folder shortened."""
        from genai_desktop.services.reports import diagnostics

        return await diagnostics(self)


@asynccontextmanager
async def open(data_dir: str | Path | None = None, *, offline: bool = False) -> AsyncIterator[GenAI]:
    """All services, closed at the end of the block, whatever happened in it."""
    genai = await GenAI.open(data_dir, offline=offline)
    try:
        yield genai
    finally:
        await genai.close()


def run(work: Callable[[GenAI], Coroutine[Any, Any, T]], data_dir: str | Path | None = None) -> T:
    """For scripts without a loop: open, do `work(genai)`, close, return its result."""

    async def main() -> T:
        async with open(data_dir) as genai:
            return await work(genai)

    return asyncio.run(main())
