"""What `doctor` tells, and what a bug report needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_desktop.core.builds import ENGINES

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.services.genai import GenAI


async def doctor(genai: GenAI) -> dict[str, Any]:
    """The last JSON object of `doctor` (spec: command line)."""
    import platform

    from genai_desktop import __version__

    caps = await genai.system.detect()
    builds = await genai.engines.list_engines()
    problems = [{"code": p.code, "message": p.message, "remedy": p.remedy} for p in caps.problems]
    for engine in ENGINES:
        if not any(b.engine == engine and b.state in ("in-use", "available") for b in builds):
            reason = next((b.reason for b in builds if b.engine == engine and b.reason), "")
            problems.append(
                {
                    "code": "NO_ENGINE",
                    "message": f"No {engine} engine can be used here.",
                    "remedy": reason,
                }
            )
    recommended = caps.recommendations
    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": caps.platform,
        "data_dir": str(genai.paths.root),
        "offline": genai.is_offline,
        "cpu": {
            "cores": caps.cpu.cores,
            "threads": caps.cpu.threads,
            "model": caps.cpu.model,
            "architecture": caps.cpu.architecture,
        },
        "memory": {
            "total": caps.memory.total,
            "available": caps.memory.available,
            "used": caps.memory.used,
        },
        "gpus": [
            {
                "index": g.index,
                "type": g.type,
                "name": g.name,
                "vram_total": g.vram_total,
                "vram_free": g.vram_free,
                "driver": g.driver,
                "backends": list(g.backends),
                "source": g.source,
            }
            for g in caps.gpus
        ],
        "recommendations": {
            "max_model_size": recommended.max_model_size,
            "quantizations": list(recommended.quantizations),
            "threads": recommended.threads,
            "gpu_layers": recommended.gpu_layers,
        },
        "engines": [
            {
                "engine": b.engine,
                "variant": b.variant,
                "build": b.build,
                "path": b.path,
                "state": b.state,
                "reason": b.reason,
            }
            for b in builds
        ],
        "problems": problems,
    }


async def diagnostics(genai: GenAI) -> str:
    """What a bug report needs, as text: no keys, no prompts, the home folder shortened."""
    import json

    report = await doctor(genai)
    report["servers"] = [_brief(genai.llama.get_info()), _brief(genai.diffusion.get_info())]
    text = json.dumps(report, indent=2, ensure_ascii=False)
    for name, server in (("llama", genai.llama), ("diffusion", genai.diffusion)):
        text += f"\n\n--- last log lines of {name} ---\n" + "\n".join(server.get_logs(60))
    return text.replace(str(Path.home()), "~")


def _brief(info: ServerInfo) -> dict[str, Any]:
    slim = replace(info, log_tail=())
    keys = ("name", "status", "health", "model_id", "engine", "restarts", "error_code", "error_message")
    return {key: getattr(slim, key) for key in keys} | {"command_line": list(info.command_line)}
