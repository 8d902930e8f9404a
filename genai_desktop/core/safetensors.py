"""The bounded reader of safetensors headers.

A file is eight bytes of length, a JSON object of that length, and the data. Nothing but ModelFileError
comes out, whatever the bytes say; the JSON is weighed (brackets and commas counted) before it is parsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, Final, NamedTuple

from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.fileformat import refusal, sniff
from genai_desktop.core.gguf_reader import Read

MAX_HEADER: Final = 100_000_000  # the limit of the format's own library
MAX_TENSORS: Final = 131_072
MAX_DIMS: Final = 16
_MAX_OBJECTS: Final = 400_000  # containers in the JSON; a tensor needs three
_MAX_COMMAS: Final = 2_000_000
_MAX_METADATA_KEYS: Final = 65_536
_CHUNK: Final = 4 << 20

# bytes of one element; F4 and F6 are packed, so their data size is taken from the offsets
DTYPE_BYTES: Final[Mapping[str, int]] = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2,
    "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


class SafeTensor(NamedTuple):
    """One tensor. shape as in PyTorch (slowest first); begin and end count from the start of the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def n_bytes(self) -> int:
        return self.end - self.begin

    @property
    def n_elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """metadata: the `__metadata__` texts; data_offset: where the data begins; file_size: None when nobody
    told.
    """

    metadata: Mapping[str, str]
    tensors: tuple[SafeTensor, ...]
    data_offset: int
    file_size: int | None
    bytes_read: int


def read_safetensors_header(reader: Read | BinaryIO, *, file_size: int | None = None) -> SafetensorsHeader:
    """Read and check the header of one safetensors file. Raises ModelFileError for everything else."""
    read = reader if callable(reader) else _file_port(reader)
    head = read(0, 512)
    kind = sniff(head)
    if kind != "safetensors":
        raise refusal(kind)
    length = int.from_bytes(head[:8], "little")
    if length > MAX_HEADER:
        raise _damaged(f"its header claims {length} bytes; at most {MAX_HEADER} are allowed")
    if file_size is not None and 8 + length > file_size:
        raise _truncated(file_size, 8 + length)
    raw = _read_json(read, head[8 : 8 + length], length)
    tensors, metadata = _parse(raw)
    data_offset = 8 + length
    _check_extent(tensors, data_offset, file_size)
    return SafetensorsHeader(metadata, tensors, data_offset, file_size, max(len(head), data_offset))


def _file_port(file: BinaryIO) -> Read:
    def read(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return read


def _read_json(read: Read, beginning: bytes, length: int) -> bytes:
    parts = [beginning]
    have = len(beginning)
    while have < length:
        # in steps: a header that lies about its length must not make us reserve it at once
        chunk = read(8 + have, min(length - have, _CHUNK))
        if not chunk:
            raise _truncated(8 + have, 8 + length)
        parts.append(chunk)
        have += len(chunk)
    return b"".join(parts)


def _parse(raw: bytes) -> tuple[tuple[SafeTensor, ...], dict[str, str]]:
    # texts may hold brackets of their own (training notes do), so these are upper bounds, not counts
    if raw.count(b"{") > _MAX_OBJECTS or raw.count(b"[") > _MAX_OBJECTS or raw.count(b",") > _MAX_COMMAS:
        raise _damaged("its header holds more entries than any model has")
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise _damaged("its header is not valid JSON") from error
    if not isinstance(table, dict):
        raise _damaged("its header is not a table")
    notes = table.pop("__metadata__", None) or {}
    if not isinstance(notes, dict) or len(notes) > _MAX_METADATA_KEYS:
        raise _damaged("its notes are not a table of texts")
    if len(table) > MAX_TENSORS:
        raise _damaged(f"it claims {len(table)} tensors")
    tensors = tuple(_tensor(name, entry) for name, entry in table.items())
    return tensors, {key: value for key, value in notes.items() if isinstance(value, str)}


def _tensor(name: str, entry: Any) -> SafeTensor:
    shown = name[:80]
    if not isinstance(entry, dict):
        raise _damaged(f"the entry {shown!r} is no tensor")
    dtype = entry.get("dtype")
    shape, offsets = _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or offsets is None:
        raise _damaged(f"the tensor {shown!r} is not described as the format demands")
    if len(offsets) != 2 or offsets[1] < offsets[0]:
        raise _damaged(f"the tensor {shown!r} ends before it begins")
    tensor = SafeTensor(name, dtype, shape, offsets[0], offsets[1])
    width = DTYPE_BYTES.get(dtype)
    if width is not None and tensor.n_elements * width != tensor.n_bytes:
        raise _damaged(f"the tensor {shown!r} claims a shape that does not match its size")
    return tensor


def _sizes(values: Any) -> tuple[int, ...] | None:
    if not isinstance(values, list) or len(values) > MAX_DIMS:
        return None
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 62 for v in values):
        return None
    return tuple(values)


def _check_extent(tensors: tuple[SafeTensor, ...], data_offset: int, file_size: int | None) -> None:
    if file_size is None or not tensors:
        return
    end = data_offset + max(tensor.end for tensor in tensors)
    if end > file_size:
        raise _truncated(file_size, end)
    if sum(tensor.n_bytes for tensor in tensors) > file_size:
        raise _damaged("its tensors overlap, so it claims to hold more than its own size")


def _damaged(why: str) -> ModelFileError:
    return ModelFileError(
        f"The model file is damaged: {why}.",
        remedy="Delete it and download the model again.",
        details={"kind": "damaged"},
    )


def _truncated(have: int, need: int) -> ModelFileError:
    return ModelFileError(
        f"The model file is incomplete: it ends after {have} bytes of the {need} its header promises.",
        remedy="Resume the download, or delete the file and download it again.",
        details={"kind": "truncated", "have": have, "need": need},
    )
