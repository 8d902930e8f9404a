"""The safetensors header reader."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest

from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.gguf import display_name, printable_metadata, summarize
from genai_desktop.core.safetensors import SafetensorsHeader, read_safetensors_header
from genai_desktop.library.headers import read_header_file
from tests.core.synthetic_gguf import safetensors_bytes, write_safetensors


def raw(table: object) -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text


def entry(dtype: str = "F32", shape: object = (2, 2), offsets: object = (0, 16)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = write_safetensors(
        tmp_path / "m.safetensors",
        {"a": ("F16", (4, 8)), "b": ("BF16", (3,))},
        **{"modelspec.title": "Tiny", "modelspec.license": "mit"},
    )
    header = read_header_file(path)
    assert isinstance(header, SafetensorsHeader)
    a, b = header.tensors
    assert (a.shape, a.dtype, a.n_elements, a.n_bytes) == ((4, 8), "F16", 32, 64)
    assert (b.begin, b.end) == (64, 70)
    assert header.file_size == path.stat().st_size
    found = summarize(header)
    assert (found["quantization"], found["parameter_count"], found["license"]) == ("F16", 35, "mit")
    assert display_name(header) == "Tiny"
    assert ("modelspec.license", "mit") in printable_metadata(header)


def test_a_truncated_file_is_incomplete(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "m.safetensors", {"a": ("F32", (100, 100))})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(ModelFileError, match="incomplete"):
        read_header_file(path)
    data = safetensors_bytes({"a": ("F32", (2,))})
    with pytest.raises(ModelFileError, match="incomplete"):
        read_safetensors_header(io.BytesIO(data[:-4]), file_size=len(data) - 4)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": 5}, "no tensor"),
        ({"a": entry(shape="x")}, "described"),
        ({"a": entry(shape=[-1])}, "described"),
        ({"a": entry(shape=[True, 4])}, "described"),
        ({"a": entry(shape=[1] * 40)}, "described"),
        ({"a": entry(offsets=[0])}, "before it begins"),
        ({"a": entry(offsets=[16, 0])}, "before it begins"),
        ({"a": entry(offsets=[0, 15])}, "match its size"),
        ({"a": {"dtype": 4, "shape": [], "data_offsets": [0, 4]}}, "described"),
        ({"__metadata__": [1]}, "notes"),
        ({"a": entry(offsets=[0, 1 << 70])}, "described"),
    ],
)
def test_lies_are_refused(table: object, words: str) -> None:
    data = raw(table)
    with pytest.raises(ModelFileError, match=words) as caught:
        read_safetensors_header(io.BytesIO(data), file_size=len(data) + 100)
    assert caught.value.remedy


def test_overlaps_and_absurd_lengths_are_refused() -> None:
    data = raw({f"t{i}": entry(shape=(250,), offsets=(0, 1000)) for i in range(5)})
    with pytest.raises(ModelFileError, match="overlap"):
        read_safetensors_header(io.BytesIO(data), file_size=len(data) + 1_000)
    huge = struct.pack("<Q", 1 << 36) + b"{}"
    with pytest.raises(ModelFileError, match="claims"):
        read_safetensors_header(io.BytesIO(huge))
    with pytest.raises(ModelFileError, match="JSON"):
        read_safetensors_header(io.BytesIO(struct.pack("<Q", 5) + b"{nope"))


def test_an_unknown_type_is_measured_by_its_offsets() -> None:
    data = raw({"a": entry(dtype="F4", shape=(8,), offsets=(0, 4))})
    (tensor,) = read_safetensors_header(io.BytesIO(data), file_size=len(data) + 4).tensors
    assert tensor.n_bytes == 4


def test_other_files_are_refused() -> None:
    with pytest.raises(ModelFileError, match="GGUF"):
        read_safetensors_header(io.BytesIO(b"GGUF" + b"\0" * 100))
    with pytest.raises(ModelFileError, match="web page"):
        read_safetensors_header(io.BytesIO(b"<html>" + b" " * 100))
