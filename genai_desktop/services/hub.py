"""The model hub: search, the files of a repository, and whether a model fits before it is fetched."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from genai_desktop.core.errors import (
    DownloadError,
    InvalidInputError,
    ModelFileError,
    ModelNotFoundError,
    OfflineError,
)
from genai_desktop.core.gguf import merge_shards, shard_names
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.hub import FitReport, HubModel, HubRepo, HubSearch, fit_by_size
from genai_desktop.core.models import ModelType
from genai_desktop.core.placement import Machine, Wishes
from genai_desktop.library.hub import SORTS, HubClient, HubSort
from genai_desktop.library.hub_header import RemoteHeader, read_remote_header
from genai_desktop.library.transfer.web import without_query
from genai_desktop.services.hub_fit import Known, check_wishes, judge, read_local, read_path
from genai_desktop.services.model_manager import ModelManager
from genai_desktop.services.system_info import SystemInfo

CACHE_SECONDS: Final = 300.0
HEADER_SECONDS: Final = 120.0  # for all headers of one model
_KEPT: Final = 128
_SIDE_BY_SIDE: Final = 4
_REPO_FILE: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+):(?P<file>.+)", re.DOTALL)

T = TypeVar("T")
ReadHeader = Callable[[str, Mapping[str, str]], Awaitable[RemoteHeader]]


class HubService:
    """Answers are kept for five minutes; what fits is computed anew from the memory free at the moment.

    held: bytes of RAM and of VRAM per GPU our own language model would give back. Nothing is asked while
    is_offline() (OfflineError), and nothing is answered from the cache then either.
    """

    def __init__(
        self,
        *,
        models: ModelManager,
        system: SystemInfo,
        is_offline: Callable[[], bool],
        held: Callable[[], tuple[int, tuple[int, ...]]] = lambda: (0, ()),
        client: HubClient | None = None,
        read_header: ReadHeader = read_remote_header,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._system = system
        self._is_offline = is_offline
        self._held = held
        self._client = client or HubClient()
        self._read_header = read_header
        self._clock = clock
        self._cache: OrderedDict[object, tuple[float, Any]] = OrderedDict()

    async def search(
        self, text: str, type: ModelType | None = None, *, limit: int = 20, sort: HubSort = "downloads"
    ) -> HubSearch:
        """Repositories with models this program can use, the best of `sort` first; type None: both kinds.

        Raises OfflineError, DownloadError (not reachable, refused), InvalidInputError.
        """
        if sort not in SORTS:
            raise InvalidInputError(f"There is no order {sort!r}.", remedy=f"Orders are: {', '.join(SORTS)}.")
        self._refuse_offline()
        kinds: tuple[ModelType, ...] = ("llm", "diffusion") if type is None else (type,)
        answers = await _together([self._found(text, kind, limit, sort) for kind in kinds])
        if len(answers) == 1:
            return HubSearch(text, type, answers[0])
        return HubSearch(text, type, _merged(answers, sort)[:limit])

    async def files(self, repo: str, revision: str = "main") -> HubRepo:
        """The files of a repository, with a first answer for each whether it fits (by its size).

        Raises as search, and NotFoundError.
        """
        self._refuse_offline()
        found = await self._kept(("files", repo, revision), lambda: self._client.repository(repo, revision))
        machine = await self._machine()
        return replace(
            found, files=tuple(replace(file, fit=fit_by_size(file, machine)) for file in found.files)
        )

    async def fit(self, target: str, wishes: Wishes | None = None) -> FitReport:
        """Does a model fit now, exactly? target: an id of the shelf, a path, REPO:FILE on the hub, or an
        address. Of what is not here only the header is read.

        Raises ModelNotFoundError, ModelFileError, StorageError, InvalidInputError, DownloadError,
        OfflineError.
        """
        wishes = wishes or Wishes()
        check_wishes(wishes)
        known = await self._read(target)
        machine = await self._machine()
        return await asyncio.to_thread(judge, known, machine, wishes)

    # reading ------------------------------------------------------------------------------------------------

    async def _read(self, target: str) -> Known:
        if target.lower().startswith(("http://", "https://")):
            return await self._remote(target)
        try:
            return await asyncio.to_thread(read_local, await self._models.get_model_info(target))
        except ModelNotFoundError:
            if any(model.id == target for model in await self._models.list_models()):
                raise  # it is on the shelf, its file is gone
        here = await asyncio.to_thread(_existing, target)
        if here is not None:
            return await asyncio.to_thread(read_path, here)
        found = _REPO_FILE.fullmatch(target)
        if found is None:
            raise ModelNotFoundError(
                f"{target!r} is no model on the shelf, no file, and neither REPO:FILE nor an address.",
                remedy="See 'models list' for what is here, or write owner/name:file.gguf.",
            )
        return await self._remote(self._client.address.file_url(found["repo"], found["file"], "main"))

    async def _remote(self, url: str) -> Known:
        """The header of a file elsewhere, of all its parts when it is a split one."""
        self._refuse_offline()
        key = ("header", without_query(url))
        return await self._kept(key, lambda: self._fetch(url))

    async def _fetch(self, url: str) -> Known:
        gate = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def one(address: str) -> RemoteHeader:
            async with gate:
                return await self._read_header(address, self._client.address.headers(address))

        try:
            async with asyncio.timeout(HEADER_SECONDS):
                parts = await _together([one(address) for address in _part_urls(url)])
        except TimeoutError as error:
            raise DownloadError(
                f"The header did not arrive within {HEADER_SECONDS:.0f} seconds.",
                remedy="Try again when the network is faster.",
            ) from error
        cost = sum(part.bytes_read for part in parts)
        if len(parts) == 1:
            return Known({"": parts[0].header}, cost)
        headers = [part.header for part in parts if isinstance(part.header, GgufHeader)]
        if len(headers) != len(parts):
            raise ModelFileError(
                "A part of the model is not a GGUF file.", remedy="Choose another source of the same model."
            )
        return Known({"": merge_shards(headers)}, cost)

    # inside -------------------------------------------------------------------------------------------------

    async def _found(self, text: str, type: ModelType, limit: int, sort: HubSort) -> tuple[HubModel, ...]:
        key = ("search", " ".join(text.lower().split()), type, limit, sort)
        return await self._kept(key, lambda: self._client.search(text, type, limit=limit, sort=sort))

    async def _kept(self, key: tuple[object, ...], ask: Callable[[], Awaitable[T]]) -> T:
        full = (*self._client.identity, *key)
        kept = self._cache.get(full)
        if kept is not None and self._clock() - kept[0] < CACHE_SECONDS:
            value: T = kept[1]
            return value
        value = await ask()
        self._cache[full] = (self._clock(), value)
        self._cache.move_to_end(full)
        while len(self._cache) > _KEPT:
            self._cache.popitem(last=False)
        return value

    async def _machine(self) -> Machine:
        free = await self._system.free_memory()
        ours_ram, ours_vram = self._held()
        vram = tuple(int(v) + (ours_vram[i] if i < len(ours_vram) else 0) for i, v in enumerate(free["vram"]))
        gpus = [gpu for gpu in (await self._system.detect()).gpus if gpu.backends]
        is_unified = bool(gpus) and all(gpu.is_unified for gpu in gpus)
        return Machine(int(free["ram"]) + ours_ram, vram, is_unified)

    def _refuse_offline(self) -> None:
        if self._is_offline():
            raise OfflineError(
                "The offline switch is on: no model hub and no other server is asked.",
                remedy="Turn it off in the settings (or leave --offline out).",
            )


def _existing(target: str) -> Path | None:
    if not target:
        return None
    try:
        path = Path(target).expanduser().absolute()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, no such user: no path
        return None


def _merged(answers: list[tuple[HubModel, ...]], sort: HubSort) -> tuple[HubModel, ...]:
    """Both kinds in one list. The hub tells no number for some orders: then alternately."""
    names = {"downloads": "downloads", "likes": "likes", "last_modified": "last_modified"}
    if sort in names:
        everything = [model for answer in answers for model in answer]
        return tuple(sorted(everything, key=lambda m: getattr(m, names[sort]) or 0, reverse=True))
    longest = max(len(answer) for answer in answers)
    return tuple(answer[i] for i in range(longest) for answer in answers if i < len(answer))


def _part_urls(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    folder, _, last = parts.path.rpartition("/")
    names = shard_names(unquote(last))
    if len(names) == 1:
        return (url,)
    return tuple(
        urlunsplit((parts.scheme, parts.netloc, f"{folder}/{quote(name, safe='')}", parts.query, ""))
        for name in names
    )


async def _together(work: list[Any]) -> list[Any]:
    """All results; when one fails the others are stopped before its error goes on."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
