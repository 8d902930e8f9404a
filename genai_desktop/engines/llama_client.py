"""The client of one llama-server: streamed chat, token counts, properties, slots."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genai_desktop.core.chat import SamplingParameters
from genai_desktop.core.errors import (
    EngineError,
    GenaiError,
    InferenceError,
    InvalidInputError,
    NotFoundError,
)
from genai_desktop.core.servers import ServerHealth
from genai_desktop.engines.chat_stream import ChatStream
from genai_desktop.engines.deadline import Deadline
from genai_desktop.engines.llama_errors import (
    BAD_REPLY,
    MODEL_LOADING,
    SERVER_UNREACHABLE,
    SLOT_ERASE_FAILED,
    SLOT_RESTORE_FAILED,
    SLOT_SAVE_FAILED,
    error_from_body,
    error_from_transport,
)

if TYPE_CHECKING:
    import httpx

Message = Mapping[str, Any]  # {"role": ..., "content": text or parts, ...} as the OpenAI API has it

_SLOT_SECONDS = 600.0  # gigabytes to and from a slow disk, and a busy slot is waited for
_ANSWER_SECONDS = 60.0


class LlamaClient:
    """Talks to one llama-server (or any OpenAI-compatible server, without slots then).

    Every request has a connection of its own, so that closing a reply's connection stops exactly that reply,
    and no kept-alive connection can have died unnoticed. Proxies and other settings of the environment are
    ignored. Every method raises GenaiError subclasses only (see engines.llama_errors).
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._transport = transport
        self._clock = clock
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> LlamaClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; replies still streaming end with STREAM_CUT. Idempotent."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    # chat -------------------------------------------------------------------------------------------------

    def stream_chat(
        self,
        messages: Sequence[Message],
        sampling: SamplingParameters | None = None,
        *,
        slot: int | None = 0,
        cache_prompt: bool = True,
        reasoning_budget: int | None = None,
        is_thinking: bool | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> ChatStream:
        """The reply as an asynchronous iterator of ChatChunk; nothing is sent before the first `anext`.

        A last message of the assistant is continued, not answered. slot: the server slot that keeps the
        prompt (None: the server chooses). reasoning_budget: tokens of thought at most; is_thinking: switch
        thought on or off where the model's template can. Close the stream (`aclose`) unless it was read to
        its end.
        """
        body = chat_body(
            messages,
            sampling or SamplingParameters(),
            slot=slot,
            cache_prompt=cache_prompt,
            reasoning_budget=reasoning_budget,
            is_thinking=is_thinking,
            tools=tools,
        )

        async def connect() -> httpx.Response:
            http = self._client()
            request = http.build_request(
                "POST",
                "/v1/chat/completions",
                content=_encode(body),
                headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
            )
            return await http.send(request, stream=True)

        return ChatStream(connect, self.base_url, self._clock)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of this conversation as the model would read it, the template included."""
        body = {"messages": list(messages)}
        try:
            answer = await self._ask("POST", "/v1/chat/completions/input_tokens", body)
        except (NotFoundError, EngineError):  # builds before 2026
            text = await self.apply_template(messages)
            answer = await self._ask(
                "POST", "/tokenize", {"content": text, "add_special": True, "parse_special": True}
            )
            tokens = answer.get("tokens")
            if isinstance(tokens, list):
                return len(tokens)
        count = answer.get("input_tokens")
        if not isinstance(count, int):
            raise _strange_answer("the token count is missing")
        return count

    async def apply_template(self, messages: Sequence[Message]) -> str:
        """The text the model gets for these messages."""
        answer = await self._ask("POST", "/apply-template", {"messages": list(messages)})
        prompt = answer.get("prompt")
        if not isinstance(prompt, str):
            raise _strange_answer("the prompt is missing")
        return prompt

    # state ------------------------------------------------------------------------------------------------

    async def props(self) -> dict[str, Any]:
        """What the server says of itself: effective n_ctx, slots, template, modalities (contract: /props)."""
        return await self._ask("GET", "/props")

    async def health(self, timeout: float = 5.0) -> ServerHealth:
        """ "ok", "loading", "error", or "unknown" when nobody answers. Never raises."""
        try:
            await self._ask("GET", "/health", timeout=timeout)
        except GenaiError as error:
            if error.code == MODEL_LOADING:
                return "loading"
            return "unknown" if error.code == SERVER_UNREACHABLE else "error"
        return "ok"

    # slots ------------------------------------------------------------------------------------------------

    async def save_slot(self, filename: str, slot: int = 0) -> int:
        """Write the slot's tokens to the server's slot folder under a bare file name; number of tokens
        saved.
        """
        return await self._slot("save", slot, "n_saved", SLOT_SAVE_FAILED, filename)

    async def restore_slot(self, filename: str, slot: int = 0) -> int:
        """Read the slot back; number of tokens restored. A restore that fails leaves the slot empty."""
        return await self._slot("restore", slot, "n_restored", SLOT_RESTORE_FAILED, filename)

    async def erase_slot(self, slot: int = 0) -> int:
        """Forget the slot's tokens; how many it held."""
        return await self._slot("erase", slot, "n_erased", SLOT_ERASE_FAILED)

    async def _slot(self, action: str, slot: int, key: str, code: str, filename: str = "") -> int:
        body = {"filename": filename} if filename else {}
        try:
            answer = await self._ask("POST", f"/slots/{slot}?action={action}", body, timeout=_SLOT_SECONDS)
        except (InvalidInputError, InferenceError, EngineError) as error:
            said = error.details.get("message") or error.message
            raise InferenceError(
                f"The model's memory of the conversation could not be {_DONE[action]}: {said}.",
                code=code,
                remedy="Nothing is lost: the model reads the conversation again.",
                details=error.details,
            ) from error
        count = answer.get(key)
        if not isinstance(count, int):
            raise _strange_answer(f"{key} is missing")
        return count

    # transport --------------------------------------------------------------------------------------------

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            import ssl

            import httpx

            # plain http needs no certificates, and reading the bundle takes longer than a first token; an
            # empty context trusts nobody, so a redirect could not use it either
            is_plain = self.base_url.startswith("http://")
            try:
                self._http = httpx.AsyncClient(
                    base_url=self.base_url,
                    headers={
                        **({"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}),
                        "Accept-Encoding": "identity",
                    },
                    timeout=httpx.Timeout(connect=5.0, write=60.0, pool=5.0, read=None),
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else True,
                    transport=self._transport,
                    follow_redirects=False,
                    trust_env=False,
                )
            except (httpx.InvalidURL, UnicodeEncodeError) as error:
                raise InvalidInputError(
                    f"{self.base_url!r} is not the address of a server: {error}."
                ) from error
        return self._http

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout: float = _ANSWER_SECONDS
    ) -> dict[str, Any]:
        import httpx

        headers = {"Content-Type": "application/json"} if body is not None else {}
        content = _encode(body) if body is not None else None
        try:
            async with Deadline(timeout):
                response = await self._client().request(method, path, content=content, headers=headers)
        except TimeoutError:
            raise error_from_transport(httpx.ReadTimeout("no answer"), self.base_url) from None
        except (httpx.HTTPError, OSError) as error:
            raise error_from_transport(error, self.base_url) from error
        if response.status_code != 200:
            raise error_from_body(response.status_code, response.content)
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise _strange_answer("it is not a JSON object")
        return answer


_DONE = {"save": "saved", "restore": "restored", "erase": "erased"}


def chat_body(
    messages: Sequence[Message],
    sampling: SamplingParameters,
    *,
    slot: int | None = 0,
    cache_prompt: bool = True,
    reasoning_budget: int | None = None,
    is_thinking: bool | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The JSON of a chat request. What is None is left out: the server or the model decides."""
    body: dict[str, Any] = {
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "cache_prompt": cache_prompt,
    }
    if slot is not None:
        body["id_slot"] = slot
    for name in ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if reasoning_budget is not None:
        body["reasoning_budget_tokens"] = reasoning_budget
    if is_thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": is_thinking}
    if tools:
        body["tools"] = list(tools)
    return body


def _encode(body: Mapping[str, Any]) -> bytes:
    # a lone surrogate cannot be written as UTF-8 and would be refused as JSON: it becomes "?"
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _strange_answer(why: str) -> InferenceError:
    return InferenceError(
        f"The server's answer cannot be used: {why}.",
        code=BAD_REPLY,
        remedy="Check that the port belongs to a llama-server.",
    )
