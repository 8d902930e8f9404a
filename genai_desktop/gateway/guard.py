"""Who may ask: only programs on this computer, and no page of a browser but our own."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_BODY = 4 * 1024**2  # bytes; a prompt has at most 100,000 characters, escaped six times that
# A little too much is read to its end and thrown away, so that the answer reaches a client that sends first
# and reads later; more than this is cut off.
_MAX_DRAINED = 64 * 1024**2


class BodyTooLargeError(Exception):
    """Told by the reader of a body, answered with 413."""


def error_response(status: int, code: str, message: str, remedy: str = "") -> JSONResponse:
    """The one shape of an error."""
    error = {"code": code, "message": message}
    if remedy:
        error["remedy"] = remedy
    headers = {}
    if status == 503:
        headers["Retry-After"] = "2"
    if status in (403, 413):
        headers["Connection"] = "close"  # the body was not read, and will not be
    return JSONResponse({"error": error}, status, headers=headers)


class Guard:
    """ASGI middleware: the Host must be a name of this computer (no DNS rebinding), an Origin our own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        host = request.headers.get("host", "")
        if _name_and_port(f"http://{host}") is None or len(request.headers.getlist("host")) != 1:
            await _refuse(scope, receive, send, "This server answers only under a name of this computer.")
            return
        origin = request.headers.get("origin")
        if origin is not None and _name_and_port(origin) != _name_and_port(f"http://{host}"):
            await _refuse(scope, receive, send, "Pages of other origins may not use this server.")
            return
        await self._app(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send, message: str) -> None:
    await error_response(403, "FORBIDDEN", message)(scope, receive, send)


def _name_and_port(url: str) -> tuple[str, int] | None:
    """Of a loopback address; None for every other."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    is_plain = parts.scheme == "http" and not parts.path and "@" not in parts.netloc
    return (name, port) if is_plain and name in LOOPBACK_NAMES else None


async def read_json(request: Request, limit: int = MAX_BODY) -> object:
    """The body as JSON. Raises BodyTooLargeError above `limit` (never holding more), ValueError."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 15 or int(length) > _MAX_DRAINED):
        raise BodyTooLargeError
    body = bytearray()
    received = 0
    async for piece in request.stream():
        received += len(piece)
        if received > _MAX_DRAINED:
            raise BodyTooLargeError
        if received <= limit:
            body += piece
    if received > limit:
        raise BodyTooLargeError
    try:
        return json.loads(bytes(body), parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
