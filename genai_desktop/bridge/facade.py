"""Base of all facades: intents go down as coroutines, snapshots come up as signals."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject, Signal

from genai_desktop.core.errors import GenaiError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from genai_desktop.services.genai import GenAI

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """An error as a page shows it.

    action: the intent that failed ("load", "generate" ...), for the right button.
    """

    action: str
    code: str
    message: str
    remedy: str = ""

    @classmethod
    def of(cls, action: str, error: BaseException) -> Failure:
        """From any exception; an unexpected one is told as such, with its text in the log."""
        if isinstance(error, GenaiError):
            return cls(action, error.code, error.message, error.remedy)
        _log.error("unexpected failure of %r", action, exc_info=error)
        return cls(
            action,
            "UNEXPECTED",
            f"Something unexpected went wrong: {error}.",
            "Copy the diagnostics in the System tab and report it.",
        )


class Submitter(Protocol):
    """What a facade needs of the service thread."""

    def submit(self, coro: Coroutine[Any, Any, Any]) -> object: ...

    @property
    def genai(self) -> GenAI: ...

    async def ready(self) -> GenAI: ...


class Facade(QObject):
    """Lives in the GUI thread and outlives the service thread.

    Never blocks, never touches a service directly.

    Subclasses define signals and intents; `attach` runs in the service thread once the services are open.
    """

    failed = Signal(object)  # Failure

    def __init__(self, thread: Submitter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread = thread
        self._closed = False

    def attach(self, genai: GenAI) -> None:
        """Subscribe to the services (service thread). Subclasses override."""

    def close(self) -> None:
        """Refuse new intents (first stage of quitting)."""
        self._closed = True

    def _run(
        self,
        action: str,
        work: Callable[[GenAI], Awaitable[Any]],
        done: Callable[[Any], None] | None = None,
        failed: Callable[[Failure], None] | None = None,
    ) -> None:
        """Submit `work`; `done` and `failed` run in the service thread and may only emit signals."""
        if self._closed:
            return

        async def guarded() -> None:
            import asyncio  # late: the window is painted before the loop exists

            try:
                result = await work(await self._thread.ready())
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary: it becomes a Failure a page shows
                failure = Failure.of(action, error)
                if failed is not None:
                    failed(failure)
                else:
                    self.failed.emit(failure)
                return
            if done is not None:
                done(result)

        self._thread.submit(guarded())
