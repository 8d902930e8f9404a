"""The processor: physical cores this process may use, its model, its architecture."""

from __future__ import annotations

import os
import platform
import re
from math import ceil
from pathlib import Path

import psutil

from genai_desktop.core.hardware import Architecture, CpuInfo
from genai_desktop.engines.telemetry.cgroup import Cgroup


def architecture(machine: str = "") -> Architecture:
    """`x64` or `arm64` (what the engines are built for)."""
    name = (machine or platform.machine()).lower()
    return "arm64" if name in ("arm64", "aarch64") or name.startswith("armv8") else "x64"


def read_cpu(root: Path = Path("/"), allowed: frozenset[int] | None = None, machine: str = "") -> CpuInfo:
    """The processor as this process may use it: affinity and a container's quota counted in.

    root: where proc and sys are looked for; allowed: logical processors, None asks the system.
    """
    sources: list[str] = []
    if allowed is None:
        allowed = _affinity()
    threads = len(allowed) if allowed else psutil.cpu_count(logical=True) or 1
    cores = _linux_cores(root, allowed)
    if cores:
        sources.append("sysfs")
    else:
        cores = min(psutil.cpu_count(logical=False) or threads, threads)
        sources.append("psutil")
    quota = Cgroup(root).cpus()
    if quota is not None and quota < threads:
        threads = max(1, ceil(quota))
        cores = min(cores, threads)
        sources.append("cgroup quota")
    model = _model(root)
    return CpuInfo(max(1, cores), max(1, threads), model, architecture(machine), ", ".join(sources))


def _affinity() -> frozenset[int]:
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on this system
        return frozenset()


def _linux_cores(root: Path, allowed: frozenset[int]) -> int:
    """Distinct (package, core) pairs among the allowed processors; 0 when sysfs does not tell."""
    found: set[tuple[str, str]] = set()
    for number in allowed:
        folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
        try:
            package = (folder / "physical_package_id").read_text().strip()
            core = (folder / "core_id").read_text().strip()
        except OSError:
            return 0
        found.add((package, core))
    return len(found)


def _model(root: Path) -> str:
    try:
        text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")[:20_000]
    except OSError:
        return _model_elsewhere()
    for key in ("model name", "Model", "Hardware", "cpu model"):
        match = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if match and not match[1].strip().isdigit():
            return " ".join(match[1].split())
    try:  # boards describe themselves in the device tree
        return (root / "proc/device-tree/model").read_text(errors="replace").strip("\0 \n")
    except OSError:
        return _model_elsewhere()


def _model_elsewhere() -> str:
    system = platform.system()
    if system == "Darwin":
        from genai_desktop.engines.telemetry.macos import cpu_model

        return cpu_model() or platform.processor()
    if system == "Windows":
        from genai_desktop.engines.telemetry.windows import cpu_model as windows_model

        return windows_model() or platform.processor()
    return platform.processor() or platform.machine() or "unknown processor"
