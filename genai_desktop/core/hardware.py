"""What this computer is, as values. Bytes are ints; every fact names its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GpuType = Literal["nvidia", "amd", "apple", "intel"]
Architecture = Literal["x64", "arm64"]


@dataclass(frozen=True)
class CpuInfo:
    """cores: physical; threads: logical processors this process may use."""

    cores: int
    threads: int
    model: str
    architecture: str
    source: str


@dataclass(frozen=True)
class MemoryInfo:
    """Bytes. A container's limit (cgroup v2) counts as the machine's memory; source says so."""

    total: int
    available: int
    used: int
    source: str


@dataclass(frozen=True)
class GpuInfo:
    """One GPU. vram_* are None when nobody tells. backends: of "cuda", "rocm", "vulkan", "metal"."""

    index: int
    type: GpuType
    name: str
    vram_total: int | None
    vram_free: int | None
    driver: str | None
    backends: tuple[str, ...]
    source: str
    cuda_version: str | None = None
    compute_capability: str | None = None
    is_unified: bool = False  # shares the machine's memory (Apple, integrated)

    @property
    def cuda(self) -> bool:
        return "cuda" in self.backends

    @property
    def metal(self) -> bool:
        return "metal" in self.backends

    @property
    def rocm(self) -> bool:
        return "rocm" in self.backends

    @property
    def vulkan(self) -> bool:
        return "vulkan" in self.backends


@dataclass(frozen=True)
class Recommendations:
    """max_model_size: a class such as "7B"; reason: one sentence a person understands."""

    max_model_size: str
    quantizations: tuple[str, ...]
    threads: int
    gpu_layers: int
    reason: str


@dataclass(frozen=True)
class Problem:
    """Something `doctor` found."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class SystemCapabilities:
    """The whole answer of `SystemInfo.detect`. detected_at: seconds since the epoch."""

    cpu: CpuInfo
    memory: MemoryInfo
    gpus: tuple[GpuInfo, ...]
    platform: str  # "linux", "windows", "macos"
    recommendations: Recommendations
    detected_at: float
    problems: tuple[Problem, ...] = ()
