"""What is being painted, what waits, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QWidget

from genai_desktop.ui.widgets.buttons import IconButton
from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.pill import StatusDot

if TYPE_CHECKING:
    from genai_desktop.core.images import ImageJob
    from genai_desktop.ui.theme import Theme

SHOWN = 6
_TONES = {"queued": "off", "running": "busy", "done": "on", "failed": "danger", "cancelled": "off"}


class QueueRow(QFrame):
    """One job with the buttons that make sense for it."""

    cancel_requested = Signal(str)
    retry_requested = Signal(str)
    up_requested = Signal(str)

    def __init__(
        self, theme: Theme, job: ImageJob, *, is_movable: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._id = job.id
        line = row(self, space=theme.space.s)
        line.addWidget(StatusDot(theme, _TONES[job.state]), 0, Qt.AlignmentFlag.AlignVCenter)
        words = column(space=0)
        words.addWidget(ElidedLabel(job.config.prompt or self.tr("(no prompt)")))
        words.addWidget(ElidedLabel(self._sentence(job), "meta"))
        line.addLayout(words, 1)
        if job.state == "queued" and is_movable:
            up = IconButton(theme, "arrow-up", self.tr("Paint earlier"), size=16)
            up.clicked.connect(self._on_up)
            line.addWidget(up)
        if job.state in ("queued", "running"):
            cancel = IconButton(theme, "close", self.tr("Cancel this picture"), size=16)
            cancel.clicked.connect(self._on_cancel)
            line.addWidget(cancel)
        elif job.state in ("failed", "cancelled"):
            retry = IconButton(theme, "retry", self.tr("Try again"), size=16)
            retry.clicked.connect(self._on_retry)
            line.addWidget(retry)
        self.setAccessibleName(f"{job.config.prompt}, {self._sentence(job)}")

    def _sentence(self, job: ImageJob) -> str:
        words = {
            "queued": self.tr("waiting"),
            "running": self.tr("painting"),
            "done": self.tr("done"),
            "failed": job.error_message or self.tr("failed"),
            "cancelled": self.tr("cancelled"),
        }
        text = words[job.state]
        if job.state == "running" and job.progress is not None and job.progress.percent:
            text = f"{text}, {job.progress.percent:.0f} %"
        return text

    @Slot()
    def _on_cancel(self) -> None:
        self.cancel_requested.emit(self._id)

    @Slot()
    def _on_retry(self) -> None:
        self.retry_requested.emit(self._id)

    @Slot()
    def _on_up(self) -> None:
        self.up_requested.emit(self._id)


class QueueView(QWidget):
    """Running first, then waiting, then what did not work; done ones are in the gallery."""

    cancel_requested = Signal(str)
    retry_requested = Signal(str)
    move_requested = Signal(str, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setObjectName("images.queue")
        self.setAccessibleName(self.tr("Queue"))
        whole = column(self, space=theme.space.s)
        self._title = label(self.tr("Queue"), "section")
        whole.addWidget(self._title)
        self._rows = column(space=theme.space.s)
        whole.addLayout(self._rows)
        self.jobs: tuple[ImageJob, ...] = ()
        self.hide()

    def set_jobs(self, jobs: tuple[ImageJob, ...]) -> None:
        shown = [j for j in jobs if j.state in ("running", "queued", "failed", "cancelled")][:SHOWN]
        self.jobs = jobs
        while (item := self._rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        waiting = [j.id for j in shown if j.state == "queued"]
        for job in shown:
            view = QueueRow(self._theme, job, is_movable=job.id in waiting[1:])
            view.cancel_requested.connect(self.cancel_requested)
            view.retry_requested.connect(self.retry_requested)
            view.up_requested.connect(self._on_up)
            self._rows.addWidget(view)
        left = len([j for j in jobs if j.state in ("running", "queued")])
        self._title.setText(self.tr("Queue, {n}").format(n=left) if left > 1 else self.tr("Queue"))
        self.setVisible(bool(shown))

    @Slot(str)
    def _on_up(self, job_id: str) -> None:
        self.move_requested.emit(job_id, -1)
