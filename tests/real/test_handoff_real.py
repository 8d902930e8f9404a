"""The main promise with both real engines: the language model steps aside, comes back, and still knows."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.core.chat import ChatMessage, SamplingParameters
from genai_desktop.core.errors import ImageError
from genai_desktop.core.images import HandoffReport, ImageGenerationConfig, ImageProgress
from genai_desktop.engines import embedded
from genai_desktop.services.genai import GenAI
from tests.aio import run, until
from tests.real.models import tiny_flux_set
from tests.real.test_image_real import engines

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (embedded.is_available("sd-cli") and embedded.is_available("llama-server")),
        reason="an embedded engine is not installed",
    ),
]
SHORT = SamplingParameters(max_tokens=24, seed=1, temperature=0.0)
LONG = SamplingParameters(max_tokens=400, seed=1, temperature=1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


class Desk:
    """The program with the Guide loaded, an image model, and one conversation."""

    def __init__(self, genai: GenAI, config: ImageGenerationConfig) -> None:
        self.genai = genai
        self.config = config
        self.messages: dict[str, ChatMessage] = {}
        self.states: list[dict[str, Any]] = []
        self.reports: list[HandoffReport] = []
        genai.conversations.on("message_changed", self._note)
        genai.orchestrator.on("state_changed", self.states.append)
        genai.orchestrator.on("handoff", self.reports.append)
        self.conversation = ""

    def _note(self, message: ChatMessage) -> None:
        self.messages[message.id] = message

    async def say(self, text: str, sampling: SamplingParameters = SHORT) -> str:
        """Send; the id of the reply."""
        if not self.conversation:
            self.conversation = (await self.genai.conversations.create()).summary.id
        return await self.genai.conversations.send(self.conversation, text, sampling=sampling)

    async def answered(self, reply: str) -> ChatMessage:
        await until(lambda: reply in self.messages and self.messages[reply].state == "done", 60)
        return self.messages[reply]

    def llms(self) -> list[int]:
        return [
            child.pid
            for child in psutil.Process().children(recursive=True)
            if child.status() != psutil.STATUS_ZOMBIE and "llama-server" in child.cmdline()
        ]

    async def assert_back(self) -> None:
        report = await self.genai.orchestrator.wait_for_reload()
        assert report is not None
        assert report.error == ""
        assert self.genai.llama.get_status() == "running"
        assert len(self.llms()) == 1
        assert engines() == []
        assert list(self.genai.paths.slots.iterdir()) == []
        assert list(self.genai.paths.runtime.glob("suspended-*")) == []


@asynccontextmanager
async def desk(home: Path, files: dict[str, Path]) -> AsyncIterator[Desk]:
    genai = await GenAI.open(home)
    try:
        model = await genai.models.import_model(
            str(files["diffusion_model"]),
            name="Tiny Flux",
            type="diffusion",
            components={role: str(path) for role, path in files.items()},
        )
        await genai.load_llm("guide", {"port": "auto"})
        await genai.update_settings(step_aside="always")
        config = ImageGenerationConfig(
            "a lighthouse", width=64, height=64, steps=2, cfg_scale=1.0, seed=7, model_id=model.id
        )
        yield Desk(genai, config)
    finally:
        await genai.close()


def test_it_steps_aside_and_still_knows_the_conversation(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            first = await table.answered(await table.say("How do I download a model?"))
            assert first.stats is not None
            gone: list[bool] = []
            table.genai.diffusion.on(
                "progress", lambda _: gone.append(table.llms() == []) if engines() else None
            )
            before = table.genai.llama.resolved_config
            result = await table.genai.orchestrator.orchestrate_image_generation(table.config)
            assert table.genai.llama.get_status() != "running"  # the picture did not wait for it
            assert result.handoff.needed
            assert gone
            assert all(gone)
            await table.assert_back()
            assert table.genai.llama.resolved_config == before
            second = await table.answered(await table.say("And then?"))
            assert second.stats is not None
            assert second.stats.cached_tokens > 0
            report = table.reports[-1]
            assert report.restored_tokens is not None
            assert report.cached_tokens == second.stats.cached_tokens
            assert report.cached_tokens >= first.stats.prompt_tokens
            kinds = [marker.kind for marker in table.genai.telemetry.markers(600)]
            wanted = ["suspended", "image-started", "image-finished", "resumed"]
            assert [kind for kind in kinds if kind in wanted] == wanted

    run(main(), 100)


def test_what_is_typed_meanwhile_is_answered_afterwards(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            await table.answered(await table.say("Hello."))
            job = await table.genai.diffusion.enqueue(table.config)
            await until(lambda: any(s["phase"] == "suspended" for s in table.states))
            reply = await table.say("What is GGUF?")
            assert table.messages[reply].state == "waiting"
            await table.genai.diffusion.wait(job)
            answer = await table.answered(reply)
            assert answer.content
            assert answer.stats is not None
            assert answer.stats.cached_tokens > 0
            await table.assert_back()

    run(main(), 100)


def test_a_reply_that_is_paused_goes_on(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            await table.genai.update_settings(pause_reply_for_image=True)
            reply = await table.say("Tell me everything.", LONG)
            await until(lambda: table.genai.conversations.state(table.conversation).is_streaming)
            await table.genai.diffusion.generate_image(table.config)
            answer = await table.answered(reply)
            assert answer.content
            await table.assert_back()

    run(main(), 100)


@pytest.mark.parametrize("moment", ["draining", "saving", "stopping", "suspended", "painting"])
def test_cancel_at_any_moment_and_it_is_back(tmp_path: Path, files: dict[str, Path], moment: str) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            await table.answered(await table.say("How do I download a model?"))
            seen: list[ImageProgress] = []
            config = replace(table.config, width=256, height=256, steps=200)
            job = await table.genai.diffusion.enqueue(config, seen.append)
            if moment == "painting":
                await until(lambda: any(p.step >= 2 for p in seen), 60)
            else:
                await until(lambda: any(s["phase"] == moment for s in table.states))
            began = time.monotonic()
            assert await table.genai.diffusion.cancel(job)
            assert time.monotonic() - began < 1.0
            assert engines() == []
            await table.assert_back()
            answer = await table.answered(await table.say("And then?"))
            assert answer.stats is not None
            assert answer.stats.cached_tokens > 0

    run(main(), 100)


def test_the_engine_dies_and_the_language_model_is_back(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            await table.answered(await table.say("Hello."))
            seen: list[ImageProgress] = []
            config = replace(table.config, width=256, height=256, steps=200)
            job = await table.genai.diffusion.enqueue(config, seen.append)
            await until(lambda: any(p.step >= 1 for p in seen), 60)
            os.kill(engines()[0], signal.SIGSEGV)
            with pytest.raises(ImageError) as caught:
                await table.genai.diffusion.wait(job)
            assert caught.value.code == "ENGINE_CRASHED"
            await table.assert_back()

    run(main(), 100)


def test_two_pictures_are_one_hand_off(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with desk(tmp_path, files) as table:
            await table.answered(await table.say("Hello."))
            starts: list[object] = []
            table.genai.llama.on("started", starts.append)
            results = await asyncio.gather(
                *(table.genai.diffusion.generate_image(replace(table.config, seed=n)) for n in (1, 2))
            )
            assert [r.images[0].seed for r in results] == [1, 2]
            await table.assert_back()
            assert len(starts) == 1

    run(main(), 100)
