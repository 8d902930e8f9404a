"""`doctor`."""

from __future__ import annotations

import argparse

from genai_desktop.cli.output import Output, size
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        report = await genai.doctor()
    finally:
        await genai.close()
    output.result(report)
    cpu, memory, recommended = report["cpu"], report["memory"], report["recommendations"]
    output.text(f"GenAI Desktop {report['version']} · Python {report['python']} · {report['platform']}")
    output.text(f"Data      {report['data_dir']}{' (offline)' if report['offline'] else ''}")
    output.text(
        f"Processor {cpu['model']} · {cpu['cores']} cores, {cpu['threads']} threads · {cpu['architecture']}"
    )
    output.text(f"Memory    {size(memory['available'])} free of {size(memory['total'])}")
    for gpu in report["gpus"]:
        output.text(
            f"GPU {gpu['index']}     {gpu['name']} · {size(gpu['vram_free'])} free of"
            f" {size(gpu['vram_total'])} · {', '.join(gpu['backends']) or 'no backend'}"
        )
    if not report["gpus"]:
        output.text("GPU       none found; models run on the processor")
    output.text(
        f"Advice    models up to {recommended['max_model_size']} · {', '.join(recommended['quantizations'])}"
        f" · {recommended['threads']} threads"
    )
    for engine in report["engines"]:
        reason = f" · {engine['reason']}" if engine["reason"] else ""
        output.text(
            f"Engine    {engine['engine']} {engine['variant']} {engine['build']} · {engine['state']}{reason}"
        )
    for problem in report["problems"]:
        output.text(f"Problem   {problem['message']} {problem['remedy']}".rstrip())
    return 0
