"""For every test: no screen, no real home, and nothing left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# a test must never meet the settings, models or keys of the person who runs it
for _name in ("HF_TOKEN", "HF_ENDPOINT", "GENAI_DESKTOP_HOME"):
    os.environ.pop(_name, None)

# threads of libraries that live as long as the process does
_PERMANENT = ("pytest_timeout", "execnet", "QThread", "Dummy-", "ThreadPoolExecutor-hypothesis")


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails a test that leaves a child process or a thread running."""
    before_threads = set(threading.enumerate())
    before_children = {p.pid for p in psutil.Process().children(recursive=True)}
    yield
    deadline = time.monotonic() + 5.0
    while True:
        threads = [
            t
            for t in threading.enumerate()
            if t not in before_threads and t.is_alive() and not t.name.startswith(_PERMANENT)
        ]
        children = []
        for process in psutil.Process().children(recursive=True):
            try:
                if process.pid not in before_children and process.status() != psutil.STATUS_ZOMBIE:
                    children.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
            except psutil.NoSuchProcess:
                continue
        if not threads and not children:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: threads {[t.name for t in threads]}, processes {children}")
        time.sleep(0.01)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, with the awkward name that real ones have."""
    folder = tmp_path / "data folder ü"
    monkeypatch.setenv("GENAI_DESKTOP_HOME", str(folder))
    return folder
