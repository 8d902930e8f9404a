"""What a child says: bytes to lines, lines to entries with a level, entries to a ring and a rotating file."""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from genai_desktop.core.servers import LogEntry, LogLevel

_log = logging.getLogger(__name__)

MAX_LINE = 64 * 1024  # characters; a child that never ends a line must not eat our memory
RING_SIZE = 5000
FILE_SIZE = 5 * 2**20
ARCHIVES = 2

# llama.cpp: minutes.seconds.milliseconds.microseconds, then I, W, E or D
_LLAMA = re.compile(r"\d+\.\d\d\.\d{3}\.\d{3} ([IWED]) ")
_BRACKETED = re.compile(r"\s*\[(DEBUG|INFO|WARN|WARNING|ERROR|FATAL)\s*\]", re.IGNORECASE)
_LETTER = re.compile(r"([IWED]) \S")
_LEVELS: dict[str, LogLevel] = {
    "I": "info", "W": "warn", "E": "error", "D": "debug",
    "DEBUG": "debug", "INFO": "info", "WARN": "warn", "WARNING": "warn", "ERROR": "error", "FATAL": "error",
}  # fmt: skip
_ERROR_WORDS = re.compile(
    r"\b(error|fatal|exception|failed|cannot|can't|couldn't|unable to|abort(ed)?|assert(ion)?|ggml_assert)\b",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"\b(no|without|0) errors?\b|llama_perf|print_info", re.IGNORECASE)
_WARN_WORDS = re.compile(r"\b(warn(ing)?|deprecated)\b", re.IGNORECASE)

# What must never reach a log, whoever wrote it. The value is replaced, the rest of the line is kept.
_SECRET_PATTERNS = (
    re.compile(r"(?P<keep>\bBearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(
        r"(?P<keep>\b(?:x-api-key|api[-_]?key|token|password|secret)\"?\s*[=:]\s*\"?)[^\s\"',;&]{8,}", re.I
    ),
    re.compile(r"(?P<keep>)\b(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,})"),
)
# Nearly every line has none of these, and one look is cheaper than three.
_SUSPICIOUS = re.compile(
    r"bearer\s|key\"?\s*[=:]|token\"?\s*[=:]|password|secret|hf_|sk-|gh[pousr]_", re.IGNORECASE
)
REDACTED = "[redacted]"


class LineSplitter:
    """Bytes in any pieces to whole lines. Ends: LF, CR, CRLF; bad UTF-8 becomes U+FFFD; no line is lost."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        return self._split(self._decoder.decode(data))

    def flush(self) -> list[str]:
        """The last, unfinished line, when the stream has ended."""
        lines = self._split(self._decoder.decode(b"", final=True))
        rest, self._rest = self._rest, ""
        if rest:
            lines.append(rest.removesuffix("\r"))
        return lines

    def _split(self, text: str) -> list[str]:
        buffer = self._rest + text
        # a CR at the very end may be the first half of a CRLF: keep it until more comes
        held = "\r" if buffer.endswith("\r") else ""
        parts = buffer.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = parts.pop() + held
        while len(self._rest) > MAX_LINE:
            parts.append(self._rest[:MAX_LINE])
            self._rest = self._rest[MAX_LINE:]
        return parts


def level_of(line: str, default: LogLevel = "info") -> LogLevel:
    """The level a line claims, else what its words say. Coming from stderr means nothing."""
    match = _LLAMA.match(line) or _BRACKETED.match(line) or _LETTER.match(line)
    if match is not None:
        return _LEVELS[match.group(1).upper()]
    if _ERROR_WORDS.search(line) and not _HARMLESS.search(line):
        return "error"
    if _WARN_WORDS.search(line):
        return "warn"
    return default


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the given values and without anything that looks like a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    if _SUSPICIOUS.search(text) is None:
        return text
    for pattern in _SECRET_PATTERNS:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    return text


class RotatingFile:
    """Lines appended by one worker at a time; at most FILE_SIZE bytes plus ARCHIVES older files `.1`, `.2`.

    A disk that refuses is reported once and the lines are dropped: a log must not stop a server.
    """

    def __init__(self, path: Path, *, max_bytes: int = FILE_SIZE, archives: int = ARCHIVES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._archives = archives
        self._pending: list[str] = []
        self._writer: asyncio.Task[None] | None = None
        self._is_broken = False

    def append(self, line: str) -> None:
        """Queue a line; needs a running loop."""
        self._pending.append(line)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_pending())

    async def flush(self) -> None:
        """Until everything queued so far is on the disk."""
        while self._writer is not None and not self._writer.done():
            await asyncio.shield(self._writer)

    async def _write_pending(self) -> None:
        while self._pending:
            lines, self._pending = self._pending, []
            await asyncio.to_thread(self._write, lines)

    def _write(self, lines: list[str]) -> None:
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        try:
            self._rotate_for(len(data))
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
            self._is_broken = False
        except OSError as error:
            if not self._is_broken:
                _log.warning("the log %s cannot be written: %s", self.path, error)
            self._is_broken = True

    def _rotate_for(self, size: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self.path.stat().st_size + size <= self._max_bytes:
                return
        except FileNotFoundError:
            return
        for number in range(self._archives, 0, -1):
            older = self.path if number == 1 else self.archive(number - 1)
            if older.exists():
                older.replace(self.archive(number))

    def archive(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class ProcessLog:
    """The log of one server over all its starts: a ring in memory, a file, and a listener."""

    def __init__(
        self,
        file: RotatingFile | None,
        *,
        time: Callable[[], float],
        on_entry: Callable[[LogEntry], None] | None = None,
        size: int = RING_SIZE,
    ) -> None:
        self._file = file
        self._time = time
        self._on_entry = on_entry
        self._ring: deque[LogEntry] = deque(maxlen=size)
        self._secrets: set[str] = set()

    def hide(self, secret: str) -> None:
        """From now on this value is replaced wherever it appears."""
        if secret:
            self._secrets.add(secret)

    def add(self, line: str, stream: Literal["stdout", "stderr", "app"] = "stderr") -> LogEntry:
        """Record one line and return its entry."""
        text = redact(line, self._secrets)
        entry = LogEntry(self._time(), level_of(text), text, stream)
        self._ring.append(entry)
        if self._file is not None:
            self._file.append(entry.to_line())
        if self._on_entry is not None:
            self._on_entry(entry)
        return entry

    def entries(self, count: int | None = None) -> tuple[LogEntry, ...]:
        """The newest `count` entries, oldest first."""
        entries = tuple(self._ring)
        return entries if count is None else entries[max(0, len(entries) - max(0, count)) :]

    def clear(self) -> None:
        """Empty the ring; the files stay."""
        self._ring.clear()

    async def flush(self) -> None:
        if self._file is not None:
            await self._file.flush()


class OutputReader:
    """Turns what one process writes on its two pipes into lines, each pipe on its own."""

    def __init__(self, on_line: Callable[[str, Literal["stdout", "stderr"]], None]) -> None:
        self._on_line = on_line
        self._splitters = {"stdout": LineSplitter(), "stderr": LineSplitter()}

    def feed(self, stream: Literal["stdout", "stderr"], data: bytes) -> None:
        for line in self._splitters[stream].feed(data):
            self._on_line(line, stream)

    def finish(self) -> None:
        """The process has ended: hand out what had no line end."""
        streams: tuple[Literal["stdout", "stderr"], ...] = ("stdout", "stderr")
        for stream in streams:
            for line in self._splitters[stream].flush():
                self._on_line(line, stream)
