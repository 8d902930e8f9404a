"""`demo`: the main job without a screen, on the models the program has or makes on the spot."""

from __future__ import annotations

import argparse
from typing import Any

from genai_desktop.cli.chat import stream
from genai_desktop.cli.image import as_json, handoff_json, paint
from genai_desktop.cli.output import Output
from genai_desktop.core.chat import SamplingParameters
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.services.genai import GenAI

QUESTIONS = ("How do I download a model?", "What happens when an image needs the memory?")


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline)
    try:
        return await _demo(genai, output)
    finally:
        await genai.close()


async def _demo(genai: GenAI, output: Output) -> int:
    info = await genai.load_llm("guide", {"port": "auto"})
    output.text(f"{info.model_name} on {info.engine}, {info.effective.get('n_ctx')} tokens of context.\n")
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTIONS[0]}]
    sampling = SamplingParameters(temperature=0.0, max_tokens=160)
    output.text(f"> {QUESTIONS[0]}")
    chat = await stream(genai, messages, sampling, output)
    output.text(f"\n  {_speed(chat)}\n")

    image: dict[str, Any] | None = None
    handoff: dict[str, Any] | None = None
    model_id = await _image_model(genai, output)
    if model_id is not None:
        # the person's choice is put back: a demo must not change how their program behaves
        before = genai.settings.current.step_aside
        await genai.update_settings(step_aside="always")
        try:
            config = ImageGenerationConfig(
                "a lighthouse at dusk",
                width=64,
                height=64,
                steps=2,
                cfg_scale=1.0,
                seed=42,
                model_id=model_id,
            )
            result = await paint(genai, config, output)
            report = await genai.orchestrator.wait_for_reload()
        finally:
            await genai.update_settings(step_aside=before)
        image, handoff = as_json(result), handoff_json(report)
        output.text(f"A picture in {result.seconds:.1f} s: {result.images[0].path}")
        messages += [
            {"role": "assistant", "content": chat["content"]},
            {"role": "user", "content": QUESTIONS[1]},
        ]
        output.text(f"\n> {QUESTIONS[1]}")
        second = await stream(genai, messages, sampling, output)
        handoff["cached_tokens"] = second["stats"]["cached_tokens"]
        output.text(f"\n  {_speed(second)}")
        output.text(
            f"\nThe language model stepped aside in {handoff['seconds_suspend']:.2f} s, came back in"
            f" {handoff['seconds_resume']:.2f} s and still knew {handoff['cached_tokens']} tokens."
        )
    output.result({"chat": chat, "image": image, "handoff": handoff})
    return 0


async def _image_model(genai: GenAI, output: Output) -> str | None:
    """The person's own image model, or a tiny random one made on the spot; None without an image engine."""
    builds = await genai.engines.list_engines()
    if not any(b.engine == "stable-diffusion.cpp" and b.state in ("in-use", "available") for b in builds):
        reason = next((b.reason for b in builds if b.engine == "stable-diffusion.cpp" and b.reason), "")
        output.text(f"No image engine here, so no picture and no hand-off. {reason}")
        return None
    return await genai.ensure_test_image_model()


def _speed(answer: dict[str, Any]) -> str:
    stats = answer["stats"]
    return (
        f"{stats['completion_tokens']} tokens at {stats['tokens_per_second']:.1f} tok/s,"
        f" first after {stats['first_token_seconds']:.2f} s, {stats['cached_tokens']} from the cache"
    )
