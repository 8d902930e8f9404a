"""Server-sent events, incrementally: bytes cut anywhere become the payloads of whole events."""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 32 * 1024 * 1024


class EventTooLongError(ValueError):
    """One event grew past MAX_EVENT_BYTES: this is not a chat stream."""


class SseParser:
    """Feed bytes as they come; each call returns the payloads (joined `data` lines) of the events they
    complete.

    Comments, `event`, `id` and `retry` lines are skipped. Lines may end in LF, CR LF or CR. Bytes are
    decoded one whole line at a time, so a character cut in two is never seen; invalid UTF-8 becomes U+FFFD.
    Builds of llama-server before autumn 2025 wrote an error as a field of its own (`error: {...}`): it comes
    out as `{"error":{...}}`, as today.
    """

    def __init__(self) -> None:
        self._fragments: list[bytes] = []  # the unfinished line; joined once, however many pieces it comes in
        self._size = 0
        self._data: list[str] = []
        self._swallow_lf = False
        self._is_first_line = True

    def feed(self, data: bytes) -> list[str]:
        """Payloads completed by `data`, oldest first. Raises EventTooLongError."""
        if not data:
            return []
        if self._swallow_lf and data.startswith(b"\n"):
            data = data[1:]
        self._swallow_lf = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._fragments.append(data)
            self._grow(len(data))
            return []
        lines = data.split(b"\n")
        if self._fragments:
            lines[0] = b"".join((*self._fragments, lines[0]))
        rest = lines.pop()
        self._fragments = [rest] if rest else []
        payloads: list[str] = []
        for line in lines:
            if self._is_first_line:
                self._is_first_line = False
                line = line.removeprefix(_BOM)  # noqa: PLW2901 - the mark belongs to no line
            if not line:
                if self._data:
                    payloads.append("\n".join(self._data))
                    self._data = []
            else:
                self._take(line)
        self._size = sum(map(len, self._data))
        self._grow(len(rest))
        return payloads

    def close(self) -> list[str]:
        """The stream ended: what a last event without its empty line holds (it may be cut short)."""
        if self._fragments:
            self._take(b"".join(self._fragments))
            self._fragments = []
        data, self._data = self._data, []
        return ["\n".join(data)] if data else []

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLongError(f"an event is longer than {MAX_EVENT_BYTES} bytes")

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value.decode("utf-8", "replace"))
        elif line.startswith(b"error:"):
            self._data.append('{"error":' + line[6:].decode("utf-8", "replace").strip() + "}")
        elif line == b"data":
            self._data.append("")
