"""A day of telemetry in constant memory: three rings of columns, finer for what is recent.

Times are monotonic seconds inside, so a clock that is set back leaves no knot in the charts; the caller
says what the wall clock shows when it asks.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from genai_desktop.core.telemetry import GpuSample, TelemetrySample

# (seconds per point, points): ten minutes, two hours, a day and a bit
TIERS: Final = ((1.0, 600), (5.0, 1_440), (60.0, 1_500))
MAX_GPUS: Final = 64
MAX_SERVERS: Final = 16
_NAN: Final = math.nan
_GPU_FIELDS: Final = ("vram_used", "vram_total", "load", "temperature", "power", "present", "vram_ours")
_MEANS: Final = ("cpu", ".load", ".temperature", ".power")  # averaged; memory keeps its peak


class _Ring:
    """Columns of one tier. A column that did not exist yet is not a number."""

    def __init__(self, period: float, capacity: int) -> None:
        self.period = period
        self.capacity = capacity
        self.count = 0  # rows ever written
        self.columns: dict[str, array[float]] = {"time": array("d", [_NAN]) * capacity}
        self._pending: list[Mapping[str, float]] = []
        self._slot: float | None = None

    def add(self, time: float, row: Mapping[str, float]) -> None:
        """Take one reading; a row is written when its period is over."""
        slot = math.floor(time / self.period)
        if self._slot is not None and slot != self._slot:
            self._flush()
        self._slot = slot
        self._pending.append({**row, "time": time})

    def rows(self) -> Iterable[Mapping[str, float]]:
        """Oldest first, the unfinished last one included."""
        start = max(0, self.count - self.capacity)
        for number in range(start, self.count):
            at = number % self.capacity
            yield {name: column[at] for name, column in self.columns.items()}
        if self._pending:
            yield _merged(self._pending)

    def _flush(self) -> None:
        row = _merged(self._pending)
        self._pending = []
        at = self.count % self.capacity
        for name in row:
            if name not in self.columns:
                self.columns[name] = array("d", [_NAN]) * self.capacity
        for name, column in self.columns.items():
            column[at] = row.get(name, _NAN)
        self.count += 1


def _merged(rows: list[Mapping[str, float]]) -> Mapping[str, float]:
    """One row for several: the mean of loads, the peak of memory, the last of times and presence."""
    if len(rows) == 1:
        return rows[0]
    merged: dict[str, float] = {}
    for name in {name for row in rows for name in row}:
        values = [row[name] for row in rows if name in row and not math.isnan(row[name])]
        if not values:
            merged[name] = _NAN
        elif name == "time" or name.endswith(".present"):
            merged[name] = values[-1]
        elif name.endswith(_MEANS):
            merged[name] = math.fsum(values) / len(values)
        else:
            merged[name] = max(values)
    return merged


@dataclass(frozen=True)
class HistorySize:
    """For the figure in the README: bytes of all columns, and rows in each tier."""

    bytes: int
    rows: tuple[int, ...]


class TelemetryHistory:
    """Add samples, ask for the last N seconds."""

    def __init__(self) -> None:
        self._rings = tuple(_Ring(period, capacity) for period, capacity in TIERS)
        self._first: float | None = None
        self._gpus: set[int] = set()
        self._servers: set[str] = set()

    def add(self, time: float, sample: TelemetrySample) -> None:
        """time: monotonic seconds. Readings that do not advance are dropped."""
        if self._first is None:
            self._first = time
        row = self._row(sample)
        for ring in self._rings:
            ring.add(time, row)

    def window(self, now: float, seconds: float, points: int, wall: float) -> tuple[TelemetrySample, ...]:
        """Samples of the last `seconds` before `now` (monotonic), oldest first, at most `points` of them.

        wall: what the clock on the wall shows now; the times of the samples are counted back from it.
        """
        if self._first is None or points <= 0 or seconds <= 0:
            return ()
        start = now - seconds
        rows = [row for row in self._ring(start, now).rows() if row["time"] >= start]
        if len(rows) > points:
            rows = _thinned(rows, points)
        return tuple(self._sample(row, wall - now) for row in rows)

    def size(self) -> HistorySize:
        """How much is held."""
        total = sum(len(column) * column.itemsize for ring in self._rings for column in ring.columns.values())
        return HistorySize(total, tuple(min(ring.count, ring.capacity) for ring in self._rings))

    def _ring(self, start: float, now: float) -> _Ring:
        """The finest ring that reaches back to `start`, or to the first reading there ever was."""
        reach = max(start, self._first if self._first is not None else now)
        for ring in self._rings:
            if now - ring.period * (ring.capacity - 1) <= reach:
                return ring
        return self._rings[-1]

    def _row(self, sample: TelemetrySample) -> dict[str, float]:
        row: dict[str, float] = {
            "ram_used": sample.ram_used,
            "ram_total": sample.ram_total,
            "cpu": sample.cpu,
        }
        for gpu in sample.gpus:
            if gpu.index not in self._gpus:
                if len(self._gpus) >= MAX_GPUS:
                    continue
                self._gpus.add(gpu.index)
            for field in _GPU_FIELDS:
                value = getattr(gpu, field)
                row[f"gpu{gpu.index}.{field}"] = _NAN if value is None else float(value)
        for name, size in sample.ram_ours:
            if name not in self._servers:
                if len(self._servers) >= MAX_SERVERS:
                    continue
                self._servers.add(name)
            row[f"ours.{name}"] = float(size)
        return row

    def _sample(self, row: Mapping[str, float], shift: float) -> TelemetrySample:
        gpus: list[GpuSample] = []
        for index in sorted(self._gpus):
            prefix = f"gpu{index}."
            present = row.get(prefix + "present", _NAN)
            if math.isnan(present):
                continue  # not seen yet at that time
            gpus.append(
                GpuSample(
                    index=index,
                    vram_used=_whole(row, prefix + "vram_used"),
                    vram_total=_whole(row, prefix + "vram_total"),
                    load=_real(row, prefix + "load"),
                    temperature=_real(row, prefix + "temperature"),
                    power=_real(row, prefix + "power"),
                    present=bool(present),
                    vram_ours=_whole(row, prefix + "vram_ours") or 0,
                )
            )
        ours = ((name, _whole(row, f"ours.{name}")) for name in sorted(self._servers))
        return TelemetrySample(
            time=row["time"] + shift,
            ram_used=_whole(row, "ram_used") or 0,
            ram_total=_whole(row, "ram_total") or 0,
            cpu=_real(row, "cpu") or 0.0,
            gpus=tuple(gpus),
            ram_ours=tuple((name, size) for name, size in ours if size is not None),
        )


def _thinned(rows: list[Mapping[str, float]], points: int) -> list[Mapping[str, float]]:
    """At most `points` rows, neighbours merged evenly."""
    count = len(rows)
    edges = [number * count // points for number in range(points + 1)]
    return [_merged(rows[a:b]) for a, b in pairwise(edges) if b > a]


def _real(row: Mapping[str, float], name: str) -> float | None:
    value = row.get(name, _NAN)
    return None if math.isnan(value) else value


def _whole(row: Mapping[str, float], name: str) -> int | None:
    value = row.get(name, _NAN)
    return None if math.isnan(value) else int(value)
