"""The model the program carries: listed like any other, always there, and not for deleting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genai_desktop.core.errors import GenaiError, InvalidInputError
from genai_desktop.core.models import ModelInfo
from genai_desktop.library.inspection import inspect_file
from genai_desktop.library.models import ModelShelf

_log = logging.getLogger(__name__)
GUIDE_ID = "guide"
GUIDE_NAME = "Guide (demo)"


class BuiltinModels:
    """Read from the program's own files at each start; only the last use is kept on the shelf."""

    def __init__(self, guide: Path, shelf: ModelShelf) -> None:
        self._path = guide
        self._shelf = shelf
        self._guide: ModelInfo | None = None
        self._is_read = False

    async def merged(self, stored: Sequence[ModelInfo]) -> list[ModelInfo]:
        """The built-in model first, then the others."""
        guide = await self._read()
        others = [model for model in stored if model.id != GUIDE_ID]
        if guide is None:
            return others
        used = next((model.last_used_at for model in stored if model.id == GUIDE_ID), None)
        return [replace(guide, last_used_at=used), *others]

    async def touch(self, when: float) -> None:
        guide = await self._read()
        if guide is not None:
            await self._shelf.put_fixed(replace(guide, last_used_at=when))

    def refuse(self, model_id: str, done: str) -> None:
        """Raises InvalidInputError for the built-in model."""
        if model_id == GUIDE_ID:
            raise InvalidInputError(f"The built-in model comes with the program and cannot be {done}.")

    async def _read(self) -> ModelInfo | None:
        if not self._is_read:
            try:
                inspected = await asyncio.to_thread(inspect_file, self._path)
            except GenaiError as error:
                _log.warning("the built-in model cannot be used: %s", error.message)
            else:
                self._guide = replace(inspected.info, id=GUIDE_ID, name=GUIDE_NAME, source="builtin")
            self._is_read = True
        return self._guide
