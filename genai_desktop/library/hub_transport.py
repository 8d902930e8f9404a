"""The way huggingface_hub reaches the network here: with time-outs, few retries, and a token that stays home.

Importing this module imports huggingface_hub (slow): do it in a worker thread, through library.hub. The
package has one HTTP client per process and no time-out of its own; the client installed here asks the call it
works for (a context variable of the worker thread) what is allowed. Requests of other code in this process,
which may use the package too, pass through unchanged.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import httpx2
from huggingface_hub import HfApi, constants, set_client_factory

from genai_desktop.core.errors import CancelledError
from genai_desktop.library.transfer.web import Stop, check_address, is_loopback, origin

MAX_ANSWER: Final = 32 << 20  # bytes; a list of a hundred repositories has about two
# a server says: not now
TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)
_REWRITTEN: Final = ("content-encoding", "content-length", "transfer-encoding", "set-cookie")


@dataclass(frozen=True)
class HubPolicy:
    """Patience, in seconds and attempts. total: for a whole call, retries included."""

    connect_timeout: float = 6.0
    read_timeout: float = 10.0
    total: float = 30.0
    attempts: int = 3
    backoff: float = 0.4
    longest_wait: float = 5.0  # a server that wants us to wait longer is told about instead


class Unreachable(Exception):
    """No usable answer after all attempts. reason: continues a sentence; status: the last answer, or None.

    It is no error huggingface_hub knows, so that package does not start retrying on its own.
    """

    def __init__(self, reason: str, *, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.wait = wait


@contextmanager
def hub_api(endpoint: str, token: str, stop: Stop, policy: HubPolicy) -> Iterator[HfApi]:
    """An HfApi for one call in this thread. Raises InvalidInputError for an endpoint nobody should use."""
    check_address(endpoint)
    _install()
    call = _Call(endpoint, stop, policy)
    mark = _CALL.set(call)
    try:
        yield HfApi(endpoint=endpoint, token=token or False)
    finally:
        _CALL.reset(mark)
        call.close()


class _Call:
    """The requests of one call."""

    def __init__(self, endpoint: str, stop: Stop, policy: HubPolicy) -> None:
        self._endpoint = endpoint
        self._stop = stop
        self._policy = policy
        self._clients: dict[bool, httpx2.Client] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """The whole answer. Raises Unreachable, CancelledError, DownloadError (a redirect to be refused)."""
        url, policy = str(request.url), self._policy
        if origin(url) != origin(self._endpoint):  # a redirect, or the address of the next page
            check_address(url, came_from=self._endpoint)
            request.headers.pop("Authorization", None)
        timeout = httpx2.Timeout(policy.read_timeout, connect=policy.connect_timeout).as_dict()
        request.extensions = {**request.extensions, "timeout": timeout, "trace": self._stop.watch}
        trouble = Unreachable("it did not answer")
        for attempt in range(policy.attempts):
            if attempt:
                wait = policy.backoff * 2 ** (attempt - 1) if trouble.wait is None else trouble.wait
                if wait > policy.longest_wait:
                    break
                self._stop.wait(wait)
            if self._stop:
                raise CancelledError("The request was stopped.")
            try:
                return self._attempt(request)
            except Unreachable as error:
                trouble = error
        raise trouble

    def _attempt(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = self._client(str(request.url)).send(request, stream=True)
            try:
                if answer.status_code in TRANSIENT:
                    raise Unreachable(
                        f"it answered {answer.status_code}",
                        status=answer.status_code,
                        wait=_retry_after(answer.headers),
                    )
                body = bytearray()
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > MAX_ANSWER:
                        raise Unreachable("its answer is larger than any list of models")
            finally:
                with suppress(httpx2.HTTPError, OSError):
                    answer.close()
        except httpx2.TimeoutException as error:
            raise Unreachable("it did not answer in time") from error
        except httpx2.ConnectError as error:
            raise Unreachable("no connection to it could be made") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise Unreachable("the connection broke off") from error
        headers = [(key, value) for key, value in answer.headers.multi_items() if key not in _REWRITTEN]
        return httpx2.Response(answer.status_code, headers=headers, content=bytes(body), request=request)

    def _client(self, url: str) -> httpx2.Client:
        is_local = is_loopback(url)
        if is_local not in self._clients:  # proxies of the environment are not for this computer itself
            self._clients[is_local] = httpx2.Client(trust_env=not is_local, follow_redirects=False)
        return self._clients[is_local]


_CALL: ContextVar[_Call | None] = ContextVar("hub call", default=None)
_guard = threading.Lock()
_installed: list[httpx2.BaseTransport] = []


class _Transport(httpx2.BaseTransport):
    def __init__(self) -> None:
        self._others: httpx2.HTTPTransport | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _CALL.get()
        if call is not None:
            return call.send(request)
        if self._others is None:
            self._others = httpx2.HTTPTransport()
        return self._others.handle_request(request)

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


def _install() -> None:
    with _guard:
        constants.HF_HUB_DISABLE_TELEMETRY = True  # also where the package was imported before us
        if not _installed:
            _installed.append(_Transport())
            set_client_factory(lambda: httpx2.Client(transport=_installed[0], follow_redirects=True))


def _retry_after(headers: httpx2.Headers) -> float | None:
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    for part in headers.get("ratelimit", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == "t" and value.isdecimal():
            return float(value)
    return None
