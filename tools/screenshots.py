"""Renew the pictures of the documents by a walk through the window: `python tools/screenshots.py FOLDER`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """The exit code of the walk's tests."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"
    env = {**os.environ, "GENAI_DESKTOP_SCREENSHOTS": folder, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "tests/app/test_walk.py"]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
