"""GGUF and safetensors files made to order, byte by byte, without the packages under test or numpy.

`shape_file` writes a model of a given architecture as a sparse file: real header, real sizes, holes for data.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genai_desktop.core.ggml_types import GGML_TYPES, tensor_bytes

TYPE_BY_NAME = {kind.name: number for number, kind in GGML_TYPES.items()}
_LETTERS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}  # fmt: skip


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any, kind: str = "") -> bytes:
    """A typed value: str, bool, int (u32), float (f32), list, or (kind, value)."""
    if isinstance(item, tuple):
        kind, item = item
    if isinstance(item, str | bytes):
        return struct.pack("<I", 8) + string(item)
    if isinstance(item, list):
        return struct.pack("<I", 9) + _array(item, kind)
    name = kind or ("bool" if isinstance(item, bool) else "u32" if isinstance(item, int) else "f32")
    number, letter = _LETTERS[name]
    return struct.pack("<I" + letter, number, item)


def _array(items: list[Any], kind: str) -> bytes:
    first = items[0] if items else 0
    if isinstance(first, str | bytes):
        return struct.pack("<IQ", 8, len(items)) + b"".join(string(item) for item in items)
    name = kind or ("bool" if isinstance(first, bool) else "i32" if isinstance(first, int) else "f32")
    number, letter = _LETTERS[name]
    return struct.pack(f"<IQ{len(items)}{letter}", number, len(items), *items)


def gguf_header(
    metadata: Mapping[str, Any],
    tensors: Iterable[tuple[str, tuple[int, ...], str | int]] = (),
    *,
    version: int = 3,
    alignment: int = 32,
) -> tuple[bytes, int]:
    """(header with its padding, bytes of data that follow). Shapes are in ggml's order."""
    entries = [string(key) + value(item) for key, item in metadata.items()]
    infos: list[bytes] = []
    offset = 0
    for name, shape, kind in tensors:
        number = TYPE_BY_NAME[kind] if isinstance(kind, str) else kind
        infos.append(string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, number, offset))
        count = 1
        for dim in shape:
            count *= dim
        size = tensor_bytes(count, number) or 0
        offset += -(-size // alignment) * alignment
    head = b"GGUF" + struct.pack("<IQQ", version, len(infos), len(entries)) + b"".join(entries + infos)
    return head + b"\0" * (-len(head) % alignment), offset


def write_gguf(
    path: Path, metadata: Mapping[str, Any], tensors: Iterable[tuple[str, tuple[int, ...], str | int]] = ()
) -> Path:
    """A sparse file with that header and data of the right length."""
    head, size = gguf_header(metadata, tensors)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], notes: Mapping[str, str] = {}
) -> bytes:
    """A header (no data) with tensors by name: dtype and shape in PyTorch's order."""
    widths = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}
    table: dict[str, Any] = {"__metadata__": dict(notes)} if notes else {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        size = widths[dtype]
        for dim in shape:
            size *= dim
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(table).encode()
    return struct.pack("<Q", len(raw)) + raw


def write_safetensors(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]], **notes: str) -> Path:
    """A sparse file with that header and data of the right length."""
    raw = safetensors_bytes(tensors, notes)
    end = max(
        (entry["data_offsets"][1] for name, entry in json.loads(raw[8:]).items() if name != "__metadata__"),
        default=0,
    )
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(len(raw) + end)
    return path


def tokenizer(size: int) -> dict[str, Any]:
    """The smallest SentencePiece-like vocabulary the engine takes."""
    specials = ["<unk>", "<s>", "</s>"]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    words = [f"w{i}" for i in range(size - len(specials) - len(bytes_))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": specials + bytes_ + words,
        "tokenizer.ggml.scores": [0.0] * size,
        "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * len(words),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def llama_like(
    architecture: str = "llama",
    *,
    layers: int = 4,
    width: int = 512,
    heads: int = 8,
    kv_heads: int | list[int] = 8,
    head_dim: int = 64,
    feed_forward: int = 1536,
    vocabulary: int = 2048,
    context: int = 8192,
    weights: str = "Q8_0",
    is_tied: bool = False,
    extra: Mapping[str, Any] = {},
    norms: tuple[str, ...] = (),
    experts: tuple[int, int, int] | None = None,
) -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], str]]]:
    """(metadata, tensors) of a transformer in llama.cpp's names. experts: (count, used, width)."""
    a = architecture
    metadata: dict[str, Any] = {
        "general.architecture": a,
        "general.name": f"synthetic {a}",
        f"{a}.block_count": layers,
        f"{a}.context_length": context,
        f"{a}.embedding_length": width,
        f"{a}.feed_forward_length": feed_forward,
        f"{a}.attention.head_count": heads,
        f"{a}.attention.head_count_kv": kv_heads,
        f"{a}.attention.key_length": head_dim,
        f"{a}.attention.value_length": head_dim,
        f"{a}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{a}.rope.dimension_count": head_dim,
        "general.file_type": 7,
        **({f"{a}.expert_count": experts[0], f"{a}.expert_used_count": experts[1],
            f"{a}.expert_feed_forward_length": experts[2]} if experts else {}),
        **{f"{a}.{key}": item for key, item in extra.items()},
        **tokenizer(vocabulary),
    }  # fmt: skip
    tensors: list[tuple[str, tuple[int, ...], str]] = [("token_embd.weight", (width, vocabulary), weights)]
    for i in range(layers):
        kv = kv_heads[i] if isinstance(kv_heads, list) else kv_heads
        tensors += [
            (f"blk.{i}.attn_norm.weight", (width,), "F32"),
            (f"blk.{i}.attn_q.weight", (width, heads * head_dim), weights),
            (f"blk.{i}.attn_k.weight", (width, kv * head_dim), weights),
            (f"blk.{i}.attn_v.weight", (width, kv * head_dim), weights),
            (f"blk.{i}.attn_output.weight", (heads * head_dim, width), weights),
            (f"blk.{i}.ffn_norm.weight", (width,), "F32"),
        ]
        for norm in norms:
            size = head_dim if norm in ("attn_q_norm", "attn_k_norm") else width
            tensors.append((f"blk.{i}.{norm}.weight", (size,), "F32"))
        if experts:
            count, _, inner = experts
            tensors += [
                (f"blk.{i}.ffn_gate_inp.weight", (width, count), "F32"),
                (f"blk.{i}.ffn_gate_exps.weight", (width, inner, count), weights),
                (f"blk.{i}.ffn_up_exps.weight", (width, inner, count), weights),
                (f"blk.{i}.ffn_down_exps.weight", (inner, width, count), weights),
            ]
        else:
            tensors += [
                (f"blk.{i}.ffn_gate.weight", (width, feed_forward), weights),
                (f"blk.{i}.ffn_up.weight", (width, feed_forward), weights),
                (f"blk.{i}.ffn_down.weight", (feed_forward, width), weights),
            ]
    tensors.append(("output_norm.weight", (width,), "F32"))
    if not is_tied:
        tensors.append(("output.weight", (width, vocabulary), weights))
    return metadata, tensors
