"""The models of this computer: import, download, verify, delete."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genai_desktop.core.errors import (
    CancelledError,
    GenaiError,
    InvalidInputError,
    ModelFileError,
    ModelNotFoundError,
    OfflineError,
)
from genai_desktop.core.events import Emitter
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import (
    ComponentRole,
    DownloadConfig,
    FitBadge,
    ModelDetails,
    ModelInfo,
    ModelType,
    VerifyResult,
)
from genai_desktop.library.disk import storage_error
from genai_desktop.library.folders import FolderScan, scan_folder
from genai_desktop.library.hub_address import HubAddress
from genai_desktop.library.identity import checked_name, tidy_name
from genai_desktop.library.inspection import Inspected, inspect_components, inspect_file
from genai_desktop.library.models import ModelShelf
from genai_desktop.library.paths import DataPaths, guide_model
from genai_desktop.library.settings import SettingsStore
from genai_desktop.library.threads import in_thread, to_loop
from genai_desktop.library.transfer import TransferEngine
from genai_desktop.services.builtin_models import GUIDE_ID, BuiltinModels
from genai_desktop.services.download_plan import plan_download
from genai_desktop.services.jobs import JobBoard, JobHandle
from genai_desktop.services.model_check import verify_files
from genai_desktop.services.model_downloads import ModelDownloader, OnComponentStart
from genai_desktop.services.model_fit import FitJudge

_log = logging.getLogger(__name__)
OnProgress = Callable[[Progress], None]


class ModelManager:
    """All models.

    events: "changed"(tuple[ModelInfo]) after every change made here; "import_problems"(tuple of (path,
    sentence)) for what the import of a folder had to leave out.
    """

    def __init__(
        self,
        *,
        shelf: ModelShelf,
        paths: DataPaths,
        settings: SettingsStore,
        transfers: TransferEngine,
        jobs: JobBoard,
        clock: Callable[[], float] = time.time,
        environment: Mapping[str, str] | None = None,
        guide: Path | None = None,
    ) -> None:
        self._shelf = shelf
        self._paths = paths
        self._settings = settings
        self._jobs = jobs
        self._clock = clock
        self._transfers = transfers
        self._hub = HubAddress(environment)
        self._downloader = ModelDownloader(shelf, paths, transfers, clock)
        self._builtin = BuiltinModels(guide or guide_model(), shelf)
        self._fit = FitJudge()
        self._downloads: set[str] = set()
        self.events = Emitter()

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    # looking ------------------------------------------------------------------------------------------------

    async def list_models(self, type: ModelType | None = None) -> tuple[ModelInfo, ...]:
        """All models, the built-in one first; a model whose files are gone is listed with missing=True."""
        stored = await self._shelf.list()
        everything = await self._builtin.merged(stored)
        return tuple(model for model in everything if type in (None, model.type))

    async def get_model_info(self, model_id: str) -> ModelInfo:
        """Raises ModelNotFoundError."""
        if model_id == GUIDE_ID:
            for model in await self.list_models():
                if model.id == GUIDE_ID:
                    return model
        return await self._shelf.get(model_id)

    async def details(
        self,
        model_id: str,
        *,
        n_ctx: int = 0,
        cache_type: str = "f16",
        free_ram: int = 0,
        free_vram: tuple[int, ...] = (),
    ) -> ModelDetails:
        """Metadata, footprint and fit. n_ctx 0: what suits; cache_type empty: chosen to fit; memory in bytes.

        A file that cannot be read is told in `problems`; raises only ModelNotFoundError.
        """
        model = await self.get_model_info(model_id)
        return await self._fit.details(
            model, n_ctx=n_ctx, cache_type=cache_type, free_ram=free_ram, free_vram=free_vram
        )

    async def fit_badge(
        self, model: ModelInfo, *, free_ram: int = 0, free_vram: tuple[int, ...] = ()
    ) -> FitBadge:
        """Will it run in the memory that is free?"""
        return await self._fit.badge(model, free_ram=free_ram, free_vram=free_vram)

    # importing ----------------------------------------------------------------------------------------------

    async def import_model(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        type: ModelType | None = None,
        components: Mapping[str, str | Path] | None = None,
    ) -> ModelInfo:
        """Put a model on the shelf where it lies; nothing is copied.

        path: a GGUF or safetensors file, any part of a split one, or a folder (all models in it; the first is
        returned). components: files by role for an image model of several files; `path` is then its diffusion
        model. Importing the same files again renews the record. Raises ModelNotFoundError, ModelFileError
        (what is wrong with which file), InvalidInputError, StorageError.
        """
        place = _absolute(path)
        wanted = None if name is None else checked_name(name)
        if components:
            if type == "llm":
                raise InvalidInputError("Only image models have components.", remedy="Leave the type out.")
            parts = {role: _absolute(part) for role, part in components.items()}
            parts.setdefault(ComponentRole.DIFFUSION_MODEL, place)
            inspected = await asyncio.to_thread(inspect_components, parts)
        elif await asyncio.to_thread(place.is_dir):
            found = await self.import_folder(place)
            if wanted is not None and len(found) == 1:
                return await self.rename_model(found[0].id, wanted)
            return found[0]
        else:
            inspected = await asyncio.to_thread(lambda: inspect_file(place, type=type))
        model = await self._put(inspected, wanted)
        await self._announce()
        return model

    async def import_folder(self, path: str | Path) -> tuple[ModelInfo, ...]:
        """Import every model below a folder, whatever its layout; runs as a job.

        What cannot be used is told by the event "import_problems". Raises ModelFileError when there was
        nothing to import, ModelNotFoundError, StorageError.
        """
        place = _absolute(path)

        async def work(handle: JobHandle) -> tuple[ModelInfo, ...]:
            scan = await self._scan(place, handle)
            models = [await self._put(inspected, None) for inspected in scan.models]
            for skipped, reason in scan.skipped:
                _log.warning("not imported: %s: %s", skipped, reason)
            if scan.skipped:
                self.events.emit("import_problems", tuple(scan.skipped))
            if not models:
                raise _nothing_found(place, scan)
            return tuple(models)

        found = await self._jobs.run("import", f"Import {place.name}", work)
        await self._announce()
        return found

    async def _scan(self, place: Path, handle: JobHandle) -> FolderScan:
        stop = threading.Event()
        report = to_loop(handle.report)

        def on_file(number: int) -> None:
            if stop.is_set():
                raise CancelledError("The import was stopped.")
            report(Progress(number, None, "files", "reading"))

        return await in_thread(lambda: scan_folder(place, on_file), stop=stop.set, name="scan folder")

    async def _put(self, inspected: Inspected, name: str | None) -> ModelInfo:
        info = inspected.info
        identity = "\n".join(f"{file.role}={file.path}" for file in info.files)
        model = replace(info, name=name or tidy_name(info.name), source="import", added_at=self._clock())
        try:
            return await self._shelf.add(model, f"file:{identity}", keep_name=name is None)
        except UnicodeEncodeError as error:
            raise ModelFileError(
                f"The name of the file {info.path!r} is not valid text.", remedy="Rename the file first."
            ) from error

    # changing -----------------------------------------------------------------------------------------------

    async def rename_model(self, model_id: str, name: str) -> ModelInfo:
        """Only the name people see; id and files stay. Raises ModelNotFoundError, InvalidInputError."""
        self._builtin.refuse(model_id, "renamed")
        model = await self._shelf.rename(model_id, checked_name(name))
        await self._announce()
        return model

    async def touch(self, model_id: str) -> None:
        """Note that it is being used now."""
        if model_id == GUIDE_ID:
            await self._builtin.touch(self._clock())
        else:
            await self._shelf.touch(model_id, self._clock())
        await self._announce()

    async def delete_model(self, model_id: str, *, delete_files: bool = False) -> int:
        """Remove a model; bytes freed.

        What was downloaded is deleted, unless another model uses it; what was imported in place stays on the
        disk, unless delete_files. Raises ModelNotFoundError, InvalidInputError (it is built in), StorageError
        (a file cannot be deleted).
        """
        self._builtin.refuse(model_id, "deleted")
        removed = await self._shelf.remove(model_id)
        doomed = list(removed.orphans)
        if delete_files:
            for file in removed.model.files:
                if file not in doomed and not await self._shelf.users_of(file.path):
                    doomed.append(file)
        try:
            return await asyncio.to_thread(_delete, [Path(file.path) for file in doomed], self._paths)
        finally:
            await self._announce()

    # verifying ----------------------------------------------------------------------------------------------

    async def verify_model(
        self, model_id: str, on_progress: OnProgress | None = None, *, record: bool = False
    ) -> VerifyResult:
        """Compare every file with its digest; runs as a job and can be cancelled.

        "unverifiable" where no digest is known; record=True then stores the one found, for the next time.
        Size and header are checked in any case. Raises ModelNotFoundError when a file is gone.
        """
        model = await self.get_model_info(model_id)

        async def work(handle: JobHandle) -> VerifyResult:
            def report(progress: Progress) -> None:
                handle.report(progress)
                if on_progress is not None:
                    on_progress(progress)

            result, found = await verify_files(model, report, record=record)
            for file in found:
                await self._shelf.set_digest(model_id, file)
            return result

        return await self._jobs.run("verify", f"Verify {model.name}", work)

    # downloading --------------------------------------------------------------------------------------------

    async def download_model(
        self,
        config: DownloadConfig,
        on_progress: OnProgress | None = None,
        *,
        on_component_start: OnComponentStart | None = None,
    ) -> ModelInfo:
        """Download a model with all its files; runs as a job. The model is listed when all of it is there.

        Stopped or failed, it can be asked for again and goes on where it was. on_component_start(role, file
        name, number from 1, count). Raises OfflineError, InvalidInputError, DownloadError, ChecksumError,
        ModelFileError, StorageError, BusyError; the message names the file when there are several.
        """
        if self._settings.current.offline:
            raise OfflineError(
                "The offline switch is on: nothing is downloaded.", remedy="Turn it off in the settings."
            )
        plan = plan_download(config, self._hub)

        async def work(handle: JobHandle) -> ModelInfo:
            def report(progress: Progress) -> None:
                handle.report(progress)
                if on_progress is not None:
                    on_progress(progress)

            self._downloads.add(handle.id)
            try:
                start = on_component_start or (lambda *_: None)
                return await self._downloader.download(plan, config.type, report, start)
            finally:
                self._downloads.discard(handle.id)

        model = await self._jobs.run("download", f"Download {plan.name}", work)
        await self._announce()
        return model

    def cancel_download(self, job_id: str | None = None) -> bool:
        """Stop one download, or all of them; False when there was none. What has arrived is kept."""
        chosen = [job_id] if job_id is not None else list(self._downloads)
        return any([self._jobs.cancel(one) for one in chosen if one in self._downloads])  # noqa: C419 - all of them

    async def discard_unfinished_downloads(self) -> int:
        """Delete what stopped and failed downloads left, not what running ones hold; bytes freed."""
        return await self._downloader.discard_unfinished()

    async def _announce(self) -> None:
        self.events.emit("changed", await self.list_models())


def _absolute(path: str | Path) -> Path:
    """Absolute, symbolic links kept: they are the names people gave."""
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InvalidInputError(f"{text!r} is not a path.", remedy="Give the path of a file or folder.")
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 - resolve() would follow links


def _nothing_found(place: Path, scan: FolderScan) -> GenaiError:
    if not place.exists():
        return ModelNotFoundError(f"There is no folder {place}.", remedy="Check the path.")
    if scan.skipped:
        path, reason = scan.skipped[0]
        more = f" ({len(scan.skipped) - 1} more were left out.)" if len(scan.skipped) > 1 else ""
        return ModelFileError(
            f"No model in '{place.name}' can be used. {Path(path).name}: {reason}{more}",
            remedy="Choose a folder with GGUF or safetensors models.",
        )
    return ModelFileError(
        f"There is no model in '{place}'.", remedy="Models are files that end in .gguf or .safetensors."
    )


def _delete(paths: list[Path], data: DataPaths) -> int:
    freed = 0
    for path in paths:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise storage_error(error, "delete", path) from error
        freed += size
    for folder in {path.parent for path in paths}:
        if folder.is_relative_to(data.models) and folder not in (data.models, data.llm, data.diffusion):
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()
    return freed
