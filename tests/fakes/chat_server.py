"""A scriptable HTTP server that streams like llama-server: real sockets, chunked bodies, and it notices a
hang-up.

Not kinder than the real thing: frames, headers and error bodies have the shapes of the recorded transcript.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply:
    """One answer on one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.hung_up = asyncio.Event()
        self._is_chunked = False

    async def json(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        await self.raw(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    async def start_stream(self, kind: str = "text/event-stream") -> None:
        self._is_chunked = True
        await self.raw(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )

    async def send(self, data: bytes) -> None:
        """One chunk of the body."""
        if data:
            await self.raw(b"%x\r\n" % len(data) + data + b"\r\n")

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        if not self.hung_up.is_set():
            self._writer.write(data)
            await self._writer.drain()

    def drop(self) -> None:
        """Die: the socket closes in the middle of whatever was being said."""
        self._writer.transport.abort()


Handler = Callable[[Request, Reply], Awaitable[None]]


@dataclass
class ChatServer:
    """`async with ChatServer(handler) as server`: server.url, server.requests, server.hang_ups."""

    handler: Handler
    requests: list[Request] = field(default_factory=list)
    hang_ups: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> ChatServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        while self._tasks:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.wait({*self._tasks})
        await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        self._writers.add(writer)
        try:
            await self._answer(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(connection)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hang_ups += 1
            return
        self.requests.append(request)
        reply = Reply(writer)

        async def watch() -> None:
            with suppress(ConnectionError):
                while await reader.read(4096):
                    pass
            self.hang_ups += 1
            reply.hung_up.set()

        async def handle() -> None:
            with suppress(ConnectionError):
                await self.handler(request, reply)

        watcher, handler = asyncio.ensure_future(watch()), asyncio.ensure_future(handle())
        self._tasks |= {watcher, handler}
        await asyncio.wait({handler})
        watcher.cancel()
        await asyncio.wait({watcher})
        self._tasks -= {watcher, handler}
        if not handler.cancelled():
            handler.result()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (li.partition(":") for li in lines if li)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


# frames ---------------------------------------------------------------------------------------------------


def frame(**fields: Any) -> bytes:
    """One event with the fields every frame of llama-server has."""
    base = {"created": 1795218078, "id": "chatcmpl-x", "model": "tiny", "object": "chat.completion.chunk"}
    return b"data: " + json.dumps({**fields, **base}, ensure_ascii=False).encode() + b"\n\n"


def delta(**fields: Any) -> bytes:
    return frame(choices=[{"finish_reason": None, "index": 0, "delta": fields}])


ROLE = delta(role="assistant", content=None)
DONE = b"data: [DONE]\n\n"


def timings(cache: int = 15, prompt: int = 1, predicted: int = 3) -> dict[str, Any]:
    return {
        "cache_n": cache,
        "prompt_n": prompt,
        "prompt_ms": 5.0,
        "prompt_per_second": 200.0,
        "predicted_n": predicted,
        "predicted_ms": predicted * 10.0,
        "predicted_per_second": 100.0,
    }


def ending(reason: str = "stop", cache: int = 15, prompt: int = 1, predicted: int = 3) -> bytes:
    """finish_reason, usage with timings, and the end mark."""
    usage = {
        "completion_tokens": predicted,
        "prompt_tokens": cache + prompt,
        "total_tokens": cache + prompt + predicted,
        "prompt_tokens_details": {"cached_tokens": cache},
    }
    return (
        frame(choices=[{"finish_reason": reason, "index": 0, "delta": {}}])
        + frame(choices=[], usage=usage, timings=timings(cache, prompt, predicted))
        + DONE
    )


def progress(total: int, cache: int, processed: int) -> bytes:
    return frame(
        choices=[{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}],
        prompt_progress={"total": total, "cache": cache, "processed": processed, "time_ms": 1},
    )


def whole(pieces: Iterable[str], reason: str = "stop") -> bytes:
    """A complete stream that says `pieces`."""
    parts = list(pieces)
    return ROLE + b"".join(delta(content=piece) for piece in parts) + ending(reason, predicted=len(parts))
