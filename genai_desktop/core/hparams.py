"""The shape of a language model, read from its GGUF header: what the memory formulas need (R206, R501).

Key names, defaults and the rules of each architecture are llama.cpp's (contracts/llama-server.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.gguf_header import GgufArray, GgufHeader

_MAX_LAYERS: Final = 4_096
_MAX_DIMENSION: Final = 1 << 32

# How sliding windows repeat where the file does not say: of n layers the last attends to everything...
_SWA_PATTERN: Final = {
    "gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4, "olmo2": 4, "llama4": 4, "exaone4": 4,
    "cohere2moe": 4, "smallthinker": 4, "laguna": 4,
}  # fmt: skip
_DENSE_FIRST: Final = frozenset({"cohere2moe", "smallthinker", "laguna"})  # ... or, for these, the first
_SWA_DEFAULT: Final = {"llama4": 8_192, "gemma2": 4_096}  # window where the file has none
_PURE_RECURRENT: Final = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_INTERVAL: Final = frozenset({"qwen3next", "qwen35", "qwen35moe", "minimax-01"})
_BY_KV_HEADS: Final = frozenset(
    {"jamba", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear", "nemotron_h", "nemotron_h_moe", "plamo2"}
)
_BOTH: Final = frozenset({"falcon-h1"})
_HYBRID: Final = _INTERVAL | _BY_KV_HEADS | _BOTH
_GEMMA3N_KV_LAYERS: Final = 20


@dataclass(frozen=True)
class LayerShape:
    """One repeating layer. n_head_kv 0: no attention. window 0: attends to everything.

    owns_kv False: it uses the cache of an earlier layer, or has none. state: elements of its recurrent
    state for one sequence.
    """

    n_head: int
    n_head_kv: int
    head_k: int
    head_v: int
    n_ff: int
    window: int = 0
    owns_kv: bool = True
    state: int = 0

    @property
    def has_cache(self) -> bool:
        return self.owns_kv and self.n_head_kv > 0


@dataclass(frozen=True)
class Hparams:
    """The whole model.

    layers: the repeating ones. n_ff_exp: 0 for dense models. is_mla: one shared latent K.
    """

    architecture: str
    layers: tuple[LayerShape, ...]
    n_embd: int
    n_vocab: int
    context_length: int
    n_expert: int = 0
    n_expert_used: int = 0
    n_ff_exp: int = 0
    is_mla: bool = False
    is_embedding: bool = False
    state_width: int = 0  # elements per row at the widest moment of a recurrent layer

    @property
    def n_layer(self) -> int:
        return len(self.layers)

    @property
    def n_head(self) -> int:
        return max((layer.n_head for layer in self.layers), default=0)

    @property
    def has_window(self) -> bool:
        return any(layer.window for layer in self.layers)

    @property
    def is_recurrent(self) -> bool:
        """No attention cache at all."""
        return bool(self.layers) and not any(layer.has_cache for layer in self.layers)


def read_hparams(header: GgufHeader) -> Hparams:
    """The shape of the model; ModelFileError when the header lacks what every language model has."""
    reader = _Reader(header)
    architecture = header.architecture
    n_layer = reader.number("block_count")
    n_embd = reader.number("embedding_length")
    if not architecture or not 0 < n_layer <= _MAX_LAYERS or not 0 < n_embd <= _MAX_DIMENSION:
        raise ModelFileError(
            "The file does not describe a language model: it lacks the number of layers or their width.",
            remedy="Choose the model file itself, not a part of it.",
        )
    is_mla = reader.number("attention.key_length_mla") > 0 and reader.number("attention.value_length_mla") > 0
    layers = _layers(reader, architecture, n_layer, n_embd, is_mla)
    n_expert = reader.number("expert_count")
    return Hparams(
        architecture=architecture,
        layers=layers,
        n_embd=n_embd,
        n_vocab=_vocabulary(reader, header),
        context_length=reader.number("context_length"),
        n_expert=n_expert,
        n_expert_used=reader.number("expert_used_count"),
        n_ff_exp=reader.number("expert_feed_forward_length") if n_expert else 0,
        is_mla=is_mla,
        is_embedding=reader.number("pooling_type") > 0,
        state_width=_state_width(reader, architecture, n_embd) if any(x.state for x in layers) else 0,
    )


class _Reader:
    """Numbers of the header by their name without the architecture; absent and absurd ones are 0."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header

    def raw(self, name: str) -> Any:
        return self._header.hparam(name)

    def number(self, name: str, default: int = 0) -> int:
        value = self.raw(name)
        if isinstance(value, GgufArray):
            value = max((v for v in value.values if isinstance(v, int | float)), default=None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return int(value) if 0 <= value <= _MAX_DIMENSION else default

    def per_layer(self, name: str, count: int, default: int | Sequence[int]) -> list[int]:
        """One number per layer: an array, or the same number for all."""
        value = self.raw(name)
        if isinstance(value, GgufArray):
            numbers = [int(v) if 0 <= v <= _MAX_DIMENSION else 0 for v in value.values]
            return (numbers + [numbers[-1] if numbers else 0] * count)[:count]
        if value is None:
            return [default] * count if isinstance(default, int) else list(default)
        return [self.number(name)] * count


def _vocabulary(reader: _Reader, header: GgufHeader) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, GgufArray):
        return tokens.count
    for tensor in header.tensors:
        if tensor.name in ("output.weight", "token_embd.weight") and len(tensor.shape) > 1:
            return tensor.shape[1]
    return reader.number("vocab_size")


def _layers(
    reader: _Reader, architecture: str, count: int, n_embd: int, is_mla: bool
) -> tuple[LayerShape, ...]:
    heads = reader.per_layer("attention.head_count", count, 0)
    kv_heads = reader.per_layer("attention.head_count_kv", count, heads)
    widths = reader.per_layer("feed_forward_length", count, 0)
    widest = max(heads, default=0)
    plain = n_embd // widest if widest else 0
    key = reader.number("attention.key_length", plain)
    value = reader.number("attention.value_length", plain)
    windows = _windows(reader, architecture, count)
    states = _states(reader, architecture, kv_heads, n_embd)
    owners = _owners(reader, architecture, count)
    layers: list[LayerShape] = []
    for i in range(count):
        head_k, head_v = key, value
        if windows[i]:  # gemma4 and others have narrower heads in windowed layers
            head_k = reader.number("attention.key_length_swa", key)
            head_v = reader.number("attention.value_length_swa", value)
        n_head_kv = kv_heads[i]
        if states[i] and architecture in _INTERVAL:
            n_head_kv = 0
        if is_mla and n_head_kv:
            n_head_kv, head_v = 1, 0
        if architecture in _PURE_RECURRENT:
            n_head_kv = 0
        layers.append(
            LayerShape(heads[i], n_head_kv, head_k, head_v, widths[i], windows[i], owners[i], states[i])
        )
    return tuple(layers)


def _windows(reader: _Reader, architecture: str, count: int) -> list[int]:
    """The sliding window of each layer, 0 for those that see everything."""
    window = reader.number("attention.sliding_window", _SWA_DEFAULT.get(architecture, 0))
    pattern = reader.raw("attention.sliding_window_pattern")
    if not window or (architecture == "exaone4" and count < 64):  # only its 32B has windows
        return [0] * count
    if isinstance(pattern, GgufArray):
        flags = [bool(v) for v in pattern.values]
        return [window if i < len(flags) and flags[i] else 0 for i in range(count)]
    period = reader.number("attention.sliding_window_pattern", _SWA_PATTERN.get(architecture, 0))
    if period == 0:
        return [0] * count
    if period == 1:
        return [window] * count if pattern is not None else [0] * count
    full = 0 if architecture in _DENSE_FIRST else period - 1
    return [0 if i % period == full else window for i in range(count)]


def _owners(reader: _Reader, architecture: str, count: int) -> list[bool]:
    """Which layers have a cache of their own."""
    shared = reader.number("attention.shared_kv_layers")
    own = count - shared if shared else count
    if architecture == "gemma3n":
        own = min(own, _GEMMA3N_KV_LAYERS)
    predicted = reader.number("nextn_predict_layers")  # heads that guess ahead; the server does not run them
    return [i < own and i < count - predicted for i in range(count)]


def _states(reader: _Reader, architecture: str, kv_heads: list[int], n_embd: int) -> list[int]:
    """Elements of recurrent state per layer and sequence."""
    count = len(kv_heads)
    if architecture not in _PURE_RECURRENT and architecture not in _HYBRID:
        return [0] * count
    size = _state_size(reader, architecture, n_embd)
    listed = reader.raw("attention.recurrent_layers")
    if isinstance(listed, GgufArray):
        flags = [bool(v) for v in listed.values]
        return [size if i < len(flags) and flags[i] else 0 for i in range(count)]
    if architecture in _PURE_RECURRENT or architecture in _BOTH:
        return [size] * count
    if architecture in _INTERVAL:
        interval = reader.number("full_attention_interval", 4) or 4
        return [size if (i + 1) % interval else 0 for i in range(count)]
    return [0 if heads else size for heads in kv_heads]


def _state_size(reader: _Reader, architecture: str, n_embd: int) -> int:
    if architecture.startswith(("rwkv", "arwkv")):
        shift = reader.number("token_shift_count", 2)
        return shift * n_embd + n_embd * reader.number("wkv.head_size", 64)
    if architecture.startswith("lfm2"):
        return n_embd * max(0, reader.number("shortconv.l_cache", 3) - 1)
    convolution = max(0, reader.number("ssm.conv_kernel", 4) - 1)
    if architecture == "kimi-linear":
        width, n_head = reader.number("kda.head_dim"), reader.number("attention.head_count")
        return 3 * convolution * n_head * width + width * width * n_head
    inner, state = reader.number("ssm.inner_size"), reader.number("ssm.state_size")
    groups = reader.number("ssm.group_count")
    return convolution * (inner + 2 * groups * state) + state * inner


def _state_width(reader: _Reader, architecture: str, n_embd: int) -> int:
    """Measured on Mamba-2 shapes (b11549): projections, the convolution and its copies, the scan's result."""
    inner = reader.number("ssm.inner_size")
    if architecture == "kimi-linear":
        inner = reader.number("attention.head_count") * reader.number("kda.head_dim")
    if not inner:  # RWKV and short convolutions: a handful of rows as wide as the model
        return 10 * n_embd
    groups = reader.number("ssm.group_count") * reader.number("ssm.state_size")
    return 7 * inner + 6 * groups + reader.number("ssm.time_step_rank") + n_embd
