"""All GPUs of this machine from all sources, under one numbering that stays the same while the program
runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from genai_desktop.core.hardware import GpuInfo
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.bounded import Bounded, Call, StuckError

_log = logging.getLogger(__name__)
T = TypeVar("T")
HeldMemory = Mapping[int, Mapping[int, int]]  # GPU index -> process -> bytes


class GpuSource(Protocol):
    """Where facts about GPUs come from.

    Indices count from 0 within the source; nothing raises for absence.
    """

    name: str

    def detect(self) -> Sequence[GpuInfo]: ...

    def sample(self) -> Sequence[GpuSample]: ...

    def memory_of(self, pids: Collection[int]) -> HeldMemory:
        """Bytes that the processes hold: by GPU index, by process."""
        ...


class Gpus:
    """Several sources as one. Each call into a source is bounded; what does not answer is absent, or gone."""

    def __init__(self, sources: Sequence[GpuSource], timeout: float = 2.0) -> None:
        self._sources = tuple((source, Bounded(source.name, timeout)) for source in sources)
        self._known: dict[str, tuple[GpuInfo, ...]] = {}  # as first seen, by source
        self.complaints: list[str] = []

    def detect(self) -> tuple[GpuInfo, ...]:
        """Every GPU found now; all sources are asked at the same time."""
        self.complaints = []
        found: list[GpuInfo] = []
        for source, answer in self._ask(lambda source: tuple(source.detect())):
            if isinstance(answer, Exception):
                self.complaints.append(f"{source.name}: {answer}")
                continue
            known = {gpu.index: gpu for gpu in self._known.get(source.name, ())}
            known.update({gpu.index: gpu for gpu in answer})
            self._known[source.name] = tuple(known[index] for index in sorted(known))
            found += self._renumber(source.name, answer)
        return tuple(found)

    def sample(self, pids: Collection[int] = ()) -> tuple[GpuSample, ...]:
        """Readings of every GPU seen so far; one that does not answer any more comes as present=False.

        pids: our own processes; what they hold is in vram_ours.
        """
        return self.read(pids)[0]

    def read(self, pids: Collection[int] = ()) -> tuple[tuple[GpuSample, ...], HeldMemory]:
        """As `sample`, and what each process holds. Sources that never showed a GPU are not asked."""
        samples: list[GpuSample] = []
        held: dict[int, Mapping[int, int]] = {}
        for source, answer in self._ask(lambda source: _read(source, pids), only_known=True):
            readings: Sequence[GpuSample] = ()
            ours: HeldMemory = {}
            if not isinstance(answer, Exception):
                readings, ours = answer
            by_index = {reading.index: reading for reading in readings}
            for info in self._known.get(source.name, ()):
                by_index.setdefault(info.index, GpuSample(info.index, None, info.vram_total, present=False))
            offset = self._offset(source.name)
            for index in sorted(by_index):
                held[index + offset] = ours.get(index, {})
                total = sum(held[index + offset].values())
                samples.append(replace(by_index[index], index=index + offset, vram_ours=total))
        return tuple(samples), held

    def _ask(
        self, question: Callable[[GpuSource], T], only_known: bool = False
    ) -> Iterator[tuple[GpuSource, T | Exception]]:
        """Put one question to every source at once; answers in order, an exception where there is none."""
        calls: list[tuple[GpuSource, Call[T] | Exception]] = []
        for source, bounded in self._sources:
            if only_known and not self._known.get(source.name):
                continue
            try:
                calls.append((source, bounded.start(lambda source=source: question(source))))  # type: ignore[misc]
            except StuckError as error:
                calls.append((source, error))
        for source, call in calls:
            if isinstance(call, Exception):
                yield source, call
                continue
            try:
                yield source, call.result()
            except Exception as error:  # noqa: BLE001 - drivers raise anything; for us it is absence
                _log.debug("%s gives nothing: %s", source.name, error)
                yield source, error

    def _renumber(self, name: str, gpus: Sequence[GpuInfo]) -> list[GpuInfo]:
        offset = self._offset(name)
        return [replace(gpu, index=gpu.index + offset) for gpu in gpus]

    def _offset(self, name: str) -> int:
        offset = 0
        for source, _ in self._sources:
            if source.name == name:
                break
            known = self._known.get(source.name, ())
            offset += max((gpu.index for gpu in known), default=-1) + 1
        return offset


def _read(source: GpuSource, pids: Collection[int]) -> tuple[Sequence[GpuSample], HeldMemory]:
    return source.sample(), (source.memory_of(pids) if pids else {})
