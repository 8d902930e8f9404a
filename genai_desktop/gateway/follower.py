"""The image HTTP API is up exactly while the image server was started with a port."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from genai_desktop.core.errors import GenaiError

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.services.genai import GenAI

_log = logging.getLogger(__name__)


class _Follower:
    """Keeps one gateway in step with the state of the image server."""

    def __init__(self, genai: GenAI) -> None:
        from genai_desktop.gateway.server import ImageGateway

        self._genai = genai
        self._gateway = ImageGateway(genai)
        self._is_wanted = False
        self._is_up = False
        self._task: asyncio.Task[None] | None = None

    def on_change(self, info: ServerInfo) -> None:
        # painting in the studio needs no port; starting the image server asks for one
        wanted = info.status == "running" and info.requested.get("port") is not None
        if wanted == self._is_wanted:
            return
        self._is_wanted = wanted
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._settle())

    async def _settle(self) -> None:
        while self._is_wanted != self._is_up:
            if self._is_wanted:
                try:
                    await self._gateway.start(self._genai.settings.current.image_port)
                except GenaiError as error:
                    # painting works without the HTTP face, so a taken port must not stop it
                    _log.warning("the image HTTP API is not available: %s", error)
                    self._is_wanted = False
                    return
                self._is_up = True
            else:
                await self._gateway.stop()
                self._is_up = False

    async def close(self) -> None:
        self._is_wanted = False
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._gateway.stop()


def follow_image_server(genai: GenAI) -> None:
    """Subscribe until the services close; call on the service loop."""
    follower = _Follower(genai)
    genai.diffusion.on("changed", follower.on_change)
    genai.on_close("image HTTP API", follower.close)
