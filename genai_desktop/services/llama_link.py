"""The way from a conversation to the model server that happens to run now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from genai_desktop.core.errors import InferenceError
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.llama_client import LlamaClient

NOT_LOADED = "NOT_LOADED"

Presence = Literal["ready", "starting", "away"]
ClientFactory = Callable[[str, str], LlamaClient]  # base URL, key


class LlamaServer(Protocol):
    """What conversations need of LlamaServerManager."""

    @property
    def base_url(self) -> str | None: ...

    @property
    def api_key(self) -> str: ...

    def get_info(self) -> ServerInfo: ...

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]: ...


class LlamaLink:
    """Knows whether the server can be asked, and keeps one client per start of it."""

    def __init__(self, llama: LlamaServer, factory: ClientFactory) -> None:
        self._llama = llama
        self._factory = factory
        self._client: LlamaClient | None = None
        self._key: tuple[int, str, str] | None = None

    @property
    def presence(self) -> Presence:
        info = self._llama.get_info()
        if info.status == "running" and self._llama.base_url:
            return "ready"
        return "starting" if info.status == "starting" else "away"

    @property
    def generation(self) -> int:
        """Number of the server's start: a request to an older one finds nobody."""
        return self._llama.get_info().generation

    @property
    def is_leaving(self) -> bool:
        """The server was told to end (it did not die)."""
        return self._llama.get_info().status in ("stopping", "stopped")

    @property
    def model_id(self) -> str:
        return self._llama.get_info().model_id or ""

    def absence(self) -> InferenceError:
        """Why nothing can be asked, and what to do."""
        info = self._llama.get_info()
        if info.status == "crashed":
            why = f"The model server has crashed: {info.error_message or 'its log tells why'}"
            return InferenceError(
                why if why.endswith((".", "!")) else why + ".",
                code=NOT_LOADED,
                remedy=f"{info.error_remedy or 'Load the model again.'} Your text is kept.",
            )
        return InferenceError(
            "No model is loaded.", code=NOT_LOADED, remedy="Load a model, then send; your text is kept."
        )

    async def client(self) -> LlamaClient:
        """The client of the server that runs now. Raises InferenceError (NOT_LOADED)."""
        url = self._llama.base_url
        if not url:
            raise self.absence()
        key = (self._llama.get_info().generation, url, self._llama.api_key)
        if self._client is None or key != self._key:
            await self.aclose()
            self._client, self._key = self._factory(url, self._llama.api_key), key
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
