"""From headers to the answer "does it fit now": language models by placement, image models by parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from genai_desktop.core.component_guess import Header, guess_file
from genai_desktop.core.diffusion_footprint import diffusion_footprint
from genai_desktop.core.errors import InvalidInputError, ModelFileError
from genai_desktop.core.footprint import cache_type_problem
from genai_desktop.core.ggml_types import CACHE_TYPES
from genai_desktop.core.gguf import model_type
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.hparams import read_hparams
from genai_desktop.core.hub import FitReport
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.placement import Machine, Placer, Wishes
from genai_desktop.library.headers import read_header_file, read_model_header
from genai_desktop.library.inspection import PROJECTOR_ROLE, inspect_file

_GIB = 1 << 30
_WIDE_V = ("f16", "f32", "bf16")


@dataclass(frozen=True)
class Known:
    """What was read of a model. files: headers by role, the main one under "" or "diffusion_model"."""

    files: Mapping[str, Header]
    bytes_read: int
    width: int = 512
    height: int = 512


def check_wishes(wishes: Wishes) -> None:
    """Raises InvalidInputError for settings no engine takes."""
    for kind in (wishes.cache_type_k, wishes.cache_type_v):
        if kind is not None and kind not in CACHE_TYPES:
            raise InvalidInputError(
                f"The cache type {kind!r} is not known.", remedy=f"Choose one of: {', '.join(CACHE_TYPES)}."
            )
    if not wishes.flash_attention and (wishes.cache_type_v or "f16") not in _WIDE_V:
        raise InvalidInputError(
            f"A V cache of type {wishes.cache_type_v} needs flash attention.",
            remedy="Leave flash attention on, or name two types: q8_0,f16.",
        )


def read_local(model: ModelInfo) -> Known:
    """All headers of a model on the shelf. Raises ModelNotFoundError, ModelFileError, StorageError."""
    if model.type == "diffusion":
        files = {file.role: read_header_file(file.path) for file in model.files}
        width, height = (_side(model.recommended.get(name)) for name in ("width", "height"))
        return Known(files, _cost(files), width, height)
    files = {"": read_model_header(model.path)}
    eyes = model.components.get(PROJECTOR_ROLE)
    if eyes is not None:
        files[PROJECTOR_ROLE] = read_header_file(eyes.path)
    return Known(files, _cost(files))


def read_path(path: Path) -> Known:
    """All headers of a model in a file that is not on the shelf; raises as read_local."""
    return read_local(inspect_file(path).info)


def judge(known: Known, machine: Machine, wishes: Wishes) -> FitReport:
    """Raises ModelFileError for a file that is no model of its own, InvalidInputError for the wishes."""
    check_wishes(wishes)
    main = known.files.get("") or next(iter(known.files.values()))
    guess = guess_file(main)
    is_image = "" not in known.files or model_type(guess) == "diffusion" or not isinstance(main, GgufHeader)
    if not is_image and isinstance(main, GgufHeader):
        return _language(main, known, machine, wishes)
    if "" in known.files and model_type(guess) != "diffusion":
        raise ModelFileError(
            f"The file is {_article(guess.title)}, which is not run on its own.",
            remedy="Ask about the model it belongs to."
            if guess.title
            else "Language models must be GGUF files; look for a GGUF version of the same model.",
            details={"role": guess.role},
        )
    return _image(known, machine)


def _language(header: GgufHeader, known: Known, machine: Machine, wishes: Wishes) -> FitReport:
    shape = read_hparams(header)
    for kind in (wishes.cache_type_k, wishes.cache_type_v):
        problem = cache_type_problem(shape, kind) if kind else ""
        if problem:
            raise InvalidInputError(f"This model cannot use that cache: {problem}.", remedy="Use f16 for it.")
    eyes = known.files.get(PROJECTOR_ROLE)
    projector = eyes if isinstance(eyes, GgufHeader) else None
    if not wishes.flash_attention and wishes.cache_type_v is None:
        wishes = replace(wishes, cache_type_v="f16")
    placed = Placer(header, machine, wishes, projector).best()
    return FitReport(
        footprint=placed.footprint.to_dict(),
        placement={
            "n_gpu_layers": placed.n_gpu_layers,
            "n_ctx": placed.n_ctx,
            "gpu_bytes": placed.gpu_bytes,
            "host_bytes": placed.host_bytes,
        },
        fits=placed.fits,
        reason=placed.reason,
        bytes_read=known.bytes_read,
        suggestion=placed.suggestion,
    )


def _image(known: Known, machine: Machine) -> FitReport:
    found = diffusion_footprint(known.files, width=known.width, height=known.height)
    need, size = found.peak, f"pictures of {known.width} x {known.height}"
    is_on_gpu = machine.usable_vram >= need
    fits = is_on_gpu or machine.usable_ram >= need
    words = f"Needs {need / _GIB:.1f} GB for {size}"
    if is_on_gpu:
        reason = f"Fits on the GPU. {words}; {sum(machine.free_vram) / _GIB:.1f} GB are free there."
    else:
        reason = (
            f"{'Runs in RAM. ' if fits else ''}{words}; {machine.free_ram / _GIB:.1f} GB of RAM are free."
        )
    return FitReport(
        footprint={
            "weights": found.resident,
            "kv_cache": 0,
            "recurrent_state": 0,
            "compute": max(0, need - found.resident),
            "output": 0,
            "projector": 0,
            "total": need,
        },
        placement={
            "n_gpu_layers": 0,
            "n_ctx": 0,
            "gpu_bytes": need if is_on_gpu else 0,
            "host_bytes": 0 if is_on_gpu else need,
        },
        fits=fits,
        reason=reason,
        bytes_read=known.bytes_read,
        suggestion="" if fits else "Choose a smaller quantization, or close other programs.",
    )


def _cost(files: Mapping[str, Header]) -> int:
    return sum(header.bytes_read for header in files.values())


def _side(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 64 <= value <= 8_192 else 512


def _article(title: str) -> str:
    if not title:
        return "not one this program knows"
    return f"{'an' if title[0] in 'aeiouAEIO' else 'a'} {title}"
