"""What image jobs take on this machine: time by stage and memory, measured, remembered across restarts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genai_desktop.core.component_guess import Header
from genai_desktop.core.diffusion_footprint import diffusion_footprint
from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.progress import EstimateBook, EstimateKey, StageTimes, passes_per_step
from genai_desktop.core.sd_launch import aligned_size
from genai_desktop.library.headers import read_model_header
from genai_desktop.library.image_records import ImageRecords

_log = logging.getLogger(__name__)

_MEMORY = "memory|"
_MEASURED_MARGIN = 0.05
_BUFFER_MARGIN = 0.35  # of the work buffers, which are not in the headers


@dataclass(frozen=True)
class ImageFootprint:
    """Bytes one job needs, and by how much that may be wrong.

    is_measured: a run of this very size was watched. is_estimate: only the sizes of the files are known.
    """

    bytes: int
    margin: int = 0
    is_measured: bool = False
    is_estimate: bool = False


class ImageEstimates:
    """Loaded once, on first use; a database that refuses costs the memory, not the picture."""

    def __init__(self, records: ImageRecords, *, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._book: EstimateBook | None = None
        self._memory: dict[str, int] = {}
        self._headers: dict[str, ImageFootprint] = {}

    async def times(self, key: EstimateKey) -> StageTimes | None:
        """What a run like this took, or None."""
        return (await self._loaded()).lookup(key)

    async def seconds(self, key: EstimateKey, config: ImageGenerationConfig) -> float | None:
        """A whole job; None when nothing comparable was ever run."""
        times = await self.times(key)
        return None if times is None else times.total(config.steps, config.count)

    async def footprint(self, key: EstimateKey, model: ModelInfo) -> ImageFootprint:
        """Measured where this size was painted before, else from the headers, else from the file sizes."""
        await self._loaded()
        known = self._memory.get(_memory_key(key))
        if known:
            return ImageFootprint(known, int(known * _MEASURED_MARGIN), is_measured=True)
        cached = self._headers.get(key.text)
        if cached is None:
            cached = self._headers[key.text] = await asyncio.to_thread(_from_files, key, model)
        return cached

    async def learn(self, key: EstimateKey, times: StageTimes | None, peak_bytes: int) -> None:
        """After a run that succeeded."""
        book = await self._loaded()
        if times is not None:
            await self._save(key.text, book.learn(key, times))
        if peak_bytes > 0:
            # the largest seen: what is wanted is whether it fits
            largest = max(peak_bytes, self._memory.get(_memory_key(key), 0))
            self._memory[_memory_key(key)] = largest
            await self._save(_memory_key(key), {"bytes": largest})

    async def _loaded(self) -> EstimateBook:
        if self._book is None:
            entries: dict[str, Mapping[str, Any]] = {}
            try:
                entries = await self._records.load_estimates()
            except GenaiError as error:
                _log.warning("measured times could not be read: %s", error.message)
            for text, value in entries.items():
                size = value.get("bytes")
                if text.startswith(_MEMORY) and isinstance(size, int) and size > 0:
                    self._memory[text] = size
            self._book = EstimateBook({k: v for k, v in entries.items() if not k.startswith(_MEMORY)})
        return self._book

    async def _save(self, text: str, value: Mapping[str, Any]) -> None:
        try:
            await self._records.save_estimate(text, value, self._clock())
        except GenaiError as error:
            _log.warning("a measured time could not be stored: %s", error.message)


def estimate_key(config: ImageGenerationConfig, model: ModelInfo, engine: str) -> EstimateKey:
    """Where a measurement of such a job belongs. engine: label of the build."""
    width, height = aligned_size(config, model)
    return EstimateKey(
        engine=engine.replace("|", "/"),
        model=f"{model.id}:{model.size}".replace("|", "/"),
        width=width,
        height=height,
        steps=config.steps,
        passes=passes_per_step(config.cfg_scale, config.sampler),
    )


def _from_files(key: EstimateKey, model: ModelInfo) -> ImageFootprint:
    """Blocking: reads headers."""
    files: dict[str, Header | int] = {}
    for file in model.files or (ModelFile(model.path, model.size),):
        try:
            files[file.role] = read_model_header(file.path)
        except GenaiError:
            files[file.role] = file.size
    found = diffusion_footprint(files, width=key.width, height=key.height)
    if found.is_estimate:
        return ImageFootprint(found.peak, is_estimate=True)
    return ImageFootprint(found.peak, int((found.peak - found.resident) * _BUFFER_MARGIN))


def _memory_key(key: EstimateKey) -> str:
    return f"{_MEMORY}{key.group}{key.width}x{key.height}"
