"""Facade of the LLM Chat tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Signal, Slot

from genai_desktop.bridge.facade import Facade

if TYPE_CHECKING:
    from genai_desktop.core.chat import SamplingParameters
    from genai_desktop.services.genai import GenAI


class ChatFacade(Facade):
    """Signals carry core values. Deltas hold exactly what arrived since the last one, at most 30 a second."""

    conversations_changed = Signal(object)  # tuple[ConversationSummary, ...], pinned first, newest first
    conversation_opened = Signal(object)  # Conversation
    branch_changed = Signal(object)  # Conversation: other messages are visible now (regenerated, edited)
    message_changed = Signal(object)  # ChatMessage: new, or its state or whole text changed
    delta_received = Signal(object)  # ChatDelta
    state_changed = Signal(object)  # ChatQueueState
    llm_changed = Signal(object)  # ServerInfo of "llama"
    search_finished = Signal(str, object)  # query, tuple[ConversationSummary, ...]
    deleted = Signal(str, str)  # conversation id, title: offer an undo
    exported = Signal(str, str)  # conversation id, path

    def attach(self, genai: GenAI) -> None:
        genai.conversations.on("list_changed", self.conversations_changed.emit)
        genai.conversations.on("conversation_changed", self.branch_changed.emit)
        genai.conversations.on("message_changed", self.message_changed.emit)
        genai.conversations.on("delta", self.delta_received.emit)
        genai.conversations.on("state_changed", self.state_changed.emit)
        genai.llama.on("changed", self.llm_changed.emit)
        self.llm_changed.emit(genai.llama.get_info())

    @Slot()
    def load(self) -> None:
        self._run("conversations", lambda genai: genai.conversations.list(), self.conversations_changed.emit)

    @Slot(str)
    def open(self, conversation_id: str) -> None:
        self._run(
            "open", lambda genai: genai.conversations.get(conversation_id), self.conversation_opened.emit
        )

    @Slot()
    def create(self) -> None:
        """A new, empty conversation -> conversation_opened, conversations_changed."""
        self._run("create", lambda genai: genai.conversations.create(), self.conversation_opened.emit)

    @Slot(str)
    def search(self, query: str) -> None:
        self._run(
            "search",
            lambda genai: genai.conversations.list(query),
            lambda found: self.search_finished.emit(query, found),
        )

    def send(
        self,
        conversation_id: str,
        text: str,
        images: tuple[str, ...] = (),
        sampling: SamplingParameters | None = None,
    ) -> None:
        """Reply arrives as message_changed and delta_received. Nothing typed is lost when it fails."""
        self._run(
            "send",
            lambda genai: genai.conversations.send(conversation_id, text, images=images, sampling=sampling),
        )

    @Slot(str)
    def stop(self, conversation_id: str) -> None:
        async def work(genai: GenAI) -> None:
            await genai.conversations.stop(conversation_id)

        self._run("stop", work)

    @Slot(str)
    def regenerate(self, message_id: str) -> None:
        self._run("regenerate", lambda genai: genai.conversations.regenerate(message_id))

    @Slot(str, str)
    def edit_and_resend(self, message_id: str, text: str) -> None:
        self._run("edit", lambda genai: genai.conversations.edit_and_resend(message_id, text))

    @Slot(str, str)
    def rename(self, conversation_id: str, title: str) -> None:
        self._run("rename", lambda genai: genai.conversations.rename(conversation_id, title))

    @Slot(str, bool)
    def pin(self, conversation_id: str, is_pinned: bool) -> None:
        self._run("pin", lambda genai: genai.conversations.pin(conversation_id, is_pinned))

    @Slot(str, str)
    def delete(self, conversation_id: str, title: str = "") -> None:
        self._run(
            "delete",
            lambda genai: genai.conversations.delete(conversation_id),
            lambda _: self.deleted.emit(conversation_id, title),
        )

    @Slot(str)
    def undo_delete(self, conversation_id: str) -> None:
        self._run("undo", lambda genai: genai.conversations.undo_delete(conversation_id))

    @Slot(str, str)
    def set_draft(self, conversation_id: str, text: str) -> None:
        self._run("draft", lambda genai: genai.conversations.set_draft(conversation_id, text))

    @Slot(str, str)
    def set_system_prompt(self, conversation_id: str, text: str) -> None:
        self._run("system-prompt", lambda genai: genai.conversations.set_system_prompt(conversation_id, text))

    @Slot(str, str)
    def export(self, conversation_id: str, path: str) -> None:
        """Markdown or JSON by the suffix of `path` -> exported."""
        self._run(
            "export",
            lambda genai: genai.conversations.export(conversation_id, path),
            lambda _: self.exported.emit(conversation_id, path),
        )

    def load_model(self, model_id: str, options: dict[str, Any] | None = None) -> None:
        """Start the server with this model.

        options: LlamaServerConfig values a person set; absent = automatic.
        """
        self._run("load", lambda genai: genai.load_llm(model_id, options or {}))

    @Slot()
    def unload_model(self) -> None:
        self._run("unload", lambda genai: genai.stop_server("llama"))

    @Slot()
    def reload_model(self) -> None:
        self._run("reload", lambda genai: genai.restart_server("llama"))
