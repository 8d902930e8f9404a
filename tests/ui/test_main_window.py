"""The frame: navigation, status bar, popover, what is remembered, how it closes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel
from pytestqt.qtbot import QtBot

from genai_desktop.core.chat import ChatDelta, InferenceStats
from genai_desktop.core.errors import StorageError
from genai_desktop.core.images import (
    GeneratedImage,
    ImageGenerationConfig,
    ImageJob,
    ImageProgress,
    ImageResult,
)
from genai_desktop.core.recovery import Recovery
from genai_desktop.core.settings import Settings
from genai_desktop.ui.main_window import MainWindow
from genai_desktop.ui.questions import CloseQuestion
from genai_desktop.ui.theme import Theme
from genai_desktop.ui.ui_state import encode
from tests.ui import samples
from tests.ui.events import activate, press
from tests.ui.fakes import FakeFacades


@pytest.fixture
def window(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> MainWindow:
    return make(qtbot, facades, theme)


def make(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> MainWindow:
    made = MainWindow(facades, theme)
    qtbot.addWidget(made, before_close_func=MainWindow.dispose)
    with qtbot.waitSignal(made.first_painted):
        made.show()
    return made


# -- navigation -----------------------------------------------------------------------------------------


def test_the_rail_switches_pages(qtbot: QtBot, window: MainWindow) -> None:
    assert window.current_page == "system"
    press(qtbot, window.rail.buttons["models"])
    assert window.current_page == "models"
    assert window.page("models").isVisible()
    press(qtbot, window.rail.buttons["settings"])
    assert window.page("settings").isVisible()
    assert not window.page("models").isVisible()


@pytest.mark.parametrize(
    ("key", "page"),
    [(Qt.Key.Key_1, "system"), (Qt.Key.Key_2, "models"), (Qt.Key.Key_3, "chat"), (Qt.Key.Key_4, "images")],
)
def test_ctrl_and_a_digit_switch(qtbot: QtBot, window: MainWindow, key: Qt.Key, page: str) -> None:
    activate(qtbot, window)
    window.show_page("settings")
    qtbot.keyClick(window, key, Qt.KeyboardModifier.ControlModifier)
    assert window.current_page == page
    assert window.rail.buttons[page].isChecked()


def test_the_rail_collapses(qtbot: QtBot, window: MainWindow) -> None:
    assert window.rail.width() == 200
    press(qtbot, window.rail.findChild(QAbstractButton, "nav.collapse"))
    assert window.rail.width() == 56
    assert window.rail.buttons["system"].text() == ""
    assert window.rail.buttons["system"].accessibleName() == "System"
    assert not window.rail.grab().isNull()


def test_pages_are_built_after_the_first_paint(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> None:
    made = MainWindow(facades, theme)
    qtbot.addWidget(made, before_close_func=MainWindow.dispose)
    assert set(made.stack.built()) == set()
    made.show()
    qtbot.waitUntil(lambda: set(made.stack.built()) >= {"system", "models", "chat", "images"})
    qtbot.waitUntil(lambda: hasattr(made.page("system"), "events"))


def test_heavy_modules_are_not_imported_before_the_first_paint() -> None:
    """In a process of its own, because this one has long imported everything."""
    code = (
        "import sys\n"
        "from PySide6.QtWidgets import QApplication\n"
        "from genai_desktop.core.settings import Settings\n"
        "from tests.ui.fakes import FakeFacades\n"
        "from genai_desktop.ui.main_window import MainWindow\n"
        "from genai_desktop.ui.theme import Theme\n"
        "app = QApplication([])\n"
        "settings = Settings(onboarding_done=True)\n"
        "window = MainWindow(FakeFacades(settings), Theme(app, settings))\n"
        "window.first_painted.connect(lambda: app.exit(0))\n"
        "window.show()\n"
        "app.exec()\n"
        "heavy = {'pyqtgraph', 'numpy', 'httpx', 'qasync', 'markdown_it', 'pygments', 'PIL', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_first_start_welcomes(qtbot: QtBot, qapp: QApplication, theme: Theme) -> None:
    made = make(qtbot, FakeFacades(Settings()), theme)
    assert made.current_page == "welcome"


def test_chat_with_this_leads_to_the_chat(qtbot: QtBot, window: MainWindow) -> None:
    window.page("models").chat_requested.emit("guide")  # type: ignore[attr-defined]
    assert window.current_page == "chat"
    window.page("models").studio_requested.emit("flux")  # type: ignore[attr-defined]
    assert window.current_page == "images"


# -- badges and messages -----------------------------------------------------------------------------------


def test_running_downloads_are_counted_on_the_rail(window: MainWindow, facades: FakeFacades) -> None:
    facades.jobs.jobs_changed.emit(samples.jobs())
    assert window.rail.buttons["models"].badge == 2
    assert window.rail.buttons["models"].accessibleName() == "Models, 2"
    assert not window.rail.grab().isNull()


def test_a_finished_picture_is_counted_until_it_is_seen(window: MainWindow, facades: FakeFacades) -> None:
    picture = GeneratedImage("/tmp/a.png", 1, 64, 64)
    facades.images.finished.emit(ImageResult("j", (picture, picture), 4.0))
    assert window.rail.buttons["images"].badge == 2
    window.show_page("images")
    assert window.rail.buttons["images"].badge == 0


def test_a_failure_elsewhere_is_marked(window: MainWindow, facades: FakeFacades) -> None:
    facades.models.failed.emit(samples.failure("import"))
    assert window.rail.buttons["models"].alert
    assert "a problem" in window.rail.buttons["models"].accessibleName()
    window.show_page("models")
    assert not window.rail.buttons["models"].alert
    strip = window.page("models").messages.strip("import")  # type: ignore[attr-defined]
    assert strip.isVisible()


def test_a_failed_setting_is_told_at_the_foot(window: MainWindow, facades: FakeFacades) -> None:
    facades.settings.failed.emit(samples.failure("settings"))
    assert "no model to start" in window.announcer.toast.text()


def test_an_interrupted_session_can_go_on(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    facades.system.recovery_offered.emit(Recovery("qwen", "Qwen3 4B", ("llama",), 1, 1))
    strip = window.announcer.banner.strip("recovery")
    assert strip is not None
    assert strip.isVisible()
    assert "as far as it came" in strip.detail()
    press(qtbot, strip.action)
    assert facades.asked("chat", "load_model")[0][0] == "qwen"
    assert window.current_page == "chat"


def test_services_that_do_not_open_are_explained(qtbot: QtBot, window: MainWindow) -> None:
    window.show_open_failure(StorageError("The disk is full.", remedy="Free some space."))
    strip = window.announcer.banner.strip("open")
    assert strip is not None
    assert (strip.text(), strip.detail()) == ("The disk is full.", "Free some space.")
    with qtbot.waitSignal(window.quit_requested):
        press(qtbot, strip.action)


def test_the_desktop_is_told_only_when_the_window_is_away(
    qtbot: QtBot, window: MainWindow, facades: FakeFacades
) -> None:
    job = replace(samples.jobs()[0], state="done")
    activate(qtbot, window)
    with qtbot.assertNotEmitted(window.announcer.notification):
        facades.jobs.jobs_changed.emit((job,))
    window.hide()
    qtbot.waitUntil(lambda: not window.isActiveWindow())
    other = replace(job, id="other", state="failed", error_message="No.")
    with qtbot.waitSignal(window.announcer.notification) as told:
        facades.jobs.jobs_changed.emit((job, other))
    assert told.args[0] == "Failed"
    facades.settings.update(notifications=False)
    with qtbot.assertNotEmitted(window.announcer.notification):
        facades.jobs.jobs_changed.emit((replace(job, id="third"),))


# -- status bar ----------------------------------------------------------------------------------------------


def test_the_llm_pill_tells_model_state_and_speed(window: MainWindow, facades: FakeFacades) -> None:
    pill = window.status.llm
    assert pill.words == "No model loaded"
    facades.system.server_changed.emit(samples.llama_starting())
    assert pill.words == "Qwen3 4B Instruct · loading 43 %"
    facades.system.server_changed.emit(samples.llama_running())
    facades.chat.delta_received.emit(ChatDelta("c", "m", stats=InferenceStats(tokens_per_second=42.3)))
    assert pill.words == "Qwen3 4B Instruct · ready · 42.3 tok/s"
    facades.images.handoff_changed.emit({"suspended": True, "eta": 12.4, "phase": "generating"})
    assert pill.words == "LLM stepped aside · back in about 12 s"
    facades.images.handoff_changed.emit({"suspended": False})
    facades.system.server_changed.emit(samples.llama_crashed())
    assert (pill.words, pill.tone) == ("Qwen3 4B Instruct · crashed", "danger")


def test_a_crashed_llm_leads_to_system(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    window.show_page("images")
    press(qtbot, window.status.llm)
    assert window.current_page == "chat"
    facades.system.server_changed.emit(samples.llama_crashed())
    press(qtbot, window.status.llm)
    assert window.current_page == "system"
    press(qtbot, window.status.image)
    assert window.current_page == "images"


def test_the_image_pill_tells_step_and_queue(window: MainWindow, facades: FakeFacades) -> None:
    config = ImageGenerationConfig(prompt="a lighthouse")
    running = ImageJob("a", config, "running", 1.0)
    queued = [ImageJob(str(n), config, "queued", 1.0) for n in range(3)]
    facades.images.jobs_changed.emit((running, *queued))
    facades.images.progress_changed.emit(ImageProgress("a", "diffusion", 7, 20, 35.0, 41.0))
    assert window.status.image.words == "Image · step 7 of 20 · 41 s left · queue 3"
    facades.images.jobs_changed.emit((replace(running, state="done"),))
    assert window.status.image.words == "Images idle"


def test_the_meters_have_numbers(window: MainWindow, facades: FakeFacades) -> None:
    facades.system.sample_taken.emit(samples.sample(samples.NOW, 0))
    assert not window.status.vram.isVisible()
    facades.system.sample_taken.emit(samples.sample(samples.NOW, 2))
    assert window.status.vram.isVisible()
    assert window.status.vram.numbers.text().endswith("of 24.0 GiB")
    assert window.status.ram.accessibleName().startswith("Memory: ")


def test_the_popover_lists_and_cancels(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    facades.jobs.jobs_changed.emit(samples.jobs())
    assert window.status.jobs.text() == "Jobs 3"
    press(qtbot, window.status.jobs)
    assert window.popover.isVisible()
    row = window.popover._rows["j1"]
    press(qtbot, row.cancel)
    assert facades.asked("jobs", "cancel") == [("j1",)]
    facades.jobs.jobs_changed.emit(samples.jobs()[1:3])
    assert list(window.popover._rows) == ["j2", "j3"]
    facades.jobs.jobs_changed.emit(())
    assert window.popover._nothing.isVisible()
    qtbot.keyClick(window.popover, Qt.Key.Key_Escape)
    assert not window.popover.isVisible()
    press(qtbot, window.status.jobs)
    press(qtbot, window.stack.currentWidget())  # anywhere else
    assert not window.popover.isVisible()


# -- remembering and closing ---------------------------------------------------------------------------------


def test_what_was_is_there_again(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> None:
    first = make(qtbot, facades, theme)
    first.resize(1100, 700)
    first.rail.set_collapsed(True)
    first.show_page("models")
    first.page("models").show_view("discover")  # type: ignore[attr-defined]
    first.prepare_quit()
    again = make(qtbot, FakeFacades(facades.settings.current), theme)
    assert again.memory.known("geometry") == encode(first.saveGeometry())
    assert again.width() != 1280
    assert again.rail.is_collapsed
    assert again.current_page == "models"
    assert again.page("models").tabs.current == "discover"  # type: ignore[attr-defined]


def test_damaged_memories_do_no_harm(qtbot: QtBot, theme: Theme) -> None:
    ui = {"geometry": "%%%", "page": 7, "models": {"view": "?", "installed": {"header": 3, "splitter": []}}}
    made = make(qtbot, FakeFacades(Settings(onboarding_done=True, ui=ui)), theme)
    made.page("models")
    assert made.current_page == "system"


def test_remembering_waits_and_writes_once(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    window.memory.write()
    facades.forget()
    window.memory._timer.setInterval(10)
    window.rail.set_collapsed(True)
    window.rail.set_collapsed(False)
    window.rail.set_collapsed(True)
    qtbot.waitUntil(lambda: bool(facades.asked("settings", "remember_ui")))
    calls = facades.asked("settings", "remember_ui")
    assert len(calls) == 1
    assert calls[0][0]["rail_collapsed"] is True


def test_without_a_tray_closing_quits(qtbot: QtBot, window: MainWindow) -> None:
    assert not window.has_tray()
    with qtbot.waitSignal(window.quit_requested):
        window.close()
    assert window.isVisible()


def test_with_a_tray_it_asks_once(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    window.start_tray()._is_available = True
    window.close()
    question = window.findChild(CloseQuestion)
    assert question is not None
    assert question.isVisible()
    press(qtbot, question.yes)
    assert not window.isVisible()
    assert facades.settings.current.close_to_tray is True
    window.show()
    window.close()
    assert not window.isVisible()
    facades.settings.update(close_to_tray=False)
    window.show()
    with qtbot.waitSignal(window.quit_requested):
        window.close()


def test_the_question_can_say_quit(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    window.start_tray()._is_available = True
    window.close()
    question = window.findChild(CloseQuestion)
    assert question is not None
    press(qtbot, question.remember)
    with qtbot.waitSignal(window.quit_requested):
        press(qtbot, question.no)
    assert facades.settings.current.close_to_tray is None


def test_after_prepare_quit_it_lets_go(qtbot: QtBot, window: MainWindow) -> None:
    window.prepare_quit()
    assert not window.isVisible()
    with qtbot.assertNotEmitted(window.quit_requested):
        assert window.close()


def test_ctrl_q_quits(qtbot: QtBot, window: MainWindow) -> None:
    activate(qtbot, window)
    with qtbot.waitSignal(window.quit_requested):
        qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)


# -- the whole ---------------------------------------------------------------------------------------------


def test_settings_change_the_look_at_once(window: MainWindow, facades: FakeFacades, theme: Theme) -> None:
    facades.settings.update(theme="light", text_scale=130)
    assert theme.name == "light"
    assert theme.text_scale == 130
    assert window.rail.width() == 230


def test_the_named_controls_are_there(qtbot: QtBot, window: MainWindow, facades: FakeFacades) -> None:
    window.page("models")
    window.page("system").complete()  # type: ignore[attr-defined]
    facades.system.capabilities_changed.emit(samples.capabilities())
    facades.system.sample_taken.emit(samples.sample(samples.NOW))
    names = (
        "nav.system nav.models nav.chat nav.images nav.settings "
        "status.llm status.image status.ram status.vram status.jobs "
        "system.cpu system.memory system.gpu system.recommendation system.chart.ram system.chart.vram "
        "system.engines system.servers system.events "
        "models.tabs models.installed models.detail models.import models.downloads models.fit"
    )
    for name in names.split():
        assert window.findChild(object, name) is not None, name  # type: ignore[type-var]


def test_every_control_has_an_accessible_name(window: MainWindow, facades: FakeFacades) -> None:
    for page in ("system", "models", "settings", "welcome"):
        window.show_page(page)
        if hasattr(window.page(page), "complete"):
            window.page(page).complete()  # type: ignore[attr-defined]
        facades.system.capabilities_changed.emit(samples.capabilities())
        facades.system.engines_changed.emit(samples.engines())
        facades.models.models_changed.emit(samples.models())
        for button in window.page(page).findChildren(QAbstractButton):
            inside_field = button.parent() is not None and button.parent().inherits("QLineEdit")
            if not inside_field and not button.inherits("QTableCornerButton"):
                assert button.accessibleName() or button.text(), (page, button.objectName(), button)


def test_no_text_is_clipped_at_the_smallest_size(window: MainWindow, facades: FakeFacades) -> None:
    window.resize(960, 640)
    for page in ("system", "models", "settings"):
        window.show_page(page)
        QApplication.processEvents()
        for shown in window.page(page).findChildren(QLabel):
            if shown.isVisible() and shown.wordWrap() and shown.text():
                assert shown.height() >= shown.heightForWidth(shown.width()) - 2, shown.text()
