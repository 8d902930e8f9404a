"""The language model server on the embedded engine: real llama.cpp, real work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.core import errors
from genai_desktop.core.builds import EngineBuild, EngineCommand
from genai_desktop.engines.embedded import command_line
from genai_desktop.engines.process import AsyncioLauncher, LaunchSpec, clean_environment, run_to_end
from genai_desktop.engines.supervisor import Policy
from genai_desktop.library.paths import guide_model
from tests.aio import run, until_sync
from tests.fakes.llama_setup import PATIENCE, Setup

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not guide_model().exists(), reason="the demo model is not there"),
]
ROOT = Path(__file__).resolve().parents[2]


class EmbeddedEngine:
    """The engine from the wheel, its flags probed as the engine manager does."""

    async def command(self, engine: str) -> EngineCommand:
        argv = tuple(command_line("llama-server"))
        done = await run_to_end(
            AsyncioLauncher(), LaunchSpec("help", (*argv, "--help"), clean_environment()), 60
        )
        assert done.status.is_success, done.stderr
        flags = frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout))
        return EngineCommand(EngineBuild("llama.cpp", "embedded", "b11549", "", "in-use"), argv, flags)


def real_setup(home: Path, model: Path | None = None, **values: Any) -> Setup:
    setup = Setup(home, policy=Policy(), patience=PATIENCE, **values)
    setup.engine = EmbeddedEngine()  # type: ignore[assignment]
    setup.manager._engine = setup.engine
    setup.models.model = type(setup.models.model)(
        "m", "Guide", "llm", str(model or guide_model()), 1, context_length=2048
    )
    return setup


def play(setup: Setup, act: Callable[[], Awaitable[Any]]) -> None:
    async def go() -> None:
        try:
            await act()
        finally:
            await setup.manager.close()

    run(go(), 110)


async def reply(setup: Setup, text: str) -> dict[str, Any]:
    """One short answer, whole."""
    import httpx

    body = {
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 8,
        "id_slot": 0,
        "cache_prompt": True,
    }
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        headers = {"Authorization": f"Bearer {setup.manager.api_key}"}
        url = f"{setup.manager.base_url}/v1/chat/completions"
        response = await client.post(url, json=body, headers=headers)
        response.raise_for_status()
        return dict(response.json())


def test_the_main_job(home: Path) -> None:
    """Load, answer, save the state, stop, come back, restore: the prompt is not read again."""
    setup = real_setup(home)
    question = "Tell me what this program can do, in a few words, and how a model is loaded."

    async def act() -> None:
        info = await setup.start()
        assert info.status == "running"
        assert info.effective["n_ctx_slot"] == 2048
        assert info.effective["buffers"]["weights"]
        assert not any("--" in word and "key" in word for word in info.command_line)
        assert any(i.load_progress == 1.0 for i in setup.seen)
        first = await reply(setup, question)
        assert first["timings"]["prompt_n"] > 8
        tokens = await setup.manager.save_slot("state.bin")
        assert tokens >= first["usage"]["total_tokens"] - 1
        used = setup.manager.resolved_config
        assert used is not None
        assert used.flash_attention in ("on", "off")
        await setup.manager.stop()
        await setup.manager.start(used)
        assert await setup.manager.restore_slot("state.bin") == tokens
        second = await reply(setup, question)
        assert second["timings"]["cache_n"] >= first["timings"]["prompt_n"] - 2
        with pytest.raises(errors.GenaiError):
            await setup.manager.restore_slot("never.bin")
        await setup.manager.stop()
        assert setup.told == ["started", "stopped"] * 2

    play(setup, act)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda data: data[: len(data) // 2], "MODEL_TRUNCATED"),
        (lambda data: b"<!DOCTYPE html><html>please log in</html>" * 50, "NOT_A_MODEL"),
        (lambda data: b"\x80\x02}q\x00" * 100, "NOT_A_MODEL"),
        (lambda data: data.replace(b"llama", b"nosch", 1), "UNKNOWN_ARCHITECTURE"),
    ],
)
def test_models_it_cannot_load(home: Path, make: Callable[[bytes], bytes], code: str) -> None:
    home.mkdir()
    path = home / "bad.gguf"
    path.write_bytes(make(guide_model().read_bytes()))
    setup = real_setup(home, path)

    async def act() -> None:
        with pytest.raises(errors.ModelFileError) as caught:
            await setup.start()
        assert caught.value.code == code
        assert setup.info.status == "crashed"
        assert setup.told == ["crashed"]

    play(setup, act)


def test_a_setting_it_refuses(home: Path) -> None:
    setup = real_setup(home)

    async def act() -> None:
        with pytest.raises(errors.ConfigurationError, match="frobnicate"):
            await setup.start(extra_args=["--frobnicate"])
        assert (await setup.start()).status == "running"

    play(setup, act)


def test_killing_the_program_leaves_no_engine(home: Path) -> None:
    code = """
import asyncio, json, psutil, sys
from pathlib import Path
from tests.services.test_llama_server_real import real_setup
async def main():
    setup = real_setup(Path(sys.argv[1]))
    await setup.start()
    print(json.dumps([p.pid for p in psutil.Process().children(recursive=True)]), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    argv = [sys.executable, "-c", code, str(home)]
    driver = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    with driver.stdout:
        pids = json.loads(driver.stdout.readline())
        assert len(pids) >= 2
        driver.kill()
        driver.wait()

        def is_gone(pid: int) -> bool:
            try:
                return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
            except psutil.NoSuchProcess:
                return True

        until_sync(lambda: all(is_gone(pid) for pid in pids), timeout=2.0, what=f"the end of {pids}")
