"""The System tab: what this computer is, what it is doing, and what does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from genai_desktop.ui.system.charts import SPANS, ChartsPanel
from genai_desktop.ui.system.engines import EnginesCard
from genai_desktop.ui.system.events import EventsCard
from genai_desktop.ui.system.hardware import HardwareCards, page_header
from genai_desktop.ui.system.servers import server_cards
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import ResponsiveGrid, column
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.builds import EngineBuild
    from genai_desktop.core.hardware import SystemCapabilities
    from genai_desktop.core.servers import LogEntry, ServerInfo
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.system.logs import LogWindow
    from genai_desktop.ui.theme import Theme


class SystemPage(QWidget):
    """Renders the system facade."""

    open_requested = Signal(str)
    announced = Signal(str, str, object)
    ui_changed = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._logs: dict[str, LogWindow] = {}
        self.setProperty("kind", "page")
        self._build()
        self._connect()
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._on_tick)
        self._clock.start()
        facades.system.load()
        self.charts.ask_for_history()

    def _build(self) -> None:
        theme, space = self._theme, self._theme.space
        outer = column(self, space=0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer.addWidget(scroll)
        inner = QWidget()
        inner.setProperty("kind", "page")
        scroll.setWidget(inner)
        whole = column(inner, space=space.m, margins=space.xl)
        self.refresh = Button(theme, self.tr("Look again"), icon="refresh", name="system.refresh")
        self.diagnostics = Button(theme, self.tr("Copy diagnostics"), icon="copy", name="system.diagnostics")
        whole.addWidget(page_header(theme, self.tr("System"), [self.refresh, self.diagnostics]))
        self.messages = MessageArea(theme)
        whole.addWidget(self.messages)
        self.hardware = HardwareCards(theme)
        whole.addWidget(self.hardware)
        whole.addSpacing(space.m)
        self.charts = ChartsPanel(theme)
        whole.addWidget(self.charts)
        whole.addSpacing(space.m)
        whole.addWidget(label(self.tr("Servers"), "section"))
        self.servers = server_cards(theme, self)
        grid = ResponsiveGrid(theme.px(340), space=space.m, max_columns=2)
        grid.setObjectName("system.servers")
        grid.set_items(list(self.servers.values()))
        whole.addWidget(grid)
        whole.addSpacing(space.m)
        whole.addWidget(label(self.tr("Engines"), "section"))
        self.engines = EnginesCard(theme)
        whole.addWidget(self.engines)
        whole.addSpacing(space.m)
        whole.addWidget(label(self.tr("Events"), "section"))
        self.events = EventsCard(theme)
        whole.addWidget(self.events)
        whole.addStretch(1)

    def _connect(self) -> None:
        system = self._facades.system
        system.capabilities_changed.connect(self._on_capabilities)
        system.sample_taken.connect(self.hardware.show_sample)
        system.sample_taken.connect(self.charts.show_sample)
        system.history_loaded.connect(self.charts.show_history)
        system.markers_loaded.connect(self.charts.show_markers)
        system.markers_loaded.connect(self.events.show_events)
        system.marker_added.connect(self.charts.show_marker)
        system.marker_added.connect(self.events.add_event)
        system.engines_changed.connect(self._on_engines)
        system.engine_busy.connect(self.engines.set_busy)
        system.server_changed.connect(self._on_server)
        system.log_appended.connect(self._on_log_appended)
        system.log_loaded.connect(self._on_log_loaded)
        system.diagnostics_ready.connect(self._on_diagnostics)
        system.failed.connect(self._on_failed)
        self.refresh.clicked.connect(self._on_refresh)
        self.diagnostics.clicked.connect(system.collect_diagnostics)
        self.charts.history_wanted.connect(system.load_history)
        self.charts.span.chosen.connect(self.ui_changed)
        self.engines.test_requested.connect(system.test_engine)
        self.engines.use_requested.connect(system.use_engine)
        for card in self.servers.values():
            card.start_requested.connect(self._on_start)
            card.stop_requested.connect(system.stop_server)
            card.restart_requested.connect(system.restart_server)
            card.log_requested.connect(self.show_log)

    # -- the protocol of pages --------------------------------------------------------------------------

    def replay(self, latest: Latest) -> None:
        """What was said before this page was there."""
        for info in latest.servers.values():
            self._on_server(info)
        if latest.capabilities is not None:
            self._on_capabilities(latest.capabilities)
        if latest.engines is not None:
            self._on_engines(latest.engines)
        if "system" in latest.failures:
            self._on_failed(latest.failures["system"])

    def ui_state(self) -> dict[str, Any]:
        return {"span": self.charts.span.current}

    def restore_ui(self, values: dict[str, Any]) -> None:
        if values.get("span") in SPANS:
            self.charts.span.choose(values["span"])

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def _on_capabilities(self, values: SystemCapabilities) -> None:
        self.refresh.setEnabled(True)
        self.messages.clear("detect")
        self.hardware.show_capabilities(values)
        for problem in values.problems:
            self.messages.show_message(f"problem-{problem.code}", "warn", problem.message, problem.remedy)

    @Slot(object)
    def _on_engines(self, builds: tuple[EngineBuild, ...]) -> None:
        self.messages.clear("engines")
        self.engines.show_builds(builds)

    @Slot(object)
    def _on_server(self, info: ServerInfo) -> None:
        card = self.servers.get(info.name)
        if card is not None:
            card.show_info(info)
            if info.status == "running":
                self.messages.clear("start-server")

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        actions = {
            "detect": (self.tr("Look again"), self._on_refresh),
            "engines": (self.tr("Try again"), self._facades.system.load),
            "start-server": (self.tr("Choose a model"), self._open_models),
        }
        text, slot = actions.get(failure.action, ("", None))
        if failure.action == "detect":
            self.refresh.setEnabled(True)
            self.hardware.busy.hide()
        if failure.action == "engines":
            self.engines.waiting.hide()
        self.messages.show_failure(failure, text, slot)

    @Slot()
    def _on_tick(self) -> None:
        if self.isVisible():
            for card in self.servers.values():
                card.tick()

    # -- intents ----------------------------------------------------------------------------------------

    @Slot()
    def _on_refresh(self) -> None:
        self.refresh.setEnabled(False)
        self.messages.clear("detect")
        self._facades.system.refresh()

    @Slot(str)
    def _on_start(self, server: str) -> None:
        self.messages.clear("start-server")
        self._facades.system.start_server(server)

    @Slot()
    def _open_models(self) -> None:
        self.open_requested.emit("models")

    @Slot(str)
    def _on_diagnostics(self, text: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.announced.emit(self.tr("Diagnostics are in the clipboard, without secrets."), "", None)

    # -- logs -------------------------------------------------------------------------------------------

    @Slot(str)
    def show_log(self, server: str) -> None:
        """Open the log of a server in a window beside this one."""
        if server not in self._logs:
            from genai_desktop.ui.system.logs import LogWindow

            title = (
                self.tr("Log of the LLM server") if server == "llama" else self.tr("Log of the image engine")
            )
            window = LogWindow(self._theme, server, title, self)
            window.clear_requested.connect(self._facades.system.clear_log)
            self._logs[server] = window
        self._facades.system.load_log(server, 100_000)
        self._logs[server].show()
        self._logs[server].raise_()

    @Slot(str, object)
    def _on_log_appended(self, server: str, entries: tuple[LogEntry, ...]) -> None:
        if server in self._logs:
            self._logs[server].append(entries)

    @Slot(str, object)
    def _on_log_loaded(self, server: str, entries: tuple[LogEntry, ...]) -> None:
        if server in self._logs:
            self._logs[server].show_entries(entries)
