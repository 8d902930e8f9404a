"""The pictures made so far: search, look, keep, throw away and take back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QRunnable,
    QSize,
    Qt,
    QThreadPool,
    QTimer,
    QUrl,
    Signal,
    Slot,
)
from PySide6.QtGui import (
    QDesktopServices,
    QGuiApplication,
    QImage,
    QKeySequence,
    QPainter,
    QPainterPath,
    QPixmap,
    QShortcut,
)
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLineEdit,
    QListView,
    QMenu,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column

if TYPE_CHECKING:
    from genai_desktop.core.images import GalleryItem
    from genai_desktop.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ITEM = Qt.ItemDataRole.UserRole
CELL = 92  # pixels: two fit into the narrowest column
KEPT = 400  # thumbnails kept in memory


class GalleryModel(QAbstractListModel):
    """Newest first. Thumbnails are read when they are first painted, and only so many are kept."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.items: list[GalleryItem] = []
        self._thumbnails: dict[str, QPixmap] = {}

    def set_items(self, items: tuple[GalleryItem, ...]) -> None:
        self.beginResetModel()
        self.items = list(items)
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.items):
            return None
        item = self.items[index.row()]
        if role == ITEM:
            return item
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{item.prompt}\n{item.width}\u00d7{item.height}, {item.seed}"
        return None

    def thumbnail(self, item: GalleryItem) -> QPixmap:
        """A small picture; a null one when the file is gone."""
        if item.id not in self._thumbnails:
            if len(self._thumbnails) >= KEPT:
                self._thumbnails.pop(next(iter(self._thumbnails)))
            self._thumbnails[item.id] = QPixmap(item.thumbnail)
        return self._thumbnails[item.id]


class _Delegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, model: GalleryModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._model = theme, model

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(CELL, CELL)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        item: GalleryItem = index.data(ITEM)
        theme = self._theme
        rect = QRectF(option.rect).adjusted(4, 4, -4, -4)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        shape = QPainterPath()
        shape.addRoundedRect(rect, theme.radius, theme.radius)
        painter.fillPath(shape, theme.color("track"))
        pixmap = self._model.thumbnail(item)
        if pixmap.isNull() or item.is_missing:
            icon = theme.pixmap("eye-off", "muted", 20)
            painter.drawPixmap(int(rect.center().x()) - 10, int(rect.center().y()) - 10, icon)
        else:
            painter.setClipPath(shape)
            edge = min(pixmap.width(), pixmap.height())
            source = QRectF((pixmap.width() - edge) / 2, (pixmap.height() - edge) / 2, edge, edge)
            painter.drawPixmap(rect, pixmap, source)
            painter.setClipping(False)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(theme.color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(-1.5, -1.5, 1.5, 1.5), theme.radius, theme.radius)
        painter.restore()


class _Copy(QRunnable):
    """Copying a picture is the disk's pace, not the window's."""

    def __init__(self, source: str, target: str) -> None:
        super().__init__()
        self._source, self._target = source, target

    def run(self) -> None:
        partial = Path(self._target).with_name(f".{Path(self._target).name}.part")
        shutil.copyfile(self._source, partial)
        partial.replace(self._target)


class GalleryView(QFrame):
    """Search above, thumbnails below."""

    chosen = Signal(object)  # GalleryItem
    reused = Signal(object)  # GalleryItem: its settings into the form
    deleted = Signal(str)
    searched = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        whole = column(self, space=theme.space.s)
        whole.addWidget(label(self.tr("Gallery"), "section"))
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Prompt, model or seed"))
        self.search.setAccessibleName(self.tr("Search the gallery"))
        self.search.setClearButtonEnabled(True)
        self.search.addAction(theme.tint("search", "muted", 16), QLineEdit.ActionPosition.LeadingPosition)
        whole.addWidget(self.search)
        self._delay = QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.setInterval(200)
        self._delay.timeout.connect(self._on_search)
        self.search.textChanged.connect(self._delay.start)
        self.model = GalleryModel(self)
        self.view = QListView()
        self.view.setObjectName("images.gallery")
        self.view.setAccessibleName(self.tr("Gallery"))
        self.view.setModel(self.model)
        self.view.setItemDelegate(_Delegate(theme, self.model, self.view))
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setUniformItemSizes(True)
        self.view.setSpacing(0)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._on_menu)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.doubleClicked.connect(self._on_open)
        delete = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.view)
        delete.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self._on_delete)
        self._empty = EmptyState(theme, "images", self.tr("No pictures yet"), self.tr("They are kept here."))
        self._nothing = EmptyState(theme, "search", self.tr("Nothing found"))
        body = QWidget()
        self._stack = QStackedLayout(body)
        for widget in (self._empty, self._nothing, self.view):
            self._stack.addWidget(widget)
        whole.addWidget(body, 1)

    def set_items(self, items: tuple[GalleryItem, ...]) -> None:
        self.model.set_items(items)
        if items:
            self._stack.setCurrentWidget(self.view)
        else:
            self._stack.setCurrentWidget(self._nothing if self.query() else self._empty)

    def query(self) -> str:
        return self.search.text().strip()

    def current(self) -> GalleryItem | None:
        index = self.view.currentIndex()
        return index.data(ITEM) if index.isValid() else None

    @Slot()
    def _on_search(self) -> None:
        self.searched.emit(self.query())

    @Slot(QModelIndex, QModelIndex)
    def _on_current(self, index: QModelIndex, _previous: QModelIndex) -> None:
        item = index.data(ITEM) if index.isValid() else None
        if item is not None:
            self.chosen.emit(item)

    @Slot()
    def _on_delete(self) -> None:
        item = self.current()
        if item is not None:
            self.deleted.emit(item.id)

    @Slot(QModelIndex)
    def _on_open(self, index: QModelIndex) -> None:
        item = index.data(ITEM)
        if item is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(item.path))

    @Slot(QPoint)
    def _on_menu(self, position: QPoint) -> None:
        index = self.view.indexAt(position)
        item: GalleryItem | None = index.data(ITEM) if index.isValid() else None
        if item is None:
            return
        menu = QMenu(self)
        tint = self._theme.tint
        reuse = menu.addAction(tint("retry", "muted", 16), self.tr("Use these settings"))
        copy = menu.addAction(tint("copy", "muted", 16), self.tr("Copy picture"))
        save = menu.addAction(tint("save", "muted", 16), self.tr("Save as …"))
        folder = menu.addAction(tint("folder", "muted", 16), self.tr("Open folder"))
        menu.addSeparator()
        delete = menu.addAction(tint("trash", "danger", 16), self.tr("Delete"))
        chosen = menu.exec(self.view.viewport().mapToGlobal(position))
        if chosen is reuse:
            self.reused.emit(item)
        elif chosen is copy:
            QGuiApplication.clipboard().setImage(QImage(item.path))
        elif chosen is save:
            self._save(item)
        elif chosen is folder:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(Path(item.path).parent)))
        elif chosen is delete:
            self.deleted.emit(item.id)

    def _save(self, item: GalleryItem) -> None:
        target, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save picture"), Path(item.path).name, self.tr("PNG pictures") + " (*.png)"
        )
        if target:
            QThreadPool.globalInstance().start(_Copy(item.path, target))
