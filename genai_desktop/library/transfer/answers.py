"""What answers of a server mean: what may pass, what will not, and in which words."""

from __future__ import annotations

import httpx

from genai_desktop.core.errors import DownloadError


class Transient(Exception):
    """It may work next time.

    reason: continues "The download did not finish:"; wait: seconds the server asked for.
    """

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class Expired(Exception):
    """The address after the redirect no longer works: ask the first one again.

    refusal: the server's last word.
    """

    def __init__(self, refusal: DownloadError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Changed(Exception):
    """The file on the server is another one than a moment ago."""


class NoRanges(Exception):
    """The server sends the whole file where a part was asked for."""


def is_transient_status(status: int) -> bool:
    return status in (408, 425, 429) or 500 <= status < 600


_GATED = "Open its page in a browser, accept the terms, then set HF_TOKEN to a token of your account."
# the hub's X-Error-Code, else the status -> code, message, remedy
_REFUSALS: dict[str | int, tuple[str, str, str]] = {
    "GatedRepo": ("GATED", "The repository is gated: its authors want you to accept terms first.", _GATED),
    "RepoNotFound": (
        "NOT_FOUND",
        "There is no such repository on the hub, or it is private.",
        "Check its name; for a private one set HF_TOKEN.",
    ),
    "RevisionNotFound": ("NOT_FOUND", "The repository has no such revision.", "Check the revision."),
    "EntryNotFound": ("NOT_FOUND", "The repository has no such file.", "Check the name of the file."),
    "DisabledRepo": ("FORBIDDEN", "The hub has disabled this repository.", "Look for another source."),
    401: (
        "UNAUTHORIZED",
        "The server wants to know who you are (401).",
        "For the hub set HF_TOKEN to a valid token; else check the address.",
    ),
    403: (
        "FORBIDDEN",
        "The server refuses to hand out the file (403).",
        "The address may have expired or need a token: get a fresh one and try again.",
    ),
    404: ("NOT_FOUND", "The server has no such file (404).", "Check the address."),
    410: ("NOT_FOUND", "The file was removed from the server (410).", "Look for another source."),
}


def explain_status(response: httpx.Response, shown: str) -> DownloadError:
    """The refusal of a server in its own words where it has some. shown: the address without secrets."""
    status = response.status_code
    key: str | int = response.headers.get("x-error-code", "")
    if key not in _REFUSALS:
        key = status
    code, message, remedy = _REFUSALS.get(
        key, ("DOWNLOAD_FAILED", f"The server answered {status} in place of the file.", "Check the address.")
    )
    said = response.headers.get("x-error-message", "").strip()
    details = {"status": status, "url": shown, "said": said[:500]}
    if said and isinstance(key, str):
        message = f"{message} The hub says: {said[:200]}"
    return DownloadError(message, code=code, remedy=remedy, details=details)
