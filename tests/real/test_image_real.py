"""Pictures by the real image engine (embedded), through the whole program without a window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from genai_desktop.core.errors import ImageError, ModelFileError
from genai_desktop.core.images import ImageGenerationConfig, ImageProgress
from genai_desktop.engines import embedded
from genai_desktop.gateway.images import PATH
from genai_desktop.gateway.server import ImageGateway
from genai_desktop.library.gallery import read_recipe
from genai_desktop.services.genai import GenAI
from tests.aio import run, until
from tests.real.models import tiny_flux_set, truncated

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not embedded.is_available("sd-cli"), reason="the embedded image engine is not installed"
    ),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


@asynccontextmanager
async def opened(home: Path, files: dict[str, Path]) -> AsyncIterator[tuple[GenAI, ImageGenerationConfig]]:
    """The program on an own data folder, and a small picture of its only image model."""
    genai = await GenAI.open(home, with_telemetry=False)
    try:
        model = await genai.models.import_model(
            str(files["diffusion_model"]),
            name="Tiny Flux",
            type="diffusion",
            components={role: str(path) for role, path in files.items()},
        )
        yield (
            genai,
            ImageGenerationConfig(
                "a lighthouse", width=64, height=64, steps=2, cfg_scale=1.0, seed=7, model_id=model.id
            ),
        )
    finally:
        await genai.close()


def engines() -> list[int]:
    """Image engine processes of ours."""
    return [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and "sd-cli" in child.cmdline()
    ]


def pixels(path: str) -> bytes:
    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()


def test_a_picture_its_recipe_and_a_better_estimate_the_second_time(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            seen: list[ImageProgress] = []
            first = await genai.diffusion.generate_image(config, seen.append)
            assert [(i.seed, i.width, i.height) for i in first.images] == [(7, 64, 64)]
            assert len(set(pixels(first.images[0].path))) > 8  # not one colour
            assert {p.stage for p in seen} >= {"loading", "diffusion", "done"}
            assert {p.eta for p in seen if p.stage != "done"} == {None}
            recipe = read_recipe(Path(first.images[0].path))
            assert (recipe["prompt"], recipe["seed"], recipe["steps"]) == ("a lighthouse", 7, 2)
            again: list[ImageProgress] = []
            second = await genai.diffusion.generate_image(config, again.append)
            assert pixels(second.images[0].path) == pixels(first.images[0].path)
            assert all(p.eta is not None for p in again)
            percents = [p.percent for p in again]
            assert percents == sorted(percents)
            assert len(await genai.gallery.list("lighthouse")) == 2
            assert (await genai.diffusion.footprint(config)).is_measured
            assert engines() == []

    run(main(), 100)


def test_a_batch_counts_its_seeds_on(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            batch = await genai.diffusion.generate_image(replace(config, count=2, seed=0))
            assert [i.seed for i in batch.images] == [0, 1]
            single = await genai.diffusion.generate_image(replace(config, seed=1))
            assert pixels(batch.images[1].path) == pixels(single.images[0].path)
            assert pixels(batch.images[0].path) != pixels(single.images[0].path)

    run(main(), 100)


def test_a_picture_from_a_picture(
    tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            first = await genai.diffusion.generate_image(config)
            monkeypatch.chdir(Path(first.images[0].path).parent)
            again = replace(config, init_image=Path(first.images[0].path).name, strength=0.5, steps=4)
            second = await genai.diffusion.generate_image(again)
            assert pixels(second.images[0].path) != pixels(first.images[0].path)
            assert "init_image" not in read_recipe(Path(second.images[0].path))

    run(main(), 100)


def test_two_requests_at_the_same_moment_are_one_process(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            most = 0
            pids: set[int] = set()

            def count(_: object) -> None:
                nonlocal most
                now = engines()
                pids.update(now)
                most = max(most, len(now))

            genai.diffusion.on("progress", count)
            results = await asyncio.gather(
                *(genai.diffusion.generate_image(replace(config, seed=n)) for n in (1, 2))
            )
            assert [r.images[0].seed for r in results] == [1, 2]
            assert (most, len(pids)) == (1, 2)

    run(main(), 100)


def test_cancel_in_the_middle_is_over_within_a_second(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            seen: list[ImageProgress] = []
            job = await genai.diffusion.enqueue(
                replace(config, width=256, height=256, steps=200), seen.append
            )
            await until(lambda: any(p.step >= 2 for p in seen), 60)
            assert len(engines()) == 1
            began = time.monotonic()
            assert await genai.diffusion.cancel()
            assert time.monotonic() - began < 1.0
            assert engines() == []
            assert genai.diffusion.job(job).state == "cancelled"
            assert list(genai.paths.temp.iterdir()) == []
            assert (await genai.diffusion.generate_image(config)).images

    run(main(), 100)


def test_a_cut_off_file_is_told_as_such(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path / "home", files) as (genai, config):
            model = await genai.models.get_model_info(config.model_id)
            encoder = Path(model.components["clip_l"].path)
            whole = encoder.read_bytes()
            cut = truncated(encoder, tmp_path / "cut.gguf").read_bytes()
            try:
                encoder.write_bytes(cut)
                with pytest.raises(ImageError) as caught:
                    await genai.diffusion.generate_image(config)
            finally:
                encoder.write_bytes(whole)
            assert caught.value.code in ("BAD_MODEL_FILE", "ENGINE_CRASHED", "BACKEND_ERROR")
            assert caught.value.details["log"]
            assert (await genai.diffusion.generate_image(config)).images

    run(main(), 100)


def test_a_model_without_an_encoder_never_reaches_the_engine(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            model = await genai.models.get_model_info(config.model_id)
            blind = replace(model, files=tuple(f for f in model.files if f.role != "clip_l"))
            with pytest.raises(ModelFileError, match="text encoder"):
                genai.diffusion._painter.check(blind)

    run(main(), 100)


def test_over_http(tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with opened(tmp_path, files) as (genai, config):
            gateway = ImageGateway(genai)
            url = await gateway.start("auto")
            try:
                async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
                    body = {
                        "prompt": "a cat", "width": 64, "height": 64, "steps": 1, "cfgScale": 1, "seed": 3,
                        "modelId": config.model_id,
                    }  # fmt: skip
                    generation = (await client.post(PATH, json=body)).json()["id"]
                    state = {"status": "pending"}
                    while state["status"] in ("pending", "in_progress"):
                        await asyncio.sleep(0.05)
                        state = (await client.get(f"{PATH}/{generation}")).json()
                    assert state["status"] == "complete", state
                    assert state["result"]["images"][0]["seed"] == 3  # type: ignore[index]
            finally:
                await gateway.stop()

    run(main(), 100)
