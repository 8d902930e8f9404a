"""The other end of `tests.app.window_driver`: start the window, wait for events, give commands, end it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tests.app.faults import ROOT, is_alive

_TROUBLE = (
    "Traceback", "Qt", "QProcess", "QThread", "QTimer", "QObject", "QSocket", "Timers cannot", "destroyed",
    "never awaited", "never retrieved", "ERROR", "CRITICAL", "Fatal", "Segmentation",
)  # fmt: skip


class Window:
    """A running window. Every event so far is in `events`; leaving the block ends it, whatever happened."""

    def __init__(self, home: Path, log: Path, *prefix: str, **environment: str) -> None:
        self._log = log
        self._stderr = log.open("wb")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.app.window_driver"],
            cwd=ROOT,
            env={
                **os.environ,
                "GENAI_DESKTOP_HOME": str(home),
                "QT_QPA_PLATFORM": "offscreen",
                "PYTHONASYNCIODEBUG": "",
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)
        self._pending = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.communicate()
        self._selector.close()
        self._stderr.close()

    @property
    def stderr(self) -> str:
        return self._log.read_text(errors="replace")

    def do(self, *command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def wait(
        self,
        event: str,
        is_it: Callable[[dict[str, Any]], Any] = lambda _: True,
        *,
        since: int = 0,
        timeout: float = 30,
    ) -> dict[str, Any]:
        """The first event of this name for which `is_it` is true; since: so many of the past do not count."""
        deadline = time.monotonic() + timeout
        seen = since
        while True:
            for found in self.events[seen:]:
                if found["event"] == event and is_it(found):
                    return found
            seen = len(self.events)
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"no {event!r} in {self.events[-12:]}\n{self.stderr[-3000:]}")

    def texts(self) -> str:
        """Everything that can be read in the window now."""
        before = len(self.events)
        self.do("texts")
        found: list[str] = self.wait("texts", since=before)["texts"]
        return "\n".join(found)

    def shows(self, words: str, timeout: float = 10) -> None:
        deadline = time.monotonic() + timeout
        while words not in (text := self.texts()):
            assert time.monotonic() < deadline, text

    def children(self) -> list[int]:
        return [p.pid for p in psutil.Process(self.process.pid).children(recursive=True)]

    def end(self, number: int = signal.SIGTERM, timeout: float = 30) -> float:
        """Ask it to end and check that it does so cleanly; the seconds it took."""
        children = self.children()
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.communicate(timeout=timeout)
        seconds = time.monotonic() - began
        assert self.process.returncode == 0, f"{self.process.returncode}\n{self.stderr[-4000:]}"
        assert [pid for pid in children if is_alive(pid)] == []
        self.is_quiet()
        return seconds

    def is_quiet(self) -> None:
        """Nothing on stderr that tells of a mistake of ours."""
        text = self.stderr.replace("QT_", "")
        assert not [word for word in _TROUBLE if word in text], text[-4000:]

    def _read(self, timeout: float) -> bool:
        """More events; False at the end of the output or of the time."""
        assert self.process.stdout is not None
        if not self._selector.select(timeout):
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.events.extend(json.loads(line) for line in lines)
        return bool(data)
