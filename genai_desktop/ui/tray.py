"""The icon beside the clock: what is going on, and the few things one does from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QMenu, QSystemTrayIcon, QWidget

from genai_desktop.ui.icons import render
from genai_desktop.ui.theme import tokens
from genai_desktop.ui.widgets import format as fmt

if TYPE_CHECKING:
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.images import ImageJob, ImageProgress
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.core.settings import Settings
    from genai_desktop.ui.latest import Latest

_BADGES = {"idle": "", "running": "ok", "generating": "warn", "problem": "danger"}
_LATE_HOST = 5_000  # milliseconds between looks for a tray that was not there


class Tray(QObject):
    """Does nothing visible without a tray; appears when one comes late."""

    toggle_requested = Signal()
    settings_requested = Signal()
    quit_requested = Signal()
    available_changed = Signal(bool)

    def __init__(self, facades: Facades, parent: QWidget) -> None:
        super().__init__(parent)
        self._facades = facades
        self._llm: ServerInfo | None = None
        self._progress: ImageProgress | None = None
        self._queue = 0
        self._is_available = False
        self.state = "idle"
        self.icon = QSystemTrayIcon(self)
        self.icon.activated.connect(self._on_activated)
        self.menu = QMenu(parent)
        self.menu.setObjectName("tray.menu")
        self._build_menu()
        self.icon.setContextMenu(self.menu)
        facades.system.server_changed.connect(self._on_server)
        facades.images.progress_changed.connect(self._on_progress)
        facades.images.jobs_changed.connect(self._on_jobs)
        facades.settings.changed.connect(self._on_settings)
        self._looking = QTimer(self)
        self._looking.setInterval(_LATE_HOST)
        self._looking.timeout.connect(self.look_for_tray)
        self._render()

    def _build_menu(self) -> None:
        self.show_action = self.menu.addAction(self.tr("Hide"))
        self.show_action.triggered.connect(self.toggle_requested)
        self.menu.addSeparator()
        self.llm_action = self.menu.addAction("")
        self.llm_action.setEnabled(False)
        self.llm_switch = self.menu.addAction("")
        self.llm_switch.triggered.connect(self._on_llm_switch)
        self.menu.addSeparator()
        self.image_action = self.menu.addAction("")
        self.image_action.setEnabled(False)
        self.cancel_action = self.menu.addAction(self.tr("Cancel the picture"))
        self.cancel_action.triggered.connect(self._on_cancel)
        self.menu.addSeparator()
        self.menu.addAction(self.tr("Settings")).triggered.connect(self.settings_requested)
        self.menu.addAction(self.tr("Quit")).triggered.connect(self.quit_requested)

    # -- being there ------------------------------------------------------------------------------------

    @property
    def is_available(self) -> bool:
        return self._is_available

    def start(self, latest: Latest) -> None:
        """Show the icon, now or when there is a place for it."""
        self._llm = latest.servers.get("llama", self._llm)
        self._progress = latest.image_progress
        self._render()
        self.look_for_tray()
        if not self._is_available:
            self._looking.start()

    def stop(self) -> None:
        self._looking.stop()
        self.icon.hide()

    @Slot()
    def look_for_tray(self) -> None:
        """Some desktops start their tray after the programs."""
        available = QSystemTrayIcon.isSystemTrayAvailable()
        if available == self._is_available:
            return
        self._is_available = available
        if available:
            self._looking.stop()
            self.icon.hide()
            self.icon.show()
        self.available_changed.emit(available)

    def set_window_visible(self, visible: bool) -> None:
        self.show_action.setText(self.tr("Hide") if visible else self.tr("Show"))

    @Slot(str, str)
    def notify(self, title: str, text: str) -> None:
        """A desktop notification, where there is a tray to send it."""
        if self._is_available:
            self.icon.showMessage(title, text, self.icon.icon())

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def _on_server(self, info: ServerInfo) -> None:
        if info.name == "llama":
            self._llm = info
            self._render()

    @Slot(object)
    def _on_progress(self, progress: ImageProgress) -> None:
        self._progress = None if progress.stage == "done" else progress
        self._render()

    @Slot(object)
    def _on_jobs(self, jobs: tuple[ImageJob, ...]) -> None:
        self._queue = sum(job.state == "queued" for job in jobs)
        if not any(job.state == "running" for job in jobs):
            self._progress = None
        self._render()

    @Slot(object)
    def _on_settings(self, _settings: Settings) -> None:
        self._render()

    def _render(self) -> None:
        info = self._llm
        status = info.status if info is not None else "stopped"
        state = "idle"
        if self._progress is not None:
            state = "generating"
        elif status == "crashed":
            state = "problem"
        elif status in ("running", "starting"):
            state = "running"
        if state != self.state or self.icon.icon().isNull():
            self.state = state
            self.icon.setIcon(tray_icon(state))
        name = (info.model_name or info.model_id) if info is not None else ""
        words = {
            "stopped": self.tr("No model loaded"),
            "starting": self.tr("LLM: loading {name}"),
            "running": self.tr("LLM: {name}"),
            "stopping": self.tr("LLM: stopping {name}"),
            "crashed": self.tr("LLM: {name} crashed"),
        }
        self.llm_action.setText(words[status].format(name=name))
        is_on = status in ("running", "starting")
        self.llm_switch.setText(self.tr("Stop the LLM") if is_on else self.tr("Start the LLM"))
        self.llm_switch.setEnabled(status != "stopping")
        self.image_action.setText(self._image_words())
        self.cancel_action.setVisible(self._progress is not None)
        self.icon.setToolTip(f"GenAI Desktop\n{self.llm_action.text()}\n{self.image_action.text()}")

    def _image_words(self) -> str:
        if self._progress is None:
            return self.tr("Images: idle")
        text = self.tr("Image: {percent}").format(percent=fmt.percent(self._progress.percent / 100))
        left = fmt.time_left(self._progress.eta)
        return f"{text}, {left}" if left else text

    # -- intents ----------------------------------------------------------------------------------------

    @Slot(QSystemTrayIcon.ActivationReason)
    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self.toggle_requested.emit()

    @Slot()
    def _on_llm_switch(self) -> None:
        if self._llm is not None and self._llm.status in ("running", "starting"):
            self._facades.system.stop_server("llama")
        else:
            self._facades.system.start_server("llama")

    @Slot()
    def _on_cancel(self) -> None:
        self._facades.images.cancel(self._progress.job_id if self._progress is not None else "")


def tray_icon(state: str) -> QIcon:
    """The mark of the program; a dot for a state, a ring for generating, so that colour is not all."""
    icon = QIcon()
    for size in (16, 22, 24, 32, 48, 64):
        pixmap: QPixmap = render("app", "", size, 1.0)
        token = _BADGES[state]
        if token:
            painter = QPainter(pixmap)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            edge = size * 0.42
            spot = QRectF(size - edge, size - edge, edge, edge)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(Qt.GlobalColor.black)
            painter.drawEllipse(spot)
            painter.setBrush(QColor(tokens()["dark"][token]))
            inner = spot.adjusted(edge * 0.14, edge * 0.14, -edge * 0.14, -edge * 0.14)
            painter.drawEllipse(inner)
            if state == "generating":
                painter.setBrush(Qt.GlobalColor.black)
                painter.drawEllipse(inner.adjusted(edge * 0.2, edge * 0.2, -edge * 0.2, -edge * 0.2))
            elif state == "problem":
                painter.setBrush(Qt.GlobalColor.black)
                left, top, width = spot.left() + edge * 0.44, spot.top(), edge * 0.12
                painter.drawRect(QRectF(left, top + edge * 0.24, width, edge * 0.34))
                painter.drawRect(QRectF(left, top + edge * 0.66, width, width))
            painter.end()
        icon.addPixmap(pixmap)
    return icon
