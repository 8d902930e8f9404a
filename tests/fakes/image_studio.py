"""A whole image service on the fake engine: real database, gallery, ledger and child processes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from genai_desktop.core.builds import EngineBuild, EngineCommand, EngineName
from genai_desktop.core.errors import EngineError, ModelNotFoundError
from genai_desktop.core.images import ImageGenerationConfig, ImageJob, ImageProgress, ImageResult
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.process import AsyncioLauncher
from genai_desktop.library.database import Database
from genai_desktop.library.gallery import Gallery
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.settings import SettingsStore
from genai_desktop.services.diffusion_server import DiffusionServerManager
from tests.fakes import fake_sd_cli

CONFIG = ImageGenerationConfig(prompt="a cat", width=64, height=64, steps=2, seed=42, model_id="tiny")


class FakeEngines:
    """The engine in use is the fake; `plan` says how it behaves, also while it runs."""

    def __init__(self, folder: Path) -> None:
        self._plan = folder / "plan.json"
        self.runs = folder / "runs.txt"
        self.is_missing = False
        self.plan()

    def plan(self, **values: Any) -> None:
        self._plan.write_text(json.dumps({"runs": str(self.runs), **values}))

    async def command(self, engine: EngineName) -> EngineCommand:
        if self.is_missing:
            raise EngineError("No image engine is installed.", remedy="Install one.")
        build = EngineBuild(engine, "own", "fake", str(fake_sd_cli.__file__), "in-use")
        argv = (sys.executable, str(fake_sd_cli.__file__), str(self._plan))
        return EngineCommand(build, argv, fake_sd_cli.FLAGS)

    def pids(self, event: str = "start") -> list[int]:
        if not self.runs.exists():
            return []
        lines = (line.split() for line in self.runs.read_text().splitlines())
        return [int(pid) for what, pid in lines if what == event]


class FakeModels:
    def __init__(self, folder: Path) -> None:
        path = folder / "tiny.gguf"
        path.write_bytes(b"GGUF" * 256)
        self.model = ModelInfo("tiny", "Tiny", "diffusion", str(path), 1024, (ModelFile(str(path), 1024),))
        self.touched: list[str] = []

    async def get_model_info(self, model_id: str) -> ModelInfo:
        if model_id != "tiny":
            raise ModelNotFoundError(f"There is no model {model_id!r}.")
        return self.model

    async def touch(self, model_id: str) -> None:
        self.touched.append(model_id)


class Studio:
    """Open with `async with`; `reopen` is what a restart of the program is."""

    def __init__(self, root: Path, **more: Any) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.more = more
        self.paths = DataPaths(root / "data").ensure()
        self.engines = FakeEngines(root)
        self.models = FakeModels(root)
        self.settings = SettingsStore(self.paths.settings)
        self.progress: list[ImageProgress] = []
        self.finished: list[ImageResult] = []
        self.infos: list[ServerInfo] = []
        self.jobs: list[tuple[ImageJob, ...]] = []
        self._open()

    def _open(self) -> None:
        self.database = Database(self.paths.database)
        self.database.open()
        self.gallery = Gallery(self.database, self.paths)
        self.diffusion = DiffusionServerManager(
            launcher=AsyncioLauncher(),
            engine=self.engines,
            models=self.models,
            paths=self.paths,
            ledger=Ledger(self.paths.runtime),
            gallery=self.gallery,
            database=self.database,
            settings=self.settings,
            **self.more,
        )
        self.diffusion.on("progress", self.progress.append)
        self.diffusion.on("finished", self.finished.append)
        self.diffusion.on("changed", self.infos.append)
        self.diffusion.on("jobs_changed", self.jobs.append)

    async def __aenter__(self) -> Studio:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.diffusion.close()
        self.database.close()

    async def reopen(self) -> None:
        await self.close()
        self._open()

    def hold(self, stage: str, **plan: Any) -> Path:
        """Let the engine wait at a stage; the folder in which `<stage>.go` lets it go on."""
        gate = self.root / "gate"
        gate.mkdir(exist_ok=True)
        for old in gate.iterdir():
            old.unlink()
        (gate / f"{stage}.hold").touch()
        self.engines.plan(gate=str(gate), **plan)
        return gate

    def living(self) -> list[int]:
        """Engine processes that are still there."""
        return [pid for pid in self.engines.pids() if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def seeded(seed: int) -> ImageGenerationConfig:
    return replace(CONFIG, seed=seed)
