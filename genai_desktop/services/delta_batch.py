"""Tokens come faster than a screen is painted: many chunks become few deltas, and few writes to the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from genai_desktop.core.chat import ChatDelta, InferenceStats
from genai_desktop.core.errors import GenaiError

_log = logging.getLogger(__name__)

EMIT_INTERVAL = 0.036  # seconds: no second holds more than 30 emissions, first and last of a reply included
STORE_INTERVAL = 0.5  # seconds: what a crash can cost


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Timer(Protocol):
    """The time of a loop, and its alarm."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle: ...


class LoopTimer:
    """The running loop's own."""

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, delay: float, callback: Callable[[], None]) -> TimerHandle:
        return asyncio.get_running_loop().call_later(delay, callback)


class DeltaBatch:
    """Hands on the pieces of one reply, joined, at most every EMIT_INTERVAL; the first word at once."""

    def __init__(
        self, conversation_id: str, message_id: str, emit: Callable[[ChatDelta], None], timer: Timer
    ) -> None:
        self._ids = (conversation_id, message_id)
        self._emit = emit
        self._timer = timer
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._progress: float | None = None
        self._last = float("-inf")
        self._has_text = False
        self._alarm: TimerHandle | None = None
        self._emitted_content: list[str] = []
        self._emitted_reasoning: list[str] = []

    @property
    def emitted(self) -> tuple[str, str]:
        """Content and reasoning handed on so far: what a view that listened from the start shows."""
        return "".join(self._emitted_content), "".join(self._emitted_reasoning)

    def add(self, content: str = "", reasoning: str = "", prompt_progress: float | None = None) -> None:
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        if content or reasoning:
            self._progress = None
            if not self._has_text:  # nobody waits for the first word because a progress bar moved
                self._has_text = True
                self._last = float("-inf")
                if self._alarm is not None:
                    self._alarm.cancel()
                    self._alarm = None
        elif prompt_progress is not None:
            self._progress = prompt_progress
        if self._alarm is None:
            self._when_due()

    def finish(self, finish_reason: str = "", stats: InferenceStats | None = None) -> None:
        """Hand on the rest at once, with what only the end knows. Nothing comes after it."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._flush(finish_reason, stats)

    def _when_due(self) -> None:
        """Flush now, or set the alarm (again: an alarm may ring a little early)."""
        self._alarm = None
        wait = self._last + EMIT_INTERVAL - self._timer.time()
        if wait > 0:
            self._alarm = self._timer.call_later(wait, self._when_due)
        else:
            self._flush()

    def _flush(self, finish_reason: str = "", stats: InferenceStats | None = None) -> None:
        content, reasoning, progress = "".join(self._content), "".join(self._reasoning), self._progress
        self._content.clear()
        self._reasoning.clear()
        self._progress = None
        if not (content or reasoning or finish_reason or stats or progress is not None):
            return
        self._last = self._timer.time()
        self._emitted_content.append(content)
        self._emitted_reasoning.append(reasoning)
        self._emit(ChatDelta(*self._ids, content, reasoning, progress, finish_reason, stats))


class PartWriter:
    """Stores the pieces of one reply as they come, at most every STORE_INTERVAL.

    A write that fails is repeated with the next one; `error` says so meanwhile.
    """

    def __init__(self, write: Callable[[str, str], Awaitable[None]], timer: Timer) -> None:
        self._write = write
        self._timer = timer
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._last = float("-inf")
        self._alarm: TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_closed = False
        self.error: GenaiError | None = None

    def add(self, content: str, reasoning: str) -> None:
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        self._schedule()

    async def close(self) -> None:
        """No write begins after this, and none is under way."""
        self._is_closed = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def _schedule(self) -> None:
        if self._alarm is not None or self._writing is not None or self._is_closed:
            return
        if self._content or self._reasoning:
            wait = max(0.0, self._last + STORE_INTERVAL - self._timer.time())
            self._alarm = self._timer.call_later(wait, self._begin)

    def _begin(self) -> None:
        self._alarm = None
        self._last = self._timer.time()
        self._writing = asyncio.ensure_future(self._store())

    async def _store(self) -> None:
        content, reasoning = "".join(self._content), "".join(self._reasoning)
        self._content.clear()
        self._reasoning.clear()
        try:
            await self._write(content, reasoning)
            self.error = None
        except GenaiError as error:
            _log.warning("a part of a reply could not be stored: %s", error.message)
            self.error = error
            self._content.insert(0, content)
            self._reasoning.insert(0, reasoning)
        finally:
            self._writing = None
            self._schedule()
