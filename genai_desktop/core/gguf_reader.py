"""The bounded reader of GGUF headers (versions 2 and 3).

It reads through a port, `read(offset, size) -> bytes`, so a local file, a range request and a test are the
same to it. Whatever the bytes say, it keeps to the limits below: it never asks for more than a window at a
time, never holds a vocabulary (a 150,000-token list is counted and skipped), and raises nothing but
ModelFileError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from math import prod
from typing import Any, BinaryIO, Final, NoReturn

from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.fileformat import refusal, sniff
from genai_desktop.core.ggml_types import tensor_bytes
from genai_desktop.core.gguf_header import GgufArray, GgufHeader, GgufTensor

Read = Callable[[int, int], bytes]

MAX_HEADER: Final = 128 << 20  # no header may end beyond this (the largest vocabularies need about 20 MiB)
MAX_TEXT: Final = 32 << 20  # bytes of all texts kept
MAX_ITEMS: Final = 1 << 20  # items of all arrays kept
MAX_KEYS: Final = 65_536
MAX_TENSORS: Final = 131_072
MAX_KEY_LENGTH: Final = 65_536
MAX_TENSOR_NAME: Final = 4_096  # ggml allows 63; image models keep their longer original names
MAX_STRING: Final = 64 << 20
KEPT_STRING: Final = 1 << 20  # longer texts are cut; no chat template comes near
KEPT_ITEMS: Final = 4_096  # shorter arrays are kept whole (heads per layer); of longer ones the beginning
MAX_STRINGS: Final = 4 << 20  # texts in one list; the largest vocabularies have some 600,000 merges
KEPT_STRINGS: Final = 256
KEPT_HEAD: Final = 8
MAX_DIMS: Final = 8
MAX_ALIGNMENT: Final = 1 << 20
FIRST_WINDOW: Final = 256 << 10
MAX_WINDOW: Final = 1 << 20

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_TENSOR_TAIL: Final = struct.Struct("<IQ")
_STRING_TYPE: Final = 8
_ARRAY_TYPE: Final = 9
# value type -> (struct letter, bytes)
_SCALARS: Final[dict[int, tuple[str, int]]] = {
    0: ("B", 1), 1: ("b", 1), 2: ("H", 2), 3: ("h", 2), 4: ("I", 4), 5: ("i", 4), 6: ("f", 4), 7: ("?", 1),
    10: ("Q", 8), 11: ("q", 8), 12: ("d", 8),
}  # fmt: skip
_TYPE_NAMES: Final[dict[int, str]] = {
    0: "u8", 1: "i8", 2: "u16", 3: "i16", 4: "u32", 5: "i32", 6: "f32", 7: "bool", 8: "string", 10: "u64",
    11: "i64", 12: "f64",
}  # fmt: skip


def read_gguf_header(reader: Read | BinaryIO, *, file_size: int | None = None) -> GgufHeader:
    """Read and check the header of one GGUF file (one shard).

    reader: `read(offset, size)`, which may return less only at the end of the file, or an open binary file.
    file_size: bytes of the whole file; without it offsets cannot be checked against the end.
    Raises ModelFileError for everything that is not a usable GGUF file.
    """
    read = reader if callable(reader) else _file_port(reader)
    cursor = _Cursor(read, file_size)
    _check_magic(cursor)
    version = _read_version(cursor)
    n_tensors = cursor.u64()
    n_keys = cursor.u64()
    if n_keys > MAX_KEYS or n_tensors > MAX_TENSORS:
        raise _damaged(f"it claims {n_tensors} tensors and {n_keys} keys, more than any model has")
    metadata: dict[str, Any] = {}
    for _ in range(n_keys):
        key = cursor.string(MAX_KEY_LENGTH, "a key")
        if key in metadata:
            raise _damaged(f"it holds the key {key[:80]!r} twice")
        metadata[key] = _read_value(cursor, key)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise _damaged("its alignment is not a power of two")
    tensors = _read_tensors(cursor, n_tensors)
    data_offset = -(-cursor.position // alignment) * alignment
    _check_extent(tensors, alignment, data_offset, file_size)
    return GgufHeader(version, metadata, tensors, alignment, data_offset, file_size, cursor.bytes_read)


def _file_port(file: BinaryIO) -> Read:
    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return read


class _Cursor:
    """A position in the file and a window of bytes around it. Every read checks the limits."""

    def __init__(self, read: Read, file_size: int | None) -> None:
        self._read = read
        self._limit = MAX_HEADER if file_size is None else min(MAX_HEADER, file_size)
        self._is_cut_by_file = file_size is not None and file_size <= MAX_HEADER
        self._base = 0
        self._buffer = b""
        self._at = 0
        self._window = FIRST_WINDOW
        self._text_left = MAX_TEXT
        self._items_left = MAX_ITEMS
        self.bytes_read = 0

    @property
    def position(self) -> int:
        return self._base + self._at

    def _fill(self, size: int) -> None:
        """Make `size` bytes from the position on available, or raise."""
        position = self._base + self._at
        if position + size > self._limit:
            self._fail_at_end()
        kept = self._buffer[self._at :]
        start = position + len(kept)
        want = min(max(size - len(kept), self._window), self._limit - start)
        self._window = min(self._window * 2, MAX_WINDOW)
        chunk = self._read(start, want)
        self.bytes_read += len(chunk)
        self._base, self._at = position, 0
        self._buffer = kept + chunk if kept else bytes(chunk)
        if len(self._buffer) < size:
            raise _truncated(start + len(chunk))

    def _fail_at_end(self) -> NoReturn:
        if self._is_cut_by_file:
            raise _truncated(self._limit)
        raise _damaged(f"its description is larger than {MAX_HEADER >> 20} MiB")

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes without moving; fewer when the file is shorter."""
        if len(self._buffer) - self._at < size:
            with suppress(ModelFileError):  # shorter than asked for: what there is tells what the file is
                self._fill(min(size, self._limit - self.position))
        return self._buffer[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        if len(self._buffer) - self._at < size:
            self._fill(size)
        at = self._at
        self._at = at + size
        return self._buffer[at : at + size]

    def u32(self) -> int:
        if len(self._buffer) - self._at < 4:
            self._fill(4)
        value: int = _U32.unpack_from(self._buffer, self._at)[0]
        self._at += 4
        return value

    def u64(self) -> int:
        if len(self._buffer) - self._at < 8:
            self._fill(8)
        value: int = _U64.unpack_from(self._buffer, self._at)[0]
        self._at += 8
        return value

    def skip(self, size: int) -> None:
        """Move on without reading what lies between."""
        at = self._at + size
        if at <= len(self._buffer):
            self._at = at
            return
        position = self._base + at
        if position > self._limit:
            self._fail_at_end()
        self._base, self._buffer, self._at = position, b"", 0

    def string(self, limit: int, what: str) -> str:
        length = self.u64()
        if length > limit:
            raise _damaged(f"{what} is {length} bytes long")
        kept = min(length, KEPT_STRING)
        self._text_left -= kept
        if self._text_left < 0:
            raise _damaged(f"its texts are larger than {MAX_TEXT >> 20} MiB")
        text = self.take(kept).decode("utf-8", "replace")
        if kept < length:
            self.skip(length - kept)
        return text

    def keep(self, count: int, limit: int) -> int:
        """How many of `count` items to keep: all of a short list while the budget lasts, else the first
        few.
        """
        kept = count if count <= min(limit, self._items_left) else min(count, KEPT_HEAD)
        self._items_left -= kept
        return kept

    def skip_strings(self, count: int) -> None:
        """Skip `count` strings. The hot loop: a vocabulary has 150,000 of them, its merges as many again."""
        unpack = _U64.unpack_from
        left = count
        while left:
            buffer, at = self._buffer, self._at
            done = 0
            try:
                for done in range(left):  # noqa: B007 - tells how far it came when interrupted
                    at += unpack(buffer, at)[0] + 8
                done = left
            except (struct.error, OverflowError):  # the next length lies beyond the window
                if at - self._at > self._limit:
                    self._fail_at_end()
            left -= done
            self.skip(at - self._at)
            if left:
                self._fill(8)


def _check_magic(cursor: _Cursor) -> None:
    head = cursor.peek(512)
    kind = sniff(head)
    if kind != "gguf":
        raise refusal(kind)
    cursor.skip(4)


def _read_version(cursor: _Cursor) -> int:
    version = cursor.u32()
    if version in (2, 3):
        return version
    if version == 1:
        raise ModelFileError(
            "The file is in GGUF version 1, which current engines no longer read.",
            remedy="Look for a newer conversion of the same model.",
        )
    if version & 0xFFFF == 0:
        raise ModelFileError(
            "The file was written for a big-endian computer and cannot be used here.",
            remedy="Look for the usual (little-endian) file of the same model.",
        )
    raise ModelFileError(
        f"The file is in GGUF version {version}, which this program does not know.",
        remedy="Update the program, or choose an older conversion of the same model.",
    )


def _read_value(cursor: _Cursor, key: str) -> Any:
    type_id = cursor.u32()
    if type_id == _STRING_TYPE:
        return cursor.string(MAX_STRING, f"the text {key[:80]!r}")
    if type_id == _ARRAY_TYPE:
        return _read_array(cursor, key)
    scalar = _SCALARS.get(type_id)
    if scalar is None:
        raise _damaged(f"the key {key[:80]!r} has the unknown value type {type_id}")
    letter, size = scalar
    return struct.unpack("<" + letter, cursor.take(size))[0]


def _read_array(cursor: _Cursor, key: str) -> GgufArray:
    type_id = cursor.u32()
    count = cursor.u64()
    if count > (MAX_STRINGS if type_id == _STRING_TYPE else MAX_HEADER):
        raise _damaged(f"the list {key[:80]!r} claims {count} items")
    if type_id == _STRING_TYPE:
        kept = cursor.keep(count, KEPT_STRINGS)
        texts = tuple(cursor.string(MAX_STRING, f"a text in {key[:80]!r}") for _ in range(kept))
        cursor.skip_strings(count - kept)
        return GgufArray("string", count, texts)
    scalar = _SCALARS.get(type_id)
    if scalar is None:  # nested arrays are in the specification, but no engine reads them
        raise _damaged(f"the list {key[:80]!r} has the unsupported item type {type_id}")
    letter, size = scalar
    kept = cursor.keep(count, KEPT_ITEMS)
    values = struct.unpack(f"<{kept}{letter}", cursor.take(kept * size))
    cursor.skip((count - kept) * size)
    return GgufArray(_TYPE_NAMES[type_id], count, values)


def _read_tensors(cursor: _Cursor, count: int) -> tuple[GgufTensor, ...]:
    tensors: list[GgufTensor] = []
    names: set[str] = set()
    for _ in range(count):
        name = cursor.string(MAX_TENSOR_NAME, "the name of a tensor")
        if name in names:
            raise _damaged(f"it holds the tensor {name[:80]!r} twice")
        names.add(name)
        n_dims = cursor.u32()
        if n_dims > MAX_DIMS:
            raise _damaged(f"the tensor {name[:80]!r} claims {n_dims} dimensions")
        shape = struct.unpack(f"<{n_dims}Q", cursor.take(8 * n_dims))
        type_id, offset = _TENSOR_TAIL.unpack(cursor.take(12))
        if prod(shape) >= 1 << 62 or offset >= 1 << 62:
            raise _damaged(f"the tensor {name[:80]!r} claims an impossible size")
        tensors.append(GgufTensor(name, shape, type_id, offset))
    return tuple(tensors)


def _check_extent(
    tensors: tuple[GgufTensor, ...], alignment: int, data_offset: int, file_size: int | None
) -> None:
    """Every tensor must lie inside the file, and all of them together must fit into it."""
    total = 0
    end = 0
    for tensor in tensors:
        if tensor.offset % alignment:
            raise _damaged(f"the tensor {tensor.name[:80]!r} begins at an odd place")
        size = tensor_bytes(prod(tensor.shape), tensor.type) or 0
        total += size
        end = max(end, tensor.offset + size)
    if file_size is None:
        return
    if tensors and data_offset + end > file_size:
        raise _truncated(file_size, data_offset + end)
    if total > file_size:
        raise _damaged("its tensors overlap, so it claims to hold more than its own size")


def _damaged(why: str) -> ModelFileError:
    return ModelFileError(
        f"The model file is damaged: {why}.",
        remedy="Delete it and download the model again.",
        details={"kind": "damaged"},
    )


def _truncated(have: int, need: int | None = None) -> ModelFileError:
    tail = f" of the {need} its header promises" if need else ""
    return ModelFileError(
        f"The model file is incomplete: it ends after {have} bytes{tail}.",
        remedy="Resume the download, or delete the file and download it again.",
        details={"kind": "truncated", "have": have, "need": need},
    )
