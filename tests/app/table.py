"""A table with both real engines on it: the language model steps aside for every picture."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.services.genai import GenAI
from tests.aio import until
from tests.app.faults import Scene, engines, image_model, opened


class Table(Scene):
    """A loaded language model that always steps aside, and a picture to be painted."""

    def __init__(self, genai: GenAI, config: ImageGenerationConfig) -> None:
        super().__init__(genai)
        self.config = config

    @property
    def long(self) -> ImageGenerationConfig:
        """Time enough for something to go wrong."""
        return replace(self.config, width=256, height=256, steps=200)

    async def begin(self, config: ImageGenerationConfig | None = None) -> str:
        """A turn that must work, then a picture; its job. What was told before is forgotten."""
        await self.answered()
        self.phases.clear()
        self.progress.clear()
        return await self.genai.diffusion.enqueue(config or self.config)

    async def reaches(self, moment: str) -> None:
        """A phase of the hand-off, or "painting"."""
        if moment == "painting":
            await self.paints()
        else:
            await self.enters(moment)

    async def settled(self) -> str:
        """Until no hand-off is under way; what its report complains of."""
        report = await self.genai.orchestrator.wait_for_reload()
        assert report is not None
        return report.error

    async def back(self) -> str:
        """The language model runs and answers, nothing of the hand-off is left; what was complained of."""
        error = await self.settled()
        assert self.info.status == "running"
        assert len(engines()) == 1
        assert self.is_tidy()
        assert not self.genai.orchestrator.is_away
        assert not self.genai.conversations.state().is_suspended
        await self.answered("And then?")
        return error

    def is_tidy(self) -> bool:
        """No saved slot, no note about a suspended model, no half picture."""
        paths = self.genai.paths
        left = (*paths.slots.iterdir(), *paths.runtime.glob("suspended-*"), *paths.temp.iterdir())
        return not left and all(path.suffix == ".png" for path in paths.gallery.iterdir())


@asynccontextmanager
async def table(home: Path, files: dict[str, Path], model: str = "guide") -> AsyncIterator[Table]:
    """Opened, with this model loaded; "" loads none."""
    async with opened(home) as scene:
        laid = Table(scene.genai, await image_model(scene.genai, files))
        await laid.genai.update_settings(step_aside="always")
        if model:
            await laid.genai.load_llm(model)
            await until(lambda: laid.info.status == "running")
        yield laid
