"""The port `ProcessLauncher`: both adapters, one behaviour."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from genai_desktop.core.errors import EngineError, ServerTimeoutError
from genai_desktop.engines.environment import PARENT_PID
from genai_desktop.engines.process import (
    ChildProcess,
    ExitStatus,
    LaunchSpec,
    ProcessLauncher,
    clean_environment,
    run_to_end,
)
from tests.aio import until, until_sync
from tests.fakes.launchers import KINDS, run_with

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the children are shell scripts")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "qprocess":
        request.getfixturevalue("qapp")
    return str(request.param)


def shell(script: str, *, has_stdin: bool = False, **env: str) -> LaunchSpec:
    return LaunchSpec("test", ("sh", "-c", script), clean_environment(env), has_stdin=has_stdin)


class Output:
    """Collects what a child writes."""

    def __init__(self) -> None:
        self.data = {"stdout": bytearray(), "stderr": bytearray()}

    def __call__(self, stream: str, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.data[stream] += data

    @property
    def out(self) -> bytes:
        return bytes(self.data["stdout"])

    async def line(self) -> str:
        await until(lambda: b"\n" in self.out, what="a line")
        return self.out.decode().splitlines()[0]


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_output_of_both_pipes_and_the_exit_code(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("echo one; echo two >&2; printf '\\377\\303'; exit 3"), output)
        assert await child.wait() == ExitStatus(code=3)
        assert child.exit_status == ExitStatus(code=3)
        assert await child.wait() == ExitStatus(code=3), "waiting twice is allowed"
        assert output.out == b"one\n\xff\xc3", "raw bytes, nothing decoded"
        assert output.data["stderr"] == b"two\n"

    run_with(kind, go)


def test_output_arrives_while_the_child_runs(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("echo first; read x; echo second", has_stdin=True), output)
        assert await output.line() == "first"
        assert child.exit_status is None
        child.write(b"go\n")
        await child.wait()
        assert output.out == b"first\nsecond\n"

    run_with(kind, go)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_death_by_signal_is_told_as_such(kind: str, number: int) -> None:
    async def go(launcher: ProcessLauncher) -> ExitStatus:
        child = await launcher.start(shell(f"kill -{int(number)} $$; sleep 100"), Output())
        return await child.wait()

    status = run_with(kind, go)
    assert status == ExitStatus(signal=int(number))
    assert signal.Signals(number).name in status.describe()


def test_a_child_that_floods_both_pipes_does_not_block(kind: str) -> None:
    size = 8_000_000

    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        script = f"head -c {size} /dev/zero & head -c {size} /dev/zero >&2; wait; exit 5"
        child = await launcher.start(shell(script), output)
        assert await child.wait() == ExitStatus(code=5)
        assert {name: len(data) for name, data in output.data.items()} == {"stdout": size, "stderr": size}

    run_with(kind, go)


def test_draining_goes_on_when_the_listener_raises(kind: str) -> None:
    reported: list[str] = []

    def report(record: logging.LogRecord) -> bool:
        assert record.exc_info is not None
        reported.append(str(record.exc_info[1]))
        record.exc_info = None  # pytest keeps records: this one would keep the loop, out of its thread
        return True

    logger = logging.getLogger("genai_desktop.engines.process")
    logger.addFilter(report)

    async def go(launcher: ProcessLauncher) -> ExitStatus:
        def broken(stream: str, data: bytes) -> None:
            raise RuntimeError("a broken view")

        child = await launcher.start(shell("head -c 1000000 /dev/zero; exit 4"), broken)
        return await child.wait()

    try:
        assert run_with(kind, go) == ExitStatus(code=4)
    finally:
        logger.removeFilter(report)
    assert set(reported) == {"a broken view"}


def test_stdin_is_empty_unless_asked_for(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("cat; echo end"), output)
        child.write(b"ignored")
        child.close_stdin()
        await child.wait()
        assert output.out == b"end\n"

    run_with(kind, go)


def test_stdin_is_written_and_closed(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("cat; echo end", has_stdin=True), output)
        data = b"x" * 300_000 + b"\n"
        child.write(data)
        child.close_stdin()
        await child.wait()
        assert output.out == data + b"end\n"
        child.write(b"too late")
        child.close_stdin()
        child.terminate()
        child.kill()

    run_with(kind, go)


def test_writing_to_a_child_that_closed_its_stdin_is_harmless(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(
            shell("exec <&-; echo closed; sleep 0.2; exit 6", has_stdin=True), output
        )
        await output.line()
        for _ in range(3):
            child.write(b"x" * 100_000)
        assert await child.wait() == ExitStatus(code=6)

    run_with(kind, go)


def test_environment_directory_and_session(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder ü with spaces"
    folder.mkdir()

    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        code = (
            "import json, os; ids = os.getsid(0), os.getpgid(0), os.getpid();"
            "print(json.dumps([dict(os.environ), os.getcwd(), *ids]))"
        )
        env = clean_environment({"GREETING": "grüß dich\n😀", "LLAMA_API_KEY": "k"})
        spec = LaunchSpec("test", (sys.executable, "-I", "-S", "-c", code), env, cwd=str(folder))
        child = await launcher.start(spec, output)
        await child.wait()
        found, cwd, session, group, pid = json.loads(output.out)
        assert found["GREETING"] == "grüß dich\n😀"
        assert found["LLAMA_API_KEY"] == "k"
        assert found[PARENT_PID] == str(os.getpid())
        # a shell in between adds PWD and the like, but nothing of ours is missing or changed
        env["PWD"] = str(folder)
        assert {key: found.get(key) for key in env} == env
        assert cwd == str(folder)
        assert child.pid == pid == session == group

    run_with(kind, go)


def test_arguments_arrive_unchanged(kind: str) -> None:
    odd = ("", " ", "a b", "'\"$x`", "*", "-", "--", "\\", "ü😀", "line\nbreak", "%s")

    async def go(launcher: ProcessLauncher) -> list[str]:
        output = Output()
        code = "import json, sys; print(json.dumps(sys.argv[1:]))"
        spec = LaunchSpec("test", (sys.executable, "-I", "-S", "-c", code, *odd), clean_environment())
        await (await launcher.start(spec, output)).wait()
        return list(json.loads(output.out))

    assert run_with(kind, go) == list(odd)


def _missing(folder: Path) -> tuple[str, ...]:
    return (str(folder / "nothing here"),)


def _not_executable(folder: Path) -> tuple[str, ...]:
    path = folder / "plain"
    path.write_text("#!/bin/sh\n")
    return (str(path),)


def _directory(folder: Path) -> tuple[str, ...]:
    return (str(folder),)


def _text(folder: Path) -> tuple[str, ...]:
    path = folder / "text"
    path.write_text("echo a shell would run this\n")
    path.chmod(0o755)
    return (str(path),)


def _foreign(folder: Path) -> tuple[str, ...]:
    path = folder / "foreign"
    data = bytearray(Path("/bin/true").read_bytes())
    data[18:20] = (8).to_bytes(2, "little")  # MIPS
    path.write_bytes(data)
    path.chmod(0o755)
    return (str(path),)


def _not_on_the_path(folder: Path) -> tuple[str, ...]:
    return ("no-such-program-anywhere",)


def _null(folder: Path) -> tuple[str, ...]:
    return ("sh", "-c", "a\0b")


def _too_long(folder: Path) -> tuple[str, ...]:
    return ("sh", "-c", "true", "x" * 300_000)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_missing, "ENGINE_MISSING"),
        (_not_on_the_path, "ENGINE_MISSING"),
        (_not_executable, "ENGINE_NOT_EXECUTABLE"),
        (_directory, "ENGINE_NOT_EXECUTABLE"),
        (_text, "ENGINE_WRONG_PLATFORM"),
        (_foreign, "ENGINE_WRONG_PLATFORM"),
        (_null, "START_FAILED"),
        (_too_long, "START_FAILED"),
    ],
)
def test_what_cannot_be_started_is_an_engine_error(
    kind: str, tmp_path: Path, make: Callable[[Path], tuple[str, ...]], code: str
) -> None:
    argv = make(tmp_path)

    async def go(launcher: ProcessLauncher) -> None:
        with pytest.raises(EngineError) as caught:
            await launcher.start(LaunchSpec("test", argv, clean_environment()), Output())
        assert caught.value.code == code
        assert caught.value.message

    run_with(kind, go)


def test_a_missing_folder_is_an_engine_error(kind: str, tmp_path: Path) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        spec = LaunchSpec("test", ("true",), clean_environment(), cwd=str(tmp_path / "gone"))
        with pytest.raises(EngineError):
            await launcher.start(spec, Output())

    run_with(kind, go)


def test_a_missing_library_ends_with_what_the_loader_says(kind: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes().replace(b"libc.so.6\0", b"libq.so.6\0"))
    program.chmod(0o755)

    async def go(launcher: ProcessLauncher) -> None:
        done = await run_to_end(launcher, LaunchSpec("test", (str(program),), clean_environment()), 20)
        assert done.status == ExitStatus(code=127)
        assert "error while loading shared libraries: libq.so.6" in done.stderr

    run_with(kind, go)


def test_terminate_asks_and_the_child_may_answer(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(
            shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"), output
        )
        await output.line()
        child.terminate()
        assert await child.wait() == ExitStatus(code=7)

    run_with(kind, go)


def test_kill_reaches_the_grandchildren(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("trap '' TERM; sleep 1000 & echo $!; wait"), output)
        grandchild = int(await output.line())
        child.kill()
        assert await child.wait() == ExitStatus(signal=9)
        await until(lambda: is_gone(grandchild), what="the grandchild's end")

    run_with(kind, go)


def test_a_stopped_child_can_be_killed(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        child = await launcher.start(shell("kill -STOP $$"), Output())
        await until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED, what="the stop")
        child.kill()
        assert await child.wait() == ExitStatus(signal=9)

    run_with(kind, go)


def test_what_a_child_leaves_behind_dies_with_it(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        output = Output()
        child = await launcher.start(shell("sleep 1000 & echo $!; exit 0"), output)
        assert await child.wait() == ExitStatus(code=0)
        grandchild = int(output.out)
        await until(lambda: is_gone(grandchild), what="the grandchild's end")

    run_with(kind, go)


def test_a_runaway_that_keeps_the_pipes_open_does_not_hold_up_the_end(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> int:
        output = Output()
        # it leaves the group, so nothing reaches it; its pipes must not keep us waiting
        child = await launcher.start(
            shell("setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.3; exit 2"), output
        )
        await output.line()
        assert await child.wait() == ExitStatus(code=2)
        return int(output.out)

    pid = run_with(kind, go, timeout=20)
    os.kill(pid, signal.SIGKILL)


def test_a_cancelled_start_leaves_nothing(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        for turns in range(0, 12, 2):
            task = asyncio.ensure_future(launcher.start(shell("exec sleep 1000"), Output()))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            try:
                child: ChildProcess = await task
            except asyncio.CancelledError:
                continue
            child.kill()  # the start had won
            await child.wait()
        mine = psutil.Process()
        await until(lambda: not [c for c in mine.children() if not is_gone(c.pid)], what="no children")

    run_with(kind, go)


def test_many_at_once(kind: str) -> None:
    async def one(launcher: ProcessLauncher, number: int) -> str:
        done = await run_to_end(launcher, shell(f"echo {number}"), 30)
        return done.stdout

    async def go(launcher: ProcessLauncher) -> None:
        got = await asyncio.gather(*(one(launcher, n) for n in range(20)))
        assert got == [f"{n}\n" for n in range(20)]

    run_with(kind, go)


def test_run_to_end_kills_what_takes_too_long(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        with pytest.raises(ServerTimeoutError) as caught:
            await run_to_end(launcher, shell("echo reason >&2; sleep 1000 & sleep 1000"), 0.3)
        assert caught.value.details["log"] == ["reason"]

    run_with(kind, go)


def test_run_to_end_kills_when_cancelled(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        task = asyncio.ensure_future(run_to_end(launcher, shell("sleep 1000"), 100))
        await until(lambda: psutil.Process().children(), what="the child")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_with(kind, go)


@pytest.mark.parametrize("round_", range(3))
def test_nothing_survives_the_sudden_death_of_its_owner(kind: str, round_: int) -> None:
    """SIGKILL to the program: its child, deaf to requests, and the grandchild are gone in two seconds."""
    argv = [sys.executable, "-m", "tests.fakes.launcher_driver", kind]
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    driver = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    with driver.stdout:
        pids = json.loads(driver.stdout.readline())
        assert not any(is_gone(pid) for pid in pids)
        driver.kill()
        driver.wait()
        until_sync(lambda: all(is_gone(pid) for pid in pids), timeout=2.0, what=f"the end of {pids}")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="only Linux has setpriv")
def test_the_kernel_kills_the_child_even_without_the_guard(kind: str) -> None:
    argv = [sys.executable, "-m", "tests.fakes.launcher_driver", kind]
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    driver = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    with driver.stdout:
        child, grandchild = json.loads(driver.stdout.readline())
        guards = [p for p in psutil.Process(driver.pid).children() if p.pid != child]
        for guard in guards:
            guard.kill()
        driver.kill()
        driver.wait()
        until_sync(lambda: is_gone(child), timeout=2.0, what="the child's end")
        os.kill(grandchild, signal.SIGKILL)  # nobody was left to do it


def test_the_guard_alone_kills_the_group() -> None:
    """What macOS relies on: end of file on the guard's pipe."""
    from genai_desktop.engines.binding import guard_argv

    argv = guard_argv()
    assert argv is not None
    for farewell, survives in ((b"", False), (b"released\n", True)):
        leader = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        guard = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)
        guard.communicate(b"%d\n" % leader.pid + farewell)
        assert guard.returncode is not None
        if survives:
            assert leader.poll() is None
            leader.kill()
        assert leader.wait(5) == -9


def test_started_at_once_and_gone_at_once_is_no_race(kind: str) -> None:
    async def go(launcher: ProcessLauncher) -> None:
        for _ in range(15):
            child = await launcher.start(shell("exit 0"), Output())
            assert await child.wait() == ExitStatus(code=0)

    began = time.monotonic()
    run_with(kind, go)
    assert time.monotonic() - began < 30, "waiting for something that had already happened"
