"""The LLM Chat tab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QSplitter, QStackedLayout, QWidget

from genai_desktop.ui.chat.composer import Composer
from genai_desktop.ui.chat.conversations import ConversationList
from genai_desktop.ui.chat.gauge import ContextGauge
from genai_desktop.ui.chat.model_bar import ModelBar
from genai_desktop.ui.chat.side_panel import SidePanel
from genai_desktop.ui.chat.transcript import Transcript
from genai_desktop.ui.ui_state import decode, encode
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.format import duration
from genai_desktop.ui.widgets.layouts import column
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.chat import (
        ChatDelta,
        ChatMessage,
        ChatQueueState,
        Conversation,
        ConversationSummary,
    )
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.theme import Theme


class ChatPage(QWidget):
    """Renders what the chat facade publishes and reports what the person does."""

    open_requested = Signal(str)  # "models": where a missing model comes from
    announced = Signal(str, str, object)  # sentence, action, callback
    ui_changed = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._conversation: Conversation | None = None
        self._pending_text: tuple[str, tuple[str, ...]] | None = None  # sent before the conversation existed
        self._sent: tuple[str, str, tuple[str, ...]] | None = None  # conversation, text, pictures
        self._queue: ChatQueueState | None = None
        self._llm: ServerInfo | None = None
        self._has_models = True
        self._deleted = ("", "")
        self._is_streaming = False  # in the open conversation
        self.setProperty("kind", "page")
        whole = column(self, space=0)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setChildrenCollapsible(False)
        whole.addWidget(self._splitter)
        self.list = ConversationList(theme)
        self.list.setMinimumWidth(190)
        self.panel = SidePanel(theme)
        self.panel.setMinimumWidth(260)
        self.panel.hide()
        self._splitter.addWidget(self.list)
        self._splitter.addWidget(self._build_middle())
        self._splitter.addWidget(self.panel)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([230, 700, 300])
        self._connect()
        new = QShortcut(QKeySequence(QKeySequence.StandardKey.New), self)
        new.activated.connect(self._on_new)
        facades.chat.load()
        facades.models.load()

    def _build_middle(self) -> QWidget:
        middle = QWidget()
        whole = column(middle, space=0)
        self.bar = ModelBar(self._theme)
        whole.addWidget(self.bar)
        self.messages = MessageArea(self._theme)
        strips = column(margins=(16, 8, 16, 0))
        strips.addWidget(self.messages)
        whole.addLayout(strips)
        body = QWidget()
        self._stack = QStackedLayout(body)
        self.transcript = Transcript(self._theme)
        self._welcome = EmptyState(
            self._theme,
            "chat",
            self.tr("What would you like to know?"),
            self.tr("Everything stays on this computer. Type below; the model is loaded when you send."),
        )
        self._no_model = EmptyState(
            self._theme,
            "models",
            self.tr("No language model yet"),
            self.tr("Import a GGUF file or download one, then come back."),
            action=self.tr("Go to Models"),
        )
        if self._no_model.button is not None:
            self._no_model.button.clicked.connect(self._on_models)
        for widget in (self._welcome, self._no_model, self.transcript):
            self._stack.addWidget(widget)
        whole.addWidget(body, 1)
        foot = QWidget()
        bottom = column(foot, space=self._theme.space.s, margins=(24, 8, 24, 12))
        self.composer = Composer(self._theme)
        self.composer.setMaximumWidth(self._theme.px(820))
        self.gauge = ContextGauge(self._theme)
        self.gauge.setMaximumWidth(self._theme.px(820))
        bottom.addWidget(self.composer)
        bottom.addWidget(self.gauge)
        whole.addWidget(foot)
        return middle

    def _connect(self) -> None:
        chat, models = self._facades.chat, self._facades.models
        chat.conversations_changed.connect(self._on_conversations)
        chat.search_finished.connect(self._on_found)
        chat.conversation_opened.connect(self._on_opened)
        chat.branch_changed.connect(self._on_branch)
        chat.message_changed.connect(self._on_message)
        chat.delta_received.connect(self._on_delta)
        chat.state_changed.connect(self._on_state)
        chat.llm_changed.connect(self._on_llm)
        chat.deleted.connect(self._on_deleted)
        chat.failed.connect(self._on_failed)
        models.models_changed.connect(self._on_model_list)
        models.fits_changed.connect(self.bar.set_fits)
        self.list.opened.connect(chat.open)
        self.list.created.connect(self._on_new)
        self.list.searched.connect(self._on_search)
        self.list.rename_requested.connect(chat.rename)
        self.list.pin_requested.connect(chat.pin)
        self.list.delete_requested.connect(chat.delete)
        self.bar.load_requested.connect(self._on_load)
        self.bar.unload_requested.connect(chat.unload_model)
        self.bar.reload_requested.connect(self._on_reload)
        self.bar.panel_toggled.connect(self._on_panel)
        self.composer.sent.connect(self._on_send)
        self.composer.stopped.connect(self._on_stop)
        self.composer.draft_changed.connect(self._on_draft)
        self.panel.system_prompt_changed.connect(self._on_system_prompt)
        self.panel.changed.connect(self.ui_changed)
        self.transcript.regenerate_requested.connect(chat.regenerate)
        self.transcript.edit_requested.connect(chat.edit_and_resend)
        self.messages.acted.connect(self._on_message_action)
        self._splitter.splitterMoved.connect(self._on_splitter)

    # -- snapshots ------------------------------------------------------------------------------------------

    @Slot(object)
    def _on_conversations(self, rows: tuple[ConversationSummary, ...]) -> None:
        if self.list.query():
            self._facades.chat.search(self.list.query())
        else:
            self.list.set_rows(rows)
        if self._conversation is None and rows and self._pending_text is None:
            self._facades.chat.open(rows[0].id)

    @Slot(str, object)
    def _on_found(self, query: str, rows: tuple[ConversationSummary, ...]) -> None:
        if query == self.list.query():
            self.list.set_rows(rows)

    @Slot(object)
    def _on_opened(self, conversation: Conversation) -> None:
        is_other = self._conversation is None or self._conversation.summary.id != conversation.summary.id
        self.composer.keep_draft()  # of the one that is left
        self._conversation = conversation
        self.list.select(conversation.summary.id)
        self.transcript.show_messages(conversation.messages)
        self.panel.set_system_prompt(conversation.system_prompt)
        stats = next((m.stats for m in reversed(conversation.messages) if m.stats), None)
        self.gauge.set_stats(stats)
        pending, self._pending_text = self._pending_text, None
        if pending is not None:
            self._send(conversation.summary.id, *pending)
        elif is_other:
            self.composer.set_text(conversation.draft)
        self._show_middle()
        self._refresh_composer()
        self.composer.prompt.setFocus()

    @Slot(object)
    def _on_branch(self, conversation: Conversation) -> None:
        """Regenerated or edited: other messages are visible now; what is being typed stays."""
        if self._conversation is not None and conversation.summary.id == self._conversation.summary.id:
            self._conversation = conversation
            self.transcript.show_messages(conversation.messages)
            self._show_middle()

    @Slot(object)
    def _on_message(self, message: ChatMessage) -> None:
        if self._conversation is None or message.conversation_id != self._conversation.summary.id:
            return
        self.transcript.put(message)
        if message.stats is not None:
            self.gauge.set_stats(message.stats)
        self._show_middle()

    @Slot(object)
    def _on_delta(self, delta: ChatDelta) -> None:
        if self._conversation is None or delta.conversation_id != self._conversation.summary.id:
            return
        self.transcript.append(delta)
        if delta.stats is not None:
            self.gauge.set_stats(delta.stats)

    @Slot(object)
    def _on_state(self, state: ChatQueueState) -> None:
        opened = self._conversation.summary.id if self._conversation is not None else ""
        if state.conversation_id == opened:
            self._is_streaming = state.is_streaming
        elif state.conversation_id:
            return  # a reply in the background must not touch the buttons
        elif not opened:
            self._is_streaming = False
        self._queue = state
        self._refresh_composer()

    @Slot(object)
    def _on_llm(self, info: ServerInfo) -> None:
        self._llm = info
        self.bar.set_server(info)
        self.panel.set_server(info)
        n_ctx = info.effective.get("n_ctx") if info.status == "running" else 0
        self.gauge.set_context(int(n_ctx or 0))
        if info.status == "crashed":
            self.messages.show_message(
                "llm", "danger", info.error_message or self.tr("The model crashed."), info.error_remedy,
                action=self.tr("Load again"),
            )  # fmt: skip
        elif info.status == "running":
            self.messages.clear("llm")
            self.messages.clear("load")
        self._refresh_composer()

    @Slot(object)
    def _on_model_list(self, models: tuple[Any, ...]) -> None:
        self.bar.set_models(models)
        self._has_models = any(m.type == "llm" for m in models)
        self._show_middle()

    @Slot(str, str)
    def _on_deleted(self, conversation_id: str, title: str) -> None:
        self._deleted = (conversation_id, title)
        if self._conversation is not None and self._conversation.summary.id == conversation_id:
            self._conversation = None
            self.transcript.show_messages(())
            self.composer.set_text("")
            self._show_middle()
        self.announced.emit(
            self.tr("“{title}” was deleted.").format(title=title), self.tr("Undo"), self._undo_delete
        )

    def _undo_delete(self) -> None:
        self._facades.chat.undo_delete(self._deleted[0])

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        if failure.code == "CANCELLED":
            return  # by the person, who knows it
        key = "load" if failure.action in ("load", "reload") else "chat"
        action = self.tr("Load a model") if failure.code in ("NO_MODEL", "NOT_LOADED") else ""
        self.messages.show_message(key, "danger", failure.message, failure.remedy, action=action)
        pending, sent = self._pending_text, self._sent
        if failure.action == "create" and pending is not None:
            self._pending_text = None
            self.composer.give_back(*pending)
        elif failure.action == "send" and sent is not None:
            self._sent = None
            if self._conversation is not None and self._conversation.summary.id == sent[0]:
                self.composer.give_back(*sent[1:])
            else:
                self._facades.chat.set_draft(*sent[:2])

    # -- intents --------------------------------------------------------------------------------------------

    @Slot(str, tuple)
    def _on_send(self, text: str, pictures: tuple[str, ...]) -> None:
        self.messages.clear("chat")
        if not self._is_available():
            self._on_load(self.bar.model_id())
        if self._conversation is None:
            self._pending_text = (text, pictures)
            self._facades.chat.create()
            return
        self._send(self._conversation.summary.id, text, pictures)

    def _send(self, conversation_id: str, text: str, pictures: tuple[str, ...]) -> None:
        self._sent = (conversation_id, text, pictures)
        self._facades.chat.send(conversation_id, text, pictures, self.panel.sampling())

    def _is_available(self) -> bool:
        """Loaded, on its way, or away for a picture: sending is enough."""
        if self._queue is not None and self._queue.is_suspended:
            return True
        return self._llm is not None and self._llm.status in ("starting", "running")

    @Slot()
    def _on_stop(self) -> None:
        if self._conversation is not None:
            self._facades.chat.stop(self._conversation.summary.id)

    @Slot(str)
    def _on_draft(self, text: str) -> None:
        if self._conversation is not None:
            self._facades.chat.set_draft(self._conversation.summary.id, text)

    @Slot(str)
    def _on_system_prompt(self, text: str) -> None:
        if self._conversation is not None:
            self._facades.chat.set_system_prompt(self._conversation.summary.id, text)

    @Slot()
    def _on_new(self) -> None:
        if self._conversation is None or self.transcript.count():
            self._facades.chat.create()
        self.composer.prompt.setFocus()  # one that is still empty is new enough

    @Slot(str)
    def _on_search(self, query: str) -> None:
        if query:
            self._facades.chat.search(query)
        else:
            self._facades.chat.load()

    @Slot(str)
    def _on_load(self, model_id: str) -> None:
        if model_id:
            self._facades.chat.load_model(model_id, self.panel.options())

    @Slot()
    def _on_reload(self) -> None:
        self._on_load(self.bar.model_id())

    @Slot(str)
    def _on_message_action(self, key: str) -> None:
        if key in ("llm", "load", "chat"):
            self._on_load(self.bar.model_id())
            self.messages.clear(key)

    @Slot()
    def _on_models(self) -> None:
        self.open_requested.emit("models")

    @Slot(bool)
    def _on_panel(self, is_shown: bool) -> None:
        self.panel.setVisible(is_shown)
        self.ui_changed.emit()

    def show_model(self, model_id: str) -> None:
        """From the Models tab: "Chat with this"."""
        self.bar.choose(model_id)
        self._on_load(model_id)
        self.composer.prompt.setFocus()

    # -- state ----------------------------------------------------------------------------------------------

    def _show_middle(self) -> None:
        if self.transcript.count():
            self._stack.setCurrentWidget(self.transcript)
        elif not self._has_models:
            self._stack.setCurrentWidget(self._no_model)
        else:
            self._stack.setCurrentWidget(self._welcome)

    def _refresh_composer(self) -> None:
        queue, llm = self._queue, self._llm
        self.composer.set_streaming(self._is_streaming)
        hint = ""
        if queue is not None and queue.is_suspended:
            hint = self.tr("The model made room for a picture")
            if queue.eta is not None:
                hint = self.tr("{hint}, back in about {time}").format(
                    hint=hint, time=duration(max(1, round(queue.eta)))
                )
            if queue.waiting:
                hint += " · " + self.tr("{n} waiting").format(n=queue.waiting)
        elif llm is not None and llm.status == "starting":
            hint = self.tr("The model is loading; what you send waits for it")
        self.composer.set_hint(hint)

    # -- what the window calls ------------------------------------------------------------------------------

    def replay(self, latest: Latest) -> None:
        """What was said before this page was built."""
        if latest.models is not None:
            self._on_model_list(latest.models)
        self.bar.set_fits(latest.fits)
        if (info := latest.servers.get("llama")) is not None:
            self._on_llm(info)
        if latest.chat_state is not None:
            self._on_state(latest.chat_state)

    def prepare_quit(self) -> None:
        self.composer.keep_draft()

    def focus_default(self) -> None:
        self.composer.prompt.setFocus()

    def ui_state(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "form": self.panel.form(),
            "splitter": encode(self._splitter.saveState()),
            "panel": self.bar.panel_button.isChecked(),
        }

    def restore_ui(self, values: dict[str, Any]) -> None:
        form = values.get("form")
        if isinstance(form, dict):
            self.panel.set_form(form)
        self._splitter.restoreState(decode(values.get("splitter")))
        is_shown = values.get("panel") is True
        self.bar.panel_button.setChecked(is_shown)
        self.panel.setVisible(is_shown)

    @Slot(int, int)
    def _on_splitter(self, _position: int, _index: int) -> None:
        self.ui_changed.emit()
