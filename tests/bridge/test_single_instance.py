"""One window per data folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from pytestqt.qtbot import QtBot

from genai_desktop.bridge.signals import UnixSignals
from genai_desktop.bridge.single_instance import SingleInstance


def test_a_second_start_hands_its_arguments_over(qtbot: QtBot, tmp_path: Path) -> None:
    first, second = SingleInstance(tmp_path), SingleInstance(tmp_path)
    assert first.acquire()
    first.listen()
    assert not second.acquire()
    with qtbot.waitSignal(first.message_received, timeout=5000) as caught:
        assert second.hand_over(["--minimized", "übung"])
    assert caught.args == [["--minimized", "übung"]]
    first.release()


def test_two_data_folders_do_not_disturb_each_other(qtbot: QtBot, tmp_path: Path) -> None:
    first, other = SingleInstance(tmp_path / "a"), SingleInstance(tmp_path / "b")
    assert first.acquire()
    assert other.acquire()
    first.release()
    other.release()


def test_after_the_first_is_gone_the_next_is_first(qtbot: QtBot, tmp_path: Path) -> None:
    first = SingleInstance(tmp_path)
    assert first.acquire()
    first.release()
    again = SingleInstance(tmp_path)
    assert again.acquire()
    again.release()


def test_nobody_there_is_said(qtbot: QtBot, tmp_path: Path) -> None:
    assert not SingleInstance(tmp_path).hand_over([], timeout_ms=200)


def test_a_signal_arrives_while_qt_idles(qtbot: QtBot) -> None:
    handler = UnixSignals()
    try:
        with qtbot.waitSignal(handler.received, timeout=5000) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
        assert caught.args == [signal.SIGTERM]
    finally:
        handler.close()
