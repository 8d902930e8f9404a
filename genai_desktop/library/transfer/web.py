"""Requests of a transfer: redirects by hand, secrets to their own origin only, and answers checked."""

from __future__ import annotations

import email.utils
import ipaddress
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

from genai_desktop.core.errors import DownloadError, InvalidInputError
from genai_desktop.core.fileformat import sniff
from genai_desktop.library.transfer.answers import Transient, explain_status, is_transient_status
from genai_desktop.library.transfer.policy import TransferPolicy

MAX_REDIRECTS = 10
HEAD_BYTES = 4096
USER_AGENT = "genai-desktop"
_REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d+)-(\d+)/(\d+|\*)\s*", re.IGNORECASE)
_UNSATISFIED = re.compile(r"\s*bytes\s+\*/(\d+)\s*", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")

ClientFactory = Callable[[str, TransferPolicy], httpx.Client]


@dataclass(frozen=True)
class RemoteFile:
    """What a server says about a file. url: where the bytes are now (after redirects; it may expire).

    sha256: told by the hub for a large file, else None. head: its first bytes. has_ranges: it can be resumed.
    """

    url: str
    size: int | None
    head: bytes
    has_ranges: bool
    etag: str = ""
    last_modified: str = ""
    sha256: str | None = None
    commit: str = ""
    content_type: str = ""

    @property
    def strong_etag(self) -> str:
        """The ETag when it may be used to compare bytes, else empty."""
        return "" if self.etag.startswith("W/") else self.etag


class Stop:
    """Asks a worker thread to end now, even while it waits for bytes that never come."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._guard = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        with self._guard:
            self._event.set()
        self.cut()

    def cut(self) -> None:
        """End every read and write on the connections known so far."""
        with self._guard:
            for opened in self._sockets:
                _cut(opened)

    def wait(self, seconds: float) -> bool:
        """Sleep, unless asked to stop; True when asked."""
        return self._event.wait(seconds)

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """The trace of a request: remembers its connection, so that `set` can end a read or a write on it."""
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        found = info["return_value"].get_extra_info("socket")
        if not isinstance(found, socket.socket):
            return
        with self._guard:
            self._sockets.add(found)
            if self._event.is_set():
                _cut(found)


def _cut(opened: socket.socket) -> None:
    with suppress(OSError):  # closed already
        # not SSLSocket.shutdown: that one also forgets its state under the reader's hands
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


def default_client(url: str, policy: TransferPolicy) -> httpx.Client:
    """One client per scheme and kind of host: no proxy and no certificates for this computer itself."""
    is_local = is_loopback(url)
    verify: ssl.SSLContext | bool = httpx.create_ssl_context() if url.startswith("https:") else False
    try:
        return httpx.Client(
            verify=verify,
            trust_env=not is_local,
            follow_redirects=False,
            timeout=httpx.Timeout(policy.stall_timeout, connect=policy.connect_timeout),
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:  # what the environment says about proxies
        raise DownloadError(
            f"The proxy settings of this computer cannot be used: {error}",
            remedy="Check HTTPS_PROXY and ALL_PROXY; a SOCKS proxy is not supported.",
        ) from error


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a secret belongs to."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """The address as it may be stored and shown: signatures and tokens live in the query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check_address(url: str, *, came_from: str = "") -> None:
    """Raises InvalidInputError, or DownloadError for a redirect nobody should follow."""
    error: type[DownloadError | InvalidInputError] = DownloadError if came_from else InvalidInputError
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    shown = without_query(url) if host else url[:200]
    if parts.scheme not in ("http", "https") or not host:
        raise error(f"'{shown}' is not a web address.", remedy="Use an address that begins with https://.")
    if parts.username or parts.password:
        raise error(
            "The address carries a user name or password.",
            remedy="Use an address without them; a token for the hub belongs into HF_TOKEN.",
        )
    if parts.scheme == "http" and not is_loopback(url):
        where = " after a redirect" if came_from else ""
        raise error(
            f"'{shown}' is not encrypted{where}: anybody on the way could change the file.",
            remedy="Use the https:// address of the same file.",
        )
    if came_from and is_loopback(url) and not is_loopback(came_from):
        raise error(
            f"The server tried to send the download to this computer itself ('{shown}').",
            remedy="Do not use this address.",
        )


class Web:
    """The requests of one transfer. `get` may be used from several threads."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        policy: TransferPolicy,
        client_factory: ClientFactory,
        stop: Stop,
    ) -> None:
        self._home = origin(url)
        self._url = url
        self._secret_headers = dict(headers)
        self._policy = policy
        self._factory = client_factory
        self._stop = stop
        self._clients: dict[tuple[str, bool], httpx.Client] = {}
        self._guard = threading.Lock()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    @contextmanager
    def get(
        self, url: str, headers: Mapping[str, str]
    ) -> Iterator[tuple[httpx.Response, list[httpx.Headers]]]:
        """The final response with its body still to come, and the headers of every answer of our own origin.

        Raises Transient for what may pass, DownloadError for what will not.
        """
        own: list[httpx.Headers] = []
        came_from = ""
        with ExitStack() as stack:
            for _ in range(MAX_REDIRECTS + 1):
                check_address(url, came_from=came_from)
                hop = stack.enter_context(ExitStack())
                response = hop.enter_context(self._send(url, headers))
                if origin(url) == self._home:
                    own.append(response.headers)
                location = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not location:
                    with _translated():
                        yield response, own
                    return
                hop.close()
                came_from, url = url, urljoin(url, location)
        raise DownloadError(
            f"The server redirects in a circle ({MAX_REDIRECTS} times).",
            remedy="Check the address; open it in a browser to see where it leads.",
        )

    @contextmanager
    def _send(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        client = self._client(url)
        client.cookies.clear()
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT, **headers}
        if origin(url) == self._home:
            sent.update(self._secret_headers)
        with _translated():
            request = client.build_request("GET", url, headers=sent, extensions={"trace": self._stop.watch})
            response = client.send(request, stream=True)
        try:
            yield response
        finally:
            with suppress(httpx.HTTPError, OSError):
                response.close()

    def _client(self, url: str) -> httpx.Client:
        key = (urlsplit(url).scheme, is_loopback(url))
        with self._guard:
            if key not in self._clients:
                self._clients[key] = self._factory(url, self._policy)
            return self._clients[key]

    def resolve(self) -> RemoteFile:
        """Ask for the first bytes: they tell size, validators and what kind of file it is."""
        with self.get(self._url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}) as (response, own):
            status = response.status_code
            empty = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
            if status not in (200, 206) and not (status == 416 and empty and empty[1] == "0"):
                raise self.refusal(response)
            refuse_encoding(response)
            size: int | None = 0
            if status == 206:
                start, _, size = content_range(response)
                if start != 0:
                    raise Transient("the server answered with another part of the file than asked for")
            elif status == 200:
                size = whole_size(response)
            head = _first_bytes(response) if status != 416 else b""
            return RemoteFile(
                url=str(response.url),
                size=size,
                head=head,
                has_ranges=status == 206,
                etag=response.headers.get("etag", ""),
                last_modified=response.headers.get("last-modified", ""),
                sha256=_linked_sha256(own),
                commit=next((h["x-repo-commit"] for h in own if "x-repo-commit" in h), ""),
                content_type=response.headers.get("content-type", ""),
            )

    def refusal(self, response: httpx.Response) -> Transient | DownloadError:
        """What an answer other than 200 and 206 means."""
        if is_transient_status(response.status_code):
            return Transient(
                f"the server answered {response.status_code}", wait=_retry_after(response, self._policy)
            )
        return explain_status(response, without_query(self._url))


def content_range(response: httpx.Response) -> tuple[int, int, int | None]:
    """Start, end (inclusive) and total of a 206. Raises Transient when the header makes no sense."""
    text = response.headers.get("content-range", "")
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        raise Transient("the server sent a part of the file without saying which")
    start, end = int(found[1]), int(found[2])
    total = None if found[3] == "*" else int(found[3])
    if end < start or (total is not None and end >= total):
        raise Transient(f"the server described the part it sent as '{text.strip()[:60]}'")
    return start, end, total


def whole_size(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def refuse_encoding(response: httpx.Response) -> None:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise DownloadError(
            f"The server sends the file compressed ({encoding[:20]}) although asked not to.",
            remedy="Use another address or mirror of the same file.",
        )


def is_web_page(remote: RemoteFile) -> bool:
    """An error or sign-in page in place of the file."""
    kind = sniff(remote.head[:512])
    return kind == "html" or (
        remote.content_type.lower().startswith("text/html") and kind in ("text", "empty")
    )


@contextmanager
def _translated() -> Iterator[None]:
    """httpx errors as ours."""
    try:
        yield
    except httpx.ProxyError as error:
        raise DownloadError(
            f"The proxy refused the connection ({error}).",
            remedy="Check the proxy settings of this computer (HTTPS_PROXY, NO_PROXY).",
        ) from error
    except httpx.ConnectTimeout as error:
        raise Transient("the server did not answer in time") from error
    except httpx.TimeoutException as error:
        raise Transient("no bytes arrived for a while") from error
    except httpx.ConnectError as error:
        if _is_certificate_error(error):
            raise DownloadError(
                "The server could not prove that it is who it claims to be (TLS certificate).",
                remedy="Check the date of this computer and whether a proxy or virus scanner reads along.",
            ) from error
        raise Transient(f"the server could not be reached ({error})") from error
    except httpx.TransportError as error:
        raise Transient("the connection broke off") from error
    except httpx.InvalidURL as error:
        raise DownloadError(f"The address cannot be used: {error}.") from error


def _is_certificate_error(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _first_bytes(response: httpx.Response) -> bytes:
    head = b""
    for chunk in response.iter_raw():
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head[:HEAD_BYTES]


def _linked_sha256(own: list[httpx.Headers]) -> str | None:
    """Only our own origin is asked: a foreign host must not choose the digest it is checked against."""
    for headers in own:
        text: str = headers.get("x-linked-etag", "").strip().removeprefix("W/").strip('"').lower()
        if _SHA256.fullmatch(text):
            return text
    return None


def _retry_after(response: httpx.Response, policy: TransferPolicy) -> float | None:
    """Seconds the server wants us to wait: Retry-After (seconds or date), or the hub's RateLimit reset."""
    text = response.headers.get("retry-after", "").strip()
    wait: float | None = None
    if text.isdecimal():
        wait = float(text)
    elif text:
        with suppress(ValueError, TypeError):
            wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    if wait is None and (found := re.search(r"\bt=(\d+)", response.headers.get("ratelimit", ""))):
        wait = float(found[1])
    return None if wait is None else min(max(0.0, wait), policy.retry_after_cap)
