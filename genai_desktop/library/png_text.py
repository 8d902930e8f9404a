"""Text in PNG files: read with bounds, and added without touching a pixel."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from genai_desktop.core.errors import InvalidInputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_MAX_TEXT = 4 * 1024**2  # bytes of one text, unpacked: a recipe has kilobytes
_MAX_CHUNKS = 100_000


def read_text(path: Path) -> dict[str, str]:
    """Texts by keyword, the first of each. Empty for a PNG without any; damaged texts are left out.

    Raises InvalidInputError when the file is no PNG, OSError when it cannot be read.
    """
    texts: dict[str, str] = {}
    with path.open("rb") as file:
        if file.read(8) != _SIGNATURE:
            raise InvalidInputError(
                f"'{path.name}' is not a PNG picture.", remedy="Drop a PNG picture that was made here."
            )
        for kind, body in _text_chunks(file):
            entry = _decode(kind, body)
            if entry is not None:
                texts.setdefault(*entry)
    return texts


def with_text(data: bytes, texts: Mapping[str, str]) -> bytes:
    """The same picture with these texts; what it had under the same keywords is replaced."""
    if not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        raise InvalidInputError("The data is not a PNG picture.")
    begin = 8 + 12 + int.from_bytes(data[8:12], "big")  # behind the header chunk
    kept = [data[:begin]]
    kept += [_encode(keyword, text) for keyword, text in texts.items()]
    while begin + 12 <= len(data):
        end = begin + 12 + int.from_bytes(data[begin : begin + 4], "big")
        kind = data[begin + 4 : begin + 8]
        keyword = data[begin + 8 : begin + 88].split(b"\0", 1)[0].decode("latin-1")
        if kind not in _TEXT_KINDS or keyword not in texts:
            kept.append(data[begin:end])
        begin = end
    return b"".join(kept)


def _text_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header)
        if kind == b"IEND":
            return
        if kind in _TEXT_KINDS and size <= _MAX_TEXT:
            body = file.read(size)
            if len(body) < size:
                return
            yield kind, body
            file.seek(4, 1)
        else:
            file.seek(size + 4, 1)


def _decode(kind: bytes, body: bytes) -> tuple[str, str] | None:
    raw_keyword, _, rest = body.partition(b"\0")
    keyword = raw_keyword.decode("latin-1")
    try:
        if kind == b"tEXt":
            # by the standard Latin-1, but several programs write UTF-8 here
            try:
                return keyword, rest.decode("utf-8")
            except UnicodeDecodeError:
                return keyword, rest.decode("latin-1")
        if kind == b"zTXt":
            return keyword, _unpack(rest[1:]).decode("latin-1")
        is_packed = rest[:1] == b"\1"
        _language, _, rest = rest[2:].partition(b"\0")
        _translated, _, rest = rest.partition(b"\0")
        return keyword, (_unpack(rest) if is_packed else rest).decode("utf-8")
    except (zlib.error, UnicodeDecodeError, ValueError):
        return None


def _unpack(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, _MAX_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("the text is longer than any recipe")
    return text


def _encode(keyword: str, text: str) -> bytes:
    """tEXt where Latin-1 can hold it, else iTXt: as the tools do that read these."""
    try:
        kind, body = b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        kind, body = b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8")
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
