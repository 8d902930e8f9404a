"""The first minute."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.settings import Settings
from genai_desktop.ui.onboarding import OnboardingPage
from genai_desktop.ui.theme import Theme
from tests.ui import samples
from tests.ui.events import press
from tests.ui.fakes import FakeFacades
from tests.ui.test_models_page import drop


@pytest.fixture
def facades() -> FakeFacades:
    return FakeFacades(Settings(theme="dark"))


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> OnboardingPage:
    made = OnboardingPage(facades, theme)
    qtbot.addWidget(made)
    made.resize(900, 800)
    made.show()
    return made


def test_one_button_does_all_of_it(qtbot: QtBot, page: OnboardingPage, facades: FakeFacades) -> None:
    facades.system.capabilities_changed.emit(samples.capabilities(0))
    facades.system.engines_changed.emit(samples.engines())
    facades.models.models_changed.emit((samples.guide(),))
    assert "8 cores · 62.0 GiB of memory · no graphics card" in page.computer.sentence.text()
    assert "llama.cpp b11549" in page.engine.sentence.text()
    assert page.starter.state.text() == "ready"
    assert page.start.objectName() == "onboarding.start"
    with qtbot.waitSignal(page.open_requested) as asked:
        press(qtbot, page.start)
    assert asked.args == ["chat"]
    assert facades.settings.current.onboarding_done
    assert facades.asked("chat", "load_model")[0][0] == "guide"
    assert facades.asked("chat", "create") == [()]


def test_it_starts_before_all_is_known(qtbot: QtBot, page: OnboardingPage, facades: FakeFacades) -> None:
    press(qtbot, page.start)
    assert facades.asked("chat", "load_model")[0][0] == "guide"


def test_it_can_be_skipped(qtbot: QtBot, page: OnboardingPage, facades: FakeFacades) -> None:
    with qtbot.waitSignal(page.open_requested):
        press(qtbot, page.skip)
    assert facades.settings.current.onboarding_done
    assert facades.asked("chat", "load_model") == []


def test_another_model_can_be_chosen(qtbot: QtBot, page: OnboardingPage, facades: FakeFacades) -> None:
    facades.models.models_changed.emit(samples.models())
    facades.models.fits_changed.emit(samples.fits())
    assert page.chosen == "guide"
    names = [button.text() for button in page._buttons]
    assert len(names) == 4
    assert all("Flux" not in name and "Old finetune" not in name for name in names)
    other = next(button for button in page._buttons if "Qwen3" in button.text())
    press(qtbot, other)
    press(qtbot, page.start)
    assert facades.asked("chat", "load_model")[0][0] == "qwen3-4b-instruct"


def test_a_dropped_file_becomes_the_choice(page: OnboardingPage, facades: FakeFacades) -> None:
    facades.models.models_changed.emit((samples.guide(),))
    drop(page, "/m/mine.gguf")
    assert facades.asked("models", "import_paths") == [(("/m/mine.gguf",),)]
    facades.models.imported.emit((samples.model("Mine"),))
    assert page.chosen == "mine"


def test_failures_say_what_to_do(page: OnboardingPage, facades: FakeFacades) -> None:
    facades.system.failed.emit(Failure("detect", "X", "The hardware cannot be read.", "Look at the log."))
    assert page.computer.state.text() == "failed"
    facades.system.engines_changed.emit(())
    assert page.engine.state.text() == "missing"
    refused = replace(samples.engines()[0], state="refused")
    facades.system.engines_changed.emit((refused,))
    assert page.engine.state.text() == "missing"
    facades.models.failed.emit(Failure("import", "BAD", "That is a web page.", "Download the file."))
    strip = page.messages.strip("import")
    assert strip is not None
    assert strip.isVisible()
