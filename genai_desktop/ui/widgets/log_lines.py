"""The lines of a log and which of them are shown: appended flat, filtered a slice at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_desktop.core.servers import LogEntry

LEVELS = ("debug", "info", "warn", "error")
_RANK = {name: rank for rank, name in enumerate(LEVELS)}


class LogLines:
    """At most `limit` entries; the oldest tenth goes when it is full. `shown(i)` counts filtered entries."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._entries: list[LogEntry] = []
        self._matches: list[int] | None = None  # None: everything is shown
        self._needle = ""
        self._rank = 0
        self._scanned = 0  # entries looked at by the present filter

    def __len__(self) -> int:
        """How many lines are shown."""
        return len(self._entries) if self._matches is None else len(self._matches)

    @property
    def total(self) -> int:
        return len(self._entries)

    @property
    def is_filtering(self) -> bool:
        """There are entries the filter has not looked at yet; call `scan`."""
        return self._matches is not None and self._scanned < len(self._entries)

    def shown(self, index: int) -> LogEntry:
        return self._entries[index if self._matches is None else self._matches[index]]

    def all_shown(self) -> Iterable[LogEntry]:
        """Every line the filter lets through."""
        if self._matches is None:
            return iter(self._entries)
        return (self._entries[index] for index in self._matches)

    def clear(self) -> None:
        self._entries.clear()
        self._scanned = 0
        if self._matches is not None:
            self._matches.clear()

    def append(self, entries: Sequence[LogEntry]) -> int:
        """Add lines; tells how many shown lines fell off the other end."""
        was_complete = not self.is_filtering
        self._entries.extend(entries)
        if was_complete and self._matches is not None:
            self.scan(len(entries))
        return self._trim()

    def _trim(self) -> int:
        excess = len(self._entries) - self._limit
        if excess <= 0:
            return 0
        cut = max(excess, self._limit // 10)
        del self._entries[:cut]
        if self._matches is None:
            return cut
        self._scanned = max(0, self._scanned - cut)
        before = len(self._matches)
        self._matches = [index - cut for index in self._matches if index >= cut]
        return before - len(self._matches)

    def set_filter(self, needle: str, level: str = "debug") -> None:
        """Lines that hold `needle` (case does not matter) and are at least of this level."""
        self._needle, self._rank = needle.casefold(), _RANK.get(level, 0)
        self._scanned = 0
        self._matches = None if not needle and self._rank == 0 else []

    def scan(self, count: int) -> None:
        """Let the filter look at the next `count` entries."""
        if self._matches is None:
            return
        end = min(len(self._entries), self._scanned + count)
        needle, rank = self._needle, self._rank
        for index in range(self._scanned, end):
            entry = self._entries[index]
            if _RANK.get(entry.level, 1) >= rank and (not needle or needle in entry.message.casefold()):
                self._matches.append(index)
        self._scanned = end
