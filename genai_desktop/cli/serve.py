"""`serve`: both servers until interrupted."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from genai_desktop.cli.output import Output
from genai_desktop.core.servers import ServerInfo
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline)
    gateway = None
    is_ready = False
    try:
        genai.llama.on("changed", lambda info: output.event("state", server="llm", status=info.status))
        genai.llama.on("crashed", lambda info: _report_crash(output, info))
        genai.diffusion.on("jobs_changed", lambda jobs: output.event("jobs", count=len(jobs)))
        info = None
        if options.model or not options.image_model:
            info = await genai.load_llm(
                options.model or await genai.default_llm(), {"port": options.port or "auto"}
            )
        image_url = None
        if options.image_model or await genai.models.list_models("diffusion"):
            from genai_desktop.gateway.server import ImageGateway

            await genai.start_server("diffusion", options.image_model or "")
            gateway = ImageGateway(genai)
            image_url = await gateway.start(options.image_port)
        ready: dict[str, Any] = {
            "llm": None if info is None else {"url": info.url, "pid": info.pid, "model": info.model_id},
            "images": None if image_url is None else {"url": image_url},
        }
        output.event("ready", **ready)
        is_ready = True
        if info is not None:
            output.text(f"Language model: {info.url} ({info.model_name})")
            output.text(f"  key: {genai.llama.api_key}")
        if image_url is not None:
            output.text(f"Images: {image_url}/v1/images/generations")
        output.text("Press Ctrl+C to stop.")
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not is_ready:
            raise
        # being interrupted is how this command ends
        output.result({"stopped": True})
    finally:
        if gateway is not None:
            await gateway.stop()
        await genai.close()
    return 0


def _report_crash(output: Output, info: ServerInfo) -> None:
    output.event("crashed", server="llm", code=info.error_code, message=info.error_message)
    output.text(f"The language model crashed: {info.error_message} {info.error_remedy}")
