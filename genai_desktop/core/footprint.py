"""How much memory a language model takes, from its header alone (R501).

The formulas are those of contracts/llama-server.md section 4, checked there against the server's own log:
weights, KV cache, recurrent state and output buffer equal, the compute buffer within a few percent with flash
attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from genai_desktop.core.diffusion_footprint import DiffusionFootprint, diffusion_footprint
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.core.ggml_types import CACHE_TYPES
from genai_desktop.core.gguf_header import GgufHeader, GgufTensor
from genai_desktop.core.hparams import Hparams, LayerShape, read_hparams

__all__ = [
    "DiffusionFootprint", "Estimator", "Footprint", "ModelParts", "cache_type_problem", "diffusion_footprint",
    "llm_footprint", "model_parts", "pad",
]  # fmt: skip

PADDING: Final = 256  # every context length is rounded up to this
DEFAULT_UBATCH: Final = 512
_VISION_GRAPH: Final = 300 << 20  # first guess for the work buffers of an image projector


@dataclass(frozen=True)
class Footprint:
    """Bytes. weights count twice what is loaded twice. gpu_bytes + host_bytes = total.

    n_ctx: the padded context this is for. gpu_layers: of n_layer + 1.
    """

    weights: int
    kv_cache: int
    recurrent_state: int
    compute: int
    output: int
    projector: int
    gpu_bytes: int
    host_bytes: int
    n_ctx: int = 0
    gpu_layers: int = 0

    @property
    def total(self) -> int:
        return self.gpu_bytes + self.host_bytes

    def to_dict(self) -> dict[str, int]:
        """The parts by name, as the command line prints them."""
        names = ("weights", "kv_cache", "recurrent_state", "compute", "output", "projector", "total")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class ModelParts:
    """Weights of a model by where they go. layers: bytes per repeating layer; experts: the part of it that is
    experts; dense: whether the layer has a plain feed-forward part; input: embeddings, always in RAM;
    output: head and last norm; is_tied: the head is the embedding.
    """

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    dense: tuple[bool, ...]
    input: int
    output: int
    is_tied: bool
    embedding: int

    @property
    def total(self) -> int:
        return sum(self.layers) + self.input + self.output


def pad(n: int) -> int:
    """Rounded up to a multiple of 256."""
    return -(-n // PADDING) * PADDING


def model_parts(header: GgufHeader, n_layer: int) -> ModelParts:
    """Weights per layer, from the tensor infos."""
    layers = [0] * n_layer
    experts = [0] * n_layer
    dense = [False] * n_layer
    inputs = outputs = embedding = 0
    has_head = False
    sizes = _tensor_sizes(header)
    for tensor, size in zip(header.tensors, sizes, strict=True):
        name = tensor.name
        if name.startswith("blk."):
            number = name[4 : name.find(".", 4)]
            index = int(number) if number.isdigit() and len(number) < 6 else n_layer
            if index < n_layer:
                layers[index] += size
                if "_exps." in name:
                    experts[index] += size
                elif name.endswith((".ffn_up.weight", ".ffn_down.weight")):
                    dense[index] = True
            else:
                outputs += size
        elif name.startswith(("token_embd", "per_layer_token_embd", "token_types", "position_embd")):
            inputs += size
            if name == "token_embd.weight":
                embedding = size
        else:
            outputs += size
            has_head = has_head or name == "output.weight"
    return ModelParts(tuple(layers), tuple(experts), tuple(dense), inputs, outputs, not has_head, embedding)


def llm_footprint(
    header: GgufHeader,
    *,
    n_ctx: int = 0,
    n_gpu_layers: int = 0,
    cache_type_k: str = "f16",
    cache_type_v: str = "f16",
    flash_attention: bool = True,
    n_parallel: int = 1,
    n_ubatch: int = DEFAULT_UBATCH,
    is_kv_unified: bool = False,
    is_swa_full: bool = False,
    n_cpu_moe: int = 0,
    projector: GgufHeader | None = None,
) -> Footprint:
    """Memory of one model under given settings.

    n_ctx 0: the model's own context. n_gpu_layers: as `-ngl` (the output counts as one layer); below 0 is
    all. n_cpu_moe: experts of that many first layers stay in RAM. Raises ModelFileError for what is no
    language model, InvalidInputError for an unknown cache type.
    """
    shape = read_hparams(header)
    return Estimator(header, shape, projector).footprint(
        n_ctx=n_ctx,
        n_gpu_layers=n_gpu_layers,
        cache_type_k=cache_type_k,
        cache_type_v=cache_type_v,
        flash_attention=flash_attention,
        n_parallel=n_parallel,
        n_ubatch=n_ubatch,
        is_kv_unified=is_kv_unified,
        is_swa_full=is_swa_full,
        n_cpu_moe=n_cpu_moe,
    )


class Estimator:
    """The formulas for one model; reading its header once makes many settings cheap to try."""

    def __init__(self, header: GgufHeader, shape: Hparams, projector: GgufHeader | None = None) -> None:
        self.shape = shape
        self.parts = model_parts(header, shape.n_layer)
        self.projector = 0
        if projector is not None:
            weights = sum(_tensor_sizes(projector))
            self.projector = weights * 11 // 10 + _VISION_GRAPH

    def footprint(
        self,
        *,
        n_ctx: int = 0,
        n_gpu_layers: int = 0,
        cache_type_k: str = "f16",
        cache_type_v: str = "f16",
        flash_attention: bool = True,
        n_parallel: int = 1,
        n_ubatch: int = DEFAULT_UBATCH,
        is_kv_unified: bool = False,
        is_swa_full: bool = False,
        n_cpu_moe: int = 0,
    ) -> Footprint:
        """As llm_footprint."""
        shape, parts = self.shape, self.parts
        n_parallel = max(1, n_parallel)
        n_ctx = pad(max(1, n_ctx or shape.context_length or 4_096))
        streams = 1 if is_kv_unified else n_parallel
        per_sequence = n_ctx if is_kv_unified else pad(n_ctx // n_parallel)
        n_ubatch = min(n_ubatch, n_ctx)
        n_layer = shape.n_layer
        n_gpu_layers = n_layer + 1 if n_gpu_layers < 0 else min(n_gpu_layers, n_layer + 1)
        first_gpu = n_layer + 1 - n_gpu_layers  # llama.cpp: i_gpu_start
        window_cells = self._window_cells(
            per_sequence, n_ubatch, n_parallel if is_kv_unified else 1, is_swa_full
        )

        bytes_k, bytes_v = _cache_bytes(cache_type_k), _cache_bytes(cache_type_v)
        caches = self._caches(
            per_sequence=per_sequence,
            window_cells=window_cells,
            streams=streams,
            bytes_k=bytes_k,
            bytes_v=bytes_v,
            flash_attention=flash_attention,
        )
        states = [4 * n_parallel * layer.state for layer in shape.layers]
        compute = self._compute(n_ubatch, per_sequence, window_cells, flash_attention)
        compute += max(states, default=0)  # a recurrent layer works on a copy of its state
        output = 4 * shape.n_vocab * n_parallel

        on_gpu = range(max(0, first_gpu), n_layer)
        gpu = sum(parts.layers[i] + caches[i] + states[i] for i in on_gpu)
        kept_experts = sum(parts.experts[i] for i in on_gpu if i < n_cpu_moe)
        gpu -= kept_experts
        duplicate = 0
        if n_gpu_layers > 0:
            duplicate = parts.embedding if parts.is_tied else 0
            gpu += parts.output + duplicate
        weights = parts.total + duplicate
        host = weights + sum(caches) + sum(states) - gpu + output

        # each device that computes has its own work buffer; with everything on the GPU the host only feeds it
        if n_gpu_layers == 0:
            host_compute = compute
        else:
            gpu += compute
            feed = 4 * n_ubatch * shape.n_embd + 2 * n_ubatch * per_sequence
            host_compute = compute if n_gpu_layers <= n_layer or kept_experts else min(compute, feed)
        host += host_compute
        if n_gpu_layers > 0:
            gpu += self.projector
        else:
            host += self.projector
        return Footprint(
            weights=weights,
            kv_cache=sum(caches),
            recurrent_state=sum(states),
            compute=compute if n_gpu_layers == 0 else compute + host_compute,
            output=output,
            projector=self.projector,
            gpu_bytes=gpu,
            host_bytes=host,
            n_ctx=n_ctx,
            gpu_layers=n_gpu_layers,
        )

    def _window_cells(self, per_sequence: int, n_ubatch: int, sequences: int, is_swa_full: bool) -> int:
        window = max((layer.window for layer in self.shape.layers), default=0)
        if is_swa_full or not window:
            return per_sequence
        return pad(min(per_sequence, window * sequences + n_ubatch))

    def _caches(
        self,
        *,
        per_sequence: int,
        window_cells: int,
        streams: int,
        bytes_k: float,
        bytes_v: float,
        flash_attention: bool,
    ) -> list[int]:
        layers = self.shape.layers
        widths = {layer.head_v * layer.n_head_kv for layer in layers if layer.has_cache}
        # without flash attention V is stored transposed, every layer as wide as the widest
        widest_v = max(widths, default=0) if not flash_attention and len(widths) > 1 else 0

        def size(layer: LayerShape) -> int:
            if not layer.has_cache:
                return 0
            cells = (window_cells if layer.window else per_sequence) * streams
            width_k = layer.head_k * layer.n_head_kv
            width_v = widest_v if widest_v and layer.head_v else layer.head_v * layer.n_head_kv
            return round(cells * (bytes_k * width_k + bytes_v * width_v))

        return [size(layer) for layer in layers]

    def _compute(self, n_ubatch: int, per_sequence: int, window_cells: int, flash_attention: bool) -> int:
        """The work buffer: the widest moment of one layer, times the rows of a micro-batch, plus the masks.

        The shapes of these moments were read off the engine's own log over synthetic models (b11549).
        """
        shape = self.shape
        widest = 0
        for layer, is_dense in zip(shape.layers, self.parts.dense, strict=True):
            cells = window_cells if layer.window else per_sequence
            widest = max(widest, _attention_width(layer, shape.n_embd, cells, flash_attention))
            if is_dense:
                widest = max(widest, 3 * layer.n_ff + 5 * shape.n_embd)
            if layer.state:
                widest = max(widest, shape.state_width)
        if shape.n_ff_exp:
            widest = max(widest, _expert_width(max(1, shape.n_expert_used), shape.n_embd, shape.n_ff_exp))
        size = 4 * n_ubatch * (widest + 10)
        if any(layer.has_cache for layer in shape.layers):
            masks = per_sequence + (window_cells if shape.has_window else 0)
            size += (2 if flash_attention else 4) * n_ubatch * masks
        return size


def _attention_width(layer: LayerShape, n_embd: int, cells: int, flash_attention: bool) -> int:
    """Elements per row while a layer attends."""
    if not layer.n_head_kv:
        return 5 * n_embd
    query, keys = layer.n_head * layer.head_k, layer.n_head_kv * layer.head_k
    if not layer.head_v:  # latent attention: keys stand for the values too
        own, scores = 3 * query + n_embd, 3 * query + 2 * n_embd
    else:
        own, scores = 4 * query + n_embd + (2 * keys if keys >= query else 0), 3 * (query + n_embd) + 2 * keys
    return own if flash_attention else cells * layer.n_head + scores


def _expert_width(used: int, n_embd: int, inner: int) -> int:
    """Elements per row while the chosen experts work side by side."""
    if 2 * inner < n_embd:  # the results do not fit where the inner products were
        return 2 * used * (n_embd + inner)
    return max(3 * used * inner + 5 * n_embd, 2 * used * inner + used * n_embd + 3 * n_embd)


def cache_type_problem(shape: Hparams, cache_type: str) -> str:
    """Why this cache type cannot hold this model's heads, or empty: blocks must divide the head size."""
    block = CACHE_TYPES[cache_type].block
    for layer in shape.layers:
        if layer.has_cache and (layer.head_k % block or layer.head_v % block):
            return f"{cache_type} needs heads in multiples of {block}"
    return ""


def _cache_bytes(cache_type: str) -> float:
    kind = CACHE_TYPES.get(cache_type)
    if kind is None:
        raise InvalidInputError(
            f"The cache type {cache_type!r} is not known.", remedy=f"Choose one of: {', '.join(CACHE_TYPES)}."
        )
    return kind.size / kind.block


def _tensor_sizes(header: GgufHeader) -> list[int]:
    """Bytes of each tensor; for a type this program does not know, the distance to the next tensor."""
    sizes = [tensor.n_bytes for tensor in header.tensors]
    if None not in sizes:
        return [size or 0 for size in sizes]
    distances = _distances(header.tensors, header)
    return [distances[i] if size is None else size for i, size in enumerate(sizes)]


def _distances(tensors: tuple[GgufTensor, ...], header: GgufHeader) -> Mapping[int, int]:
    end = header.file_size - header.data_offset if header.file_size else 0
    order = sorted(range(len(tensors)), key=lambda i: tensors[i].offset)
    found: dict[int, int] = {}
    for place, i in enumerate(order):
        following = tensors[order[place + 1]].offset if place + 1 < len(order) else end
        found[i] = max(0, following - tensors[i].offset)
    return found
