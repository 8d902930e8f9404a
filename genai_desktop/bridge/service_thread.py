"""The thread in which all services live, with one qasync loop (docs/adr/0001)."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QThread, Signal

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

    from genai_desktop.services.genai import GenAI

os.environ.setdefault("QT_API", "pyside6")  # read by qasync when it is imported
_log = logging.getLogger(__name__)

GRACE = 0.4  # seconds a short task gets to finish by itself at the end
Opener = Callable[[], Awaitable["GenAI"]]


class ServiceThread(QThread):
    """Opens the services, runs them, closes them. Created and destroyed in the GUI thread; never moved.

    `opener` builds the services inside this thread's loop; `attach` subscribes the facades to them there.
    """

    opened = Signal()
    open_failed = Signal(object)  # the exception

    def __init__(
        self, opener: Opener, attach: Callable[[GenAI], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("services")
        self._opener = opener
        self._attach = attach
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()  # held for a few instructions only, never while anything waits
        self._has_run = False
        self._close_wanted: float | None = None  # asked for, perhaps before there was a loop to do it in
        self._early: list[tuple[Coroutine[Any, Any, Any], concurrent.futures.Future[Any]]] = []
        self._genai: GenAI | None = None
        self._is_open: asyncio.Future[GenAI] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._closing: asyncio.Task[None] | None = None

    # any thread -------------------------------------------------------------------------------------------

    def submit(self, coro: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Run a coroutine in this thread's loop.

        After the end it is closed unrun and the future cancelled.
        """
        import concurrent.futures

        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._lock:
            if self._loop is None and not self._has_run:
                # the window asks while it is built, before the thread runs: kept in order until then
                self._early.append((coro, future))
                return future
            loop = self._loop
            if loop is not None and not self._is_closing:
                loop.call_soon_threadsafe(self._spawn, coro, future)
                return future
        coro.close()
        future.cancel()
        return future

    @property
    def genai(self) -> GenAI:
        """The services, once open (service thread only)."""
        if self._genai is None:
            raise RuntimeError("the services are not open yet")
        return self._genai

    def request_close(self, deadline: float = 12.0) -> None:
        """Begin the end: cancel what runs, close the services, leave the loop. Returns at once."""
        with self._lock:
            self._close_wanted = deadline
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._begin_close, deadline)

    def discard_unrun(self) -> None:
        """What was asked of a thread that never ran is closed, not forgotten (after the end)."""
        with self._lock:
            early, self._early = self._early, []
        for coro, future in early:
            coro.close()
            future.cancel()

    # the service thread -----------------------------------------------------------------------------------

    async def ready(self) -> GenAI:
        """Wait until the services are open; raises what opening raised."""
        import asyncio

        assert self._is_open is not None  # noqa: S101 - set before the loop runs anything
        return await asyncio.shield(self._is_open)

    def run(self) -> None:
        """QThread's body."""
        self._run_loop()
        # what is left of the loop (notifiers, cycles) belongs to this thread too and must not outlive it
        self._is_open = self._closing = self._genai = None
        self._tasks.clear()
        gc.collect()

    def _run_loop(self) -> None:
        import asyncio
        import concurrent.futures

        import qasync
        import shiboken6

        loop = qasync.QEventLoop(self)
        executor = concurrent.futures.ThreadPoolExecutor(max_workers=8, thread_name_prefix="worker")
        loop.set_default_executor(executor)
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(_report)
        self._is_open = loop.create_future()
        self._is_open.add_done_callback(_consume)
        with self._lock:
            self._loop, self._has_run = loop, True
            early, self._early = self._early, []
            close_wanted = self._close_wanted
        try:
            self._spawn(self._open(), None)
            for coro, future in early:
                self._spawn(coro, future)
            if close_wanted is not None:
                loop.call_soon(self._begin_close, close_wanted)
            loop.run_forever()
        finally:
            with self._lock:
                self._loop = None
            executor.shutdown(wait=True, cancel_futures=True)
            loop.close()
            # its timers must end in this thread: garbage collection would delete the object in another one,
            # and Qt warns about timers that are stopped from elsewhere
            shiboken6.delete(loop._timer)
            asyncio.set_event_loop(None)

    async def _open(self) -> None:
        assert self._is_open is not None  # noqa: S101
        try:
            genai = await self._opener()
            self._genai = genai
            self._attach(genai)
        except Exception as error:  # noqa: BLE001 - the boundary: shown in the window, which stays usable
            self._is_open.set_exception(error)
            self.open_failed.emit(error)
            return
        self._is_open.set_result(genai)
        self.opened.emit()

    def _spawn(
        self, coro: Coroutine[Any, Any, Any], future: concurrent.futures.Future[Any] | None
    ) -> asyncio.Task[Any]:
        import asyncio

        task = asyncio.ensure_future(coro)
        self._tasks.add(task)

        def finished(done: asyncio.Task[Any]) -> None:
            self._tasks.discard(done)
            if future is None or future.cancelled():
                return
            if done.cancelled():
                future.cancel()
            elif (error := done.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(done.result())

        task.add_done_callback(finished)
        return task

    def _begin_close(self, deadline: float) -> None:
        import asyncio

        if self._is_closing:
            return
        self._is_closing = True
        self._closing = asyncio.ensure_future(self._close(deadline))

    async def _close(self, deadline: float) -> None:
        import asyncio

        from genai_desktop.engines.deadline import Deadline

        tasks = list(self._tasks)
        if tasks:
            # what was asked a moment ago (settings, a draft) is finished; what takes longer is cancelled
            await asyncio.wait(tasks, timeout=GRACE)
        tasks = [task for task in self._tasks if not task.done()]
        for task in tasks:
            task.cancel()
        try:
            async with Deadline(deadline):
                if tasks:
                    await asyncio.wait(tasks, timeout=deadline / 2)
                if self._genai is not None:
                    await self._genai.close()
        except TimeoutError:
            _log.error("the services did not close within %.0f s; their children are killed", deadline)
            if self._genai is not None:
                self._genai.kill_children()
        finally:
            await _cancel_rest()
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.stop)


async def _cancel_rest() -> None:
    """No task may be destroyed while it waits: its `finally` would never run."""
    import asyncio

    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=1.0)


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.error("in the service loop: %s", context.get("message"), exc_info=context.get("exception"))


def _consume(future: asyncio.Future[Any]) -> None:
    """Opening may fail before anyone waits for it.

    That is reported by open_failed, not as a lost exception.
    """
    if not future.cancelled():
        future.exception()
