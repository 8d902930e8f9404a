"""Putting the language model aside and bringing it back, conversation and all.

One suspension lives from the moment new turns are held until they are released. Every step notes what it did,
so that whatever happens in between can be undone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from genai_desktop.core.errors import CancelledError, GenaiError, StorageError
from genai_desktop.core.handoff import SavedLlmState, SavedSlot, slot_file_name

if TYPE_CHECKING:
    from genai_desktop.core.launch import LlamaServerConfig
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.library.suspended import SuspendedFile
    from genai_desktop.services.handoff_ports import Conversations, Llama

_log = logging.getLogger(__name__)

Phase = Literal["running", "draining", "saving", "stopping", "suspended", "resuming", "failed"]
RETRY_SECONDS = 2.0
MEMORY_SECONDS = 10.0  # at most so long until the freed memory shows
_POLL = 0.05


@dataclass
class Suspension:
    """What was done so far. stopping: the task that ends the server, once there is one."""

    state: SavedLlmState | None = None
    slots: list[SavedSlot] = field(default_factory=list)
    stopping: asyncio.Future[None] | None = None
    seconds_suspend: float = 0.0
    notes: list[str] = field(default_factory=list)
    _is_let_go: bool = False

    def let_go(self) -> None:
        """A person unloads it, or chose another one: what runs from now on is theirs."""
        self._is_let_go = True

    def is_let_go(self) -> bool:
        return self._is_let_go

    @property
    def files(self) -> tuple[str, ...]:
        """Slot files that must not outlive this."""
        return tuple({slot.file for slot in (*self.slots, *(self.state.slots if self.state else ()))})


@dataclass(frozen=True)
class Return:
    """How bringing it back went. restored: tokens read back from the slots, None when there was nothing.

    is_back: it runs again by our doing; without it and without an error a person wanted it otherwise.
    """

    seconds: float
    restored: int | None
    error: GenaiError | None = None
    note: str = ""
    is_back: bool = False


class LlmSuspender:
    """The steps, without any decision."""

    def __init__(
        self,
        *,
        llama: Llama,
        conversations: Conversations,
        file: SuspendedFile,
        model_path: Callable[[str], Awaitable[str]],
        free_memory: Callable[[], Awaitable[int]],
        on_phase: Callable[[Phase], None],
        clock: Callable[[], float],
        retry_seconds: float = RETRY_SECONDS,
        memory_seconds: float = MEMORY_SECONDS,
    ) -> None:
        self._llama = llama
        self._conversations = conversations
        self._file = file
        self._model_path = model_path
        self._free_memory = free_memory
        self._on_phase = on_phase
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._memory_seconds = memory_seconds

    async def suspend(
        self, work: Suspension, *, reason: str, eta: float | None, pause: bool, needed: int
    ) -> None:
        """Until the language model's memory is free. Cancellable anywhere; `work` tells how far it came."""
        began = time.monotonic()
        self._on_phase("draining")
        self._conversations.hold(reason, eta)
        await self._until_started()
        await self._conversations.drain(pause)
        config, status, info = self._llama.resolved_config, self._llama.get_status(), self._llama.get_info()
        if config is None or status in ("stopped", "stopping") or work.is_let_go():
            self._on_phase("suspended")  # a person unloaded it while we waited: it stays away
            return
        if status == "running":
            self._on_phase("saving")
            await _to_the_end(self._save_slots(config, info, work))
        # one that crashed meanwhile is stopped too: it must not be restarted into the middle of the picture
        work.state = SavedLlmState(
            config=config,
            was_running=True,
            saved_at=self._clock(),
            slots=tuple(work.slots),
            engine=info.engine,
            model_name=info.model_name or "",
        )
        try:
            await _to_the_end(asyncio.to_thread(self._file.save, work.state))
        except StorageError as error:
            # only the offer after a crash needs the note
            work.notes.append(error.message)
        self._on_phase("stopping")
        before = await self._free_memory()
        if work.is_let_go():
            self._on_phase("suspended")  # what runs now, if anything, is what the person wants
            return
        work.stopping = asyncio.ensure_future(self._llama.stop())
        await asyncio.shield(work.stopping)
        await self._until_free(before, needed)
        work.seconds_suspend = time.monotonic() - began
        self._on_phase("suspended")

    async def resume(self, work: Suspension) -> Return:
        """Bring back whatever was put aside, then let the waiting turns go. Raises nothing."""
        began = time.monotonic()
        restored: int | None = None
        error: GenaiError | None = None
        note = ""
        is_back = False
        if work.stopping is not None:
            self._on_phase("resuming")
            await asyncio.wait({work.stopping})
            state = work.state
            if state is not None and not work.is_let_go():
                is_back, error = await self._start(state.config)
                if is_back:
                    restored, note = await self._restore(state)
        if error is None:
            await asyncio.to_thread(self._file.clear, work.files)
        self._conversations.release()
        return Return(time.monotonic() - began, restored, error, note, is_back)

    # steps --------------------------------------------------------------------------------------------------

    async def _until_started(self) -> None:
        """A model that is being loaded is put aside once it is there: only then is it known as it is."""
        if self._llama.get_status() != "starting":
            return
        changed = asyncio.Event()
        unsubscribe = self._llama.on("status_changed", lambda _: changed.set())
        try:
            while self._llama.get_status() == "starting":
                changed.clear()
                await changed.wait()
        finally:
            unsubscribe()

    async def _save_slots(self, config: LlamaServerConfig, info: ServerInfo, work: Suspension) -> None:
        """What could be saved; a slot that cannot is read again later, which is slower and correct."""
        path = await self._model_path(config.model_id)
        for slot in range(config.parallel_requests or 1):
            name = slot_file_name(config, path, info.engine, os.getpid(), slot)
            kept = False
            try:
                tokens = await self._llama.save_slot(name, slot)
                kept = tokens > 0
                if kept:
                    work.slots.append(SavedSlot(slot, name, tokens))
            except GenaiError as error:
                work.notes.append(f"The conversation could not be saved: {error.message}")
            finally:
                if not kept:
                    await asyncio.to_thread(self._file.remove_slots, (name,))

    async def _until_free(self, before: int, needed: int) -> None:
        """The process is gone, but a driver may take its time: until it is enough, or no longer grows."""
        deadline = time.monotonic() + self._memory_seconds
        last = await self._free_memory()
        steady = 0
        while last < needed and time.monotonic() < deadline:
            if steady >= (4 if last > before else 20):
                return
            await asyncio.sleep(_POLL)
            now = await self._free_memory()
            steady = steady + 1 if abs(now - last) <= 0.01 * max(last, 1) else 0
            last = now

    async def _start(self, config: LlamaServerConfig) -> tuple[bool, GenaiError | None]:
        """Start as it was, twice if need be. (True, None): it runs and is ours to fill."""
        error: GenaiError | None = None
        for attempt in range(2):
            if self._llama.get_status() in ("running", "starting"):
                return False, None  # somebody loaded a model meanwhile: theirs stays
            try:
                await self._llama.start(config)
            except CancelledError:
                return False, None  # somebody unloaded it, or loads another one
            except GenaiError as failure:
                error = failure
                _log.warning("the language model did not come back (try %d): %s", attempt + 1, failure)
                if attempt == 0:
                    await asyncio.sleep(self._retry_seconds)
            else:
                return True, None
        return False, error

    async def _restore(self, state: SavedLlmState) -> tuple[int | None, str]:
        """Tokens that are back, and what to tell when it is not all of them."""
        if not state.slots:
            return None, ""
        if self._llama.get_info().engine != state.engine:
            return None, "Another build of the engine runs now: the conversation is read again."
        restored = 0
        for slot in state.slots:
            try:
                restored += await self._llama.restore_slot(slot.file, slot.slot)
            except GenaiError as error:
                return restored or None, f"The conversation is read again: {error.message}"
        wanted = sum(slot.tokens for slot in state.slots)
        if restored != wanted:
            return restored, f"Only {restored} of {wanted} tokens came back; the rest is read again."
        return restored, ""


async def _to_the_end(coro: Coroutine[Any, Any, None]) -> None:
    """Cancellation waits for it: what writes files must not go on behind the back of the tidying up."""
    task = asyncio.ensure_future(coro)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("putting the language model aside was cancelled, and failed too: %s", error)
        raise
