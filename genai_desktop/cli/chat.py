"""`chat`: one question, one streamed answer."""

from __future__ import annotations

import argparse
import asyncio
import base64
import mimetypes
import sys
from pathlib import Path
from typing import Any

from genai_desktop.cli.output import Output
from genai_desktop.core.chat import InferenceStats, SamplingParameters
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    prompt = options.prompt
    if prompt == "-":
        prompt = (await asyncio.to_thread(sys.stdin.read)).strip()
    if not prompt:
        raise InvalidInputError("The prompt is empty.", code="USAGE", remedy="Ask something.")
    content: Any = prompt
    if options.image:
        content = [{"type": "text", "text": prompt}]
        for path in options.image:
            content.append(
                {"type": "image_url", "image_url": {"url": await asyncio.to_thread(_data_url, path)}}
            )
    messages: list[dict[str, Any]] = []
    if options.system:
        messages.append({"role": "system", "content": options.system})
    messages.append({"role": "user", "content": content})
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        values: dict[str, Any] = {"port": "auto"}
        if options.context:
            values["context_size"] = options.context
        model_id = options.model or await genai.default_llm()
        unsubscribe = genai.llama.on(
            "changed", lambda info: output.progress("Loading", info.load_progress, info.model_name or "")
        )
        await genai.load_llm(model_id, values)
        unsubscribe()
        output.end_progress()
        sampling = SamplingParameters(
            max_tokens=options.max_tokens, temperature=options.temperature, seed=options.seed
        )
        answer = await stream(genai, messages, sampling, output)
    finally:
        await genai.close()
    output.text()
    output.result(answer)
    return 0


async def stream(
    genai: GenAI, messages: list[dict[str, Any]], sampling: SamplingParameters, output: Output
) -> dict[str, Any]:
    """Print the reply as it arrives; the last JSON object of `chat`."""
    text: list[str] = []
    reasoning: list[str] = []
    stats, finish_reason = InferenceStats(), ""
    async for delta in genai.conversations.chat_once(messages, sampling):
        if delta.reasoning:
            reasoning.append(delta.reasoning)
            output.event("delta", reasoning=delta.reasoning)
        if delta.content:
            text.append(delta.content)
            output.event("delta", content=delta.content)
            output.text(delta.content, end="")
        if delta.prompt_progress is not None and not text:
            output.progress("Reading the prompt", delta.prompt_progress)
        finish_reason = delta.finish_reason or finish_reason
        stats = delta.stats or stats
    return {
        "content": "".join(text),
        "reasoning": "".join(reasoning),
        "finish_reason": finish_reason,
        "stats": {
            "prompt_tokens": stats.prompt_tokens,
            "completion_tokens": stats.completion_tokens,
            "cached_tokens": stats.cached_tokens,
            "tokens_per_second": round(stats.tokens_per_second, 2),
            "first_token_seconds": round(stats.first_token_seconds, 4),
            "seconds": round(stats.seconds, 4),
        },
    }


def _data_url(path: str) -> str:
    kind = mimetypes.guess_type(path)[0] or ""
    if kind not in ("image/png", "image/jpeg", "image/bmp", "image/gif"):
        raise InvalidInputError(
            f"{path} is not a picture this engine reads.", remedy="Use PNG, JPEG, BMP or GIF."
        )
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
