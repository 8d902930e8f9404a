"""The Image Studio tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFrame, QSplitter, QStackedLayout, QWidget

from genai_desktop.core.errors import InvalidInputError
from genai_desktop.ui.images.canvas import Canvas, ProgressLine
from genai_desktop.ui.images.form import ImageForm
from genai_desktop.ui.images.gallery import GalleryView
from genai_desktop.ui.images.queue import QueueView
from genai_desktop.ui.ui_state import decode, encode
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.format import duration
from genai_desktop.ui.widgets.labels import ElidedLabel
from genai_desktop.ui.widgets.layouts import column
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from PySide6.QtGui import QDragEnterEvent, QDropEvent

    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.images import (
        GalleryItem,
        HandoffReport,
        ImageJob,
        ImageProgress,
        ImageResult,
        OffloadForecast,
    )
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.theme import Theme


class ImagesPage(QWidget):
    """Renders what the image facade publishes and reports what the person does."""

    open_requested = Signal(str)
    announced = Signal(str, str, object)
    ui_changed = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._running: ImageJob | None = None
        self._has_models = True
        self._deleted, self._failed = "", ""  # ids that Undo and Try again are about
        self._gallery: tuple[GalleryItem, ...] = ()
        self.setProperty("kind", "page")
        self.setAcceptDrops(True)
        whole = column(self, space=0)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        whole.addWidget(self._splitter)
        self.form = ImageForm(theme)
        self.form.setMinimumWidth(270)
        self._splitter.addWidget(self.form)
        self._splitter.addWidget(self._build_middle())
        self._splitter.addWidget(self._build_right())
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([310, 560, 240])
        self._ask = QTimer(self)  # the forecast reads headers and memory: not at every key
        self._ask.setSingleShot(True)
        self._ask.setInterval(350)
        self._ask.timeout.connect(self._on_ask)
        self._connect()
        facades.images.load()
        facades.models.load()

    def _build_middle(self) -> QWidget:
        space = self._theme.space
        middle = QWidget()
        whole = column(middle, space=space.s, margins=(16, 16, 16, 16))
        self.messages = MessageArea(self._theme)
        whole.addWidget(self.messages)
        self.banner = MessageArea(self._theme)
        self.banner.setObjectName("images.banner")
        whole.addWidget(self.banner)
        body = QFrame()
        self._stack = QStackedLayout(body)
        self.canvas = Canvas(self._theme)
        self._welcome = EmptyState(
            self._theme,
            "images",
            self.tr("Describe a picture"),
            self.tr(
                "Write at the left what you want to see. A picture dropped here brings its settings back."
            ),
        )
        self._no_model = EmptyState(
            self._theme,
            "models",
            self.tr("No image model yet"),
            self.tr("Import a checkpoint, or the parts of a model by their roles, then come back."),
            action=self.tr("Go to Models"),
        )
        if self._no_model.button is not None:
            self._no_model.button.clicked.connect(self._on_models)
        for widget in (self._welcome, self._no_model, self.canvas):
            self._stack.addWidget(widget)
        whole.addWidget(body, 1)
        self._caption = ElidedLabel("", "meta")
        self._caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        whole.addWidget(self._caption)
        self.progress = ProgressLine(self._theme)
        self.progress.hide()
        whole.addWidget(self.progress)
        return middle

    def _build_right(self) -> QWidget:
        right = QFrame()
        right.setProperty("kind", "side")
        right.setMinimumWidth(224)
        whole = column(right, space=self._theme.space.l, margins=(12, 16, 12, 8))
        self.queue = QueueView(self._theme)
        whole.addWidget(self.queue)
        self.gallery = GalleryView(self._theme)
        whole.addWidget(self.gallery, 1)
        return right

    def _connect(self) -> None:
        images, models = self._facades.images, self._facades.models
        images.progress_changed.connect(self._on_progress)
        images.jobs_changed.connect(self._on_jobs)
        images.finished.connect(self._on_finished)
        images.gallery_changed.connect(self._on_gallery)
        images.gallery_found.connect(self._on_found)
        images.forecast_changed.connect(self._on_forecast)
        images.handoff_changed.connect(self._on_handoff)
        images.handoff_finished.connect(self._on_handoff_finished)
        images.recipe_loaded.connect(self._on_recipe)
        images.deleted.connect(self._on_deleted)
        images.failed.connect(self._on_failed)
        models.models_changed.connect(self._on_model_list)
        self.form.submitted.connect(self._on_generate)
        self.form.cancelled.connect(self._on_cancel)
        self.form.changed.connect(self._on_form_changed)
        self.gallery.chosen.connect(self._on_chosen)
        self.gallery.reused.connect(self._on_reused)
        self.gallery.deleted.connect(images.delete)
        self.gallery.searched.connect(self._on_search)
        self.queue.cancel_requested.connect(images.cancel)
        self.queue.retry_requested.connect(images.retry)
        self.queue.move_requested.connect(images.move)
        self._splitter.splitterMoved.connect(self._on_splitter)

    # -- snapshots ------------------------------------------------------------------------------------------

    @Slot(object)
    def _on_progress(self, progress: ImageProgress) -> None:
        if self._running is None or progress.job_id == self._running.id:
            self.progress.show_progress(progress)
            self.progress.setVisible(progress.stage != "done")
            if progress.preview:
                self.canvas.show_picture(progress.preview)
                self._stack.setCurrentWidget(self.canvas)

    @Slot(object)
    def _on_jobs(self, jobs: tuple[ImageJob, ...]) -> None:
        before = self._running
        self._running = next((j for j in jobs if j.state == "running"), None)
        self.form.set_running(self._running is not None)
        self.queue.set_jobs(jobs)
        if self._running is None:
            self.progress.hide()
            ended = next((j for j in jobs if before is not None and j.id == before.id), None)
            if ended is not None and ended.state == "failed":
                again = self.tr("Try again")
                self.messages.show_message(
                    "generate",
                    "danger",
                    ended.error_message,
                    ended.error_remedy,
                    action=again,
                    on_action=self._retry_last,
                )
                self._failed = ended.id
        elif before is None or before.id != self._running.id:
            self.messages.clear("generate")
            if self._running.progress is not None:
                self.progress.show_progress(self._running.progress)
            self.progress.show()
        self._show_middle()

    def _retry_last(self) -> None:
        self.messages.clear("generate")
        self._facades.images.retry(self._failed)

    @Slot(object)
    def _on_finished(self, result: ImageResult) -> None:
        if not result.images:
            return
        last = result.images[-1]
        self.canvas.show_picture(last.path)
        self.form.take_seed(result.images[0].seed)
        self._caption.setText(
            self.tr("{width} x {height} · seed {seed} · {time}")
            .format(width=last.width, height=last.height, seed=last.seed, time=duration(result.seconds))
            .replace(" x ", " \u00d7 ")
        )
        self._show_middle()

    @Slot(object)
    def _on_gallery(self, items: tuple[GalleryItem, ...]) -> None:
        self._gallery = items
        if self.gallery.query():
            self._facades.images.search_gallery(self.gallery.query())
            return
        self.gallery.set_items(items)
        if items and not self.canvas.has_picture() and self._running is None:
            self._show_item(items[0])
        self._show_middle()

    @Slot(str, object)
    def _on_found(self, query: str, items: tuple[GalleryItem, ...]) -> None:
        if query == self.gallery.query():
            self.gallery.set_items(items)

    @Slot(object)
    def _on_forecast(self, forecast: OffloadForecast) -> None:
        if forecast.needed and forecast.is_llm_running:
            self.banner.show_message("forecast", "info", forecast.reason)
        else:
            self.banner.clear("forecast")

    @Slot(object)
    def _on_handoff(self, state: dict[str, Any]) -> None:
        if state.get("error"):
            self.messages.show_message("handoff", "danger", str(state["error"]), str(state.get("remedy", "")))

    @Slot(object)
    def _on_handoff_finished(self, report: HandoffReport) -> None:
        if report.error:  # success is in the status bar and the charts
            self.messages.show_message("handoff", "danger", report.error)

    @Slot(object)
    def _on_recipe(self, values: dict[str, Any]) -> None:
        self.form.set_values(values)
        self.announced.emit(self.tr("The settings of this picture are in the form."), "", None)

    @Slot(str)
    def _on_deleted(self, item_id: str) -> None:
        self._deleted = item_id
        self.announced.emit(self.tr("The picture was deleted."), self.tr("Undo"), self._undo_delete)

    def _undo_delete(self) -> None:
        self._facades.images.undo_delete(self._deleted)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        if failure.action == "forecast":
            self.banner.clear("forecast")
            return
        self.messages.show_message(failure.action, "danger", failure.message, failure.remedy)

    @Slot(object)
    def _on_model_list(self, models: tuple[Any, ...]) -> None:
        self.form.set_models(models)
        self._has_models = any(m.type == "diffusion" for m in models)
        self._show_middle()

    # -- intents --------------------------------------------------------------------------------------------

    @Slot()
    def _on_generate(self) -> None:
        config = self.form.config()
        if not config.prompt:
            self.form.show_prompt_error(self.tr("Describe what you want to see."))
            self.form.prompt.setFocus()
            return
        if not config.model_id:
            self._show_middle()
            return
        try:
            config.validated()
        except InvalidInputError as error:
            self.messages.show_message("generate", "danger", error.message, error.remedy)
            return
        self.messages.clear("generate")
        self._facades.images.generate(config)

    @Slot()
    def _on_cancel(self) -> None:
        self._facades.images.cancel(self._running.id if self._running is not None else "")

    @Slot()
    def _on_form_changed(self) -> None:
        self._ask.start()
        self.ui_changed.emit()

    @Slot()
    def _on_ask(self) -> None:
        config = self.form.config()
        if config.model_id:
            self._facades.images.forecast(config)

    @Slot(object)
    def _on_chosen(self, item: GalleryItem) -> None:
        self._show_item(item)

    @Slot(object)
    def _on_reused(self, item: GalleryItem) -> None:
        self._facades.images.read_recipe(item.path)

    @Slot(str)
    def _on_search(self, query: str) -> None:
        if query:
            self._facades.images.search_gallery(query)
        else:
            self.gallery.set_items(self._gallery)

    @Slot()
    def _on_models(self) -> None:
        self.open_requested.emit("models")

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(u.toLocalFile().lower().endswith(".png") for u in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.toLocalFile().lower().endswith(".png"):
                self._facades.images.read_recipe(url.toLocalFile())
                event.acceptProposedAction()
                return

    # -- state ----------------------------------------------------------------------------------------------

    def _show_item(self, item: GalleryItem) -> None:
        if self.canvas.show_picture(item.path, item.prompt):
            self.messages.clear("missing")
            self._caption.setText(f"{item.prompt} · {item.width} \u00d7 {item.height} · {item.seed}")
        else:
            self.messages.show_message(
                "missing", "warn", self.tr("The file of this picture is gone: {path}").format(path=item.path)
            )
        self._show_middle()

    def _show_middle(self) -> None:
        if self.canvas.has_picture():
            self._stack.setCurrentWidget(self.canvas)
        else:
            self._stack.setCurrentWidget(self._welcome if self._has_models else self._no_model)
        self._caption.setVisible(self.canvas.has_picture() and self._running is None)
        self.form.generate_button.setEnabled(self._has_models)

    # -- what the window calls ------------------------------------------------------------------------------

    def replay(self, latest: Latest) -> None:
        """What was said before this page was built."""
        if latest.models is not None:
            self._on_model_list(latest.models)
        if latest.image_jobs:
            self._on_jobs(latest.image_jobs)
        if latest.image_progress is not None and self._running is not None:
            self._on_progress(latest.image_progress)
        if latest.gallery is not None:
            self._on_gallery(latest.gallery)

    def on_shown(self) -> None:
        self._ask.start()

    def focus_default(self) -> None:
        self.form.prompt.setFocus()

    def show_model(self, model_id: str) -> None:
        """From the Models tab: "Use in the studio"."""
        self.form.choose_model(model_id)
        self.form.prompt.setFocus()

    def ui_state(self) -> dict[str, Any]:
        return {"form": self.form.values(), "splitter": encode(self._splitter.saveState())}

    def restore_ui(self, values: dict[str, Any]) -> None:
        form = values.get("form")
        if isinstance(form, dict):
            self.form.set_values(form)
        self._splitter.restoreState(decode(values.get("splitter")))

    @Slot(int, int)
    def _on_splitter(self, _position: int, _index: int) -> None:
        self.ui_changed.emit()
