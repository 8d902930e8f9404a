"""Downloading a whole model: file by file, progress added up, and a record only when all of it is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genai_desktop.core.errors import BusyError, GenaiError, ModelFileError
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import ModelInfo, ModelType
from genai_desktop.library.atomic import write_atomic
from genai_desktop.library.disk import storage_error
from genai_desktop.library.identity import model_id
from genai_desktop.library.inspection import inspect_components, inspect_file
from genai_desktop.library.locks import FileLock
from genai_desktop.library.models import ModelShelf
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.transfer import RemoteFile, TransferEngine, TransferRequest
from genai_desktop.services.download_plan import DownloadPlan, Source

RECEIPT = "download.json"  # what is complete of a model that is not, beside its files
_RESOLVED_AT_ONCE = 4
OnProgress = Callable[[Progress], None]
OnComponentStart = Callable[[str, str, int, int], None]  # role, file name, number from 1, count


@dataclass(frozen=True)
class _Arrived:
    """One file that is where it belongs. is_ours: we downloaded it (now or earlier)."""

    source: Source
    path: Path
    sha256: str
    is_ours: bool
    facts: dict[str, Any]


class ModelDownloader:
    """Turns a plan into a model on the shelf."""

    def __init__(
        self,
        shelf: ModelShelf,
        paths: DataPaths,
        transfers: TransferEngine,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shelf = shelf
        self._paths = paths
        self._transfers = transfers
        self._clock = clock

    async def download(
        self, plan: DownloadPlan, type: ModelType, on_progress: OnProgress, on_start: OnComponentStart
    ) -> ModelInfo:
        """The stored model. What is on the shelf already is not fetched again.

        Raises what transfers raise (the message names the file when there are several), ModelFileError for
        files that are no usable model, BusyError when the same one is being downloaded elsewhere.
        """
        on_progress(Progress(phase="resolving"))
        remotes = await self._resolve(plan)
        existing = await self._existing(plan, remotes)
        if existing is not None:
            return existing
        shelf_folder = self._paths.llm if type == "llm" else self._paths.diffusion
        folder = shelf_folder / await self._folder(plan, remotes)
        await asyncio.to_thread(_make_folder, folder)
        lock = FileLock(folder / ".lock", timeout=0.5, what=f"The download of '{plan.name}'")
        try:
            async with lock.held():
                arrived = await self._fetch_all(plan, remotes, folder, on_progress, on_start)
                model = await self._store(plan, type, arrived)
                await asyncio.to_thread(_tidy, folder, {file.path for file in model.files})
        finally:
            await asyncio.to_thread(_remove_if_empty, folder)
        return model

    async def discard_unfinished(self) -> int:
        """Delete what failed and stopped downloads have left, unless one is under way; bytes freed."""
        used = {str(Path(f.path).parent) for model in await self._shelf.list() for f in model.files}
        return await asyncio.to_thread(_discard_unfinished, (self._paths.llm, self._paths.diffusion), used)

    # before the bytes --------------------------------------------------------------------------------------

    async def _resolve(self, plan: DownloadPlan) -> list[RemoteFile]:
        """Sizes and digests of all files first: the total is known, and no set with a gap is begun."""

        gate = asyncio.Semaphore(_RESOLVED_AT_ONCE)

        async def one(source: Source) -> RemoteFile:
            request = TransferRequest(
                source.url, Path(source.file_name), source.sha256, headers=source.headers, check=source.check
            )
            async with gate:
                with _named(source, plan):
                    return await self._transfers.resolve(request)

        tasks = [asyncio.create_task(one(source)) for source in plan.sources]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _existing(self, plan: DownloadPlan, remotes: list[RemoteFile]) -> ModelInfo | None:
        """The model on the shelf that is made of these very bytes."""
        digests = [s.sha256 or r.sha256 for s, r in zip(plan.sources, remotes, strict=True)]
        if None in digests:
            return None
        wanted = sorted(zip((s.role for s in plan.sources), map(str, digests), strict=True))
        for model in await self._shelf.list():
            if not model.missing and sorted((f.role, f.sha256 or "") for f in model.files) == wanted:
                return model
        return None

    async def _folder(self, plan: DownloadPlan, remotes: list[RemoteFile]) -> str:
        """A folder name that is the same at the next attempt, and of no other model.

        Should an earlier revision of the same files be on the shelf, the new one gets a folder of its own.
        """
        name = model_id(plan.name, plan.identity)
        present = [model for model in await self._shelf.list() if not model.missing]
        taken = {Path(file.path).parent.name for model in present for file in model.files}
        if name not in taken:
            return name
        content = "\n".join(r.sha256 or r.commit or r.etag or str(r.size) for r in remotes)
        return model_id(plan.name, f"{plan.identity}\n{content}")

    # the bytes ----------------------------------------------------------------------------------------------

    async def _fetch_all(
        self,
        plan: DownloadPlan,
        remotes: list[RemoteFile],
        folder: Path,
        on_progress: OnProgress,
        on_start: OnComponentStart,
    ) -> list[_Arrived]:
        sizes = [remote.size for remote in remotes]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        arrived: list[_Arrived] = []
        before = 0
        for number, (source, remote) in enumerate(zip(plan.sources, remotes, strict=True), 1):
            on_start(source.role, source.file_name, number, len(plan.sources))
            report = _added_up(on_progress, before, total, source, plan)
            with _named(source, plan):
                one = await self._fetch(source, remote, folder, report)
            arrived.append(one)
            before += one.facts["size"]
        return arrived

    async def _fetch(self, source: Source, remote: RemoteFile, folder: Path, report: OnProgress) -> _Arrived:
        digest = source.sha256 or remote.sha256
        shared = await self._shelf.file_with_digest(digest) if digest else None
        if shared is not None and shared.sha256:  # stored once, however many models use it
            return _Arrived(
                source, Path(shared.path), shared.sha256, False, _facts(source, remote, shared.size)
            )
        dest = folder / source.file_name
        kept = await asyncio.to_thread(_receipt_of, dest, source, remote)
        if kept is not None:
            return _Arrived(source, dest, kept["sha256"], is_ours=True, facts=kept)
        request = TransferRequest(
            source.url, dest, digest, remote.size, headers=source.headers, check=source.check
        )
        result = await self._transfers.fetch(request, report, remote=remote)
        facts = {**_facts(source, remote, result.size), "sha256": result.sha256, "etag": result.etag}
        await asyncio.to_thread(_add_receipt, folder, source.file_name, facts)
        return _Arrived(source, dest, result.sha256, is_ours=True, facts=facts)

    # after the bytes ----------------------------------------------------------------------------------------

    async def _store(self, plan: DownloadPlan, type: ModelType, arrived: list[_Arrived]) -> ModelInfo:
        if plan.has_components:
            components = {one.source.role: one.path for one in arrived}
            inspected = await asyncio.to_thread(inspect_components, components)
        else:
            try:
                inspected = await asyncio.to_thread(lambda: inspect_file(arrived[0].path, type=type))
            except ModelFileError:
                # complete, and still no model: the same bytes would come again
                await asyncio.to_thread(_discard, [one.path for one in arrived if one.is_ours])
                raise
        digests = {str(one.path): one.sha256 for one in arrived}
        info = inspected.info
        model = replace(
            info,
            name=plan.name,
            files=tuple(replace(f, sha256=digests.get(f.path)) for f in info.files),
            source="huggingface" if plan.is_hub else "url",
            origin=plan.origin,
            added_at=self._clock(),
        )
        return await self._shelf.add(
            model,
            plan.identity,
            owned=[str(one.path) for one in arrived if one.is_ours],
            provenance={str(one.path): one.facts for one in arrived},
        )


def _facts(source: Source, remote: RemoteFile, size: int) -> dict[str, Any]:
    """Where a file comes from, for its record."""
    return {"origin": source.origin, "commit": remote.commit, "etag": remote.etag, "size": size}


def _added_up(
    on_progress: OnProgress, before: int, total: int | None, source: Source, plan: DownloadPlan
) -> OnProgress:
    """Progress of one file as progress of all of them."""
    component = (source.role or source.file_name) if len(plan.sources) > 1 else ""

    def report(progress: Progress) -> None:
        done = before + progress.done
        is_verifying = progress.phase in ("verifying", "done")
        if is_verifying:
            done = before + (progress.total or 0)
        eta = progress.eta
        if total is not None and progress.speed:
            eta = max(0.0, (total - done) / progress.speed)
        on_progress(replace(progress, done=done, total=total, eta=eta, component=component))

    return report


@contextlib.contextmanager
def _named(source: Source, plan: DownloadPlan) -> Any:
    """With several files, an error says which one it was."""
    try:
        yield
    except GenaiError as error:
        if len(plan.sources) > 1 and "component" not in error.details:
            error.details["component"] = source.role or source.file_name
            error.message = f"{source.title}: {error.message}"
            error.args = (error.message,)
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, "create the folder", folder) from error


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()  # if nothing came of it, nothing stays


def _tidy(folder: Path, used: set[str]) -> None:
    """After success: what earlier attempts completed and this model does not use, and the receipt."""
    for name in _read_receipt(folder):
        path = folder / Path(name).name
        if str(path) not in used:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    _remove_receipt(folder)


def _remove_receipt(folder: Path) -> None:
    with contextlib.suppress(OSError):
        (folder / RECEIPT).unlink(missing_ok=True)


def _discard(paths: list[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        _remove_receipt(folder)


def _read_receipt(folder: Path) -> dict[str, Any]:
    try:
        raw = json.loads((folder / RECEIPT).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _receipt_of(dest: Path, source: Source, remote: RemoteFile) -> dict[str, Any] | None:
    """What we noted about a file that an earlier attempt completed, if it is still what the server offers.

    A file without a receipt, or of another revision, makes way: it is in a folder of ours and in no record.
    """
    facts = _read_receipt(dest.parent).get(dest.name)
    try:
        size = dest.stat().st_size
    except OSError:
        return None
    if isinstance(facts, dict) and facts.get("size") == size and isinstance(facts.get("sha256"), str):
        digest = source.sha256 or remote.sha256
        is_same_version = remote.size == size and bool(remote.etag) and facts.get("etag") == remote.etag
        if facts["sha256"] == digest if digest else is_same_version:
            return facts
    try:
        dest.unlink()
    except OSError as error:
        raise storage_error(error, "replace", dest) from error
    return None


def _add_receipt(folder: Path, name: str, facts: dict[str, Any]) -> None:
    data = json.dumps({**_read_receipt(folder), name: facts}, ensure_ascii=False, indent=1)
    write_atomic(folder / RECEIPT, data.encode("utf-8", "replace"), doing="note the download in")


def _discard_unfinished(shelves: tuple[Path, ...], used: set[str]) -> int:
    freed = 0
    for folder in (folder for shelf in shelves if shelf.is_dir() for folder in shelf.iterdir()):
        if str(folder) in used or not folder.is_dir() or not _is_unfinished(folder):
            continue
        try:
            with FileLock(folder / ".lock", timeout=0, what=f"The download into '{folder.name}'"):
                for path in folder.iterdir():
                    size = path.lstat().st_size
                    path.unlink()
                    freed += size
        except BusyError:
            continue
        except OSError as error:
            raise storage_error(error, "delete", folder) from error
        _remove_if_empty(folder)
    return freed


def _is_unfinished(folder: Path) -> bool:
    """Made by a download that did not come to its end: nothing else is touched."""
    return (
        (folder / RECEIPT).exists()
        or any(folder.glob("*.part"))
        or any(folder.glob(".*.part"))
        or any(folder.glob("*.part.bad"))
    )
