"""What the window costs while nothing happens: processor and memory, charts running."""

from __future__ import annotations

import os
import subprocess
import time

import psutil

from benchmarks.harness import PYTHON, ROOT, Row, data_folder

SETTLE, WATCH = 8.0, 30.0  # seconds


def measure() -> list[Row]:
    env = dict(os.environ)
    if not env.get("DISPLAY"):
        env["QT_QPA_PLATFORM"] = "offscreen"
    with data_folder():
        process = subprocess.Popen([PYTHON, "-m", "genai_desktop"], cwd=ROOT, env=env)
        try:
            watched = psutil.Process(process.pid)
            time.sleep(SETTLE)
            before, begun = watched.cpu_times(), time.perf_counter()
            time.sleep(WATCH)
            after, elapsed = watched.cpu_times(), time.perf_counter() - begun
            rss = watched.memory_info().rss
            load = 100 * (after.user + after.system - before.user - before.system) / elapsed
        finally:
            process.terminate()
            process.wait(30)
    return [
        Row("idle with charts, one core", "%", load, 2.0, "limit", "at most 2 %", load <= 2.0),
        Row(
            "idle with charts, resident memory",
            "MB",
            rss / 1e6,
            180.0,
            "limit",
            "at most 180 MB",
            rss <= 180e6,
        ),
    ]
