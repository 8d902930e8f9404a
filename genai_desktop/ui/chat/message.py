"""One message of the transcript."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication, QPixmap
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from genai_desktop.ui.chat import markdown
from genai_desktop.ui.chat.blocks import CodeBlock, EditBox, ProseBlock, ReasoningBlock, TextBlock
from genai_desktop.ui.widgets.buttons import IconButton
from genai_desktop.ui.widgets.format import duration, token_rate
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.strip import MessageStrip

if TYPE_CHECKING:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QEnterEvent, QFocusEvent, QResizeEvent

    from genai_desktop.core.chat import ChatDelta, ChatMessage
    from genai_desktop.ui.theme import Theme


LONG_PROSE = 1500  # characters; what is settled in longer prose is frozen


class MessageView(QFrame):
    """Renders a message; while it streams only its last, still open block is laid out again."""

    regenerate_requested = Signal(str)  # message id
    edit_requested = Signal(str, str)  # message id, new text

    def __init__(self, theme: Theme, message: ChatMessage, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.message = message
        self._is_user = message.role == "user"
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._reasoning: ReasoningBlock | None = None
        self._edit: EditBox | None = None
        self._frozen: list[ProseBlock | CodeBlock | TextBlock] = []
        self._open: ProseBlock | CodeBlock | TextBlock | None = None  # the last one, which may still grow
        self._open_from = 0  # offset in the content where it begins
        self._strip: MessageStrip | None = None
        self._longest = 0  # pixels of the widest line of a question
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        space = theme.space
        outer = row(self, space=0)
        if self._is_user:
            outer.addStretch(1)
        side = column(space=2)
        side.setAlignment(Qt.AlignmentFlag.AlignRight if self._is_user else Qt.AlignmentFlag(0))
        self._bubble = QFrame()
        self._bubble.setSizePolicy(
            QSizePolicy.Policy.Maximum if self._is_user else QSizePolicy.Policy.Expanding,
            QSizePolicy.Policy.Maximum,
        )
        if self._is_user:
            self._bubble.setProperty("kind", "well")
        self._body = column(self._bubble, space=space.s, margins=(14, 10, 14, 10) if self._is_user else 0)
        side.addWidget(self._bubble)
        outer.addLayout(side, 6 if self._is_user else 1)
        for path in message.images:
            self._add_picture(path)
        self._content = column(space=space.s)
        self._body.addLayout(self._content)
        self._foot = row(space=space.xs)
        self._meta = label("", "meta")
        self._actions = self._make_actions()
        self._foot.addWidget(self._meta)
        self._foot.addStretch(1)
        for button in self._actions:
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # nothing may move when the pointer passes
            button.setSizePolicy(policy)
            self._foot.addWidget(button)
        side.addLayout(self._foot)
        self._show_actions(False)
        theme.changed.connect(self.refresh)
        self._render()

    # -- what changes ---------------------------------------------------------------------------------------

    def set_message(self, message: ChatMessage) -> None:
        """A new snapshot: state, whole text, statistics."""
        old, self.message = self.message, message
        if message.content != old.content and not message.content.startswith(old.content):
            self._clear_blocks()
        self._render()

    def append(self, delta: ChatDelta) -> None:
        """What arrived since the last one."""
        self.message = replace(
            self.message,
            content=self.message.content + delta.content,
            reasoning=self.message.reasoning + delta.reasoning,
            stats=delta.stats or self.message.stats,
            finish_reason=delta.finish_reason or self.message.finish_reason,
        )
        self._render(progress=delta.prompt_progress)

    @Slot()
    def refresh(self) -> None:
        """Again, in the colours and sizes of now."""
        self._clear_blocks()
        self._render()
        if self._reasoning is not None:
            self._reasoning.refresh()

    # -- drawing --------------------------------------------------------------------------------------------

    def _render(self, progress: float | None = None) -> None:
        message = self.message
        if message.reasoning:
            if self._reasoning is None:
                self._reasoning = ReasoningBlock(self._theme)
                self._body.insertWidget(self._body.indexOf(self._content), self._reasoning)
            is_running = message.state == "streaming" and not message.content
            self._reasoning.set_reasoning(message.reasoning, message.reasoning_seconds, is_running=is_running)
        if self._is_user:
            self._render_plain(message.content)
        else:
            self._render_markdown(message.content)
        self._render_state(progress)

    def _render_plain(self, text: str) -> None:
        if self._open is None:
            block = TextBlock(self._theme)
            self._open = block
            self._content.addWidget(block)
        if isinstance(self._open, TextBlock):
            self._open.set_plain(text)
        # a short question makes a small bubble, a long one at most six sevenths of the width
        longest = max(
            (self.fontMetrics().horizontalAdvance(part) for part in text.splitlines()[:50]), default=0
        )
        self._longest = longest + 36
        self._fit_bubble()

    def _render_markdown(self, text: str) -> None:
        parts = markdown.split(text, self._open_from)
        for index, part in enumerate(parts):
            if index > 0 or self._open is None or isinstance(self._open, CodeBlock) != part.is_code:
                if index == 0 and self._open is not None:  # the open piece turned out to be of the other kind
                    self._content.removeWidget(self._open)
                    self._open.deleteLater()
                self._open = CodeBlock(self._theme) if part.is_code else ProseBlock(self._theme)
                self._content.addWidget(self._open)
            if isinstance(self._open, CodeBlock):
                self._open.set_source(part.text, part.language or "")
            elif isinstance(self._open, ProseBlock):
                self._open.set_source(part.text)
            if index < len(parts) - 1:
                self._freeze(part.end)
        tail = len(text) - self._open_from
        if isinstance(self._open, ProseBlock) and tail > LONG_PROSE:
            cut = markdown.settled(text, self._open_from)
            if cut > self._open_from:
                self._open.set_source(text[self._open_from : cut])
                self._freeze(cut)
                self._render_markdown(text)

    def _freeze(self, end: int) -> None:
        """What is drawn so far is final: it is never parsed or laid out again."""
        if self._open is not None:
            self._frozen.append(self._open)
        self._open = None
        self._open_from = end

    def _clear_blocks(self) -> None:
        for block in (*self._frozen, *(() if self._open is None else (self._open,))):
            self._content.removeWidget(block)
            block.deleteLater()
        self._frozen.clear()
        self._open = None
        self._open_from = 0

    def _add_picture(self, path: str) -> None:
        pixmap = QPixmap(path)
        if pixmap.isNull():
            return
        picture = QLabel()
        picture.setPixmap(
            pixmap.scaledToHeight(min(160, pixmap.height()), mode=Qt.TransformationMode.SmoothTransformation)
            if pixmap.height() > 160
            else pixmap
        )
        picture.setAccessibleName(self.tr("Attached picture"))
        self._body.addWidget(picture)

    def _render_state(self, progress: float | None) -> None:
        message = self.message
        text = ""
        if message.state == "waiting" and self._is_user:
            text = self.tr("Waits for the model, then it is sent")
        elif message.state == "streaming" and not message.content and not message.reasoning:
            text = self.tr("Reading the prompt …")
            if progress is not None:
                text = self.tr("Reading the prompt, {percent} %").format(percent=round(100 * progress))
        elif message.stats is not None and message.state != "streaming":
            stats = message.stats
            parts = [
                token_rate(stats.tokens_per_second),
                self.tr("{n} tokens").format(n=stats.completion_tokens),
            ]
            if stats.first_token_seconds:
                parts.append(self.tr("first after {time}").format(time=duration(stats.first_token_seconds)))
            if message.finish_reason == "length":
                parts.append(self.tr("cut at the token limit"))
            text = " · ".join(p for p in parts if p)
        if message.state == "stopped":
            text = f"{self.tr('stopped')} · {text}" if text else self.tr("stopped")
        self._meta.setText(text)
        self._show_problem()

    def _show_problem(self) -> None:
        message = self.message
        if message.state in ("failed", "interrupted"):
            words = message.error or (
                self.tr("The reply was interrupted; what had arrived is kept.")
                if message.state == "interrupted"
                else self.tr("The reply failed.")
            )
            if self._strip is None:
                self._strip = MessageStrip(
                    self._theme, "warn", words, action=self.tr("Try again"), dismissable=False
                )
                self._strip.acted.connect(self._on_regenerate)
                self._body.addWidget(self._strip)
            self._strip.set_message("warn", words, "", self.tr("Try again"))
        elif self._strip is not None:
            self._body.removeWidget(self._strip)
            self._strip.deleteLater()
            self._strip = None

    # -- actions --------------------------------------------------------------------------------------------

    def _make_actions(self) -> list[IconButton]:
        copy = IconButton(self._theme, "copy", self.tr("Copy message"), size=16)
        copy.clicked.connect(self._on_copy)
        if self._is_user:
            edit = IconButton(self._theme, "edit", self.tr("Edit and send again"), size=16)
            edit.clicked.connect(self._on_edit)
            return [edit, copy]
        again = IconButton(self._theme, "retry", self.tr("Reply again"), size=16)
        again.clicked.connect(self._on_regenerate)
        return [again, copy]

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self._show_actions(True)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._show_actions(self.hasFocus() or any(b.hasFocus() for b in self._actions))

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._show_actions(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._show_actions(self.underMouse())

    def _show_actions(self, is_shown: bool) -> None:
        is_settled = self.message.state not in ("streaming", "waiting")
        for button in self._actions:
            button.setVisible(is_shown and is_settled)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_bubble()

    def _fit_bubble(self) -> None:
        if self._is_user:
            room = max(160, self.width() * 6 // 7)
            self._bubble.setMaximumWidth(room)
            self._bubble.setMinimumWidth(min(room, 560, self._longest))

    @Slot()
    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.message.content)

    @Slot()
    def _on_regenerate(self) -> None:
        self.regenerate_requested.emit(self.message.id)

    @Slot()
    def _on_edit(self) -> None:
        if self._edit is not None:
            return
        self._edit = EditBox(self._theme, self.message.content)
        self._edit.accepted.connect(self._on_edited)
        self._edit.rejected.connect(self._on_edit_closed)
        self._longest = 560
        self._fit_bubble()
        self._body.insertWidget(0, self._edit)
        self._edit.edit.setFocus()

    @Slot(str)
    def _on_edited(self, text: str) -> None:
        self._on_edit_closed()
        self.edit_requested.emit(self.message.id, text)

    @Slot()
    def _on_edit_closed(self) -> None:
        if self._edit is not None:
            self._body.removeWidget(self._edit)
            self._edit.deleteLater()
            self._edit = None
            self._render()
