"""The limits of a container (cgroup v2, and v1 where it is still mounted): memory and processor share.

A program in a container sees the machine's memory but is killed at its own limit, so the limit counts as the
machine's memory (R102). Linux only; elsewhere, and without a limit, everything here is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_UNLIMITED_V1 = 1 << 60  # v1 says "no limit" with a number near 2^63


@dataclass(frozen=True)
class MemoryLimit:
    """The tightest limit above this process. used: bytes that cannot be reclaimed; source: its file."""

    limit: int
    used: int
    source: str


class Cgroup:
    """Reads the limits below `root` (the file system's root, or a test's)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def memory(self) -> MemoryLimit | None:
        """The tightest memory limit on the way up from our own group, or None."""
        found: list[MemoryLimit] = []
        for version, mount, group in self._groups("memory"):
            limit_name = "memory.max" if version == "v2" else "memory.limit_in_bytes"
            for folder in _upwards(group, mount):
                limit = _number(folder / limit_name)
                if limit is not None and 0 < limit < _UNLIMITED_V1:
                    used = self._used(version, folder)
                    found.append(MemoryLimit(limit, used, f"cgroup {version} limit"))
        return min(found, key=lambda entry: entry.limit - entry.used, default=None)

    def cpus(self) -> float | None:
        """The share of processors this process may use (2.5 = two and a half), or None without a quota."""
        found: list[float] = []
        for version, mount, group in self._groups("cpu"):
            for folder in _upwards(group, mount):
                if version == "v2":
                    words = _text(folder / "cpu.max").split()
                    quota = _to_int(words[0]) if words else None
                    period = _to_int(words[1]) if len(words) > 1 else 100_000
                else:
                    quota = _number(folder / "cpu.cfs_quota_us")
                    period = _number(folder / "cpu.cfs_period_us")
                if quota and period and quota > 0 and period > 0:
                    found.append(quota / period)
        return min(found, default=None)

    def _used(self, version: str, folder: Path) -> int:
        name, cache = (
            ("memory.current", "inactive_file")
            if version == "v2"
            else ("memory.usage_in_bytes", "total_inactive_file")
        )
        used = _number(folder / name) or 0
        for line in _text(folder / "memory.stat").splitlines():
            key, _, value = line.partition(" ")
            if key == cache:  # file pages nobody used lately: the kernel gives them back before it kills
                used -= _to_int(value) or 0
                break
        return max(0, used)

    def _groups(self, controller: str) -> list[tuple[str, Path, Path]]:
        """(version, mount point, own group) of the hierarchies that hold `controller`."""
        groups: list[tuple[str, Path, Path]] = []
        for line in _text(self._root / "proc/self/cgroup").splitlines():
            hierarchy, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if hierarchy == "0" and not controllers:
                mount = self._mount("cgroup2", "")
                version = "v2"
            elif controller in controllers.split(","):
                mount = self._mount("cgroup", controller)
                version = "v1"
            else:
                continue
            if mount is None:
                continue
            own = mount / path.lstrip("/")
            # inside a container the path is often the host's and not visible; the mount is our group then
            groups.append((version, mount, own if own.is_dir() else mount))
        return groups

    def _mount(self, kind: str, controller: str) -> Path | None:
        for line in _text(self._root / "proc/self/mountinfo").splitlines():
            before, _, after = line.partition(" - ")
            words, types = before.split(), after.split()
            if len(words) > 4 and types and types[0] == kind:
                options = types[-1].split(",")
                if not controller or controller in options:
                    return self._root / words[4].lstrip("/")
        default = self._root / "sys/fs/cgroup" / controller
        return default if default.is_dir() else None


def _upwards(folder: Path, top: Path) -> list[Path]:
    chain = [folder]
    while folder != top and top in folder.parents:
        folder = folder.parent
        chain.append(folder)
    return chain


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _to_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:  # "max"
        return None


def _number(path: Path) -> int | None:
    return _to_int(_text(path).strip())
