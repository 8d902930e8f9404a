"""German without build tools: complete, with every placeholder, and honest about what it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from genai_desktop.core.settings import Settings
from genai_desktop.ui import translate
from genai_desktop.ui.assets import asset
from genai_desktop.ui.main_window import MainWindow
from genai_desktop.ui.theme import Theme
from genai_desktop.ui.widgets import format as fmt
from tests.ui.fakes import FakeFacades
from tests.ui.strings import strings

GERMAN = {(c, s): t for c, s, t in translate.read_ts(asset("translations", "genai_de.ts"))}


@pytest.fixture
def german(qapp: QApplication) -> Iterator[None]:
    made = translate.install("de")
    assert made is not None
    yield
    qapp.removeTranslator(made)


def test_every_text_has_a_translation() -> None:
    missing = sorted({text for context, text in strings() if (context, text) not in GERMAN})
    assert missing == [], "add them to resources/translations/genai_de.ts"


def test_nothing_is_translated_that_is_not_said() -> None:
    assert sorted(set(GERMAN) - set(strings())) == []


def test_placeholders_survive() -> None:
    for (_, source), text in GERMAN.items():
        assert sorted(re.findall(r"{\w+}", source)) == sorted(re.findall(r"{\w+}", text)), source


def test_the_translator_speaks(german: None) -> None:
    assert QCoreApplication.translate("Rail", "Settings") == "Einstellungen"
    assert QCoreApplication.translate("SomeSubclass", "Settings") == "Einstellungen"
    assert QCoreApplication.translate("Rail", "Never said anywhere") == "Never said anywhere"
    assert fmt.time_left(80) == "noch 1 m 20 s"


def test_english_needs_no_file(qapp: QApplication) -> None:
    assert translate.install("en") is None
    assert translate.install("xx") is None


def test_the_window_comes_up_in_german(qtbot: QtBot, theme: Theme, qapp: QApplication) -> None:
    settings = Settings(onboarding_done=True, theme="dark", language="de")
    window = MainWindow(FakeFacades(settings), theme)
    qtbot.addWidget(window, before_close_func=MainWindow.dispose)
    try:
        assert window.rail.buttons["models"].text().strip() == "Modelle"
        assert window.status.llm.words == "Kein Modell geladen"
    finally:
        for translator in qapp.findChildren(translate.TsTranslator):
            qapp.removeTranslator(translator)
            translator.deleteLater()
