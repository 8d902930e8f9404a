"""What is learnt from watching the language model: how long it takes to load, and what it still knew."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from genai_desktop.core.chat import ChatMessage

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.services.handoff_ports import Conversations, Llama


class Reloads:
    """Seconds the loaded model took from its start until it could be asked; None before the first time."""

    def __init__(self, llama: Llama) -> None:
        self.seconds: float | None = None
        self._began: float | None = None
        self._unsubscribe = llama.on("status_changed", self._follow)

    def close(self) -> None:
        self._unsubscribe()

    def _follow(self, info: ServerInfo) -> None:
        if info.status == "starting":
            self._began = time.monotonic()
        elif info.status == "running" and self._began is not None:
            self.seconds = time.monotonic() - self._began
            self._began = None


class NextTurn:
    """Tells once, after `expect`, how many tokens of its prompt the next answered turn found cached."""

    def __init__(self, conversations: Conversations, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._is_expected = False
        self._unsubscribe = conversations.on("message_changed", self._follow)

    def expect(self) -> None:
        self._is_expected = True

    def forget(self) -> None:
        self._is_expected = False

    def close(self) -> None:
        self._unsubscribe()

    def _follow(self, message: ChatMessage) -> None:
        is_answer = message.role == "assistant" and message.state in ("done", "stopped")
        if not self._is_expected or not is_answer or message.stats is None:
            return
        self._is_expected = False
        self._tell(message.stats.cached_tokens)
