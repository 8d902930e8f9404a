"""Text for people, JSON lines for programs, progress bars for terminals."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genai_desktop.core.errors import GenaiError

GIB = 1024**3
MIB = 1024**2


class Output:
    """stdout carries the answer; stderr carries progress, and only when it is a terminal."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        self._is_terminal = sys.stderr.isatty()
        self._last_line = 0.0
        self._has_progress = False

    def text(self, text: str = "", *, end: str = "\n") -> None:
        """A line for people; nothing with --json."""
        if not self.is_json:
            self.end_progress()
            print(text, end=end, flush=True)

    def event(self, event: str, **values: Any) -> None:
        """A `{"event": ...}` line; nothing without --json."""
        if self.is_json:
            self._write({"event": event, **values})

    def result(self, value: dict[str, Any]) -> None:
        """The last object."""
        if self.is_json:
            self._write(value)

    def error(self, error: GenaiError) -> None:
        """The error object on stdout, or a sentence on stderr."""
        self.end_progress()
        if self.is_json:
            self._write({"event": "error", **error.to_dict()})
        else:
            print(f"Error: {error}", file=sys.stderr, flush=True)

    def progress(self, label: str, fraction: float | None, detail: str = "") -> None:
        """One bar on stderr, at most ten times a second, on a terminal only."""
        if self.is_json or not self._is_terminal:
            return
        now = time.monotonic()
        if now - self._last_line < 0.1 and fraction != 1.0:
            return
        self._last_line = now
        width = 24
        filled = int(width * (fraction or 0.0))
        bar = "#" * filled + "-" * (width - filled) if fraction is not None else "~" * width
        percent = "     " if fraction is None else f"{100 * fraction:4.0f}%"
        print(f"\r\033[K{label} [{bar}] {percent} {detail}", end="", file=sys.stderr, flush=True)
        self._has_progress = True

    def end_progress(self) -> None:
        if self._has_progress:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._has_progress = False

    @staticmethod
    def _write(value: dict[str, Any]) -> None:
        print(json.dumps(value, ensure_ascii=False), flush=True)


def size(value: float | None) -> str:
    """Bytes for a person."""
    if value is None:
        return "unknown"
    if value >= GIB / 10:
        return f"{value / GIB:.1f} GiB"
    return f"{value / MIB:.1f} MiB"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns aligned by the widest cell; the first row is the heading."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows)
