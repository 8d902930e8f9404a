"""The System tab: what this computer is, what it is doing, and what does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from genai_desktop.ui.system.hardware import HardwareCards, page_header
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
    from genai_desktop.ui.system.charts import ChartsPanel
    from genai_desktop.ui.system.engines import EnginesCard
    from genai_desktop.ui.system.events import EventsCard
    from genai_desktop.ui.system.logs import LogWindow
    from genai_desktop.ui.system.servers import ServerCard
    from genai_desktop.ui.theme import Theme


class SystemPage(QWidget):
    """Renders the system facade."""

    open_requested = Signal(str)
    announced = Signal(str, str, object)
    ui_changed = Signal()

    charts: ChartsPanel
    servers: dict[str, ServerCard]
    engines: EnginesCard
    events: EventsCard

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._logs: dict[str, LogWindow] = {}
        self._latest: Latest | None = None
        self._remembered: dict[str, Any] = {}
        self.setProperty("kind", "page")
        self._build()
        self._connect()
        self._sections = [self._build_charts, self._build_servers, self._build_engines, self._build_events]
        facades.system.load()

    def _build(self) -> None:
        """What the first look needs; the rest comes by `complete_next`."""
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
        self._rest = column(space=space.m)
        whole.addLayout(self._rest)
        whole.addStretch(1)

    def complete_next(self) -> bool:
        """Build one more section; False when the page is complete."""
        if not self._sections:
            return False
        self._sections.pop(0)()
        return True

    def complete(self) -> None:
        """Build all of it now."""
        while self.complete_next():
            pass

    def _section(self, title: str, body: QWidget) -> None:
        self._rest.addSpacing(self._theme.space.m)
        if title:
            self._rest.addWidget(label(title, "section"))
        self._rest.addWidget(body)

    def _build_charts(self) -> None:
        from genai_desktop.ui.system.charts import ChartsPanel

        system = self._facades.system
        self.charts = ChartsPanel(self._theme)
        self._section("", self.charts)
        system.sample_taken.connect(self.charts.show_sample)
        system.history_loaded.connect(self.charts.show_history)
        system.markers_loaded.connect(self.charts.show_markers)
        system.marker_added.connect(self.charts.show_marker)
        self.charts.history_wanted.connect(system.load_history)
        self.charts.span.chosen.connect(self.ui_changed)
        self.restore_ui(self._remembered)
        self.charts.ask_for_history()

    def _build_servers(self) -> None:
        from genai_desktop.ui.system.servers import server_cards

        system = self._facades.system
        self.servers = server_cards(self._theme, self)
        grid = ResponsiveGrid(self._theme.px(340), space=self._theme.space.m, max_columns=2)
        grid.setObjectName("system.servers")
        grid.set_items(list(self.servers.values()))
        self._section(self.tr("Servers"), grid)
        for card in self.servers.values():
            card.start_requested.connect(self._on_start)
            card.stop_requested.connect(system.stop_server)
            card.restart_requested.connect(system.restart_server)
            card.log_requested.connect(self.show_log)
        system.server_changed.connect(self._on_server)
        if self._latest is not None:
            for info in self._latest.servers.values():
                self._on_server(info)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._on_tick)
        self._clock.start()

    def _build_engines(self) -> None:
        from genai_desktop.ui.system.engines import EnginesCard

        system = self._facades.system
        self.engines = EnginesCard(self._theme)
        self._section(self.tr("Engines"), self.engines)
        system.engines_changed.connect(self._on_engines)
        system.engine_busy.connect(self.engines.set_busy)
        self.engines.test_requested.connect(system.test_engine)
        self.engines.use_requested.connect(system.use_engine)
        if self._latest is not None and self._latest.engines is not None:
            self._on_engines(self._latest.engines)

    def _build_events(self) -> None:
        from genai_desktop.ui.system.events import EventsCard

        system = self._facades.system
        self.events = EventsCard(self._theme)
        self._section(self.tr("Events"), self.events)
        system.markers_loaded.connect(self.events.show_events)
        system.marker_added.connect(self.events.add_event)
        if self._latest is not None and self._latest.markers is not None:
            self.events.show_events(self._latest.markers)
            self.charts.show_markers(self._latest.markers)

    def _connect(self) -> None:
        system = self._facades.system
        system.capabilities_changed.connect(self._on_capabilities)
        system.sample_taken.connect(self.hardware.show_sample)
        system.log_appended.connect(self._on_log_appended)
        system.log_loaded.connect(self._on_log_loaded)
        system.diagnostics_ready.connect(self._on_diagnostics)
        system.failed.connect(self._on_failed)
        self.refresh.clicked.connect(self._on_refresh)
        self.diagnostics.clicked.connect(system.collect_diagnostics)

    # -- the protocol of pages --------------------------------------------------------------------------

    def replay(self, latest: Latest) -> None:
        """What was said before this page was there."""
        self._latest = latest
        if latest.capabilities is not None:
            self._on_capabilities(latest.capabilities)
        if "system" in latest.failures:
            self._on_failed(latest.failures["system"])

    def ui_state(self) -> dict[str, Any]:
        if self._sections:
            return self._remembered
        return {"span": self.charts.span.current}

    def restore_ui(self, values: dict[str, Any]) -> None:
        self._remembered = values
        if values.get("span") and hasattr(self, "charts"):
            self.charts.span.choose(str(values["span"]))

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
            self.complete()
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
