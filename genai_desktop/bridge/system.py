"""Facade of the System tab and the status bar: hardware, charts, engines, servers, events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Signal, Slot

from genai_desktop.bridge.facade import Facade

if TYPE_CHECKING:
    from genai_desktop.core.builds import EngineName
    from genai_desktop.services.genai import GenAI


class SystemFacade(Facade):
    """Signals carry core values; see the comment of each."""

    capabilities_changed = Signal(object)  # SystemCapabilities
    sample_taken = Signal(object)  # TelemetrySample, 1 Hz
    history_loaded = Signal(object, object)  # tuple[TelemetrySample, ...], seconds asked for
    marker_added = Signal(object)  # EventMarker
    markers_loaded = Signal(object)  # tuple[EventMarker, ...]
    engines_changed = Signal(object)  # tuple[EngineBuild, ...]
    engine_busy = Signal(str, bool)  # engine name, a test is running
    server_changed = Signal(object)  # ServerInfo, of "llama" or "diffusion"
    log_appended = Signal(str, object)  # server name, tuple[LogEntry, ...]; at most 10 a second
    log_loaded = Signal(str, object)  # server name, tuple[LogEntry, ...]
    recovery_offered = Signal(object)  # Recovery: an earlier run did not end properly
    diagnostics_ready = Signal(str)  # text, secrets and home path redacted

    def attach(self, genai: GenAI) -> None:
        from genai_desktop.bridge.batching import Batcher

        genai.telemetry.on("sample", self.sample_taken.emit)
        genai.telemetry.on("marker", self.marker_added.emit)
        genai.engines.on("changed", self.engines_changed.emit)
        for name, server in (("llama", genai.llama), ("diffusion", genai.diffusion)):
            server.on("changed", self.server_changed.emit)
            batcher = Batcher(partial(self.log_appended.emit, name), interval=0.1)
            server.on("log", batcher.add)
            self.server_changed.emit(server.get_info())
        if genai.recovery:
            self.recovery_offered.emit(genai.recovery)

    @Slot()
    def refresh(self) -> None:
        """Detect the hardware again -> capabilities_changed."""
        self._run("detect", lambda genai: genai.system.detect(refresh=True), self.capabilities_changed.emit)

    @Slot()
    def load(self) -> None:
        """First content: capabilities, engines, markers of the last day."""
        self._run("detect", lambda genai: genai.system.detect(), self.capabilities_changed.emit)
        self._run("engines", lambda genai: genai.engines.list_engines(), self.engines_changed.emit)
        self._run("events", lambda genai: genai.markers(86_400.0), self.markers_loaded.emit)

    @Slot(float, int)
    def load_history(self, seconds: float, points: int) -> None:
        """Samples of the last `seconds`, at most `points` of them -> history_loaded."""

        async def work(genai: GenAI) -> object:
            return genai.telemetry.history(seconds, points)

        self._run("history", work, lambda samples: self.history_loaded.emit(samples, seconds))

    @Slot(str, str)
    def test_engine(self, engine: str, build: str = "") -> None:
        """Run the variant test of one build ("" = the one in use) -> engine_busy, engines_changed."""
        self.engine_busy.emit(engine, True)

        def finish(_: object) -> None:
            self.engine_busy.emit(engine, False)

        def fail(failure: object) -> None:
            self.engine_busy.emit(engine, False)
            self.failed.emit(failure)

        self._run(
            "test-engine",
            lambda genai: genai.engines.test(cast("EngineName", engine), build or None),
            finish,
            fail,
        )

    @Slot(str, str)
    def use_engine(self, engine: str, build_or_path: str) -> None:
        """Switch to "embedded" or to a binary by path -> engines_changed."""
        self._run("use-engine", lambda genai: genai.engines.use(cast("EngineName", engine), build_or_path))

    @Slot(str, str)
    def start_server(self, name: str, model_id: str = "") -> None:
        """Start "llama" with a model ("" = the last or default one), or "diffusion"."""
        self._run("start-server", lambda genai: genai.start_server(name, model_id))

    @Slot(str)
    def stop_server(self, name: str) -> None:
        self._run("stop-server", lambda genai: genai.stop_server(name))

    @Slot(str)
    def restart_server(self, name: str) -> None:
        self._run("restart-server", lambda genai: genai.restart_server(name))

    @Slot(str, int)
    def load_log(self, name: str, lines: int = 2000) -> None:
        """The last lines of a server's log -> log_loaded."""

        async def work(genai: GenAI) -> object:
            server = genai.llama if name == "llama" else genai.diffusion
            return tuple(server.get_structured_logs(lines))

        self._run("log", work, lambda entries: self.log_loaded.emit(name, entries))

    @Slot(str)
    def clear_log(self, name: str) -> None:
        async def work(genai: GenAI) -> object:
            (genai.llama if name == "llama" else genai.diffusion).clear_logs()
            return ()

        self._run("log", work, lambda entries: self.log_loaded.emit(name, entries))

    @Slot()
    def collect_diagnostics(self) -> None:
        """Everything a bug report needs, redacted -> diagnostics_ready."""
        self._run("diagnostics", lambda genai: genai.diagnostics(), self.diagnostics_ready.emit)
