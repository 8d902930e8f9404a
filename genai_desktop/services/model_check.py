"""Is every file of a model what it was?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from genai_desktop.core.errors import ModelFileError, ModelNotFoundError
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import ModelFile, ModelInfo, VerifyOutcome, VerifyResult
from genai_desktop.library.digest import sha256_of
from genai_desktop.library.headers import read_header_file
from genai_desktop.library.inspection import model_file
from genai_desktop.library.threads import to_loop
from genai_desktop.library.transfer.meter import Meter

_PROGRESS_SECONDS = 0.1


async def verify_files(
    model: ModelInfo, on_progress: Callable[[Progress], None], *, record: bool
) -> tuple[VerifyResult, tuple[ModelFile, ...]]:
    """The result, and files whose digest was learnt (record=True) or whose time of change was refreshed.

    Raises ModelNotFoundError when a file is gone, StorageError when it cannot be read.
    """
    now = {file.path: await asyncio.to_thread(model_file, Path(file.path)) for file in model.files}
    counter = _Counter(on_progress, sum(f.size for f in model.files if f.sha256 or record))
    outcomes: list[tuple[str, VerifyOutcome]] = []
    learnt: list[ModelFile] = []
    for file in model.files:
        found = now[file.path]
        outcome: VerifyOutcome = "unverifiable"
        if found.size != file.size or not await asyncio.to_thread(_has_sound_header, file.path):
            outcome = "mismatch"
        elif file.sha256 or record:
            digest = await sha256_of(Path(file.path), counter.for_file(file))
            if file.sha256:
                outcome = "ok" if digest == file.sha256 else "mismatch"
            if outcome != "mismatch" and (file.sha256 is None or file.mtime != found.mtime):
                learnt.append(replace(file, sha256=digest, mtime=found.mtime))
        outcomes.append((file.path, outcome))
        counter.finish(file)
    kinds = {outcome for _, outcome in outcomes}
    overall: VerifyOutcome = "ok"
    if "mismatch" in kinds:
        overall = "mismatch"
    elif "unverifiable" in kinds:
        overall = "unverifiable"
    return VerifyResult(overall, tuple(outcomes)), tuple(learnt)


def _has_sound_header(path: str) -> bool:
    """A file cut short or overwritten shows without a digest, too."""
    try:
        read_header_file(path)
    except ModelNotFoundError:
        raise
    except ModelFileError:
        return False
    return True


class _Counter:
    """Adds up bytes over files; reports to the loop at most ten times a second."""

    def __init__(self, on_progress: Callable[[Progress], None], total: int) -> None:
        self._report = to_loop(on_progress)
        self._total = total
        self._before = 0
        self._last = 0.0
        self._meter = Meter(time.monotonic(), 0)

    def for_file(self, file: ModelFile) -> Callable[[int], None]:
        def on_bytes(done: int) -> None:
            now = time.monotonic()
            if now - self._last >= _PROGRESS_SECONDS or done == file.size:
                self._last = now
                self._report(self._meter.progress(now, self._before + done, self._total, "verifying"))

        return on_bytes

    def finish(self, file: ModelFile) -> None:
        self._before += file.size
