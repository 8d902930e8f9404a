"""Prove a built program: it reports, its engine answers, its window opens and closes, nothing is left.

python packaging/smoke.py dist/genai-desktop/genai-desktop
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil


def main() -> int:
    """0 when every step passed."""
    program = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "GENAI_DESKTOP_HOME": folder, "QT_QPA_PLATFORM": "offscreen"}
        env.pop("PYTHONPATH", None)
        report = last_object([program, "doctor", "--json"], env)
        engines: Any = report["engines"]
        check("doctor names an engine", any(e["state"] == "in-use" for e in engines), engines)
        chat = [program, "chat", "--model", "guide", "--max-tokens", "24", "--json", "Hello"]
        answer = last_object(chat, env)
        check("the embedded engine answers", bool(answer.get("content")), answer)
        window = subprocess.Popen([program], env=env, stderr=subprocess.PIPE, text=True)
        session = Path(folder) / "runtime" / f"session-{window.pid}.json"
        deadline = time.monotonic() + 30
        while not session.exists() and window.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        check("the window's services opened", session.exists(), window.poll())
        window.send_signal(signal.SIGTERM)
        _, errors = window.communicate(timeout=30)
        check("the window ends with 0", window.returncode == 0, f"{window.returncode}: {errors[-2000:]}")
    # by executable: the command line of this very script names the program too
    left = [p.pid for p in psutil.process_iter(["exe"]) if p.info["exe"] == program]
    check("no process is left", not left, left)
    return 0


def last_object(command: list[str], env: dict[str, str]) -> dict[str, object]:
    """The last JSON line a command prints."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    seen = done.stdout[-2000:] + done.stderr[-2000:]
    check(f"{' '.join(command[1:3])} ends with 0", done.returncode == 0, seen)
    value = json.loads(done.stdout.strip().splitlines()[-1])
    return dict(value)


def check(what: str, is_good: bool, seen: object) -> None:
    print(f"{'ok  ' if is_good else 'FAIL'} {what}", flush=True)
    if not is_good:
        print(seen)
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
