"""Reading the header of a model over the network, without the model.

The beginning of the file comes in growing ranges: 256 KiB, the rest of 2 MiB, and for the few headers that
are larger one more answer that is read until the header ends. Redirects are followed by hand, so a token is
sent to its own host only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from genai_desktop.core.component_guess import Header
from genai_desktop.core.errors import CancelledError, DownloadError, ModelFileError
from genai_desktop.core.fileformat import SNIFF_BYTES, refusal, refuse_pickle_name, sniff
from genai_desktop.core.gguf import read_gguf_header
from genai_desktop.core.safetensors import read_safetensors_header
from genai_desktop.library.threads import in_thread
from genai_desktop.library.transfer.answers import Transient
from genai_desktop.library.transfer.policy import TransferPolicy
from genai_desktop.library.transfer.web import (
    ClientFactory,
    Stop,
    Web,
    content_range,
    default_client,
    origin,
    refuse_encoding,
    whole_size,
    without_query,
)

FIRST_RANGE: Final = 256 << 10
USUAL_LIMIT: Final = 2 << 20
LARGEST_HEADER: Final = 64 << 20  # nothing known needs a third of it
LONGEST_WAIT: Final = 5.0
POLICY: Final = TransferPolicy(connect_timeout=6.0, stall_timeout=10.0, attempts=4, backoff=0.3)
_EXPIRED: Final = (401, 403, 404, 410)


@dataclass(frozen=True)
class RemoteHeader:
    """A header and what it cost. size: bytes of the file, None when the server does not tell."""

    header: Header
    size: int | None
    bytes_read: int
    requests: int


async def read_remote_header(
    url: str,
    headers: Mapping[str, str],
    *,
    policy: TransferPolicy = POLICY,
    client_factory: ClientFactory = default_client,
) -> RemoteHeader:
    """The header of the file at an address. headers: secrets among them, sent to the origin of `url` only.

    Cancelling it ends the connection at once. Raises InvalidInputError (no usable address), DownloadError
    (refused, not reachable), ModelFileError (not a usable model).
    """
    stop = Stop()

    def work() -> RemoteHeader:
        refuse_pickle_name(unquote(urlsplit(url).path))
        with ExitStack() as stack:
            beginning = _Beginning(url, headers, policy, client_factory, stop)
            stack.callback(beginning.close)
            try:
                header = beginning.parse()
            except ModelFileError:
                if not beginning.was_cut:
                    raise
                # it wanted all of a long text at once; what has arrived is still here
                beginning.is_frugal = False
                header = beginning.parse()
            return RemoteHeader(header, beginning.size, beginning.received, beginning.requests)

    return await in_thread(work, stop=stop.set, name="header")


class _Beginning:
    """The first bytes of a remote file, as many as somebody has asked for.

    received: bytes of bodies taken from the network. is_frugal: a reader that looks far ahead gets less than
    it asks for, in whole pieces and not beyond the usual limit; was_cut tells that this has happened.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        policy: TransferPolicy,
        client_factory: ClientFactory,
        stop: Stop,
    ) -> None:
        self._first = url
        self._url = url  # where the bytes are, once a redirect has told
        self._web = Web(url, headers, policy, client_factory, stop)
        self._policy = policy
        self._stop = stop
        self._data = bytearray()
        self._body: Iterator[bytes] | None = None
        self._answer = ExitStack()
        self._answer_end: int | None = 0  # where the present answer ends; None: with the file
        self._etag = ""
        self._failures = 0
        self.size: int | None = None
        self.received = 0
        self.requests = 0
        self.is_frugal = True
        self.was_cut = False

    def close(self) -> None:
        self._answer.close()
        self._web.close()

    def parse(self) -> Header:
        """Raises ModelFileError for what is neither GGUF nor safetensors."""
        name = f"'{unquote(urlsplit(self._first).path).rpartition('/')[2]}'"
        kind = sniff(self.read(0, SNIFF_BYTES))
        readers: Mapping[str, Callable[..., Header]] = {
            "gguf": read_gguf_header,
            "safetensors": read_safetensors_header,
        }
        if kind not in readers:
            raise refusal(kind, name)
        return readers[kind](self.read, file_size=self.size)

    def read(self, offset: int, size: int) -> bytes:
        """The port the parsers read through."""
        end = offset + size
        if self.is_frugal:
            wanted, end = end, min(end, offset + FIRST_RANGE)
            if offset < USUAL_LIMIT < end:
                end = USUAL_LIMIT
            self.was_cut = self.was_cut or end < wanted
        if end > LARGEST_HEADER:
            raise ModelFileError(
                f"The header of the file is larger than {LARGEST_HEADER >> 20} MiB, which cannot be.",
                remedy="Choose another file of the same model.",
            )
        self._fetch(end)
        return bytes(self._data[offset:end])

    def _fetch(self, end: int) -> None:
        while len(self._data) < end and (self.size is None or len(self._data) < self.size):
            if self._stop:
                raise CancelledError("Reading the header was stopped.")
            try:
                if self._body is None:
                    self._request(end)
                self._take(end)
            except Transient as error:
                self._drop()
                self._failures += 1
                if self._stop:
                    raise CancelledError("Reading the header was stopped.") from error
                wait = self._policy.backoff * self._failures if error.wait is None else error.wait
                if self._failures >= self._policy.attempts or wait > LONGEST_WAIT:
                    raise DownloadError(
                        f"The header of the file could not be read: {error.reason}.",
                        remedy="Check the network and try again.",
                        details={"url": without_query(self._first)},
                    ) from error
                self._stop.wait(wait)

    def _request(self, end: int) -> None:
        """Ask for the next range: the first piece, the rest of the usual limit, then all that follows."""
        start = len(self._data)
        if max(end, start + 1) <= FIRST_RANGE:
            stop_at: int | None = FIRST_RANGE
        else:
            stop_at = USUAL_LIMIT if end <= USUAL_LIMIT else None
        wanted = f"bytes={start}-{'' if stop_at is None else stop_at - 1}"
        response, _ = self._answer.enter_context(self._web.get(self._url, {"Range": wanted}))
        self.requests += 1
        status = response.status_code
        if status in _EXPIRED and origin(self._url) != origin(self._first):
            self._drop()
            self._url = self._first  # a signature has run out: ask the first address again
            raise Transient("the address of the file expired", wait=0.0)
        if status == 416:
            self.size, self._body = start, iter(())
            return
        if status not in (200, 206):
            raise self._web.refusal(response)
        refuse_encoding(response)
        self._note(response, start if status == 206 else 0)
        if status == 206:
            first, last, _ = content_range(response)
            if first != start:
                raise Transient("the server answered with another part of the file than asked for")
            self._answer_end = last + 1
            if stop_at is not None and last >= stop_at:
                raise Transient("the server sent more of the file than asked for")
        else:  # no ranges here: everything comes again, and is read only as far as needed
            self._data.clear()
            self._answer_end = self.size
        self._url = str(response.url)
        self._body = response.iter_raw(64 << 10)

    def _note(self, response: httpx.Response, start: int) -> None:
        """Size and validator; another file than a moment ago is refused."""
        size = content_range(response)[2] if response.status_code == 206 else whole_size(response)
        etag = response.headers.get("etag", "")
        if start and ((self.size is not None and size != self.size) or (self._etag and etag != self._etag)):
            raise DownloadError(
                "The file on the server changed while its header was read.", remedy="Try again in a moment."
            )
        self.size, self._etag = size, etag

    def _take(self, end: int) -> None:
        """Take from the present answer until `end`, or until it ends."""
        body = self._body
        while body is not None and len(self._data) < end:
            try:
                piece = next(body, None)
            except httpx.TimeoutException as error:
                raise Transient("no bytes arrived for a while") from error
            except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                raise Transient("the connection broke off") from error
            if piece is None:
                self._drop()
                if self._answer_end is None:
                    self.size = len(self._data)  # nobody told where it ends, and here it did
                elif len(self._data) < self._answer_end:
                    raise Transient("the connection broke off")
                return
            self._data += piece
            self.received += len(piece)

    def _drop(self) -> None:
        self._answer.close()
        self._answer = ExitStack()
        self._body = None
