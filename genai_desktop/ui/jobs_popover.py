"""Every running job with its progress and Cancel, above the jobs button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Slot
from PySide6.QtGui import QColor, QMouseEvent
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QGraphicsDropShadowEffect,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from genai_desktop.ui.widgets.job_row import JobRow
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent

    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.ui.theme import Theme


class JobsPopover(QFrame):
    """Lies over the window; closes on Escape and on a press anywhere else."""

    WIDTH = 400

    def __init__(self, facades: Facades, theme: Theme, host: QWidget, anchor: QWidget) -> None:
        super().__init__(host)
        self._facades, self._theme, self._host, self._anchor = facades, theme, host, anchor
        self._rows: dict[str, JobRow] = {}
        self._jobs: tuple[JobInfo, ...] = ()
        self.setObjectName("status.jobs.popover")
        self.setProperty("kind", "popover")
        self.setAccessibleName(self.tr("Running jobs"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        shadow = QGraphicsDropShadowEffect(self)
        shadow.setBlurRadius(32)
        shadow.setOffset(0, 8)
        shadow.setColor(QColor(0, 0, 0, 90))
        self.setGraphicsEffect(shadow)
        whole = column(self, space=theme.space.m, margins=theme.space.l)
        whole.addWidget(label(self.tr("Jobs"), "section"))
        self._nothing = label(self.tr("Nothing is running."), "muted")
        whole.addWidget(self._nothing)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        self._list: QVBoxLayout = column(inner, space=theme.space.m, margins=(0, 0, 4, 0))
        self._list.addStretch(1)
        self._scroll.setWidget(inner)
        whole.addWidget(self._scroll, 1)
        self.hide()
        facades.jobs.jobs_changed.connect(self.show_jobs)

    @Slot(object)
    def show_jobs(self, jobs: tuple[JobInfo, ...]) -> None:
        self._jobs = tuple(job for job in jobs if not job.is_finished)
        if self.isVisible():
            self._fill()

    @Slot()
    def toggle(self) -> None:
        if self.isVisible():
            self.hide()
            return
        self._fill()
        self.show()
        self.raise_()
        self.setFocus(Qt.FocusReason.PopupFocusReason)

    def _fill(self) -> None:
        wanted = {job.id: job for job in self._jobs}
        for job_id in [known for known in self._rows if known not in wanted]:
            old = self._rows.pop(job_id)
            self._list.removeWidget(old)
            old.hide()
            old.deleteLater()
        for index, job in enumerate(self._jobs):
            shown = self._rows.get(job.id)
            if shown is None:
                shown = JobRow(self._theme, job)
                shown.cancel_requested.connect(self._facades.jobs.cancel)
                self._rows[job.id] = shown
                self._list.insertWidget(index, shown)
            else:
                shown.set_job(job)
        self._nothing.setVisible(not self._jobs)
        self._scroll.setVisible(bool(self._jobs))
        self._place()

    def _place(self) -> None:
        rows = sum(shown.sizeHint().height() + self._theme.space.m for shown in self._rows.values())
        head = self._theme.px(54)
        height = min(head + max(rows, self._theme.px(24)) + 16, self._host.height() - 80)
        width = min(self._theme.px(self.WIDTH), self._host.width() - 32)
        corner = self._anchor.mapTo(self._host, QPoint(self._anchor.width(), 0))
        self.setGeometry(corner.x() - width, corner.y() - height - 8, width, height)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        app = QApplication.instance()
        if app is not None:
            app.installEventFilter(self)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.MouseButtonPress and isinstance(event, QMouseEvent):
            where = event.globalPosition().toPoint()
            on_anchor = self._anchor.rect().contains(self._anchor.mapFromGlobal(where))
            if not self.rect().contains(self.mapFromGlobal(where)) and not on_anchor:
                self.hide()
        elif event.type() == QEvent.Type.Resize and watched is self._host:
            self._place()
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
            self._anchor.setFocus(Qt.FocusReason.PopupFocusReason)
        else:
            super().keyPressEvent(event)
