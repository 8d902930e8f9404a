"""The icon beside the clock, with and without a place for it."""

from __future__ import annotations

import pytest
from PySide6.QtWidgets import QSystemTrayIcon, QWidget
from pytestqt.qtbot import QtBot

from genai_desktop.core.images import ImageGenerationConfig, ImageJob, ImageProgress
from genai_desktop.ui.latest import Latest
from genai_desktop.ui.tray import Tray, tray_icon
from tests.ui import samples
from tests.ui.fakes import FakeFacades


@pytest.fixture
def tray(qtbot: QtBot, facades: FakeFacades) -> Tray:
    host = QWidget()
    qtbot.addWidget(host)
    made = Tray(facades, host)
    made.host = host  # type: ignore[attr-defined]
    return made


def test_the_icon_tells_the_state(tray: Tray, facades: FakeFacades) -> None:
    assert tray.state == "idle"
    facades.system.server_changed.emit(samples.llama_running())
    assert tray.state == "running"
    facades.images.progress_changed.emit(ImageProgress("j", "diffusion", 7, 20, 35.0, 41.0))
    assert tray.state == "generating"
    assert tray.image_action.text() == "Image: 35 %, 41 s left"
    assert tray.cancel_action.isVisible()
    tray.cancel_action.trigger()
    assert facades.asked("images", "cancel") == [("j",)]
    done = ImageJob("j", ImageGenerationConfig(prompt="x"), "done", 1.0)
    facades.images.jobs_changed.emit((done,))
    assert tray.state == "running"
    assert not tray.cancel_action.isVisible()
    facades.system.server_changed.emit(samples.llama_crashed())
    assert tray.state == "problem"
    assert tray.llm_action.text() == "LLM: Qwen3 4B Instruct crashed"


def test_the_menu_starts_and_stops(tray: Tray, facades: FakeFacades) -> None:
    assert tray.menu.objectName() == "tray.menu"
    assert tray.llm_switch.text() == "Start the LLM"
    tray.llm_switch.trigger()
    assert facades.asked("system", "start_server") == [("llama", "")]
    facades.system.server_changed.emit(samples.llama_running())
    assert tray.llm_switch.text() == "Stop the LLM"
    tray.llm_switch.trigger()
    assert facades.asked("system", "stop_server") == [("llama",)]


def test_the_menu_asks(qtbot: QtBot, tray: Tray) -> None:
    actions = {action.text(): action for action in tray.menu.actions()}
    for text, signal in (
        ("Hide", tray.toggle_requested),
        ("Settings", tray.settings_requested),
        ("Quit", tray.quit_requested),
    ):
        with qtbot.waitSignal(signal):
            actions[text].trigger()
    tray.set_window_visible(False)
    assert tray.show_action.text() == "Show"
    with qtbot.waitSignal(tray.toggle_requested):
        tray.icon.activated.emit(QSystemTrayIcon.ActivationReason.Trigger)


@pytest.mark.qt_log_ignore("systemTrayWindowChanged", extend=True)
def test_it_appears_when_the_tray_comes_late(
    qtbot: QtBot, tray: Tray, facades: FakeFacades, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = False
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", staticmethod(lambda: there))
    tray._looking.setInterval(5)
    tray.start(Latest(facades))
    assert not tray.is_available
    tray.notify("a", "b")  # nobody to tell, and no harm
    there = True
    with qtbot.waitSignal(tray.available_changed) as changed:
        pass
    assert changed.args == [True]
    assert not tray._looking.isActive()
    tray.stop()
    assert not tray.icon.isVisible()


@pytest.mark.parametrize("state", ["idle", "running", "generating", "problem"])
def test_icons_differ(qtbot: QtBot, state: str) -> None:
    others = [s for s in ("idle", "running", "generating", "problem") if s != state]
    image = tray_icon(state).pixmap(32).toImage()
    assert all(tray_icon(other).pixmap(32).toImage() != image for other in others)
