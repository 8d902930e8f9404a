"""Memory and load of the machine, and of our own child processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from genai_desktop.core.hardware import MemoryInfo
from genai_desktop.engines.telemetry.cgroup import Cgroup

_CHILDREN_EVERY = 10  # readings between two looks for grandchildren; a look costs a walk over all processes


@dataclass(frozen=True)
class ProcessMemory:
    """What one server holds.

    resident: all its pages; private: what comes free when it ends (no file pages).
    """

    resident: int = 0
    private: int = 0
    pids: frozenset[int] = frozenset()


class Host:
    """Live readings of memory and processor. `root` is where proc and sys are looked for."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._cgroup = Cgroup(root)

    def memory(self) -> MemoryInfo:
        """Memory now, never cached; a container's limit counts as the machine's."""
        machine = psutil.virtual_memory()
        total, available = int(machine.total), int(machine.available)
        source = "psutil"
        limit = self._cgroup.memory()
        if limit is not None and limit.limit < total:
            total = limit.limit
            available = max(0, min(available, limit.limit - limit.used))
            source = f"{limit.source}, psutil"
        return MemoryInfo(total, available, total - available, source)

    def cpu_load(self) -> float:
        """Load of all processors since the last call, 0..1; the first call returns 0."""
        return min(1.0, max(0.0, psutil.cpu_percent(interval=None) / 100))


class ProcessWatcher:
    """Memory of our servers, their own children included."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._families: dict[int, list[psutil.Process]] = {}
        self._count = 0

    def read(self, pids: Mapping[str, int]) -> dict[str, ProcessMemory]:
        """Memory by server name. A server that is gone is simply not in the answer."""
        self._count += 1
        is_full = self._count % _CHILDREN_EVERY == 1
        answer: dict[str, ProcessMemory] = {}
        families: dict[int, list[psutil.Process]] = {}
        for name, pid in pids.items():
            family = self._families.get(pid)
            if family is None or is_full:
                family = _family(pid)
            if not family:
                continue
            families[pid] = family
            resident = private = 0
            alive: set[int] = set()
            for process in family:
                reading = self._memory(process)
                if reading is not None:
                    resident += reading[0]
                    private += reading[1]
                    alive.add(process.pid)
            if alive:
                answer[name] = ProcessMemory(resident, private, frozenset(alive))
        self._families = families
        return answer

    def _memory(self, process: psutil.Process) -> tuple[int, int] | None:
        try:
            status = (self._root / f"proc/{process.pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            status = ""
        fields = {
            key: int(value.split()[0]) * 1024
            for key, _, value in (line.partition(":") for line in status.splitlines())
            if key in ("VmRSS", "RssAnon", "RssShmem") and value.split()
        }
        if "VmRSS" in fields:
            resident = fields["VmRSS"]
            return resident, fields.get("RssAnon", resident) + fields.get("RssShmem", 0)
        try:
            if not process.is_running():
                return None
            resident = int(process.memory_info().rss)
        except (psutil.Error, OSError):
            return None
        return resident, resident


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except (psutil.Error, OSError):
        return []
