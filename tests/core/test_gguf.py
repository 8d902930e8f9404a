"""The GGUF header reader: what it reads, what it refuses, how little it asks for."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from genai_desktop.core.errors import ModelFileError, ModelNotFoundError
from genai_desktop.core.gguf import (
    capabilities,
    display_name,
    guess_file,
    merge_shards,
    model_type,
    printable_metadata,
    shard_names,
    summarize,
)
from genai_desktop.core.gguf_header import GgufArray, GgufHeader
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.library.headers import read_header_file, read_model_header
from tests.core.synthetic_gguf import gguf_header, llama_like, string, write_gguf


def read(raw: bytes, size: int | None = None) -> GgufHeader:
    return read_gguf_header(io.BytesIO(raw), file_size=len(raw) if size is None else size)


def header(
    metadata: dict[str, object], tensors: tuple[tuple[str, tuple[int, ...], str], ...] = ()
) -> GgufHeader:
    raw, size = gguf_header(metadata, tensors)
    return read(raw, len(raw) + size)


def test_every_value_type_is_read() -> None:
    values = {
        "u8": ("u8", 200), "i8": ("i8", -5), "u16": ("u16", 60_000), "i16": ("i16", -5), "u32": 7,
        "i32": ("i32", -7), "f32": 1.5, "yes": True, "text": "grüße 🦙", "u64": ("u64", 2**63),
        "i64": ("i64", -(2**60)), "f64": ("f64", 0.1), "list": [1, 2, 3], "texts": ["a", "b"],
        "flags": [True, False], "empty": ("u8", []),
    }  # fmt: skip
    found = header(values).metadata
    assert found["text"] == "grüße 🦙"
    assert found["i64"] == -(2**60)
    assert found["u64"] == 2**63
    assert found["yes"] is True
    assert found["list"] == GgufArray("i32", 3, (1, 2, 3))
    assert found["texts"] == GgufArray("string", 2, ("a", "b"))
    assert found["flags"].values == (True, False)
    assert found["empty"].count == 0
    assert found["f64"] == pytest.approx(0.1)


def test_tensors_have_names_shapes_types_and_sizes() -> None:
    found = header({}, (("a", (64, 3), "Q8_0"), ("b", (5,), "F32")))
    a, b = found.tensors
    assert (a.name, a.shape, a.type_name, a.n_elements, a.n_bytes) == ("a", (64, 3), "Q8_0", 192, 204)
    assert b.offset == 224
    assert found.data_offset % 32 == 0


def test_a_big_vocabulary_is_counted_and_not_kept() -> None:
    tokens = [f"token number {i}" for i in range(150_000)]
    raw, _ = gguf_header({"tokenizer.ggml.tokens": tokens, "scores": [0.5] * 150_000, "after": "here"})
    reads: list[tuple[int, int]] = []

    def port(offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return raw[offset : offset + size]

    found = read_gguf_header(port, file_size=len(raw))
    array = found.metadata["tokenizer.ggml.tokens"]
    assert (array.count, array.values[:2], array.is_whole) == (
        150_000,
        ("token number 0", "token number 1"),
        False,
    )
    assert len(array.values) < 300
    assert found.metadata["scores"].count == 150_000
    assert found.metadata["after"] == "here"
    assert max(size for _, size in reads) <= 2 << 20


def test_fixed_size_arrays_are_skipped_without_reading_them() -> None:
    raw, _ = gguf_header({"big": ("f32", [0.0] * 2_000_000), "after": 1})
    asked = 0

    def port(offset: int, size: int) -> bytes:
        nonlocal asked
        asked += size
        return raw[offset : offset + size]

    assert read_gguf_header(port, file_size=len(raw)).metadata["after"] == 1
    assert asked < len(raw) // 4


def test_arrays_and_strings_across_window_edges() -> None:
    # lengths chosen so that texts straddle every window edge
    texts = ["x" * (i * 37 % 5_000) for i in range(600)]
    found = header({"a": texts, "b": "y" * 700_000, "c": texts, "d": 5})
    assert found.metadata["a"].count == 600
    assert len(found.metadata["b"]) == 700_000
    assert found.metadata["d"] == 5


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions(version: int) -> None:
    raw, _ = gguf_header({"k": 1}, version=version)
    assert read(raw).version == version


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"  <html lang='en'>", "web page"),
        (b'{"error":"not found"}', "JSON"),
        (b"<?xml version='1.0'?><Error>", "XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
        (b"PK\x03\x04archive/data.pkl", "zip"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"tjgg" + b"\0" * 20, "2023"),
        (b"hello there", "text file"),
        (bytes(range(128, 200)), "neither"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<I", 77), "version 77"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian"),
        (b"GGUF", "incomplete"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "more than any model"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**50, 0), "more than any model"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**63), "a key is"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<I", 99), "unknown value type"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 4, 2**60), "claims"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 9, 1),
            "unsupported item",
        ),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IQ", 8, 2**40), "bytes long"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + string("t") + struct.pack("<I", 1_000), "dimensions"),
    ],
)
def test_what_is_no_model_is_refused_with_a_sentence_and_a_remedy(raw: bytes, words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(raw)
    assert words in caught.value.message
    assert caught.value.message.endswith(".")
    assert caught.value.remedy


def test_a_truncated_file_says_so() -> None:
    raw, size = gguf_header({"general.architecture": "llama"}, [("a", (1024, 1024), "F16")])
    with pytest.raises(ModelFileError, match="incomplete") as caught:
        read(raw, len(raw) + size - 1)
    assert caught.value.details["need"] == len(raw) + size
    assert read(raw, len(raw) + size).tensors


@pytest.mark.parametrize("cut", [5, 20, 30, 60, 100])
def test_a_header_cut_anywhere_is_incomplete(cut: int) -> None:
    raw, _ = gguf_header({"general.architecture": "llama", "n": 5, "list": [1] * 9}, [("a", (32,), "F32")])
    with pytest.raises(ModelFileError, match="incomplete"):
        read(raw[:cut])


def test_a_length_that_lies_about_the_file_is_incomplete() -> None:
    raw = (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + string("k") + struct.pack("<IIQ", 9, 8, 1_000) + b"\xff" * 64
    )
    with pytest.raises(ModelFileError):
        read(raw)


def test_duplicates_are_refused() -> None:
    raw, _ = gguf_header({"aa": 1, "bb": 2})
    with pytest.raises(ModelFileError, match="twice"):
        read(raw.replace(b"bb", b"aa"))
    raw, size = gguf_header({}, [("ta", (32,), "F32"), ("tb", (32,), "F32")])
    with pytest.raises(ModelFileError, match="twice"):
        read(raw.replace(b"tb", b"ta"), len(raw) + size)


def test_overlapping_tensors_are_refused() -> None:
    raw, size = gguf_header({}, [("ta", (32_768,), "F32"), ("tb", (32_768,), "F32")])
    offset = raw.rindex(struct.pack("<Q", 131_072))
    lying = raw[:offset] + struct.pack("<Q", 0) + raw[offset + 8 :]
    with pytest.raises(ModelFileError, match="overlap"):
        read(lying, len(raw) + size // 2)


def test_an_impossible_shape_is_refused() -> None:
    raw = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + string("t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0)
    with pytest.raises(ModelFileError, match="impossible"):
        read(raw + b"\0" * 64)


def test_an_unknown_tensor_type_is_not_an_error() -> None:
    raw, _ = gguf_header({}, [("t", (256,), 250)])
    (tensor,) = read(raw).tensors
    assert tensor.n_bytes is None
    assert tensor.type_name == "type 250"


def test_without_a_known_size_offsets_are_not_checked() -> None:
    raw, _ = gguf_header({}, [("t", (1 << 20,), "F32")])
    found = read_gguf_header(lambda offset, size: raw[offset : offset + size])
    assert found.file_size is None
    assert len(found.tensors) == 1


# meaning --------------------------------------------------------------------------------------------------


def test_the_summary_of_a_language_model() -> None:
    metadata, tensors = llama_like(layers=2, vocabulary=512, context=4096, weights="Q4_0")
    metadata |= {
        "general.file_type": 2,
        "general.license": "apache-2.0",
        "general.languages": ["en", "de"],
        "tokenizer.chat_template": "{% if tools %}<tool_call>{% endif %}<think>",
    }
    found = summarize(header(metadata, tuple(tensors)))
    assert found["architecture"] == found["family"] == "llama"
    assert found["quantization"] == "Q4_0"
    assert found["context_length"] == 4096
    assert found["license"] == "apache-2.0"
    assert found["parameter_count"] == sum(_elements(shape) for _, shape, _ in tensors)
    assert found["capabilities"].names() == ("reasoning", "tools")
    assert found["capabilities"].languages == ("en", "de")
    assert model_type(guess_file(header(metadata, tuple(tensors)))) == "llm"


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


def test_a_file_type_that_the_tensors_belie_is_not_believed() -> None:
    metadata, tensors = llama_like(layers=1, weights="Q4_K", width=256, heads=4, feed_forward=512)
    assert summarize(header(metadata | {"general.file_type": 7}, tuple(tensors)))["quantization"] == "Q4_K_M"
    assert summarize(header(metadata | {"general.file_type": 14}, tuple(tensors)))["quantization"] == "Q4_K_S"
    del metadata["general.file_type"]
    assert summarize(header(metadata, tuple(tensors)))["quantization"] == "Q4_K_M"


@pytest.mark.parametrize(
    ("metadata", "names"),
    [
        ({"general.architecture": "bert", "bert.pooling_type": 1}, ("embedding",)),
        (
            {"general.architecture": "qwen3", "qwen3.pooling_type": 3, "general.name": "Qwen3 Embedding"},
            ("embedding",),
        ),
        ({"general.architecture": "qwen2vl"}, ("vision",)),
        ({"general.architecture": "gemma3", "tokenizer.chat_template": "<start_of_image>"}, ("vision",)),
        ({"general.architecture": "qwen2", "general.name": "Qwen2.5 Coder 7B"}, ("code",)),
        ({"general.architecture": "gpt-oss"}, ("reasoning",)),
        ({"general.architecture": "llama", "general.name": "Llama 3"}, ()),
    ],
)
def test_capabilities(metadata: dict[str, object], names: tuple[str, ...]) -> None:
    assert capabilities(header(metadata)).names() == names


def test_metadata_for_people_folds_what_is_long() -> None:
    found = dict(
        printable_metadata(
            header({"long": "z" * 10_000, "list": list(range(5_000)), "few": ["a"], "x": 0.25})
        )
    )
    assert found["long"].endswith("(10000 characters)")
    assert found["list"] == "[0, 1, 2, 3, 4, 5, 6, 7, … (5000 items)]"
    assert found["few"] == "[a]"
    assert found["x"] == "0.25"


def test_a_name_for_people() -> None:
    assert display_name(header({"general.name": "Tiny"})) == "Tiny"
    assert display_name(header({})) == ""


# shards and files -----------------------------------------------------------------------------------------


def test_shard_names() -> None:
    assert shard_names("m-00002-of-00003.gguf") == tuple(f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3))
    assert shard_names("m.gguf") == ("m.gguf",)
    with pytest.raises(ModelFileError):
        shard_names("m-00009-of-00003.gguf")


def test_shards_are_merged(tmp_path: Path) -> None:
    metadata, tensors = llama_like(layers=2, vocabulary=300)
    half = len(tensors) // 2
    split = {"split.count": 2, "split.tensors.count": ("i32", len(tensors))}
    first = write_gguf(tmp_path / "m-00001-of-00002.gguf", metadata | split, tensors[:half])
    second = write_gguf(tmp_path / "m-00002-of-00002.gguf", split, tensors[half:])
    merged = read_model_header(first)
    assert isinstance(merged, GgufHeader)
    assert len(merged.tensors) == len(tensors)
    assert merged.file_size == first.stat().st_size + second.stat().st_size
    assert summarize(merged)["parameter_count"] == sum(_elements(shape) for _, shape, _ in tensors)
    second.unlink()
    with pytest.raises(ModelNotFoundError):
        read_model_header(first)


def test_shards_of_different_models_do_not_merge(tmp_path: Path) -> None:
    one = read_header_file(write_gguf(tmp_path / "a.gguf", {}, [("t", (32,), "F32")]))
    assert isinstance(one, GgufHeader)
    with pytest.raises(ModelFileError, match="same tensor"):
        merge_shards([one, one])


def test_one_shard_alone_goes_by_its_label() -> None:
    found = header({"general.architecture": "llama", "split.tensors.count": 9, "general.size_label": "8x7B"})
    assert summarize(found)["parameter_count"] == 56 * 10**9


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin"])
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(range(128, 256)) * 8)
    with pytest.raises(ModelFileError, match="pickle"):
        read_header_file(path)
    with pytest.raises(ModelFileError, match="folder"):
        read_header_file(tmp_path)
    with pytest.raises(ModelNotFoundError):
        read_header_file(tmp_path / "gone.gguf")
