"""NVIDIA GPUs through NVML (R102). Nothing here raises for absence; implausible numbers count as not told.

The module that speaks to the driver is a seam: `nvml_module` may be pynvml or anything with the same
functions, such as a replayed recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from genai_desktop.core.hardware import GpuInfo
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.vulkan import VulkanProbe

_MAX_VRAM = 1 << 46  # 64 TiB: larger is a driver's way of saying that it does not know
_MAX_GPUS = 256
_TEMPERATURE_GPU = 0  # NVML_TEMPERATURE_GPU


class NvmlReader:
    """Source of NVIDIA GPUs. Calls may hang: run them through `Gpus`, which bounds them."""

    name = "NVML"

    def __init__(self, nvml_module: Any = None, vulkan: VulkanProbe | None = None) -> None:
        self._given = nvml_module
        self._vulkan = vulkan or VulkanProbe()
        self._nvml: Any = None
        self._handles: dict[int, Any] = {}

    def detect(self) -> tuple[GpuInfo, ...]:
        """All GPUs the driver lists; empty when there is no driver. Raises nothing the driver raises."""
        if not self._is_well():
            self.close()  # a fresh start also finds a GPU that came back
            if not self._open():
                return ()
        nvml = self._nvml
        driver = _text(_ask(nvml.nvmlSystemGetDriverVersion)) or None
        cuda = _cuda_version(_ask(nvml.nvmlSystemGetCudaDriverVersion_v2))
        gpus: list[GpuInfo] = []
        for index, handle in sorted(self._handles.items()):
            total, free, _ = _memory(nvml, handle)
            capability = _ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
            backends: list[str] = ["cuda"] if cuda else []
            if self._vulkan.has("nvidia"):
                backends.append("vulkan")
            gpus.append(
                GpuInfo(
                    index=index,
                    type="nvidia",
                    name=_text(_ask(nvml.nvmlDeviceGetName, handle)) or f"NVIDIA GPU {index}",
                    vram_total=total,
                    vram_free=free,
                    driver=driver,
                    backends=tuple(backends),
                    source="NVML",
                    cuda_version=cuda,
                    compute_capability=_capability(capability),
                )
            )
        return tuple(gpus)

    def sample(self) -> tuple[GpuSample, ...]:
        """Readings of the GPUs that answer; a lost one is simply not in the list."""
        if self._nvml is None and not self._open():
            return ()
        nvml = self._nvml
        samples: list[GpuSample] = []
        for index, handle in sorted(self._handles.items()):
            try:
                nvml.nvmlDeviceGetMemoryInfo(handle)
            except Exception as error:  # noqa: BLE001 - NVML has errors of its own; only their meaning matters
                if _is_lost(error):
                    continue
            total, _, used = _memory(nvml, handle)
            rates = _ask(nvml.nvmlDeviceGetUtilizationRates, handle)
            watts = _within(_ask(nvml.nvmlDeviceGetPowerUsage, handle), 0, 5_000_000)
            load = _within(getattr(rates, "gpu", None), 0, 100)
            samples.append(
                GpuSample(
                    index=index,
                    vram_used=used,
                    vram_total=total,
                    load=None if load is None else load / 100,
                    temperature=_within(
                        _ask(nvml.nvmlDeviceGetTemperature, handle, _TEMPERATURE_GPU), 1, 150
                    ),
                    power=None if watts is None else watts / 1000,
                )
            )
        return tuple(samples)

    def memory_of(self, pids: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Bytes held, by GPU index and process; nothing for GPUs that do not tell."""
        held: dict[int, dict[int, int]] = {}
        nvml = self._nvml
        if nvml is None:
            return held
        for index, handle in self._handles.items():
            by_pid: dict[int, int] = {}
            for function in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
                # a process that computes and draws is in both lists with the same number
                for process in _ask(getattr(nvml, function, None), handle) or ():
                    size = _within(getattr(process, "usedGpuMemory", None), 0, _MAX_VRAM)
                    pid = getattr(process, "pid", None)
                    if size is not None and isinstance(pid, int) and pid in pids:
                        by_pid[pid] = max(by_pid.get(pid, 0), int(size))
            if by_pid:
                held[index] = by_pid
        return held

    def close(self) -> None:
        """Let go of the driver; the next reading opens it again."""
        if self._nvml is not None:
            _ask(self._nvml.nvmlShutdown)
            self._nvml = None
            self._handles = {}

    def _is_well(self) -> bool:
        """Open, and every GPU the driver counts answers."""
        if self._nvml is None:
            return False
        count = _ask(self._nvml.nvmlDeviceGetCount)
        return bool(count) and len(self.sample()) == len(self._handles) == count

    def _open(self) -> bool:
        nvml: Any = self._given
        if nvml is None:
            try:
                import pynvml
            except ImportError:
                return False
            nvml = pynvml
        try:
            nvml.nvmlInit()
        except Exception:  # noqa: BLE001 - no driver, no permission, version mismatch: there is no NVML
            return False
        count = _ask(nvml.nvmlDeviceGetCount)
        handles: dict[int, Any] = {}
        for index in range(min(count, _MAX_GPUS) if isinstance(count, int) and count > 0 else 0):
            handle = _ask(nvml.nvmlDeviceGetHandleByIndex, index)
            if handle is not None:
                handles[index] = handle
        self._nvml, self._handles = nvml, handles
        return True


def _ask(function: Callable[..., Any] | None, *arguments: Any) -> Any:
    """The answer, or None: "not supported", "[N/A]", "no permission" are all no answer."""
    if function is None:
        return None
    try:
        return function(*arguments)
    except Exception:  # noqa: BLE001 - a lost GPU is noticed by its memory reading
        return None


def _is_lost(error: Exception) -> bool:
    name = type(error).__name__
    return any(
        mark in name for mark in ("GpuIsLost", "ResetRequired", "Uninitialized", "NotFound", "Unknown")
    )


def _within(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if low <= value <= high else None


def _memory(nvml: Any, handle: Any) -> tuple[int | None, int | None, int | None]:
    """(total, free, used) in bytes, each None when unknown or impossible."""
    info = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    total = _within(getattr(info, "total", None), 1, _MAX_VRAM)
    if total is None:
        return None, None, None
    free = _within(getattr(info, "free", None), 0, total)
    used = _within(getattr(info, "used", None), 0, total)
    if free is None and used is not None:
        free = total - used
    if used is None and free is not None:
        used = total - free
    return int(total), None if free is None else int(free), None if used is None else int(used)


def _cuda_version(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1_000 <= value <= 999_999:
        return None
    return f"{value // 1000}.{value % 1000 // 10}"


def _capability(value: Any) -> str | None:
    try:
        major, minor = value
    except (TypeError, ValueError):
        return None
    return f"{major}.{minor}" if isinstance(major, int) and isinstance(minor, int) else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return " ".join(value.split())[:120] if isinstance(value, str) else ""
