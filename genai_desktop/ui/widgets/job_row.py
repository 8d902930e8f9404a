"""One long job: what it is, how far it is, how to stop it; and when it failed, why and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.card import Icon
from genai_desktop.ui.widgets.format import progress_line
from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.meter import BusyBar

if TYPE_CHECKING:
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.ui.theme import Theme

_ICONS = {
    "download": "download",
    "verify": "shield",
    "import": "import",
    "image": "images",
    "engine": "bolt",
    "load": "models",
}


class JobRow(QWidget):
    """Shows a JobInfo and keeps showing it while it changes."""

    cancel_requested = Signal(str)  # job id
    retry_requested = Signal(str)  # job id; only offered with `can_retry`

    def __init__(
        self, theme: Theme, job: JobInfo, *, can_retry: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._job = job
        self._can_retry = can_retry
        whole = row(self, space=theme.space.m)
        self._icon = Icon(theme, _ICONS.get(job.kind, "clock"), "muted", 18)
        words = column(space=theme.space.xs)
        self._title = ElidedLabel(job.title, "body")
        self._bar = BusyBar(theme)
        self._line = ElidedLabel("", "meta")
        self._why = label("", "meta", wrap=True, selectable=True)
        for part in (self._title, self._bar, self._line, self._why):
            words.addWidget(part)
        self.retry = Button(theme, self.tr("Retry"), icon="retry")
        self.retry.clicked.connect(self._on_retry)
        self.cancel = IconButton(theme, "close", self.tr("Cancel"), size=16)
        self.cancel.clicked.connect(self._on_cancel)
        whole.addWidget(self._icon)
        whole.addLayout(words, 1)
        whole.addWidget(self.retry)
        whole.addWidget(self.cancel)
        self.set_job(job)

    @property
    def job(self) -> JobInfo:
        return self._job

    def set_job(self, job: JobInfo) -> None:
        self._job = job
        self._title.setText(job.title)
        running = not job.is_finished
        self._bar.setVisible(running)
        self._bar.set_fraction(job.progress.fraction if job.state == "running" else 0.0)
        self._bar.setAccessibleName(job.title)
        self._line.setText(self._state_line(job))
        self._why.setText(f"{job.error_message} {job.error_remedy}".strip())
        self._why.setVisible(job.state == "failed" and bool(job.error_message))
        self._icon.set_icon(
            {"failed": "error", "done": "check-circle"}.get(job.state, _ICONS.get(job.kind, "clock")),
            {"failed": "danger", "done": "ok"}.get(job.state, "muted"),
        )
        self.cancel.setVisible(running)
        self.cancel.setAccessibleName(self.tr("Cancel {title}").format(title=job.title))
        self.retry.setVisible(self._can_retry and job.state in ("failed", "cancelled"))
        self.setAccessibleName(f"{job.title}: {self._line.whole_text()}")

    def line(self) -> str:
        """The line below the bar."""
        return self._line.whole_text()

    def _state_line(self, job: JobInfo) -> str:
        if job.state == "queued":
            return self.tr("waiting")
        if job.state == "running":
            return progress_line(job.progress) or self.tr("starting")
        words = {
            "done": self.tr("done"),
            "failed": self.tr("failed"),
            "cancelled": self.tr("cancelled"),
        }
        return words[job.state]

    @Slot()
    def _on_cancel(self) -> None:
        self.cancel_requested.emit(self._job.id)

    @Slot()
    def _on_retry(self) -> None:
        self.retry_requested.emit(self._job.id)
