"""The record of our children: what a crash left running is ended, and nothing else is touched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.engines.environment import INSTANCE_TOKEN
from genai_desktop.engines.ledger import Ledger
from tests.aio import until_sync

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sleep(1)")


@pytest.fixture
def sleeper() -> Iterator[Any]:
    """Starts processes as a launcher would: own session, the token in the environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(token: str, *argv: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, INSTANCE_TOKEN: token}
        process = subprocess.Popen(argv or ("sleep", "1000"), env=env, start_new_session=True)
        started.append(process)
        # for a moment after the exec the kernel shows no environment yet
        until_sync(lambda: INSTANCE_TOKEN in psutil.Process(process.pid).environ(), what="the environment")
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def program(pid: int) -> str:
    return psutil.Process(pid).exe()


def left_behind(directory: Path, **changes: Any) -> None:
    """Make the entries look like those of a program that is gone."""
    for path in directory.glob("*.json"):
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "owner_pid": 2**22, "owner_create_time": 1.0, **changes}))


def test_record_and_forget(tmp_path: Path, sleeper: Any) -> None:
    ledger = Ledger(tmp_path / "runtime")
    process = sleeper(ledger.token)
    ledger.record("llama", process.pid, 8080, program(process.pid))
    (entry,) = ledger.entries()
    assert (entry.name, entry.pid, entry.port, entry.token) == ("llama", process.pid, 8080, ledger.token)
    assert entry.create_time == psutil.Process(process.pid).create_time()
    (path,) = (tmp_path / "runtime").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ledger.forget("llama")
    ledger.forget("llama")
    assert ledger.entries() == []


def test_what_an_earlier_run_left_is_ended(tmp_path: Path, sleeper: Any) -> None:
    before = Ledger(tmp_path)
    process = sleeper(before.token, "sh", "-c", "sleep 1000 & echo; wait")
    before.record("llama", process.pid, 1, program(process.pid))
    left_behind(tmp_path)
    assert Ledger(tmp_path).sweep() == [f"llama (process {process.pid})"]
    assert not psutil.pid_exists(process.pid), "gone when sweep returns"
    assert list(tmp_path.iterdir()) == []


def test_a_script_is_recognised_under_its_interpreter(tmp_path: Path, sleeper: Any) -> None:
    before = Ledger(tmp_path)
    script = tmp_path / "engine.sh"
    script.write_text("#!/bin/sh\nsleep 1000; true\n")
    script.chmod(0o755)
    process = sleeper(before.token, str(script))
    before.record("llama", process.pid, None, str(script))
    left_behind(tmp_path)
    assert len(Ledger(tmp_path).sweep()) == 1
    assert not psutil.pid_exists(process.pid)


@pytest.mark.parametrize(
    "change",
    [
        {"create_time": 12345.0},
        {"executable": "/usr/bin/something-else"},
        {"token": "another instance"},
    ],
)
def test_unless_everything_matches_nothing_is_killed(
    tmp_path: Path, sleeper: Any, change: dict[str, Any]
) -> None:
    before = Ledger(tmp_path)
    process = sleeper(before.token)
    before.record("llama", process.pid, 1, program(process.pid))
    left_behind(tmp_path, **change)
    assert Ledger(tmp_path).sweep() == []
    assert process.poll() is None
    assert list(tmp_path.iterdir()) == [], "but the entry is of no use any more"


def test_a_pid_given_to_somebody_else_is_safe(tmp_path: Path, sleeper: Any) -> None:
    before = Ledger(tmp_path)
    ours, other = sleeper(before.token), sleeper("somebody else")
    before.record("llama", ours.pid, 1, program(ours.pid))
    left_behind(tmp_path, pid=other.pid)
    assert Ledger(tmp_path).sweep() == []
    assert other.poll() is None


def test_children_of_a_program_that_still_runs_are_its_own(tmp_path: Path, sleeper: Any) -> None:
    """Two of us may share a data folder: the window and the command line."""
    other = Ledger(tmp_path)
    process, owner = sleeper(other.token), sleeper("the other program")
    other.record("llama", process.pid, 1, program(process.pid))
    created = psutil.Process(owner.pid).create_time()
    left_behind(tmp_path, owner_pid=owner.pid, owner_create_time=created)
    assert Ledger(tmp_path).sweep() == []
    assert process.poll() is None
    assert len(list(tmp_path.iterdir())) == 1
    left_behind(tmp_path, owner_pid=owner.pid, owner_create_time=created - 100)
    assert len(Ledger(tmp_path).sweep()) == 1, "that pid belongs to somebody younger now"


def test_two_children_of_one_name_do_not_overwrite_each_other(tmp_path: Path, sleeper: Any) -> None:
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    first, second = sleeper(one.token), sleeper(two.token)
    one.record("llama", first.pid, 1, program(first.pid))
    two.record("llama", second.pid, 2, program(second.pid))
    assert {entry.pid for entry in one.entries()} == {first.pid, second.pid}
    two.forget("llama")
    assert {entry.pid for entry in one.entries()} == {first.pid}


def test_our_own_children_are_not_swept(tmp_path: Path, sleeper: Any) -> None:
    ledger = Ledger(tmp_path)
    process = sleeper(ledger.token)
    ledger.record("llama", process.pid, 1, program(process.pid))
    assert ledger.sweep() == []
    assert process.poll() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"pid": 1}', '{"name": 3}', "\x00\xff", json.dumps({"session": 1}), "9" * 5000],
)
def test_other_and_damaged_files_are_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strange.json"
    path.write_text(text)
    assert Ledger(tmp_path).sweep() == []
    assert Ledger(tmp_path).entries() == []
    assert path.exists()


@pytest.mark.parametrize("pid", [0, 1, -1, "7", None, 10**30])
def test_hostile_pids_kill_nobody(tmp_path: Path, sleeper: Any, pid: Any) -> None:
    before = Ledger(tmp_path)
    process = sleeper(before.token)
    before.record("llama", process.pid, 1, program(process.pid))
    left_behind(tmp_path, pid=pid)
    assert Ledger(tmp_path).sweep() == []
    assert process.poll() is None


def test_kill_all(tmp_path: Path, sleeper: Any) -> None:
    ledger = Ledger(tmp_path)
    processes = [sleeper(ledger.token) for _ in range(3)]
    for number, process in enumerate(processes):
        ledger.record(f"child {number}/../x", process.pid, None, program(process.pid))
    ledger.kill_all()
    assert [process.wait(5) for process in processes] == [-9, -9, -9]
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.json"))


def test_a_disk_that_refuses_does_not_stop_a_start(
    tmp_path: Path, sleeper: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    ledger = Ledger(blocked / "runtime")
    process = sleeper(ledger.token)
    ledger.record("llama", process.pid, 1, program(process.pid))
    assert "could not be written down" in caplog.text
    ledger.kill_all()
    assert process.wait(5) == -9, "the children of this run are known without the disk"


def test_a_child_that_is_gone_already_is_not_recorded(tmp_path: Path) -> None:
    Ledger(tmp_path).record("llama", 2**22, 1, "/bin/true")
    assert list(tmp_path.iterdir()) == []
