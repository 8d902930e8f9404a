"""One reply: asked for, streamed, batched, stored as it comes, and ended in one of several ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from genai_desktop.core.chat import (
    ChatDelta,
    ChatMessage,
    InferenceStats,
    MessageState,
    SamplingParameters,
    ToolCall,
)
from genai_desktop.core.errors import (
    EngineError,
    GenaiError,
    InferenceError,
    InvalidInputError,
    NotFoundError,
)
from genai_desktop.engines.chat_stream import ChatChunk, ChatStream
from genai_desktop.engines.llama_client import LlamaClient
from genai_desktop.engines.llama_errors import MODEL_LOADING, SERVER_UNREACHABLE, STREAM_CUT
from genai_desktop.library.conversations import ConversationStore
from genai_desktop.services.chat_prompt import continuation, request_messages, unfinished
from genai_desktop.services.delta_batch import DeltaBatch, PartWriter, Timer
from genai_desktop.services.llama_link import NOT_LOADED, LlamaLink

_log = logging.getLogger(__name__)

How = Literal["stop", "pause", "close"]
_LOADING_RETRY = 0.25  # seconds
_CLOSED = "The program was closed while this reply was arriving."
_UNLOADED = (
    "The model was unloaded before the reply was complete. Load it again, then continue or regenerate."
)


@dataclass(frozen=True)
class Turn:
    """What is to be answered. `reply` is stored already; with text in it, it is continued.

    order: smaller ones are asked first. user: the message that waits with it, None when it was sent before.
    earlier: measurements of the part said before a pause. must_continue: what is there must not be said anew.
    """

    reply: ChatMessage
    sampling: SamplingParameters
    user: ChatMessage | None = None
    order: int = 0
    earlier: InferenceStats | None = None
    must_continue: bool = False

    @property
    def conversation_id(self) -> str:
        return self.reply.conversation_id


@dataclass(frozen=True)
class Outlets:
    """Where a reply's events go."""

    message: Callable[[ChatMessage], None]
    delta: Callable[[ChatDelta], None]


class Reply:
    """Runs one turn in a task of its own. `message` is what a view that followed the events shows."""

    def __init__(
        self, turn: Turn, *, store: ConversationStore, link: LlamaLink, outlets: Outlets, timer: Timer
    ) -> None:
        self.turn = turn
        self._store = store
        self._link = link
        self._outlets = outlets
        self._timer = timer
        self._base = replace(
            turn.reply, state="streaming", error="", finish_reason="", model_id=link.model_id
        )
        self._batch = DeltaBatch(turn.conversation_id, turn.reply.id, outlets.delta, timer)
        self._parts = PartWriter(self._write_part, timer)
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._thought_began: float | None = None
        self._thought_seconds = turn.reply.reasoning_seconds
        self._earlier = turn.earlier
        self._last: ChatChunk | None = None
        self._stream: ChatStream | None = None
        self._how: How | None = None
        self._work: asyncio.Task[None] | None = None
        self._is_sent = False
        self.generation = link.generation
        self.found_nobody = False  # the server had just died: what waited goes on waiting for its return
        self.last_stats: InferenceStats | None = None  # of this part alone, as the server told

    @property
    def message(self) -> ChatMessage:
        content, reasoning = self._batch.emitted
        return replace(
            self._base, content=self._base.content + content, reasoning=self._base.reasoning + reasoning
        )

    def end(self, how: How) -> None:
        """Hang up and keep what is there; the first wish counts."""
        if self._how is None:
            self._how = how
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> ChatMessage:
        """The finished message, stored and told. Does not raise GenaiError: it is in the message."""
        self._work = asyncio.ensure_future(self._answer())
        if self._how is not None:
            self._work.cancel()
        try:
            await asyncio.wait({self._work})
        finally:
            self._work.cancel()  # only when this task itself is cancelled is there anything left to cancel
        await self._parts.close()
        error = None if self._work.cancelled() else self._work.exception()
        if error is not None and not isinstance(error, GenaiError):
            _log.error("a reply failed unexpectedly", exc_info=error)
            error = InferenceError(
                "Something went wrong inside this program; its log tells more.", code="INTERNAL"
            )
        message = self._finished(error)
        self._batch.finish(message.finish_reason, None if message.state == "waiting" else message.stats)
        told = [message]
        if self.turn.user is not None and not self._is_sent and message.state != "waiting":
            told.insert(0, replace(self.turn.user, state="done"))
            self._outlets.message(told[0])
        try:
            await self._store.save(*told)
        except GenaiError as failure:
            message = replace(message, error=f"{message.error} It could not be saved: {failure}".strip())
        self._outlets.message(message)
        return message

    # asking -----------------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        user = self.turn.user
        if user is not None:
            user = replace(user, state="done")
            await self._store.save(user, self._base)
            self._is_sent = True
            self._outlets.message(user)
        elif self.turn.reply.state != "streaming":
            await self._store.save(self._base)
        if self.turn.reply.state != "streaming":
            self._outlets.message(self._base)
        while True:
            try:
                await self._ask(await self._link.client())
            except GenaiError as error:
                if error.code != MODEL_LOADING or self._last is not None or self._content or self._reasoning:
                    raise
                await asyncio.sleep(_LOADING_RETRY)
            else:
                return

    async def _ask(self, client: LlamaClient) -> None:
        before = await self._store.history(self._base.id)
        messages = await request_messages(before.system_prompt, before.messages)
        if self._base.content or self._base.reasoning:
            last = unfinished(self._base.content, self._base.reasoning)
            if await self._can_continue(client, [*messages, last]):
                messages.append(unfinished(self._base.content, self._base.reasoning))
        self._stream = client.stream_chat(messages, self.turn.sampling)
        async with aclosing(self._stream) as stream:
            async for chunk in stream:
                self._take(chunk)

    async def _can_continue(self, client: LlamaClient, messages: list[dict[str, object]]) -> bool:
        """Ask the template. When it cannot continue, what was said is withdrawn and said anew."""
        content, reasoning = self._base.content, self._base.reasoning
        try:
            verdict = continuation(await client.apply_template(messages), content, reasoning)
        except (
            InvalidInputError,
            InferenceError,
            NotFoundError,
            EngineError,
        ):  # no prefill with this template
            verdict = "impossible"
        if verdict == "exact":
            return True
        if verdict == "impossible" and self.turn.must_continue:
            raise InferenceError(
                "This model's chat template cannot go on with a reply.",
                code="CANNOT_CONTINUE",
                remedy="Regenerate it, or ask the model to go on.",
            )
        if verdict == "trimmed":
            content, reasoning = (content.rstrip(), reasoning) if content else ("", reasoning.rstrip())
        else:
            content, reasoning, self._thought_seconds, self._earlier = "", "", 0.0, None
        self._base = replace(self._base, content=content, reasoning=reasoning)
        await self._store.save(self._base)
        self._outlets.message(self._base)
        return verdict == "trimmed"

    def _take(self, chunk: ChatChunk) -> None:
        if chunk.finish_reason:
            self._last = chunk
            return
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
            if self._thought_began is None:
                self._thought_began = self._timer.time()
        if chunk.content:
            self._content.append(chunk.content)
            self._end_thought()
        self._batch.add(chunk.content, chunk.reasoning, chunk.prompt_progress)
        self._parts.add(chunk.content, chunk.reasoning)

    def _end_thought(self) -> None:
        if self._thought_began is not None:
            self._thought_seconds += self._timer.time() - self._thought_began
            self._thought_began = None

    async def _write_part(self, content: str, reasoning: str) -> None:
        await self._store.append_part(self._base.id, content, reasoning)

    # ending -----------------------------------------------------------------------------------------------

    def _finished(self, error: GenaiError | None) -> ChatMessage:
        self._end_thought()
        last = self._last
        stats = last.stats if last is not None else self._stream.stats if self._stream is not None else None
        self.last_stats = stats
        state, reason, finish_reason = self._state(error)
        calls: tuple[ToolCall, ...] = last.tool_calls if last is not None else ()
        return replace(
            self._base,
            content=self._base.content + "".join(self._content),
            reasoning=self._base.reasoning + "".join(self._reasoning),
            state=state,
            finish_reason=finish_reason,
            error=reason,
            stats=added(self._earlier, stats),
            reasoning_seconds=self._thought_seconds,
            tool_calls=calls,
        )

    def _state(self, error: GenaiError | None) -> tuple[MessageState, str, str]:
        """State, what to tell, finish reason."""
        if self._last is not None:
            return "done", "", self._last.finish_reason
        if error is not None:
            if self.turn.reply.state == "waiting" and error.code in (SERVER_UNREACHABLE, NOT_LOADED):
                self.found_nobody = True
                return "waiting", "", ""
            if error.code not in (STREAM_CUT, SERVER_UNREACHABLE):
                return "failed", str(error), ""
            return "interrupted", _UNLOADED if self._link.is_leaving else str(error), ""
        if self._how == "pause":
            return "waiting", "", ""
        return ("stopped", "", "stopped") if self._how == "stop" else ("interrupted", _CLOSED, "")


def added(first: InferenceStats | None, second: InferenceStats | None) -> InferenceStats | None:
    """Measurements of a reply that was said in two parts."""
    if first is None or second is None:
        return first or second
    tokens = first.completion_tokens + second.completion_tokens
    busy = sum(
        part.completion_tokens / part.tokens_per_second for part in (first, second) if part.tokens_per_second
    )
    return InferenceStats(
        prompt_tokens=first.prompt_tokens or second.prompt_tokens,
        completion_tokens=tokens,
        cached_tokens=second.cached_tokens,
        tokens_per_second=tokens / busy if busy else 0.0,
        prompt_tokens_per_second=second.prompt_tokens_per_second or first.prompt_tokens_per_second,
        first_token_seconds=first.first_token_seconds or second.first_token_seconds,
        seconds=first.seconds + second.seconds,
    )
