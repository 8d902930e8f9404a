"""The program as a process: it starts, works, ends; killed in any state it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.engines.embedded import is_available
from tests.aio import until_sync
from tests.real import models

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real, pytest.mark.window, pytest.mark.xdist_group("app")]
needs_images = pytest.mark.skipif(
    not is_available("sd-cli"), reason="the extra embedded-image is not installed"
)


class Program:
    """A running driver."""

    def __init__(self, state: str, home: Path, *more: str) -> None:
        env = {**os.environ, "GENAI_DESKTOP_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.driver", state, *more],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reached(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        found: dict[str, Any] = json.loads(line)
        assert "failed" not in found, found
        return found

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def programs(home: Path) -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


def start(programs: list[Program], state: str, home: Path, *more: str) -> Program:
    program = Program(state, home, *more)
    programs.append(program)
    return program


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def import_test_images(home: Path) -> None:
    code = (
        "import asyncio, genai_desktop\n"
        "async def main():\n"
        "    async with genai_desktop.open() as g:\n"
        "        await g.ensure_test_image_model()\n"
        "asyncio.run(main())\n"
    )
    env = {**os.environ, "GENAI_DESKTOP_HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=60)


def import_endless_model(home: Path, folder: Path) -> str:
    """Random weights do not know when to stop: a reply long enough to be killed in."""
    path = models.tiny_llama(folder / "endless.gguf", n_layer=4, n_embd=256, n_ff=768)
    done = subprocess.run(
        [sys.executable, "-m", "genai_desktop", "models", "import", str(path), "--json"],
        cwd=ROOT, env={**os.environ, "GENAI_DESKTOP_HOME": str(home)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    model_id: str = json.loads(done.stdout.splitlines()[-1])["model"]["id"]
    return model_id


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(programs: list[Program], home: Path, number: int) -> None:
    program = start(programs, "idle", home)
    program.reached()
    code, errors = program.end(number)
    assert code == 0, errors
    assert "Qt" not in errors.replace("QT_", ""), errors
    assert "Traceback" not in errors, errors


@pytest.mark.parametrize("state", ["loading", "streaming"])
def test_quitting_stops_the_server(programs: list[Program], home: Path, state: str) -> None:
    program = start(programs, state, home)
    children = program.reached()["children"]
    assert children
    code, errors = program.end(signal.SIGTERM)
    assert code == 0, errors
    assert alive(children) == []


@pytest.mark.parametrize(
    "state",
    [
        "idle",
        "loading",
        "streaming",
        pytest.param("generating", marks=needs_images),
        pytest.param("suspended", marks=needs_images),
    ],
)
def test_killed_in_any_state_no_child_survives_and_the_next_start_works(
    programs: list[Program], home: Path, tmp_path: Path, state: str
) -> None:
    if state in ("generating", "suspended"):
        import_test_images(home)
    model = import_endless_model(home, tmp_path) if state == "streaming" else "guide"
    program = start(programs, state, home, "kill", f"model={model}")
    reached = program.reached()
    children = reached["children"]
    if state != "idle":
        assert children, reached
    program.process.communicate(timeout=30)
    assert program.process.returncode == -signal.SIGKILL
    until_sync(lambda: alive(children) == [], timeout=2.0, what="death of the children")

    database = sqlite3.connect(home / "genai.sqlite3")
    assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    database.close()
    report = subprocess.run(
        [sys.executable, "-c", _RECOVERY],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert report.returncode == 0, report.stderr
    found = json.loads(report.stdout)
    assert found["states"] == [] or "streaming" not in found["states"]
    if state == "streaming":
        assert found["messages"] >= 1
        assert any(text for text in found["texts"])
    if state in ("streaming", "suspended"):
        assert found["model"] == model
    if state in ("generating", "suspended"):
        assert found["images"] == 1


_RECOVERY = """
import asyncio, json, genai_desktop
async def main():
    async with genai_desktop.open() as g:
        r = g.recovery
        texts, states = [], []
        for s in await g.conversations.list():
            for m in (await g.conversations.get(s.id)).messages:
                states.append(m.state); texts.append(m.content)
        found = {"messages": r.interrupted_messages, "images": r.interrupted_images, "model": r.model_id}
        print(json.dumps({**found, "states": states, "texts": texts}))
asyncio.run(main())
"""


def test_a_second_start_raises_the_first_window_and_leaves(programs: list[Program], home: Path) -> None:
    first = start(programs, "idle", home)
    first.reached()
    second = subprocess.run(
        [sys.executable, "-m", "genai_desktop"],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    assert first.process.poll() is None
    assert first.end(signal.SIGTERM)[0] == 0
