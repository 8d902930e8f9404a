"""How many connections are worth having: more only as long as they bring more."""

from __future__ import annotations

from genai_desktop.library.transfer.policy import TransferPolicy

_GAIN = 1.25  # twice the connections must bring this much more
_GAIN_BEYOND = 1.5  # and this much beyond the usual number


class Ramp:
    """Doubles `wanted`, measures, and goes back one step when it did not pay. The caller tells the time."""

    def __init__(self, policy: TransferPolicy) -> None:
        self._policy = policy
        self._before = 0  # connections of the step before
        self._before_rate = 0.0
        self._since: float | None = None
        self._since_done = 0
        self.wanted = min(policy.connections_at_first, policy.connections)
        self.rate = 0.0  # bytes a second, as last measured
        self.is_settled = policy.connections_max <= self.wanted

    def settle(self, connections: int) -> None:
        """That many, and no more experiments."""
        self.wanted = max(1, min(self.wanted, connections))
        self.is_settled = True

    def pause(self) -> None:
        """What happens now says nothing about the speed."""
        self._since = None

    def update(self, now: float, done: int, delivering: int) -> None:
        """delivering: connections that have brought something."""
        if self.is_settled or delivering < self.wanted:
            self._since = None
            return
        if self._since is None:
            self._since, self._since_done = now, done
            return
        seconds = now - self._since
        if seconds < self._policy.ramp_seconds:
            return
        self._since = None
        self.rate = (done - self._since_done) / seconds
        least = _GAIN if self.wanted <= self._policy.connections else _GAIN_BEYOND
        if self._before and self.rate < self._before_rate * least:
            self.wanted = self._before
            self.rate = self._before_rate
            self.is_settled = True
            return
        usual = self._policy.connections
        most = self._policy.connections_max if self.wanted >= usual else usual
        if self.rate >= self._policy.plenty or self.wanted >= most:
            self.is_settled = True
            return
        self._before, self._before_rate = self.wanted, self.rate
        self.wanted = min(most, self.wanted * 2)
