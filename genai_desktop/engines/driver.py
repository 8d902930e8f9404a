"""What a supervisor and one kind of server tell each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from genai_desktop.core.errors import GenaiError
from genai_desktop.engines.process import ChildProcess, ExitStatus, LaunchSpec


@dataclass(frozen=True)
class Failure:
    """Why a server is not there.

    is_final: starting it again would fail again. is_retryable_at_once: bad luck, such as a port that was
    taken between choosing and using it.
    """

    error: GenaiError
    is_final: bool = False
    is_retryable_at_once: bool = False


@dataclass(frozen=True)
class Launch:
    """One process to be. snapshot: ServerInfo fields that are known before it runs."""

    spec: LaunchSpec
    port: int | None
    snapshot: Mapping[str, Any]


@dataclass(frozen=True)
class Heard:
    """What a line brought: ServerInfo changes (mostly none), and whether it is meant for people's eyes."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    is_for_people: bool = True


class ServerDriver(Protocol):
    """What a supervisor must know about one kind of server. It serves one `start` and its restarts."""

    async def prepare(self) -> Launch:
        """What to start now. Raises GenaiError when that is impossible."""
        ...

    def attach(self, child: ChildProcess) -> None:
        """The process runs."""

    async def ready(self) -> Mapping[str, Any]:
        """Returns ServerInfo changes once the server can be used. Raises GenaiError; it may wait for ever."""
        ...

    async def is_healthy(self) -> bool: ...

    def read_line(self, line: str) -> Heard: ...

    def ask_to_stop(self, child: ChildProcess) -> None: ...

    async def explain(self, status: ExitStatus, lines: Sequence[str]) -> Failure:
        """Why it ended unasked, from how it ended and what it said last."""
        ...

    async def detach(self) -> None:
        """The process is gone."""
