"""Which bytes of a file are there, which are on their way, and which are free to be taken."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

Span = tuple[int, int | None, int]  # start, end (None: unknown), position: bytes start..position are there


@dataclass(eq=False, slots=True)
class Segment:
    """A stretch of the file that one connection fills from its start. Only the SegmentMap changes it."""

    start: int
    end: int | None
    position: int
    pending: int = 0  # bytes after `position` that are being written
    is_taken: bool = False

    @property
    def is_done(self) -> bool:
        return self.position == self.end

    @property
    def untouched(self) -> int:
        """Bytes that are neither there nor being written; 0 where nobody knows."""
        return 0 if self.end is None else self.end - self.position - self.pending


class SegmentMap:
    """Segments that cover a file without gaps or overlaps, in order. Safe to use from several threads."""

    def __init__(self, size: int | None, spans: Iterable[Span] = ()) -> None:
        self._guard = threading.Lock()
        self._segments: list[Segment] = []
        self._done = 0
        self._received = 0
        self._set([Segment(*span) for span in spans] or [Segment(0, size, 0)])

    @staticmethod
    def is_sound(size: int | None, spans: tuple[Span, ...]) -> bool:
        """Do the spans cover a file of this size, each byte once?"""
        reached: int | None = 0
        for start, end, position in spans:
            if start != reached or not start <= position or (end is not None and position > end):
                return False
            if end is not None and end < start:
                return False
            reached = end
        return bool(spans) and reached == size

    @property
    def done(self) -> int:
        return self._done

    @property
    def received(self) -> int:
        """Bytes committed since this map was made; those before a restart count as well."""
        return self._received

    @property
    def is_complete(self) -> bool:
        with self._guard:
            return all(s.is_done for s in self._segments)

    @property
    def open_segments(self) -> int:
        with self._guard:
            return sum(not s.is_done for s in self._segments)

    @property
    def watermark(self) -> int:
        """All bytes below it are there."""
        with self._guard:
            return self._watermark()

    def _watermark(self) -> int:
        return self._segments[0].position  # a finished one merges with its neighbour

    def spans(self) -> tuple[Span, ...]:
        """For the journal. Bytes being written at this moment do not count."""
        with self._guard:
            return tuple((s.start, s.end, s.position) for s in self._segments)

    def restart(self, size: int | None) -> None:
        """Nothing is there. Nobody may hold a segment."""
        with self._guard:
            self._set([Segment(0, size, 0)])

    def claim(self) -> Segment | None:
        """The first segment that is unfinished and nobody's."""
        with self._guard:
            for segment in self._segments:
                if not segment.is_taken and not segment.is_done:
                    segment.is_taken = True
                    return segment
            return None

    def steal(self, least: int) -> Segment | None:
        """The second half of what is left of the largest segment; None when all have less than `least`."""
        with self._guard:
            index = max(range(len(self._segments)), key=lambda number: self._segments[number].untouched)
            victim = self._segments[index]
            if victim.end is None or victim.untouched < max(least, 2):
                return None
            middle = victim.end - victim.untouched // 2
            stolen = Segment(middle, victim.end, middle, is_taken=True)
            victim.end = middle
            self._segments.insert(index + 1, stolen)
            return stolen

    def grant(self, segment: Segment, count: int) -> int:
        """How many of `count` bytes may be written at the segment's position; nobody else will touch them."""
        with self._guard:
            if segment.end is not None:
                count = min(count, segment.end - segment.position)
            segment.pending = count
            return count

    def commit(self, segment: Segment) -> int:
        """What was granted is written. The watermark."""
        with self._guard:
            count, segment.pending = segment.pending, 0
            segment.position += count
            self._done += count
            self._received += count
            if segment.is_done:
                self._merge()
            return self._watermark()

    def release(self, segment: Segment) -> None:
        """Nobody fills it any more; what was granted and not committed is not there."""
        with self._guard:
            segment.pending = 0
            segment.is_taken = False

    def close(self, segment: Segment) -> None:
        """The file ends where the segment stands: its size was not known before."""
        with self._guard:
            segment.end = segment.position
            self._merge()

    def _set(self, segments: list[Segment]) -> None:
        self._segments = segments
        self._done = sum(s.position - s.start for s in segments)
        self._merge()

    def _merge(self) -> None:
        merged: list[Segment] = []
        for segment in self._segments:
            if merged and merged[-1].is_done:
                segment.start = merged.pop().start
            merged.append(segment)
        self._segments = merged
