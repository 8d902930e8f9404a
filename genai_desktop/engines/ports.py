"""Ports: a free one, and who sits on one that is taken."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from genai_desktop.core.errors import PortInUseError
from genai_desktop.engines.environment import INSTANCE_TOKEN

Occupant = Literal["ours", "llama-server", "other"]
_ASK_SECONDS = 0.8


@dataclass(frozen=True)
class PortOwner:
    """Who listens. model: what a llama-server there serves; program and pid: when the system tells."""

    kind: Occupant
    model: str = ""
    program: str = ""
    pid: int | None = None

    def describe(self) -> str:
        """The end of the sentence "The port is used by ..."."""
        process = f" (process {self.pid})" if self.pid else ""
        if self.kind == "ours":
            return f"a server this program started{process}"
        if self.kind == "llama-server":
            serving = f" serving {self.model}" if self.model else ""
            return f"another llama-server{serving}{process}"
        return f"the program {self.program}{process}" if self.program else f"another program{process}"


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now. Somebody may take it before you do: retry then."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            # as servers do: a connection in TIME_WAIT is no obstacle, a listener still is
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def port_owner(port: int, host: str = "127.0.0.1", *, ours: Collection[int] = ()) -> PortOwner:
    """Who listens on a taken port. Takes at most about two seconds.

    ours: the pids of our own servers; what carries our mark is known without it.
    """
    (pid, program), (is_llama, model) = await asyncio.gather(
        asyncio.to_thread(_listener, port), _ask_llama(port, host)
    )
    if pid is not None and (pid in ours or await asyncio.to_thread(_is_marked, pid)):
        return PortOwner("ours", model, program, pid)
    return PortOwner("llama-server" if is_llama else "other", model, program, pid)


async def port_in_use(port: int, host: str = "127.0.0.1", *, ours: Collection[int] = ()) -> PortInUseError:
    """The error that says who is there."""
    owner = await port_owner(port, host, ours=ours)
    return PortInUseError(
        f"Port {port} is used by {owner.describe()}.",
        remedy="Stop it, or choose another port or 'auto'.",
        details={"port": port, "owner": owner.kind, "pid": owner.pid, "model": owner.model},
    )


def _listener(port: int) -> tuple[int | None, str]:
    """Pid and name of the listening process; (None, "") where the system keeps that to itself."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError, RuntimeError):
        for connection in psutil.net_connections("tcp"):
            address: Any = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                if connection.pid is None:
                    return None, ""
                with contextlib.suppress(psutil.Error):
                    return connection.pid, psutil.Process(connection.pid).name()
                return connection.pid, ""
    return None, ""


def _is_marked(pid: int) -> bool:
    """Whether some run of this program started it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return INSTANCE_TOKEN in psutil.Process(pid).environ()
    return False


async def _ask_llama(port: int, host: str) -> tuple[bool, str]:
    """Whether a llama-server answers, and the name of its model when it tells without a key."""
    import ssl

    import httpx

    unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one takes 30 ms to make
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        async with httpx.AsyncClient(
            base_url=base, timeout=_ASK_SECONDS, trust_env=False, verify=unused
        ) as client:
            health = _json(await client.get("/health"))
            error = health.get("error")
            is_loading = isinstance(error, dict) and error.get("message") == "Loading model"
            if health.get("status") != "ok" and not is_loading:
                return False, ""
            response = await client.get("/props")
            props = _json(response)
            if "default_generation_settings" in props:
                return True, str(props.get("model_alias") or props.get("model_path") or "")
            error = props.get("error")
            # a server with a key, or one still loading, says so in llama-server's own form
            return isinstance(error, dict) and "type" in error, ""
    except (httpx.HTTPError, OSError):
        return False, ""


def _json(response: Any) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
