"""Apple computers: one GPU that shares the machine's memory.

Written from documentation; not run on a Mac yet.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Callable, Collection, Mapping

import psutil

from genai_desktop.core.hardware import GpuInfo
from genai_desktop.core.telemetry import GpuSample

_LARGE = 36 << 30


def sysctl_text(name: str) -> str:
    """A text value of sysctl, or empty."""
    raw = _sysctl(name)
    return raw.rstrip(b"\0").decode("utf-8", "replace") if raw else ""


def sysctl_number(name: str) -> int | None:
    """A whole-number value of sysctl, or None."""
    raw = _sysctl(name)
    return int.from_bytes(raw, "little") if raw and len(raw) in (4, 8) else None


def cpu_model() -> str:
    """For example "Apple M3 Max"."""
    return sysctl_text("machdep.cpu.brand_string")


class AppleReader:
    """Source of Apple's GPU.

    Memory for it: what Metal recommends, two thirds to three quarters of the machine's.
    """

    name = "Metal"

    def __init__(
        self,
        machine: str = "",
        text: Callable[[str], str] = sysctl_text,
        number: Callable[[str], int | None] = sysctl_number,
    ) -> None:
        self._machine = machine or platform.machine()
        self._text = text
        self._number = number

    def detect(self) -> tuple[GpuInfo, ...]:
        """The one GPU of an Apple-silicon Mac; Intel Macs have none that the engines use."""
        if self._machine != "arm64":
            return ()
        budget, free = self._budget()
        return (
            GpuInfo(
                index=0,
                type="apple",
                name=self._text("machdep.cpu.brand_string") or "Apple GPU",
                vram_total=budget,
                vram_free=free,
                driver=f"macOS {platform.mac_ver()[0]}".strip(),
                backends=("metal",),
                source="sysctl",
                is_unified=True,
            ),
        )

    def sample(self) -> tuple[GpuSample, ...]:
        if self._machine != "arm64":
            return ()
        budget, free = self._budget()
        return (GpuSample(0, budget - free, budget),)

    def memory_of(self, pids: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Nobody tells per process."""
        del pids
        return {}

    def _budget(self) -> tuple[int, int]:
        """(what the GPU may hold, what of it is free), bytes."""
        memory = psutil.virtual_memory()
        total = int(memory.total)
        limit = self._number("iogpu.wired_limit_mb") or 0  # 0: the system's own rule
        budget = (
            limit << 20 if 0 < limit << 20 <= total else total * 3 // 4 if total > _LARGE else total * 2 // 3
        )
        return budget, min(budget, int(memory.available))


def _sysctl(name: str) -> bytes:
    library = ctypes.util.find_library("c")
    if not library or platform.system() != "Darwin":
        return b""
    libc = ctypes.CDLL(library)
    size = ctypes.c_size_t(0)
    encoded = name.encode()
    if libc.sysctlbyname(encoded, None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0 or size.value == 0:
        return b""
    buffer = ctypes.create_string_buffer(size.value)
    if libc.sysctlbyname(encoded, buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return b""
    return buffer.raw[: size.value]
