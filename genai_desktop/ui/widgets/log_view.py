"""A log of up to a million lines: only what is visible is drawn; it follows only a reader at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QGuiApplication, QKeySequence, QPainter
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QWidget

from genai_desktop.ui.widgets.format import clock
from genai_desktop.ui.widgets.log_lines import LogLines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent

    from genai_desktop.core.servers import LogEntry
    from genai_desktop.ui.theme import Theme

_COPIED = 10_000  # lines that Copy takes when nothing is selected
_SLICE = 20_000  # entries one turn of the loop may filter
_STAMP = len("00:00:00  ")
_LEVEL = len("error  ")
_COLORS = {"debug": "muted", "info": "muted", "warn": "warn", "error": "danger"}


class LogView(QAbstractScrollArea):
    """Append entries; the view does the rest. Click, Shift+click or drag to select, Ctrl+C to copy."""

    following_changed = Signal(bool)
    count_changed = Signal(int, int)  # shown, all

    def __init__(self, theme: Theme, limit: int = 1_000_000, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setFrameShape(QFrame.Shape.NoFrame)
        self._lines = LogLines(limit)
        self._following = True
        self._longest = 0
        self._anchor = self._cursor = -1
        self._empty_text = self.tr("No lines yet.")
        self._filtering = QTimer(self)
        self._filtering.setInterval(0)
        self._filtering.timeout.connect(self._on_filtering)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Log"))
        self.viewport().setCursor(Qt.CursorShape.IBeamCursor)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        theme.changed.connect(self._on_theme)
        self._on_theme()

    # -- content --------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add lines at the end."""
        if not entries:
            return
        longest = max(len(entry.message) for entry in entries)
        gone = self._lines.append(entries)
        if gone:
            self._anchor, self._cursor = max(-1, self._anchor - gone), max(-1, self._cursor - gone)
        self._longest = max(self._longest, longest)
        value = self.verticalScrollBar().value()
        self._set_ranges()
        if self._following:
            self.scroll_to_end()
        elif gone:
            self.verticalScrollBar().setValue(max(0, value - gone))
        self._tell()

    def set_entries(self, entries: Sequence[LogEntry]) -> None:
        """Show exactly these."""
        self._lines.clear()
        self._longest = 0
        self._anchor = self._cursor = -1
        self._set_ranges()
        self.append(entries)
        self._tell()

    def set_filter(self, needle: str, level: str = "debug") -> None:
        """Only lines with this text and at least this level: debug, info, warn, error."""
        self._lines.set_filter(needle, level)
        self._anchor = self._cursor = -1
        self._on_filtering()

    def set_empty_text(self, text: str) -> None:
        self._empty_text = text
        self.viewport().update()

    @property
    def lines(self) -> LogLines:
        return self._lines

    @property
    def is_following(self) -> bool:
        """The reader is at the end: new lines scroll."""
        return self._following

    @Slot()
    def scroll_to_end(self) -> None:
        bar = self.verticalScrollBar()
        bar.setValue(bar.maximum())

    @Slot()
    def copy(self) -> None:
        """The selected lines, or the last ones shown, to the clipboard."""
        QGuiApplication.clipboard().setText(self.selected_text() or self.last_text(_COPIED))

    def selected_text(self) -> str:
        first, last = sorted((self._anchor, self._cursor))
        if first < 0:
            return ""
        return "\n".join(
            self._lines.shown(i).to_line() for i in range(first, min(last + 1, len(self._lines)))
        )

    def last_text(self, count: int) -> str:
        """The last shown lines in the format of the log files."""
        end = len(self._lines)
        return "\n".join(self._lines.shown(index).to_line() for index in range(max(0, end - count), end))

    @Slot()
    def _on_filtering(self) -> None:
        self._lines.scan(_SLICE)
        if self._lines.is_filtering:
            self._filtering.start()
        else:
            self._filtering.stop()
        self._set_ranges()
        if self._following:
            self.scroll_to_end()
        self._tell()

    def _tell(self) -> None:
        self.viewport().update()
        self.count_changed.emit(len(self._lines), self._lines.total)

    # -- geometry -------------------------------------------------------------------------------------------

    @Slot()
    def _on_theme(self) -> None:
        font = self._theme.font("mono")
        self.viewport().setFont(font)
        metrics = self.viewport().fontMetrics()
        self._row = metrics.height() + 4
        self._char = max(1, metrics.horizontalAdvance("0"))
        self._set_ranges()
        self.viewport().update()

    def _visible_rows(self) -> int:
        return max(1, self.viewport().height() // self._row)

    def _set_ranges(self) -> None:
        vertical, horizontal = self.verticalScrollBar(), self.horizontalScrollBar()
        vertical.setRange(0, max(0, len(self._lines) - self._visible_rows()))
        vertical.setPageStep(self._visible_rows())
        width = (self._longest + _STAMP + _LEVEL) * self._char + 16
        horizontal.setRange(0, max(0, width - self.viewport().width()))
        horizontal.setPageStep(self.viewport().width())
        horizontal.setSingleStep(self._char * 4)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        following = self._following
        self._set_ranges()
        if following:
            self.scroll_to_end()

    @Slot(int)
    def _on_scrolled(self, value: int) -> None:
        following = value >= self.verticalScrollBar().maximum()
        if following != self._following:
            self._following = following
            self.following_changed.emit(following)
        self.viewport().update()

    # -- drawing --------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        area = self.viewport().rect()
        painter.fillRect(area, self._theme.color("field"))
        painter.setFont(self.viewport().font())
        if not len(self._lines):
            painter.setPen(self._theme.color("muted"))
            painter.setFont(self._theme.font("body"))
            text = self._empty_text if not self._lines.total else self.tr("No line matches the filter.")
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)
            return
        first = self.verticalScrollBar().value()
        chosen = range(*self._chosen())
        for place in range(self._visible_rows() + 2):
            index = first + place
            if index >= len(self._lines):
                break
            box = QRect(0, place * self._row, area.width(), self._row)
            if index in chosen:
                painter.fillRect(box, self._theme.color("accent_soft"))
            self._draw_line(painter, box, self._lines.shown(index))

    def _chosen(self) -> tuple[int, int]:
        first, last = sorted((self._anchor, self._cursor))
        return (first, last + 1) if first >= 0 else (0, 0)

    def _draw_line(self, painter: QPainter, box: QRect, entry: LogEntry) -> None:
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        left = 8 - self.horizontalScrollBar().value()
        level = QColor(self._theme.color(_COLORS.get(entry.level, "muted")))
        for text, width, color in (
            (clock(entry.timestamp), _STAMP, self._theme.color("muted")),
            (entry.level, _LEVEL, level),
            (entry.message, 0, self._theme.color("text")),
        ):
            painter.setPen(color)
            painter.drawText(
                QRect(left, box.top(), max(box.width() - left, 1), box.height()), middle, text[:4000]
            )
            left += width * self._char

    # -- selecting ------------------------------------------------------------------------------------------

    def _row_at(self, event: QMouseEvent) -> int:
        index = self.verticalScrollBar().value() + int(event.position().y()) // self._row
        return max(0, min(index, len(self._lines) - 1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or not len(self._lines):
            return
        self._cursor = self._row_at(event)
        if not event.modifiers() & Qt.KeyboardModifier.ShiftModifier or self._anchor < 0:
            self._anchor = self._cursor
        self.viewport().update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton and len(self._lines) and self._anchor >= 0:
            self._cursor = self._row_at(event)
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        bar = self.verticalScrollBar()
        steps = {
            Qt.Key.Key_Home: -bar.maximum(),
            Qt.Key.Key_End: bar.maximum(),
            Qt.Key.Key_Up: -1,
            Qt.Key.Key_Down: 1,
            Qt.Key.Key_PageUp: -bar.pageStep(),
            Qt.Key.Key_PageDown: bar.pageStep(),
        }
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.matches(QKeySequence.StandardKey.SelectAll) and len(self._lines):
            self._anchor, self._cursor = 0, len(self._lines) - 1
            self.viewport().update()
        elif Qt.Key(event.key()) in steps:
            bar.setValue(bar.value() + steps[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)
