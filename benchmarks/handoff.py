"""What the hand-off adds to stop, paint and start done by hand, in the same run."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from benchmarks.harness import Row, data_folder

if TYPE_CHECKING:
    from genai_desktop.core.images import ImageGenerationConfig
    from genai_desktop.services.genai import GenAI

ROUNDS = 5


def measure() -> list[Row]:
    from genai_desktop.engines.embedded import is_available

    if not is_available("sd-cli"):
        return []
    with data_folder() as folder:
        ours, raw = asyncio.run(_measure(folder))
    return [
        Row(
            "hand-off: suspend, paint, resume",
            "s",
            ours,
            raw,
            "raw stop + sd-cli + start",
            "at most 1.05x",
            ours <= 1.05 * raw,
        )
    ]


async def _measure(folder: str) -> tuple[float, float]:
    import genai_desktop
    from genai_desktop.core.images import ImageGenerationConfig

    async with genai_desktop.open(folder) as genai:
        model_id = await genai.ensure_test_image_model()
        config = ImageGenerationConfig(
            "a lighthouse", width=128, height=128, steps=4, cfg_scale=1.0, seed=1, model_id=model_id
        )
        ours, raw = [], []
        for _ in range(ROUNDS + 1):
            ours.append(await _ours(genai, config))
            raw.append(await _raw(genai, config))
        return statistics.median(ours[1:]), statistics.median(raw[1:])


async def _ours(genai: GenAI, config: ImageGenerationConfig) -> float:
    await genai.load_llm("guide", {"port": "auto"})
    await genai.update_settings(step_aside="always")
    begun = time.perf_counter()
    await genai.orchestrator.orchestrate_image_generation(config)
    await genai.orchestrator.wait_for_reload()
    return time.perf_counter() - begun


async def _raw(genai: GenAI, config: ImageGenerationConfig) -> float:
    """The same three steps without this program: SIGTERM, the engine's own command, start until ready."""
    await genai.load_llm("guide", {"port": "auto"})
    info = genai.llama.get_info()
    argv, url = list(info.command_line), str(info.url)
    await genai.llama.stop()
    model = await genai.models.get_model_info(config.model_id)
    image = await genai.engines.command("stable-diffusion.cpp")
    parts = {"diffusion_model": "--diffusion-model", "clip_l": "--clip_l", "taesd": "--taesd"}
    target = str(genai.paths.temp / "raw.png")
    paint = [*image.argv, *(x for role, flag in parts.items() for x in (flag, model.components[role].path))]
    paint += [
        "-p",
        config.prompt,
        "-W",
        str(config.width),
        "-H",
        str(config.height),
        "--steps",
        str(config.steps),
    ]
    paint += ["--cfg-scale", "1", "-s", "1", "-o", target]

    def run() -> float:
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_ready(url)
        begun = time.perf_counter()
        server.terminate()
        server.wait()
        subprocess.run(paint, check=True, capture_output=True)
        server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_ready(url)
        elapsed = time.perf_counter() - begun
        server.terminate()
        server.wait()
        return elapsed

    return await asyncio.to_thread(run)


def _wait_ready(url: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.005)
