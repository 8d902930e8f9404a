"""Draws the fit badge in a table cell: a mark and a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, Qt
from PySide6.QtWidgets import QApplication, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from genai_desktop.ui.models.table_model import FIT_ROLE
from genai_desktop.ui.widgets.pill import FIT_TONES, draw_mark

if TYPE_CHECKING:
    from PySide6.QtCore import QObject
    from PySide6.QtGui import QPainter

    from genai_desktop.ui.theme import Theme


class FitDelegate(QStyledItemDelegate):
    """The background is the table's own."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        self.initStyleOption(option, index)
        text, option.text = option.text, ""
        style = option.widget.style() if option.widget is not None else QApplication.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        fit = index.data(FIT_ROLE)
        box = option.rect
        left = box.left() + 8
        if fit is not None and text:
            mark = QRectF(left, box.center().y() - 5, 10, 10)
            draw_mark(painter, self._theme, mark, FIT_TONES.get(fit.level, "off"))
            left += 16
        painter.save()
        painter.setPen(self._theme.color("text" if fit is not None else "muted"))
        painter.setFont(option.font)
        room = QRect(left, box.top(), box.right() - left - 4, box.height() - 2)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        painter.restore()
