"""The middle of the chat: follows the stream only while the reader is at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from genai_desktop.ui.chat.message import MessageView
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from genai_desktop.core.chat import ChatDelta, ChatMessage
    from genai_desktop.ui.theme import Theme

PAGE = 30  # messages drawn at once; older ones come with a button
WIDTH = 820  # pixels of text at most: longer lines are hard to read


class Transcript(QScrollArea):
    """Draws the newest messages of a conversation."""

    regenerate_requested = Signal(str)
    edit_requested = Signal(str, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._all: list[ChatMessage] = []
        self._views: dict[str, MessageView] = {}
        self._first = 0  # index of the oldest message drawn
        self._is_following = True
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(0)
        self._settle.timeout.connect(self._on_settled)
        self.setObjectName("chat.transcript")
        self.setAccessibleName(self.tr("Conversation"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        page = self._page = QWidget()
        page.setProperty("kind", "page")
        outer = row(page, margins=(24, 16, 24, 16))
        outer.addStretch(1)
        self._middle = QWidget()
        self._middle.setMaximumWidth(theme.px(WIDTH))
        self._column = column(self._middle, space=theme.space.m)
        outer.addWidget(self._middle, 100)
        outer.addStretch(1)
        self._older = Button(theme, self.tr("Show earlier messages"), kind="ghost", icon="chevron-up")
        self._older.clicked.connect(self._on_older)
        self._column.addWidget(self._older, 0, Qt.AlignmentFlag.AlignHCenter)
        self._column.addStretch(1)
        self.setWidget(page)
        page.installEventFilter(self)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self._jump = Button(theme, self.tr("Newest"), icon="arrow-down", parent=self)
        self._jump.clicked.connect(self._on_jump)
        self._jump.hide()
        theme.changed.connect(self._on_theme)

    # -- content --------------------------------------------------------------------------------------------

    def show_messages(self, messages: tuple[ChatMessage, ...]) -> None:
        """A whole conversation; the view goes to its end."""
        for view in self._views.values():
            self._column.removeWidget(view)
            view.hide()
            view.deleteLater()
        self._views.clear()
        self._all = list(messages)
        self._first = max(0, len(self._all) - PAGE)
        for message in self._all[self._first :]:
            self._add(message)
        self._older.setVisible(self._first > 0)
        self._is_following = True
        self._follow()

    def put(self, message: ChatMessage) -> None:
        """A new message, or a new snapshot of one that is there."""
        for index, known in enumerate(self._all):
            if known.id == message.id:
                self._all[index] = message
                if (view := self._views.get(message.id)) is not None:
                    view.set_message(message)
                return
        self._all.append(message)
        if message.role == "user":
            self._is_following = True
        self._add(message)

    def append(self, delta: ChatDelta) -> None:
        view = self._views.get(delta.message_id)
        if view is not None:
            view.append(delta)

    def count(self) -> int:
        return len(self._all)

    def view(self, message_id: str) -> MessageView | None:
        return self._views.get(message_id)

    def text(self) -> str:
        """Everything as plain text, for tests and screen readers."""
        return "\n\n".join(m.content for m in self._all)

    # -- inside ---------------------------------------------------------------------------------------------

    def _add(self, message: ChatMessage, at: int = -1) -> None:
        view = MessageView(self._theme, message)
        view.regenerate_requested.connect(self.regenerate_requested)
        view.edit_requested.connect(self.edit_requested)
        self._views[message.id] = view
        # the stretch stays last: few messages begin at the top
        self._column.insertWidget(self._column.count() - 1 if at < 0 else at, view)

    @Slot()
    def _on_older(self) -> None:
        start = max(0, self._first - PAGE)
        self._is_following = False
        before = self._page.height()
        for offset, message in enumerate(self._all[start : self._first]):
            self._add(message, at=1 + offset)
        self._first = start
        self._older.setVisible(start > 0)
        self._page.adjustSize()
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + self._page.height() - before)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # the scroll bar learns of a new height only after the page was laid out
        if watched is self._page and event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            self._settle.start()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_jump()
        if self._is_following:
            self._follow()

    @Slot()
    def _on_settled(self) -> None:
        if self._is_following:
            self._follow()

    def _follow(self) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum())

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        bar = self.verticalScrollBar()
        is_at_end = value >= bar.maximum() - 8
        if bar.isSliderDown() or is_at_end or value < bar.maximum() - 48:
            self._is_following = is_at_end
        self._jump.setVisible(not is_at_end and bar.maximum() > 0)
        self._place_jump()

    def _place_jump(self) -> None:
        self._jump.adjustSize()
        self._jump.move(
            (self.viewport().width() - self._jump.width()) // 2, self.height() - self._jump.height() - 12
        )
        self._jump.raise_()

    @Slot()
    def _on_jump(self) -> None:
        self._is_following = True
        self._follow()

    @Slot()
    def _on_theme(self) -> None:
        self._middle.setMaximumWidth(self._theme.px(WIDTH))
