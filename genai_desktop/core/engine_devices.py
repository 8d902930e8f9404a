"""The device list an engine prints (`--list-devices`), which settles what is usable (R102)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from genai_desktop.core.hardware import GpuInfo, GpuType

_LINE: Final = re.compile(
    r"^\s*(?P<backend>CUDA|Vulkan|ROCm|HIP|MTL|Metal|SYCL)(?P<number>\d*)\s*[:\t]\s*(?P<name>.*?)"
    r"(?:\s*\((?P<total>\d+) MiB(?:, (?P<free>\d+) MiB free)?\))?\s*$",
    re.IGNORECASE,
)
_BACKENDS: Final = {
    "cuda": "cuda", "vulkan": "vulkan", "rocm": "rocm", "hip": "rocm", "mtl": "metal", "metal": "metal",
    "sycl": "sycl",
}  # fmt: skip
_SOFTWARE: Final = ("llvmpipe", "swiftshader", "lavapipe")
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class EngineDevice:
    """One device as the engine sees it. Bytes; 0 where it does not tell."""

    backend: str
    name: str
    total: int = 0
    free: int = 0


def parse_devices(lines: Iterable[str]) -> tuple[EngineDevice, ...]:
    """GPUs among the lines; processors, software renderers and noise are left out."""
    found: list[EngineDevice] = []
    for line in lines:
        match = _LINE.match(line)
        if match is None or any(mark in match["name"].lower() for mark in _SOFTWARE):
            continue
        total, free = int(match["total"] or 0) * _MIB, int(match["free"] or 0) * _MIB
        found.append(EngineDevice(_BACKENDS[match["backend"].lower()], match["name"].strip(), total, free))
    return tuple(found)


def apply_devices(gpus: Sequence[GpuInfo], devices: Sequence[EngineDevice]) -> tuple[GpuInfo, ...]:
    """The GPUs with the backends that the engine really offers, and those only the engine knows."""
    left = list(devices)
    answer: list[GpuInfo] = []
    for gpu in gpus:
        own = _matching(gpu, left)
        for device in own:
            left.remove(device)
        known = own[0] if own else None
        answer.append(
            replace(
                gpu,
                backends=tuple(dict.fromkeys(device.backend for device in own)),
                vram_total=gpu.vram_total or (known.total if known and known.total else None),
                vram_free=gpu.vram_free
                if gpu.vram_free is not None
                else (known.free if known and known.total else None),
                source=f"{gpu.source}, engine",
            )
        )
    for device in left:
        answer.append(
            GpuInfo(
                index=len(answer),
                type=_type(device),
                name=device.name or device.backend,
                vram_total=device.total or None,
                vram_free=device.free if device.total else None,
                driver=None,
                backends=(device.backend,),
                source="engine",
            )
        )
    return tuple(answer)


def _matching(gpu: GpuInfo, devices: Sequence[EngineDevice]) -> list[EngineDevice]:
    """The engine's devices for one GPU, at most one per backend."""
    own: dict[str, EngineDevice] = {}
    for device in devices:
        if device.backend not in own and (_same_name(gpu.name, device.name) or _same_size(gpu, device)):
            own[device.backend] = device
    return list(own.values())


def _same_name(one: str, other: str) -> bool:
    a, b = (
        set(re.findall(r"[a-z0-9]+", name.lower())) - {"nvidia", "amd", "intel", "gpu", "r", "tm"}
        for name in (one, other)
    )
    return bool(a and b) and (a <= b or b <= a)


def _same_size(gpu: GpuInfo, device: EngineDevice) -> bool:
    if not gpu.vram_total or not device.total or gpu.type != _type(device):
        return False
    return abs(gpu.vram_total - device.total) <= gpu.vram_total // 20


def _type(device: EngineDevice) -> GpuType:
    name = device.name.lower()
    if device.backend == "metal" or "apple" in name:
        return "apple"
    if device.backend == "cuda" or "nvidia" in name or "geforce" in name:
        return "nvidia"
    return "intel" if "intel" in name or device.backend == "sycl" else "amd"
