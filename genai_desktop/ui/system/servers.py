"""The two servers: what they are doing, how they were started, and the buttons for it."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.key_values import KeyValueGrid
from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import row
from genai_desktop.ui.widgets.meter import BusyBar
from genai_desktop.ui.widgets.pill import SERVER_TONES, Pill
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.ui.theme import Theme


class ServerCard(Card):
    """Renders a ServerInfo; its buttons only ask."""

    start_requested = Signal(str)
    stop_requested = Signal(str)
    restart_requested = Signal(str)
    log_requested = Signal(str)

    def __init__(self, theme: Theme, server: str, title: str, icon: str) -> None:
        super().__init__(theme, title, icon=icon, name=f"system.server.{server}")
        self.server = server
        self.info: ServerInfo | None = None
        self.state = Pill(theme, self.tr("stopped"), "off")
        self.add_action(self.state)
        self.messages = MessageArea(theme)
        self.bar = BusyBar(theme)
        self.bar.setAccessibleName(self.tr("Loading"))
        self.bar.hide()
        self.nothing = label("", "muted", wrap=True)
        self.facts = KeyValueGrid(theme, columns=2)
        self.command = QFrame()
        self.command.setProperty("kind", "well")
        inside = row(self.command, space=theme.space.s, margins=(10, 4, 4, 4))
        self.command_line = ElidedLabel("", "mono")
        self.copy = IconButton(theme, "copy", self.tr("Copy the command line"), size=16)
        self.copy.clicked.connect(self._on_copy)
        inside.addWidget(self.command_line, 1)
        inside.addWidget(self.copy)
        for part in (self.messages, self.bar, self.nothing, self.facts, self.command):
            self.body.addWidget(part)
        buttons = row(space=theme.space.s)
        self.start = Button(theme, self.tr("Start"), icon="play", name=f"system.server.{server}.start")
        self.stop = Button(theme, self.tr("Stop"), icon="stop", name=f"system.server.{server}.stop")
        self.restart = Button(
            theme, self.tr("Restart"), icon="restart", name=f"system.server.{server}.restart"
        )
        self.logs = Button(
            theme, self.tr("Logs"), kind="ghost", icon="terminal", name=f"system.server.{server}.logs"
        )
        for button, slot in (
            (self.start, self._on_start),
            (self.stop, self._on_stop),
            (self.restart, self._on_restart),
            (self.logs, self._on_logs),
        ):
            button.clicked.connect(slot)
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.foot.addLayout(buttons)
        self._render_nothing()

    def show_info(self, info: ServerInfo) -> None:
        self.info = info
        words = {
            "stopped": self.tr("stopped"),
            "starting": self.tr("starting"),
            "running": self.tr("working") if info.is_busy else self.tr("running"),
            "stopping": self.tr("stopping"),
            "crashed": self.tr("crashed"),
        }
        self.state.set_state(words[info.status], SERVER_TONES[info.status])
        self.bar.setVisible(info.status in ("starting", "stopping"))
        self.bar.set_fraction(info.load_progress if info.status == "starting" else None)
        idle = info.status in ("stopped", "crashed")
        self.start.setVisible(idle)
        self.stop.setVisible(not idle)
        self.stop.setEnabled(info.status != "stopping")
        self.restart.setVisible(info.status == "running")
        self.nothing.setVisible(info.status == "stopped")
        self.command.setVisible(bool(info.command_line))
        self.command_line.setText(shlex.join(info.command_line))
        self.tick()
        self._show_error(info)

    @Slot()
    def tick(self) -> None:
        """Once a second: time has passed."""
        info = self.info
        if info is None:
            return
        running = info.status == "running"
        health = {
            "ok": self.tr("answers"),
            "loading": self.tr("loading"),
            "error": self.tr("does not answer"),
            "unknown": "",
        }
        uptime = fmt.duration(int(time.time() - info.started_at)) if running and info.started_at else ""
        show = info.status != "stopped"
        self.facts.setVisible(show)
        if not show:
            return
        self.facts.set_rows(
            (
                (self.tr("Model"), info.model_name or info.model_id or ""),
                (self.tr("Engine"), info.engine),
                (self.tr("Port"), str(info.port or "")),
                (self.tr("Process"), str(info.pid or "")),
                (self.tr("Uptime"), uptime),
                (self.tr("Health"), health[info.health] if running else ""),
                (self.tr("Context"), self._effective("n_ctx", "context_size")),
                (self.tr("Layers on GPU"), self._effective("n_gpu_layers", "gpu_layers")),
                (self.tr("Restarts"), str(info.restarts or "")),
            )
        )

    def _effective(self, *names: str) -> str:
        """A value as it is in effect, and what was asked for when that differs."""
        info = self.info
        if info is None:
            return ""
        for name in names:
            if name in info.effective:
                value = info.effective[name]
                asked = info.requested.get(name)
                shown = f"{value:,}" if isinstance(value, int) else str(value)
                differs = isinstance(asked, int) and asked not in (value, 0) and asked > 0
                return shown + (
                    " " + self.tr("(asked: {value})").format(value=f"{asked:,}") if differs else ""
                )
        return ""

    def _render_nothing(self) -> None:
        text = {
            "llama": self.tr(
                "Not running. Start loads the last model; any model can be loaded from LLM Chat."
            ),
            "diffusion": self.tr("Not running. It starts by itself when a picture is wanted."),
        }
        self.nothing.setText(text.get(self.server, ""))
        self.facts.hide()
        self.command.hide()
        self.stop.hide()
        self.restart.hide()

    def _show_error(self, info: ServerInfo) -> None:
        if info.error_message:
            detail = info.error_remedy
            if info.log_tail:
                detail = f"{detail}\n{info.log_tail[-1]}".strip()
            self.messages.show_message("server", "danger", info.error_message, detail)
        else:
            self.messages.clear("server")

    @Slot()
    def _on_copy(self) -> None:
        if self.info is not None:
            QGuiApplication.clipboard().setText(shlex.join(self.info.command_line))

    @Slot()
    def _on_start(self) -> None:
        self.start_requested.emit(self.server)

    @Slot()
    def _on_stop(self) -> None:
        self.stop_requested.emit(self.server)

    @Slot()
    def _on_restart(self) -> None:
        self.restart_requested.emit(self.server)

    @Slot()
    def _on_logs(self) -> None:
        self.log_requested.emit(self.server)


def server_cards(theme: Theme, parent: QWidget) -> dict[str, ServerCard]:
    """One card per server by its name."""
    return {
        "llama": ServerCard(theme, "llama", parent.tr("LLM server"), "chat"),
        "diffusion": ServerCard(theme, "diffusion", parent.tr("Image engine"), "images"),
    }
