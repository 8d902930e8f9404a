"""The one way a service says that something changed: named events with one frozen value each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

Listener = Callable[[Any], None]


class Emitter:
    """Named synchronous events. Listeners run in the emitting thread, in order of subscription.

    A listener that raises is logged and skipped: one broken view must not stop a service.
    """

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Subscribe; the returned callable unsubscribes and may be called twice."""
        self._listeners.setdefault(event, []).append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners.get(event, []):
                self._listeners[event].remove(listener)

        return unsubscribe

    def emit(self, event: str, value: Any = None) -> None:
        """Call every listener of `event` with `value`."""
        for listener in tuple(self._listeners.get(event, ())):
            try:
                listener(value)
            except Exception:  # noqa: BLE001 - one broken listener must not stop the others; it is told
                _log.exception("a listener of %r failed", event)
