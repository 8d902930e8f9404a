"""What llama-server says when it refuses, as our errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genai_desktop.core.errors import (
    ContextExceededError,
    EngineError,
    GenaiError,
    InferenceError,
    InvalidInputError,
    NotFoundError,
    ServerError,
    ServerTimeoutError,
)

if TYPE_CHECKING:
    import httpx

MODEL_LOADING = "MODEL_LOADING"  # 503: ask again in a moment
SERVER_UNREACHABLE = "SERVER_UNREACHABLE"  # nobody listens, or it hung up without a word
STREAM_CUT = "STREAM_CUT"  # the reply broke off: the server died or was stopped
BAD_REPLY = "BAD_REPLY"  # something answered, but not a llama-server
IMAGES_UNSUPPORTED = "IMAGES_UNSUPPORTED"
NOT_SUPPORTED = "NOT_SUPPORTED"
UNAUTHORIZED = "UNAUTHORIZED"
TOO_LARGE = "TOO_LARGE"
SLOT_SAVE_FAILED = "SLOT_SAVE_FAILED"
SLOT_RESTORE_FAILED = "SLOT_RESTORE_FAILED"
SLOT_ERASE_FAILED = "SLOT_ERASE_FAILED"

_CONTEXT_REMEDY = "Shorten the message, start a new conversation, or load the model with a larger context."


@dataclass(frozen=True)
class _Rule:
    kind: str  # the `type` of the error object
    statuses: tuple[int, ...]
    error: type[GenaiError]
    code: str | None
    message: str  # {} is what the server said
    remedy: str = ""


_RULES = (
    _Rule(
        "unavailable_error",
        (503,),
        ServerError,
        MODEL_LOADING,
        "The model is still being loaded.",
        "Wait until it is ready.",
    ),
    _Rule(
        "authentication_error",
        (401, 403),
        ServerError,
        UNAUTHORIZED,
        "The model server refused our key.",
        "Reload the model; if a server of another program uses this port, choose another port.",
    ),
    _Rule(
        "not_supported_error",
        (501,),
        EngineError,
        NOT_SUPPORTED,
        "The model server was started without this ability{}",
    ),
    _Rule(
        "",
        (413,),
        InvalidInputError,
        TOO_LARGE,
        "The message is too large for the model server (its limit is 100 MiB).",
        "Attach fewer or smaller pictures.",
    ),
    _Rule(
        "not_found_error",
        (404,),
        NotFoundError,
        None,
        "The model server does not know this request{}",
        "Use a newer llama.cpp build, or check that the port belongs to a llama-server.",
    ),
    _Rule(
        "invalid_request_error",
        (400,),
        InvalidInputError,
        None,
        "The model server did not accept the request{}",
    ),
)


def error_from_body(status: int, body: bytes) -> GenaiError:
    """The error of a whole response. body: JSON `{"error": {...}}`, or whatever else answered."""
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    if isinstance(payload, Mapping) and "error" in payload:
        return error_from_payload(payload["error"], status)
    text = " ".join(body[:400].decode("utf-8", "replace").split())[:200]
    return error_from_payload({"message": text}, status)


def error_from_payload(error: Any, status: int | None = None) -> GenaiError:
    """The error of an `error` object: of a response body, or of a frame in the middle of a stream (status
    None).
    """
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": str(error)}
    kind = str(fields.get("type") or "")
    said = str(fields.get("message") or "").strip()
    code = fields.get("code")
    if status is None:
        status = code if isinstance(code, int) else 500
    details: dict[str, Any] = {"status": status, "type": kind, "message": said}
    if kind == "exceed_context_size_error" or "context size has been exceeded" in said.lower():
        return _context_exceeded(fields, details)
    if "image input is not supported" in said:
        return InferenceError(
            "The loaded model cannot look at pictures.",
            code=IMAGES_UNSUPPORTED,
            remedy="Load a model that can see, or add its projector file (mmproj) to this one.",
            details=details,
        )
    return _by_status(status, kind, said, details)


def _context_exceeded(fields: Mapping[str, Any], details: dict[str, Any]) -> GenaiError:
    wanted, room = fields.get("n_prompt_tokens"), fields.get("n_ctx")
    if isinstance(wanted, int) and isinstance(room, int):
        details |= {"n_prompt_tokens": wanted, "n_ctx": room}
        message = f"The conversation has {wanted:,} tokens, but the model was loaded with room for {room:,}."
    else:
        message = "The conversation no longer fits into the model's context."
    return ContextExceededError(message, remedy=_CONTEXT_REMEDY, details=details)


def _by_status(status: int, kind: str, said: str, details: dict[str, Any]) -> GenaiError:
    """The first row of `_RULES` that fits by type or by status."""
    quoted = f": {said}" if said else "."
    for rule in _RULES:
        if (rule.kind and kind == rule.kind) or status in rule.statuses:
            text = rule.message.replace("{}", quoted)
            return rule.error(text, code=rule.code, remedy=rule.remedy, details=details)
    if kind or status >= 500:
        return InferenceError(
            f"The model server could not produce the reply{quoted}",
            remedy="Try again; the server's log tells more.",
            details=details,
        )
    return InferenceError(
        f"Something that is not a llama-server answered (HTTP {status}){quoted}",
        code=BAD_REPLY,
        remedy="Check which program uses the port.",
        details=details,
    )


def error_from_transport(error: httpx.HTTPError | OSError, url: str, *, is_reply: bool = False) -> GenaiError:
    """The error of a connection that failed. is_reply: the request was sent and its reply was under way."""
    import httpx

    details = {"url": url, "cause": f"{type(error).__name__}: {error}"}
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return ServerError(
            "The model server cannot be reached; it is not running or has just ended.",
            code=SERVER_UNREACHABLE,
            remedy="Load the model again.",
            details=details,
        )
    if isinstance(error, httpx.TimeoutException):
        return ServerTimeoutError(
            "The model server did not answer in time.",
            remedy="It may be busy with a long prompt: wait, or reload the model.",
            details=details,
        )
    if is_reply:
        return stream_cut(details)
    return ServerError(
        "The model server closed the connection without an answer.",
        code=SERVER_UNREACHABLE,
        remedy="Load the model again; its log tells why it ended.",
        details=details,
    )


def stream_cut(details: Mapping[str, Any] | None = None) -> InferenceError:
    """The reply ended without saying that it is complete."""
    return InferenceError(
        "The model server ended before the reply was complete.",
        code=STREAM_CUT,
        remedy="Load the model again and continue or regenerate; its log tells why it ended.",
        details=details,
    )
