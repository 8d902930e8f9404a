"""Hostile headers: whatever the bytes, the readers answer or raise ModelFileError, quickly and in bounded
memory.
"""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_desktop.core.component_guess import guess_file
from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.gguf import printable_metadata, summarize
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.gguf_reader import MAX_HEADER, read_gguf_header
from genai_desktop.core.hparams import read_hparams
from genai_desktop.core.placement import place
from genai_desktop.core.safetensors import read_safetensors_header
from tests.core.synthetic_gguf import gguf_header, llama_like, safetensors_bytes, string

_GGUF, _DATA = gguf_header(*llama_like(layers=2, vocabulary=300, extra={"attention.sliding_window": 64}))
_SAFE = safetensors_bytes({"decoder.conv_in.weight": ("F32", (4, 4)), "b": ("F16", (2, 3))}, {"k": "v"})
_MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survives(action: Callable[[], object]) -> bool:
    """The action answers, or refuses with a sentence and a remedy; anything else fails the test."""
    try:
        action()
    except ModelFileError as error:
        return bool(error.message and error.remedy)
    return True


def _use(header: GgufHeader) -> None:
    """Everything that is done with a header that was accepted."""
    summarize(header)
    printable_metadata(header)
    guess_file(header)
    try:
        read_hparams(header)
        place(header, (8 << 30,), 16 << 30)
    except ModelFileError:
        pass


def _read_gguf(raw: bytes, size: int) -> None:
    _use(read_gguf_header(io.BytesIO(raw), file_size=size))


@_MANY
@given(st.binary(max_size=400))
def test_random_bytes(raw: bytes) -> None:
    for prefix in (b"", b"GGUF\x03\0\0\0"):
        assert survives(lambda data=prefix + raw: _read_gguf(data, len(data)))  # type: ignore[misc]
    assert survives(lambda: read_safetensors_header(io.BytesIO(raw), file_size=len(raw)))


@_MANY
@given(st.lists(st.tuples(st.integers(0, len(_GGUF) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_of_a_good_gguf(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(_GGUF)
    for at, byte in changes:
        raw[at] = byte
    assert survives(lambda: _read_gguf(bytes(raw), len(raw) + _DATA))


@_MANY
@given(
    st.integers(0, len(_GGUF) - 8),
    st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]),
)
def test_extreme_numbers_anywhere_in_a_good_gguf(at: int, number: int) -> None:
    raw = bytearray(_GGUF)
    raw[at : at + 8] = struct.pack("<Q", number)
    assert survives(lambda: _read_gguf(bytes(raw), len(raw) + _DATA))


@_MANY
@given(st.integers(0, len(_GGUF)))
def test_a_gguf_cut_anywhere(at: int) -> None:
    with pytest.raises(ModelFileError):
        read_gguf_header(io.BytesIO(_GGUF[:at]), file_size=at)


@_MANY
@given(st.lists(st.tuples(st.integers(0, len(_SAFE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_of_a_good_safetensors(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(_SAFE)
    for at, byte in changes:
        raw[at] = byte
    assert survives(
        lambda: summarize(read_safetensors_header(io.BytesIO(bytes(raw)), file_size=len(raw) + 1_000))
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@_MANY
@given(st.dictionaries(st.text(max_size=12) | st.just("__metadata__"), _JSON, max_size=4))
def test_any_json_as_a_safetensors_header(table: dict[str, object]) -> None:
    raw = json.dumps(table).encode()
    data = struct.pack("<Q", len(raw)) + raw
    assert survives(lambda: summarize(read_safetensors_header(io.BytesIO(data), file_size=len(data))))


class _Endless(io.RawIOBase):
    """A file of `size` bytes: a beginning, then zeros; remembers how much was asked for."""

    def __init__(self, beginning: bytes, size: int) -> None:
        super().__init__()
        self.beginning, self.size, self.asked, self.largest = beginning, size, 0, 0

    def read_at(self, offset: int, size: int) -> bytes:
        self.largest = max(self.largest, size)
        size = max(0, min(size, self.size - offset))
        self.asked += size
        return (self.beginning[offset : offset + size]).ljust(size, b"\0")


@pytest.mark.parametrize(
    "beginning",
    [
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + string("k")
        + struct.pack("<IIQ", 9, 8, 2**20),  # empty texts
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 0, 2**26),  # bytes
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IQ", 8, 2**26),  # one long text
        b"GGUF" + struct.pack("<IQQ", 3, 60_000, 60_000),  # nothing but zeros
    ],
)
def test_memory_and_reading_stay_bounded(beginning: bytes) -> None:
    file = _Endless(beginning, 1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            _use_and_fail(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert file.asked <= MAX_HEADER + (4 << 20)
    assert file.largest <= 4 << 20


def _use_and_fail(file: _Endless) -> None:
    header = read_gguf_header(file.read_at, file_size=file.size)
    read_hparams(header)  # those that parse describe no model


def test_many_small_arrays_stay_in_budget() -> None:
    count = 20_000
    keys = b"".join(
        string(f"k{i}") + struct.pack("<IIQ", 9, 0, 4_000) + b"\x07" * 4_000 for i in range(count)
    )
    raw = b"GGUF" + struct.pack("<IQQ", 3, 0, count) + keys
    tracemalloc.start()
    try:
        header = read_gguf_header(lambda offset, size: raw[offset : offset + size], file_size=len(raw))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(header.metadata) == count
    assert peak < 64 << 20


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"a":[' + ",".join("1" for _ in range(2_500_000)) + "]}",
        '{"a":1e999}',
    ],
)
def test_json_bombs(text: str) -> None:
    raw = b'{"x":0,' + text.encode() if not text.startswith("{") else text.encode()
    data = struct.pack("<Q", len(raw)) + raw
    with pytest.raises(ModelFileError):
        read_safetensors_header(lambda offset, size: data[offset : offset + size], file_size=len(data))


def test_a_safetensors_length_that_lies_reserves_nothing() -> None:
    data = struct.pack("<Q", 99_000_000) + b"{" + b" " * 1_000
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            read_safetensors_header(lambda offset, size: data[offset : offset + size])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
