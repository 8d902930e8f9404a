"""A stand-in for llama-server as a real child process: flags, log, HTTP, signals, exit statuses, bad days.

Standard library only, so that it starts in a few hundredths of a second. What it says comes from recordings
of the real one (tests/data/llama-server). Faults stand before its flags, `--fault NAME[=VALUE]`:

    hold=FILE          loading goes on until FILE exists    busy  and computes meanwhile
    exit-loading=CODE  ends while loading          signal-loading=N  is killed by signal N while loading
    exit-if=FILE:CODE  ends while loading if FILE exists
    steal-once=FILE    cannot bind the first time, as if the port had just been taken; FILE remembers
    replay=NAME:CODE   writes the recorded NAME.err.txt in small random pieces and ends with CODE
    never-listens      does nothing, for ever      silent-hang       listens, then stays at 503, using no CPU
    ignore-term        SIGTERM does nothing        slow-exit=SECONDS takes its time after SIGTERM
    flood=BYTES        fills both pipes, half characters included, before it goes on
    grandchild         starts a process of its own in the same group and tells its pid
    chatty             prints its key, which the real one never does in full
    old                an older build: no child protocol, and it does not say where it listens

A test can POST /fake/exit?code=N, /fake/signal?n=N, /fake/deaf (nothing is answered any more).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).resolve().parent.parent / "data" / "llama-server"
TRAINED_CONTEXT = 2048
STARTED = time.monotonic()


def log(level: str, text: str) -> None:
    now = time.monotonic() - STARTED
    fraction = f"{int(now * 1e3) % 1000:03}.{int(now * 1e6) % 1000:03}"
    os.write(2, f"{int(now // 60)}.{int(now % 60):02}.{fraction} {level} {text}\n".encode())


def known_flags() -> dict[str, tuple[str, ...]]:
    """Every spelling of a flag to all its spellings, from the real help text."""
    flags: dict[str, tuple[str, ...]] = {}
    for line in (DATA / "help.out.txt").read_text().splitlines():
        names: list[str] = []
        for word in line.replace(",", " ").split() if line.startswith("-") else ():
            if not word.startswith("-"):
                break
            names.append(word)
        flags.update(dict.fromkeys(names, tuple(names)))
    return flags


class HttpServer(ThreadingMixIn, TCPServer):
    """Without http.server's look-up of the host's name, which may take seconds."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


class Server:
    """One run."""

    def __init__(self, argv: list[str]) -> None:
        self.faults: dict[str, str] = {}
        while argv[:1] == ["--fault"]:
            name, _, value = argv[1].partition("=")
            self.faults[name] = value
            argv = argv[2:]
        if "--help" in argv:
            sys.stdout.write((DATA / "help.out.txt").read_text())
            raise SystemExit(0)
        self.values = self._parse(argv)
        self.key = os.environ.get("LLAMA_API_KEY", "")
        self.is_child = bool(os.environ.get("LLAMA_SERVER_ROUTER_PORT")) and "old" not in self.faults
        self.is_loaded = False
        self.is_deaf = False
        self.slots: dict[int, list[str]] = {0: []}
        self.http: HttpServer | None = None

    def _parse(self, argv: list[str]) -> dict[str, str]:
        flags = known_flags()
        values: dict[str, str] = {}
        current: tuple[str, ...] = ()
        for token in argv:
            if token.startswith("--") or (token.startswith("-") and token[1:2].isalpha()):
                if token not in flags:
                    sys.stderr.write(f"error: invalid argument: {token}\n")
                    raise SystemExit(1)
                current = flags[token]
                values.update(dict.fromkeys(current, ""))
            else:
                values.update(dict.fromkeys(current, token))
        return values

    # -- its life

    def run(self) -> int:
        f = self.faults
        log("I", "srv  llama_server: initializing ...")
        if "chatty" in f:
            log("W", f"srv  init: the key is {self.key}, Authorization: Bearer {self.key}")
        if "grandchild" in f:
            child = subprocess.Popen(["sleep", "1000"])
            log("I", f"grandchild {child.pid}")
        if "flood" in f:
            self._flood(int(f["flood"]))
        if "replay" in f:
            return self._replay()
        if "never-listens" in f:
            threading.Event().wait()
        if "steal-once" in f and not Path(f["steal-once"]).exists():
            Path(f["steal-once"]).touch()
            return self._cannot_bind()
        try:
            self.http = HttpServer((self.values["--host"], int(self.values["--port"])), make_handler(self))
        except OSError:
            return self._cannot_bind()
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        return self._load() or self._serve()

    def _cannot_bind(self) -> int:
        host, port = self.values["--host"], self.values["--port"]
        log("E", f"srv         start: couldn't bind HTTP server socket, hostname: {host}, port: {port}")
        log("I", "srv    operator(): operator(): cleaning up before exit...")
        log("E", "srv  llama_server: exiting due to HTTP server error")
        return 1

    def _flood(self, size: int) -> None:
        block = ("0.00.000.001 I ü€😀 " + "x" * 79 + "\n").encode() * 100

        def fill(fd: int) -> None:
            left = size
            while left > 0:
                left -= os.write(fd, block[: min(left, len(block) - 3)])  # ends in the middle of a character

        threads = [threading.Thread(target=fill, args=(fd,)) for fd in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(1, b"\n")
        os.write(2, b"\n")

    def _replay(self) -> int:
        name, _, code = self.faults["replay"].partition(":")
        data = (DATA / f"{name}.err.txt").read_bytes()
        rng = random.Random(name)
        while data:
            size = rng.randint(1, 97)
            os.write(2, data[:size])
            data = data[size:]
        return int(code)

    def _load(self) -> int:
        f, model = self.faults, self.values["--model"]
        log("I", f"srv    load_model: loading model '{model}'")
        self._say({"state": "loading", "payload": self._stage(0.0)})
        if not Path(model).is_file():
            log("E", f"gguf_init_from_file: failed to open GGUF file '{model}' (No such file or directory)")
            log("E", f"srv    load_model: failed to load model, '{model}'")
            log("E", "srv  llama_server: exiting due to model loading error")
            return 1
        self._say({"state": "loading", "payload": self._stage(0.25)})
        if "hold" in f:
            while not Path(f["hold"]).exists():
                time.sleep(0 if "busy" in f else 0.002)
        if "silent-hang" in f:
            threading.Event().wait()
        if "exit-loading" in f:
            os._exit(int(f["exit-loading"]))
        if "signal-loading" in f:
            self._die(int(f["signal-loading"]))
        path, _, code = f.get("exit-if", "").rpartition(":")
        if path and Path(path).exists():
            os._exit(int(code))
        self._say({"state": "loading", "payload": self._stage(1.0)})
        log("I", "load_tensors: offloaded 4/4 layers to GPU")
        log("I", f"llama_context: n_ctx                 = {self.values['--ctx-size']}")
        log("I", "sched_reserve:        CPU compute buffer size =     9.64 MiB")
        log("I", "resolve_fused_ops: Flash Attention enabled")
        return 0

    def _stage(self, value: float) -> dict[str, Any]:
        return {"stages": ["text_model"], "current": "text_model", "value": value}

    def _serve(self) -> int:
        stop = threading.Event()

        def asked(*_: object) -> None:
            stop.set()

        signal.signal(signal.SIGINT, asked)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if "ignore-term" in self.faults else asked)
        result = [0]
        if self.is_child:
            threading.Thread(target=self._read_commands, args=(stop, result), daemon=True).start()
        self.is_loaded = True
        self._say({"state": "ready", "payload": {"id": self.values["--model"]}})
        log("I", "srv  llama_server: model loaded")
        if "old" not in self.faults:
            log(
                "I", f"srv  llama_server: listening on http://{self.values['--host']}:{self.values['--port']}"
            )
        while not stop.wait(0.05):
            pass
        time.sleep(float(self.faults.get("slow-exit") or 0))
        log("I", "srv    operator(): operator(): cleaning up before exit...")
        return result[0]

    def _read_commands(self, stop: threading.Event, result: list[int]) -> None:
        for line in sys.stdin:
            if line.strip() == "cmd_router_to_child:exit":
                break
        else:
            result[0] = 1  # the other end is gone
        stop.set()

    def _say(self, state: dict[str, Any]) -> None:
        if self.is_child:
            os.write(1, f"\ncmd_child_to_router:state:{json.dumps(state)}\n".encode())

    def _die(self, number: int) -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait()

    # -- its HTTP

    def fault_request(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/fake/exit":
            os._exit(int(query["code"][0]))
        elif path == "/fake/signal":
            self._die(int(query["n"][0]))
        elif path == "/fake/deaf":
            self.is_deaf = True

    def props(self) -> dict[str, Any]:
        slots = int(self.values["--parallel"])
        each = min(TRAINED_CONTEXT, int(self.values["--ctx-size"]) // slots)
        return {
            "default_generation_settings": {"params": {}, "n_ctx": each},
            "total_slots": slots,
            "model_alias": self.values["--alias"],
            "model_path": self.values["--model"],
            "modalities": {"vision": False, "video": False, "audio": False},
            "build_info": "b1-0c1e570",
            "is_sleeping": False,
        }

    def slot_action(self, number: int, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        number %= len(self.slots)
        tokens = self.slots[number]
        if action == "erase":
            self.slots[number] = []
            return 200, {"id_slot": number, "n_erased": len(tokens)}
        name = str(body.get("filename", ""))
        if not name or "/" in name or ".." in name:
            return 400, error(400, "Invalid filename", "invalid_request_error")
        path = Path(self.values["--slot-save-path"]) / name
        if action == "save":
            path.write_text(json.dumps(tokens))
            return 200, {"id_slot": number, "filename": name, "n_saved": len(tokens), "n_written": 9}
        if action == "restore":
            self.slots[number] = []  # a failed restore leaves it empty
            try:
                self.slots[number] = list(json.loads(path.read_text()))
            except (OSError, ValueError):
                text = "Unable to restore slot: No available space in KV cache or invalid slot save file"
                return 400, error(400, text, "invalid_request_error")
            return 200, {
                "id_slot": number,
                "filename": name,
                "n_restored": len(self.slots[number]),
                "n_read": 9,
            }
        return 400, error(400, "Invalid action", "invalid_request_error")

    def chat(self, body: dict[str, Any]) -> tuple[list[str], int]:
        """The words of a reply, and how many of the prompt's words the slot already held."""
        prompt = [w for m in body["messages"] for w in f"{m['role']}: {m['content']}".split()]
        held = self.slots[0]
        cached = next((i for i, (a, b) in enumerate(zip(held, prompt, strict=False)) if a != b), len(held))
        words = [f"word{i} " for i in range(min(int(body.get("max_tokens") or 8), 64))]
        self.slots[0] = prompt + words
        return words, min(cached, len(prompt))


def error(code: int, message: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": kind}}


def make_handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def do_GET(self) -> None:
            self._route({})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._route(json.loads(data) if data else {})

        def _route(self, body: dict[str, Any]) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if url.path.startswith("/fake/"):
                server.fault_request(url.path, query)
                return self._json(200, {})
            if server.is_deaf:
                threading.Event().wait()
            if not server.is_loaded:  # before the key is looked at
                return self._json(503, error(503, "Loading model", "unavailable_error"))
            if url.path == "/health":
                return self._json(200, {"status": "ok"})
            given = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if server.key and given != server.key:
                return self._json(401, error(401, "Invalid API Key", "authentication_error"))
            if url.path == "/props":
                return self._json(200, server.props())
            if url.path.startswith("/slots/") and self.command == "POST":
                number = int(url.path.rsplit("/", 1)[1])
                return self._json(*server.slot_action(number, query.get("action", [""])[0], body))
            if url.path == "/v1/chat/completions" and self.command == "POST":
                return self._stream(body)
            return self._json(404, error(404, "File Not Found", "not_found_error"))

        def _json(self, status: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, body: dict[str, Any]) -> None:
            words, cached = server.chat(body)
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            self._event({"choices": [{"index": 0, "finish_reason": None, "delta": {"content": None}}]})
            for word in words:
                self._event({"choices": [{"index": 0, "finish_reason": None, "delta": {"content": word}}]})
            timings = {"cache_n": cached, "prompt_n": 1, "predicted_n": len(words)}
            last = {"index": 0, "finish_reason": "stop", "delta": {}}
            self._event({"choices": [last], "timings": timings})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, value: dict[str, Any]) -> None:
            self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
            self.wfile.flush()

    return Handler


if __name__ == "__main__":
    code = Server(sys.argv[1:]).run()
    sys.stdout.flush()
    os._exit(code)
