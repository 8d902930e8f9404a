"""Calls into drivers that may never return, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """The call did not come back in time, or an earlier one still has not."""


class Call(Generic[T]):
    """A call under way."""

    def __init__(self, name: str, deadline: float) -> None:
        self._name = name
        self._deadline = deadline
        self._box: list[Any] = []
        self.thread: threading.Thread | None = None

    def run(self, function: Callable[[], T]) -> None:
        try:
            self._box.append((True, function()))
        except BaseException as error:  # noqa: BLE001 - handed over to whoever waits for the result
            self._box.append((False, error))

    def result(self) -> T:
        """What the function returned or raised; StuckError when it is late."""
        if self.thread is not None:
            self.thread.join(max(0.0, self._deadline - time.monotonic()))
        if not self._box:
            raise StuckError(f"{self._name} does not answer")
        is_value, outcome = self._box[0]
        if not is_value:
            raise outcome
        value: T = outcome
        return value


class Bounded:
    """Runs one call at a time in a daemon thread, for at most `timeout` seconds.

    A call that hangs is left behind; until it returns every further call fails at once, so a dead driver
    costs one thread and one wait, not one per second.
    """

    def __init__(self, name: str, timeout: float = 2.0) -> None:
        self._name = name
        self._timeout = timeout
        self._last: Call[Any] | None = None
        self._lock = threading.Lock()

    def start(self, function: Callable[[], T]) -> Call[T]:
        """Begin; StuckError when an earlier call is late."""
        with self._lock:
            if self._last is not None:
                self._wait_for_last(self._last)
            call: Call[T] = Call(self._name, time.monotonic() + self._timeout)
            thread = threading.Thread(
                target=call.run, args=(function,), name=f"bounded-{self._name}", daemon=True
            )
            call.thread = thread
            thread.start()
            self._last = call
            return call

    def call(self, function: Callable[[], T]) -> T:
        """Begin and wait."""
        return self.start(function).result()

    def _wait_for_last(self, last: Call[Any]) -> None:
        try:
            last.result()
        except StuckError:
            raise
        except BaseException:  # noqa: BLE001 - that failure belongs to the caller who waited for it
            return
