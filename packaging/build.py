"""Build the one-folder program with PyInstaller and prove that it works: `python packaging/build.py`."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Exit code of the first step that failed, else 0."""
    begun = time.monotonic()
    command = [
        sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN",
        "--distpath", str(ROOT / "dist"), "--workpath", str(ROOT / "build"),
        str(ROOT / "packaging" / "genai-desktop.spec"),
    ]  # fmt: skip
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        return code
    folder = ROOT / "dist" / "genai-desktop"
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    print(f"built {folder.relative_to(ROOT)}: {size / 1e6:.0f} MB in {time.monotonic() - begun:.0f} s")
    smoke = [sys.executable, str(ROOT / "packaging" / "smoke.py"), str(folder / "genai-desktop")]
    return subprocess.run(smoke, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
