"""What goes wrong with the language model's engine, through all services together, with the real engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.errors import CancelledError, GenaiError, InferenceError, ModelNotFoundError
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.embedded import LLAMA_SERVER, command_line
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.ports import free_port
from genai_desktop.library.paths import DataPaths, guide_model
from tests.aio import run, until, until_sync
from tests.app.faults import (
    ENDLESS,
    ROOT,
    SHORT,
    OwnLlama,
    Scene,
    endless_model,
    engines,
    freeze,
    is_alive,
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
                await until(lambda n=restarts: (scene.info.status, scene.info.restarts) == ("running", n))
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


# 3. hangs


def test_what_hangs_is_dead_within_the_grace_period(home: Path, tmp_path: Path) -> None:
    """Four programs at once, because a grace period takes its time."""

    async def stop(name: str, fault: str, prepare: Callable[[Scene], Any]) -> None:
        async with opened(home / name) as scene:
            own = OwnLlama(tmp_path / name)
            await own.use(scene.genai)
            own.misbehave(*filter(None, [fault]))
            await prepare(scene)
            pid = scene.pid
            began = time.monotonic()
            await scene.genai.stop_server("llama")
            note(f"stop_{name}", time.monotonic() - began)
            assert not is_alive(pid)
            assert scene.info.status == "stopped"
            assert not list(scene.genai.paths.runtime.glob("llama-*"))
            own.misbehave()
            await scene.genai.load_llm("guide")

    async def loaded(scene: Scene) -> None:
        await scene.genai.load_llm("guide")

    async def suspended(scene: Scene) -> None:
        await loaded(scene)
        freeze(scene.pid)

    async def loading(scene: Scene) -> None:
        asyncio.ensure_future(scene.genai.load_llm("guide")).add_done_callback(lambda t: t.exception())
        await until(lambda: scene.info.load_progress is not None)
        freeze(scene.pid)

    async def real(scene: Scene) -> None:
        await scene.genai.engines.use("llama.cpp", "embedded")
        await suspended(scene)

    async def main() -> None:
        began = time.monotonic()
        await asyncio.gather(
            stop("deaf", "ignore-term", loaded),
            stop("stopped", "", suspended),
            stop("loading", "silent-hang", loading),
            stop("real", "", real),
        )
        assert time.monotonic() - began < 30

    run(main(), 80)


def test_a_reply_of_a_hung_engine_can_be_stopped(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            await scene.genai.load_llm(await endless_model(scene.genai, tmp_path))
            reply = await scene.say("Go on for ever.", ENDLESS)
            await scene.has_said(reply)
            freeze(scene.pid)
            await asyncio.wait_for(scene.genai.conversations.stop(scene.conversation), 5)
            message = await scene.over(reply)
            assert message.state == "stopped"
            assert len(message.content) >= 40
            os.kill(scene.pid, signal.SIGCONT)
            await scene.answered("Go on.")

    run(main(), 60)


def test_closing_with_a_hung_engine(home: Path, tmp_path: Path) -> None:
    """In the middle of a reply; what it said is kept."""

    async def main() -> None:
        async with opened(home) as scene:
            await scene.genai.load_llm(await endless_model(scene.genai, tmp_path))
            reply = await scene.say("Go on for ever.", ENDLESS)
            await scene.has_said(reply)
            freeze(scene.pid)
            began = time.monotonic()
        note("close", time.monotonic() - began)
        assert engines() == []
        async with opened(home) as scene:
            (found,) = await scene.genai.conversations.list()
            message = (await scene.genai.conversations.get(found.id)).messages[-1]
            assert (message.id, message.state) == (reply, "interrupted")
            assert len(message.content) >= 40

    run(main(), 60)


# people


def test_of_several_loads_at_once_the_last_one_counts(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            other = await endless_model(scene.genai, tmp_path)
            for turns in (0, 1, 5, 25):
                for wishes in (("guide", other, "guide"), ("guide", "guide", other), ("guide", "guide")):
                    loads = []
                    for model in wishes:
                        loads.append(asyncio.ensure_future(scene.genai.load_llm(model)))
                        for _ in range(turns):
                            await asyncio.sleep(0)
                    results = await asyncio.gather(*loads, return_exceptions=True)
                    assert not isinstance(results[-1], BaseException)
                    assert {type(r) for r in results} <= {ServerInfo, CancelledError}, results
                    assert (scene.info.status, scene.info.model_id) == ("running", wishes[-1])
                    assert len(engines()) == 1
            loading = asyncio.ensure_future(scene.genai.load_llm(other))
            await asyncio.sleep(0)
            await scene.genai.stop_server("llama")
            with pytest.raises(CancelledError):
                await loading
            assert scene.info.status == "stopped"
            assert engines() == []

    run(main(), 90)


def test_a_load_that_is_cancelled_and_one_that_cannot_begin(home: Path, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            own = OwnLlama(tmp_path / "own")
            await own.use(scene.genai)
            own.misbehave(f"hold={tmp_path / 'go'}")
            loading = asyncio.ensure_future(scene.genai.load_llm("guide"))
            await until(lambda: scene.info.load_progress is not None)
            (job,) = [job for job in scene.genai.jobs.list() if not job.is_finished]
            await scene.genai.cancel_job(job.id)
            with pytest.raises(CancelledError):
                await loading
            assert scene.info.status == "stopped"
            assert engines() == []
            own.misbehave()
            await scene.genai.load_llm("guide")
            with pytest.raises(ModelNotFoundError):
                await scene.genai.load_llm("no-such-model")
            await scene.answered()  # what is loaded stays

    run(main(), 60)


# 10. leftovers of a program that was killed


def test_only_what_is_ours_is_ended_at_the_next_start(home: Path) -> None:
    paths = DataPaths(home).ensure()
    ledger = Ledger(paths.runtime)
    started = subprocess.run(
        ["/bin/sh", "-c", '"$@" >/dev/null 2>&1 </dev/null & echo $!', "sh", *command_line(LLAMA_SERVER),
         "-m", str(guide_model()), "--port", str(free_port()), "-c", "256", "-t", "1"],
        cwd=ROOT, env={**os.environ, **ledger.environment()}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    left, foreign = int(started.stdout), os.getpid()
    try:
        until_sync(lambda: "llama-server" in psutil.Process(left).cmdline())
        ledger.record("llama", left, 1, sys.executable)
        (entry,) = paths.runtime.glob("llama-*.json")
        # the one who started it has been killed: its pid belongs to nobody now
        orphan = {**json.loads(entry.read_text()), "owner_pid": 2**22 - 3}
        entry.write_text(json.dumps(orphan))
        born = psutil.Process().create_time()
        for name, create_time in (("older", born - 100), ("same", born)):
            claim = {**orphan, "name": name, "pid": foreign, "create_time": create_time}
            entry.with_name(f"{name}-{foreign}.json").write_text(json.dumps(claim))

        async def main() -> None:
            async with opened(home) as scene:
                assert scene.genai.recovery.ended_children == (f"llama (process {left})",)
                assert not is_alive(left)
                await scene.genai.load_llm("guide")
                await scene.answered()

        run(main(), 60)
        assert is_alive(foreign)
        assert list(paths.runtime.glob("*.json")) == []
    finally:
        if is_alive(left):
            os.kill(left, signal.SIGKILL)
