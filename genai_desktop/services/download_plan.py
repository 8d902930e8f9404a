"""What a download consists of: every file with its address, its role and its name on our disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from genai_desktop.core.components import ROLE_TITLES
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.core.fileformat import refusal, refuse_pickle_name, sniff
from genai_desktop.core.gguf import shard_names
from genai_desktop.core.models import ComponentDownload, ComponentRole, DownloadConfig
from genai_desktop.library.hub_address import HubAddress
from genai_desktop.library.identity import checked_name, safe_file_name, tidy_name
from genai_desktop.library.transfer import RemoteFile

_CHECKSUM = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One file to fetch. origin: repo:file@revision or the address without its query; title: for people."""

    role: str
    url: str
    file_name: str
    origin: str
    title: str
    sha256: str | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def check(self, remote: RemoteFile) -> None:
        """Refuse what is no model by its first bytes. Raises ModelFileError."""
        kind = sniff(remote.head[:512])
        if kind not in ("gguf", "safetensors"):
            raise refusal(kind, f"'{self.file_name}'")


@dataclass(frozen=True)
class DownloadPlan:
    """A whole model. identity: equal for equal requests, so a second attempt finds what the first left."""

    name: str
    sources: tuple[Source, ...]
    identity: str
    origin: str
    is_hub: bool

    @property
    def has_components(self) -> bool:
        return any(source.role for source in self.sources)


def plan_download(config: DownloadConfig, hub: HubAddress) -> DownloadPlan:
    """Raises InvalidInputError (what is asked for makes no sense), ModelFileError (a pickle, by its name)."""
    components = _checked_components(config)
    main_role = ComponentRole.DIFFUSION_MODEL if components else ""
    url, origin = _address(config.url, config.repo, config.file, config.revision, hub)
    sources = _shards(_source(main_role, url, origin, config.checksum, hub)) if not components else [
        _source(main_role, url, origin, config.checksum, hub)
    ]  # fmt: skip
    for component in components:
        url, part_origin = _address(component.url, component.repo, component.file, "main", hub)
        sources.append(_source(component.role, url, part_origin, component.checksum, hub))
    sources = _distinct_names(sources)
    stem = re.sub(r"-00001-of-\d{5}$", "", sources[0].file_name.rpartition(".")[0])
    name = checked_name(config.name) if config.name else tidy_name(stem)
    # of the main file alone: whoever exchanges a part that did not fit goes on with the others
    return DownloadPlan(name, tuple(sources), sources[0].origin, origin, bool(config.repo))


def _checked_components(config: DownloadConfig) -> list[ComponentDownload]:
    if config.type not in ("llm", "diffusion"):
        raise InvalidInputError(f"There is no type {config.type!r}.", remedy="It is 'llm' or 'diffusion'.")
    if config.components and config.type != "diffusion":
        raise InvalidInputError(
            "Only image models have components.", remedy="Leave them out, or set the type to 'diffusion'."
        )
    seen: set[str] = set()
    roles = tuple(ComponentRole)
    for component in config.components:
        if component.role not in roles:
            raise InvalidInputError(
                f"There is no role {component.role!r}.", remedy=f"Roles are: {', '.join(roles)}."
            )
        if component.role == ComponentRole.DIFFUSION_MODEL:
            raise InvalidInputError(
                "The diffusion model is the main file, not a component.",
                remedy="Name it by url, or by repo and file.",
            )
        if component.role in seen:
            raise InvalidInputError(f"The role {component.role!r} is given twice.")
        seen.add(component.role)
    return list(config.components)


def _address(url: str, repo: str, file: str, revision: str, hub: HubAddress) -> tuple[str, str]:
    if bool(url) == bool(repo or file):
        raise InvalidInputError(
            "A download needs either an address, or a repository and a file.",
            remedy="Give url, or repo and file.",
        )
    if url:
        parts = urlsplit(url.strip())
        return url.strip(), urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return hub.file_url(repo, file, revision), f"{repo}:{file}@{revision}"


def _source(role: str, url: str, origin: str, checksum: str, hub: HubAddress) -> Source:
    base = unquote(urlsplit(url).path).rpartition("/")[2]
    refuse_pickle_name(base)
    sha256 = None
    if checksum:
        found = _CHECKSUM.fullmatch(checksum.strip())
        if found is None:
            raise InvalidInputError(
                "The checksum is not a SHA-256.", remedy="Write it as sha256: and 64 hexadecimal digits."
            )
        sha256 = found[1].lower()
    title = ROLE_TITLES.get(role, base or "file")
    return Source(role, url, safe_file_name(base or "model"), origin, title, sha256, hub.headers(url))


def _shards(source: Source) -> list[Source]:
    """All parts of a split GGUF, whichever of them was named."""
    parts = urlsplit(source.url)
    folder, _, last = parts.path.rpartition("/")
    base = unquote(last)
    names = shard_names(base)
    if len(names) == 1:
        return [source]
    if source.sha256:
        raise InvalidInputError(
            f"The model has {len(names)} parts, and a checksum is of one file.",
            remedy="Leave the checksum out; the hub tells the digest of every part.",
        )
    return [
        replace(
            source,
            url=urlunsplit(parts._replace(path=f"{folder}/{quote(name)}")),
            file_name=safe_file_name(name),
            origin=source.origin.replace(base, name),
            title=name,
        )
        for name in names
    ]


def _distinct_names(sources: Iterable[Source]) -> list[Source]:
    """Two files of one name go under two names: `vae_model.safetensors`. Case does not tell files apart."""
    taken: set[str] = set()
    result = []
    for source in sources:
        name = source.file_name
        if name.lower() in taken:
            name = safe_file_name(f"{source.role or 'part'}_{name}")
        taken.add(name.lower())
        result.append(replace(source, file_name=name))
    return result
