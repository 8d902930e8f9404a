"""`models search|files|fit`: what the hub has, and whether it would run here."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from genai_desktop.cli.output import Output, size, table
from genai_desktop.core.errors import GenaiError
from genai_desktop.core.hub import HubFile, HubModel
from genai_desktop.core.placement import Wishes
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        return await _ACTIONS[options.action](genai, options, output)
    finally:
        await genai.close()


async def _search(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    found = await genai.hub.search(options.text, options.type, limit=options.limit)
    output.result({"results": [_model_json(model) for model in found.models]})
    rows = [("REPOSITORY", "TYPE", "DOWNLOADS", "LIKES", "PARAMETERS", "LICENSE", "")]
    rows += [
        (
            model.repo,
            model.type,
            str(model.downloads),
            str(model.likes),
            _billions(model.parameter_count),
            model.license or "-",
            "gated" if model.gated else "",
        )
        for model in found.models
    ]
    output.text(table(rows) if found.models else "The hub has nothing of that name.")
    return 0


async def _files(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    await _ask_engine(genai)
    repo = await genai.hub.files(options.repo, options.revision)
    output.result(
        {
            "repo": repo.repo,
            "revision": repo.revision,
            "commit": repo.commit,
            "gated": repo.gated,
            "license": repo.license,
            "files": [_file_json(file) for file in repo.files],
        }
    )
    rows = [("FILE", "SIZE", "QUANTIZATION", "ROLE", "FITS")]
    rows += [
        (
            file.file + (f" (+{len(file.parts) - 1} parts)" if len(file.parts) > 1 else ""),
            size(file.size),
            file.quantization or "-",
            file.role,
            file.fit.text if file.role != "projector" else "-",
        )
        for file in repo.files
    ]
    output.text(table(rows) if repo.files else "The repository has no GGUF or safetensors files.")
    if repo.gated:
        output.text("It is gated: accept its terms in a browser and set HF_TOKEN before a download.")
    return 0


async def _fit(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    await _ask_engine(genai)
    cache_k, cache_v = options.kv_type
    wishes = Wishes(
        n_ctx=options.context or None,
        n_gpu_layers=options.gpu_layers,
        cache_type_k=cache_k,
        cache_type_v=cache_v,
        flash_attention=options.flash_attention != "off",
        n_parallel=options.parallel,
    )
    report = await genai.hub.fit(options.target, wishes)
    output.result(
        {
            "footprint": dict(report.footprint),
            "placement": dict(report.placement),
            "fits": report.fits,
            "reason": report.reason,
            "bytes_read": report.bytes_read,
        }
    )
    output.text(
        f"{'It fits' if report.fits else 'It does not fit'}. {report.reason} {report.suggestion}".rstrip()
    )
    rows = [(name.replace("_", " ").capitalize(), size(value)) for name, value in report.footprint.items()]
    placement = report.placement
    rows += [
        ("On the GPU", f"{size(placement['gpu_bytes'])}, {placement['n_gpu_layers']} layers"),
        ("In RAM", size(placement["host_bytes"])),
        ("Context", f"{placement['n_ctx']} tokens" if placement["n_ctx"] else "-"),
        ("Read", size(report.bytes_read)),
    ]
    output.text(table(rows))
    return 0


async def _ask_engine(genai: GenAI) -> None:
    """What the engine lists decides whether a GPU counts; without an engine, the hardware's own word does."""
    with contextlib.suppress(GenaiError):
        genai.system.use_engine_devices(await genai.engines.devices("llama.cpp"))


def _model_json(model: HubModel) -> dict[str, Any]:
    return {
        "repo": model.repo,
        "type": model.type,
        "downloads": model.downloads,
        "likes": model.likes,
        "gated": model.gated,
        "license": model.license,
        "architecture": model.architecture,
        "parameter_count": model.parameter_count,
        "context_length": model.context_length,
        "last_modified": model.last_modified,
    }


def _file_json(file: HubFile) -> dict[str, Any]:
    return {
        "file": file.file,
        "size": file.size,
        "quantization": file.quantization,
        "sha256": file.sha256,
        "fits": file.fits,
        "reason": file.fit.reason,
        "role": file.role,
        "parts": [{"file": p.file, "size": p.size, "sha256": p.sha256} for p in file.parts]
        if len(file.parts) > 1 or file.missing
        else [],
    }


def _billions(count: int | None) -> str:
    if not count:
        return "-"
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"


_ACTIONS = {"search": _search, "files": _files, "fit": _fit}
