"""A running embedded llama-server for tests: its process, its streams, one chat with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from genai_desktop.engines.embedded import LLAMA_SERVER, command_line

ROOT = Path(__file__).parents[2]
READY = re.compile(r"listening on (https?://\S+)")
KEY = "key-of-the-test"

# the command line that the contract recommends, but for the model, the slots' folder and the GPU
RECOMMENDED = """
--host 127.0.0.1 --port 0 -c 1024 -np 1 -b 256 -ub 256 -ngl auto -fa auto -ctk f16 -ctv f16 --jinja
--reasoning-format deepseek --no-webui --metrics --cache-ram 64 -ctxcp 4 --alias tiny --offline
--log-colors off -lv 4 --device none -fit off --load-mode none
""".split()  # noqa: SIM905 - a command line reads as one


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} stayed false for {seconds} s")
        time.sleep(0.005)


class Engine:
    """A running embedded server whose output goes to files, so that nothing has to drain it."""

    def __init__(self, folder: Path, arguments: list[str], environ: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = folder / "stdout", folder / "stderr"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            self.process = subprocess.Popen(
                [*command_line(LLAMA_SERVER), *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={**clean, **(environ or {})},
            )

    @property
    def stdout(self) -> str:
        return self._paths[0].read_text(encoding="utf-8", errors="replace")

    @property
    def log(self) -> str:
        return self._paths[1].read_text(encoding="utf-8", errors="replace")

    def logged(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.log)
            if found is None and self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.log}")
            return found

        match = until(look)
        assert isinstance(match, re.Match)
        return match

    def ready(self) -> str:
        """The address, once the server answers and the process has taken over its signals."""
        address = self.logged(READY).group(1)
        if sys.platform == "linux":
            until(self._catches_sigterm)
        return address

    def _catches_sigterm(self) -> bool:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        caught = re.search(r"SigCgt:\s*(\w+)", status)
        return caught is not None and bool(int(caught.group(1), 16) >> (signal.SIGTERM - 1) & 1)

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, seconds: float = 30.0) -> int:
        return self.process.wait(seconds)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(OSError):
            self.close_stdin()


@contextmanager
def engine(folder: Path, *arguments: str | Path, environ: dict[str, str] | None = None) -> Iterator[Engine]:
    running = Engine(folder, [str(argument) for argument in arguments], environ)
    try:
        yield running
    finally:
        running.end()


def ask(*arguments: str | Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the engine to its end."""
    command = [*command_line(LLAMA_SERVER), *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**clean, **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def chat(client: httpx.Client, content: str, **more: Any) -> list[dict[str, Any]]:
    """The chunks of one streamed reply; the stream must end as streams end."""
    request = {
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 8,
        "seed": 1,
        **more,
    }
    # The server closes a connection after a stream without announcing it: it must not go back to the pool.
    headers = {"Connection": "close"}
    with client.stream("POST", "/v1/chat/completions", json=request, headers=headers) as response:
        assert response.status_code == 200, response.read()
        frames = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
    assert frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in frames[:-1]]


def spoken(chunks: list[dict[str, Any]]) -> tuple[str, str]:
    """The thoughts and the reply of a stream."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", [])]
    return (
        "".join(delta.get("reasoning_content") or "" for delta in deltas),
        "".join(delta.get("content") or "" for delta in deltas),
    )
