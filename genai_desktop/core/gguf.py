"""What a model header means: name, size, quantization, what the model can do (R206).

The parsers are in gguf_reader and safetensors; this module only reads meaning out of a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from genai_desktop.core.component_guess import FileGuess, Header, guess_file
from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.ggml_types import quantization_label
from genai_desktop.core.gguf_header import GgufArray, GgufHeader, GgufTensor
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.core.models import Capabilities, ModelType
from genai_desktop.core.reasoning import detect_reasoning_support
from genai_desktop.core.safetensors import SafetensorsHeader

__all__ = [
    "GgufArray", "GgufHeader", "GgufTensor", "capabilities", "display_name", "guess_file", "merge_shards",
    "model_type", "printable_metadata", "read_gguf_header", "shard_names", "summarize",
]  # fmt: skip

_SHARD: Final = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)
MAX_SHARDS: Final = 999
_SIZE_LABEL: Final = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([KMBT])", re.IGNORECASE)
_UNITS: Final = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def summarize(header: Header) -> dict[str, Any]:
    """Facts for ModelInfo, by field name: architecture, quantization, parameter_count, context_length,
    capabilities, license, family.
    """
    if isinstance(header, SafetensorsHeader):
        return _summarize_safetensors(header)
    guess = guess_file(header)
    is_llm = guess.role in ("llm", "llm_vision")
    return {
        "architecture": header.architecture or guess.family,
        "quantization": _gguf_quantization(header),
        "parameter_count": _parameter_count(header),
        "context_length": _positive(header.hparam("context_length")) if is_llm else None,
        "capabilities": capabilities(header) if guess.role == "llm" else Capabilities(),
        "license": header.text("general.license") or header.text("general.license.name"),
        "family": _llm_family(header.architecture) if is_llm else guess.family or guess.role,
    }


def model_type(guess: FileGuess) -> ModelType | None:
    """Which shelf a file belongs on; None for a part that is no model of its own (VAE, encoder, LoRA,
    projector).
    """
    if guess.role in ("diffusion_model", "checkpoint"):
        return "diffusion"
    return "llm" if guess.role == "llm" else None


def display_name(header: Header) -> str:
    """The name the file gives itself, or empty."""
    if isinstance(header, SafetensorsHeader):
        return header.metadata.get("modelspec.title", "")[:200]
    return header.text("general.name")[:200]


def capabilities(header: GgufHeader) -> Capabilities:
    """What a language model can do, told by its template first and its name second."""
    template = header.text("tokenizer.chat_template")
    name = " ".join((header.text("general.name"), header.text("general.basename"))).strip()
    tags = _texts(header.metadata.get("general.tags"))
    architecture = header.architecture
    pooling = header.integer(f"{architecture}.pooling_type")
    is_embedding = pooling in (1, 2, 3) or "bert" in architecture or "embedding" in architecture
    return Capabilities(
        reasoning=not is_embedding and detect_reasoning_support(f"{name} {architecture}", template),
        tools=re.search(r"\btools\b", template) is not None,
        vision=_has_vision(header, template),
        embedding=is_embedding,
        code=bool(re.search(r"code|coder|stral-?dev|devstral", name.lower())) or "code" in tags,
        languages=tuple(_texts(header.metadata.get("general.languages"))),
    )


def printable_metadata(header: Header) -> tuple[tuple[str, str], ...]:
    """(key, text) of everything in the header, long texts cut and big arrays folded."""
    if isinstance(header, SafetensorsHeader):
        return tuple((key, _cut(value)) for key, value in sorted(header.metadata.items()))
    return tuple((key, _printable(value)) for key, value in header.metadata.items())


def shard_names(name: str) -> tuple[str, ...]:
    """All shard names of a split model when `name` is one of them, else just `name`.

    Raises ModelFileError when the numbers in the name make no sense.
    """
    match = _SHARD.match(name)
    if match is None:
        return (name,)
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= number <= count <= MAX_SHARDS:
        raise ModelFileError(
            f"The name {name!r} says part {number} of {count}, which cannot be.",
            remedy="Give the parts the names they were published with.",
        )
    suffix = name[-5:]
    return tuple(f"{match['stem']}-{i:05d}-of-{count:05d}{suffix}" for i in range(1, count + 1))


def merge_shards(headers: Sequence[GgufHeader]) -> GgufHeader:
    """One header for a split model: metadata of the first shard, tensors of all.

    file_size and bytes_read are sums; tensor offsets stay those of their own shard.
    """
    first = headers[0]
    if len(headers) == 1:
        return first
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise ModelFileError(
            "The parts of the model do not belong together: the same tensor is in two of them.",
            remedy="Download all parts again from one place.",
        )
    promised = first.integer("split.tensors.count")
    if promised is not None and promised != len(tensors):
        raise ModelFileError(
            f"The parts of the model hold {len(tensors)} tensors; {promised} belong to it.",
            remedy="Download all parts again from one place.",
        )
    sizes = [header.file_size for header in headers]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    return replace(
        first, tensors=tensors, file_size=total, bytes_read=sum(header.bytes_read for header in headers)
    )


def _summarize_safetensors(header: SafetensorsHeader) -> dict[str, Any]:
    guess = guess_file(header)
    by_type: dict[str, int] = {}
    for tensor in header.tensors:
        by_type[tensor.dtype] = by_type.get(tensor.dtype, 0) + tensor.n_bytes
    return {
        "architecture": guess.family or guess.role,
        "quantization": max(by_type, key=lambda name: by_type[name]) if by_type else "",
        "parameter_count": sum(tensor.n_elements for tensor in header.tensors) or None,
        "context_length": None,
        "capabilities": Capabilities(),
        "license": header.metadata.get("modelspec.license", ""),
        "family": guess.family or guess.role,
    }


def _gguf_quantization(header: GgufHeader) -> str:
    by_type: dict[int, int] = {}
    for tensor in header.tensors:
        if len(tensor.shape) > 1:
            by_type[tensor.type] = by_type.get(tensor.type, 0) + (tensor.n_bytes or tensor.n_elements)
    return quantization_label(header.integer("general.file_type"), by_type)


def _parameter_count(header: GgufHeader) -> int | None:
    promised = header.integer("split.tensors.count")
    if header.tensors and (promised is None or promised <= len(header.tensors)):
        return sum(tensor.n_elements for tensor in header.tensors)
    # one part of many: the label in the metadata ("8B", "8x7B") is all there is
    label = _SIZE_LABEL.search(header.text("general.size_label"))
    if label is None:
        return None
    return int(int(label[1] or 1) * float(label[2]) * _UNITS[label[3].upper()])


def _llm_family(architecture: str) -> str:
    return re.sub(r"(?<=.)-?moe$", "", architecture)


# Architectures whose models see, given their projector (llama.cpp tools/mtmd); gemma3 needs more than its
# name.
_VISION: Final = frozenset({
    "qwen2vl", "qwen2.5vl", "qwen3vl", "qwen3vlmoe", "mllama", "llama4", "pixtral", "cogvlm", "glm4v",
    "gemma3n", "minicpmv", "internvl",
})  # fmt: skip
_VISION_MARKS: Final = (
    "<|vision_start|>", "<start_of_image>", "<|image|>", "[IMG]", "<image>", "image_url", "<|image_pad|>",
    "== 'image'", '== "image"',
)  # fmt: skip


def _has_vision(header: GgufHeader, template: str) -> bool:
    return (
        header.architecture in _VISION
        or any(mark in template for mark in _VISION_MARKS)
        or any(tensor.name.startswith("v.blk.") for tensor in header.tensors)
    )


def _texts(value: Any) -> list[str]:
    values: Iterable[Any] = value.values if isinstance(value, GgufArray) else ()
    return [text for text in values if isinstance(text, str)]


def _positive(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _printable(value: Any) -> str:
    if isinstance(value, GgufArray):
        shown = ", ".join(_cut(str(item), 60) for item in value.values[:8])
        more = f", … ({value.count} items)" if value.count > min(8, len(value.values)) else ""
        return f"[{shown}{more}]"
    if isinstance(value, float):
        return f"{value:g}"
    return _cut(str(value))


def _cut(text: str, limit: int = 4_000) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
