"""How much memory there is now, for both sides of a hand-off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from genai_desktop.core.handoff import MemoryPicture
from genai_desktop.core.images import HandoffReport
from genai_desktop.services.memory_broker import MemoryGrant

if TYPE_CHECKING:
    from genai_desktop.services.handoff_ports import Holdings, Llama, System

Resource = Literal["vram", "ram"]


class MemoryReader:
    """Reads, never remembers: memory a minute old is no memory."""

    def __init__(self, system: System, llama: Llama, holdings: Holdings) -> None:
        self._system = system
        self._llama = llama
        self._holdings = holdings

    async def picture(self) -> MemoryPicture:
        """The bottleneck: GPU memory where there is a GPU that the language model uses or could use."""
        ram, vram = await self._free()
        held_ram, held_vram = self._holdings.held_by("llama")
        is_running = self._llama.get_status() in ("running", "starting")
        if vram and not (is_running and self._layers_on_gpu() == 0):
            best = max(range(len(vram)), key=lambda index: vram[index])
            held = held_vram[best] if best < len(held_vram) else 0
            return MemoryPicture("vram", vram[best], held, is_running)
        return MemoryPicture("ram", ram, held_ram, is_running)

    async def free(self, resource: Resource) -> int:
        """Bytes free now."""
        ram, vram = await self._free()
        return max(vram) if resource == "vram" and vram else ram

    async def grant(self, handoff: HandoffReport) -> MemoryGrant:
        ram, vram = await self._free()
        return MemoryGrant(max(vram) if vram else None, ram, handoff)

    def _layers_on_gpu(self) -> int | str | None:
        """As the server said, else as it was asked for; None when nobody knows yet."""
        asked = self._llama.resolved_config
        said = self._llama.get_info().effective.get("offloaded_layers")
        if isinstance(said, int):
            return said
        return asked.gpu_layers if asked is not None else None

    async def _free(self) -> tuple[int, tuple[int, ...]]:
        free = await self._system.free_memory()
        return int(free["ram"]), tuple(int(size) for size in free.get("vram", ()))
