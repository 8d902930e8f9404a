"""The list at the left: search, new, pin, rename, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
    Slot,
)
from PySide6.QtGui import QKeySequence, QPainter, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QInputDialog,
    QLineEdit,
    QListView,
    QMenu,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.format import when
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from genai_desktop.core.chat import ConversationSummary
    from genai_desktop.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
SUMMARY = Qt.ItemDataRole.UserRole


class ConversationModel(QAbstractListModel):
    """Summaries in the order the service gives them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[ConversationSummary] = []

    def set_rows(self, rows: tuple[ConversationSummary, ...]) -> None:
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.rows):
            return None
        summary = self.rows[index.row()]
        title = summary.title or self.tr("New chat")
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{title}, {when(summary.updated_at)}"
        return summary if role == SUMMARY else None


class _Delegate(QStyledItemDelegate):
    """Two lines: title, and when it was touched last; a pin where it is pinned."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(120, self._theme.px(48))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        summary: ConversationSummary = index.data(SUMMARY)
        theme = self._theme
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect: QRect = option.rect.adjusted(4, 1, -4, -1)
        state = option.state
        is_chosen = bool(state & QStyle.StateFlag.State_Selected)
        if is_chosen or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("accent_soft" if is_chosen else "hover"))
            painter.drawRoundedRect(rect, theme.radius, theme.radius)
        if is_chosen and state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(theme.color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect, theme.radius, theme.radius)
        inner = rect.adjusted(10, 5, -10, -5)
        if summary.is_pinned:
            painter.drawPixmap(inner.right() - 12, inner.top() + 2, theme.pixmap("pin", "muted", 12))
        font = theme.font("body")
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        width = inner.width() - (18 if summary.is_pinned else 0)
        title = painter.fontMetrics().elidedText(str(index.data()), Qt.TextElideMode.ElideRight, width)
        top = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(inner, top, title)
        painter.setFont(theme.font("meta"))
        painter.setPen(theme.color("muted"))
        bottom = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
        painter.drawText(inner, bottom, when(summary.updated_at))
        painter.restore()


class ConversationList(QFrame):
    """Reports what the person wants; the page decides."""

    opened = Signal(str)
    created = Signal()
    searched = Signal(str)
    rename_requested = Signal(str, str)  # id, new title
    pin_requested = Signal(str, bool)
    delete_requested = Signal(str, str)  # id, title

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "side")
        self._theme = theme
        self._current = ""
        whole = column(self, space=theme.space.s, margins=(12, 12, 12, 8))
        head = row(space=theme.space.s)
        self.new_button = Button(theme, self.tr("New chat"), icon="plus")
        self.new_button.setToolTip(self.tr("New chat (Ctrl+N)"))
        self.new_button.clicked.connect(self.created)
        head.addWidget(self.new_button, 1)
        whole.addLayout(head)
        self.search = QLineEdit()
        self.search.setObjectName("chat.search")
        self.search.setPlaceholderText(self.tr("Search all chats"))
        self.search.setAccessibleName(self.tr("Search all chats"))
        self.search.setClearButtonEnabled(True)
        self.search.addAction(theme.tint("search", "muted", 16), QLineEdit.ActionPosition.LeadingPosition)
        whole.addWidget(self.search)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(200)
        self._delay.timeout.connect(self._on_search)
        self.search.textChanged.connect(self._delay.start)
        self.model = ConversationModel(self)
        self.view = QListView()
        self.view.setObjectName("chat.conversations")
        self.view.setAccessibleName(self.tr("Conversations"))
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Delegate(theme, self.view))
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.view.clicked.connect(self._on_chosen)
        self.view.activated.connect(self._on_chosen)
        self._empty = EmptyState(
            theme, "chat", self.tr("No chats yet"), self.tr("What you ask is kept here.")
        )
        self._nothing = EmptyState(theme, "search", self.tr("Nothing found"), self.tr("Try another word."))
        body = QWidget()
        self._stack = QStackedLayout(body)
        for widget in (self._empty, self._nothing, self.view):
            self._stack.addWidget(widget)
        whole.addWidget(body, 1)
        delete = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.view)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self._on_delete)
        rename = QShortcut(QKeySequence(Qt.Key.Key_F2), self.view)
        rename.setContext(Qt.ShortcutContext.WidgetShortcut)
        rename.activated.connect(self._on_rename)

    def set_rows(self, rows: tuple[ConversationSummary, ...]) -> None:
        self.model.set_rows(rows)
        if rows:
            self._stack.setCurrentWidget(self.view)
        else:
            self._stack.setCurrentWidget(self._nothing if self.search.text().strip() else self._empty)
        self.select(self._current)

    def select(self, conversation_id: str) -> None:
        """Mark the open one."""
        self._current = conversation_id
        for position, summary in enumerate(self.model.rows):
            if summary.id == conversation_id:
                self.view.setCurrentIndex(self.model.index(position))
                return
        self.view.clearSelection()

    def query(self) -> str:
        return self.search.text().strip()

    def _chosen(self) -> ConversationSummary | None:
        index = self.view.currentIndex()
        return index.data(SUMMARY) if index.isValid() else None

    @Slot()
    def _on_search(self) -> None:
        self.searched.emit(self.query())

    @Slot(QModelIndex)
    def _on_chosen(self, index: QModelIndex) -> None:
        summary = index.data(SUMMARY)
        if summary is not None and summary.id != self._current:
            self.opened.emit(summary.id)

    @Slot(QPoint)
    def _on_menu(self, position: QPoint) -> None:
        index = self.view.indexAt(position)
        if not index.isValid():
            return
        summary: ConversationSummary = index.data(SUMMARY)
        self.view.setCurrentIndex(index)
        menu = QMenu(self)
        rename = menu.addAction(self._theme.tint("edit", "muted", 16), self.tr("Rename"))
        pin = menu.addAction(
            self._theme.tint("pin", "muted", 16), self.tr("Unpin") if summary.is_pinned else self.tr("Pin")
        )
        menu.addSeparator()
        delete = menu.addAction(self._theme.tint("trash", "danger", 16), self.tr("Delete"))
        chosen = menu.exec(self.view.viewport().mapToGlobal(position))
        if chosen is rename:
            self._on_rename()
        elif chosen is pin:
            self.pin_requested.emit(summary.id, not summary.is_pinned)
        elif chosen is delete:
            self.delete_requested.emit(summary.id, summary.title)

    @Slot()
    def _on_rename(self) -> None:
        summary = self._chosen()
        if summary is None:
            return
        title, accepted = QInputDialog.getText(
            self, self.tr("Rename chat"), self.tr("Title"), QLineEdit.EchoMode.Normal, summary.title
        )
        if accepted and title.strip():
            self.rename_requested.emit(summary.id, title.strip())

    @Slot()
    def _on_delete(self) -> None:
        summary = self._chosen()
        if summary is not None:
            self.delete_requested.emit(summary.id, summary.title)
