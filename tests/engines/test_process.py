"""What the launchers share: exit statuses, the cleaned environment, the owner's pid."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from genai_desktop.engines import binding
from genai_desktop.engines.environment import INSTANCE_TOKEN, PARENT_PID, clean_environment
from genai_desktop.engines.process import AsyncioLauncher, ExitStatus, LaunchSpec, run_to_end
from tests.aio import run


@pytest.mark.parametrize(
    ("status", "text", "success"),
    [
        (ExitStatus(code=0), "exit code 0", True),
        (ExitStatus(code=1), "exit code 1", False),
        (ExitStatus(signal=9), "signal 9 (SIGKILL)", False),
        (ExitStatus(signal=250), "signal 250", False),
        (ExitStatus(code=0xC0000135), "exit code 0xC0000135", False),
        (ExitStatus.from_returncode(-11), "signal 11 (SIGSEGV)", False),
        (ExitStatus.from_returncode(3), "exit code 3", False),
    ],
)
def test_exit_status(status: ExitStatus, text: str, success: bool) -> None:
    assert status.describe() == text
    assert status.is_success is success


PASSIVE = {"OMP_WAIT_POLICY": "passive"}  # what every child gets unless the person chose otherwise


def test_what_would_steer_or_betray_is_removed() -> None:
    inherited = {
        "PATH": "/bin", "HOME": "/home/me", "LANG": "de_DE.UTF-8", "CUDA_VISIBLE_DEVICES": "1",
        "LLAMA_ARG_CTX_SIZE": "1", "LLAMA_API_KEY": "old", "llama_arg_port": "1", "_MEIPASS2": "/tmp/x",
        "_PYI_ARCHIVE_FILE": "x", "PYINSTALLER_STRICT": "1", "HF_TOKEN": "hf_x", "OPENAI_API_KEY": "sk",
        "AWS_SECRET_ACCESS_KEY": "a", "MY_PASSWORD": "p", "GITHUB_TOKEN": "g", "SOME_APIKEY": "k",
        PARENT_PID: "1", INSTANCE_TOKEN: "t",
    }  # fmt: skip
    env = clean_environment({"LLAMA_API_KEY": "new"}, inherited=inherited, is_frozen=False)
    assert env == {
        "PATH": "/bin", "HOME": "/home/me", "LANG": "de_DE.UTF-8", "CUDA_VISIBLE_DEVICES": "1",
        "LLAMA_API_KEY": "new", **PASSIVE,
    }  # fmt: skip


def test_harmless_names_that_look_alike_stay() -> None:
    harmless = {"TOKENIZERS_PARALLELISM": "1", "KEYBOARD": "de", "SSH_AGENT_PID": "3", "MONKEY": "1"}
    assert clean_environment(inherited=harmless, is_frozen=False) == {**harmless, **PASSIVE}


def test_a_frozen_program_gives_the_loader_paths_back() -> None:
    inherited = {
        "LD_LIBRARY_PATH": "/app/_internal:/opt/cuda", "LD_LIBRARY_PATH_ORIG": "/opt/cuda",
        "LD_PRELOAD": "/app/x.so", "DYLD_LIBRARY_PATH": "/app",
    }  # fmt: skip
    assert clean_environment(inherited=inherited, is_frozen=True) == {
        "LD_LIBRARY_PATH": "/opt/cuda",
        **PASSIVE,
    }
    plain = {"LD_LIBRARY_PATH": "/opt/cuda"}
    assert clean_environment(inherited=plain, is_frozen=False) == {**plain, **PASSIVE}, (
        "the person's own, nothing to undo"
    )


def test_our_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ARG_MODEL", "/their/model")
    monkeypatch.setenv("SOMETHING", "else")
    env = clean_environment()
    assert env["SOMETHING"] == "else"
    assert "LLAMA_ARG_MODEL" not in env


def test_the_owner_is_checked_after_the_binding(tmp_path: Path) -> None:
    """A child whose owner died before the kernel knew about the wish ends by itself and runs nothing."""
    argv = binding.bound_argv(["touch", str(tmp_path / "ran")])
    if argv[0] == "touch":
        pytest.skip("no setpriv here")
    wrong = [word if word != str(os.getpid()) else "1" for word in argv]

    async def go() -> None:
        env = clean_environment()
        done = await run_to_end(AsyncioLauncher(), LaunchSpec("x", tuple(wrong), env), 10)
        assert done.status == ExitStatus(code=125)
        assert not (tmp_path / "ran").exists()

    run(go())


def test_killing_a_group_that_is_gone_is_harmless() -> None:
    binding.kill_group(2**22)
    assert signal.SIGKILL == 9


def test_asking_a_process_that_has_just_died_does_not_cost_its_exit_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio's watcher and whoever else asks the system for a status compete for it: only one gets it."""

    async def act() -> None:
        spec = LaunchSpec("sleeper", ("sleep", "60"), {"PATH": os.environ["PATH"]})
        for number in range(40):
            child = await AsyncioLauncher().start(spec, lambda *_: None)
            os.kill(child.pid, signal.SIGKILL)
            for _ in range(200 * number):  # dead, and its watcher not awake yet, in some of the rounds
                pass
            child.terminate()
            assert await child.wait() == ExitStatus(signal=signal.SIGKILL)

    run(act())
    assert caplog.text == ""
