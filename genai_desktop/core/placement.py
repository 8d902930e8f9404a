"""Where a language model goes: how many layers on the GPU, how long a context, which cache types (R104,
R105).

The order of preference: everything on the GPU (a quantized cache before a shorter context), then the
experts of a mixture in RAM, then some layers on the GPU, then the processor alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genai_desktop.core.footprint import DEFAULT_UBATCH, Estimator, Footprint, cache_type_problem, pad
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.hparams import read_hparams
from genai_desktop.core.models import FitBadge

PREFERRED_CONTEXT: Final = 8_192  # enough for a long conversation; more is a person's choice
FLOOR_CONTEXT: Final = 4_096  # not shortened below this on its own account
# Per card: the driver's own context (CUDA 300 to 600 MiB) and room for what the desktop draws meanwhile.
GPU_HEADROOM: Final = 768 << 20
HOST_HEADROOM: Final = 2 << 30  # for the system, but never more than an eighth of what is free
_TIGHT: Final = 0.9
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class Machine:
    """What is free now. free_vram: bytes per usable GPU, empty without one; is_unified: GPU memory is RAM."""

    free_ram: int
    free_vram: tuple[int, ...] = ()
    is_unified: bool = False

    @property
    def usable_ram(self) -> int:
        return max(0, self.free_ram - min(HOST_HEADROOM, self.free_ram // 8))

    @property
    def usable_vram(self) -> int:
        """All cards together: the engine spreads layers over them by what is free on each."""
        if self.is_unified:
            return min(sum(self.free_vram), self.usable_ram)
        return sum(max(0, free - GPU_HEADROOM) for free in self.free_vram)


@dataclass(frozen=True)
class Wishes:
    """What a person (or a saved configuration) fixed; None leaves the choice open."""

    n_ctx: int | None = None
    n_gpu_layers: int | None = None
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    flash_attention: bool = True
    n_parallel: int = 1
    n_ubatch: int = DEFAULT_UBATCH
    n_cpu_moe: int | None = None
    preferred_ctx: int = PREFERRED_CONTEXT


@dataclass(frozen=True)
class Placement:
    """The answer.

    n_gpu_layers: as `-ngl`, of n_layer + 1. reason and suggestion: sentences; suggestion may be empty.
    """

    n_gpu_layers: int
    n_layer: int
    n_ctx: int
    cache_type_k: str
    cache_type_v: str
    flash_attention: bool
    fits: bool
    reason: str
    gpu_bytes: int
    host_bytes: int
    footprint: Footprint
    suggestion: str = ""
    n_cpu_moe: int = 0
    is_tight: bool = False

    @property
    def is_fully_on_gpu(self) -> bool:
        return self.n_gpu_layers > self.n_layer and not self.n_cpu_moe

    def to_dict(self) -> dict[str, Any]:
        """The parts the command line and the window show."""
        names = (
            "n_gpu_layers", "n_layer", "n_ctx", "cache_type_k", "cache_type_v", "flash_attention",
            "n_cpu_moe", "gpu_bytes", "host_bytes", "fits", "reason", "suggestion",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def place(
    header: GgufHeader,
    free_vram: Sequence[int],
    free_ram: int,
    *,
    n_ctx: int | None = None,
    n_gpu_layers: int | None = None,
    cache_type_k: str | None = None,
    cache_type_v: str | None = None,
    flash_attention: bool = True,
    n_parallel: int = 1,
    preferred_ctx: int = PREFERRED_CONTEXT,
    is_unified: bool = False,
    projector: GgufHeader | None = None,
) -> Placement:
    """The best placement of a model now; fits=False (and the smallest try) when there is none.

    free_vram: bytes per GPU the engine can use, empty without one. What is given is kept, None leaves the
    choice open. Raises ModelFileError for a header that describes no language model.
    """
    wishes = Wishes(
        n_ctx=n_ctx,
        n_gpu_layers=n_gpu_layers,
        cache_type_k=cache_type_k,
        cache_type_v=cache_type_v,
        flash_attention=flash_attention,
        n_parallel=n_parallel,
        preferred_ctx=preferred_ctx,
    )
    return Placer(header, Machine(free_ram, tuple(free_vram), is_unified), wishes, projector).best()


class Placer:
    """Tries settings in the order of preference."""

    def __init__(
        self, header: GgufHeader, machine: Machine, wishes: Wishes, projector: GgufHeader | None = None
    ) -> None:
        self._shape = read_hparams(header)
        self._estimator = Estimator(header, self._shape, projector)
        self._machine = machine
        self._wishes = wishes

    def best(self) -> Placement:
        """See `place`."""
        wishes = self._wishes
        if wishes.n_gpu_layers is not None:
            return self._fixed(wishes.n_gpu_layers)
        if self._machine.usable_vram > 0:
            found = self._all_on_gpu() or self._experts_in_ram() or self._some_on_gpu()
            if found is not None:
                return found
        return self._on_cpu()

    # candidates -------------------------------------------------------------------------------------------

    def _contexts(self) -> list[int]:
        """Context lengths from the wanted one down to the shortest we would choose ourselves."""
        wishes, native = self._wishes, self._shape.context_length
        if wishes.n_ctx:
            return [pad(wishes.n_ctx)]
        wanted = min(native or wishes.preferred_ctx, wishes.preferred_ctx)
        contexts = [pad(wanted)]
        while contexts[-1] // 2 >= FLOOR_CONTEXT:
            contexts.append(pad(contexts[-1] // 2))
        return contexts

    def _caches(self) -> list[tuple[str, str]]:
        """Cache types in order of preference."""
        wishes = self._wishes
        if wishes.cache_type_k or wishes.cache_type_v:
            return [(wishes.cache_type_k or "f16", wishes.cache_type_v or "f16")]
        caches = [("f16", "f16")]
        if wishes.flash_attention and not cache_type_problem(self._shape, "q8_0"):
            caches.append(("q8_0", "q8_0"))
        return caches

    def _settings(self) -> Iterator[tuple[int, tuple[str, str]]]:
        for context in self._contexts():
            for cache in self._caches():
                yield context, cache

    def _measure(self, layers: int, n_ctx: int, cache: tuple[str, str], n_cpu_moe: int = 0) -> Footprint:
        wishes = self._wishes
        return self._estimator.footprint(
            n_ctx=n_ctx,
            n_gpu_layers=layers,
            cache_type_k=cache[0],
            cache_type_v=cache[1],
            flash_attention=wishes.flash_attention,
            n_parallel=wishes.n_parallel,
            n_ubatch=wishes.n_ubatch,
            n_cpu_moe=n_cpu_moe,
        )

    def _fits(self, footprint: Footprint, spare: int = 0) -> bool:
        machine = self._machine
        if machine.is_unified:
            return (
                footprint.gpu_bytes + spare <= machine.usable_vram and footprint.total <= machine.usable_ram
            )
        # a layer cannot be cut: with several cards up to one layer's worth is lost on each but one
        spare += max(0, len(machine.free_vram) - 1) * max(self._estimator.parts.layers, default=0) // 2
        return (
            footprint.gpu_bytes + spare <= machine.usable_vram and footprint.host_bytes <= machine.usable_ram
        )

    # the ladder -------------------------------------------------------------------------------------------

    def _all_on_gpu(self) -> Placement | None:
        layers = self._shape.n_layer + 1
        for n_ctx, cache in self._settings():
            footprint = self._measure(layers, n_ctx, cache)
            if self._fits(footprint):
                return self._answer(footprint, cache, f"Fits on the GPU: {self._gpu_words(footprint)}.")
        return None

    def _experts_in_ram(self) -> Placement | None:
        if not self._shape.n_expert or self._wishes.n_cpu_moe is not None:
            return None
        count = self._shape.n_layer
        for n_ctx, cache in self._settings():
            low, high = 1, count
            if not self._fits(self._measure(count + 1, n_ctx, cache, count)):
                continue
            while low < high:  # the fewest layers whose experts must stay in RAM
                middle = (low + high) // 2
                if self._fits(self._measure(count + 1, n_ctx, cache, middle)):
                    high = middle
                else:
                    low = middle + 1
            footprint = self._measure(count + 1, n_ctx, cache, low)
            words = f"The experts of {low} of {count} layers stay in RAM, the rest is on the GPU"
            return self._answer(
                footprint,
                cache,
                f"{words}: {self._gpu_words(footprint)}, {_gb(footprint.host_bytes)} of RAM.",
                n_cpu_moe=low,
            )
        return None

    def _some_on_gpu(self) -> Placement | None:
        parts = self._estimator.parts
        spare = max(parts.layers, default=0)  # prompts are read on the GPU, a layer at a time
        for n_ctx, cache in self._settings():
            low, high = 0, self._shape.n_layer
            while low < high:  # the most layers that fit
                middle = (low + high + 1) // 2
                if self._fits(self._measure(middle, n_ctx, cache), spare):
                    low = middle
                else:
                    high = middle - 1
            if low < 2:  # the output layer alone is not worth a GPU
                continue
            footprint = self._measure(low, n_ctx, cache)
            if self._fits(footprint, spare):
                words = f"{low} of {self._shape.n_layer + 1} layers fit on the GPU"
                rest = f"{_gb(footprint.host_bytes)} of RAM for the rest"
                return self._answer(footprint, cache, f"{words} ({self._gpu_words(footprint)}), {rest}.")
        return None

    def _on_cpu(self) -> Placement:
        footprint = None
        cache = ("f16", "f16")
        for n_ctx, cache in self._settings():
            footprint = self._measure(0, n_ctx, cache)
            if self._fits_ram(footprint):
                words = (
                    "Runs on the processor"
                    if not self._machine.free_vram
                    else "Too large for the GPU, runs on the processor"
                )
                free = _gb(self._machine.free_ram)
                return self._answer(
                    footprint, cache, f"{words}: {_gb(footprint.host_bytes)} of {free} RAM free."
                )
        if footprint is None:  # cannot be: there is always a setting
            footprint = self._measure(0, FLOOR_CONTEXT, cache)
        return self._refusal(footprint, cache)

    def _fixed(self, n_gpu_layers: int) -> Placement:
        """The person chose the layers; context and caches follow."""
        last: tuple[Footprint, tuple[str, str]] | None = None
        for n_ctx, cache in self._settings():
            footprint = self._measure(n_gpu_layers, n_ctx, cache, self._wishes.n_cpu_moe or 0)
            last = (footprint, cache)
            fits = self._fits(footprint) if footprint.gpu_layers else self._fits_ram(footprint)
            if fits:
                words = f"{footprint.gpu_layers} of {self._shape.n_layer + 1} layers on the GPU"
                where = f"{_gb(footprint.gpu_bytes)} GPU memory, {_gb(footprint.host_bytes)} RAM"
                return self._answer(footprint, cache, f"{words}, as chosen: {where}.")
        if last is None:  # cannot be: there is always a setting
            last = (self._measure(n_gpu_layers, FLOOR_CONTEXT, ("f16", "f16")), ("f16", "f16"))
        return self._refusal(*last)

    # answers ----------------------------------------------------------------------------------------------

    def _fits_ram(self, footprint: Footprint) -> bool:
        return footprint.host_bytes <= self._machine.usable_ram

    def _gpu_words(self, footprint: Footprint) -> str:
        return f"{_gb(footprint.gpu_bytes)} of {_gb(sum(self._machine.free_vram))} free"

    def _answer(
        self, footprint: Footprint, cache: tuple[str, str], reason: str, n_cpu_moe: int = 0
    ) -> Placement:
        machine = self._machine
        is_tight = footprint.host_bytes > _TIGHT * max(1, machine.free_ram) or (
            bool(machine.free_vram) and footprint.gpu_bytes > _TIGHT * sum(machine.free_vram)
        )
        return Placement(
            n_gpu_layers=footprint.gpu_layers,
            n_layer=self._shape.n_layer,
            n_ctx=footprint.n_ctx,
            cache_type_k=cache[0],
            cache_type_v=cache[1],
            flash_attention=self._wishes.flash_attention,
            fits=True,
            reason=reason,
            gpu_bytes=footprint.gpu_bytes,
            host_bytes=footprint.host_bytes,
            footprint=footprint,
            n_cpu_moe=n_cpu_moe or self._wishes.n_cpu_moe or 0,
            is_tight=is_tight,
        )

    def _refusal(self, footprint: Footprint, cache: tuple[str, str]) -> Placement:
        machine = self._machine
        need, free = _gb(footprint.host_bytes), _gb(machine.free_ram)
        if footprint.gpu_layers:
            reason = (
                f"Needs {_gb(footprint.gpu_bytes)} of GPU memory and {need} of RAM; "
                f"{_gb(sum(machine.free_vram))} and {free} are free."
            )
            suggestion = "Put fewer layers on the GPU, or shorten the context."
        else:
            reason = f"Needs {need} of RAM; {free} are free."
            if machine.free_vram:
                reason = reason[:-1] + f", and the GPU's {_gb(sum(machine.free_vram))} cannot make up for it."
            suggestion = "Choose a smaller quantization or a smaller model, or close other programs."
        return Placement(
            n_gpu_layers=footprint.gpu_layers,
            n_layer=self._shape.n_layer,
            n_ctx=footprint.n_ctx,
            cache_type_k=cache[0],
            cache_type_v=cache[1],
            flash_attention=self._wishes.flash_attention,
            fits=False,
            reason=reason,
            gpu_bytes=footprint.gpu_bytes,
            host_bytes=footprint.host_bytes,
            footprint=footprint,
            suggestion=suggestion,
        )


def fit_badge(placement: Placement) -> FitBadge:
    """The short answer for lists."""
    if not placement.fits:
        return FitBadge("no", "Too large", placement.reason)
    if placement.is_tight:
        return FitBadge("tight", "Barely fits", placement.reason)
    if placement.is_fully_on_gpu:
        return FitBadge("gpu", "Fits the GPU", placement.reason)
    if placement.n_gpu_layers:
        return FitBadge("partial", "Partly on the GPU", placement.reason)
    return FitBadge("cpu", "Runs on the processor", placement.reason)


def _gb(size: int) -> str:
    """Bytes for a sentence: "5.3 GB" (binary, as memory is sold)."""
    return f"{size / _GIB:.1f} GB" if size >= _GIB // 10 else f"{size / (1 << 20):.0f} MB"
