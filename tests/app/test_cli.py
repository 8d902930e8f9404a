"""The command line as a person and a script meet it: real processes, the real embedded engines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.engines.embedded import is_available
from tests.aio import until_sync
from tests.real import models

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real, pytest.mark.xdist_group("cli")]
needs_images = pytest.mark.skipif(
    not is_available("sd-cli"), reason="the extra embedded-image is not installed"
)


def run(
    home: Path, *arguments: str, stdin: str = "", timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "genai_desktop", *arguments],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def last(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return lines(done)[-1]


def test_doctor_says_all_it_promises(home: Path) -> None:
    report = last(run(home, "doctor", "--json"))
    assert set(report) >= {
        "version", "python", "platform", "data_dir", "offline", "cpu", "memory", "gpus", "recommendations",
        "engines", "problems",
    }  # fmt: skip
    assert report["data_dir"] == str(home)
    assert report["cpu"]["cores"] >= 1
    assert report["memory"]["total"] > 0
    assert any(e["engine"] == "llama.cpp" and e["state"] == "in-use" for e in report["engines"])
    people = run(home, "doctor")
    assert people.returncode == 0
    assert "Processor" in people.stdout
    assert people.stderr == ""


def test_data_dir_as_an_argument_moves_everything(tmp_path: Path, home: Path) -> None:
    other = tmp_path / "other"
    assert last(run(home, "--data-dir", str(other), "doctor", "--json"))["data_dir"] == str(other)
    assert not home.exists()


def test_usage_mistakes_exit_2(home: Path) -> None:
    assert run(home, "chat").returncode == 2
    assert (
        run(home, "image", "--model", "x", "--prompt", "p", "--steps", "many", "-o", "x.png").returncode == 2
    )
    assert run(home, "image", "--model", "x", "--prompt", "p", "--width", "17", "-o", "x.png").returncode == 2
    assert run(home, "no-such-command").returncode == 2


def test_chat_streams_and_counts(home: Path) -> None:
    done = run(
        home, "chat", "--json", "--model", "guide", "--temperature", "0", "--max-tokens", "40", "Hello"
    )
    answer = last(done)
    deltas = [line for line in lines(done) if line.get("event") == "delta"]
    assert "".join(d.get("content", "") for d in deltas) == answer["content"]
    assert answer["content"].strip()
    assert answer["finish_reason"] in ("stop", "length")
    stats = answer["stats"]
    assert stats["prompt_tokens"] > 0
    assert stats["completion_tokens"] > 0
    assert stats["tokens_per_second"] > 0
    assert stats["first_token_seconds"] > 0


def test_chat_reads_standard_input_and_prints_plain_text(home: Path) -> None:
    done = run(home, "chat", "--max-tokens", "16", "-", stdin="Who are you?\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not done.stdout.lstrip().startswith("{")


def test_a_model_goes_onto_the_shelf_and_off_again(home: Path, tmp_path: Path) -> None:
    path = models.tiny_llama(tmp_path / "größe 🦙.gguf")
    model = last(run(home, "models", "import", str(path), "--name", "Größe 🦙", "--json"))["model"]
    assert model["name"] == "Größe 🦙"
    assert model["architecture"] == "llama"
    listed = last(run(home, "models", "list", "--json"))["models"]
    assert {m["id"] for m in listed} == {"guide", model["id"]}
    assert all(m["type"] == "llm" for m in listed)
    info = last(run(home, "models", "info", model["id"], "--json"))["model"]
    assert info["context_length"] == 2048
    assert info["footprint"]["weights"] > 0
    assert last(run(home, "models", "verify", model["id"], "--json"), 3)["result"] == "unverifiable"
    assert last(run(home, "models", "remove", model["id"], "--json"))["freed"] == 0
    assert path.exists(), "an imported file stays where it is"
    assert last(run(home, "models", "info", model["id"], "--json"), 1)["code"] == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("kind", ["truncated", "html", "pickle", "absent", "folder"])
def test_what_is_no_model_is_refused_with_a_sentence(home: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.gguf"
    if kind == "truncated":
        models.truncated(models.tiny_llama(tmp_path / "good.gguf"), path)
    elif kind == "html":
        models.html_instead(path)
    elif kind == "pickle":
        path = tmp_path / "bad.ckpt"
        path.write_bytes(b"\x80\x02}q\x00.")
    elif kind == "folder":
        path.mkdir()
    error = last(run(home, "models", "import", str(path), "--json"), 1)
    assert error["event"] == "error"
    assert error["message"].endswith((".", "!"))
    assert error["remedy"]
    words = run(home, "models", "import", str(path))
    assert words.returncode == 1
    assert words.stderr.startswith("Error: ")
    assert words.stdout == ""


def test_an_unknown_architecture_is_told_when_it_is_loaded(home: Path, tmp_path: Path) -> None:
    path = models.unknown_arch(tmp_path / "new.gguf")
    done = run(home, "models", "import", str(path), "--json")
    if done.returncode == 0:
        error = last(run(home, "chat", "--json", "--model", lines(done)[-1]["model"]["id"], "hi"), 1)
    else:
        error = lines(done)[-1]
    assert "fantasia" in error["message"]


def test_a_wrong_role_is_refused(home: Path, tmp_path: Path) -> None:
    files = models.wrong_role(models.tiny_flux_set(tmp_path))
    parts = [f"--component={role}={path}" for role, path in files.items() if role != "diffusion_model"]
    error = last(
        run(home, "models", "import", str(files["diffusion_model"]), "--type", "diffusion", *parts, "--json"),
        1,
    )
    assert error["event"] == "error"
    assert "diffusion" in error["message"].lower()


def test_own_binary_by_path_is_read_and_used(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "my llama-server"
    script.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m genai_desktop --embedded-engine llama-server "$@"\n'
    )
    script.chmod(0o755)
    build = last(run(home, "engines", "use", "llama.cpp", str(script), "--json"))["build"]
    assert build["variant"] == "own"
    assert build["path"] == str(script)
    answer = last(run(home, "chat", "--json", "--model", "guide", "--max-tokens", "4", "Hello"))
    assert answer["stats"]["completion_tokens"] > 0
    back = last(run(home, "engines", "use", "llama.cpp", "embedded", "--json"))["build"]
    assert back["variant"] == "embedded"


@pytest.mark.parametrize("kind", ["absent", "not-executable", "something-else"])
def test_a_binary_that_is_none_is_refused(home: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "binary"
    if kind == "not-executable":
        path.write_text("hello")
    elif kind == "something-else":
        path.write_text("#!/bin/sh\necho I am something else\n")
        path.chmod(0o755)
    error = last(run(home, "engines", "use", "llama.cpp", str(path), "--json"), 1)
    assert error["message"]
    assert error["remedy"]


def test_engines_are_listed_and_really_tested(home: Path) -> None:
    engines = last(run(home, "engines", "list", "--json"))["engines"]
    assert {e["engine"] for e in engines} == {"llama.cpp", "stable-diffusion.cpp"}
    build = last(run(home, "engines", "test", "llama.cpp", "--json"))["build"]
    assert [t["name"] for t in build["tests"]]
    assert all(t["passed"] for t in build["tests"]), build["tests"]
    assert any(t["seconds"] > 0 for t in build["tests"])


@needs_images
def test_image_paints_with_progress_and_keeps_the_seed(home: Path, tmp_path: Path) -> None:
    files = models.tiny_flux_set(tmp_path / "set")
    parts = [f"--component={role}={path}" for role, path in files.items() if role != "diffusion_model"]
    model = last(
        run(home, "models", "import", str(files["diffusion_model"]), "--type", "diffusion", *parts, "--json")
    )["model"]
    assert set(model["components"]) == {"diffusion_model", "clip_l", "taesd"}

    def paint(name: str, *more: str) -> dict[str, Any]:
        done = run(
            home, "image", "--json", "--model", model["id"], "--prompt", "a lighthouse", "--width", "64",
            "--height", "64", "--steps", "2", "--cfg-scale", "1", *more, "-o", str(tmp_path / name),
        )  # fmt: skip
        result = last(done)
        percents = [line["percent"] for line in lines(done) if line.get("event") == "progress"]
        assert percents == sorted(percents)
        return result

    first = paint("one.png", "--seed", "0")
    paint("two.png", "--seed", "0")
    assert first["images"][0]["seed"] == 0
    assert first["handoff"]["needed"] is False
    from PIL import Image

    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.size == (64, 64)
        assert one.tobytes() == two.tobytes()
    both = paint("many.png", "--seed", "5", "--count", "2")
    assert [i["seed"] for i in both["images"]] == [5, 6]
    assert all(Path(i["path"]).exists() for i in both["images"])
    assert both["images"][0]["path"] != both["images"][1]["path"]
    bad = run(
        home, "image", "--json", "--model", model["id"], "--prompt", "x", "--sampler", "none-such", "-o",
        str(tmp_path / "x.png"),
    )  # fmt: skip
    assert last(bad, 1)["code"] == "INVALID_REQUEST"
    nowhere = run(
        home, "image", "--json", "--model", model["id"], "--prompt", "x", "-o", str(tmp_path / "no" / "x.png")
    )
    assert last(nowhere, 1)["remedy"]


def test_serve_says_when_it_is_ready_and_stops_on_a_signal(home: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "genai_desktop", "serve", "--json", "--model", "guide", "--port", "auto"],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = None
        for line in process.stdout:
            found = json.loads(line)
            if found["event"] == "ready":
                ready = found
                break
        assert ready is not None
        assert ready["llm"]["model"] == "guide"
        pid = ready["llm"]["pid"]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
        until_sync(lambda: not Path(f"/proc/{pid}").exists(), timeout=3.0, what="death of the server")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_a_busy_port_is_told_with_its_owner(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(home, "serve", "--json", "--model", "guide", "--port", str(port), timeout=60)
    error = last(done, 1)
    assert error["code"] == "PORT_IN_USE"
    assert str(port) in error["message"]


def test_an_interrupted_chat_exits_130_and_leaves_no_child(home: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "genai_desktop",
            "chat",
            "--json",
            "--model",
            "guide",
            "--seed",
            "1",
            "Tell me all.",
        ],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    import psutil

    children = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (130, 0), errors  # 0: the short answer was complete already
    assert "Traceback" not in errors
    until_sync(lambda: not any(Path(f"/proc/{p}").exists() for p in children), timeout=3.0, what="death")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_data_folder_is_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    error = last(run(folder / "data", "doctor", "--json"), 1)
    assert error["remedy"]


def test_a_data_folder_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    error = last(run(path, "doctor", "--json"), 1)
    assert error["event"] == "error"
    assert error["remedy"]


def test_a_newer_database_is_not_touched(home: Path) -> None:
    import sqlite3

    assert run(home, "doctor").returncode == 0
    database = sqlite3.connect(home / "genai.sqlite3")
    database.execute("PRAGMA user_version = 999")
    database.commit()
    database.close()
    error = last(run(home, "doctor", "--json"), 1)
    assert error["code"] == "DATABASE_TOO_NEW"


@needs_images
def test_demo_replies_steps_aside_and_still_knows(home: Path) -> None:
    result = last(run(home, "demo", "--json", timeout=180))
    assert result["chat"]["content"].strip()
    assert Path(result["image"]["images"][0]["path"]).exists()
    assert result["handoff"]["needed"] is True
    assert result["handoff"]["cached_tokens"] > 0


def test_no_arguments_mean_what_the_parser_says() -> None:
    from genai_desktop import cli
    from genai_desktop.cli.parser import build_parser

    assert vars(cli.parse([])) == vars(build_parser().parse_args([]))
