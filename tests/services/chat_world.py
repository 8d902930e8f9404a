"""A conversation service with a real database and a scriptable model server, and a record of its events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from genai_desktop.core.chat import ChatDelta, ChatMessage, ChatQueueState, Conversation
from genai_desktop.core.events import Emitter
from genai_desktop.core.servers import ServerInfo, ServerStatus
from genai_desktop.library.database import Database
from genai_desktop.services.conversations import ConversationService
from tests.aio import until
from tests.fakes import chat_server as fake
from tests.fakes.chat_server import ChatServer, Reply, Request


class FakeLlama:
    """The manager's face towards the chat: where the server is, and that it changed."""

    def __init__(self, url: str, status: ServerStatus = "running") -> None:
        self.events = Emitter()
        self.url: str = url
        self.api_key = "key"
        self._info = ServerInfo("llama", status=status, model_id="guide", generation=1)

    @property
    def base_url(self) -> str | None:
        return self.url if self._info.status == "running" else None

    def get_info(self) -> ServerInfo:
        return self._info

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def become(self, status: ServerStatus, **values: Any) -> None:
        generation = self._info.generation + (status == "starting")
        self._info = replace(self._info, status=status, generation=generation, **values)
        self.events.emit("changed", self._info)


class ManualTimer:
    """A loop's clock that stands still until `advance`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.alarms: list[Alarm] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + delay, callback)
        self.alarms.append(alarm)
        return alarm

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [a for a in self.alarms if a.when <= end and not a.is_cancelled]:
            first = min(due, key=lambda alarm: alarm.when)
            self.alarms.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = end


@dataclass
class Alarm:
    when: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class Seen:
    """Events in order, and what a view that only follows them shows."""

    all: list[tuple[str, Any]] = field(default_factory=list)
    shown: dict[str, ChatMessage] = field(default_factory=dict)

    def take(self, name: str, value: Any) -> None:
        self.all.append((name, value))
        if name == "message_changed":
            self.shown[value.id] = value
        elif name == "conversation_changed":
            self.shown |= {message.id: message for message in value.messages}
        elif name == "delta":
            old = self.shown[value.message_id]
            assert old.state in ("streaming",), "a delta for a message that does not stream"
            self.shown[value.message_id] = replace(
                old, content=old.content + value.content, reasoning=old.reasoning + value.reasoning
            )

    def of(self, name: str) -> list[Any]:
        return [value for kind, value in self.all if kind == name]

    @property
    def deltas(self) -> list[ChatDelta]:
        return self.of("delta")

    def states(self, message_id: str) -> list[str]:
        """The states a message went through."""
        found = [m.state for m in self.of("message_changed") if m.id == message_id]
        return [state for index, state in enumerate(found) if not index or found[index - 1] != state]

    def last_state(self, conversation_id: str = "") -> ChatQueueState:
        found = [state for state in self.of("state_changed") if state.conversation_id == conversation_id]
        return found[-1]


Handler = Callable[[Request, Reply], Awaitable[None]]


class World:
    """`async with World(tmp_path, handler) as w`: w.service, w.llama, w.server, w.seen."""

    def __init__(
        self, folder: Path, handler: Handler, *, status: ServerStatus = "running", **options: Any
    ) -> None:
        self.database = Database(folder / "genai.sqlite3")
        self.server = ChatServer(handler)
        self.seen = Seen()
        self._status: ServerStatus = status
        self._options = options

    async def __aenter__(self) -> World:
        await asyncio.to_thread(self.database.open)
        await self.server.__aenter__()
        self.llama = FakeLlama(self.server.url, self._status)
        self.service = ConversationService(database=self.database, llama=self.llama, **self._options)
        for name in ("list_changed", "message_changed", "delta", "state_changed", "conversation_changed"):
            self.service.on(name, lambda value, name=name: self.seen.take(name, value))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.service.close()
        await self.server.__aexit__(kind, error, trace)
        await asyncio.to_thread(self.database.close)

    async def create(self) -> str:
        return (await self.service.create()).summary.id

    async def message(self, message_id: str) -> ChatMessage:
        """As stored."""
        return await self.service._store.get_message(message_id)

    async def finished(self, message_id: str) -> ChatMessage:
        """The reply, once it neither waits nor streams, as stored."""

        def is_over() -> bool:
            message = self.seen.shown.get(message_id)
            return message is not None and message.state not in ("waiting", "streaming")

        await until(is_over, what="the end of the reply")
        stored = await self.message(message_id)
        assert stored == self.seen.shown[message_id], "what was told is not what is stored"
        return stored

    async def conversation(self, conversation_id: str) -> Conversation:
        return await self.service.get(conversation_id)


def requests(world: World) -> list[Any]:
    """Bodies of the chat requests."""
    return [r.json for r in world.server.requests if r.path == "/v1/chat/completions"]


def saying(*pieces: str, reason: str = "stop") -> Handler:
    """Every request gets these pieces."""

    async def handler(request: Request, reply: Reply) -> None:
        await reply.start_stream()
        await reply.send(fake.whole(pieces, reason))
        await reply.end()

    return handler


class Script:
    """A handler a test leads by hand: each request waits in `replies` for what the test lets it say.

    /apply-template answers with `template` of the messages.
    """

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.template: Callable[[list[dict[str, Any]]], str | None] = lambda messages: "".join(
            str(message.get("reasoning_content", "")) + str(message["content"]) for message in messages
        )
        self.done: list[asyncio.Event] = []

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.path == "/apply-template":
            prompt = self.template(request.json["messages"])
            if prompt is None:
                said = "Assistant response prefill is incompatible with enable_thinking."
                error = {"code": 400, "message": said, "type": "invalid_request_error"}
                await reply.json(400, {"error": error})
            else:
                await reply.json(200, {"prompt": prompt})
            return
        await reply.start_stream()
        await reply.send(fake.ROLE)
        done = asyncio.Event()
        self.done.append(done)
        self.replies.append(reply)
        hang_up = asyncio.ensure_future(reply.hung_up.wait())
        end = asyncio.ensure_future(done.wait())
        await asyncio.wait({hang_up, end}, return_when=asyncio.FIRST_COMPLETED)
        hang_up.cancel()
        end.cancel()
        await asyncio.gather(hang_up, end, return_exceptions=True)

    async def asked(self, count: int) -> Reply:
        """The `count`-th request (from 1), once it is there."""
        await until(lambda: len(self.replies) >= count, what=f"request {count}")
        return self.replies[count - 1]

    async def say(self, number: int, *pieces: str) -> None:
        reply = await self.asked(number)
        await reply.send(b"".join(fake.delta(content=piece) for piece in pieces))

    async def think(self, number: int, *pieces: str) -> None:
        reply = await self.asked(number)
        await reply.send(b"".join(fake.delta(reasoning_content=piece) for piece in pieces))

    async def finish(self, number: int, reason: str = "stop", **counts: int) -> None:
        reply = await self.asked(number)
        await reply.send(fake.ending(reason, **counts))
        await reply.end()
        self.done[number - 1].set()
