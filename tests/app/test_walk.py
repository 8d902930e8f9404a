"""The recorded walk, in both themes. GENAI_DESKTOP_SCREENSHOTS=docs/screenshots renews the pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genai_desktop.engines.embedded import is_available
from tests.app.test_process import ROOT, import_test_images

pytestmark = [
    pytest.mark.real,
    pytest.mark.window,
    pytest.mark.xdist_group("app"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(not is_available("sd-cli"), reason="the extra embedded-image is not installed"),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_walk_through_the_window(home: Path, tmp_path: Path, theme: str) -> None:
    import_test_images(home)
    wanted = os.environ.get("GENAI_DESKTOP_SCREENSHOTS")
    folder = ROOT / wanted if wanted else tmp_path / "screenshots"
    env = {**os.environ, "GENAI_DESKTOP_HOME": str(home)}
    if not wanted:
        env["QT_QPA_PLATFORM"] = "offscreen"
    done = subprocess.run(
        [sys.executable, "-m", "tests.app.walk", str(folder), theme],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{steps[-1:]}\n{done.stderr[-3000:]}"
    assert steps[-1]["done"] is True
    first = steps[-1]["handoffs"][0]
    assert first["error"] == ""
    assert first["restored"] > 0
    assert "Traceback" not in done.stderr
    assert "Qt" not in done.stderr, done.stderr
    for name in ("system", "models-small", "chat", "chat-waiting", "images", "images-busy"):
        assert (folder / f"{name}-{theme}.png").stat().st_size > 5000
