"""`image`: paint, with progress, into a file."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path
from typing import Any

from genai_desktop.cli.output import Output
from genai_desktop.core.errors import StorageError
from genai_desktop.core.images import HandoffReport, ImageGenerationConfig, ImageProgress, ImageResult
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    config = ImageGenerationConfig(
        prompt=options.prompt,
        negative_prompt=options.negative,
        width=options.width,
        height=options.height,
        steps=options.steps,
        cfg_scale=options.cfg_scale,
        seed=options.seed,
        sampler=options.sampler,
        count=options.count,
        model_id=options.model,
    ).validated()
    target = await asyncio.to_thread(Path(options.output).expanduser)
    if not await asyncio.to_thread(target.parent.is_dir):
        raise StorageError(
            f"The folder {target.parent} does not exist.", remedy="Create it, or choose another one."
        )
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        result = await paint(genai, config, output)
        handoff = await genai.orchestrator.wait_for_reload()
        paths = await asyncio.to_thread(_copy, result, target)
    finally:
        await genai.close()
    output.result({**as_json(result, paths), "handoff": handoff_json(handoff)})
    for path in paths:
        output.text(str(path))
    return 0


async def paint(genai: GenAI, config: ImageGenerationConfig, output: Output) -> ImageResult:
    """One job through the one safe path, progress told."""

    def report(progress: ImageProgress) -> None:
        output.event(
            "progress",
            stage=progress.stage,
            step=progress.step,
            steps=progress.steps,
            percent=round(progress.percent, 1),
            eta=None if progress.eta is None else round(progress.eta, 1),
            image=progress.image,
            images=progress.images,
        )
        eta = "" if progress.eta is None else f"about {progress.eta:.0f} s left"
        output.progress(progress.stage, progress.percent / 100, eta)

    return await genai.orchestrator.orchestrate_image_generation(config, on_progress=report)


def as_json(result: ImageResult, paths: list[Path] | None = None) -> dict[str, Any]:
    places = paths or [Path(image.path) for image in result.images]
    return {
        "images": [
            {"path": str(path), "seed": image.seed, "width": image.width, "height": image.height}
            for path, image in zip(places, result.images, strict=True)
        ],
        "seconds": round(result.seconds, 3),
    }


def handoff_json(handoff: HandoffReport | None) -> dict[str, Any]:
    report = handoff or HandoffReport()
    return {
        "needed": report.needed,
        "seconds_suspend": round(report.seconds_suspend, 3),
        "seconds_resume": round(report.seconds_resume, 3),
        "cached_tokens": report.restored_tokens,
    }


def _copy(result: ImageResult, target: Path) -> list[Path]:
    """One picture goes to the file named; several get _1, _2 ... before the suffix. Atomic, per file."""
    paths = []
    for number, image in enumerate(result.images, start=1):
        path = target if len(result.images) == 1 else target.with_stem(f"{target.stem}_{number}")
        partial = path.with_name(f".{path.name}.part")
        try:
            shutil.copyfile(image.path, partial)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageError(
                f"{path} cannot be written: {error.strerror or error}.",
                remedy=f"The picture is kept in the gallery: {image.path}.",
            ) from error
        paths.append(path.resolve())
    return paths
