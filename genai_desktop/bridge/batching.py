"""High-rate streams become few signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Batcher:
    """Collects values in the service thread; hands them over as one tuple, once per `interval` seconds."""

    def __init__(self, deliver: Callable[[tuple[Any, ...]], None], interval: float) -> None:
        self._deliver = deliver
        self._interval = interval
        self._values: list[Any] = []
        self._is_scheduled = False

    def add(self, value: Any) -> None:
        """Call on the loop thread."""
        self._values.append(value)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_later(self._interval, self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        values, self._values = tuple(self._values), []
        if values:
            self._deliver(values)
