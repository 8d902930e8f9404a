"""The language model server: one at a time, started, watched, stopped; its saved conversation states."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genai_desktop.core.builds import EngineCommand, EngineName
from genai_desktop.core.errors import BusyError, InvalidInputError, ModelNotFoundError, ServerError
from genai_desktop.core.events import Emitter, Listener
from genai_desktop.core.launch import LlamaServerConfig, resolved
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.servers import LogEntry, ServerInfo, ServerStatus
from genai_desktop.engines.clock import Clock, SystemClock
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.llama_server import LlamaPlan, LlamaServer, Patience, effective_config
from genai_desktop.engines.logs import ProcessLog, RotatingFile
from genai_desktop.engines.process import ProcessLauncher
from genai_desktop.engines.supervisor import Policy, Supervisor
from genai_desktop.library.paths import DataPaths

if TYPE_CHECKING:
    import httpx

    from genai_desktop.engines.llama_client import LlamaClient

LOG_FILE = "llama-server.log"
CLOSE_GRACE = 5.0
_SLOT_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")


class EngineProvider(Protocol):
    """Where the engine in use comes from."""

    async def command(self, engine: EngineName) -> EngineCommand: ...


class ModelProvider(Protocol):
    """Where models come from. Raises ModelNotFoundError."""

    async def get_model_info(self, model_id: str) -> ModelInfo: ...


class OptimalConfig(Protocol):
    """Who knows what suits this computer: values of LlamaServerConfig by key."""

    async def get_optimal_config(self, model: ModelInfo, **wishes: Any) -> Mapping[str, Any]: ...


class LlamaServerManager:
    """Runs one llama-server for one model.

    Events: "changed" (ServerInfo, every snapshot), "status_changed", "started", "stopped", "crashed"
    (ServerInfo), "log" and "binary_log" (LogEntry).
    """

    def __init__(
        self,
        *,
        launcher: ProcessLauncher,
        engine: EngineProvider,
        models: ModelProvider,
        paths: DataPaths,
        ledger: Ledger,
        clock: Clock | None = None,
        system: OptimalConfig | None = None,
        policy: Policy | None = None,
        patience: Patience | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._engine = engine
        self._models = models
        self._paths = paths
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._system = system
        self._patience = patience
        self._transport = transport
        self.events = Emitter()
        self.api_key = secrets.token_urlsafe(32)
        self._log = ProcessLog(
            RotatingFile(paths.logs / LOG_FILE),
            time=self._clock.time,
            on_entry=lambda entry: self.events.emit("log", entry),
        )
        self._log.hide(self.api_key)
        self._supervisor = Supervisor(
            "llama",
            launcher=launcher,
            ledger=ledger,
            clock=self._clock,
            log=self._log,
            events=self.events,
            policy=policy,
        )
        self._driver: LlamaServer | None = None
        self._config: LlamaServerConfig | None = None
        self._is_closed = False

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Subscribe; the returned callable unsubscribes."""
        return self.events.on(event, listener)

    # -- starting and stopping

    async def start(self, config: LlamaServerConfig) -> ServerInfo:
        """Start and wait until it can be used; the snapshot then. Cancelling the call stops the server again.

        A second start with the same configuration joins the first. Raises BusyError when another one runs,
        otherwise what stood in the way: ConfigurationError, ModelNotFoundError, ModelFileError, EngineError,
        InsufficientResourcesError, PortInUseError, ServerTimeoutError, ServerError, and CancelledError (ours)
        when `stop` came first. Each has the last log lines under details["log"] when a process ran.
        """
        config = config.validated()
        if self._is_closed:
            raise ServerError("The program is closing.", code="CLOSING")
        await self._supervisor.settled()
        if not self._supervisor.is_active:
            self._begin(config)
        elif config != self._config:
            raise BusyError(
                f"The model {self._supervisor.info.model_id} is already loaded or loading.",
                remedy="Stop it first.",
            )
        return await self._supervisor.wait_started()

    def _begin(self, config: LlamaServerConfig) -> None:
        driver = LlamaServer(
            lambda: self._plan(config),
            api_key=self.api_key,
            slot_dir=self._paths.slots,
            clock=self._clock,
            token=self._ledger.environment(),
            # this very process serves the image API
            our_pids=lambda: {os.getpid(), *(entry.pid for entry in self._ledger.entries())},
            transport=self._transport,
            patience=self._patience,
        )
        self._supervisor.begin(driver, {"model_id": config.model_id})
        self._driver, self._config = driver, config

    async def _plan(self, config: LlamaServerConfig) -> LlamaPlan:
        """Decide everything the configuration leaves open."""
        model = await self._models.get_model_info(config.model_id)
        if model.type != "llm":
            raise InvalidInputError(f"{model.name} is no language model.", remedy="Choose another.")
        draft = await self._model_path(config.draft_model)
        projector = config.mmproj or next((f.path for f in model.files if f.role == "mmproj"), "")
        files = [model.path, *(path for path in (draft, projector) if path)]
        await asyncio.to_thread(_check_files, files)
        command = await self._engine.command("llama.cpp")
        entry = self._log.add(f"using llama.cpp {command.label}", "app")
        self.events.emit("binary_log", entry)
        optimal = (
            {} if self._system is None else await self._system.get_optimal_config(model, **_wishes(config))
        )
        chosen = resolved(
            replace(config, draft_model=draft, mmproj=projector),
            context_length=model.context_length,
            cores=await asyncio.to_thread(_physical_cores),
            optimal=optimal,
        )
        return LlamaPlan(command, model, chosen)

    async def _model_path(self, name: str) -> str:
        """A draft model is given by path or by the id of a model on the shelf."""
        if not name or await asyncio.to_thread(Path(name).is_file):
            return name
        return (await self._models.get_model_info(name)).path

    async def stop(self, grace: float | None = None) -> None:
        """Ask, wait `grace` (10) seconds, kill the group. A start under way ends at once. Idempotent."""
        await self._supervisor.stop(grace)

    async def restart(self) -> ServerInfo:
        """Stop, and start again as last asked for."""
        if self._config is None:
            raise ServerError("No model has been loaded yet.", code="NOT_RUNNING", remedy="Load a model.")
        config = self._config
        await self.stop()
        return await self.start(config)

    async def close(self) -> None:
        """Stop, write the log out, refuse further starts. Idempotent."""
        self._is_closed = True
        await self.stop(CLOSE_GRACE)
        await self._log.flush()

    # -- asking

    def get_status(self) -> ServerStatus:
        return self._supervisor.info.status

    def get_info(self) -> ServerInfo:
        return self._supervisor.info

    @property
    def base_url(self) -> str | None:
        """Where to send requests, None unless it runs. `api_key` is needed with every one."""
        info = self._supervisor.info
        return info.url if info.status == "running" else None

    @property
    def resolved_config(self) -> LlamaServerConfig | None:
        """What the last start really used: every auto replaced, flash attention as the engine decided.

        Only the port stays as it was asked for. A saved conversation state fits a server started with this.
        """
        if self._driver is None or self._driver.plan is None:
            return None
        return effective_config(self._driver.plan.config, self._supervisor.info.effective)

    def is_starting(self, config: LlamaServerConfig) -> bool:
        """Whether a start with exactly this configuration is under way: another one would join it."""
        return self._supervisor.info.status == "starting" and config.validated() == self._config

    async def is_healthy(self) -> bool:
        """Whether it runs and answers now."""
        return self.base_url is not None and self._driver is not None and await self._driver.is_healthy()

    def get_logs(self, n: int = 100) -> list[str]:
        """The last `n` lines as they stand in the log file, oldest first."""
        return [entry.to_line() for entry in self._log.entries(n)]

    def get_structured_logs(self, n: int = 100) -> list[LogEntry]:
        return list(self._log.entries(n))

    def clear_logs(self) -> None:
        """Forget the lines in memory; the files stay."""
        self._log.clear()

    # -- conversation states

    async def save_slot(self, filename: str, slot: int = 0) -> int:
        """Write a slot's state into the slot folder under a bare name, readable by us only; its tokens."""
        path = self._slot_path(filename)
        async with self._client() as client:
            tokens = await client.save_slot(filename, slot)
        await asyncio.to_thread(_make_private, path)
        return tokens

    async def restore_slot(self, filename: str, slot: int = 0) -> int:
        """Read a state back; its tokens. A failed restore leaves the slot empty."""
        self._slot_path(filename)
        async with self._client() as client:
            return await client.restore_slot(filename, slot)

    async def erase_slot(self, slot: int = 0) -> int:
        """Forget what a slot holds; how many tokens that were."""
        async with self._client() as client:
            return await client.erase_slot(slot)

    def _slot_path(self, filename: str) -> Path:
        if not _SLOT_FILE.fullmatch(filename):
            raise InvalidInputError(
                f"{filename!r} is no name for a saved state.",
                remedy="Use letters, digits, dots, dashes and underscores.",
            )
        return self._paths.slots / filename

    def _client(self) -> LlamaClient:
        from genai_desktop.engines.llama_client import LlamaClient

        url = self.base_url
        if url is None:
            raise ServerError("No model is loaded.", code="NOT_RUNNING", remedy="Load a model first.")
        return LlamaClient(url, self.api_key, transport=self._transport)


def _check_files(paths: list[str]) -> None:
    for path in paths:
        if not Path(path).is_file():
            raise ModelNotFoundError(
                f"The model file {path} does not exist.",
                remedy="Import or download the model again, or connect the drive it is on.",
            )


def _physical_cores() -> int:
    import psutil

    usable = os.cpu_count() or 1
    if sys.platform == "linux":
        usable = len(os.sched_getaffinity(0))
    return max(1, min(psutil.cpu_count(logical=False) or usable, usable))


def _make_private(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.chmod(0o600)


def _wishes(config: LlamaServerConfig) -> dict[str, Any]:
    """What a person fixed, for the placement to plan around."""
    wishes = {
        "n_ctx": config.context_size,
        "n_gpu_layers": config.gpu_layers if isinstance(config.gpu_layers, int) else None,
        "cache_type_k": config.cache_type_k,
        "cache_type_v": config.cache_type_v,
        "n_parallel": config.parallel_requests,
    }
    return {name: value for name, value in wishes.items() if value is not None}
