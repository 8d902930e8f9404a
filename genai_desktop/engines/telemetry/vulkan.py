"""Is there a Vulkan loader, and a driver file for this maker of GPUs? Nothing is initialised to find out."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from genai_desktop.core.hardware import GpuType

_DRIVER_FOLDERS = ("usr/share/vulkan/icd.d", "usr/local/share/vulkan/icd.d", "etc/vulkan/icd.d")
_MAKERS: Mapping[GpuType, tuple[str, ...]] = {
    "nvidia": ("nvidia", "nouveau"),
    "amd": ("radeon", "amd"),
    "intel": ("intel",),
    "apple": ("moltenvk",),
}


def can_load(name: str) -> bool:
    """True when the dynamic linker finds and loads the library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


class VulkanProbe:
    """Answers for each maker; both questions are asked once."""

    def __init__(
        self,
        root: Path = Path("/"),
        load: Callable[[str], bool] = can_load,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._load = load
        self._environment = os.environ if environment is None else environment
        self._has_loader: bool | None = None

    def has(self, maker: GpuType) -> bool:
        """A loader and a driver description of that maker exist."""
        if not any(mark in name for mark in _MAKERS[maker] for name in self._drivers()):
            return False
        if self._has_loader is None:
            name = "vulkan-1.dll" if sys.platform == "win32" else "libvulkan.so.1"
            self._has_loader = self._load(name)
        return self._has_loader

    def _drivers(self) -> list[str]:
        named = self._environment.get("VK_DRIVER_FILES") or self._environment.get("VK_ICD_FILENAMES")
        if named:
            return [Path(path).name.lower() for path in named.split(os.pathsep)]
        names: list[str] = []
        for folder in _DRIVER_FOLDERS:
            try:
                names += [entry.name.lower() for entry in (self._root / folder).iterdir()]
            except OSError:
                continue
        return [name for name in names if name.endswith(".json")]
