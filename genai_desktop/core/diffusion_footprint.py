"""How much memory an image model takes, per component and per stage (R502).

Weights are exact where headers are known. Work buffers follow the sizes stable-diffusion.cpp prints for
its stages; they grow with the number of pixels. Nothing better known, a model counts as its file size
times 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from genai_desktop.core.component_guess import FileGuess, Header, guess_file, tensor_views

SIZE_FACTOR: Final = 1.2  # the seed's rule, for files whose header nobody read
_BASE_PIXELS: Final = 512 * 512
# Work buffers at 512 x 512 in MiB as sd.cpp logs them: the decoder dominates, and grows with the pixels.
_DECODE_MIB: Final = 1_664
_TINY_DECODE_MIB: Final = 480
_ENCODE_MIB: Final = 64
_DIFFUSION_MIB: Final[Mapping[str, int]] = {
    "sd1": 560, "sd2": 560, "sdxl": 520, "sd3": 500, "flux": 400, "chroma": 400, "flux2": 600,
    "flux2-klein": 400, "qwen-image": 500, "z-image": 400, "wan": 600,
}  # fmt: skip
_DIFFUSION_DEFAULT_MIB: Final = 600
_TILED_DECODE: Final = 0.35  # of the decode buffer when the picture is decoded in tiles
_ENCODERS: Final = frozenset({"clip_l", "clip_g", "t5xxl", "llm", "llm_vision"})


@dataclass(frozen=True)
class DiffusionFootprint:
    """Bytes. components: weights by role; stages: work buffer of "encode", "diffusion", "decode".

    resident: all weights at once (what a server that stays loaded holds); peak: the most that is needed at
    one time when all weights stay loaded; lazy_peak: when each stage loads its own (builds since master-691).
    is_estimate: file sizes had to stand in for headers.
    """

    components: tuple[tuple[str, int], ...]
    stages: tuple[tuple[str, int], ...]
    resident: int
    peak: int
    lazy_peak: int
    is_estimate: bool = False

    @property
    def total(self) -> int:
        """What must be free for a job, whatever the build does."""
        return self.peak


def diffusion_footprint(
    files: Mapping[str, Header | int],
    *,
    width: int = 512,
    height: int = 512,
    vae_tiling: bool = False,
) -> DiffusionFootprint:
    """Memory of one image model for pictures of that size.

    files: header, or size in bytes where no header is known, by role ("checkpoint" or "" for a single file).
    """
    guesses = {role or "checkpoint": _guess(file) for role, file in files.items()}
    if any(isinstance(file, int) for file in files.values()) or not files:
        total = sum(round(_bytes(file) * SIZE_FACTOR) for file in files.values())
        parts = tuple((role or "checkpoint", _bytes(file)) for role, file in files.items())
        return DiffusionFootprint(parts, (), sum(size for _, size in parts), total, total, is_estimate=True)
    components = _components(files, guesses)
    main = guesses.get("diffusion_model") or guesses.get("checkpoint")
    work = _stages(
        main.family if main else "", width, height, is_tiny="taesd" in files, vae_tiling=vae_tiling
    )
    resident = sum(components.values())
    by_stage = {
        "encode": sum(size for role, size in components.items() if role in _ENCODERS),
        "diffusion": components.get("diffusion_model", 0),
        "decode": components.get("vae", 0) + components.get("taesd", 0),
    }
    return DiffusionFootprint(
        components=tuple(components.items()),
        stages=tuple(work.items()),
        resident=resident,
        peak=resident + max(work.values()),
        lazy_peak=max(by_stage[stage] + work[stage] for stage in work),
    )


def _guess(file: Header | int) -> FileGuess:
    return FileGuess("unknown") if isinstance(file, int) else guess_file(file)


def _bytes(file: Header | int) -> int:
    if isinstance(file, int):
        return file
    return sum(view.n_bytes for view in tensor_views(file))


def _components(files: Mapping[str, Header | int], guesses: Mapping[str, FileGuess]) -> dict[str, int]:
    """Weights by role; a checkpoint is taken apart by its tensor names."""
    sizes: dict[str, int] = {}
    for role, file in files.items():
        if isinstance(file, int):
            continue
        if guesses[role or "checkpoint"].role == "checkpoint" and role in ("", "checkpoint"):
            for part, size in _split(file).items():
                sizes[part] = sizes.get(part, 0) + size
        else:
            sizes[role or "diffusion_model"] = sizes.get(role or "diffusion_model", 0) + _bytes(file)
    if "taesd" in sizes and "vae" in sizes and len(files) > 1:
        sizes.pop("vae")  # the tiny autoencoder replaces it
    return sizes


_PART_PREFIXES: Final = (
    ("cond_stage_model.1.", "clip_g"),
    ("conditioner.embedders.1.", "clip_g"),
    ("text_encoders.clip_g.", "clip_g"),
    ("text_encoders.t5xxl.", "t5xxl"),
    ("text_encoders.llm.", "llm"),
    ("cond_stage_model.", "clip_l"),
    ("conditioner.", "clip_l"),
    ("text_encoders.", "clip_l"),
    ("te.", "clip_l"),
    ("first_stage_model.", "vae"),
    ("vae.", "vae"),
)


def _split(header: Header) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for view in tensor_views(header):
        part = next(
            (part for prefix, part in _PART_PREFIXES if view.name.startswith(prefix)), "diffusion_model"
        )
        sizes[part] = sizes.get(part, 0) + view.n_bytes
    return sizes


def _stages(family: str, width: int, height: int, *, is_tiny: bool, vae_tiling: bool) -> dict[str, int]:
    scale = max(64 * 64, width * height) / _BASE_PIXELS
    decode = (_TINY_DECODE_MIB if is_tiny else _DECODE_MIB) * scale * (_TILED_DECODE if vae_tiling else 1)
    if family == "chroma-radiance":  # paints pixels, there is nothing to decode
        decode = 0
    diffusion = _DIFFUSION_MIB.get(family, _DIFFUSION_DEFAULT_MIB) * scale
    return {
        "encode": _ENCODE_MIB << 20,
        "diffusion": round(diffusion * (1 << 20)),
        "decode": round(decode * (1 << 20)),
    }
