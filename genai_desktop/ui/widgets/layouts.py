"""Short ways to the few layouts there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QBoxLayout, QFrame, QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

Margins = int | tuple[int, int, int, int]


def _set_up(layout: QBoxLayout, space: int, margins: Margins) -> None:
    layout.setSpacing(space)
    layout.setContentsMargins(*((margins,) * 4 if isinstance(margins, int) else margins))


def column(parent: QWidget | None = None, *, space: int = 8, margins: Margins = 0) -> QVBoxLayout:
    """A vertical layout; margins: one number, or left, top, right, bottom."""
    layout = QVBoxLayout(parent) if parent is not None else QVBoxLayout()
    _set_up(layout, space, margins)
    return layout


def row(parent: QWidget | None = None, *, space: int = 8, margins: Margins = 0) -> QHBoxLayout:
    """A horizontal layout; margins as in `column`."""
    layout = QHBoxLayout(parent) if parent is not None else QHBoxLayout()
    _set_up(layout, space, margins)
    return layout


def line(*, vertical: bool = False) -> QFrame:
    """A hairline in the colour of borders."""
    frame = QFrame()
    frame.setProperty("kind", "vline" if vertical else "line")
    return frame


class ResponsiveGrid(QWidget):
    """Equal columns, as many as fit; cells of a row are equally high, the last cell fills its row."""

    def __init__(
        self, min_width: int, *, space: int = 12, max_columns: int = 4, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._min_width = min_width
        self._max_columns = max_columns
        self._items: tuple[QWidget, ...] = ()
        self._columns = 0
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(space)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)

    def keep(self, *items: QWidget) -> None:
        """Take over widgets that are shown later: nothing may lie about without a parent."""
        for item in items:
            item.setParent(self)
            item.hide()

    def set_items(self, items: Sequence[QWidget]) -> None:
        """Show exactly these, in this order; the ones left out are hidden, not deleted."""
        for old in self._items:
            if old not in items:
                self._grid.removeWidget(old)
                old.hide()
        self._items = tuple(items)
        self._columns = 0
        self._arrange()
        for item in self._items:
            item.show()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        if not self._items:
            return
        space = self._grid.horizontalSpacing()
        fitting = max(1, (self.width() + space) // (self._min_width + space))
        columns = min(self._max_columns, fitting, len(self._items))
        if columns == self._columns:
            return
        for index in range(self._grid.columnCount()):
            self._grid.setColumnStretch(index, 0)
        self._columns = columns
        last = len(self._items) - 1
        for index, item in enumerate(self._items):
            place = index % columns
            span = columns - place if index == last else 1
            self._grid.addWidget(item, index // columns, place, 1, span)
        for index in range(columns):
            self._grid.setColumnStretch(index, 1)

    def minimumSizeHint(self) -> QSize:
        return QSize(self._min_width, super().minimumSizeHint().height())


class WrapRow(QWidget):
    """Two parts beside each other, or below each other when there is less than `threshold` of width."""

    def __init__(self, left: QWidget, right: QWidget, threshold: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts = (left, right)
        self._threshold = threshold
        self._box = row(self, space=12)
        self._box.addWidget(left, 1)
        self._box.addWidget(right)

    def minimumSizeHint(self) -> QSize:
        width = max(part.minimumSizeHint().width() for part in self._parts)
        return QSize(width, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = event.size().width() < self._threshold
        wanted = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        if self._box.direction() != wanted:
            self._box.setDirection(wanted)
            self._box.setSpacing(4 if narrow else 12)
            self.updateGeometry()
