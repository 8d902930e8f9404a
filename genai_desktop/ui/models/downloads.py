"""The queue: what is arriving, how fast, what failed and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QScrollArea, QStackedWidget, QWidget

from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.job_row import JobRow
from genai_desktop.ui.widgets.layouts import column, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.core.models import DownloadConfig
    from genai_desktop.ui.theme import Theme


class DownloadsView(QWidget):
    """Renders the download jobs. Retry is offered for what was started from this window."""

    cancel_requested = Signal(str)
    retry_requested = Signal(object)  # DownloadConfig
    discover_wanted = Signal()
    count_changed = Signal(int)  # not finished

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._started: dict[str, DownloadConfig] = {}  # by name
        self._rows: dict[str, JobRow] = {}
        self._lines: list[QWidget] = []
        whole = column(self)
        self.empty = EmptyState(
            theme,
            "download",
            self.tr("No downloads"),
            self.tr("What you download appears here with its speed, and goes on after an interruption."),
            action=self.tr("Download a model"),
        )
        if self.empty.button is not None:
            self.empty.button.clicked.connect(self.discover_wanted)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        inner = QWidget()
        inner.setProperty("kind", "page")
        self.area.setWidget(inner)
        inside = column(inner)
        self.card = Card(theme, "", name="models.downloads")
        self.card.setAccessibleName(self.tr("Downloads"))
        self.card.body.setSpacing(theme.space.m)
        inside.addWidget(self.card)
        inside.addStretch(1)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.area)
        whole.addWidget(self.stack)

    def note_start(self, config: DownloadConfig) -> None:
        """Remember how a download was asked for, so that Retry can ask again."""
        self._started[config.name] = config

    def row(self, job_id: str) -> JobRow | None:
        return self._rows.get(job_id)

    @Slot(object)
    def show_jobs(self, jobs: Sequence[JobInfo]) -> None:
        wanted = [job for job in jobs if job.kind == "download"]
        if [job.id for job in wanted] != list(self._rows):
            self._rebuild(wanted)
        for job in wanted:
            self._rows[job.id].set_job(job)
        self.stack.setCurrentWidget(self.area if wanted else self.empty)
        self.count_changed.emit(sum(not job.is_finished for job in wanted))

    def _rebuild(self, jobs: Sequence[JobInfo]) -> None:
        for old in (*self._rows.values(), *self._lines):
            self.card.body.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._rows, self._lines = {}, []
        for job in jobs:
            if self._rows:
                self._lines.append(line())
                self.card.body.addWidget(self._lines[-1])
            shown = JobRow(self._theme, job, can_retry=self._config_of(job) is not None)
            shown.cancel_requested.connect(self.cancel_requested)
            shown.retry_requested.connect(self._on_retry)
            self._rows[job.id] = shown
            self.card.body.addWidget(shown)

    def _config_of(self, job: JobInfo) -> DownloadConfig | None:
        """By the name that ends the title of the job."""
        return next((c for name, c in self._started.items() if name and job.title.endswith(name)), None)

    @Slot(str)
    def _on_retry(self, job_id: str) -> None:
        shown = self._rows.get(job_id)
        config = self._config_of(shown.job) if shown is not None else None
        if config is not None:
            self.retry_requested.emit(config)
