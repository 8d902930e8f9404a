"""One tree of errors. Every one tells a person what happened, why, and what to do.

GenaiError
    InvalidInputError          a value the caller gave is wrong (usage; CLI exit 2 where it is an argument)
        ConfigurationError     unknown key or a value out of range in a configuration
    NotFoundError
        ModelNotFoundError
    ModelFileError             not what it should be (truncated, HTML, unknown architecture)
    DownloadError
        ChecksumError
    StorageError               disk full, read-only, no permission
    InsufficientResourcesError
    EngineError                no engine, or the engine cannot run here
    ServerError                a server did not start, died or refused
        PortInUseError
        ServerTimeoutError
    InferenceError
        ContextExceededError
    ImageError                 an image job failed
    BusyError                  the one thing that can run at a time is running
    CancelledError             the person stopped it (not asyncio's)
    OfflineError               refused by the offline switch
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class GenaiError(Exception):
    """Base of all errors this program raises on purpose.

    code: stable machine word in upper case; message: one sentence of what happened and why;
    remedy: one sentence of what to do (may be empty); details: values for logs (log tail under "log").
    """

    default_code: ClassVar[str] = "ERROR"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        remedy: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.remedy = remedy
        self.details: dict[str, Any] = dict(details or {})

    def to_dict(self) -> dict[str, Any]:
        """The error object of the command line and the HTTP faces."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InvalidInputError(GenaiError):
    """A value the caller gave is wrong."""

    default_code = "INVALID_REQUEST"


class ConfigurationError(InvalidInputError):
    """Unknown key or out-of-range value in a configuration; the message names the key."""

    default_code = "INVALID_CONFIGURATION"


class NotFoundError(GenaiError):
    """The thing named does not exist."""

    default_code = "NOT_FOUND"


class ModelNotFoundError(NotFoundError):
    """No model of that id, or its file is gone."""

    default_code = "MODEL_NOT_FOUND"


class ModelFileError(GenaiError):
    """The file is there but is not a usable model (truncated, HTML, foreign format, unknown architecture)."""

    default_code = "BAD_MODEL_FILE"


class DownloadError(GenaiError):
    """A transfer failed; what arrived stays resumable."""

    default_code = "DOWNLOAD_FAILED"


class ChecksumError(DownloadError):
    """All bytes arrived but they are not the right ones."""

    default_code = "CHECKSUM_MISMATCH"


class StorageError(GenaiError):
    """Disk full, read-only folder, missing permission, damaged database."""

    default_code = "IO_ERROR"


class InsufficientResourcesError(GenaiError):
    """Not enough memory or disk for what was asked."""

    default_code = "INSUFFICIENT_RESOURCES"


class EngineError(GenaiError):
    """No engine is installed, or the engine cannot run on this computer."""

    default_code = "ENGINE_UNAVAILABLE"


class ServerError(GenaiError):
    """A server did not start, died, or refused; details["log"] holds its last lines."""

    default_code = "SERVER_ERROR"


class PortInUseError(ServerError):
    """Someone else listens on the port; the message says who."""

    default_code = "PORT_IN_USE"


class ServerTimeoutError(ServerError):
    """No answer in time."""

    default_code = "TIMEOUT"


class InferenceError(GenaiError):
    """A reply could not be produced, or broke off; the part that arrived is kept."""

    default_code = "INFERENCE_FAILED"


class ContextExceededError(InferenceError):
    """The request is longer than the context window; details: n_prompt_tokens, n_ctx."""

    default_code = "CONTEXT_EXCEEDED"


class ImageError(GenaiError):
    """An image job failed in the engine."""

    default_code = "BACKEND_ERROR"


class BusyError(GenaiError):
    """One at a time, and one is running."""

    default_code = "SERVER_BUSY"


class CancelledError(GenaiError):
    """A person stopped it."""

    default_code = "CANCELLED"


class OfflineError(GenaiError):
    """The offline switch is on."""

    default_code = "OFFLINE"
