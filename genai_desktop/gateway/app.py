"""The HTTP application: routes, guard, and errors in one shape."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from genai_desktop.gateway.guard import Guard, error_response

_log = logging.getLogger(__name__)


def create_app(routes: Sequence[BaseRoute]) -> Starlette:
    """An ASGI application for loopback. What is not a route is 404, whatever the method."""
    app = Starlette(
        routes=list(routes),
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _told, Exception: _unexpected},
    )
    app.router.redirect_slashes = False  # an address with a slash too many is another address
    return app


async def _told(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status in (404, 405):
        return error_response(404, "NOT_FOUND", "There is nothing at this address.")
    return error_response(status, "INVALID_REQUEST", str(getattr(error, "detail", error)))


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("a request to %s failed unexpectedly", request.url.path, exc_info=error)
    return error_response(500, "BACKEND_ERROR", "Something unexpected went wrong; the log tells more.")
