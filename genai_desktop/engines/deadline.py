"""A time limit for a block of asynchronous code that also works in a task that is being cancelled."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """As `asyncio.timeout`: the block ends with TimeoutError after `seconds`.

    asyncio's own, before Python 3.11.4 (Debian 12 has 3.11.2), takes every earlier cancellation of the task
    for its own undoing. In the clean-up of a cancelled task it then lets CancelledError through, and what
    should be killed is not.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_expired = False
        self._task: asyncio.Task[object] | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._earlier = 0

    async def __aenter__(self) -> Deadline:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task, self._earlier = task, task.cancelling()
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if self._task is None or not self._is_expired:
            return
        if self._task.uncancel() <= self._earlier and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._is_expired = True
        if self._task is not None:
            self._task.cancel()
