"""Which models suit this computer in general (R106). For a model at hand, `placement` knows better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from genai_desktop.core.hardware import CpuInfo, GpuInfo, MemoryInfo, Recommendations
from genai_desktop.core.placement import Machine

QUALITY: Final = ("Q8_0", "Q6_K", "Q5_K_M")
BALANCED: Final = ("Q5_K_M", "Q4_K_M")
COMPACT: Final = ("Q4_K_M", "Q4_K_S", "Q3_K_M")
ALL_LAYERS: Final = 999  # more than any model has
_GIB: Final = 1 << 30
_Rows = tuple[tuple[int, str, tuple[str, ...]], ...]
# The floor: (GiB, class, quantizations) by total memory, largest first (anchors: genai-electron 1.1).
_BY_VRAM: Final[_Rows] = ((24, "70B", BALANCED), (16, "34B", BALANCED))
_BY_RAM: Final[_Rows] = ((32, "34B", COMPACT), (16, "13B", BALANCED), (8, "7B", BALANCED), (0, "7B", COMPACT))
# Billions of weights of the classes people name, smallest first.
_CLASSES: Final = (1, 3, 7, 13, 34, 70, 120, 235, 405)
# Bytes per weight at Q4_K_M, with cache and work buffers for 8k tokens on top.
_BYTES_PER_WEIGHT: Final = 0.6
_OVERHEAD: Final = 1.15


def recommend(cpu: CpuInfo, memory: MemoryInfo, gpus: Sequence[GpuInfo]) -> Recommendations:
    """A class of models, quantizations for it, threads and GPU layers, with the reason in a sentence.

    Memory is "about 16 GB" from 15 GB on: firmware and drivers keep a part for themselves.
    """
    usable = [gpu for gpu in gpus if gpu.backends and gpu.vram_total]
    vram_total = sum(gpu.vram_total or 0 for gpu in usable)
    vram_free = sum(free_vram(gpu) for gpu in usable)
    size, quantizations = _floor(vram_total, memory.total)
    machine = Machine(memory.available, tuple(free_vram(gpu) for gpu in usable))
    by_free = _largest(max(machine.usable_vram, machine.usable_ram))
    if by_free > int(size[:-1]):
        size, quantizations = f"{by_free}B", BALANCED
    if vram_free >= 2 * _weights(int(size[:-1])):
        quantizations = QUALITY
    return Recommendations(
        max_model_size=size,
        quantizations=quantizations,
        threads=max(1, cpu.cores),
        gpu_layers=ALL_LAYERS if usable else 0,
        reason=_reason(size, usable, vram_total, memory),
    )


def free_vram(gpu: GpuInfo) -> int:
    """Bytes free on a GPU; where nobody tells, its size less a gigabyte."""
    if gpu.vram_free is not None:
        return gpu.vram_free
    return max(0, (gpu.vram_total or 0) - _GIB)


def _floor(vram: int, ram: int) -> tuple[str, tuple[str, ...]]:
    for memory, rows in ((vram, _BY_VRAM), (ram, _BY_RAM)):
        for gib, size, quantizations in rows:
            if memory >= (gib - 1) * _GIB:
                return size, quantizations
    return "7B", COMPACT


def _weights(billions: int) -> float:
    return billions * 1e9 * _BYTES_PER_WEIGHT * _OVERHEAD


def _largest(free: int) -> int:
    return max((size for size in _CLASSES if _weights(size) <= free), default=1)


def _reason(size: str, gpus: Sequence[GpuInfo], vram: int, memory: MemoryInfo) -> str:
    if gpus:
        names = gpus[0].name if len(gpus) == 1 else f"{len(gpus)} GPUs"
        return f"{names} with {vram / _GIB:.0f} GB: models up to about {size} run well."
    ram = f"{memory.total / _GIB:.0f} GB of RAM"
    return f"No usable GPU; {ram}: models up to about {size} run on the processor, small ones comfortably."
