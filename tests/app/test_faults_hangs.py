"""Engines that hang, people who are quick, and what a killed program left behind."""

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

from genai_desktop.core.errors import CancelledError, ModelNotFoundError
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.embedded import LLAMA_SERVER, command_line
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.ports import free_port
from genai_desktop.library.paths import DataPaths, guide_model
from tests.aio import run, until, until_sync
from tests.app.faults import (
    ENDLESS,
    ROOT,
    OwnLlama,
    Scene,
    endless_model,
    engines,
    freeze,
    is_alive,
    note,
    opened,
)

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]


# 3. hangs


def test_what_hangs_is_dead_within_the_grace_period(home: Path, tmp_path: Path) -> None:
    """Several programs at once, because a grace period takes its time."""

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

    async def close() -> None:
        """In the middle of a reply; what it said is kept."""
        async with opened(home / "closed") as scene:
            await scene.genai.load_llm(await endless_model(scene.genai, tmp_path))
            reply = await scene.say("Go on for ever.", ENDLESS)
            await scene.has_said(reply)
            pid = scene.pid
            freeze(pid)
            began = time.monotonic()
        note("close with a frozen engine", time.monotonic() - began)
        assert not is_alive(pid)
        async with opened(home / "closed") as scene:
            (found,) = await scene.genai.conversations.list()
            message = (await scene.genai.conversations.get(found.id)).messages[-1]
            assert (message.id, message.state) == (reply, "interrupted")
            assert len(message.content) >= 40

    async def main() -> None:
        began = time.monotonic()
        await asyncio.gather(
            stop("deaf", "ignore-term", loaded),
            stop("stopped", "", suspended),
            stop("loading", "silent-hang", loading),
            stop("real", "", real),
            close(),
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
