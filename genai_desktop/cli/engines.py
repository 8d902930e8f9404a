"""`engines list|test|use`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from genai_desktop.cli.output import Output, table
from genai_desktop.core.builds import EngineBuild
from genai_desktop.services.genai import GenAI


async def main(options: argparse.Namespace, output: Output) -> int:
    genai = await GenAI.open(options.data_dir, offline=options.offline, with_telemetry=False)
    try:
        if options.action == "list":
            builds = await genai.engines.list_engines()
            output.result({"engines": [as_json(b) for b in builds]})
            rows = [("ENGINE", "VARIANT", "BUILD", "STATE", "WHY")]
            rows += [(b.engine, b.variant, b.build or "-", b.state, b.reason) for b in builds]
            output.text(table(rows))
            return 0
        if options.action == "use":
            # a path relative to here, not to wherever the program stores it
            chosen = await asyncio.to_thread(_resolve, options.build)
            build = await genai.engines.use(options.engine, chosen)
            output.result({"build": as_json(build)})
            output.text(f"{build.engine} now uses {build.variant} {build.build} ({build.path}).")
            return 0
        build = await genai.engines.test(options.engine, options.build)
        output.result({"build": as_json(build)})
        for test in build.tests:
            output.text(
                f"{'passed' if test.passed else 'FAILED'}  {test.seconds:6.2f} s  {test.name}  {test.detail}"
            )
        is_good = bool(build.tests) and all(test.passed for test in build.tests)
        output.text(
            f"{build.engine} {build.variant} {build.build}: {'works here' if is_good else build.reason}"
        )
        return 0 if is_good else 1
    finally:
        await genai.close()


def _resolve(build: str) -> str:
    path = Path(build).expanduser()
    return str(path.resolve()) if path.exists() else build


def as_json(build: EngineBuild) -> dict[str, Any]:
    """One build with the results of its last test."""
    return {
        "engine": build.engine,
        "variant": build.variant,
        "build": build.build,
        "path": build.path,
        "state": build.state,
        "reason": build.reason,
        "tests": [
            {"name": t.name, "passed": t.passed, "seconds": round(t.seconds, 3), "detail": t.detail}
            for t in build.tests
        ],
    }
