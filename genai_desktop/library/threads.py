"""Blocking work in a thread of its own that ends when its task is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# a thread that hangs in a connect or a DNS query cannot be interrupted; it ends by itself and touches nothing
_GRACE_SECONDS = 1.0


async def in_thread(work: Callable[[], T], *, stop: Callable[[], None], name: str) -> T:
    """The result of `work()`, run in a new thread.

    On cancellation `stop` is called (it must make `work` end soon) and the thread gets a moment to do so.
    Long work does not belong into the shared pool of asyncio.to_thread: it keeps the short work waiting.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def main() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to the awaiting task, whatever it is
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is gone: the program is ending
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=main, name=name, daemon=True)
    thread.start()
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop()
        done, _ = await asyncio.wait({future}, timeout=_GRACE_SECONDS)
        if done:
            future.exception()  # retrieved: nobody else will
        else:
            future.cancel()
        raise
    finally:
        if future.done() and not future.cancelled():
            thread.join()  # it has nothing left to do


def to_loop(listener: Callable[[T], None]) -> Callable[[T], None]:
    """The same listener, to be called from any thread: it runs in the thread of the present loop."""
    loop = asyncio.get_running_loop()

    def report(value: T) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: the program is ending
            loop.call_soon_threadsafe(listener, value)

    return report
