"""What goes wrong with the language model's engine, through all services together, with the real engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.errors import GenaiError, InferenceError
from tests.aio import run, until
from tests.app.faults import (
    ENDLESS,
    ROOT,
    SHORT,
    OwnLlama,
    Scene,
    endless_model,
    engines,
    note,
    opened,
    refusal,
    run_cli,
)
from tests.real import models

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]


# 1. killed in the middle of a reply


def test_killed_in_the_middle_of_a_reply(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            await scene.genai.load_llm(await endless_model(scene.genai, tmp_path))
            reply = await scene.say("Go on for ever.", ENDLESS)
            await scene.has_said(reply)
            killed = scene.pid
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            message = await scene.over(reply)
            note("until_reply_says_so", time.monotonic() - began)
            info = await scene.becomes("crashed")
            note("until_crash_report", time.monotonic() - began)
            assert message.state == "interrupted"
            assert len(message.content) >= 40
            assert "ended before the reply was complete" in message.error
            assert info.error_code == "KILLED"
            assert info.error_message.endswith(".")
            assert "1 seconds" in info.error_remedy
            assert any("listening" in line for line in info.log_tail)
            stored = await scene.genai.conversations.get(scene.conversation)
            assert stored.messages[-1] == message
            await scene.becomes("running")
            assert scene.pid != killed
            assert scene.info.restarts == 1
            assert scene.info.error_message == ""
            assert (await scene.answered("And now?")).error == ""

    run(main(), 90)


def test_what_waits_behind_a_reply_outlives_the_engine(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            model = await endless_model(scene.genai, tmp_path)
            second = (await scene.genai.conversations.create()).summary.id
            loading = asyncio.ensure_future(scene.genai.load_llm(model))
            await scene.becomes("starting")
            first = await scene.say("Go on for ever.", ENDLESS)
            waiting = await scene.genai.conversations.send(second, "And I?", sampling=SHORT)
            await loading
            await scene.has_said(first)
            assert scene.messages[waiting].state == "waiting"
            os.kill(scene.pid, signal.SIGKILL)
            assert (await scene.over(first)).state == "interrupted"
            message = await scene.over(waiting)
            assert message.state == "done", message.error
            assert scene.info.restarts == 1

    run(main(), 90)


def test_after_three_restarts_it_stays_away_until_somebody_loads(home: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            await scene.genai.load_llm("guide")
            began = time.monotonic()
            for restarts in range(4):
                await scene.becomes("running")
                assert scene.info.restarts == restarts
                os.kill(scene.pid, signal.SIGKILL)
                await scene.becomes("crashed")
            note("until_given_up", time.monotonic() - began)
            assert scene.info.restarts == 3
            assert "started again" not in scene.info.error_remedy
            with pytest.raises(InferenceError, match="crashed") as refused:
                await scene.say("Are you there?")
            assert "kept" in refused.value.remedy
            assert (await scene.genai.conversations.get(scene.conversation)).draft == "Are you there?"
            assert engines() == []
            await scene.genai.load_llm("guide")
            await scene.answered("Are you there?")
            assert scene.info.restarts == 0

    run(main(), 90)


def test_no_restart_when_it_would_fail_again(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            path = models.tiny_llama(tmp_path / "tiny.gguf")
            model = await scene.genai.models.import_model(str(path))
            await scene.genai.load_llm(model.id)
            path.write_bytes(models.truncated(path, tmp_path / "cut.gguf").read_bytes())
            os.kill(scene.pid, signal.SIGKILL)
            await until(lambda: scene.info.restarts == 1 and scene.info.status == "crashed")
            assert scene.info.error_code == "MODEL_TRUNCATED"
            assert "again in" not in scene.info.error_remedy
            await until(lambda: not scene.genai.llama._supervisor.is_active)
            assert engines() == []
            await scene.genai.load_llm("guide")
            await scene.answered()

    run(main(), 60)


# 2. the end while loading


def spoil_truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])


def spoil_html(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html><html><body>Please sign in.</body></html>\n" * 40)


def spoil_unknown(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"llama", b"fanta"))


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_away(path: Path) -> None:
    path.unlink()


def spoil_tensor(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"))


# (how, what it says; is it the engine that finds out, and not a look at the header)
BAD_MODELS = [
    (spoil_truncated, "is incomplete", False),
    (spoil_html, "web page", False),
    (spoil_empty, "empty", False),
    (spoil_away, "does not exist", False),
    (spoil_unknown, "'fanta'", True),
    (spoil_tensor, "blk.1.attn_q.weight", True),
]


async def refused(scene: Scene, model_id: str) -> GenaiError:
    with pytest.raises(GenaiError) as caught:
        await scene.genai.load_llm(model_id)
    error = caught.value
    failure = Failure.of("load", error)  # what a page shows
    assert failure.code != "UNEXPECTED"
    assert failure.message.endswith("."), failure
    assert failure.remedy, failure
    assert scene.info.status in ("stopped", "crashed")
    assert scene.info.pid is None
    assert scene.info.url is None
    assert scene.info.error_message == error.message
    assert engines() == []
    return error


def test_a_model_that_went_bad_after_its_import(home: Path, tmp_path: Path) -> None:
    """One after the other in one program: each says why, and leaves a state from which a load works."""

    async def main() -> None:
        async with opened(home) as scene:
            for number, (spoil, words, is_told_by_engine) in enumerate(BAD_MODELS):
                path = models.tiny_llama(tmp_path / f"{number} ü.gguf")
                model = await scene.genai.models.import_model(str(path))
                spoil(path)
                began = time.monotonic()
                error = await refused(scene, model.id)
                note(spoil.__name__, time.monotonic() - began)
                assert words in error.message
                assert bool(error.details.get("log")) == is_told_by_engine
            await scene.genai.load_llm("guide")
            await scene.answered()

    run(main(), 90)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("exit-loading=0", "SERVER_EXITED", "exit code 0"),
        ("exit-loading=7", "SERVER_EXITED", "exit code 7"),
        ("signal-loading=11", "SERVER_CRASHED", "SIGSEGV"),
        ("signal-loading=9", "KILLED", "memory"),
        ("signal-loading=4", "ILLEGAL_INSTRUCTION", "processor"),
    ],
)
def test_the_end_while_loading_is_told_at_once(
    home: Path, tmp_path: Path, fault: str, code: str, words: str
) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            own = OwnLlama(tmp_path / "own engine ü")
            await own.use(scene.genai)
            own.misbehave(fault)
            error = await refused(scene, "guide")
            assert error.code == code
            assert words in error.message
            own.misbehave()
            await scene.genai.load_llm("guide")
            await scene.answered()

    run(main(), 60)


def test_the_command_line_tells_it_too(home: Path, tmp_path: Path) -> None:
    path = models.tiny_llama(tmp_path / "tiny.gguf")
    done = run_cli(home, "models", "import", str(path), "--name", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    model = run_cli(home, "models", "list")
    model_id = next(line.split()[0] for line in model.stdout.splitlines() if " tiny " in line)
    spoil_truncated(path)
    began = time.monotonic()
    error = refusal(run_cli(home, "chat", "--json", "--model", model_id, "Hello"))
    note("cli", time.monotonic() - began)
    assert "is incomplete" in error["message"]
    own = OwnLlama(tmp_path / "own")
    assert run_cli(home, "engines", "use", "llama.cpp", str(own.path)).returncode == 0
    own.misbehave("signal-loading=11")
    words = run_cli(home, "chat", "--model", "guide", "Hello")
    assert words.returncode == 1
    assert words.stdout == ""
    assert words.stderr.startswith("Error: The engine crashed while loading the model: signal 11 (SIGSEGV).")
    assert "Traceback" not in words.stderr


def test_the_engine_is_killed_under_the_command_line(home: Path, tmp_path: Path) -> None:
    path = models.tiny_llama(tmp_path / "endless.gguf", n_ctx_train=32768)
    done = run_cli(home, "models", "import", str(path), "--json")
    model = json.loads(done.stdout.splitlines()[-1])["model"]["id"]
    with subprocess.Popen(
        [sys.executable, "-m", "genai_desktop", "chat", "--model", model, "--context", "32768", "Go on."],
        cwd=ROOT, env={**os.environ, "GENAI_DESKTOP_HOME": str(home)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read(40)
        (engine,) = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "llama-server" in child.cmdline()
        ]
        engine.kill()
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(said + rest) >= 40
    assert errors.startswith("Error: The model server ended before the reply was complete.")
    assert "Traceback" not in errors
