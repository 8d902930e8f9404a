"""GPUs on Windows from the registry of display drivers, which holds the 64-bit memory size.

AdapterRAM of WMI is 32 bits wide and lies above 4 GiB, so it is not asked. The registry does not tell what is
free; the engine's own device list does. Tested against a recorded registry; not run on Windows yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from genai_desktop.core.hardware import GpuInfo, GpuType
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.vulkan import can_load

_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_CPU = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
_MAKERS: Mapping[str, GpuType] = {"ven_1002": "amd", "ven_8086": "intel", "ven_10de": "nvidia"}
_MAX_VRAM = 1 << 46

Registry = Callable[[str], Iterator[tuple[str, Mapping[str, Any]]]]  # path -> (sub-key, its values)


def cpu_model() -> str:
    """ProcessorNameString, or empty."""
    values = _values(_CPU)
    return " ".join(str(values.get("ProcessorNameString", "")).split())


class WindowsReader:
    """Source of AMD and Intel GPUs (NVIDIA's come from NVML)."""

    name = "registry"

    def __init__(
        self,
        registry: Registry | None = None,
        load: Callable[[str], bool] = can_load,
    ) -> None:
        self._registry = registry or _sub_keys
        self._load = load
        self._found: tuple[GpuInfo, ...] = ()

    def detect(self) -> tuple[GpuInfo, ...]:
        """One entry per display driver of AMD or Intel that names a PCI device."""
        has_vulkan = self._load("vulkan-1.dll")
        gpus: list[GpuInfo] = []
        for _, values in self._registry(_CLASS):
            device = str(values.get("MatchingDeviceId", "")).lower()
            maker = next((kind for mark, kind in _MAKERS.items() if mark in device), None)
            if maker not in ("amd", "intel"):
                continue
            name = " ".join(str(values.get("DriverDesc", "")).split()) or f"{maker} GPU"
            total = _size(values.get("HardwareInformation.qwMemorySize"))
            gpus.append(
                GpuInfo(
                    index=len(gpus),
                    type=maker,
                    name=name,
                    vram_total=total,
                    vram_free=None,
                    driver=str(values.get("DriverVersion", "")) or None,
                    backends=("vulkan",) if has_vulkan else (),
                    source="registry",
                    is_unified=total is None or total <= 1 << 30,
                )
            )
        self._found = tuple(gpus)
        return self._found

    def sample(self) -> tuple[GpuSample, ...]:
        """The size of each; the registry knows nothing that changes."""
        return tuple(GpuSample(gpu.index, None, gpu.vram_total) for gpu in self._found)

    def memory_of(self, pids: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Not told without performance counters."""
        del pids
        return {}


def _size(value: Any) -> int | None:
    if isinstance(value, bytes):
        value = int.from_bytes(value[:8], "little")
    return value if isinstance(value, int) and 0 < value < _MAX_VRAM else None


def _winreg() -> Any:
    """The standard library's registry module, or None on other systems."""
    try:
        return importlib.import_module("winreg")
    except ImportError:
        return None


def _values(path: str) -> dict[str, Any]:
    winreg = _winreg()
    if winreg is None:
        return {}
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            count = winreg.QueryInfoKey(key)[1]
            return {name: value for name, value, _ in (winreg.EnumValue(key, i) for i in range(count))}
    except OSError:
        return {}


def _sub_keys(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    winreg = _winreg()
    if winreg is None:
        return
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            names = [winreg.EnumKey(key, i) for i in range(winreg.QueryInfoKey(key)[0])]
    except OSError:
        return
    for name in names:
        if name.isdigit():
            yield name, _values(f"{path}\\{name}")
