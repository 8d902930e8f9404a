"""Small helpers for asynchronous tests: a loop per test, and waiting on conditions instead of the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


def run(coro: Awaitable[T], timeout: float = 60.0) -> T:
    """Run one coroutine on a fresh loop with a deadline."""

    async def bounded() -> T:
        return await asyncio.wait_for(asyncio.ensure_future(coro), timeout)  # type: ignore[arg-type]

    return asyncio.run(bounded())


async def until(predicate: Callable[[], Any], timeout: float = 20.0, what: str = "condition") -> None:
    """Wait until `predicate()` is true; fails with a sentence after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not become true within {timeout} s")
        await asyncio.sleep(0.005)


def until_sync(predicate: Callable[[], Any], timeout: float = 20.0, what: str = "condition") -> None:
    """The same without a loop."""
    deadline = time.monotonic() + timeout
    while not predicate():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not become true within {timeout} s")
        time.sleep(0.005)
