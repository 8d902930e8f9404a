"""The client against streams cut anywhere, every refusal of the contract, and a server that notices
hang-ups.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.core.chat import SamplingParameters
from genai_desktop.core.errors import (
    ContextExceededError,
    EngineError,
    GenaiError,
    InferenceError,
    InvalidInputError,
    NotFoundError,
    ServerError,
    ServerTimeoutError,
)
from genai_desktop.engines.chat_stream import ChatChunk
from genai_desktop.engines.llama_client import LlamaClient
from tests.aio import run, until
from tests.fakes import chat_server as fake
from tests.fakes.chat_server import ChatServer, Reply, Request

HELLO = [{"role": "user", "content": "hello"}]
RECORDED = Path(__file__).parents[1] / "fakes" / "recordings" / "llama_http_transcript.txt"


class Chunks(httpx.AsyncByteStream):
    """A body that arrives in the given pieces, and may break."""

    def __init__(self, pieces: Iterable[bytes], error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        self.is_closed = True


def client_of(body: Chunks, kind: str = "text/event-stream") -> LlamaClient:
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers={"content-type": kind}, stream=body)
    )
    return LlamaClient("http://127.0.0.1:9", "key", transport=transport)


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    points = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(points)]


async def read(client: LlamaClient, **options: Any) -> tuple[list[ChatChunk], GenaiError | None]:
    """All chunks, and the error that ended them."""
    chunks: list[ChatChunk] = []
    stream = client.stream_chat(HELLO, **options)
    try:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - a comprehension would lose what came before an error
    except GenaiError as error:
        return chunks, error
    finally:
        await stream.aclose()
        await client.aclose()
    return chunks, None


def text(chunks: list[ChatChunk]) -> str:
    return "".join(chunk.content for chunk in chunks)


# streams --------------------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_a_stream_cut_anywhere_reads_the_same(cuts: list[int]) -> None:
    words = ["Grüße ", "aus ", "日本", " 👩‍👩‍👧‍👦", " \u0000\x1b[31m", "\u202eend", "\n\ndata: x\n\n", '"}{']
    data = (
        b": ping\n\n"
        + fake.progress(16, 4, 4)
        + fake.progress(16, 4, 10)
        + fake.ROLE
        + fake.ROLE
        + fake.delta(reasoning_content="hmm ü")
        + b":\n\n"
        + b"".join(fake.delta(content=word) for word in words)
        + fake.ending(predicted=9)
    )
    chunks, error = run(read(client_of(Chunks(pieces_of(data, cuts)))))
    assert error is None
    assert text(chunks) == "".join(words)
    assert "".join(chunk.reasoning for chunk in chunks) == "hmm ü"
    assert [c.prompt_progress for c in chunks if c.prompt_progress is not None] == [0.0, 0.5]
    assert chunks[-1].finish_reason == "stop"
    assert [c.finish_reason for c in chunks[:-1]] == [""] * (len(chunks) - 1)
    assert chunks[-1].stats is not None
    assert chunks[-1].stats.completion_tokens == 9


def recorded_streams() -> list[bytes]:
    """The chat streams of a real llama-server, byte for byte."""
    whole = RECORDED.read_text(encoding="utf-8")
    found = re.findall(
        r"POST /v1/chat/completions -> 200 text/event-stream\n(.*?data: \[DONE\]\n\n)", whole, re.DOTALL
    )
    assert len(found) == 2
    return [one.encode() for one in found]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=40))
def test_the_recorded_streams_cut_anywhere(cuts: list[int]) -> None:
    plain, full = recorded_streams()
    chunks, error = run(read(client_of(Chunks(pieces_of(plain, cuts)))))
    assert error is None
    assert text(chunks).endswith("cou3")
    assert chunks[-1].finish_reason == "length"
    assert chunks[-1].stats is not None
    assert (chunks[-1].stats.prompt_tokens, chunks[-1].stats.cached_tokens) == (16, 15)
    assert chunks[-1].stats.tokens_per_second == pytest.approx(3683.2412)
    chunks, error = run(read(client_of(Chunks(pieces_of(full, cuts)))))
    assert error is None
    assert [c.prompt_progress for c in chunks if c.prompt_progress is not None] == [0.0, 1.0]
    assert chunks[-1].stats is not None
    assert chunks[-1].stats.completion_tokens == 3
    assert chunks[-1].stats.total_tokens == 19
    assert chunks[-1].stats.prompt_tokens_per_second == pytest.approx(194.5525)


def test_tool_calls_are_collected_from_fragments() -> None:
    def call(index: int, **fields: Any) -> bytes:
        return fake.delta(tool_calls=[{"index": index, **fields}])

    data = (
        fake.ROLE
        + call(0, id="a1", type="function", function={"name": "generate_image", "arguments": '{"pro'})
        + call(1, id="b2", type="function", function={"name": "other", "arguments": ""})
        + call(0, function={"arguments": 'mpt":"a cat"}'})
        + call(1, function={"arguments": "{}"})
        + fake.ending("tool_calls")
    )
    chunks, error = run(read(client_of(Chunks([data]))))
    assert error is None
    assert chunks[-1].finish_reason == "tool_calls"
    first, second = chunks[-1].tool_calls
    assert (first.id, first.name, json.loads(first.arguments)) == (
        "a1",
        "generate_image",
        {"prompt": "a cat"},
    )
    assert (second.name, second.arguments) == ("other", "{}")


def test_the_first_token_is_timed_by_our_clock() -> None:
    now = [10.0]

    class Slow(Chunks):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield fake.progress(4, 0, 4) + fake.ROLE
            now[0] = 12.5
            yield fake.delta(content="a")
            now[0] = 13.0
            yield fake.delta(content="b")
            now[0] = 14.0
            yield fake.ending()

    transport = httpx.MockTransport(
        lambda r: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow([]))
    )
    client = LlamaClient("http://x", transport=transport, clock=lambda: now[0])
    chunks, _ = run(read(client))
    stats = chunks[-1].stats
    assert stats is not None
    assert stats.first_token_seconds == 2.5
    assert stats.seconds == 4.0
    assert stats.tokens_per_second == 100.0  # the server's own


def test_measurements_are_known_before_the_end_too() -> None:
    """A stopped reply has no last frame: tokens are what arrived, the prompt is what the progress said."""

    async def go() -> None:
        data = fake.progress(50, 20, 50) + fake.delta(content="a") + fake.delta(content="b")
        now = iter(x / 10 for x in range(100))
        client = client_of(Chunks([data, fake.delta(content="c")]))
        client._clock = lambda: next(now)
        stream = client.stream_chat(HELLO)
        assert stream.stats.total_tokens == 0
        for _ in range(4):
            await anext(stream)
        assert (stream.stats.prompt_tokens, stream.stats.cached_tokens) == (50, 20)
        assert stream.stats.completion_tokens == 3
        assert stream.stats.tokens_per_second == pytest.approx(10.0)
        await stream.aclose()
        await client.aclose()

    run(go())


def test_one_token_has_no_speed() -> None:
    data = fake.ROLE + fake.delta(content="x") + fake.ending(predicted=1)
    chunks, _ = run(read(client_of(Chunks([data]))))
    assert chunks[-1].stats is not None
    assert chunks[-1].stats.tokens_per_second == 0.0


@pytest.mark.parametrize(
    "hostile",
    [
        {"choices": "no"},
        {"choices": [None]},
        {"choices": [{"delta": [], "finish_reason": 7}]},
        {"choices": [{"delta": {"content": 5, "tool_calls": [3, {"index": "x", "function": 8}]}}]},
        {"prompt_progress": {"total": "a", "cache": None, "processed": -1}},
        {"usage": {"prompt_tokens": True}, "timings": {"predicted_per_second": "fast", "cache_n": -4}},
    ],
)
def test_frames_of_the_wrong_shape_are_survived(hostile: dict[str, Any]) -> None:
    data = fake.delta(content="ok") + b"data: " + json.dumps(hostile).encode() + b"\n\n" + fake.ending()
    chunks, error = run(read(client_of(Chunks([data]))))
    assert error is None
    assert text(chunks) == "ok"


# breaking off ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [
        Chunks([fake.ROLE + fake.delta(content="half")]),
        Chunks([fake.ROLE + fake.delta(content="half") + fake.DONE]),
        Chunks([fake.ROLE + fake.delta(content="half") + b'data: {"choices":[{"del']),
        Chunks(
            [fake.ROLE + fake.delta(content="half")], httpx.RemoteProtocolError("incomplete chunked read")
        ),
        Chunks([fake.ROLE + fake.delta(content="half")], httpx.ReadError("reset")),
    ],
)
def test_a_stream_without_a_finish_reason_is_a_failure_and_keeps_what_came(ending: Chunks) -> None:
    chunks, error = run(read(client_of(ending)))
    assert text(chunks) == "half"
    assert isinstance(error, InferenceError)
    assert error.code == "STREAM_CUT"
    assert error.remedy
    assert ending.is_closed


def test_a_reply_that_lost_only_its_polite_end_is_complete() -> None:
    data = fake.delta(content="all") + fake.frame(choices=[{"finish_reason": "stop", "delta": {}}])
    for body in (Chunks([data]), Chunks([data], httpx.RemoteProtocolError("cut"))):
        chunks, error = run(read(client_of(body)))
        assert error is None
        assert (text(chunks), chunks[-1].finish_reason) == ("all", "stop")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=8), st.booleans())
def test_an_error_frame_in_the_middle(cuts: list[int], is_old_form: bool) -> None:
    error_object = {"code": 500, "message": "Compute error.", "type": "server_error"}
    line = (
        b"error: " + json.dumps(error_object).encode()
        if is_old_form
        else b"data: " + json.dumps({"error": error_object}).encode()
    )
    data = fake.ROLE + fake.delta(content="part") + line + b"\n\n"
    chunks, error = run(read(client_of(Chunks(pieces_of(data, cuts)))))
    assert text(chunks) == "part"
    assert isinstance(error, InferenceError)
    assert error.code == "INFERENCE_FAILED"
    assert "Compute error." in error.message


def test_the_context_may_run_out_in_the_middle() -> None:
    frame = {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
    data = fake.delta(content="part") + b"data: " + json.dumps(frame).encode() + b"\n\n"
    _, error = run(read(client_of(Chunks([data]))))
    assert isinstance(error, ContextExceededError)


@pytest.mark.parametrize("body", [b"data: nonsense\n\n", b"data: [1]\n\n", b"data: " + b"x" * 100 + b"\n\n"])
def test_a_stream_of_something_else_is_refused(body: bytes) -> None:
    _, error = run(read(client_of(Chunks([body]))))
    assert error is not None
    assert error.code == "BAD_REPLY"


def test_a_page_instead_of_a_stream_is_refused() -> None:
    _, error = run(read(client_of(Chunks([b"<html>hello</html>"]), kind="text/html")))
    assert error is not None
    assert error.code == "BAD_REPLY"


def test_an_endless_line_does_not_fill_the_memory() -> None:
    body = Chunks([b"data: " + b"x" * (1 << 20)] + [b"x" * (1 << 20)] * 40)
    _, error = run(read(client_of(body)))
    assert error is not None
    assert error.code == "BAD_REPLY"


# refusals: the table of the contract ----------------------------------------------------------------------

CONTEXT = {
    "message": "request (3016 tokens) exceeds the available context size (1024 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 3016,
    "n_ctx": 1024,
}
NO_EYES = "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"


def said(message: str, kind: str = "server_error") -> dict[str, Any]:
    return {"message": message, "type": kind}


BAD = "invalid_request_error"
CASES: list[tuple[int, dict[str, Any], type[GenaiError], str]] = [
    (400, CONTEXT, ContextExceededError, "CONTEXT_EXCEEDED"),
    (503, said("Loading model", "unavailable_error"), ServerError, "MODEL_LOADING"),
    (401, said("Invalid API Key", "authentication_error"), ServerError, "UNAUTHORIZED"),
    (500, said(NO_EYES), InferenceError, "IMAGES_UNSUPPORTED"),
    (500, said("parse error at line 1"), InferenceError, "INFERENCE_FAILED"),
    (400, said("parse error", BAD), InvalidInputError, "INVALID_REQUEST"),
    (400, said("'messages' is required", BAD), InvalidInputError, "INVALID_REQUEST"),
    (501, said("Start it with `--embeddings`", "not_supported_error"), EngineError, "NOT_SUPPORTED"),
    (404, said("File Not Found", "not_found_error"), NotFoundError, "NOT_FOUND"),
    (400, said("model 'x' not found", BAD), InvalidInputError, "INVALID_REQUEST"),
    (500, said("model name=x failed to load"), InferenceError, "INFERENCE_FAILED"),
    (500, said("Compute error."), InferenceError, "INFERENCE_FAILED"),
    (413, said("Payload Too Large"), InvalidInputError, "TOO_LARGE"),
]


@pytest.mark.parametrize(("status", "error", "kind", "code"), CASES)
def test_every_refusal_before_a_stream_is_typed(
    status: int, error: dict[str, Any], kind: type[GenaiError], code: str
) -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            await reply.json(status, {"error": {"code": status, **error}})

        async with ChatServer(handler) as server:
            chunks, raised = await read(LlamaClient(server.url, "key"))
            assert chunks == []
            assert isinstance(raised, kind)
            assert raised.code == code
            assert raised.message
            if kind is ContextExceededError:
                assert raised.details["n_prompt_tokens"] == 3016
                assert raised.details["n_ctx"] == 1024
                assert "3,016" in raised.message

    run(go())


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"boom"), (302, b""), (200, b"[]"), (200, b"\xff"), (418, b'{"error":"teapot"}')],
)
def test_strangers_on_the_port_are_typed_too(status: int, body: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=body))

    async def go() -> None:
        async with LlamaClient("http://x", transport=transport) as client:
            with pytest.raises(GenaiError):
                await client.props()
            with pytest.raises(GenaiError):
                await anext(client.stream_chat(HELLO))

    run(go())


def test_nobody_listens() -> None:
    async def go() -> None:
        async def nothing(request: Request, reply: Reply) -> None: ...

        async with ChatServer(nothing) as server:
            url = server.url
        chunks, error = await read(LlamaClient(url))
        assert chunks == []
        assert isinstance(error, ServerError)
        assert error.code == "SERVER_UNREACHABLE"
        async with LlamaClient(url) as client:
            assert await client.health() == "unknown"

    run(go())


def test_the_server_dies_before_it_answers_and_while_it_streams() -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            if len(server.requests) > 1:
                await reply.start_stream()
                await reply.send(fake.ROLE + fake.delta(content="one "))
                await reply.send(fake.delta(content="two"))
                await asyncio.sleep(0)  # lets the kernel send before the reset
                await seen.wait()
            reply.drop()

        seen = asyncio.Event()
        async with ChatServer(handler) as server:
            _, error = await read(LlamaClient(server.url))
            assert isinstance(error, ServerError)
            client = LlamaClient(server.url)
            stream = client.stream_chat(HELLO)
            got = [(await anext(stream)).content, (await anext(stream)).content]
            seen.set()
            with pytest.raises(InferenceError) as raised:
                await anext(stream)
            assert raised.value.code == "STREAM_CUT"
            assert got == ["one ", "two"]
            await client.aclose()

    run(go())


# cancelling -----------------------------------------------------------------------------------------------


def endless(started: asyncio.Event) -> Callable[[Request, Reply], Awaitable[None]]:
    async def handler(request: Request, reply: Reply) -> None:
        await reply.start_stream()
        await reply.send(fake.progress(10, 0, 5))
        started.set()
        await reply.hung_up.wait()

    return handler


@pytest.mark.parametrize("how", ["close", "cancel", "break", "client"])
def test_hanging_up_reaches_the_server(how: str) -> None:
    async def go() -> None:
        started = asyncio.Event()
        async with ChatServer(endless(started)) as server:
            client = LlamaClient(server.url, "key")
            stream = client.stream_chat(HELLO)
            assert (await anext(stream)).prompt_progress == 0.5
            if how == "cancel":
                task = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            elif how == "client":
                await client.aclose()
            else:
                await stream.aclose()
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
            await until(lambda: server.hang_ups == 1, what="the hang-up")
            await stream.aclose()
            await client.aclose()

    run(go())


@pytest.mark.parametrize("how", ["read", "close", "cancel", "refuse"])
def test_no_generator_is_left_to_the_collector(how: str) -> None:
    """A loop without hooks for them (qasync) would let them die in the middle of their clean-up."""

    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            if how == "refuse":
                await reply.json(400, {"error": {"code": 400, "message": "no", "type": BAD}})
                return
            await reply.start_stream()
            await reply.send(fake.whole(["one ", "two"]) if how == "read" else fake.delta(content="one "))
            if how == "read":
                await reply.end()
            else:
                await reply.hung_up.wait()

        abandoned: list[object] = []
        hooks = sys.get_asyncgen_hooks()
        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            sys.set_asyncgen_hooks(firstiter=None, finalizer=abandoned.append)
            try:
                stream = client.stream_chat(HELLO)
                if how == "refuse":
                    with pytest.raises(InvalidInputError):
                        await anext(stream)
                elif how == "read":
                    assert text([chunk async for chunk in stream]) == "one two"
                else:
                    assert (await anext(stream)).content == "one "
                if how == "cancel":
                    task = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait({task})
                await stream.aclose()
                del stream
                gc.collect()
                assert abandoned == []
            finally:
                sys.set_asyncgen_hooks(*hooks)

    run(go())


def test_cancelling_while_the_server_has_not_even_answered() -> None:
    async def go() -> None:
        arrived = asyncio.Event()

        async def handler(request: Request, reply: Reply) -> None:
            arrived.set()
            await reply.hung_up.wait()

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            task = asyncio.ensure_future(anext(client.stream_chat(HELLO)))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: server.hang_ups == 1, what="the hang-up")

    run(go())


# requests -------------------------------------------------------------------------------------------------


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert "HTTP_PROXY" in os.environ

    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            await reply.start_stream()
            await reply.send(fake.whole(["hi"]))
            await reply.end()

        async with ChatServer(handler) as server:
            sampling = SamplingParameters(temperature=0.0, top_k=5, seed=0, max_tokens=7)
            await read(LlamaClient(server.url + "/", "secret"), sampling=sampling)
            request = server.requests[0]
        assert (request.method, request.path) == ("POST", "/v1/chat/completions")
        assert request.headers["authorization"] == "Bearer secret"
        assert "x-conversation-id" not in request.headers
        body = request.json
        assert body["messages"] == HELLO
        assert body["stream"] is True
        assert body["return_progress"] is True
        assert body["cache_prompt"] is True
        assert body["id_slot"] == 0
        assert (body["temperature"], body["top_k"], body["seed"], body["max_tokens"]) == (0.0, 5, 0, 7)
        assert "top_p" not in body
        assert "tools" not in body

    run(go())


def test_two_streams_have_two_connections() -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            await reply.start_stream()
            await reply.send(fake.ROLE + fake.delta(content=request.json["messages"][0]["content"]))
            await reply.hung_up.wait()

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            first = client.stream_chat([{"role": "user", "content": "a"}])
            second = client.stream_chat([{"role": "user", "content": "b"}])
            assert (await anext(first)).content == "a"
            assert (await anext(second)).content == "b"
            await first.aclose()
            await until(lambda: server.hang_ups == 1, what="the first hang-up")
            await second.aclose()
            await until(lambda: server.hang_ups == 2, what="the second hang-up")

    run(go())


def test_counting_tokens_and_its_older_way() -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            if request.path == "/v1/chat/completions/input_tokens" and is_new:
                await reply.json(200, {"input_tokens": 16, "object": "response.input_tokens"})
            elif request.path == "/apply-template":
                await reply.json(200, {"prompt": "<s>hello"})
            elif request.path == "/tokenize":
                assert request.json["content"] == "<s>hello"
                await reply.json(200, {"tokens": [1, 2, 3]})
            else:
                await reply.json(
                    404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}
                )

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            is_new = True
            assert await client.count_tokens(HELLO) == 16
            is_new = False
            assert await client.count_tokens(HELLO) == 3

    run(go())


def test_health_and_props() -> None:
    async def go() -> None:
        status = 503

        async def handler(request: Request, reply: Reply) -> None:
            if status == 200:
                await reply.json(200, {"status": "ok", "total_slots": 1})
            else:
                kind = "unavailable_error" if status == 503 else "server_error"
                await reply.json(
                    status, {"error": {"message": "Loading model", "type": kind, "code": status}}
                )

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            assert await client.health() == "loading"
            with pytest.raises(ServerError) as loading:
                await client.props()
            assert loading.value.code == "MODEL_LOADING"
            status = 500
            assert await client.health() == "error"
            status = 200
            assert await client.health() == "ok"
            assert (await client.props())["total_slots"] == 1

    run(go())


def test_an_answer_that_never_comes_is_a_time_out() -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            await reply.hung_up.wait()

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            assert await client.health(timeout=0.05) == "error"
            with pytest.raises(ServerTimeoutError):
                await client._ask("GET", "/props", timeout=0.05)

    run(go())


def test_slots() -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            action = request.path.partition("action=")[2]
            name = request.json.get("filename", "")
            if name == "bad.bin":
                said = "Unable to restore slot: No available space in KV cache or invalid slot save file"
                await reply.json(
                    400, {"error": {"code": 400, "message": said, "type": "invalid_request_error"}}
                )
            elif action == "save":
                await reply.json(200, {"id_slot": 0, "filename": name, "n_saved": 18, "n_written": 7316})
            elif action == "restore":
                await reply.json(200, {"id_slot": 0, "filename": name, "n_restored": 18, "n_read": 7316})
            else:
                await reply.json(200, {"id_slot": 0, "n_erased": 3})

        async with ChatServer(handler) as server, LlamaClient(server.url) as client:
            assert await client.save_slot("a.bin") == 18
            assert await client.restore_slot("a.bin", slot=1) == 18
            assert await client.erase_slot() == 3
            assert [r.path for r in server.requests] == [
                "/slots/0?action=save",
                "/slots/1?action=restore",
                "/slots/0?action=erase",
            ]
            with pytest.raises(InferenceError) as refused:
                await client.restore_slot("bad.bin")
            assert refused.value.code == "SLOT_RESTORE_FAILED"
            assert "No available space" in refused.value.message

    run(go())


def test_an_address_that_is_none() -> None:
    async def go() -> None:
        async with LlamaClient("http://x\x00y") as client:
            with pytest.raises(InvalidInputError):
                await client.props()

    run(go())
