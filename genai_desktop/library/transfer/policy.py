"""What to fetch, how patiently, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_desktop.library.transfer.web import RemoteFile


@dataclass(frozen=True)
class TransferRequest:
    """One file. `dest` must not exist yet; its folder is created.

    sha256: lower-case hex, checked while the bytes arrive. size: bytes, when the caller knows them.
    headers: secrets among them; sent to the origin of `url` and to nobody else.
    check: gets the resolved file with its first bytes and raises to refuse it, before anything is stored.
    """

    url: str
    dest: Path
    sha256: str | None = None
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    check: Callable[[RemoteFile], None] | None = None


@dataclass(frozen=True)
class TransferResult:
    """A complete, verified file. sha256 is of what is on the disk now.

    resumed_from: bytes an earlier attempt had left; received: bytes that came over the network this time.
    source: the address asked for, without its query. commit: the hub's revision, or empty.
    """

    path: Path
    size: int
    sha256: str
    source: str
    etag: str = ""
    commit: str = ""
    resumed_from: int = 0
    received: int = 0


@dataclass(frozen=True)
class TransferPolicy:
    """Patience, in seconds and attempts. attempts: without progress in between."""

    connect_timeout: float = 10.0
    stall_timeout: float = 20.0
    slow_bytes_per_second: float = 1024.0
    slow_seconds: float = 60.0
    attempts: int = 6
    refreshes: int = 3  # of an expired address, without progress in between
    backoff: float = 0.5
    backoff_cap: float = 60.0
    retry_after_cap: float = 600.0
    journal_seconds: float = 2.0
    progress_seconds: float = 0.1
    meaningful_bytes: int = 4096  # an attempt that gained less than this made no progress
    # `connections` when they bring more than the first ones, `connections_max` when they bring much more
    connections_at_first: int = 1
    connections: int = 4
    connections_max: int = 8
    host_connections: int = 8  # of all transfers of an engine together
    min_segment: int = 8 * 1024**2
    ramp_seconds: float = 0.2
    plenty: int = 100_000_000  # bytes a second; a server that sends as fast does not throttle a connection
