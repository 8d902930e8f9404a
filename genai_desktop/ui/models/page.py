"""The Models tab: what is here, how more gets here, what is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QStackedWidget, QWidget

from genai_desktop.ui.models.discover import DiscoverView
from genai_desktop.ui.models.downloads import DownloadsView
from genai_desktop.ui.models.installed import InstalledView
from genai_desktop.ui.questions import Question
from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.segmented import SegmentedControl
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.models import DownloadConfig, ModelDetails, ModelInfo, VerifyResult
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.theme import Theme

_VIEWS = ("installed", "discover", "downloads")


class ModelsPage(QWidget):
    """Renders the models facade."""

    open_requested = Signal(str)
    announced = Signal(str, str, object)
    chat_requested = Signal(str)
    studio_requested = Signal(str)
    ui_changed = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._models: tuple[ModelInfo, ...] = ()
        self._verifying = ""
        self.setProperty("kind", "page")
        space = theme.space
        whole = column(self, space=space.m, margins=space.xl)
        head = row(space=space.l)
        head.addWidget(label(self.tr("Models"), "title"))
        head.addStretch(1)
        self.tabs = SegmentedControl(
            [
                ("installed", self.tr("Installed")),
                ("discover", self.tr("Discover")),
                ("downloads", self.tr("Downloads")),
            ],
            self.tr("Part of the models page"),
        )
        self.tabs.setObjectName("models.tabs")
        head.addWidget(self.tabs)
        whole.addLayout(head)
        self.messages = MessageArea(theme)
        whole.addWidget(self.messages)
        self.installed = InstalledView(theme)
        self.discover = DiscoverView(theme)
        self.downloads = DownloadsView(theme)
        self.stack = QStackedWidget()
        for view in (self.installed, self.discover, self.downloads):
            self.stack.addWidget(view)
        whole.addWidget(self.stack, 1)
        self._connect()
        facades.models.load()

    def _connect(self) -> None:
        models, jobs = self._facades.models, self._facades.jobs
        models.models_changed.connect(self._on_models)
        models.fits_changed.connect(self.installed.show_fits)
        models.disk_changed.connect(self.installed.show_disk)
        models.details_loaded.connect(self._on_details)
        models.verified.connect(self._on_verified)
        models.removed.connect(self._on_removed)
        models.imported.connect(self._on_imported)
        models.download_finished.connect(self._on_download_finished)
        models.failed.connect(self._on_failed)
        jobs.jobs_changed.connect(self.downloads.show_jobs)
        self.tabs.chosen.connect(self.show_view)
        self.installed.paths_chosen.connect(self._on_paths)
        self.installed.parts_chosen.connect(self._on_parts)
        self.installed.download_wanted.connect(self._show_discover)
        self.installed.ui_changed.connect(self.ui_changed)
        self.discover.download_requested.connect(self._on_download)
        self.downloads.discover_wanted.connect(self._show_discover)
        self.downloads.cancel_requested.connect(jobs.cancel)
        self.downloads.retry_requested.connect(self._on_download)
        self.downloads.count_changed.connect(self._on_download_count)
        detail = self.installed.detail
        detail.chat_requested.connect(self.chat_requested)
        detail.studio_requested.connect(self.studio_requested)
        detail.verify_requested.connect(self._on_verify)
        detail.remove_requested.connect(self._ask_to_remove)
        detail.rename_requested.connect(models.rename)
        detail.details_wanted.connect(models.load_details)

    # -- the protocol of pages --------------------------------------------------------------------------

    def replay(self, latest: Latest) -> None:
        if latest.models is not None:
            self._on_models(latest.models)
        if latest.fits:
            self.installed.show_fits(latest.fits)
        if latest.disk is not None:
            self.installed.show_disk(*latest.disk)
        self.downloads.show_jobs(latest.jobs)
        if "models" in latest.failures:
            self._on_failed(latest.failures["models"])

    def ui_state(self) -> dict[str, Any]:
        return {
            "view": self.tabs.current,
            "installed": self.installed.ui_state(),
            "discover": self.discover.ui_state(),
        }

    def restore_ui(self, values: dict[str, Any]) -> None:
        if values.get("view") in _VIEWS:
            self.tabs.choose(values["view"])
        for view, key in ((self.installed, "installed"), (self.discover, "discover")):
            if isinstance(values.get(key), dict):
                view.restore_ui(values[key])

    def show_model(self, model_id: str) -> None:
        """Select a model in the table."""
        self.show_view("installed")
        self.installed.select(model_id)

    @Slot()
    def on_shown(self) -> None:
        """What is free may have changed meanwhile."""
        self._facades.models.load_fits()

    @Slot(str)
    def show_view(self, key: str) -> None:
        self.tabs.choose(key, quietly=True)
        self.stack.setCurrentIndex(_VIEWS.index(key))
        self.ui_changed.emit()

    @Slot()
    def _show_discover(self) -> None:
        self.show_view("discover")
        self.discover.url.setFocus()

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def _on_models(self, models: tuple[ModelInfo, ...]) -> None:
        self._models = models
        self.messages.clear("models")
        self.installed.show_models(models)

    @Slot(object)
    def _on_details(self, details: ModelDetails) -> None:
        self.installed.detail.show_details(details)

    @Slot(str, object)
    def _on_verified(self, model_id: str, result: VerifyResult) -> None:
        detail = self.installed.detail
        detail.verify.setEnabled(True)
        name = self._name(model_id)
        area = detail.messages if detail.model is not None and detail.model.id == model_id else self.messages
        if result.result == "ok":
            area.show_message("verify", "ok", self.tr("{name} is unchanged, byte by byte.").format(name=name))
        elif result.result == "unverifiable":
            area.show_message(
                "verify",
                "info",
                self.tr("There is nothing to compare {name} with.").format(name=name),
                self.tr("No digest came with it, so a change could not be seen. That is not a failure."),
            )
        else:
            bad = [path.rpartition("/")[2] for path, outcome in result.files if outcome == "mismatch"]
            area.show_message(
                "verify",
                "danger",
                self.tr("{name} is damaged: {files}.").format(name=name, files=", ".join(bad)),
                self.tr("Download or copy it again."),
            )

    @Slot(str, str, object)
    def _on_removed(self, _model_id: str, name: str, freed: int) -> None:
        text = self.tr("{name} was removed.").format(name=name)
        if freed:
            text += " " + self.tr("{size} are free again.").format(size=fmt.size(freed))
        self.announced.emit(text, "", None)
        self._facades.models.load_fits()

    @Slot(object)
    def _on_imported(self, models: tuple[ModelInfo, ...]) -> None:
        self.messages.clear("import")
        if self.installed.stack.currentWidget() is self.installed.parts:
            self.installed.parts.closed.emit()
        if not models:
            self.messages.show_message("import", "info", self.tr("Nothing new was found there."))
            return
        self.show_model(models[0].id)
        text = self.tr("{name} was imported.").format(name=models[0].name)
        if len(models) > 1:
            text = self.tr("{count} models were imported.").format(count=len(models))
        self.announced.emit(text, "", None)
        self._facades.models.load_fits()

    @Slot(object)
    def _on_download_finished(self, model: ModelInfo) -> None:
        self.messages.clear("download")
        self.messages.show_message(
            "downloaded",
            "ok",
            self.tr("{name} is here.").format(name=model.name),
            action=self.tr("Chat with this") if model.type == "llm" else self.tr("Use in the studio"),
            on_action=self._use_downloaded,
        )
        self._downloaded = model
        self._facades.models.load_fits()

    @Slot()
    def _use_downloaded(self) -> None:
        signal = self.chat_requested if self._downloaded.type == "llm" else self.studio_requested
        signal.emit(self._downloaded.id)

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        if failure.action == "details":
            self.installed.detail.messages.show_failure(failure)
            self.installed.detail.fit_panel.busy.hide()
            return
        if failure.action == "verify":
            self.installed.detail.verify.setEnabled(True)
        if failure.action in ("fit", "disk") and self.messages.strip("models") is not None:
            return
        if failure.action == "import" and self.installed.stack.currentWidget() is self.installed.parts:
            self.installed.parts.messages.show_failure(failure)
            return
        actions = {
            "models": (self.tr("Try again"), self._facades.models.load),
            "download": (self.tr("Show downloads"), self._show_downloads),
        }
        text, slot = actions.get(failure.action, ("", None))
        self.messages.show_failure(failure, text, slot)

    @Slot(int)
    def _on_download_count(self, count: int) -> None:
        self.tabs.set_count("downloads", count)

    @Slot()
    def _show_downloads(self) -> None:
        self.show_view("downloads")

    # -- intents ----------------------------------------------------------------------------------------

    @Slot(object)
    def _on_paths(self, paths: tuple[str, ...]) -> None:
        self.messages.clear("import")
        self._facades.models.import_paths(paths)

    @Slot(str, object)
    def _on_parts(self, name: str, components: dict[str, str]) -> None:
        self.installed.parts.messages.clear()
        self._facades.models.import_components(name, components)

    @Slot(object)
    def _on_download(self, config: DownloadConfig) -> None:
        self.messages.clear("download")
        self.downloads.note_start(config)
        self._facades.models.download(config)
        self.discover.clear()
        self.show_view("downloads")

    @Slot(str)
    def _on_verify(self, model_id: str) -> None:
        detail = self.installed.detail
        detail.messages.clear("verify")
        detail.verify.setEnabled(False)
        detail.messages.show_message("verify", "info", self.tr("Reading every byte. This takes a while."))
        self._facades.models.verify(model_id)

    @Slot(str)
    def _ask_to_remove(self, model_id: str) -> None:
        model = next((known for known in self._models if known.id == model_id), None)
        if model is None:
            return
        self._removing = model
        question = Question(
            self._theme,
            self,
            title=self.tr("Remove"),
            text=self.tr("Remove {name}?").format(name=model.name),
            detail=self._what_removing_does(model),
            yes=self.tr("Remove"),
            no=self.tr("Keep"),
            is_dangerous=True,
        )
        question.confirmed.connect(self._on_remove)
        question.open()

    @Slot()
    def _on_remove(self) -> None:
        self._facades.models.remove(self._removing.id, self._removing.name)

    def _what_removing_does(self, model: ModelInfo) -> str:
        """What is deleted, what stays, and why."""
        if model.source == "import":
            return self.tr("Only the entry goes: the files were imported in place and stay where they are.")
        others = {
            file.path: other.name for other in self._models if other.id != model.id for file in other.files
        }
        shared = [file for file in model.files if file.path in others]
        freed = sum(file.size for file in model.files) - sum(file.size for file in shared)
        text = self.tr("Its files are deleted. This frees {size}.").format(size=fmt.size(freed))
        if shared:
            names = ", ".join(sorted({others[file.path] for file in shared}))
            kept = ", ".join(file.path.rpartition("/")[2] for file in shared)
            text += " " + self.tr("Kept for {names}: {files}.").format(names=names, files=kept)
        return text

    def _name(self, model_id: str) -> str:
        return next((model.name for model in self._models if model.id == model_id), model_id)
