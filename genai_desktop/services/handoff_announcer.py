"""Tells everybody how a hand-off stands, with an estimate that gets better while the picture is painted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import ImageProgress

if TYPE_CHECKING:
    from genai_desktop.services.handoff_ports import Conversations
    from genai_desktop.services.llm_suspension import Phase

REASON = "The language model has stepped aside for a picture."
_INTERVAL = 1.0  # seconds between two better estimates


class HandoffAnnouncer:
    """One place for what "state_changed" says. tell: gets {"suspended", "eta", "phase", "error"}."""

    def __init__(
        self,
        conversations: Conversations,
        *,
        tell: Callable[[dict[str, Any]], None],
        reload_seconds: Callable[[], float | None],
        has_waiting: Callable[[], bool],
    ) -> None:
        self._conversations = conversations
        self._tell = tell
        self._reload_seconds = reload_seconds
        self._has_waiting = has_waiting
        self._until: float | None = None
        self._last = float("-inf")
        self.phase: Phase = "running"
        self.error: GenaiError | None = None
        self.is_away = False

    def leave(self, seconds: float | None) -> None:
        """It goes; seconds: until it is back, None when nobody knows."""
        self.is_away = True
        self.error = None
        self._until = None if seconds is None else time.monotonic() + seconds

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        if phase not in ("running", "failed"):  # the end is told once, with everything known
            self.tell()

    def arrive(self, error: GenaiError | None) -> None:
        """It is back, or did not come back: then it counts as away until somebody does something."""
        self.error = error
        self.is_away = error is not None
        self.phase = "running" if error is None else "failed"
        self.tell()

    def tell(self) -> None:
        eta = None
        if self.is_away and self.error is None and self._until is not None:
            eta = max(0.0, self._until - time.monotonic())
        self._tell(
            {
                "suspended": self.is_away,
                "eta": eta,
                "phase": self.phase,
                "error": self.error.to_dict() if self.error is not None else None,
            }
        )

    def follow(self, progress: ImageProgress) -> None:
        """What is painted now knows best when it will be done."""
        now = time.monotonic()
        reload = self._reload_seconds()
        if self.phase != "suspended" or not self.is_away or now - self._last < _INTERVAL:
            return
        if progress.eta is None or reload is None or self._has_waiting():
            return
        self._last = now
        self._until = now + progress.eta + reload
        self._conversations.hold(REASON, progress.eta + reload)
        self.tell()
