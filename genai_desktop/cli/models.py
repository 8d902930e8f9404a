"""`models list|import|download|info|verify|remove`."""

from __future__ import annotations

import argparse
from typing import Any

from genai_desktop.cli.output import Output, size, table
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import ComponentDownload, DownloadConfig, ModelInfo
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        return await _ACTIONS[options.action](genai, options, output)
    finally:
        await genai.close()


def as_json(model: ModelInfo) -> dict[str, Any]:
    """One model of `models[...]` or `model{...}`."""
    return {
        "id": model.id,
        "name": model.name,
        "type": model.type,
        "size": model.size,
        "path": model.path,
        "architecture": model.architecture,
        "quantization": model.quantization,
        "context_length": model.context_length,
        "parameter_count": model.parameter_count,
        "capabilities": list(model.capabilities.names()),
        "components": {role: {"path": f.path, "size": f.size} for role, f in model.components.items()},
        "license": model.license,
        "source": model.source,
        "missing": model.missing,
    }


async def _list(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    models = await genai.models.list_models(options.type)
    output.result({"models": [as_json(m) for m in models]})
    rows = [("ID", "NAME", "TYPE", "SIZE", "QUANTIZATION", "CONTEXT", "")]
    rows += [
        (
            m.id,
            m.name,
            m.type,
            size(m.size),
            m.quantization or "-",
            str(m.context_length or "-"),
            "file missing" if m.missing else "",
        )
        for m in models
    ]
    output.text(table(rows))
    return 0


async def _import(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    components = dict(options.component)
    if components:
        components.setdefault("diffusion_model", options.path)
    model = await genai.models.import_model(
        options.path, name=options.name, type=options.type, components=components or None
    )
    output.result({"model": as_json(model)})
    output.text(f"Imported {model.name} as {model.id} ({size(model.size)}, used where it is).")
    return 0


async def _download(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    if options.repo and not options.file:
        raise InvalidInputError(
            "--repo needs --file.", code="USAGE", remedy="Name the file in the repository."
        )
    config = DownloadConfig(
        name=options.name or "",
        type=options.type,
        url=options.url or "",
        repo=options.repo or "",
        file=options.file or "",
        revision=options.revision,
        checksum=options.checksum,
        components=tuple(_component(role, source) for role, source in options.component),
    )

    def report(progress: Progress) -> None:
        output.event(
            "progress",
            done=int(progress.done),
            total=None if progress.total is None else int(progress.total),
            speed=progress.speed,
            eta=progress.eta,
            component=progress.component,
        )
        speed = f"{progress.speed / 1e6:.1f} MB/s" if progress.speed else ""
        output.progress("Downloading", progress.fraction, f"{size(progress.done)} {speed}")

    model = await genai.models.download_model(config, on_progress=report)
    output.result({"model": as_json(model)})
    output.text(f"Downloaded {model.name} as {model.id} ({size(model.size)}).")
    return 0


def _component(role: str, source: str) -> ComponentDownload:
    if source.startswith(("http://", "https://")):
        return ComponentDownload(role, url=source)
    repo, separator, file = source.partition(":")
    if not separator:
        raise InvalidInputError(f"{source!r} is neither REPO:FILE nor a URL.", code="USAGE")
    return ComponentDownload(role, repo=repo, file=file)


async def _info(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    details = await genai.model_details(options.id)
    model = details.model
    output.result(
        {
            "model": {
                **as_json(model),
                "footprint": dict(details.footprint),
                "placement": dict(details.placement),
                "fits": details.fit.level not in ("no", "unknown"),
                "reason": details.fit.reason or details.fit.text,
                "metadata": dict(details.metadata),
            }
        }
    )
    rows = [
        ("Name", model.name),
        ("Id", model.id),
        ("Type", model.type),
        ("Size", size(model.size)),
        ("Architecture", model.architecture or "-"),
        ("Quantization", model.quantization or "-"),
        ("Context", str(model.context_length or "-")),
        ("Can", ", ".join(model.capabilities.names()) or "-"),
        ("Licence", model.license or "-"),
        ("Fit", f"{details.fit.text} {details.fit.reason}".strip()),
    ]
    rows += [(f.role or "File", f.path) for f in model.files]
    output.text(table(rows))
    return 0


async def _verify(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    def report(progress: Progress) -> None:
        output.event("progress", done=int(progress.done), total=int(progress.total or 0))
        output.progress("Verifying", progress.fraction)

    result = await genai.models.verify_model(options.id, on_progress=report)
    output.result(
        {
            "result": result.result,
            "files": [{"path": path, "result": outcome} for path, outcome in result.files],
        }
    )
    sentence = {
        "ok": "Every file is what it should be.",
        "mismatch": "At least one file is not what it should be:",
        "unverifiable": "No digest is known for these files, so nothing can be said about them:",
    }[result.result]
    output.text(sentence)
    for path, outcome in result.files:
        output.text(f"  {outcome}: {path}")
    return {"ok": 0, "mismatch": 1, "unverifiable": 3}[result.result]


async def _remove(genai: GenAI, options: argparse.Namespace, output: Output) -> int:
    freed = await genai.remove_model(options.id)
    output.result({"freed": freed})
    output.text(f"Removed. {size(freed)} of disk space freed.")
    return 0


_ACTIONS = {
    "list": _list,
    "import": _import,
    "download": _download,
    "info": _info,
    "verify": _verify,
    "remove": _remove,
}
