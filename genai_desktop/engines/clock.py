"""Time as something that can be handed in, so that back-off and watchdogs are tested without waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds throughout."""

    def time(self) -> float:
        """Since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """For durations."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The computer's own."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
