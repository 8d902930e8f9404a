"""How an embedded engine is started through the desktop's own executable."""

from __future__ import annotations

import os
import sys

import pytest

from genai_desktop.engines.embedded import (
    ENGINE_ARGUMENT,
    LLAMA_SERVER,
    SD_CLI,
    command_line,
    dispatch,
    is_available,
    version,
)
from genai_desktop.engines.embedded.child import PARENT_PID_VARIABLE, bind_to_parent, yield_cores


@pytest.mark.parametrize("name", [LLAMA_SERVER, SD_CLI])
def test_the_prefix_names_the_same_executable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_line(name) == [sys.executable, "-m", "genai_desktop", ENGINE_ARGUMENT, name]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert command_line(name) == [sys.executable, ENGINE_ARGUMENT, name]


def test_other_arguments_are_none_of_its_business() -> None:
    assert dispatch([]) is None
    assert dispatch(["doctor", ENGINE_ARGUMENT, SD_CLI]) is None


@pytest.mark.parametrize("arguments", [[], ["llama-bench"]])
def test_an_unknown_engine_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch([ENGINE_ARGUMENT, *arguments]) == 1
    assert "no embedded engine is called" in capsys.readouterr().err
    assert not is_available("llama-bench")
    assert version("llama-bench") is None
    with pytest.raises(ValueError, match="llama-bench"):
        command_line("llama-bench")


def test_a_parent_that_is_not_ours_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARENT_PID_VARIABLE, raising=False)
    assert bind_to_parent()
    monkeypatch.setenv(PARENT_PID_VARIABLE, "not a number")
    assert bind_to_parent()


def test_waiting_threads_sleep_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that the end of the test takes it away again
    monkeypatch.delenv("OMP_WAIT_POLICY")
    yield_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    yield_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "active"
