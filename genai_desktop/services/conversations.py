"""Conversations as a use case: typed text becomes stored messages, and replies that stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_desktop.core.chat import (
    ChatDelta,
    ChatMessage,
    ChatQueueState,
    Conversation,
    ConversationSummary,
    InferenceStats,
    SamplingParameters,
)
from genai_desktop.core.errors import GenaiError, InvalidInputError, NotFoundError
from genai_desktop.core.events import Emitter
from genai_desktop.engines.clock import Clock, SystemClock
from genai_desktop.engines.llama_client import LlamaClient
from genai_desktop.library.conversations import ConversationStore, new_id
from genai_desktop.library.transcripts import export
from genai_desktop.services.chat_prompt import (
    clean_text,
    reply_to_continue,
    reply_to_replace,
    request_messages,
)
from genai_desktop.services.delta_batch import LoopTimer, Timer
from genai_desktop.services.llama_link import ClientFactory, LlamaLink, LlamaServer
from genai_desktop.services.pictures import data_url
from genai_desktop.services.reply import Outlets, Turn
from genai_desktop.services.reply_queue import ReplyQueue
from genai_desktop.services.titles import title_of

if TYPE_CHECKING:
    from genai_desktop.library.database import Database
    from genai_desktop.library.settings import SettingsStore

_log = logging.getLogger(__name__)

_LIST_DELAY = 0.05  # seconds
BIN_SECONDS = 86_400.0  # a deleted conversation can be brought back this long, then it is gone for good


class ConversationService:
    """Everything the chat does.

    Events (`on`): "list_changed" (tuple of ConversationSummary), "message_changed" (ChatMessage that is new,
    or whose state or whole text changed), "delta" (ChatDelta, at most 30 a second per reply),
    "state_changed" (ChatQueueState; conversation_id "" means all of them together) and
    "conversation_changed" (Conversation whose visible branch is another one now: show it anew). All methods
    belong to the loop of the services.
    """

    def __init__(
        self,
        *,
        database: Database,
        llama: LlamaServer,
        client_factory: ClientFactory = LlamaClient,
        settings: SettingsStore | None = None,
        clock: Clock | None = None,
        timer: Timer | None = None,
        patience: float = 1.0,
        store: ConversationStore | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._patience = patience  # seconds a message waits for a load to begin
        self._store = store or ConversationStore(database, clock=self._clock.time)
        self._link = LlamaLink(llama, client_factory)
        self.events = Emitter()
        self._queue = ReplyQueue(
            store=self._store,
            link=self._link,
            outlets=Outlets(
                message=lambda message: self.events.emit("message_changed", message),
                delta=lambda delta: self.events.emit("delta", delta),
            ),
            timer=timer or LoopTimer(),
            on_state=lambda state: self.events.emit("state_changed", state),
            on_finished=self._list_later,
        )
        self._locks: dict[str, asyncio.Lock] = {}
        self._listing: asyncio.Task[None] | None = None
        self._unsubscribe = llama.on("changed", lambda _: self._queue.refresh())
        self._is_closed = False

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    async def recover(self) -> int:
        """At start: replies cut by a crash become "interrupted", the bin is emptied. How many were cut."""
        cut = await self._store.recover()
        await self._store.purge(self._clock.time() - BIN_SECONDS)
        return cut

    async def close(self) -> None:
        """End running replies, keeping their text; nothing is sent any more. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._unsubscribe()
        await self._queue.close()
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.wait({self._listing})
        await self._link.aclose()

    # the list ---------------------------------------------------------------------------------------------

    async def list(self, query: str = "") -> tuple[ConversationSummary, ...]:
        """Pinned first, then newest first; with a query only those that hold all its words."""
        return await self._store.list(clean_text(query))

    async def create(self, title: str = "", system_prompt: str = "") -> Conversation:
        """A new, empty conversation; without a system prompt it gets the one of the settings."""
        if not system_prompt and self._settings is not None:
            system_prompt = self._settings.current.system_prompt
        conversation = await self._store.create(clean_text(title), clean_text(system_prompt))
        self._queue.publish(conversation.summary.id)
        await self._tell_list()
        return conversation

    async def get(self, conversation_id: str) -> Conversation:
        """All of it, a streaming reply as far as it was told. Raises NotFoundError."""
        conversation = await self._store.get(conversation_id)
        self._queue.publish(conversation_id)
        # nothing may be awaited from here on: a delta between this snapshot and its use would be lost
        return replace(conversation, messages=tuple(self._queue.shown(m) for m in conversation.messages))

    async def rename(self, conversation_id: str, title: str) -> None:
        await self._store.rename(conversation_id, " ".join(clean_text(title).split()))
        await self._tell_list()

    async def set_system_prompt(self, conversation_id: str, text: str) -> None:
        """For the replies to come."""
        await self._store.set_system_prompt(conversation_id, clean_text(text))

    async def set_draft(self, conversation_id: str, text: str) -> None:
        """What is typed but not sent."""
        await self._store.set_draft(conversation_id, clean_text(text))

    async def pin(self, conversation_id: str, is_pinned: bool = True) -> None:
        await self._store.pin(conversation_id, is_pinned)
        await self._tell_list()

    async def move(self, conversation_id: str, folder: str) -> None:
        """Into a folder; an empty name takes it out."""
        await self._store.move(conversation_id, " ".join(clean_text(folder).split()))
        await self._tell_list()

    async def delete(self, conversation_id: str) -> None:
        """Stop its replies and put it into the bin."""
        async with self._lock(conversation_id):
            await self._queue.stop(conversation_id)
            await self._store.delete(conversation_id)
        await self._tell_list()

    async def undo_delete(self, conversation_id: str) -> None:
        await self._store.undo_delete(conversation_id)
        await self._tell_list()

    async def export(self, conversation_id: str, path: str | Path) -> None:
        """JSON when the name ends so, Markdown otherwise. Raises StorageError."""
        conversation = await self.get(conversation_id)
        await asyncio.to_thread(export, conversation, Path(path))

    # turns ------------------------------------------------------------------------------------------------

    async def send(
        self,
        conversation_id: str,
        text: str,
        *,
        images: Sequence[str] = (),
        sampling: SamplingParameters | None = None,
    ) -> str:
        """Store what was typed and the reply to come, and return the reply's id; the reply streams as events.

        While the model is away or loading both are "waiting". Raises InvalidInputError (nothing typed, a
        picture that is none), BusyError (a reply is arriving in this conversation), and InferenceError when
        no model is loaded: the text is then kept as the draft.
        """
        text = clean_text(text)
        if not text.strip() and not images:
            raise InvalidInputError("The message is empty.", remedy="Type something first.")
        async with self._lock(conversation_id):
            if not self._queue.is_held:
                self._queue.refuse_while_streaming(conversation_id)
            if not await self._queue.somebody_loads(self._patience):
                await self._store.set_draft(conversation_id, text)
                raise self._link.absence()
            for path in images:
                await asyncio.to_thread(data_url, path)
            state = self._state_now()
            user = self._message(
                conversation_id,
                "user",
                text,
                images=tuple(images),
                state="done" if state == "streaming" else state,
            )
            reply = self._message(conversation_id, "assistant", state=state)
            await self._store.append(conversation_id, user, reply, title=title_of(text))
            self.events.emit("message_changed", user)
            await self._submit(reply, user, sampling)
        self._list_later()
        return reply.id

    async def regenerate(self, message_id: str, *, sampling: SamplingParameters | None = None) -> str:
        """A new version of a reply (or the reply to a user's message); the old one is kept. Id of the new
        one.

        message_id: of a message, or of a conversation, which means its last reply.
        """
        conversation = await self._conversation_of(message_id)
        target = reply_to_replace(conversation, message_id)
        async with self._lock(conversation.summary.id):
            self._queue.refuse_unless_idle(conversation.summary.id)
            reply = self._message(conversation.summary.id, "assistant", state=self._state_now())
            if target is None:
                await self._store.append(conversation.summary.id, reply)
            else:
                await self._store.branch(target, reply)
            await self._show_branch(reply, None, sampling)
        return reply.id

    async def edit_and_resend(
        self, message_id: str, text: str, *, sampling: SamplingParameters | None = None
    ) -> str:
        """A new version of what the user said, and a reply to it; the old branch is kept. Id of the reply."""
        text = clean_text(text)
        old = await self._store.get_message(message_id)
        if old.role != "user" or not (text.strip() or old.images):
            raise InvalidInputError(
                "The message is empty." if old.role == "user" else "Only your own messages can be edited."
            )
        conversation_id = old.conversation_id
        async with self._lock(conversation_id):
            self._queue.refuse_unless_idle(conversation_id)
            state = self._state_now()
            user = self._message(
                conversation_id,
                "user",
                text,
                images=old.images,
                state="done" if state == "streaming" else state,
            )
            reply = self._message(conversation_id, "assistant", state=state)
            await self._store.branch(message_id, user, reply)
            await self._show_branch(reply, user, sampling)
        return reply.id

    async def continue_reply(self, message_id: str, *, sampling: SamplingParameters | None = None) -> str:
        """Go on with the last reply: stopped, cut, or at its length limit. Where that is impossible it fails,
        keeping its text. Its id.
        """
        last = reply_to_continue(await self._conversation_of(message_id), message_id)
        async with self._lock(last.conversation_id):
            self._queue.refuse_unless_idle(last.conversation_id)
            self._state_now()  # raises when no model is there to go on
            reply = replace(last, state="waiting", error="", finish_reason="")
            await self._store.save(reply)
            self.events.emit("message_changed", reply)
            await self._queue.submit(
                Turn(reply, sampling or SamplingParameters(), earlier=last.stats, must_continue=True)
            )
        return message_id

    async def stop(self, conversation_id: str) -> None:
        """Stop the reply, keeping its text, and do not send what waits. Returns when the server was told."""
        await self._queue.stop(conversation_id)

    async def chat_once(
        self, messages: Sequence[Mapping[str, Any] | ChatMessage], sampling: SamplingParameters | None = None
    ) -> AsyncIterator[ChatDelta]:
        """A reply that is stored nowhere, unbatched. Closing the iterator stops it. Raises GenaiError."""
        request: list[Mapping[str, Any]] = []
        for message in messages:
            request += (
                await request_messages("", [message]) if isinstance(message, ChatMessage) else [message]
            )
        await self._queue.ready()
        with self._queue.outside_reply():
            client = await self._link.client()
            async with aclosing(client.stream_chat(request, sampling)) as stream:
                async for chunk in stream:
                    if chunk.stats is not None:
                        self._queue.last_stats = chunk.stats
                    yield ChatDelta(
                        "",
                        "",
                        chunk.content,
                        chunk.reasoning,
                        chunk.prompt_progress,
                        chunk.finish_reason,
                        chunk.stats,
                    )

    # away and back ----------------------------------------------------------------------------------------

    def hold(self, reason: str, eta: float | None = None) -> None:
        """The model goes away: turns wait from now on. eta: seconds; call again when the estimate gets
        better.
        """
        self._queue.hold(reason, eta)

    def release(self) -> None:
        """What waits is sent, in order, as soon as the model can be asked; paused replies go on first."""
        self._queue.release()

    async def drain(self, pause: bool) -> None:
        """Until no reply is running: they finish, or with `pause` they stop now and go on after `release`.

        Call `hold` first; without it this holds with no estimate.
        """
        await self._queue.drain(pause)

    @property
    def last_stats(self) -> InferenceStats | None:
        """Of the newest reply, paused parts on their own; cached_tokens proves that a restored slot was
        used.
        """
        return self._queue.last_stats

    def state(self, conversation_id: str = "") -> ChatQueueState:
        """What "state_changed" told last."""
        return self._queue.state(conversation_id)

    # inside -----------------------------------------------------------------------------------------------

    def _state_now(self) -> Any:
        verdict = self._queue.verdict()
        if verdict == "refuse":
            raise self._link.absence()
        return "streaming" if verdict == "now" else "waiting"

    def _message(self, conversation_id: str, role: Any, content: str = "", **values: Any) -> ChatMessage:
        return ChatMessage(
            id=new_id(),
            conversation_id=conversation_id,
            role=role,
            content=content,
            created_at=self._clock.time(),
            model_id=self._link.model_id if role == "assistant" else "",
            **values,
        )

    async def _submit(
        self, reply: ChatMessage, user: ChatMessage | None, sampling: SamplingParameters | None
    ) -> None:
        # the model may have come or gone while the turn was being stored: a waiting one is never lost
        self.events.emit("message_changed", reply)
        waits = reply.state == "waiting"
        await self._queue.submit(Turn(reply, sampling or SamplingParameters(), user=user if waits else None))

    async def _show_branch(
        self, reply: ChatMessage, user: ChatMessage | None, sampling: SamplingParameters | None
    ) -> None:
        conversation = await self._store.get(reply.conversation_id)
        self.events.emit("conversation_changed", conversation)
        await self._submit(reply, user, sampling)
        self._list_later()

    async def _conversation_of(self, identifier: str) -> Conversation:
        try:
            message = await self._store.get_message(identifier)
        except NotFoundError:
            return await self._store.get(identifier)
        return await self._store.get(message.conversation_id)

    def _lock(self, conversation_id: str) -> asyncio.Lock:
        return self._locks.setdefault(conversation_id, asyncio.Lock())

    async def _tell_list(self) -> None:
        self.events.emit("list_changed", await self._store.list())

    def _list_later(self) -> None:
        """After what happens often; several changes are told once, and no first token waits behind it."""
        if self._listing is None or self._listing.done():
            self._listing = asyncio.ensure_future(self._tell_list_quietly())

    async def _tell_list_quietly(self) -> None:
        await asyncio.sleep(_LIST_DELAY)
        try:
            await self._tell_list()
        except GenaiError as error:
            _log.warning("the list of conversations could not be read: %s", error.message)
