"""Every setting is in effect as soon as it is changed."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from genai_desktop.core.settings import Settings
from genai_desktop.ui.settings_dialog import SettingsPage
from genai_desktop.ui.theme import Theme
from tests.ui import samples
from tests.ui.events import press
from tests.ui.fakes import FakeFacades


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> SettingsPage:
    made = SettingsPage(facades, theme)
    qtbot.addWidget(made)
    made.resize(900, 1600)
    made.show()
    return made


@pytest.mark.parametrize(
    "case",
    [
        ("theme_choice", "light", "theme", "light"),
        ("scale", "130", "text_scale", 130),
        ("aside", "always", "step_aside", "always"),
        ("closing", "hide", "close_to_tray", True),
        ("closing", "quit", "close_to_tray", False),
    ],
)
def test_choices(
    qtbot: QtBot, page: SettingsPage, facades: FakeFacades, case: tuple[str, str, str, object]
) -> None:
    control, key, name, value = case
    press(qtbot, getattr(page, control).button(key))
    assert facades.asked("settings", "update") == [({name: value},)]
    assert getattr(facades.settings.current, name) == value
    assert getattr(page, control).current == key


@pytest.mark.parametrize(
    "case",
    [
        ("motion", "reduced_motion", True),
        ("pausing", "pause_reply_for_image", False),
        ("offline", "offline", False),
        ("notifications", "notifications", True),
        ("minimized", "start_minimized", False),
    ],
)
def test_switches(
    qtbot: QtBot, page: SettingsPage, facades: FakeFacades, case: tuple[str, str, bool]
) -> None:
    control, name, before = case
    switch = getattr(page, control)
    assert switch.isChecked() is before
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert facades.asked("settings", "update") == [({name: not before},)]


def test_ports(qtbot: QtBot, page: SettingsPage, facades: FakeFacades) -> None:
    assert page.llama_port.text() == "automatic"
    assert page.image_port.value() == 8081
    page.llama_port.setFocus()
    page.llama_port.selectAll()
    qtbot.keyClicks(page.llama_port, "9000")
    qtbot.keyClick(page.llama_port, Qt.Key.Key_Return)
    page.image_port.setValue(page.image_port.minimum())
    assert facades.asked("settings", "update") == [({"llama_port": 9000},), ({"image_port": 0},)]


def test_the_language(page: SettingsPage, facades: FakeFacades) -> None:
    index = page.language.findData("de")
    page.language.setCurrentIndex(index)
    page.language.activated.emit(index)
    assert facades.asked("settings", "update") == [({"language": "de"},)]


def test_what_others_change_is_shown(page: SettingsPage, facades: FakeFacades) -> None:
    facades.settings.changed.emit(Settings(theme="light", llama_port=8080, offline=True, close_to_tray=True))
    assert page.theme_choice.current == "light"
    assert page.llama_port.value() == 8080
    assert page.offline.isChecked()
    assert page.closing.current == "hide"
    assert facades.asked("settings", "update") == []


def test_what_could_not_be_saved_goes_back(qtbot: QtBot, page: SettingsPage, facades: FakeFacades) -> None:
    page.offline.setChecked(True)
    facades.settings.failed.emit(samples.failure("settings"))
    assert not page.offline.isChecked()
    strip = page.messages.strip("settings")
    assert strip is not None
    assert strip.isVisible()


def test_only_what_works_is_offered(page: SettingsPage) -> None:
    assert not page.autostart.isVisible()
    assert not page.open_folder.isVisible()
    page.set_autostart_supported(True)
    assert page.autostart.isVisible()


def test_the_data_folder(qtbot: QtBot, page: SettingsPage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    page.set_data_folder("/data/genai")
    press(qtbot, page.open_folder)
    assert opened[0].toLocalFile() == "/data/genai"
