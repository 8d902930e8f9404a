"""Rows, and how they are written."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent


@dataclass(frozen=True)
class Row:
    """value and rival in `unit`; ratio = value / rival; aim is a sentence, met says whether it holds."""

    name: str
    unit: str
    value: float
    rival: float
    rival_name: str
    aim: str
    is_met: bool

    @property
    def ratio(self) -> float:
        return self.value / self.rival if self.rival else float("nan")


@contextmanager
def data_folder() -> Iterator[str]:
    """A data folder of its own, in the environment of children too."""
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as folder:
        before = os.environ.get("GENAI_DESKTOP_HOME")
        os.environ["GENAI_DESKTOP_HOME"] = folder
        try:
            yield folder
        finally:
            os.environ.pop("GENAI_DESKTOP_HOME")
            if before is not None:
                os.environ["GENAI_DESKTOP_HOME"] = before


def seconds(command: list[str], env: dict[str, str] | None = None) -> float:
    """Wall time of a whole process that must succeed."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env={**os.environ, **(env or {})})
    return time.perf_counter() - begun


def paired(first: Callable[[], float], second: Callable[[], float], runs: int = 5) -> tuple[float, float]:
    """Medians of two measurements taken in turn, after one warm-up each: drift hits both alike."""
    first()
    second()
    values = [(first(), second()) for _ in range(runs)]
    return statistics.median(v[0] for v in values), statistics.median(v[1] for v in values)


def write(rows: list[Row]) -> None:
    """results.json (merged by name) and the table in README.md."""
    path = FOLDER / "results.json"
    stored: dict[str, dict[str, object]] = {}
    if path.exists():
        stored = {r["name"]: r for r in json.loads(path.read_text("utf-8"))["results"]}
    for row in rows:
        stored[row.name] = {**asdict(row), "ratio": round(row.ratio, 4)}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    path.write_text(
        json.dumps({"machine": machine, "results": list(stored.values())}, indent=1, ensure_ascii=False)
        + "\n",
        "utf-8",
    )
    lines = [
        "# Benchmarks",
        "",
        "`make bench` measures every row again; rival and value come from the same run, taken in turn.",
        f"Last run on a shared machine: {machine}. Ratios travel, absolute figures do not.",
        "",
        "| figure | value | rival or limit | ratio | aim | met |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['name']} | {_number(r['value'])} {r['unit']} | {_number(r['rival'])} {r['unit']}"
        f" ({r['rival_name']}) | {r['ratio']:.2f} | {r['aim']} | {'yes' if r['is_met'] else 'no'} |"
        for r in stored.values()
    ]
    (FOLDER / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


def _number(value: object) -> str:
    assert isinstance(value, int | float)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


PYTHON = sys.executable
