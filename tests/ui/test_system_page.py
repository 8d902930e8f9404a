"""The System tab with recording facades."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot

from genai_desktop.core.hardware import Problem
from genai_desktop.core.telemetry import EventMarker
from genai_desktop.ui.system.page import SystemPage
from genai_desktop.ui.theme import Theme
from tests.ui import samples
from tests.ui.events import press, settle
from tests.ui.fakes import FakeFacades


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> SystemPage:
    made = SystemPage(facades, theme)
    qtbot.addWidget(made)
    made.complete()
    made.resize(1000, 1800)
    made.show()
    return made


def test_it_asks_for_what_it_shows(page: SystemPage, facades: FakeFacades) -> None:
    assert facades.asked("system", "load") == [()]
    assert facades.asked("system", "load_history") == [(300.0, 600)]
    assert page.hardware.busy.isVisible()


def test_the_cards_tell_what_is_there_and_who_says_so(page: SystemPage, facades: FakeFacades) -> None:
    facades.system.capabilities_changed.emit(samples.capabilities(2))
    cards = page.hardware
    assert not cards.busy.isVisible()
    assert cards.cpu.figure.whole_text() == "8 cores"
    assert cards.memory.source.whole_text() == "Source: /proc/meminfo"
    assert [card.isVisible() for card in cards.gpus] == [True, True]
    assert cards.gpus[0].facts.value("Driver") == "NVIDIA 550.54 · CUDA 12.4"
    assert cards.gpus[0].facts.value("Works with") == "CUDA, Vulkan"
    assert cards.recommendation.figure.whole_text() == "Models up to 13B"
    assert cards.recommendation.facts.value("Layers") == "all on the graphics card"
    facades.system.sample_taken.emit(samples.sample(samples.NOW, 2))
    assert cards.gpus[0].facts.value("Free") != "9.4 GiB"


def test_no_gpu_and_unknown_memory_are_said(page: SystemPage, facades: FakeFacades) -> None:
    facades.system.capabilities_changed.emit(samples.capabilities(0))
    card = page.hardware.gpus[0]
    assert card.figure.whole_text() == "None found"
    assert page.hardware.recommendation.facts.value("Layers") == "none, all on the processor"
    known = samples.capabilities(1)
    unknown = replace(known.gpus[0], vram_total=None, vram_free=None, backends=(), driver=None)
    facades.system.capabilities_changed.emit(replace(known, gpus=(unknown,)))
    assert card.figure.whole_text() == "Memory unknown"
    assert card.facts.value("Free") == "not told"
    assert not card.meter.isVisible()


def test_problems_are_strips_with_a_remedy(page: SystemPage, facades: FakeFacades) -> None:
    facades.system.capabilities_changed.emit(
        samples.capabilities(1, (Problem("NVML", "It is missing.", "Install it."),))
    )
    strip = page.messages.strip("problem-NVML")
    assert strip is not None
    assert (strip.text(), strip.detail(), strip.tone) == ("It is missing.", "Install it.", "warn")


def test_looking_again_waits_for_the_answer(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    press(qtbot, page.refresh)
    assert facades.asked("system", "refresh") == [()]
    assert not page.refresh.isEnabled()
    facades.system.failed.emit(samples.failure("detect"))
    assert page.refresh.isEnabled()
    strip = page.messages.strip("detect")
    assert strip is not None
    press(qtbot, strip.action)
    assert len(facades.asked("system", "refresh")) == 2
    facades.system.capabilities_changed.emit(samples.capabilities())
    assert page.messages.strip("detect") is None


def test_servers_show_buttons_that_work(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    card = page.servers["llama"]
    assert card.start.isVisible()
    assert not card.stop.isVisible()
    press(qtbot, card.start)
    assert facades.asked("system", "start_server") == [("llama", "")]
    facades.system.server_changed.emit(samples.llama_starting())
    assert card.bar.isVisible()
    assert card.bar.fraction == 0.43
    assert card.stop.isEnabled()  # there must be a way out of a slow start
    press(qtbot, card.stop)
    assert facades.asked("system", "stop_server") == [("llama",)]
    facades.system.server_changed.emit(samples.llama_running())
    assert not card.start.isVisible()
    press(qtbot, card.restart)
    assert facades.asked("system", "restart_server") == [("llama",)]
    assert card.facts.value("Port") == "38117"
    assert card.facts.value("Uptime") == "1 h 7 m"
    assert card.facts.value("Context") == "16,384 (asked: 32,768)"
    press(qtbot, card.copy)
    assert shlex.split(QApplication.clipboard().text()) == list(samples.llama_running().command_line)


def test_a_crash_is_explained_in_its_card(page: SystemPage, facades: FakeFacades) -> None:
    card = page.servers["llama"]
    facades.system.server_changed.emit(samples.llama_crashed())
    assert card.state.text() == "crashed"
    strip = card.messages.strip("server")
    assert strip is not None
    assert "more memory than is free" in strip.text()
    assert "18432.00 MiB failed" in strip.detail()
    facades.system.server_changed.emit(samples.llama_running())
    assert card.messages.strip("server") is None


def test_nothing_to_start_leads_to_the_models(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    facades.system.failed.emit(samples.failure("start-server"))
    strip = page.messages.strip("start-server")
    assert strip is not None
    with qtbot.waitSignal(page.open_requested) as wanted:
        press(qtbot, strip.action)
    assert wanted.args == ["models"]


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_logs_open_beside_and_follow(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    press(qtbot, page.servers["llama"].logs)
    assert facades.asked("system", "load_log") == [("llama", 100_000)]
    window = page._logs["llama"]
    qtbot.addWidget(window)
    facades.system.log_loaded.emit("llama", samples.log_entries(10))
    facades.system.log_appended.emit("llama", samples.log_entries(5))
    facades.system.log_appended.emit("diffusion", samples.log_entries(5))
    assert window.view.lines.total == 15
    press(qtbot, window.clear)
    assert facades.asked("system", "clear_log") == [("llama",)]


def test_engines_tell_their_tests(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    facades.system.engines_changed.emit(samples.engines())
    used, refused, untested = page.engines.rows
    assert used.state.text() == "in use"
    assert used.details.text() == "3 of 3 passed"
    assert not used.tests.isVisible()
    press(qtbot, used.details)
    assert used.tests.isVisible()
    assert refused.tests.isVisible()
    assert "newer processor" in refused.reason.text()
    press(qtbot, used.test)
    press(qtbot, refused.test)
    assert facades.asked("system", "test_engine") == [("llama.cpp", ""), ("llama.cpp", "own")]
    facades.system.engine_busy.emit("llama.cpp", True)
    assert used.busy.isVisible()
    assert not used.test.isEnabled()
    facades.system.engines_changed.emit(samples.engines())
    settle()
    assert page.engines.rows[0].busy.isVisible()
    assert page.engines.rows[0].tests.isVisible()  # what was open stays open
    facades.system.engine_busy.emit("llama.cpp", False)
    assert page.engines.rows[0].test.isEnabled()
    assert untested.details.text() == "No test yet"


def test_another_binary_can_be_used(
    page: SystemPage, facades: FakeFacades, monkeypatch: pytest.MonkeyPatch
) -> None:
    facades.system.engines_changed.emit(samples.engines())
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/opt/my/llama-server", ""))
    used, refused, _ = page.engines.rows
    used.own.trigger()
    refused_state = replace(samples.engines()[1], state="in-use")
    facades.system.engines_changed.emit((refused_state,))
    page.engines.rows[0].switch.trigger()
    assert facades.asked("system", "use_engine") == [
        ("llama.cpp", "/opt/my/llama-server"),
        ("llama.cpp", "embedded"),
    ]
    assert refused is not None


def test_no_engine_is_said(page: SystemPage, facades: FakeFacades) -> None:
    assert page.engines.waiting.isVisible()
    facades.system.engines_changed.emit(())
    assert not page.engines.waiting.isVisible()
    assert page.engines.nothing.isVisible()


def test_events_are_filtered_and_exported(
    qtbot: QtBot, page: SystemPage, facades: FakeFacades, tmp_path: object
) -> None:
    card = page.events
    assert card.stack.currentWidget() is card.empty
    facades.system.markers_loaded.emit(samples.markers())
    assert card.stack.currentWidget() is card.table
    assert card.model.event_at(0).label.startswith("LLM came back")
    facades.system.marker_added.emit(EventMarker(samples.NOW, "oom", "no memory left"))
    assert card.model.event_at(0).kind == "oom"
    qtbot.keyClicks(card.filter, "CRASHED")
    assert card.table.model().rowCount() == 1
    qtbot.keyClicks(card.filter, "!")
    assert card.stack.currentWidget() is card.empty
    path = tmp_path / "events.tsv"  # type: ignore[operator]
    with qtbot.waitSignal(card._saver.saved):
        card.export_to(str(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(samples.markers()) + 1
    assert lines[-1].split("\t")[1] == "oom"


def test_diagnostics_go_to_the_clipboard(qtbot: QtBot, page: SystemPage, facades: FakeFacades) -> None:
    press(qtbot, page.diagnostics)
    assert facades.asked("system", "collect_diagnostics") == [()]
    with qtbot.waitSignal(page.announced):
        facades.system.diagnostics_ready.emit("all about it")
    assert QApplication.clipboard().text() == "all about it"
