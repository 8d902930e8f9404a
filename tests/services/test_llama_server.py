"""The language model server through real child processes: what works, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.core import errors
from genai_desktop.core.launch import LlamaServerConfig
from genai_desktop.engines.llama_server import Patience
from genai_desktop.engines.ports import free_port
from genai_desktop.engines.supervisor import Policy
from tests.aio import run, until, until_sync
from tests.fakes.llama_setup import QUICK, FakeSystem, Setup, ask, fake_argv
from tests.fakes.other_program import other_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
ROOT = Path(__file__).resolve().parents[2]


def play(setup: Setup, act: Callable[[], Awaitable[Any]], timeout: float = 60) -> None:
    """Run a scene and close the manager, whatever happened."""

    async def go() -> None:
        try:
            await act()
        finally:
            await setup.manager.close()

    run(go(), timeout)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def poke(setup: Setup, path: str) -> None:
    """Ask the fake for a fault; it may not live to answer."""
    with contextlib.suppress(urllib.error.URLError, OSError):
        await asyncio.to_thread(ask, setup.info, path, "", {})


async def becomes(setup: Setup, status: str) -> None:
    await until(lambda: setup.info.status == status, what=f"status {status}")


@contextlib.contextmanager
def foreign_server(tmp_path: Path, port: int, key: str = "") -> Iterator[int]:
    """Somebody else's llama-server."""
    model = tmp_path / "foreign.gguf"
    model.write_bytes(b"GGUF")
    env = {**os.environ, "LLAMA_API_KEY": key}
    argv = [*fake_argv(), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-c", "512"]
    argv += ["-np", "1", "--alias", "their-model"]
    process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if b"listening" in line:
                break
        yield process.pid
    finally:
        process.kill()
        process.communicate()


# -- what works


def test_start_serve_stop(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        assert (setup.manager.get_status(), setup.manager.base_url) == ("stopped", None)
        assert setup.manager.resolved_config is None
        info = await setup.start(context_size=5000)
        assert (info.status, info.health, info.model_id, info.model_name) == (
            "running",
            "ok",
            "m",
            "Tiny, Model",
        )
        assert info.url == setup.manager.base_url == f"http://127.0.0.1:{info.port}"
        assert info.engine == "cpu b11549"
        assert (await asyncio.to_thread(ask, info, "/health")) == {"status": "ok"}
        props = await asyncio.to_thread(ask, info, "/props", setup.manager.api_key)
        assert props["model_alias"] == "Tiny Model", "a comma would make two aliases of it"
        assert info.requested["n_ctx"] == 2048, "clamped to what the model was trained with"
        assert info.effective["n_ctx_slot"] == 2048
        assert info.effective["total_slots"] == 1
        assert (info.effective["offloaded_layers"], info.effective["total_layers"]) == (4, 4)
        assert info.effective["flash_attn"] is True
        assert info.effective["buffers"] == {"compute": {"CPU": 10108273}}
        assert await setup.manager.is_healthy()
        await setup.manager.stop()
        assert setup.told == ["started", "stopped"]
        assert setup.manager.base_url is None
        assert not await setup.manager.is_healthy()
        assert is_gone(info.pid or 0)
        assert not list(setup.paths.runtime.glob("*.json"))

    play(setup, act)


def test_the_key_is_needed_and_stands_nowhere(home: Path) -> None:
    setup = Setup(home, "chatty")

    async def act() -> None:
        info = await setup.start()
        key = setup.manager.api_key
        assert len(key) >= 32
        assert "the key is [redacted], Authorization" in setup.lines()
        with pytest.raises(urllib.error.HTTPError) as caught:
            await asyncio.to_thread(ask, info, "/props", "wrong")
        assert caught.value.code == 401
        caught.value.close()
        cmdline = await asyncio.to_thread(lambda: psutil.Process(info.pid).cmdline())
        for text in (*cmdline, *info.command_line, repr(info), setup.lines(), repr(setup.manager)):
            assert key not in text
        await setup.manager.close()
        files = [p for p in home.rglob("*") if p.is_file()]
        assert any(p.name == "llama-server.log" for p in files)
        for path in files:
            assert key.encode() not in path.read_bytes(), path

    play(setup, act)


def test_logs_in_memory_and_on_disk(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        await setup.start()
        entries = setup.manager.get_structured_logs(1000)
        assert any("listening on" in entry.message and entry.level == "info" for entry in entries)
        assert not any("cmd_child_to_router" in entry.message for entry in entries), "not for people"
        assert setup.manager.get_logs(2) == [entry.to_line() for entry in entries[-2:]]
        setup.manager.clear_logs()
        assert setup.manager.get_logs() == []
        await setup.manager.close()
        path = setup.paths.logs / "llama-server.log"
        assert "listening on" in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    play(setup, act)


def test_load_progress_is_seen_and_never_falls(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        await setup.start()
        values = [info.load_progress for info in setup.seen if info.load_progress is not None]
        assert values == sorted(values)
        assert 0.25 in values
        assert setup.info.load_progress is None, "over"

    play(setup, act)


def test_what_suits_the_computer_fills_what_is_open(home: Path) -> None:
    setup = Setup(home, system=FakeSystem(gpu_layers="all", context_size=1024, threads=3, nonsense=1))

    async def act() -> None:
        info = await setup.start(threads=2)
        used = setup.manager.resolved_config
        assert used is not None
        assert (used.gpu_layers, used.context_size, used.threads, used.parallel_requests) == (
            "all",
            1024,
            2,
            1,
        )
        assert used.flash_attention == "on", "as the engine decided"
        assert info.command_line[info.command_line.index("-ngl") + 1] == "all"
        await setup.manager.stop()
        assert setup.manager.resolved_config == used, "kept, to come back the same"
        again = await setup.manager.start(used)
        assert again.requested == {**info.requested, "flash_attn": "on"}

    play(setup, act)


def test_restart_uses_the_same_configuration(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        with pytest.raises(errors.ServerError):
            await setup.manager.restart()
        first = await setup.start(context_size=512)
        second = await setup.manager.restart()
        assert second.generation == first.generation + 1
        assert second.requested["n_ctx"] == 512
        assert second.pid != first.pid

    play(setup, act)


def test_two_clicks_at_once_are_one_start(home: Path) -> None:
    hold = home / "go"
    setup = Setup(home, f"hold={hold}")

    async def act() -> None:
        first = asyncio.ensure_future(setup.start())
        second = asyncio.ensure_future(setup.start())
        await until(lambda: "loading model" in setup.lines())
        with pytest.raises(errors.BusyError):
            await setup.start(context_size=512)
        hold.touch()
        one, two = await asyncio.gather(first, second)
        assert one.pid == two.pid
        assert (await setup.start()).pid == one.pid, "a third click finds it running"
        assert setup.told == ["started"]

    play(setup, act)


def test_clicking_wildly_ends_in_the_last_wish(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        tasks: list[asyncio.Future[Any]] = []
        for number in range(12):
            wish = setup.start() if number % 2 == 0 else setup.manager.stop()
            tasks.append(asyncio.ensure_future(wish))
            await asyncio.sleep(0.01 * (number % 3))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(
            result is None or isinstance(result, errors.CancelledError) or result.status == "running"
            for result in results
        )
        await setup.manager.stop()
        assert setup.info.status == "stopped"
        assert not [p for p in psutil.Process().children() if not is_gone(p.pid)]

    play(setup, act)


def test_nothing_starts_after_close(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        await setup.start()
        await setup.manager.close()
        await setup.manager.close()
        with pytest.raises(errors.ServerError):
            await setup.start()

    play(setup, act)


# -- conversation states


def test_slots_are_saved_privately_and_restored(home: Path) -> None:
    setup = Setup(home)
    body = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 4}

    def chat() -> str:
        import urllib.request

        request = urllib.request.Request(
            f"{setup.info.url}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {setup.manager.api_key}"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.read().decode())

    async def act() -> None:
        with pytest.raises(errors.ServerError):
            await setup.manager.save_slot("x.bin")
        await setup.start()
        assert '"cache_n": 0' in await asyncio.to_thread(chat)
        tokens = await setup.manager.save_slot("c1.bin")
        assert tokens == 8
        path = setup.paths.slots / "c1.bin"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        await setup.manager.restart()
        assert await setup.manager.restore_slot("c1.bin") == tokens
        assert '"cache_n": 4' in await asyncio.to_thread(chat)
        assert await setup.manager.erase_slot() == 8
        with pytest.raises(errors.GenaiError):
            await setup.manager.restore_slot("never-saved.bin")
        for name in ("../x", "", "a/b", ".hidden", "..", "x\0y"):
            with pytest.raises(errors.InvalidInputError):
                await setup.manager.save_slot(name)

    play(setup, act)


# -- what goes wrong before and while loading


def test_models_that_cannot_be_loaded(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        with pytest.raises(errors.ModelNotFoundError):
            await setup.start(model_id="unknown")
        assert (setup.info.status, setup.info.error_code) == ("stopped", "MODEL_NOT_FOUND")
        with pytest.raises(errors.ModelNotFoundError):
            await setup.start(mmproj="/nowhere/mmproj.gguf")
        with pytest.raises(errors.ModelNotFoundError):
            await setup.start(draft_model="unknown")
        await asyncio.to_thread(Path(setup.models.model.path).unlink)
        with pytest.raises(errors.ModelNotFoundError, match="does not exist"):
            await setup.start()
        assert setup.told == [], "no process, no crash"

    play(setup, act)


REPLAYS = [
    ("missing_model", errors.ModelNotFoundError, "MODEL_NOT_FOUND"),
    ("shim_badmodel", errors.ModelNotFoundError, "MODEL_NOT_FOUND"),
    ("garbage_model", errors.ModelFileError, "NOT_A_MODEL"),
    ("truncated_model", errors.ModelFileError, "MODEL_TRUNCATED"),
    ("truncated_model_nofit", errors.ModelFileError, "MODEL_TRUNCATED"),
    ("truncated_tail", errors.ModelFileError, "MODEL_TRUNCATED"),
    ("unknown_arch", errors.ModelFileError, "UNKNOWN_ARCHITECTURE"),
    ("unknown_arch_nofit", errors.ModelFileError, "UNKNOWN_ARCHITECTURE"),
    ("bad_mmproj", errors.ModelFileError, "BAD_PROJECTOR"),
    ("ctx_too_large_fit", errors.InsufficientResourcesError, "OUT_OF_MEMORY"),
    ("ctx_too_large_nofit", errors.InsufficientResourcesError, "OUT_OF_MEMORY"),
    ("q8_bad_head", errors.ConfigurationError, "BAD_CACHE_TYPE"),
    ("bad_template", errors.ConfigurationError, "BAD_CHAT_TEMPLATE"),
    ("bad_device", errors.ConfigurationError, "NO_SUCH_DEVICE"),
    ("bad_fa", errors.ConfigurationError, "BAD_FLAG"),
    ("bad_value", errors.ConfigurationError, "BAD_FLAG"),
    ("missing_value", errors.ConfigurationError, "BAD_FLAG"),
    ("removed_draft", errors.ConfigurationError, "BAD_FLAG"),
    ("removed_flag_no_mmap", errors.ConfigurationError, "BAD_FLAG"),
    ("unknown_flag", errors.ConfigurationError, "BAD_FLAG"),
    ("shim_badflag", errors.ConfigurationError, "BAD_FLAG"),
    ("bad_slotdir", errors.StorageError, "IO_ERROR"),
]


@pytest.mark.parametrize(("name", "kind", "code"), REPLAYS)
def test_every_recorded_failure_gets_its_cause(
    home: Path, name: str, kind: type[errors.GenaiError], code: str
) -> None:
    setup = Setup(home, f"replay={name}:1")

    async def act() -> None:
        with pytest.raises(kind) as caught:
            await setup.start()
        error = caught.value
        assert (error.code, type(error)) == (code, kind)
        assert error.remedy
        assert error.details["log"]
        assert error.details["exit_code"] == 1
        assert setup.info.status == "crashed"
        assert (setup.info.error_code, setup.info.error_message) == (code, error.message)
        assert setup.info.log_tail
        assert setup.told == ["crashed"]
        assert setup.info.generation == 1, "the same again would fail the same way"

    play(setup, act)


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("exit-loading=0", errors.ServerError, "SERVER_EXITED"),
        ("exit-loading=1", errors.ServerError, "SERVER_EXITED"),
        ("exit-loading=127", errors.EngineError, "ENGINE_NOT_EXECUTABLE"),
        (f"signal-loading={signal.SIGSEGV.value}", errors.ServerError, "SERVER_CRASHED"),
        (f"signal-loading={signal.SIGABRT.value}", errors.ServerError, "SERVER_CRASHED"),
        (f"signal-loading={signal.SIGTERM.value}", errors.ServerError, "SERVER_CRASHED"),
        (f"signal-loading={signal.SIGILL.value}", errors.EngineError, "ILLEGAL_INSTRUCTION"),
        (f"signal-loading={signal.SIGKILL.value}", errors.InsufficientResourcesError, "KILLED"),
        (f"signal-loading={signal.SIGBUS.value}", errors.ModelFileError, "MODEL_UNREADABLE"),
    ],
)
def test_ends_while_loading_are_reported_at_once(
    home: Path, fault: str, kind: type[errors.GenaiError], code: str
) -> None:
    setup = Setup(home, fault)

    async def act() -> None:
        with pytest.raises(kind) as caught:
            await setup.start()
        assert caught.value.code == code
        assert "loading model" in "\n".join(caught.value.details["log"])

    play(setup, act)


def test_the_report_of_an_end_does_not_wait_for_any_timer(home: Path) -> None:
    hold = home / "go"
    setup = Setup(home, f"hold={hold}", "exit-loading=1")

    async def act() -> None:
        starting = asyncio.ensure_future(setup.start())
        await until(lambda: "loading model" in setup.lines())
        pid = setup.info.pid or 0
        await asyncio.to_thread(hold.touch)
        await until(lambda: is_gone(pid), what="the end")
        with pytest.raises(errors.ServerError):
            await asyncio.wait_for(starting, 1.0)

    play(setup, act)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "NOT_A_MODEL"),
        (b"", "NOT_A_MODEL"),
        (b"GGUF\3\0\0\0", "MODEL_TRUNCATED"),
    ],
)
def test_a_bad_model_is_found_even_when_the_last_words_were_lost(
    home: Path, content: bytes, code: str
) -> None:
    setup = Setup(home, "exit-loading=1")
    Path(setup.models.model.path).write_bytes(content)

    async def act() -> None:
        with pytest.raises(errors.ModelFileError) as caught:
            await setup.start()
        assert caught.value.code == code
        assert caught.value.details["log"]

    play(setup, act)


def test_a_grandchild_does_not_survive_a_failed_start(home: Path) -> None:
    setup = Setup(home, "grandchild", "exit-loading=1")

    async def act() -> None:
        with pytest.raises(errors.ServerError):
            await setup.start()
        await until(lambda: is_gone(setup.grandchild()))

    play(setup, act)


@pytest.mark.parametrize("fault", ["never-listens", "silent-hang"])
def test_no_sign_of_life_is_a_time_out(home: Path, fault: str) -> None:
    setup = Setup(home, fault, patience=Patience(stalled_after=0.3))

    async def act() -> None:
        with pytest.raises(errors.ServerTimeoutError):
            await setup.start()
        assert setup.info.status == "crashed"

    play(setup, act)


def test_slow_loading_with_a_sign_of_life_is_no_time_out(home: Path) -> None:
    hold = home / "go"
    setup = Setup(home, f"hold={hold}", "busy", patience=Patience(stalled_after=0.5))

    async def act() -> None:
        starting = asyncio.ensure_future(setup.start())
        await until(lambda: "loading model" in setup.lines())
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 2.0 or starting.done())
        assert not starting.done()
        await asyncio.to_thread(hold.touch)
        assert (await starting).status == "running"

    play(setup, act)


def test_floods_and_half_characters_do_not_block_the_start(home: Path) -> None:
    setup = Setup(home, "flood=3000000")

    async def act() -> None:
        assert (await setup.start()).status == "running"
        assert any("ü€😀" in entry.message for entry in setup.entries)
        assert len(setup.manager.get_structured_logs(100_000)) <= 5000

    play(setup, act)


def test_an_older_build_without_the_child_protocol(home: Path) -> None:
    setup = Setup(home, "old")

    async def act() -> None:
        info = await setup.start()
        assert info.status == "running", "recognised by refusing a wrong key"
        await setup.manager.stop()
        assert setup.told == ["started", "stopped"]

    play(setup, act)


# -- ports


def test_a_port_used_by_another_program(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        with other_program() as (pid, port):
            with pytest.raises(errors.PortInUseError, match="the program") as caught:
                await setup.start(port=port)
            assert caught.value.details["owner"] == "other"
            assert caught.value.details["pid"] == pid

    play(setup, act)


@pytest.mark.parametrize("key", ["", "their key"])
def test_a_port_used_by_a_foreign_llama_server(home: Path, key: str) -> None:
    setup = Setup(home)
    port = free_port()

    async def act() -> None:
        with foreign_server(home, port, key):
            with pytest.raises(errors.PortInUseError, match="another llama-server") as caught:
                await setup.start(port=port)
            assert caught.value.details["owner"] == "llama-server"
            assert caught.value.details["model"] == ("" if key else "their-model")
            assert setup.told == []

    play(setup, act)


def test_a_port_used_by_ourselves(home: Path) -> None:
    setup, other = Setup(home), Setup(home)

    async def act() -> None:
        try:
            info = await other.start()
            with pytest.raises(errors.PortInUseError, match="this program started") as caught:
                await setup.start(port=info.port)
            assert caught.value.details["pid"] == info.pid
        finally:
            await other.manager.close()

    play(setup, act)


def test_a_port_stolen_between_choosing_and_binding(home: Path) -> None:
    setup = Setup(home, f"steal-once={home / 'stolen'}")

    async def act() -> None:
        info = await setup.start()
        assert (info.status, info.generation, info.restarts) == ("running", 2, 0)
        assert setup.told == ["started"], "bad luck is no crash"
        ports = [i.port for i in setup.seen if i.port]
        assert ports[0] != ports[-1]

    play(setup, act)


def test_a_given_port_stolen_at_the_last_moment(home: Path) -> None:
    setup = Setup(home, f"steal-once={home / 'stolen'}")

    async def act() -> None:
        with pytest.raises(errors.PortInUseError):
            await setup.start(port=free_port())

    play(setup, act)


@pytest.mark.parametrize("key", ["", "their key"])
def test_somebody_else_answering_in_our_place_is_noticed(home: Path, key: str) -> None:
    """Our child hangs before it listens; a foreign llama-server takes the port and says that all is well."""
    setup = Setup(home, "never-listens")

    async def act() -> None:
        starting = asyncio.ensure_future(setup.start())
        await until(lambda: setup.info.port is not None)
        with foreign_server(home, setup.info.port or 0, key):
            with pytest.raises(errors.PortInUseError, match="another llama-server"):
                await asyncio.wait_for(starting, 20)
            assert "started" not in setup.told

    play(setup, act)


# -- what goes wrong while it serves


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("/fake/exit?code=0", "SERVER_EXITED"),
        ("/fake/exit?code=1", "SERVER_EXITED"),
        (f"/fake/signal?n={signal.SIGSEGV.value}", "SERVER_CRASHED"),
        (f"/fake/signal?n={signal.SIGKILL.value}", "KILLED"),
    ],
)
def test_an_unasked_end_is_a_crash_and_it_comes_back(home: Path, fault: str, code: str) -> None:
    setup = Setup(home)

    async def act() -> None:
        first = await setup.start()
        await poke(setup, fault)
        await until(lambda: setup.told.count("started") == 2, what="the restart")
        assert setup.told == ["started", "crashed", "started"]
        crash = next(info for info in setup.seen if info.status == "crashed")
        assert crash.error_code == code
        assert crash.log_tail
        assert (setup.info.port, setup.info.restarts) == (first.port, 1), "clients find it where it was"
        assert await setup.manager.is_healthy()

    play(setup, act)


def test_an_illegal_instruction_is_not_tried_again(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        await setup.start()
        await poke(setup, f"/fake/signal?n={signal.SIGILL.value}")
        await becomes(setup, "crashed")
        assert setup.info.error_code == "ILLEGAL_INSTRUCTION"
        await setup.start()
        assert setup.info.status == "running", "but a person may"

    play(setup, act)


def test_the_budget_of_restarts(home: Path) -> None:
    broken = home / "broken"
    setup = Setup(home, f"exit-if={broken}:1")

    async def act() -> None:
        await setup.start()
        await asyncio.to_thread(broken.touch)
        await poke(setup, "/fake/exit?code=1")
        await until(lambda: setup.told.count("crashed") == 4 and "again in" not in setup.info.error_remedy)
        assert setup.info.status == "crashed"
        assert setup.info.generation == 4
        await asyncio.to_thread(broken.unlink)
        assert (await setup.start()).restarts == 0

    play(setup, act)


@pytest.mark.parametrize("how", ["stopped", "deaf"])
def test_a_hung_server_is_replaced(home: Path, how: str) -> None:
    setup = Setup(home, patience=Patience(health=0.3))

    async def act() -> None:
        info = await setup.start()
        if how == "stopped":
            os.kill(info.pid or 0, signal.SIGSTOP)
        else:
            await poke(setup, "/fake/deaf")
        await until(lambda: setup.told.count("started") == 2, what="the restart")
        crash = next(info for info in setup.seen if info.status == "crashed")
        assert crash.error_code == "SERVER_HUNG"
        assert is_gone(info.pid or 0)

    play(setup, act)


# -- stopping


def test_stop_kills_what_does_not_listen(home: Path) -> None:
    setup = Setup(home, "ignore-term", "grandchild", policy=Policy(grace=0.2))

    async def act() -> None:
        info = await setup.start()
        grandchild = setup.grandchild()
        assert not is_gone(grandchild)
        await setup.manager.stop()
        assert is_gone(info.pid or 0)
        await until(lambda: is_gone(grandchild))
        assert setup.told == ["started", "stopped"]
        assert any(e.stream == "app" and "is killed" in e.message for e in setup.entries)

    play(setup, act)


def test_stop_waits_for_what_needs_a_moment(home: Path) -> None:
    setup = Setup(home, "slow-exit=0.3")

    async def act() -> None:
        await setup.start()
        await setup.manager.stop()
        assert "cleaning up before exit" in setup.lines(), "it was allowed to finish"

    play(setup, act)


def test_stop_of_a_stopped_process(home: Path) -> None:
    setup = Setup(home, policy=Policy(grace=0.2))

    async def act() -> None:
        info = await setup.start()
        os.kill(info.pid or 0, signal.SIGSTOP)
        await setup.manager.stop()
        assert is_gone(info.pid or 0)

    play(setup, act)


def test_stop_while_loading_is_immediate(home: Path) -> None:
    setup = Setup(home, f"hold={home / 'never'}", policy=Policy(grace=1000, load_grace=5))

    async def act() -> None:
        starting = asyncio.ensure_future(setup.start())
        await until(lambda: "loading model" in setup.lines())
        pid = setup.info.pid or 0
        await asyncio.wait_for(setup.manager.stop(), 4)
        with pytest.raises(errors.CancelledError):
            await starting
        assert is_gone(pid)

    play(setup, act)


def test_stop_during_back_off_means_stopped(home: Path) -> None:
    setup = Setup(home, policy=Policy(delays=(1000.0,)))

    async def act() -> None:
        await setup.start()
        await poke(setup, "/fake/exit?code=1")
        await becomes(setup, "crashed")
        await setup.manager.stop()
        assert setup.info.status == "stopped"

    play(setup, act)


# -- the sudden death of the whole program

STATES = {
    "loading": (("hold=/nonexistent/never",), "starting"),
    "running": (("grandchild",), "running"),
    "stopping": (("ignore-term",), "stopping"),
    "restarted": ((), "running"),
}


@pytest.mark.parametrize("launcher", ["asyncio", "qprocess"])
@pytest.mark.parametrize("state", list(STATES))
def test_sigkill_in_any_state_leaves_no_process(home: Path, state: str, launcher: str) -> None:
    argv = [sys.executable, "-m", "tests.fakes.llama_driver", launcher, state, str(home)]
    driver = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    with driver.stdout:
        report = json.loads(driver.stdout.readline())
        assert report["status"] == STATES[state][1]
        pids = report["pids"]
        assert len(pids) >= 2, "the server and its guard"
        assert not any(is_gone(pid) for pid in pids)
        driver.kill()
        driver.wait()
        until_sync(lambda: all(is_gone(pid) for pid in pids), timeout=2.0, what=f"the end of {pids}")


def test_configuration_is_checked_before_anything_happens(home: Path) -> None:
    setup = Setup(home)

    async def act() -> None:
        with pytest.raises(errors.ConfigurationError, match="threads"):
            await setup.manager.start(LlamaServerConfig("m", threads=0))
        assert setup.seen == []
        setup.engine.flags = frozenset({"-m"})
        with pytest.raises(errors.EngineError, match="--swa-full"):
            await setup.start(swa_full=True)
        assert setup.told == []

    play(setup, act)


def test_quick_is_as_strict_as_the_real_policy() -> None:
    assert len(QUICK.delays) == len(Policy().delays) == 3
    assert Policy().delays == (1.0, 2.0, 4.0)
    assert Policy().grace == 10.0
