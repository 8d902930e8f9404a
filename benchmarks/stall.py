"""How long the window's event loop is blocked while it loads, streams 200 tok/s and paints."""

from __future__ import annotations

import asyncio
import json
import subprocess

from benchmarks.harness import PYTHON, ROOT, Row, data_folder


def measure() -> list[Row]:
    from genai_desktop.engines.embedded import is_available

    has_images = is_available("sd-cli")
    with data_folder() as folder:
        if has_images:
            asyncio.run(_prepare(folder))
        done = subprocess.run(
            [PYTHON, "-m", "benchmarks.window", "stall", *(["images"] if has_images else [])],
            cwd=ROOT, capture_output=True, text=True, timeout=180, check=True,
        )  # fmt: skip
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert "failed" not in found, found
    rows = []
    for phase, values in found.items():
        longest, p99 = 1000 * values["longest"], 1000 * values["p99"]
        rows.append(
            Row(
                f"longest GUI stall while {phase}",
                "ms",
                longest,
                50.0,
                "limit",
                "at most 50 ms",
                longest <= 50,
            )
        )
        rows.append(
            Row(f"99 % of turns while {phase}", "ms", p99, 16.7, "one frame", "at most 1 frame", p99 <= 16.7)
        )
    return rows


async def _prepare(folder: str) -> None:
    import genai_desktop

    async with genai_desktop.open(folder) as genai:
        await genai.ensure_test_image_model()
