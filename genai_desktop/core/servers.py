"""The state of a supervised server as a value, and its log lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ServerStatus = Literal["stopped", "starting", "running", "stopping", "crashed"]
ServerHealth = Literal["ok", "loading", "error", "unknown"]
LogLevel = Literal["debug", "info", "warn", "error"]


@dataclass(frozen=True)
class LogEntry:
    """One line a child wrote. timestamp: seconds since the epoch, when we read it."""

    timestamp: float
    level: LogLevel
    message: str
    stream: Literal["stdout", "stderr", "app"] = "stderr"

    def to_line(self) -> str:
        """`[ISO] [level] message`, the format of the log files (UTC)."""
        from datetime import UTC, datetime

        stamp = datetime.fromtimestamp(self.timestamp, UTC).isoformat(timespec="milliseconds")
        return f"[{stamp.replace('+00:00', 'Z')}] [{self.level}] {self.message}"


@dataclass(frozen=True)
class ServerInfo:
    """One immutable snapshot per transition.

    generation counts starts, so late events of an older start can be told apart. `requested` and `effective`
    hold
    configuration values by name (n_ctx, n_gpu_layers, total_slots ...). load_progress is 0..1 or None.
    """

    name: str  # "llama" or "diffusion"
    status: ServerStatus = "stopped"
    health: ServerHealth = "unknown"
    pid: int | None = None
    port: int | None = None
    url: str | None = None
    model_id: str | None = None
    model_name: str | None = None
    started_at: float | None = None  # seconds since the epoch
    generation: int = 0
    restarts: int = 0
    is_busy: bool = False
    load_progress: float | None = None
    command_line: tuple[str, ...] = ()  # never holds a secret
    engine: str = ""  # variant and build, "embedded b11549"
    requested: Mapping[str, Any] = field(default_factory=dict)
    effective: Mapping[str, Any] = field(default_factory=dict)
    error_code: str = ""
    error_message: str = ""
    error_remedy: str = ""
    log_tail: tuple[str, ...] = ()
