"""What sd-cli writes to its two streams, and what a line of it looks like."""

from __future__ import annotations

import ctypes
import sys

DEBUG, INFO, WARN, ERROR = range(4)

_NAMES = ("DEBUG", "INFO", "WARN", "ERROR")
_COLORS = (37, 34, 35, 31)


class Console:
    """Errors go to stderr, the rest to stdout; every line is flushed, because a parent follows it live."""

    def __init__(self) -> None:
        self.verbose = False
        self.color = False
        self._c = ctypes.CDLL("ucrtbase") if sys.platform == "win32" else ctypes.CDLL(None)

    def debug(self, place: str, message: str) -> None:
        self._line(DEBUG, place, message)

    def info(self, place: str, message: str) -> None:
        self._line(INFO, place, message)

    def warn(self, place: str, message: str) -> None:
        self._line(WARN, place, message)

    def error(self, place: str, message: str) -> None:
        self._line(ERROR, place, message)

    def _line(self, level: int, place: str, message: str) -> None:
        """`place` is `file:line` of master-596, where the real program says the same thing."""
        self.write(level, f"{place:<{place.index(':') + 5}} - {message}\n".encode(errors="surrogateescape"))

    def write(self, level: int, line: bytes) -> None:
        """Write one finished line, as the library hands it to its callback."""
        if level <= DEBUG and not self.verbose:
            return
        name = _NAMES[level] if 0 <= level < len(_NAMES) else "?????"
        tag = f"[{name:<5}] "
        if self.color:
            tag = f"\033[{_COLORS[level]};1m[{name:<5}]\033[0m "
        # The library prints its progress bars itself, through C's stdout: what it holds back comes first.
        self._c.fflush(None)
        stream = sys.stderr.buffer if level == ERROR else sys.stdout.buffer
        stream.write(tag.encode() + line)
        stream.flush()
