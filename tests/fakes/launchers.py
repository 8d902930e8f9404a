"""Both process launchers in their own habitat: asyncio.run, and a QThread with a qasync loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from genai_desktop.engines.process import AsyncioLauncher, ProcessLauncher

T = TypeVar("T")
KINDS = ("asyncio", "qprocess")


def run_with(
    kind: str, make: Callable[[ProcessLauncher], Coroutine[Any, Any, T]], timeout: float = 60.0
) -> T:
    """Run `make(launcher)` on a fresh loop of the launcher's kind."""
    if kind == "asyncio":
        return asyncio.run(asyncio.wait_for(make(AsyncioLauncher()), timeout))
    return _run_qt(make, timeout)


def _run_qt(make: Callable[[ProcessLauncher], Coroutine[Any, Any, T]], timeout: float) -> T:
    import qasync
    from PySide6.QtCore import QCoreApplication, QThread

    from genai_desktop.bridge.qprocess import QProcessLauncher

    application = QCoreApplication.instance() or QCoreApplication([])
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    class Thread(QThread):
        def run(self) -> None:
            loop = qasync.QEventLoop(self)
            asyncio.set_event_loop(loop)
            executor = concurrent.futures.ThreadPoolExecutor(4)
            loop.set_default_executor(executor)
            try:
                outcome.set_result(
                    loop.run_until_complete(asyncio.wait_for(make(QProcessLauncher()), timeout))
                )
            except BaseException as error:  # noqa: BLE001 - handed to the test's thread
                outcome.set_exception(error)
            finally:
                executor.shutdown()
                loop.close()
                asyncio.set_event_loop(None)
                # the loop's timer must be collected in this thread, and loop and lambda hold each other
                del loop
                gc.collect()

    thread = Thread()
    thread.start()
    assert thread.wait(int(timeout * 1000) + 5000), "the Qt thread did not end"
    del application
    return outcome.result()
