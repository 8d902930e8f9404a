"""A data folder that cannot be used, is damaged, runs full, or has two users: told, and nothing is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.app.faults import AS_ANYBODY, ROOT, refusal, run_cli
from tests.real import models

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]


@pytest.fixture
def used(home: Path, tmp_path: Path) -> Path:
    """A data folder with a model, a setting and a conversation in it."""
    path = models.tiny_llama(tmp_path / "tiny.gguf")
    done = run_cli(home, "models", "import", str(path), "--name", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    (home / "settings.json").write_text(json.dumps({"system_prompt": "Be kind.", "text_scale": 120}))
    return home


def names(home: Path) -> set[str]:
    done = run_cli(home, "models", "list", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return {model["name"] for model in json.loads(done.stdout.splitlines()[-1])["models"]}


def tree(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}


@pytest.fixture
def locked(used: Path) -> Iterator[Path]:
    folders = [used, *(path for path in used.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    for path in used.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    yield used
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("command", [("doctor",), ("chat", "--model", "guide", "Hello"), ("models", "list")])
def test_a_read_only_data_folder(locked: Path, command: tuple[str, ...]) -> None:
    before = tree(locked)
    error = refusal(run_cli(locked, *command, "--json", prefix=AS_ANYBODY))
    assert str(locked) in error["message"]
    assert "permission" in error["message"]
    assert tree(locked) == before


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o555)
    error = refusal(run_cli(parent / "data", "doctor", "--json", prefix=AS_ANYBODY))
    assert "permission" in error["message"]


@pytest.mark.parametrize("damage", ["garbage", "truncated", "pages", "newer", "folder"])
def test_a_database_that_cannot_be_used(used: Path, damage: str) -> None:
    database = used / "genai.sqlite3"
    whole = database.read_bytes()
    if damage == "garbage":
        database.write_bytes(b"this is no database, " * 1000)
    elif damage == "truncated":
        database.write_bytes(whole[: len(whole) // 2])
    elif damage == "pages":
        database.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    elif damage == "newer":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version = 999")
    else:
        database.unlink()
        database.mkdir()
    before = tree(used)
    error = refusal(run_cli(used, "models", "list", "--json"))
    assert error["code"] in {"newer": ("DATABASE_TOO_NEW",), "folder": ("READ_ONLY", "IO_ERROR")}.get(
        damage, ("DATABASE_DAMAGED",)
    )
    words = run_cli(used, "models", "list")
    assert words.returncode == 1
    assert words.stderr.startswith("Error: The data")
    # byte for byte what it was, but for what SQLite keeps beside it
    assert {k: v for k, v in tree(used).items() if "sqlite3-" not in k} == before
    if damage != "folder":
        database.rename(used / "away")  # the remedy
        for extra in used.glob("genai.sqlite3-*"):
            extra.unlink()
        assert names(used) == {"Guide (demo)"}


@pytest.mark.parametrize(
    ("text", "is_kept_aside"),
    [(b'{"theme": "dark", ', True), (b"\x00\xff\xfe", True), (b"[1, 2]", True), (b"", True), (None, False)],
)
def test_settings_that_are_damaged(used: Path, text: bytes | None, is_kept_aside: bool) -> None:
    settings = used / "settings.json"
    if text is None:  # one wrong value must not cost the others
        text = b'{"text_scale": "huge", "theme": "dark", "of_a_newer_version": 7}'
    settings.write_bytes(text)
    assert names(used) == {"Guide (demo)", "tiny"}
    done = run_cli(used, "engines", "use", "llama.cpp", "embedded", "--json")  # writes them
    assert done.returncode == 0, done.stdout
    aside = [path.read_bytes() for path in used.glob("settings.json.damaged*")]
    assert aside == ([text] if is_kept_aside else [])
    now = json.loads(settings.read_text())
    if not is_kept_aside:
        assert now["theme"] == "dark"
        assert now["of_a_newer_version"] == 7


def fill(home: Path, how: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    models.tiny_llama(home.parent / "other.gguf", seed=9)
    return subprocess.run(
        [*prefix, sys.executable, "-m", "tests.app.full_disk", str(home), how],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def check_filled(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    *steps, states = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step["step"] for step in steps] == ["settings", "conversation", "message", "model", "picture"]
    for step in steps:
        assert step["code"] in ("DISK_FULL", "IO_ERROR"), step
        assert step["message"].endswith("."), step
        assert step["remedy"], step
    assert states["between"] == states["before"]
    after: dict[str, Any] = states["after"]
    assert after["theme"] == ["light", "light"]
    assert after["said"] == ["Before.", "On the full disk."]
    assert len(after["models"]) == len(states["before"]["models"]) + 1
    assert after["pictures"] == len(after["files"]) == 1
    unsaved = states["unsaved"]
    assert unsaved["state"] == "stopped"
    assert unsaved["length"] >= 40
    assert "It could not be saved" in unsaved["error"]
    assert states["again"] == {**after, "said": [*after["said"], "Fill it while you talk."]}


def test_files_that_cannot_grow(home: Path) -> None:
    check_filled(fill(home, "limit"))


def test_a_disk_that_runs_full(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    mount = f"mount -t tmpfs -o size=3m none '{home}'"
    own = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    if subprocess.run([*own, mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be made here")
    check_filled(fill(home, "fill", *own, f'{mount} && exec "$@"', "sh"))


def test_a_full_disk_at_the_start(used: Path) -> None:
    limit = "import resource, sys, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16));"
    code = f"{limit} sys.argv = ['genai-desktop', 'doctor', '--json']; runpy.run_module('genai_desktop')"
    done = subprocess.run(
        [sys.executable, "-c", code.replace("'genai_desktop')", "'genai_desktop', run_name='__main__')")],
        cwd=ROOT, env={**os.environ, "GENAI_DESKTOP_HOME": str(used)}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    refusal(done)
    assert names(used) == {"Guide (demo)", "tiny"}


# 9. two at once


def test_chats_and_imports_at_the_same_time(home: Path, tmp_path: Path) -> None:
    """Four programs on one data folder, one of them killed in the middle."""
    paths = [models.tiny_llama(tmp_path / f"model {n}.gguf", seed=n) for n in range(4)]
    environment = {**os.environ, "GENAI_DESKTOP_HOME": str(home)}

    def begin(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "genai_desktop", *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    chat = ("chat", "--json", "--model", "guide", "--max-tokens", "64", "--temperature", "0")
    programs = [begin(*chat, "How do I download a model?"), begin(*chat, "Who are you?")]
    victim = begin(*chat, "What is GGUF?")
    assert victim.stdout is not None
    programs += [begin("models", "import", str(path), "--json") for path in paths]
    victim.stdout.readline()
    victim.kill()
    victim.communicate()
    for program in programs:
        out, errors = program.communicate(timeout=90)
        assert program.returncode == 0, out + errors
        assert errors == ""
    assert names(home) == {"Guide (demo)", *(path.stem for path in paths)}
    with closing(sqlite3.connect(home / "genai.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert list((home / "runtime").glob("llama-*.json")) == []
