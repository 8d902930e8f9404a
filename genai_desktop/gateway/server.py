"""The image HTTP API on a port of this computer, inside the loop of the services."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

import uvicorn

from genai_desktop.core.errors import BusyError, ServerError
from genai_desktop.engines.ports import port_in_use
from genai_desktop.gateway.app import create_app
from genai_desktop.gateway.images import ImageApi
from genai_desktop.services.generation_registry import GenerationRegistry

if TYPE_CHECKING:
    from genai_desktop.library.settings import SettingsStore
    from genai_desktop.services.diffusion_server import DiffusionServerManager

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"
STOP_SECONDS = 2


class Services(Protocol):
    """What is needed of the composition root."""

    @property
    def diffusion(self) -> DiffusionServerManager: ...

    @property
    def settings(self) -> SettingsStore: ...


class ImageGateway:
    """Serves seed 001's API. `start` and `stop` may be repeated."""

    def __init__(self, services: Services, registry: GenerationRegistry | None = None) -> None:
        self._services = services
        self._registry = registry
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._api: ImageApi | None = None

    @property
    def url(self) -> str | None:
        """Base address while it listens."""
        return self._services.diffusion.get_info().url if self._server is not None else None

    async def start(self, port: int | Literal["auto"] | None = None) -> str:
        """Listen on loopback; the base address. port None: that of the settings; "auto" or 0: any free one.

        Raises PortInUseError naming who has it, BusyError when it listens already.
        """
        if self._server is not None:
            raise BusyError("The image API is running already.", remedy="Stop it first.")
        wanted = self._services.settings.current.image_port if port is None else port
        listener = await self._listen(0 if wanted == "auto" else wanted)
        chosen = int(listener.getsockname()[1])
        self._api = ImageApi(self._services.diffusion, self._registry or GenerationRegistry())
        self._server = _Server(create_app(self._api.routes()))
        self._task = asyncio.ensure_future(self._server.serve(sockets=[listener]))
        listening = asyncio.ensure_future(self._server.listening.wait())
        is_listening = False
        try:
            await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
            is_listening = listening.done()
        finally:
            listening.cancel()
            if not is_listening:
                await self.stop()
        if not is_listening:
            raise ServerError("The image API could not be started.", remedy="Try another port.")
        url = f"http://{HOST}:{chosen}"
        self._services.diffusion.show_http(url, chosen)
        return url

    async def stop(self) -> None:
        """Stop listening; running pictures are not touched. Idempotent."""
        server, task, api = self._server, self._task, self._api
        self._server = self._task = self._api = None
        if server is not None and task is not None:
            server.should_exit = True
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("the image API ended with an error", exc_info=error)
            self._services.diffusion.show_http(None, None)
        if api is not None:
            await api.close()

    async def _listen(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "win32":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, port))
            listener.listen(64)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise await port_in_use(port) from error
        return listener


class _Server(uvicorn.Server):
    """uvicorn as a guest: it leaves the signals of the program alone and tells when it listens."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                http="h11",
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
                limit_concurrency=128,
                h11_max_incomplete_event_size=64 * 1024,
            )
        )
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
