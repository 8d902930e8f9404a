"""Asking a starting or running llama-server how it is, whether it is ours, and what it really runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genai_desktop.core.servers import ServerHealth

if TYPE_CHECKING:
    import httpx

HEALTH_SECONDS = 5.0
_WRONG_KEY = "this-is-not-the-key"


class LlamaProbe:
    """One HTTP client for one server. Close it with `aclose`."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        timeout: float = HEALTH_SECONDS,
    ) -> None:
        import ssl

        import httpx

        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            transport=transport,
            timeout=timeout,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # unused; the default one takes 30 ms to make
            trust_env=False,  # a proxy has no business between us and our own child
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def health(self) -> ServerHealth:
        """ "ok", "loading", "error" (it answers nonsense), "unknown" (nobody answers)."""
        import httpx

        try:
            response = await self._client.get("/health")
        except httpx.HTTPError:
            return "unknown"
        body = _object(response)
        if response.status_code == 200 and body.get("status") == "ok":
            return "ok"
        error = body.get("error")
        is_loading = response.status_code == 503 or (isinstance(error, dict) and error.get("code") == 503)
        return "loading" if is_loading else "error"

    async def props(self) -> dict[str, Any] | None:
        """What the server says it runs, or None when it does not answer our key as our server would."""
        import httpx

        try:
            response = await self._client.get("/props")
        except httpx.HTTPError:
            return None
        body = _object(response)
        is_props = response.status_code == 200 and "default_generation_settings" in body
        return body if is_props else None

    async def refuses_strangers(self) -> bool:
        """Whether a wrong key is turned away: with `props` it proves that this server was given our key."""
        import httpx

        try:
            headers = {"Authorization": f"Bearer {_WRONG_KEY}"}
            response = await self._client.get("/props", headers=headers)
        except httpx.HTTPError:
            return False
        return response.status_code == 401


def effective_from_props(props: Mapping[str, Any]) -> dict[str, Any]:
    """The values of /props worth showing, under the field's own names."""
    settings = props.get("default_generation_settings")
    modalities = props.get("modalities")
    values: dict[str, Any] = {
        "n_ctx_slot": settings.get("n_ctx") if isinstance(settings, dict) else None,
        "total_slots": props.get("total_slots"),
        "build_info": props.get("build_info"),
        "model_path": props.get("model_path"),
        "model_alias": props.get("model_alias"),
        "has_vision": modalities.get("vision") if isinstance(modalities, dict) else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
