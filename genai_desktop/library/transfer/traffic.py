"""What all transfers of an engine share: bandwidth, connections per host, and the pause of everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_SLICE = 0.05  # seconds after which a wait looks whether it is still wanted
_BURST = 0.1  # seconds of the limit that may be saved up


class Throttle:
    """A token bucket. None: no limit. Whoever waits when the limit changes goes on at once."""

    def __init__(self, bytes_per_second: int | None = None) -> None:
        self._condition = threading.Condition()
        self._limit: int | None = None
        self._balance = 0.0
        self._filled_at = 0.0
        self._generation = 0
        self.set_limit(bytes_per_second)

    @property
    def limit(self) -> int | None:
        return self._limit

    def set_limit(self, bytes_per_second: int | None) -> None:
        """Raises ValueError unless None or positive."""
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("a limit is positive, or None")
        with self._condition:
            self._limit = bytes_per_second
            self._balance = 0.0
            self._filled_at = time.monotonic()
            self._generation += 1
            self._condition.notify_all()

    def take(self, count: int, is_over: Callable[[], bool]) -> float:
        """Wait until `count` bytes more are within the limit, or `is_over`. Seconds spent waiting."""
        if self._limit is None:  # without the lock: this is asked for every piece
            return 0.0
        with self._condition:
            if (limit := self.limit) is None:
                return 0.0
            begun = now = time.monotonic()
            earned = (now - self._filled_at) * limit
            self._balance = min(self._balance + earned, limit * _BURST) - count
            self._filled_at = now
            due, generation = now - self._balance / limit, self._generation
            while now < due and generation == self._generation and not is_over():
                self._condition.wait(min(_SLICE, due - now))
                now = time.monotonic()
            return now - begun


class Hosts:
    """Shares the connections a host may get among the transfers from it, first come first."""

    def __init__(self, limit: int) -> None:
        self._guard = threading.Lock()
        self._limit = limit
        self._members: dict[str, list[object]] = {}

    def join(self, host: str, member: object) -> None:
        """A member is of one host at a time."""
        with self._guard:
            if not any(m is member for m in self._members.get(host, ())):
                self._drop(member)
                self._members.setdefault(host, []).append(member)

    def leave(self, member: object) -> None:
        """Idempotent."""
        with self._guard:
            self._drop(member)

    def allowance(self, member: object) -> int:
        """Connections the member may have now; 0: it has to wait."""
        with self._guard:
            for members in self._members.values():
                for index, other in enumerate(members):
                    if other is member:
                        share, rest = divmod(self._limit, len(members))
                        return share + (index < rest)
        return 0

    def _drop(self, member: object) -> None:
        for host, members in list(self._members.items()):
            self._members[host] = [m for m in members if m is not member]
            if not self._members[host]:
                del self._members[host]


class Traffic:
    """One per engine. is_paused: transfers close their connections and keep their place."""

    def __init__(self, host_connections: int) -> None:
        self.throttle = Throttle()
        self.hosts = Hosts(host_connections)
        self.is_paused = False
