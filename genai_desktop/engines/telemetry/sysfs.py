"""AMD and Intel GPUs on Linux from /sys/class/drm (R102)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from genai_desktop.core.hardware import GpuInfo, GpuType
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.vulkan import VulkanProbe

_MAKERS: Mapping[str, GpuType] = {"0x1002": "amd", "0x8086": "intel", "0x10de": "nvidia"}
_MAKER_NAMES: Mapping[GpuType, str] = {"amd": "AMD", "intel": "Intel", "nvidia": "NVIDIA", "apple": "Apple"}
_PCI_NAMES = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids")
_ROCM_LIBRARIES = ("opt/rocm/lib", "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib")
_MAX_VRAM = 1 << 46
# An integrated AMD GPU reserves this little for itself and lives on the machine's memory.
_CARVE_OUT = 1 << 30


@dataclass(frozen=True)
class _Card:
    index: int
    type: GpuType
    folder: Path  # .../cardN/device
    hwmon: Path | None
    has_vram: bool


class SysfsReader:
    """Source of AMD and Intel GPUs below `root` (NVML knows the others better)."""

    name = "sysfs"

    def __init__(self, root: Path = Path("/"), vulkan: VulkanProbe | None = None) -> None:
        self._root = root
        self._vulkan = vulkan or VulkanProbe(root)
        self._cards: tuple[_Card, ...] = ()

    def detect(self) -> tuple[GpuInfo, ...]:
        """AMD and Intel GPUs, in the order of their card numbers."""
        self._cards = self._find()
        return tuple(self._describe(card) for card in self._cards)

    def sample(self) -> tuple[GpuSample, ...]:
        """Readings of the cards that are still there."""
        return tuple(_sample(card) for card in self._cards if (card.folder / "vendor").exists())

    def memory_of(self, pids: Collection[int]) -> Mapping[int, Mapping[int, int]]:
        """Video memory of the processes, from the driver's notes in /proc/PID/fdinfo."""
        held: dict[int, dict[int, int]] = {}
        by_address = {card.folder.resolve().name: card.index for card in self._cards}
        for pid in pids:
            for address, size in _process_memory(self._root / f"proc/{pid}").items():
                if address in by_address:
                    held.setdefault(by_address[address], {})[pid] = size
        return held

    def _find(self) -> tuple[_Card, ...]:
        try:
            entries = [
                e for e in (self._root / "sys/class/drm").iterdir() if re.fullmatch(r"card\d+", e.name)
            ]
        except OSError:
            return ()
        cards: list[_Card] = []
        for entry in sorted(entries, key=lambda e: int(e.name[4:])):
            folder = entry / "device"
            maker = _MAKERS.get(_text(folder / "vendor"))
            if maker in ("amd", "intel"):
                hwmon = next(iter(sorted(folder.glob("hwmon/hwmon*"))), None)
                has_vram = (folder / "mem_info_vram_total").exists()
                cards.append(_Card(len(cards), maker, folder, hwmon, has_vram))
        return tuple(cards)

    def _describe(self, card: _Card) -> GpuInfo:
        total, used = _vram(card)
        driver = _link_name(card.folder / "driver")
        version = _text(self._root / f"sys/module/{driver}/version") if driver else ""
        backends: list[str] = []
        if card.type == "amd" and self._has_rocm():
            backends.append("rocm")
        if self._vulkan.has(card.type):
            backends.append("vulkan")
        is_unified = not card.has_vram if card.type == "intel" else total is not None and total <= _CARVE_OUT
        return GpuInfo(
            index=card.index,
            type=card.type,
            name=self._name(card),
            vram_total=total,
            vram_free=total - used if total is not None and used is not None else None,
            driver=" ".join(part for part in (driver, version) if part) or None,
            backends=tuple(backends),
            source="sysfs",
            is_unified=is_unified,
        )

    def _has_rocm(self) -> bool:
        if not (self._root / "dev/kfd").exists():
            return False
        return any(any((self._root / place).glob("libamdhip64.so*")) for place in _ROCM_LIBRARIES)

    def _name(self, card: _Card) -> str:
        maker = _MAKER_NAMES[card.type]
        own = _text(card.folder / "product_name")
        if own:
            return own if own.lower().startswith(maker.lower()) else f"{maker} {own}"
        vendor, device = _text(card.folder / "vendor")[2:], _text(card.folder / "device")[2:]
        listed = self._listed_name(vendor, device) if re.fullmatch(r"[0-9a-f]{4}", device) else ""
        return f"{maker} {listed or f'GPU {device}'.strip()}"

    def _listed_name(self, vendor: str, device: str) -> str:
        for place in _PCI_NAMES:
            try:
                text = (self._root / place).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            start = text.find(f"\n{vendor}  ")
            if start < 0:
                continue
            end = re.compile(r"^[0-9a-fA-F]", re.MULTILINE).search(text, start + 7)
            block = text[start : end.start() if end else len(text)]
            match = re.search(rf"^\t{device}  (.+)$", block, re.MULTILINE)
            if match:
                return match[1].strip()
        return ""


def _sample(card: _Card) -> GpuSample:
    total, used = _vram(card)
    busy = _number(card.folder / "gpu_busy_percent")
    temperature = power = None
    if card.hwmon is not None:
        temperature = _number(card.hwmon / "temp1_input")
        power = _number(card.hwmon / "power1_average")
        if power is None:
            power = _number(card.hwmon / "power1_input")
    return GpuSample(
        index=card.index,
        vram_used=used,
        vram_total=total,
        load=busy / 100 if busy is not None and 0 <= busy <= 100 else None,
        temperature=temperature / 1000 if temperature is not None and 0 < temperature < 150_000 else None,
        power=power / 1_000_000 if power is not None and 0 <= power < 5_000_000_000 else None,
    )


def _vram(card: _Card) -> tuple[int | None, int | None]:
    """(total, used); Intel's discrete cards tell nothing here."""
    total = _number(card.folder / "mem_info_vram_total")
    used = _number(card.folder / "mem_info_vram_used")
    if total is None or not 0 < total < _MAX_VRAM:
        return None, None
    return total, used if used is not None and 0 <= used <= total else None


def _process_memory(folder: Path) -> dict[str, int]:
    """Bytes in video memory by PCI address; each open device is counted once."""
    held: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    try:
        entries = list((folder / "fd").iterdir())
    except OSError:
        return held
    for entry in entries:
        if not _link_target(entry).startswith("/dev/dri/"):
            continue
        notes = (line.partition(":") for line in _text(folder / "fdinfo" / entry.name).splitlines())
        fields = {key.strip(): value.strip() for key, _, value in notes}
        client = (fields.get("drm-pdev", ""), fields.get("drm-client-id", ""))
        if client in seen:
            continue
        seen.add(client)
        # amdgpu, i915 and xe in their words for memory on the card
        for key in ("drm-memory-vram", "drm-resident-vram0", "drm-total-vram0", "drm-resident-local0"):
            words = fields.get(key, "").split()
            if words and words[0].isdigit():
                unit = {"KiB": 1024, "MiB": 1 << 20}.get(words[1] if len(words) > 1 else "", 1)
                held[client[0]] = held.get(client[0], 0) + int(words[0]) * unit
                break
    return held


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _link_target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _link_name(path: Path) -> str:
    return Path(_link_target(path)).name
