"""The Models tab with recording facades and real events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.jobs import JobInfo
from genai_desktop.core.models import DownloadConfig, ModelFile, VerifyResult
from genai_desktop.ui.models.page import ModelsPage
from genai_desktop.ui.models.table_model import CONTEXT, FIT, NAME, SIZE, USED, ModelTable
from genai_desktop.ui.questions import Question
from genai_desktop.ui.theme import Theme
from tests.ui import samples
from tests.ui.events import press, settle
from tests.ui.fakes import FakeFacades


@pytest.fixture
def page(qtbot: QtBot, facades: FakeFacades, theme: Theme) -> ModelsPage:
    made = ModelsPage(facades, theme)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    made.show()
    return made


@pytest.fixture
def full(page: ModelsPage, facades: FakeFacades) -> ModelsPage:
    facades.models.models_changed.emit(samples.models())
    facades.models.fits_changed.emit(samples.fits())
    page.installed.select("qwen3-4b-instruct")
    facades.models.details_loaded.emit(samples.details())
    settle()
    return page


# -- states -------------------------------------------------------------------------------------------------


def test_busy_then_empty_then_full(page: ModelsPage, facades: FakeFacades) -> None:
    stack = page.installed.stack
    assert stack.currentWidget() is page.installed.waiting
    facades.models.models_changed.emit(())
    assert stack.currentWidget() is page.installed.empty
    facades.models.models_changed.emit(samples.models())
    assert stack.currentWidget() is page.installed.splitter
    assert page.installed.selected_id  # something is always chosen


def test_the_empty_page_leads_on(
    qtbot: QtBot, page: ModelsPage, facades: FakeFacades, monkeypatch: pytest.MonkeyPatch
) -> None:
    facades.models.models_changed.emit(())
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (["/m/a.gguf", "/m/b.gguf"], ""))
    assert page.installed.empty.button is not None
    assert page.installed.empty.second is not None
    press(qtbot, page.installed.empty.button)
    assert facades.asked("models", "import_paths") == [(("/m/a.gguf", "/m/b.gguf"),)]
    press(qtbot, page.installed.empty.second)
    assert page.tabs.current == "discover"


def test_a_list_that_cannot_be_read_can_be_tried_again(
    qtbot: QtBot, page: ModelsPage, facades: FakeFacades
) -> None:
    facades.models.failed.emit(Failure("models", "IO_ERROR", "The database is damaged.", "Restore it."))
    strip = page.messages.strip("models")
    assert strip is not None
    press(qtbot, strip.action)
    assert len(facades.asked("models", "load")) == 2


# -- table --------------------------------------------------------------------------------------------------


def test_the_table_says_it_all(full: ModelsPage) -> None:
    table = full.installed.model
    row = table.row_of("gemma-3-12b")

    def text(column: int) -> str:
        return str(table.data(table.index(row, column)))

    assert text(NAME) == "Gemma 3 12B"
    assert text(SIZE) == "7.3 GiB"
    assert text(CONTEXT) == "128k"
    assert text(FIT) == "partly on GPU"
    tip = table.data(table.index(row, FIT), Qt.ItemDataRole.ToolTipRole)
    assert tip == "31 of 48 layers fit the graphics card."
    aligned = table.data(table.index(row, SIZE), Qt.ItemDataRole.TextAlignmentRole)
    assert aligned & Qt.AlignmentFlag.AlignRight
    missing = table.row_of("old-finetune")
    assert table.data(table.index(missing, FIT)) == "file is missing"
    assert not full.installed.table.grab().isNull()


@pytest.mark.parametrize(
    ("column", "first"),
    [(NAME, "flux-2-klein"), (SIZE, "guide"), (CONTEXT, "flux-2-klein"), (FIT, "guide"), (USED, "guide")],
)
def test_every_column_sorts(full: ModelsPage, column: int, first: str) -> None:
    full.installed.table.sortByColumn(column, Qt.SortOrder.AscendingOrder)
    top = full.installed.model.model_at(0)
    assert top is not None
    assert top.id == first
    assert full.installed.selected_id == "qwen3-4b-instruct"  # the choice goes with its row


def test_ten_thousand_models(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    many = tuple(replace(samples.model(), id=f"m{n}", name=f"Model {n:05d}") for n in range(10_000))
    facades.models.models_changed.emit(many)
    qtbot.keyClicks(full.installed.filter, "0999")
    qtbot.waitUntil(lambda: full.installed.model.rowCount() == 11)
    full.installed.table.sortByColumn(NAME, Qt.SortOrder.DescendingOrder)
    top = full.installed.model.model_at(0)
    assert top is not None
    assert top.name == "Model 09999"
    assert full.installed.model.total == 10_000


def test_the_filter_looks_at_licence_and_family(theme: Theme) -> None:
    table = ModelTable(theme)
    table.set_models(samples.models())
    for text, count in (("GEMMA", 1), ("apache", 2), ("q4_0", 1), ("nothing like it", 0), ("", 6)):
        table.set_filter(text)
        assert table.rowCount() == count, text


def test_a_changed_list_keeps_the_choice(full: ModelsPage, facades: FakeFacades) -> None:
    facades.models.models_changed.emit(samples.models()[::-1])
    assert full.installed.selected_id == "qwen3-4b-instruct"
    facades.models.models_changed.emit(tuple(m for m in samples.models() if m.id != "qwen3-4b-instruct"))
    assert full.installed.detail.model is not None


# -- details ------------------------------------------------------------------------------------------------


def test_details_are_asked_for_once_per_choice(full: ModelsPage, facades: FakeFacades) -> None:
    facades.forget()
    full.installed.select("gemma-3-12b")
    assert facades.asked("models", "load_details") == [("gemma-3-12b", 0, "f16")]
    facades.models.models_changed.emit(samples.models())
    assert len(facades.asked("models", "load_details")) == 1


def test_the_fit_is_shown_in_parts(full: ModelsPage) -> None:
    panel = full.installed.detail.fit_panel
    assert panel.bar.isVisible()
    assert "Weights 2.3 GiB" in panel.bar.bar.accessibleName()
    assert "total" not in panel.bar.bar.accessibleName().casefold()
    assert panel.chosen.text() == "automatic: 16k tokens"


def test_context_and_kv_type_ask_again(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    facades.forget()
    panel = full.installed.detail.fit_panel
    panel.slider.setFocus()
    qtbot.keyClick(panel.slider, Qt.Key.Key_Right)
    assert panel.chosen.text() == "2k tokens"
    qtbot.keyClick(panel.slider, Qt.Key.Key_End)
    assert panel.chosen.text() == "256k tokens"
    panel.kind.setCurrentText("q8_0")
    qtbot.waitUntil(lambda: bool(facades.asked("models", "load_details")))
    assert facades.asked("models", "load_details") == [("qwen3-4b-instruct", 262_144, "q8_0")]


def test_late_details_of_another_model_are_not_shown(full: ModelsPage, facades: FakeFacades) -> None:
    full.installed.select("gemma-3-12b")
    facades.models.details_loaded.emit(samples.details())
    assert full.installed.detail.fit_panel.busy.isVisible()


def test_metadata_unfolds(qtbot: QtBot, full: ModelsPage) -> None:
    detail = full.installed.detail
    assert not detail.metadata.isVisible()
    press(qtbot, detail._fold)
    assert detail.metadata.value("general.architecture") == "qwen3"


def test_an_image_model_shows_its_parts(full: ModelsPage) -> None:
    full.installed.select("flux-2-klein")
    settle()
    detail = full.installed.detail
    assert detail.use.text() == "Use in the studio"
    assert len(detail._files) == 3
    assert not detail.fit_panel.choices.isVisible()


def test_a_missing_model_offers_only_what_works(full: ModelsPage) -> None:
    full.installed.select("old-finetune")
    settle()
    detail = full.installed.detail
    assert not detail.use.isEnabled()
    assert not detail.verify.isEnabled()
    assert detail.remove.isEnabled()
    strip = detail.messages.strip("missing")
    assert strip is not None
    full.installed.select("guide")
    assert not detail.remove.isEnabled()


def test_use_leads_to_the_right_page(qtbot: QtBot, full: ModelsPage) -> None:
    with qtbot.waitSignal(full.chat_requested) as asked:
        press(qtbot, full.installed.detail.use)
    assert asked.args == ["qwen3-4b-instruct"]
    full.installed.select("flux-2-klein")
    with qtbot.waitSignal(full.studio_requested) as asked:
        press(qtbot, full.installed.detail.use)
    assert asked.args == ["flux-2-klein"]


def test_renaming_in_place(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    detail = full.installed.detail
    press(qtbot, detail.rename)
    assert detail.edit.isVisible()
    detail.edit.setText("Mine")
    qtbot.keyClick(detail.edit, Qt.Key.Key_Return)
    assert facades.asked("models", "rename") == [("qwen3-4b-instruct", "Mine")]
    press(qtbot, detail.rename)
    detail.edit.setText("Other")
    qtbot.keyClick(detail.edit, Qt.Key.Key_Escape)
    assert not detail.edit.isVisible()
    assert len(facades.asked("models", "rename")) == 1


@pytest.mark.parametrize(
    ("outcome", "tone"), [("ok", "ok"), ("unverifiable", "info"), ("mismatch", "danger")]
)
def test_verifying_says_how_it_ended(
    qtbot: QtBot, full: ModelsPage, facades: FakeFacades, outcome: str, tone: str
) -> None:
    detail = full.installed.detail
    press(qtbot, detail.verify)
    assert facades.asked("models", "verify") == [("qwen3-4b-instruct",)]
    assert not detail.verify.isEnabled()
    result = VerifyResult(outcome, (("/m/a.gguf", outcome),))  # type: ignore[arg-type]
    facades.models.verified.emit("qwen3-4b-instruct", result)
    strip = detail.messages.strip("verify")
    assert strip is not None
    assert strip.tone == tone
    assert detail.verify.isEnabled()
    if outcome == "mismatch":
        assert "a.gguf" in strip.text()


def test_the_folder_is_shown(qtbot: QtBot, full: ModelsPage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    press(qtbot, full.installed.detail.folder)
    assert opened[0].toLocalFile() == "/home/someone/models"


# -- removing -----------------------------------------------------------------------------------------------


def question_of(page: ModelsPage) -> Question:
    found = [q for q in page.findChildren(Question) if q.isVisible()]
    assert len(found) == 1
    return found[0]


def test_removing_asks_and_tells_what_was_freed(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    press(qtbot, full.installed.detail.remove)
    press(qtbot, question_of(full).no)
    assert facades.asked("models", "remove") == []
    press(qtbot, full.installed.detail.remove)
    press(qtbot, question_of(full).yes)
    assert facades.asked("models", "remove") == [("qwen3-4b-instruct", "Qwen3 4B Instruct")]
    with qtbot.waitSignal(full.announced) as told:
        facades.models.removed.emit("qwen3-4b-instruct", "Qwen3 4B Instruct", 3 * samples.GIB)
    assert told.args[0] == "Qwen3 4B Instruct was removed. 3.0 GiB are free again."


def test_the_question_tells_what_goes_and_what_stays(full: ModelsPage, facades: FakeFacades) -> None:
    shared = ModelFile("/m/ae.safetensors", samples.GIB, "vae")
    own = ModelFile("/m/a.gguf", 2 * samples.GIB, "diffusion_model")
    one = samples.model("One", kind="diffusion", source="url", files=(own, shared))
    two = samples.model("Two", kind="diffusion", source="url", files=(shared,))
    facades.models.models_changed.emit((one, two))
    text = full._what_removing_does(one)
    assert "frees 2.0 GiB" in text
    assert "Kept for Two: ae.safetensors." in text
    assert "stay where they are" in full._what_removing_does(samples.model())


# -- importing ----------------------------------------------------------------------------------------------


def drop(target: QWidget, *paths: str) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path) for path in paths])
    enter = QDragEnterEvent(
        QPoint(9, 9),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(target, enter)
    assert enter.isAccepted()
    event = QDropEvent(
        QPointF(9, 9),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(target, event)


def test_files_and_folders_are_dropped_in(full: ModelsPage, facades: FakeFacades) -> None:
    drop(full.installed, "/m/a.gguf", "/m/folder")
    assert facades.asked("models", "import_paths") == [(("/m/a.gguf", "/m/folder"),)]
    assert not full.installed.drop.isVisible()


def test_what_was_imported_is_chosen(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    new = samples.model("Brand new")
    with qtbot.waitSignal(full.announced) as told:
        facades.models.imported.emit((new,))
    assert told.args[0] == "Brand new was imported."
    facades.models.models_changed.emit((*samples.models(), new))
    assert full.installed.selected_id == "brand-new"
    facades.models.imported.emit(())
    strip = full.messages.strip("import")
    assert strip is not None
    assert strip.tone == "info"


def test_an_image_model_by_parts(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    full.installed.show_parts()
    parts = full.installed.parts
    settle()
    assert not parts.submit.isEnabled()
    qtbot.keyClicks(parts.name, "Flux")
    drop(parts.paths["diffusion_model"], "/m/flux.gguf")
    parts.paths["vae"].setText("/m/ae.safetensors")
    press(qtbot, parts.submit)
    assert facades.asked("models", "import_components") == [
        ("Flux", {"diffusion_model": "/m/flux.gguf", "vae": "/m/ae.safetensors"})
    ]
    facades.models.failed.emit(Failure("import", "BAD_MODEL_FILE", "That is a text encoder.", "Swap them."))
    strip = parts.messages.strip("import")
    assert strip is not None
    assert strip.isVisible()
    facades.models.imported.emit((samples.models()[4],))
    assert full.installed.stack.currentWidget() is full.installed.splitter
    assert parts.components() == {}


def test_the_import_menu(full: ModelsPage, facades: FakeFacades, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "/m")
    actions = full.installed.importing.menu().actions()
    assert [action.text() for action in actions] == ["Files…", "Folder…", "Image model by parts…"]
    actions[1].trigger()
    actions[2].trigger()
    assert facades.asked("models", "import_paths") == [(("/m",),)]
    assert full.installed.stack.currentWidget() is full.installed.parts


# -- downloading --------------------------------------------------------------------------------------------

URL = "https://example.org/models/Qwen3-4B-Q4_K_M.gguf?download=true"


def test_the_form_says_what_is_wrong(qtbot: QtBot, full: ModelsPage) -> None:
    full.show_view("discover")
    form = full.discover
    for url, part in (
        ("qwen.gguf", "complete http"),
        ("ftp://host/a.gguf", "complete http"),
        ("https://host/a.ckpt", "Pickle"),
        ("https://huggingface.co/a/b/blob/main/c.gguf", "/resolve/"),
    ):
        form.url.setText(url)
        assert part in form.url_field.error(), url
        assert not form.start.isEnabled()
    form.url.setText(URL)
    assert form.url_field.error() == ""
    assert form.name.text() == "Qwen3-4B-Q4_K_M"
    form.digest.setText("sha256:12")
    assert form.digest_field.error().startswith("2 characters")
    assert not form.start.isEnabled()
    form.digest.setText("sha256:" + "aB" * 32)
    assert form.start.isEnabled()


def test_a_name_a_person_gave_is_kept(qtbot: QtBot, full: ModelsPage) -> None:
    full.show_view("discover")
    form = full.discover
    qtbot.keyClicks(form.name, "Mine")
    form.url.setText(URL)
    assert form.name.text() == "Mine"


def test_a_download_is_asked_for_and_shown(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    full.show_view("discover")
    form = full.discover
    form.url.setText(URL)
    form.kind.choose("diffusion")
    press(qtbot, form.start)
    config = DownloadConfig(name="Qwen3-4B-Q4_K_M", type="diffusion", url=URL)
    assert facades.asked("models", "download") == [(config,)]
    assert full.tabs.current == "downloads"
    assert form.url.text() == ""
    failed = JobInfo("j", "download", "Download Qwen3-4B-Q4_K_M", "failed", error_message="It broke off.")
    facades.jobs.jobs_changed.emit((failed,))
    row = full.downloads.row("j")
    assert row is not None
    press(qtbot, row.retry)
    assert facades.asked("models", "download") == [(config,), (config,)]


def test_downloads_are_counted_and_cancelled(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    full.show_view("downloads")
    assert full.downloads.stack.currentWidget() is full.downloads.empty
    facades.jobs.jobs_changed.emit(samples.jobs())
    assert full.tabs.button("downloads").text() == "Downloads  2"
    row = full.downloads.row("j1")
    assert row is not None
    press(qtbot, row.cancel)
    assert facades.asked("jobs", "cancel") == [("j1",)]
    assert full.downloads.row("j2") is None  # not a download


def test_what_arrived_can_be_used(qtbot: QtBot, full: ModelsPage, facades: FakeFacades) -> None:
    facades.models.download_finished.emit(samples.model())
    strip = full.messages.strip("downloaded")
    assert strip is not None
    with qtbot.waitSignal(full.chat_requested) as asked:
        press(qtbot, strip.action)
    assert asked.args == ["qwen3-4b-instruct"]


def test_disk_space_is_told(full: ModelsPage, facades: FakeFacades) -> None:
    facades.models.disk_changed.emit(312 * samples.GIB, 931 * samples.GIB)
    assert full.installed.disk.text() == "312.0 of 931.0 GiB free"


def test_form_values_come_back(full: ModelsPage, facades: FakeFacades, theme: Theme, qtbot: QtBot) -> None:
    full.show_view("discover")
    full.discover.url.setText(URL)
    again = ModelsPage(facades, theme)
    qtbot.addWidget(again)
    again.restore_ui(full.ui_state())
    assert again.tabs.current == "discover"
    assert again.discover.url.text() == URL
    facades.models.models_changed.emit(samples.models())
    assert again.installed.selected_id == "qwen3-4b-instruct"
