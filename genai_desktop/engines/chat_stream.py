"""One streamed reply of an OpenAI-compatible server: frames in, chunks and measurements out."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genai_desktop.core.chat import InferenceStats, ToolCall
from genai_desktop.core.errors import GenaiError, InferenceError
from genai_desktop.engines.llama_errors import (
    BAD_REPLY,
    error_from_body,
    error_from_payload,
    error_from_transport,
    stream_cut,
)
from genai_desktop.engines.sse import EventTooLongError, SseParser

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class ChatChunk:
    """What one frame brought. Only the last one has finish_reason, stats and (complete) tool_calls.

    prompt_progress: 0..1 of the part of the prompt that was not in the cache, else None.
    """

    content: str = ""
    reasoning: str = ""
    prompt_progress: float | None = None
    finish_reason: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stats: InferenceStats | None = None


class ReplyMeter:
    """Counts and times of one reply. The first token is timed by our clock, speeds are the server's own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._first: float | None = None
        self._last = self._started
        self._pieces = 0
        self._progress: Mapping[str, Any] = {}
        self._timings: Mapping[str, Any] = {}
        self._usage: Mapping[str, Any] = {}

    def on_frame(self, frame: Mapping[str, Any]) -> None:
        for name in ("timings", "usage"):
            if isinstance(frame.get(name), Mapping):
                setattr(self, f"_{name}", frame[name])

    def on_progress(self, progress: Mapping[str, Any]) -> float:
        """Real progress 0..1: tokens that were in the cache do not count."""
        self._progress = progress
        total, cache, processed = (_count(progress.get(n)) for n in ("total", "cache", "processed"))
        if total <= cache:
            return 1.0
        return min(1.0, max(0.0, (processed - cache) / (total - cache)))

    def on_text(self) -> None:
        self._last = self._clock()
        self._pieces += 1
        if self._first is None:
            self._first = self._last

    def on_end(self) -> None:
        self._last = self._clock()

    def stats(self) -> InferenceStats:
        """As far as known now; before the last frame tokens are counted as pieces that arrived."""
        timings, usage = self._timings, self._usage
        cached = _count(timings.get("cache_n"))
        prompt = cached + _count(timings.get("prompt_n")) if timings else _count(self._progress.get("total"))
        completion = _count(timings.get("predicted_n")) if timings else self._pieces
        if not timings:
            cached = _count(self._progress.get("cache"))
        if usage:
            prompt = _count(usage.get("prompt_tokens")) or prompt
            completion = _count(usage.get("completion_tokens")) or completion
            known = usage.get("prompt_tokens_details")
            if not timings and isinstance(known, Mapping):
                cached = _count(known.get("cached_tokens"))
        speed = _rate(timings.get("predicted_per_second")) if completion > 1 else 0.0
        if not timings and self._first is not None and self._pieces > 1 and self._last > self._first:
            speed = (self._pieces - 1) / (self._last - self._first)
        return InferenceStats(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            tokens_per_second=speed,
            prompt_tokens_per_second=_rate(timings.get("prompt_per_second")),
            first_token_seconds=self._first - self._started if self._first is not None else 0.0,
            seconds=self._last - self._started,
        )


class ChatStream:
    """Iterate once; then or before then `aclose()`, which hangs up, and hanging up is what stops the
    server's work.

    Raises GenaiError subclasses: a refusal before the first chunk, an error frame, or STREAM_CUT when the
    stream ends without a finish reason. Everything that arrived before the error is yielded first. `stats`
    may be read at any time. A cancelled iteration has closed the connection when it raises.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[httpx.Response]], url: str, clock: Callable[[], float]
    ) -> None:
        self._connect = connect
        self._url = url
        self._clock = clock
        self._meter: ReplyMeter | None = None
        self._response: httpx.Response | None = None
        self._bytes: AsyncIterator[bytes] | None = None
        self._parser = SseParser()
        self._ready: deque[ChatChunk] = deque()
        self._failure: GenaiError | None = None
        self._finish_reason = ""
        self._tool_calls: dict[int, dict[str, str]] = {}
        self._is_over = False

    @property
    def stats(self) -> InferenceStats:
        return self._meter.stats() if self._meter is not None else InferenceStats()

    def __aiter__(self) -> ChatStream:
        return self

    async def __anext__(self) -> ChatChunk:
        while not self._ready:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._is_over:
                raise StopAsyncIteration
            try:
                await self._advance()
            except BaseException:  # cancelled or broken: hang up before anybody hears of it
                await self.aclose()
                raise
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Hang up. May be called again."""
        self._is_over = True
        response, self._response = self._response, None
        source, self._bytes = self._bytes, None
        try:
            if source is not None:
                await _unwind(source)
        finally:
            if response is not None:
                await response.aclose()

    async def _advance(self) -> None:
        import httpx

        try:
            if self._bytes is None:
                await self._open()
                return
            data = await anext(self._bytes, None)
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            if self._finish_reason:  # complete already, only the polite end is missing
                await self._end()
            else:
                known = error if isinstance(error, httpx.HTTPError | OSError) else OSError(str(error))
                await self._fail(
                    error_from_transport(known, self._url, is_reply=self._meter is not None and self._is_open)
                )
            return
        try:
            payloads = self._parser.close() if data is None else self._parser.feed(data)
            for payload in payloads:
                if payload.strip() == "[DONE]":
                    data = None
                    break
                self._take(payload, is_last=data is None)
        except EventTooLongError as error:
            await self._fail(_not_a_stream(str(error)))
            return
        except GenaiError as error:
            await self._fail(error)
            return
        if data is None:
            await self._end()

    @property
    def _is_open(self) -> bool:
        return self._response is not None

    async def _open(self) -> None:
        self._meter = ReplyMeter(self._clock)
        response = self._response = await self._connect()
        if response.status_code != 200:
            body = await response.aread()
            await self._fail(error_from_body(response.status_code, body))
            return
        kind = response.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            await self._fail(_not_a_stream(f"it sent {kind or 'no content type'}"))
            return
        self._bytes = response.aiter_raw()

    def _take(self, payload: str, *, is_last: bool) -> None:
        meter = self._meter
        if meter is None:
            return
        try:
            frame = json.loads(payload)
        except ValueError:
            if is_last:  # the connection broke inside a frame
                return
            raise _not_a_stream("a frame is not JSON") from None
        if not isinstance(frame, Mapping):
            raise _not_a_stream("a frame is not an object")
        if frame.get("error"):
            raise error_from_payload(frame["error"])
        meter.on_frame(frame)
        progress = frame.get("prompt_progress")
        if isinstance(progress, Mapping):
            self._ready.append(ChatChunk(prompt_progress=meter.on_progress(progress)))
        choices = frame.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, Mapping):
            self._take_choice(choice, meter)

    def _take_choice(self, choice: Mapping[str, Any], meter: ReplyMeter) -> None:
        delta = choice.get("delta")
        if isinstance(delta, Mapping):
            content = _text(delta.get("content"))
            reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
            if content or reasoning:
                meter.on_text()
                self._ready.append(ChatChunk(content=content, reasoning=reasoning))
            calls = delta.get("tool_calls")
            if isinstance(calls, list) and calls:
                meter.on_text()
                self._collect(calls)
        self._finish_reason = _text(choice.get("finish_reason")) or self._finish_reason

    def _collect(self, calls: list[Any]) -> None:
        """Tool calls come in pieces: the name once, the arguments as fragments of JSON."""
        for call in calls:
            if not isinstance(call, Mapping):
                continue
            function = call.get("function")
            parts = function if isinstance(function, Mapping) else {}
            known = self._tool_calls.setdefault(
                _count(call.get("index")), {"id": "", "name": "", "arguments": ""}
            )
            known["id"] = _text(call.get("id")) or known["id"]
            known["name"] = _text(parts.get("name")) or known["name"]
            known["arguments"] += _text(parts.get("arguments"))

    async def _end(self) -> None:
        if self._meter is None or not self._finish_reason:
            await self._fail(stream_cut())
            return
        self._meter.on_end()
        calls = tuple(ToolCall(**call) for _, call in sorted(self._tool_calls.items()))
        self._ready.append(
            ChatChunk(finish_reason=self._finish_reason, tool_calls=calls, stats=self._meter.stats())
        )
        await self.aclose()

    async def _fail(self, error: GenaiError) -> None:
        self._failure = error
        if self._meter is not None:
            self._meter.on_end()
        await self.aclose()


async def _unwind(source: AsyncIterator[bytes]) -> None:
    """End a chain of generators, each of which reads from the next, so that none is left to the collector.

    Closing the outer one would abandon the inner ones in the middle, and a loop without hooks for that
    (qasync) then lets them run into their own clean-up. A read that is cancelled ends all of them from
    inside.
    """
    while True:
        step = asyncio.ensure_future(_one(source))
        await asyncio.sleep(0)  # it must have begun: a task cancelled before would not enter the chain
        step.cancel()
        await asyncio.wait({step})
        if step.cancelled() or step.exception() is not None or step.result() is None:
            return


async def _one(source: AsyncIterator[bytes]) -> bytes | None:
    return await anext(source, None)


def _not_a_stream(why: str) -> InferenceError:
    return InferenceError(
        f"The server's answer is not a chat stream: {why}.",
        code=BAD_REPLY,
        remedy="Check that the port belongs to a llama-server.",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _rate(value: object) -> float:
    """A speed, or 0.0 when it is missing or absurd (one token in no time is infinitely fast)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0:
        return float(value)
    return 0.0
