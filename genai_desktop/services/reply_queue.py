"""Which turn is answered when: at once, after the turns that wait, or when the model is back."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

from genai_desktop.core.chat import ChatMessage, ChatQueueState, InferenceStats
from genai_desktop.core.errors import BusyError, GenaiError, InferenceError
from genai_desktop.engines.deadline import Deadline
from genai_desktop.library.conversations import NEVER_SENT, ConversationStore
from genai_desktop.services.delta_batch import Timer
from genai_desktop.services.llama_link import LlamaLink
from genai_desktop.services.reply import Outlets, Reply, Turn

_log = logging.getLogger(__name__)

_REMEMBERED = 64  # conversations told about a change that concerns all of them
Verdict = Literal["now", "wait", "refuse"]


@dataclass(frozen=True)
class Hold:
    """The model is away. until: on the loop's clock, None when nobody knows."""

    reason: str
    until: float | None


class ReplyQueue:
    """Running replies (one per conversation) and waiting turns (answered one after the other, in order).

    Nothing is sent while it is held or while the model loads. A turn that comes while others wait, waits
    behind them.
    """

    def __init__(
        self,
        *,
        store: ConversationStore,
        link: LlamaLink,
        outlets: Outlets,
        timer: Timer,
        on_state: Callable[[ChatQueueState], None],
        on_finished: Callable[[], None],
    ) -> None:
        self._store = store
        self._link = link
        self._outlets = outlets
        self._timer = timer
        self._on_state = on_state
        self._on_finished = on_finished
        self._replies: dict[str, Reply] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: list[Turn] = []
        self._from_queue: str | None = None  # the conversation whose waiting turn is being answered
        self._outside: set[asyncio.Future[None]] = set()  # replies that are not stored
        self._waiters: list[asyncio.Future[None]] = []
        self._hold: Hold | None = None
        self._order = 0
        self._dead = -1  # the server's generation that was found dead although its state did not say so yet
        self._known: OrderedDict[str, None] = OrderedDict()
        self._is_closed = False
        self.last_stats: InferenceStats | None = None

    # asking -----------------------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        """What would happen to a turn that comes now."""
        if self._hold is not None or self._link.presence == "starting":
            return "wait"
        if self._link.presence == "away":
            return "refuse"
        return "wait" if self._waiting or self._from_queue is not None else "now"

    def refuse_while_streaming(self, conversation_id: str) -> None:
        """Raises BusyError: one reply at a time in a conversation."""
        if conversation_id in self._replies:
            raise BusyError(
                "A reply is still arriving in this conversation.", remedy="Stop it, or wait for its end."
            )

    def refuse_unless_idle(self, conversation_id: str) -> None:
        """Raises BusyError when a reply streams or waits here: its branch must not be left."""
        self.refuse_while_streaming(conversation_id)
        if any(turn.conversation_id == conversation_id for turn in self._waiting):
            raise BusyError(
                "A message is still waiting in this conversation.", remedy="Stop it, or wait for its reply."
            )

    @property
    def is_held(self) -> bool:
        return self._hold is not None

    async def submit(self, turn: Turn) -> None:
        """Take a stored turn: its reply is "streaming" (asked now) or "waiting".

        The model may have gone while the turn was being stored: then it waits after all.
        """
        self._order += 1
        turn = replace(turn, order=self._order)
        if turn.reply.state == "streaming" and self.verdict() == "now":
            self._start(turn)
            self.publish(turn.conversation_id)
            return
        has_changed = turn.reply.state != "waiting"
        reply = replace(turn.reply, state="waiting")
        self._waiting.append(replace(turn, reply=reply))
        if has_changed:
            self._outlets.message(reply)
        self.publish(turn.conversation_id)
        if has_changed:
            await self._store.save(reply)
        self._pump()

    def shown(self, message: ChatMessage) -> ChatMessage:
        """A stored message as the events have told it so far (a stream is ahead of its records)."""
        reply = self._replies.get(message.conversation_id)
        return reply.message if reply is not None and reply.turn.reply.id == message.id else message

    async def stop(self, conversation_id: str) -> None:
        """Hang up and keep the text; what waits in this conversation is not sent. Returns when all is
        stored.
        """
        mine = [turn for turn in self._waiting if turn.conversation_id == conversation_id]
        self._waiting = [turn for turn in self._waiting if turn not in mine]
        await self._withdraw(mine, "stopped", "")
        await self._end([conversation_id], "stop")
        self.publish(conversation_id)

    # away and back ----------------------------------------------------------------------------------------

    def hold(self, reason: str, eta: float | None = None) -> None:
        """From now on turns wait. May be called again with a better estimate (seconds)."""
        self._hold = Hold(reason, self._timer.time() + eta if eta is not None else None)
        self._changed()

    def release(self) -> None:
        """The model is back, or will come back by itself: what waits is sent."""
        self._hold = None
        self._changed()

    async def drain(self, pause: bool) -> None:
        """Until no reply is running. pause: running ones stop now and are continued after `release`."""
        if self._hold is None:
            self.hold("")
        if pause:
            for reply in self._replies.values():
                reply.end("pause")
        while busy := {*self._tasks.values(), *self._outside}:
            await asyncio.wait(busy)

    def refresh(self) -> None:
        """The server's state changed."""
        self._changed()

    async def ready(self) -> None:
        """Until the model can be asked. Raises InferenceError when none is coming."""
        while True:
            if self._hold is None and self._link.presence == "ready":
                return
            if self._hold is None and self._link.presence == "away":
                raise self._link.absence()
            await self._next_change()

    async def somebody_loads(self, patience: float) -> bool:
        """Whether a model is there or coming within `patience` seconds.

        "Load, then send" reaches us as two wishes at once, and the load has not begun when the text is here.
        """
        with suppress(TimeoutError, InferenceError):
            async with Deadline(patience):
                while self.verdict() == "refuse":
                    await self._next_change()
        return self.verdict() != "refuse"

    async def _next_change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    @contextmanager
    def outside_reply(self) -> Iterator[None]:
        """A reply that `drain` waits for although it is no turn."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outside.add(future)
        try:
            yield
        finally:
            self._outside.discard(future)
            future.set_result(None)

    async def close(self) -> None:
        """End everything and say why in the messages."""
        self._is_closed = True
        waiting, self._waiting = self._waiting, []
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(self._link.absence())
        self._waiters.clear()
        await self._withdraw(waiting, "interrupted", NEVER_SENT)
        await self._end(list(self._replies), "close")

    # what the composer needs to know ----------------------------------------------------------------------

    def state(self, conversation_id: str = "") -> ChatQueueState:
        """Of one conversation; without one, of all of them together."""
        hold = self._hold
        remaining = None
        if hold is not None and hold.until is not None:
            remaining = max(0.0, hold.until - self._timer.time())
        return ChatQueueState(
            is_streaming=conversation_id in self._replies if conversation_id else bool(self._replies),
            is_model_ready=hold is None and self._link.presence == "ready",
            is_suspended=hold is not None,
            eta=remaining,
            waiting=sum(not conversation_id or t.conversation_id == conversation_id for t in self._waiting),
            conversation_id=conversation_id,
            reason=hold.reason if hold is not None else "",
        )

    def publish(self, conversation_id: str) -> None:
        """Tell how it stands with one conversation, and remember that somebody looks at it."""
        self._known[conversation_id] = None
        self._known.move_to_end(conversation_id)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        self._on_state(self.state(conversation_id))

    # inside -----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._is_closed:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_state(self.state())
        for conversation_id in tuple(self._known):
            self._on_state(self.state(conversation_id))
        self._pump()

    def _pump(self) -> None:
        """Answer the first waiting turn when it is its time."""
        if not self._waiting or self._from_queue is not None or self._hold is not None or self._is_closed:
            return
        turn = self._waiting[0]
        if self._link.presence != "ready" or turn.conversation_id in self._replies:
            return
        if self._link.generation == self._dead:
            return
        del self._waiting[0]
        self._from_queue = turn.conversation_id
        self._start(turn)
        self.publish(turn.conversation_id)

    def _start(self, turn: Turn) -> None:
        reply = Reply(turn, store=self._store, link=self._link, outlets=self._outlets, timer=self._timer)
        self._replies[turn.conversation_id] = reply
        self._tasks[turn.conversation_id] = asyncio.ensure_future(self._run(reply))

    async def _run(self, reply: Reply) -> None:
        turn = reply.turn
        try:
            message = await reply.run()
        finally:
            self._replies.pop(turn.conversation_id, None)
            self._tasks.pop(turn.conversation_id, None)
            if self._from_queue == turn.conversation_id:
                self._from_queue = None
        self.last_stats = reply.last_stats or self.last_stats
        if reply.found_nobody:
            self._dead = reply.generation
        if message.state == "waiting":
            again = replace(turn, reply=message, earlier=message.stats)
            self._waiting = sorted((*self._waiting, again), key=lambda one: one.order)
        self.publish(turn.conversation_id)
        self._on_finished()
        self._pump()

    async def _end(self, conversation_ids: list[str], how: Literal["stop", "close"]) -> None:
        tasks = {self._tasks[one] for one in conversation_ids if one in self._tasks}
        for one in conversation_ids:
            if one in self._replies:
                self._replies[one].end(how)
        if tasks:
            await asyncio.wait(tasks)

    async def _withdraw(self, turns: list[Turn], state: Literal["stopped", "interrupted"], why: str) -> None:
        """Waiting turns that are not sent: the typed text stays in the conversation."""
        for turn in turns:
            messages = [replace(turn.reply, state=state, error=why)]
            if turn.user is not None:
                messages.insert(0, replace(turn.user, state="done"))
            try:
                await self._store.save(*messages)
            except GenaiError as error:
                _log.warning("a waiting message could not be stored: %s", error.message)
            for message in messages:
                self._outlets.message(message)
