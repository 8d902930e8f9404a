"""States of image generations that are asked for by polling. In memory; results expire."""

from __future__ import annotations

import asyncio
import os
import secrets
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

GenerationStatus = Literal["pending", "in_progress", "complete", "error", "cancelled"]
TERMINAL: frozenset[str] = frozenset({"complete", "error", "cancelled"})
DEFAULT_RESULT_AGE_MS = 300_000
DEFAULT_CLEANUP_INTERVAL_MS = 60_000
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class GenerationState:
    """One generation. Times in milliseconds since the epoch, as the public contract says."""

    id: str
    status: GenerationStatus
    created_at: int
    updated_at: int
    config: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL


def generate_id() -> str:
    """Unique, and sortable by time: "gen_1729612345678_x7k2p9q4m"."""
    return f"gen_{int(time.time() * 1000)}_{''.join(secrets.choice(_ALPHABET) for _ in range(9))}"


class GenerationRegistry:
    """Ages and intervals in milliseconds; the defaults come from IMAGE_RESULT_TTL_MS (5 minutes) and
    IMAGE_CLEANUP_INTERVAL_MS (1 minute). What has not ended never expires.
    """

    def __init__(
        self,
        *,
        max_result_age_ms: int | None = None,
        cleanup_interval_ms: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_result_age_ms = _setting(max_result_age_ms, "IMAGE_RESULT_TTL_MS", DEFAULT_RESULT_AGE_MS)
        self.cleanup_interval_ms = _setting(
            cleanup_interval_ms, "IMAGE_CLEANUP_INTERVAL_MS", DEFAULT_CLEANUP_INTERVAL_MS
        )
        self._clock = clock
        self._states: dict[str, GenerationState] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_destroyed = False

    def create(self, config: Mapping[str, Any]) -> str:
        """A new, pending generation; its id."""
        now = self._now()
        state = GenerationState(generate_id(), "pending", now, now, dict(config))
        self._states[state.id] = state
        self._schedule()
        return state.id

    def get(self, generation_id: str) -> GenerationState | None:
        """None when it never was or has expired."""
        state = self._states.get(generation_id)
        if state is not None and self._has_expired(state, self.max_result_age_ms):
            del self._states[generation_id]
            return None
        return state

    def update(self, generation_id: str, updates: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Change fields of GenerationState; an unknown id is ignored (it may have expired)."""
        state = self._states.get(generation_id)
        if state is None:
            return
        changes = {**(updates or {}), **more}
        self._states[generation_id] = replace(state, **{**changes, "updated_at": self._now()})

    def delete(self, generation_id: str) -> bool:
        return self._states.pop(generation_id, None) is not None

    def get_all_ids(self) -> list[str]:
        return list(self._states)

    def size(self) -> int:
        return len(self._states)

    def cleanup(self, max_age_ms: int | None = None) -> int:
        """Remove what ended more than `max_age_ms` ago; how many."""
        age = self.max_result_age_ms if max_age_ms is None else max_age_ms
        expired = [key for key, state in self._states.items() if self._has_expired(state, age)]
        for key in expired:
            del self._states[key]
        return len(expired)

    def clear(self) -> None:
        self._states.clear()

    def destroy(self) -> None:
        """Stop sweeping and forget everything. Idempotent."""
        self._is_destroyed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.clear()

    # inside -------------------------------------------------------------------------------------------------

    def _has_expired(self, state: GenerationState, age: int) -> bool:
        return state.is_terminal and self._now() - state.updated_at >= age

    def _schedule(self) -> None:
        """Sweep while there is something to sweep, and only in a loop."""
        if self._timer is not None or self._is_destroyed or not self._states:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._timer = loop.call_later(self.cleanup_interval_ms / 1000, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self.cleanup()
        self._schedule()

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _setting(value: int | None, variable: str, default: int) -> int:
    """The argument, else a positive number in the environment, else the default."""
    if value is not None:
        return value
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and 0 < int(text) < 2**31 else default
