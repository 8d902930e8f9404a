"""How fast bytes arrive, and when they will all be there."""

from __future__ import annotations

from collections import deque

from genai_desktop.core.jobs import Progress

_WINDOW = 5.0  # seconds the speed is averaged over


class Meter:
    """Counts bytes over time. Times are monotonic seconds, given by the caller."""

    def __init__(self, now: float, done: int) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, done)])

    def restart(self, now: float, done: int) -> None:
        self._samples = deque([(now, done)])

    def progress(self, now: float, done: int, total: int | None, phase: str) -> Progress:
        """speed is None until there is something to tell; eta never infinite."""
        samples = self._samples
        samples.append((now, done))
        while len(samples) > 2 and samples[1][0] <= now - _WINDOW:
            samples.popleft()
        seconds = now - samples[0][0]
        gained = done - samples[0][1]
        speed = gained / seconds if seconds >= 0.05 and gained >= 0 else None
        eta = None
        if total is not None and speed:
            eta = max(0.0, (total - done) / speed)
        return Progress(done, total, "bytes", phase, speed, eta)


class SlowGuard:
    """Notices a connection that is alive but useless."""

    def __init__(self, now: float, done: int, bytes_per_second: float, seconds: float) -> None:
        self._since = now
        self._done = done
        self._least = bytes_per_second * seconds
        self._seconds = seconds

    def is_too_slow(self, now: float, done: int) -> bool:
        """Called often; judges once per period."""
        if now - self._since < self._seconds:
            return False
        slow = done - self._done < self._least
        self._since, self._done = now, done
        return slow
