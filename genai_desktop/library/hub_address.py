"""Addresses of the model hub, and the token that may be sent there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote

from genai_desktop.core.errors import InvalidInputError
from genai_desktop.library.transfer import origin

DEFAULT_ENDPOINT = "https://huggingface.co"
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")


class HubAddress:
    """Reads HF_ENDPOINT (a mirror) and HF_TOKEN each time it is asked."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    @property
    def endpoint(self) -> str:
        return (self._environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")

    def file_url(self, repo: str, file: str, revision: str) -> str:
        """Where a file of a repository is fetched. Raises InvalidInputError for what is no such name."""
        if not _REPO.fullmatch(repo) or ".." in repo:
            raise InvalidInputError(
                f"{repo!r} is not the name of a repository.", remedy="Write it as owner/name."
            )
        parts = file.split("/")
        if not file or "\\" in file or "\0" in file or any(part in ("", ".", "..") for part in parts):
            raise InvalidInputError(
                f"{file!r} is not the name of a file in a repository.",
                remedy="Write it as the repository lists it, with its sub-folder.",
            )
        if not revision:
            raise InvalidInputError("The revision is empty.", remedy="Name a branch or a commit.")
        path = "/".join(quote(part, safe="") for part in parts)
        return f"{self.endpoint}/{repo}/resolve/{quote(revision, safe='')}/{path}"

    def headers(self, url: str) -> dict[str, str]:
        """The token, for addresses of the hub itself and nobody else."""
        token = (self._environment.get("HF_TOKEN") or "").strip()
        if not token or origin(url) != origin(self.endpoint):
            return {}
        return {"Authorization": f"Bearer {token}"}
