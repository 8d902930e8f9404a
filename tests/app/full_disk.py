"""A program whose disk fills up while it runs: `python -m tests.app.full_disk HOME limit|fill`.

limit: by RLIMIT_FSIZE, no file grows any more. fill: HOME is a small file system of its own, and a file takes
all that is left of it. Prints what each step said on the full disk, and what was there before and afterwards.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import GeneratedImage, ImageGenerationConfig
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.recipe import make_recipe
from genai_desktop.services.genai import GenAI
from tests.app.faults import ENDLESS, endless_model, opened
from tests.fakes.fake_sd_cli import png


class Disk:
    """Full, or not."""

    def __init__(self, home: Path, how: str) -> None:
        self._filler, self._how = home / "filler", how
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        if self._how == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, self._limits[1]))
            return
        with self._filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def free(self) -> None:
        if self._how == "limit":
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        else:
            self._filler.unlink()


async def state(genai: GenAI, conversation: str) -> dict[str, Any]:
    found = await genai.conversations.get(conversation)
    settings = json.loads(genai.paths.settings.read_text())
    return {
        "theme": (genai.settings.current.theme, settings["theme"]),
        "said": [message.content for message in found.messages if message.role == "user"],
        "models": sorted(model.id for model in await genai.models.list_models()),
        "pictures": len(await genai.gallery.list()),
        "files": sorted(path.name for path in genai.paths.gallery.iterdir() if path.is_file()),
    }


async def refused(step: str, work: Awaitable[Any]) -> None:
    try:
        await work
    except GenaiError as error:
        told = {"code": error.code, "message": error.message, "remedy": error.remedy}
    else:
        told = {"code": "", "message": "it worked", "remedy": ""}
    print(json.dumps({"step": step, **told}), flush=True)


async def main(home: Path, how: str) -> None:
    disk = Disk(home, how)
    picture = home.parent / "picture.png"
    picture.write_bytes(png(64, 64, 1))
    image = GeneratedImage(str(picture), 1, 64, 64)
    tiny = ModelInfo("tiny", "Tiny", "diffusion", str(picture), 8)
    recipe = make_recipe(
        ImageGenerationConfig("a cat"), image, tiny, engine="none", options={}, seconds=1.0, created_at=1.0
    )
    async with opened(home) as scene:
        genai = scene.genai
        model = await endless_model(genai, home.parent)
        await genai.update_settings(theme="dark")
        await genai.load_llm(model)
        await scene.answered("Before.")
        before = await state(genai, scene.conversation)
        disk.fill()
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "settings": lambda: genai.update_settings(theme="light"),
            "conversation": genai.conversations.create,
            "message": lambda: scene.say("On the full disk."),
            "model": lambda: genai.models.import_model(str(Path(home.parent / "other.gguf"))),
            "picture": lambda: genai.gallery.add(image, recipe),
        }
        for step, work in steps.items():
            await refused(step, work())
        between = await state(genai, scene.conversation)
        disk.free()
        for step, work in steps.items():
            result = await work()
            if step == "message":
                await scene.over(result)
        after = await state(genai, scene.conversation)
        reply = await scene.say("Fill it while you talk.", ENDLESS)
        await scene.has_said(reply)
        disk.fill()
        await genai.conversations.stop(scene.conversation)
        message = await scene.over(reply)
        disk.free()
        unsaved = {"state": message.state, "error": message.error, "length": len(message.content)}
    async with opened(home) as scene:
        (found,) = [c for c in await scene.genai.conversations.list() if c.message_count]
        again = await state(scene.genai, found.id)
    states = {"before": before, "between": between, "after": after, "again": again}
    print(json.dumps({**states, "unsaved": unsaved}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
