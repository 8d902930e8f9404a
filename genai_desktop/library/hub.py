"""Searching a model hub and listing its repositories: metadata through huggingface_hub, in a worker thread.

Bytes are never fetched with that package; transfers are library.transfer's, headers library.hub_header's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from genai_desktop.core.errors import (
    DownloadError,
    GenaiError,
    InvalidInputError,
    NotFoundError,
    OfflineError,
)
from genai_desktop.core.hub import HubModel, HubPart, HubRepo, group_files
from genai_desktop.core.models import ModelType
from genai_desktop.library.hub_address import HubAddress
from genai_desktop.library.threads import in_thread
from genai_desktop.library.transfer.web import Stop

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub import ModelInfo as HubInfo

    from genai_desktop.library.hub_transport import HubPolicy

T = TypeVar("T")
HubSort = Literal["downloads", "likes", "last_modified", "created_at", "trending_score"]
SORTS: Final[tuple[HubSort, ...]] = ("downloads", "likes", "last_modified", "created_at", "trending_score")
MAX_RESULTS: Final = 200
_PAGE: Final = 100
_IMAGES: Final = "text-to-image"
_FIELDS: Final = ("downloads", "likes", "gated", "lastModified", "tags", "pipeline_tag", "gguf")
_GATED: Final = "Open its page in a browser, accept the terms, then set HF_TOKEN to a token of your account."


class HubClient:
    """One question at a time and thread; nothing is kept between them.

    environment: HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are read each time. All methods raise NotFoundError
    (no such repository or revision, or it is private), DownloadError (gated, refused, not reachable),
    InvalidInputError, OfflineError. A cancelled call ends its connection at once.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, *, policy: HubPolicy | None = None
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self.address = HubAddress(self._environment)
        self._policy = policy

    @property
    def identity(self) -> tuple[str, str]:
        """What an answer depends on beside the question: the endpoint, and a fingerprint of the token."""
        return self.address.endpoint, str(hash(self._token))

    @property
    def _token(self) -> str:
        return self.address.headers(self.address.endpoint).get("Authorization", "").removeprefix("Bearer ")

    async def search(
        self, text: str, type: ModelType, *, limit: int = 20, sort: HubSort = "downloads"
    ) -> tuple[HubModel, ...]:
        """Repositories whose name matches, the best of `sort` first: those with GGUF files for "llm", those
        that paint pictures for "diffusion".
        """
        limit = max(1, min(limit, MAX_RESULTS))
        asked: dict[str, Any] = {"filter": "gguf"} if type == "llm" else {"pipeline_tag": _IMAGES}
        asked |= {"search": text.strip() or None, "sort": sort, "expand": list(_FIELDS)}

        def ask(api: HfApi) -> tuple[HubModel, ...]:
            # image models may come as GGUF too, and the hub cannot be asked to leave them out
            most = min(_PAGE, limit * 2 if type == "llm" else limit) if limit <= _PAGE else 2 * limit
            found: list[HubModel] = []
            for info in api.list_models(limit=most, **asked):
                is_kind = type == "diffusion" or info.pipeline_tag != _IMAGES
                if is_kind and self._is_name(info.id):
                    found.append(_model(info, type))
                if len(found) == limit:
                    break
            return tuple(found)

        return await self._ask(ask, "")

    async def repository(self, repo: str, revision: str = "main") -> HubRepo:
        """All usable files of a repository with sizes and digests."""
        self.address.file_url(repo, "any", revision)  # refuses what is no name

        def ask(api: HfApi) -> HubRepo:
            info = api.model_info(repo, revision=revision, files_metadata=True)
            return _repository(info, repo, revision, lambda name: self._is_name(repo, name))

        return await self._ask(ask, repo)

    def _is_name(self, repo: str, file: str = "any") -> bool:
        """Whether these can be shown and fetched: a hub may tell us anything."""
        with suppress(InvalidInputError):
            return file.isprintable() and bool(self.address.file_url(repo, file, "main"))
        return False

    async def _ask(self, question: Callable[[HfApi], T], repo: str) -> T:
        if self._environment.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"):
            raise OfflineError(
                "HF_HUB_OFFLINE is set: the hub is not asked.", remedy="Unset it to search the hub."
            )
        stop = Stop()
        endpoint, token = self.address.endpoint, self._token

        def work() -> T:
            # read when the package is imported; with it, every header it builds may ask the public hub
            os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
            from genai_desktop.library.hub_transport import HubPolicy, hub_api

            with (
                _explained(endpoint, repo),
                hub_api(endpoint, token, stop, self._policy or HubPolicy()) as api,
            ):
                return question(api)

        try:
            return await asyncio.wait_for(in_thread(work, stop=stop.set, name="hub"), self._total)
        except TimeoutError as error:
            raise _unreachable(endpoint, "it did not answer in time") from error

    @property
    def _total(self) -> float:
        return 30.0 if self._policy is None else self._policy.total


@contextmanager
def _explained(endpoint: str, repo: str) -> Iterator[None]:
    """Errors of huggingface_hub as ours. Runs in the worker thread, where the package is imported."""
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from genai_desktop.library.hub_transport import Unreachable

    name = f"'{repo}'" if repo else "it"
    try:
        yield
    except GenaiError:
        raise
    except Unreachable as error:
        if error.status == 429:
            when = "in a few minutes" if error.wait is None else f"in {error.wait:.0f} seconds"
            raise DownloadError(
                "The hub was asked too often from this network (429).",
                code="RATE_LIMITED",
                remedy=f"Try again {when}; with HF_TOKEN set, more is allowed.",
            ) from error
        raise _unreachable(endpoint, error.reason) from error
    except GatedRepoError as error:  # a RepositoryNotFoundError too, so it comes first
        raise DownloadError(
            f"The repository {name} is gated: its authors want you to accept terms first.",
            code="GATED",
            remedy=_GATED,
        ) from error
    except RevisionNotFoundError as error:
        raise NotFoundError(
            f"The repository {name} has no such revision.",
            remedy="Check the revision; the usual one is 'main'.",
        ) from error
    except DisabledRepoError as error:
        raise DownloadError(
            f"The hub has disabled the repository {name}.",
            code="FORBIDDEN",
            remedy="Look for another source.",
        ) from error
    except RepositoryNotFoundError as error:
        raise NotFoundError(
            f"There is no repository {name} on the hub, or it is private.",
            remedy="Check its name; for a private one set HF_TOKEN.",
        ) from error
    except HfHubHTTPError as error:
        raise _refused(error.response.status_code) from error
    except HFValidationError as error:
        raise InvalidInputError(
            f"{name} is not the name of a repository.", remedy="Write it as owner/name."
        ) from error
    except Exception as error:  # the package trips over anything that is not a hub's answer
        raise DownloadError(
            f"What answers at {endpoint} does not speak like a model hub ({type(error).__name__}).",
            code="HUB_ANSWER",
            remedy="Check HF_ENDPOINT, and whether a sign-in page of the network is in the way.",
        ) from error


def _unreachable(endpoint: str, reason: str) -> DownloadError:
    return DownloadError(
        f"The model hub at {endpoint} could not be reached: {reason}.",
        code="HUB_UNREACHABLE",
        remedy="Check the network (and HF_ENDPOINT, if you set it), then try again.",
    )


def _refused(status: int) -> DownloadError:
    if status == 401:
        return DownloadError(
            "The hub does not accept the token in HF_TOKEN (401).",
            code="UNAUTHORIZED",
            remedy="Set HF_TOKEN to a valid token, or unset it.",
        )
    return DownloadError(
        f"The hub refused to answer ({status}).",
        code="FORBIDDEN" if status == 403 else "HUB_ANSWER",
        remedy="Check HF_TOKEN and HF_ENDPOINT, or try again later.",
    )


def _model(info: HubInfo, type: ModelType) -> HubModel:
    told: Mapping[str, Any] = getattr(info, "gguf", None) or {}
    tags = tuple(tag for tag in info.tags or () if isinstance(tag, str))
    return HubModel(
        repo=info.id,
        type=type,
        downloads=_count(info.downloads) or 0,
        likes=_count(info.likes) or 0,
        gated=_gated(info.gated),
        last_modified=_moment(info.last_modified),
        license=_license(tags),
        architecture=str(told.get("architecture") or ""),
        parameter_count=_count(told.get("total")),
        context_length=_count(told.get("context_length")),
        tags=tags,
    )


def _repository(info: HubInfo, repo: str, revision: str, is_name: Callable[[str], bool]) -> HubRepo:
    parts = []
    for sibling in info.siblings or ():
        if not is_name(sibling.rfilename):
            continue
        digest = sibling.lfs.sha256 if sibling.lfs is not None else None
        size = sibling.lfs.size if sibling.lfs is not None else sibling.size
        parts.append(HubPart(sibling.rfilename, _count(size) or 0, digest.lower() if digest else None))
    tags = tuple(tag for tag in info.tags or () if isinstance(tag, str))
    return HubRepo(
        repo=repo,
        revision=revision,
        commit=info.sha or "",
        files=group_files(parts),
        gated=_gated(info.gated),
        license=_license(tags),
        tags=tags,
        last_modified=_moment(info.last_modified),
    )


def _gated(value: object) -> str:
    return value if isinstance(value, str) else "manual" if value else ""


def _license(tags: tuple[str, ...]) -> str:
    return next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), "")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _moment(value: object) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else None
