"""Does a model fit into the memory that is free, and what is in its header."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

from genai_desktop.core.component_guess import Header
from genai_desktop.core.diffusion_footprint import DiffusionFootprint, diffusion_footprint
from genai_desktop.core.errors import GenaiError
from genai_desktop.core.footprint import llm_footprint
from genai_desktop.core.gguf import printable_metadata
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.models import FitBadge, ModelDetails, ModelInfo
from genai_desktop.core.placement import Placement, fit_badge, place
from genai_desktop.library.architectures import KNOWN_ARCHITECTURES
from genai_desktop.library.headers import read_header_file, read_model_header
from genai_desktop.library.inspection import PROJECTOR_ROLE
from genai_desktop.library.models import current_state

_KEPT_HEADERS = 256


class FitJudge:
    """Reads headers (and keeps the last ones) and places models into free memory."""

    def __init__(self) -> None:
        self._headers: OrderedDict[tuple[str, int, float], Header] = OrderedDict()

    async def details(
        self, model: ModelInfo, *, n_ctx: int, cache_type: str, free_ram: int, free_vram: tuple[int, ...]
    ) -> ModelDetails:
        """Never raises for a model file: what cannot be read is among `problems`."""
        return await asyncio.to_thread(self._details, model, n_ctx, cache_type, free_ram, free_vram)

    async def badge(self, model: ModelInfo, *, free_ram: int, free_vram: tuple[int, ...]) -> FitBadge:
        """The short answer for lists."""
        return await asyncio.to_thread(self._badge, model, free_ram, free_vram)

    def _badge(self, model: ModelInfo, free_ram: int, free_vram: tuple[int, ...]) -> FitBadge:
        if model.missing:
            return FitBadge("unknown", "File missing", "A file of the model is not where it was.")
        try:
            if model.type == "diffusion":
                return _image_badge(self._image_footprint(model), free_ram, free_vram)
            header, projector = self._language_headers(model)
            return fit_badge(place(header, free_vram, free_ram, projector=projector))
        except GenaiError as error:
            return FitBadge("unknown", "Not known", error.message)

    def _details(
        self, model: ModelInfo, n_ctx: int, cache_type: str, free_ram: int, free_vram: tuple[int, ...]
    ) -> ModelDetails:
        problems = [*_file_problems(model)]
        metadata: tuple[tuple[str, str], ...] = ()
        footprint: dict[str, int] = {}
        placed: Placement | None = None
        fit = FitBadge("unknown", "Not known")
        try:
            header = self._header(model)
            metadata = printable_metadata(header)
            if model.type == "diffusion":
                image = self._image_footprint(model)
                footprint = dict(image.components)
                footprint |= {"compute": image.peak - image.resident, "total": image.total}
                fit = _image_badge(image, free_ram, free_vram)
            else:
                header, projector = self._language_headers(model)
                problems += _architecture_problems(header)
                placed = place(
                    header,
                    free_vram,
                    free_ram,
                    n_ctx=n_ctx or None,
                    cache_type_k=cache_type or None,
                    cache_type_v=cache_type or None,
                    projector=projector,
                )
                footprint = llm_footprint(
                    header,
                    n_ctx=placed.n_ctx,
                    n_gpu_layers=placed.n_gpu_layers,
                    cache_type_k=placed.cache_type_k,
                    cache_type_v=placed.cache_type_v,
                    flash_attention=placed.flash_attention,
                    n_cpu_moe=placed.n_cpu_moe,
                    projector=projector,
                ).to_dict()
                fit = fit_badge(placed)
        except GenaiError as error:
            problems.append(str(error))
            fit = FitBadge("unknown", "Not known", error.message)
        return ModelDetails(
            model,
            metadata=metadata,
            footprint=footprint,
            placement=placed.to_dict() if placed else {},
            fit=fit,
            memory_free=sum(free_vram) if placed and placed.n_gpu_layers else free_ram,
            problems=tuple(problems),
        )

    def _language_headers(self, model: ModelInfo) -> tuple[GgufHeader, GgufHeader | None]:
        header = self._header(model)
        assert isinstance(header, GgufHeader)  # noqa: S101 - nothing else is put on the shelf as a language model
        eyes = model.components.get(PROJECTOR_ROLE)
        projector = read_header_file(eyes.path) if eyes is not None else None
        return header, projector if isinstance(projector, GgufHeader) else None

    def _image_footprint(self, model: ModelInfo) -> DiffusionFootprint:
        """Exact weights where every header can be read, else by the size of the files."""
        files: dict[str, Header | int] = {}
        for file in model.files:
            try:
                files[file.role] = self._read(file.path)
            except GenaiError:
                files[file.role] = file.size
        width, height = (_whole(model.recommended.get(name), 512) for name in ("width", "height"))
        return diffusion_footprint(files, width=width, height=height)

    def _header(self, model: ModelInfo) -> Header:
        """Raises ModelFileError, ModelNotFoundError, StorageError."""
        return self._read(model.path)

    def _read(self, path: str) -> Header:
        try:
            found = Path(path).stat()
        except OSError:
            return read_model_header(path)  # raises, in words
        key = (path, found.st_size, found.st_mtime)
        if key not in self._headers:
            self._headers[key] = read_model_header(path)
            while len(self._headers) > _KEPT_HEADERS:
                self._headers.popitem(last=False)
        self._headers.move_to_end(key)
        return self._headers[key]


def _whole(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default


def _image_badge(footprint: DiffusionFootprint, free_ram: int, free_vram: tuple[int, ...]) -> FitBadge:
    need = footprint.total
    best = max(free_vram, default=0)
    words = f"needs about {need / 2**30:.1f} GB"
    if best >= need:
        return FitBadge("gpu", "Fits the GPU", f"It {words}; {best / 2**30:.1f} GB of GPU memory are free.")
    if free_ram >= need:
        level, text = ("partial", "Partly on the GPU") if best else ("cpu", "Runs on the processor")
        return FitBadge(level, text, f"It {words}; {free_ram / 2**30:.1f} GB of RAM are free.")
    return FitBadge("no", "Too large", f"It {words}; {free_ram / 2**30:.1f} GB of RAM are free.")


def _file_problems(model: ModelInfo) -> list[str]:
    words = {
        "missing": "is missing: it was moved, or its disk is not connected",
        "changed": "was changed since it was added; verify the model, or import it again",
    }
    states = [(Path(file.path).name, current_state(file)) for file in model.files]
    return [f"The file '{name}' {words[state]}." for name, state in states if state != "same"]


def _architecture_problems(header: GgufHeader) -> list[str]:
    if header.architecture in KNOWN_ARCHITECTURES:
        return []
    return [
        f"This program does not know the architecture '{header.architecture}'; whether the model runs depends"
        " on the engine."
    ]
