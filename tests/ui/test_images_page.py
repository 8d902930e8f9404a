"""The Image Studio with recording facades and real events."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.images import (
    GalleryItem,
    GeneratedImage,
    ImageGenerationConfig,
    ImageJob,
    ImageProgress,
    ImageResult,
    OffloadForecast,
)
from genai_desktop.core.models import ModelInfo
from genai_desktop.ui.images.page import ImagesPage
from genai_desktop.ui.theme import Theme
from tests.ui.fakes import FakeFacades

FLUX = ModelInfo("flux", "Flux", "diffusion", "/m", 7_000, recommended={"steps": 4, "cfg_scale": 1.0})
CONFIG = ImageGenerationConfig("a cat", model_id="flux")


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> ImagesPage:
    made = ImagesPage(facades, theme)
    qtbot.addWidget(made)
    made.resize(1000, 700)
    made.show()
    facades.models.models_changed.emit((FLUX,))
    return made


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "bild ü.png"
    image = QImage(32, 32, QImage.Format.Format_RGB32)
    image.fill(QColor("teal"))
    image.save(str(path))
    return str(path)


def job(state: str, number: int = 1, **more: object) -> ImageJob:
    return replace(ImageJob(f"j{number}", CONFIG, "queued", time.time()), state=state, **more)


def test_generate_sends_what_the_form_says(qtbot: QtBot, page: ImagesPage, facades: FakeFacades) -> None:
    qtbot.keyClicks(page.form.prompt, "a cat")
    page.form.width_box.setValue(640)
    page.form.seed.setValue(0)
    page.form.cfg.setValue(0.0)
    qtbot.mouseClick(page.form.generate_button, Qt.MouseButton.LeftButton)
    (sent,) = facades.asked("images", "generate")
    assert sent[0] == replace(CONFIG, width=640, seed=0, cfg_scale=0.0)


def test_ctrl_enter_paints_and_an_empty_prompt_is_told(
    qtbot: QtBot, page: ImagesPage, facades: FakeFacades
) -> None:
    qtbot.keyClick(page.form.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert facades.asked("images", "generate") == []
    assert page.form._prompt_field.error()
    qtbot.keyClicks(page.form.prompt, "x")
    assert not page.form._prompt_field.error()
    qtbot.keyClick(page.form.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert len(facades.asked("images", "generate")) == 1


def test_without_an_image_model_the_way_to_one_is_shown(
    qtbot: QtBot, page: ImagesPage, facades: FakeFacades
) -> None:
    facades.models.models_changed.emit(())
    assert page._stack.currentWidget() is page._no_model
    assert not page.form.generate_button.isEnabled()
    assert page._no_model.button is not None
    with qtbot.waitSignal(page.open_requested) as caught:
        qtbot.mouseClick(page._no_model.button, Qt.MouseButton.LeftButton)
    assert caught.args == ["models"]


def test_progress_then_cancel(qtbot: QtBot, page: ImagesPage, facades: FakeFacades) -> None:
    facades.images.jobs_changed.emit((job("running"),))
    facades.images.progress_changed.emit(ImageProgress("j1", "diffusion", 7, 20, 41.0, 12.0))
    assert "step 7 of 20" in page.progress.text()
    assert "41 %" in page.progress.text()
    assert "12 s left" in page.progress.text()
    assert page.progress.isVisible()
    qtbot.mouseClick(page.form.cancel_button, Qt.MouseButton.LeftButton)
    assert facades.asked("images", "cancel") == [("j1",)]
    facades.images.jobs_changed.emit((job("cancelled"),))
    assert not page.progress.isVisible()
    assert not page.form.cancel_button.isVisible()


def test_progress_of_unknown_length_claims_nothing(page: ImagesPage, facades: FakeFacades) -> None:
    facades.images.jobs_changed.emit((job("running"),))
    facades.images.progress_changed.emit(ImageProgress("j1", "loading"))
    assert "%" not in page.progress.text()
    assert page.progress.bar.fraction is None


def test_the_finished_picture_is_on_the_canvas(page: ImagesPage, facades: FakeFacades, picture: str) -> None:
    page.form.lock.setChecked(True)
    facades.images.finished.emit(ImageResult("j1", (GeneratedImage(picture, 77, 32, 32),), 2.5))
    assert page.canvas.path == picture
    assert "77" in page._caption.text()
    assert page.form.seed.value() == 77


def test_a_failure_is_told_with_another_try(qtbot: QtBot, page: ImagesPage, facades: FakeFacades) -> None:
    facades.images.jobs_changed.emit((job("running"),))
    facades.images.jobs_changed.emit(
        (job("failed", error_message="Out of memory.", error_remedy="Smaller."),)
    )
    strip = page.messages.strip("generate")
    assert strip is not None
    assert strip.text() == "Out of memory."
    qtbot.mouseClick(strip.action, Qt.MouseButton.LeftButton)
    assert facades.asked("images", "retry") == [("j1",)]


def test_the_banner_says_beforehand_that_the_model_steps_aside(
    qtbot: QtBot, page: ImagesPage, facades: FakeFacades
) -> None:
    qtbot.keyClicks(page.form.prompt, "x")
    qtbot.waitUntil(lambda: bool(facades.asked("images", "forecast")))
    facades.images.forecast_changed.emit(OffloadForecast(True, "It will step aside.", is_llm_running=True))
    strip = page.banner.strip("forecast")
    assert strip is not None
    assert strip.text() == "It will step aside."
    facades.images.forecast_changed.emit(OffloadForecast(False, "Both fit."))
    assert page.banner.strip("forecast") is None


def test_gallery_shows_reuses_and_deletes(
    qtbot: QtBot, page: ImagesPage, facades: FakeFacades, picture: str
) -> None:
    items = tuple(GalleryItem(str(i), picture, picture, time.time(), 32, 32, i, "a cat") for i in range(3))
    facades.images.gallery_changed.emit(items)
    assert page.canvas.path == picture
    page.gallery.view.setCurrentIndex(page.gallery.model.index(1))
    current = page.gallery.current()
    assert current is not None
    assert current.id == "1"
    page.gallery.reused.emit(current)
    assert facades.asked("images", "read_recipe") == [(picture,)]
    facades.images.recipe_loaded.emit({"prompt": "restored", "steps": 9, "width": 256, "unknown": 1})
    assert page.form.prompt.toPlainText() == "restored"
    assert (page.form.steps.value(), page.form.width_box.value()) == (9, 256)
    page.activateWindow()
    page.gallery.view.setFocus()
    qtbot.waitUntil(page.gallery.view.hasFocus)
    qtbot.keyClick(page.gallery.view, Qt.Key.Key_Delete)
    assert facades.asked("images", "delete") == [("1",)]


def test_a_picture_whose_file_is_gone_is_told(page: ImagesPage, facades: FakeFacades) -> None:
    facades.images.gallery_changed.emit(
        (GalleryItem("1", "/nowhere/x.png", "", time.time(), 32, 32, 1, "a", is_missing=True),)
    )
    assert page.messages.strip("missing") is not None


def test_recommended_settings_are_one_click(qtbot: QtBot, page: ImagesPage) -> None:
    assert "4 steps" in page.form._recommended.text()
    qtbot.mouseClick(page.form._recommended, Qt.MouseButton.LeftButton)
    assert (page.form.steps.value(), page.form.cfg.value()) == (4, 1.0)


def test_sizes_swap_and_presets(qtbot: QtBot, page: ImagesPage) -> None:
    page.form.preset.setCurrentIndex(page.form.preset.findData("512x768"))
    assert (page.form.width_box.value(), page.form.height_box.value()) == (512, 768)
    page.form._on_swap()
    assert (page.form.width_box.value(), page.form.height_box.value()) == (768, 512)
    assert page.form.preset.currentData() == "768x512"
    page.form.width_box.setValue(700)
    assert page.form.preset.currentIndex() == 0


def test_form_values_survive(page: ImagesPage, facades: FakeFacades) -> None:
    page.form.prompt.setPlainText("keep me")
    state = page.ui_state()
    page.form.prompt.setPlainText("")
    page.restore_ui(state)
    assert page.form.prompt.toPlainText() == "keep me"


def test_a_refused_intent_is_a_strip(page: ImagesPage, facades: FakeFacades) -> None:
    facades.images.failed.emit(
        Failure("generate", "ENGINE_UNAVAILABLE", "No image engine.", "Install the extra.")
    )
    strip = page.messages.strip("generate")
    assert strip is not None
    assert strip.detail() == "Install the extra."
