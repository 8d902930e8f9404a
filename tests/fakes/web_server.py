"""A loopback web server that serves files as the real ones do, and misbehaves when told to."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CHUNK = 64 * 1024
PROBE_RANGE = "bytes=0-4095"  # a client's first look; faults usually concern the transfer after it


@dataclass(frozen=True)
class Seen:
    """A request as it came in."""

    server: str  # "hub" or "cdn"
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str:
        return self.headers.get("range", "")

    @property
    def is_probe(self) -> bool:
        return self.range == PROBE_RANGE


@dataclass
class Fault:
    """How an answer goes wrong. Every field left alone means: as it should be."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop_after: int | None = None  # bytes of the body, then the connection is cut
    hang_after: int | None = None  # bytes of the body, then silence until `release` or the end
    drip: float | None = None  # bytes per second
    rate: float | None = None  # bytes per second as well, in larger pieces
    ignore_range: bool = False
    range_shift: int = 0  # what Content-Range says is off by this
    total_shift: int = 0
    surplus: int = 0  # bytes more than announced by the range
    etag: str | None = None
    no_validators: bool = False
    chunked: bool = False
    compressed: bool = False
    redirect: str | None = None


@dataclass
class StoredFile:
    """A file of the hub. content: bytes, or the path of a large file on disk."""

    content: bytes | Path
    is_lfs: bool = True
    digest: str = ""
    etag: str = ""

    def __post_init__(self) -> None:
        if not self.digest:
            self.digest = _digest(self.content)
        if not self.etag:
            self.etag = f'"{self.digest[:32]}"'

    @property
    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            for at in range(start, end, CHUNK):
                yield self.content[at : min(end, at + CHUNK)]
            return
        with self.content.open("rb") as file:
            file.seek(start)
            left = end - start
            while left:
                piece = file.read(min(CHUNK, left))
                left -= len(piece)
                yield piece


def _digest(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class LoopbackServer:
    """A threading HTTP server that ends, connections and threads included, when it is told to."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], name: str) -> None:
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        outer = self

        class Http(ThreadingHTTPServer):
            daemon_threads = False
            block_on_close = True
            request_queue_size = 64

            def process_request(self, request: Any, client_address: Any) -> None:
                with outer._guard:
                    outer._connections.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request: Any) -> None:
                with outer._guard:
                    outer._connections.discard(request)
                super().shutdown_request(request)

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that go away are what these tests are about

        self._http = Http(("127.0.0.1", 0), handler)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name=f"fake {name}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        with self._guard:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._http.server_close()


class FileHandler(BaseHTTPRequestHandler):
    """Serves a StoredFile with ranges, validators and a Fault. `released` ends every hang."""

    protocol_version = "HTTP/1.1"
    released: threading.Event

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send_file(self, stored: StoredFile, fault: Fault, extra: Mapping[str, str]) -> None:
        headers = {"Content-Type": "application/octet-stream", **extra}
        etag = fault.etag or stored.etag
        if not fault.no_validators:
            headers["ETag"] = etag
        if not fault.ignore_range:
            headers["Accept-Ranges"] = "bytes"
        start, end, status = 0, stored.size, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if_range = self.headers.get("If-Range")
        if wanted and not fault.ignore_range and (if_range is None or if_range == etag):
            start = int(wanted[1])
            end = min(stored.size, int(wanted[2]) + 1) if wanted[2] else stored.size
            if start >= stored.size:
                self.send(416, {"Content-Range": f"bytes */{stored.size}"})
                return
            status = 206
            said, shift = stored.size + fault.total_shift, fault.range_shift
            headers["Content-Range"] = f"bytes {start + shift}-{end - 1 + shift}/{said}"
        headers.update(fault.headers)
        if fault.compressed:
            self.send(
                status,
                {**headers, "Content-Encoding": "gzip"},
                gzip.compress(b"".join(stored.read(start, end))),
            )
            return
        self._stream(stored, (start, end), status, headers, fault)

    def _stream(
        self, stored: StoredFile, span: tuple[int, int], status: int, headers: dict[str, str], fault: Fault
    ) -> None:
        start, end = span
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(end - start + fault.surplus))
        self.end_headers()
        if self.command == "HEAD":
            return
        sent = 0
        limits = [n for n in (fault.drop_after, fault.hang_after) if n is not None]
        limit = min(limits) if limits else None
        for whole in stored.read(start, end):
            piece = whole if limit is None else whole[: limit - sent]
            if fault.rate is not None and self.released.wait(len(piece) / fault.rate):
                raise ConnectionAbortedError
            if fault.drip is not None:
                self._drip(piece, fault.drip)
            elif piece:
                self._write(piece, is_chunk=fault.chunked)
            sent += len(piece)
            if limit is not None and sent >= limit:
                break
        self.wfile.flush()
        if fault.hang_after is not None:
            self.released.wait()
        if fault.drop_after is not None or fault.hang_after is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault.surplus:
            self._write(b"x" * fault.surplus, is_chunk=fault.chunked)
        if fault.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _drip(self, piece: bytes, per_second: float) -> None:
        for at in range(len(piece)):
            self.wfile.write(piece[at : at + 1])
            self.wfile.flush()
            if self.released.wait(1 / per_second):
                raise ConnectionAbortedError

    def _write(self, piece: bytes, *, is_chunk: bool) -> None:
        if is_chunk:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        else:
            self.wfile.write(piece)

    def send(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
