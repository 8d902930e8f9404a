"""Starts, stops and crashes as marks in the charts and rows on disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from genai_desktop.core.errors import GenaiError
from genai_desktop.core.telemetry import EventMarker

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.library.database import Database
    from genai_desktop.library.sessions import SessionFile
    from genai_desktop.services.telemetry import Telemetry

_log = logging.getLogger(__name__)
KEPT = 30 * 86_400.0  # seconds an event stays on disk
_LABELS = {"llama": "Language model", "diffusion": "Image engine"}


class Server(Protocol):
    """What is followed."""

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]: ...


class EventLog:
    """Follows the servers: processes for the charts, transitions for the log and the session file."""

    def __init__(self, database: Database, telemetry: Telemetry, session: SessionFile) -> None:
        self._database, self._telemetry, self._session = database, telemetry, session
        self._background: set[asyncio.Task[Any]] = set()
        self._status: dict[str, str] = {}
        self._is_closed = False
        telemetry.on("marker", self._store)

    def follow(self, name: str, server: Server) -> None:
        """From now on; name: "llama" or "diffusion"."""
        server.on("changed", lambda info: self._changed(name, info))

    async def markers(self, seconds: float) -> tuple[EventMarker, ...]:
        """The events of the last `seconds`, oldest first, earlier runs included."""
        since = time.time() - seconds
        rows = await self._database.read(
            lambda c: c.execute("SELECT * FROM events WHERE time >= ? ORDER BY time", (since,)).fetchall()
        )
        return tuple(EventMarker(row["time"], row["kind"], row["label"]) for row in rows)

    async def close(self) -> None:
        """Finish what is being written; later events are not stored."""
        self._is_closed = True
        if self._background:
            await asyncio.wait(tuple(self._background))

    def _changed(self, name: str, info: ServerInfo) -> None:
        self._telemetry.track(name, info.pid)
        before, self._status[name] = self._status.get(name, "stopped"), info.status
        if info.status == before:
            return
        if name == "llama" and info.status in ("running", "stopped") and not self._is_closed:
            loaded = info.model_id if info.status == "running" else ""
            self._spawn(asyncio.to_thread(self._session.update, model_id=loaded))
        label = _LABELS[name]
        what = f"{label}: {info.model_name}" if info.model_name else label
        if info.status == "running" and name == "llama":
            self._telemetry.mark("started", what)
        elif info.status == "stopped" and before in ("running", "stopping") and name == "llama":
            self._telemetry.mark("stopped", what)
        elif info.status == "crashed":
            is_memory = info.error_code == "OUT_OF_MEMORY"
            self._telemetry.mark("oom" if is_memory else "crashed", f"{what}: {info.error_message}")

    def _store(self, marker: EventMarker) -> None:
        if self._is_closed:
            return

        def insert(connection: Any) -> None:
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?)", (marker.time, marker.kind, marker.label)
            )
            connection.execute("DELETE FROM events WHERE time < ?", (time.time() - KEPT,))

        self._spawn(self._database.write(insert))

    def _spawn(self, coro: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(coro)
        self._background.add(task)

        def finished(done: asyncio.Task[Any]) -> None:
            self._background.discard(done)
            error = None if done.cancelled() else done.exception()
            if isinstance(error, GenaiError):
                _log.warning("an event could not be stored: %s", error.message)
            elif error is not None:
                _log.error("an event could not be stored", exc_info=error)

        task.add_done_callback(finished)
