"""Who makes room for an image job: the port between the image queue and the orchestrator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from genai_desktop.core.images import HandoffReport, ImageJob


@dataclass(frozen=True)
class MemoryGrant:
    """What a job may use. vram_free None: no GPU. handoff: what making room cost so far."""

    vram_free: int | None = None
    ram_free: int = 2**62
    handoff: HandoffReport = field(default_factory=HandoffReport)


class MemoryBroker(Protocol):
    """Every engine run happens inside `memory_for`."""

    def memory_for(self, job: ImageJob) -> AbstractAsyncContextManager[MemoryGrant]:
        """Make room, lend it, take it back. Cancelling it while it makes room undoes what was done."""
        ...

    def idle(self) -> None:
        """Nothing is painted and nothing waits: whatever was put aside may come back."""


class AmpleMemory:
    """For a program without a language model: there is always room."""

    @asynccontextmanager
    async def memory_for(self, _job: ImageJob) -> AsyncIterator[MemoryGrant]:
        yield MemoryGrant()

    def idle(self) -> None:
        return
