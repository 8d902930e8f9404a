"""Live readings as values (R107)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MarkerKind = Literal[
    "started", "stopped", "crashed", "suspended", "resumed", "image-started", "image-finished", "oom"
]


@dataclass(frozen=True, slots=True)
class GpuSample:
    """Bytes, load 0..1, degrees Celsius, watts.

    None where the driver does not tell. present=False: it vanished.
    """

    index: int
    vram_used: int | None
    vram_total: int | None
    load: float | None = None
    temperature: float | None = None
    power: float | None = None
    present: bool = True
    vram_ours: int = 0  # held by our own child processes


@dataclass(frozen=True, slots=True)
class TelemetrySample:
    """One reading, once a second. time: seconds since the epoch. cpu: 0..1 of the whole machine.

    ram_ours: resident bytes of our servers, by server name ("llama", "diffusion"); without the window itself.
    """

    time: float
    ram_used: int
    ram_total: int
    cpu: float
    gpus: tuple[GpuSample, ...] = ()
    ram_ours: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class EventMarker:
    """A thin line in the charts and a row in the event log."""

    time: float
    kind: MarkerKind
    label: str
