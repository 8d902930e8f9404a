"""The smallest image model that stable-diffusion.cpp runs, made on the spot.

78 MB of noise from a fixed seed.

It paints nothing a person would keep. It is there to try an image engine for real (variant test, demo,
tests) on a machine that has no image model yet. Shapes: those that master-596 demands (CLIP-L's 123 million
parameters are wired in).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

_F32, _F16, _Q4_0 = 0, 1, 2  # ggml type numbers
_ALIGNMENT = 32


class _Tensor(NamedTuple):
    """shape in ggml's order: the fastest dimension first."""

    name: str
    shape: tuple[int, ...]
    type: int
    data: np.ndarray[Any, Any]


def write_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a neighbour of `path` and rename it: a killed run leaves no half model behind."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        write(partial)
        partial.replace(path)
    return path


def _write_gguf(path: Path, architecture: str, tensors: list[_Tensor]) -> None:
    """GGUF v3 with one key and these tensors."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 1))
    header += text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    offset = 0
    for tensor in tensors:
        header += text(tensor.name) + struct.pack("<I", len(tensor.shape))
        header += struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape) + struct.pack(
            "<IQ", tensor.type, offset
        )
        offset += -(-tensor.data.nbytes // _ALIGNMENT) * _ALIGNMENT
    header += b"\0" * (-len(header) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(header)
        for tensor in tensors:
            file.write(tensor.data.tobytes())
            file.write(b"\0" * (-tensor.data.nbytes % _ALIGNMENT))


_HIDDEN = 128  # one attention head: the rotary embedding of Flux is made for heads of 128
_CONTEXT = 4096  # what stable-diffusion.cpp up to master-596 expects of a T5 embedding, present or not


def tiny_flux_set(directory: Path) -> dict[str, Path]:
    """Write the smallest Flux model that stable-diffusion.cpp master-596 runs; return its files by role.

    The roles are `diffusion_model` (3 MB), `clip_l` (70 MB: its 123 million parameters are wired in)
    and `taesd` (5 MB).
    """
    return {
        "diffusion_model": write_once(directory / "tiny-flux.safetensors", _write_flux),
        "clip_l": write_once(directory / "tiny-clip_l.gguf", _write_clip_l),
        "taesd": write_once(directory / "tiny-taef1.safetensors", _write_tae),
    }


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    import numpy as np

    names = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}
    header: dict[str, object] = {}
    offset = 0
    for label, values in tensors.items():
        header[label] = {
            "dtype": names[values.dtype],
            "shape": list(values.shape),
            "data_offsets": [offset, offset + values.nbytes],
        }
        offset += values.nbytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for values in tensors.values():
            file.write(values.tobytes())


def _write_flux(path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(11)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    h = _HIDDEN

    def linear(label: str, rows: int, columns: int) -> None:
        values = rng.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns)
        tensors[label + ".weight"] = values.astype(np.float16)
        tensors[label + ".bias"] = np.zeros(rows, dtype=np.float32)

    def norms(label: str) -> None:
        for kind in ("query_norm", "key_norm"):
            tensors[f"{label}.{kind}.scale"] = np.ones(h, dtype=np.float32)

    linear("img_in", h, 64)
    linear("txt_in", h, _CONTEXT)
    for label, columns in (("time_in", 256), ("vector_in", 768)):
        linear(label + ".in_layer", h, columns)
        linear(label + ".out_layer", h, h)
    for side in ("img", "txt"):
        block = f"double_blocks.0.{side}_"
        linear(block + "mod.lin", 6 * h, h)
        linear(block + "attn.qkv", 3 * h, h)
        norms(block + "attn.norm")
        linear(block + "attn.proj", h, h)
        linear(block + "mlp.0", 4 * h, h)
        linear(block + "mlp.2", h, 4 * h)
    linear("single_blocks.0.linear1", 7 * h, h)
    linear("single_blocks.0.linear2", h, 5 * h)
    norms("single_blocks.0.norm")
    linear("single_blocks.0.modulation.lin", 3 * h, h)
    linear("final_layer.linear", 64, h)
    linear("final_layer.adaLN_modulation.1", 2 * h, h)
    _write_safetensors(path, tensors)


def _write_clip_l(path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(12)
    tensors: list[_Tensor] = []
    width, inner, layers = 768, 3072, 12

    def quantized(label: str, rows: int, columns: int) -> None:
        # Q4_0 by hand: a block is a float16 scale and 32 nibbles. Random nibbles are as good as quantized
        # noise.
        blocks: np.ndarray[Any, Any] = np.empty((rows, columns // 32, 18), dtype=np.uint8)
        blocks[..., 2:] = rng.integers(0, 256, (rows, columns // 32, 16), dtype=np.uint8)
        blocks[..., :2] = np.frombuffer(np.float16(0.2 / np.sqrt(columns)).tobytes(), dtype=np.uint8)
        tensors.append(_Tensor(label, (columns, rows), _Q4_0, blocks))

    def vector(label: str, size: int, value: float) -> None:
        tensors.append(_Tensor(label, (size,), _F32, np.full(size, value, dtype=np.float32)))

    def norm(label: str) -> None:
        vector(label + ".weight", width, 1.0)
        vector(label + ".bias", width, 0.0)

    def linear(label: str, rows: int, columns: int) -> None:
        quantized(label + ".weight", rows, columns)
        vector(label + ".bias", rows, 0.0)

    quantized("text_model.embeddings.token_embedding.weight", 49408, width)
    position = rng.standard_normal((77, width), dtype=np.float32) * 0.02
    label = "text_model.embeddings.position_embedding.weight"
    tensors.append(_Tensor(label, (width, 77), _F16, position.astype(np.float16)))
    for index in range(layers):
        block = f"text_model.encoder.layers.{index}."
        norm(block + "layer_norm1")
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{block}self_attn.{projection}", width, width)
        norm(block + "layer_norm2")
        linear(block + "mlp.fc1", inner, width)
        linear(block + "mlp.fc2", width, inner)
    norm("text_model.final_layer_norm")
    _write_gguf(path, "clip_l", tensors)


def _write_tae(path: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(13)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    channels, latent = 64, 16

    def convolution(label: str, outputs: int, inputs: int, *, bias: bool = True) -> None:
        values = rng.standard_normal((outputs, inputs, 3, 3), dtype=np.float32) / np.sqrt(9 * inputs)
        tensors[label + ".weight"] = values.astype(np.float16)
        if bias:
            tensors[label + ".bias"] = np.full(outputs, 0.05, dtype=np.float32)

    def blocks(label: str, indices: list[int]) -> None:
        for index in indices:
            for step in (0, 2, 4):
                convolution(f"{label}.{index}.conv.{step}", channels, channels)

    convolution("encoder.layers.0", channels, 3)
    blocks("encoder.layers", [1, 3, 4, 5, 7, 8, 9, 11, 12, 13])
    for index in (2, 6, 10):  # the strided ones
        convolution(f"encoder.layers.{index}", channels, channels, bias=False)
    convolution("encoder.layers.14", latent, channels)
    convolution("decoder.layers.0", channels, latent)
    blocks("decoder.layers", [2, 3, 4, 7, 8, 9, 12, 13, 14, 17])
    for index in (6, 11, 16):  # each after an upsampling layer without weights
        convolution(f"decoder.layers.{index}", channels, channels, bias=False)
    convolution("decoder.layers.18", 3, channels)
    _write_safetensors(path, tensors)
