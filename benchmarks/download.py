"""Download and verify over loopback: against curl then sha256sum, and against aria2c."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.harness import PYTHON, ROOT, Row, paired

_SIZE = 1024**3
_CAPPED_SIZE = 256 * 1024**2
_CAP = 10_000_000  # bytes a second and connection
_DELAY = 0.05  # seconds: a connection and each request pay it once
_MEMORY = 64 * 1024**2


class _Handler(BaseHTTPRequestHandler):
    """One file with ranges, by sendfile; slow and far away when told to."""

    protocol_version = "HTTP/1.1"
    path_served: Path
    cap: int
    delay: float

    def log_message(self, format: str, *args: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        time.sleep(self.delay)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        time.sleep(self.delay)
        size = self.path_served.stat().st_size
        start, end = 0, size
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        if wanted:
            first, _, last = wanted.partition("-")
            start, end = int(first), int(last) + 1 if last else size
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            self._body(start, end)

    def _body(self, start: int, end: int) -> None:
        piece = 65536 if self.cap else 1 << 24
        begun, first = time.perf_counter(), start
        with self.path_served.open("rb") as file:
            while start < end:
                try:
                    start += os.sendfile(
                        self.connection.fileno(), file.fileno(), start, min(piece, end - start)
                    )
                except OSError:
                    self.close_connection = True
                    return
                if self.cap:
                    time.sleep(max(0.0, begun + (start - first) / self.cap - time.perf_counter()))


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address


def serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--cap", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    given = parser.parse_args(sys.argv[2:])
    members = {"path_served": given.path, "cap": given.cap, "delay": given.delay}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), members))
    print(server.server_address[1], flush=True)

    def end_with_parent() -> None:
        sys.stdin.read()
        server.shutdown()

    threading.Thread(target=end_with_parent, daemon=True).start()
    server.serve_forever()


@contextmanager
def _served(path: Path, *options: str) -> Iterator[str]:
    process = subprocess.Popen(
        [PYTHON, "-m", "benchmarks.download", "serve", str(path), *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/file.bin"
    finally:
        process.communicate()


_OURS = """
import asyncio, resource, sys, time
from pathlib import Path
from genai_desktop.library.transfer import TransferEngine, TransferRequest
url, dest, sha256 = sys.argv[1:]
engine = TransferEngine()
def rss():
    fields = Path('/proc/self/status').read_text().split()
    return int(fields[fields.index('VmHWM:') + 1]) * 1024
idle = rss()
begun = time.perf_counter()
asyncio.run(engine.fetch(TransferRequest(url, Path(dest), sha256)))
print(time.perf_counter() - begun, rss() - idle)
"""


class _Bench:
    """One file, fetched again and again into a fresh folder."""

    def __init__(self, url: str, sha256: str, folder: Path) -> None:
        self._url = url
        self._sha256 = sha256
        self._target = folder / "arrived.bin"
        self.memory = 0

    def _fresh(self) -> Path:
        self._target.unlink(missing_ok=True)
        return self._target

    def ours(self) -> float:
        """Seconds of the fetch, fsync and rename included; the interpreter is running already."""
        arguments = [PYTHON, "-c", _OURS, self._url, str(self._fresh()), self._sha256]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT)
        seconds, memory = done.stdout.split()
        self.memory = max(self.memory, int(memory))
        return float(seconds)

    def curl(self) -> float:
        target = self._fresh()
        begun = time.perf_counter()
        subprocess.run(["curl", "-sS", "--noproxy", "*", "-o", str(target), self._url], check=True)
        found = subprocess.run(["sha256sum", str(target)], check=True, capture_output=True, text=True)
        assert found.stdout.startswith(self._sha256)
        return time.perf_counter() - begun

    def aria2(self, *options: str) -> Callable[[], float]:
        def run() -> float:
            target = self._fresh()
            begun = time.perf_counter()
            subprocess.run(
                [
                    *("aria2c", "-q", "--no-conf", "--no-proxy=127.0.0.1"),
                    *(f"--checksum=sha-256={self._sha256}", *options),
                    *("-d", str(target.parent), "-o", target.name, self._url),
                ],
                check=True,
                capture_output=True,
            )
            return time.perf_counter() - begun

        return run


def _random_file(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def measure() -> list[Row]:
    rows: list[Row] = []
    has_aria2 = shutil.which("aria2c") is not None
    if not has_aria2:
        print("aria2c is not installed: its rows are left out")
    with tempfile.TemporaryDirectory(prefix="genai-bench-") as temp:
        folder = Path(temp)
        source = folder / "source.bin"
        sha256 = _random_file(source, _SIZE)
        with _served(source) as url:
            bench = _Bench(url, sha256, folder)
            ours, curl = paired(bench.ours, bench.curl, runs=3)
            name, aim = "1 GiB over loopback, verified", "at least 1.3x as fast"
            rows.append(Row(name, "s", ours, curl, "curl, then sha256sum", aim, ours * 1.3 <= curl))
            if has_aria2:
                ours, aria2 = paired(bench.ours, bench.aria2(), runs=3)
                name += ", against aria2"
                rows.append(Row(name, "s", ours, aria2, "aria2c --checksum", aim, ours * 1.3 <= aria2))
            used, limit = bench.memory / 1024**2, _MEMORY / 1024**2
            aim = "under 64 MiB above idle"
            rows.append(Row("memory of a 1 GiB download", "MiB", used, limit, "limit", aim, used < limit))
        if has_aria2:
            sha256 = _random_file(source, _CAPPED_SIZE)
            with _served(source, "--cap", str(_CAP), "--delay", str(_DELAY)) as url:
                bench = _Bench(url, sha256, folder)
                eight = bench.aria2("-x8", "-s8", "-k1M")
                ours, aria2 = paired(bench.ours, eight, runs=3)
                name = "256 MiB, 10 MB/s per connection, 50 ms away, verified"
                rows.append(Row(name, "s", ours, aria2, "aria2c -x8 --checksum", "as fast", ours <= aria2))
    return rows


if __name__ == "__main__":
    serve()
