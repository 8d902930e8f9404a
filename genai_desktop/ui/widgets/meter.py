"""Bars: how full something is, what it is made of, and that something is going on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from genai_desktop.ui.widgets.format import size, used_of
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QHideEvent, QPaintEvent, QShowEvent

    from genai_desktop.ui.theme import Theme


@dataclass(frozen=True)
class Segment:
    """A part of a bar: what it is called, how much it is (same unit as the bar's total), its colour token."""

    name: str
    value: float
    token: str


class MeterBar(QWidget):
    """A thin bar of one or more segments. A total of 0 draws an empty track: nobody knows."""

    def __init__(
        self, theme: Theme, color: str = "accent", height: int = 6, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self._color, self._height = theme, color, height
        self._segments: tuple[Segment, ...] = ()
        self._total = 0.0
        self._limit: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_value(self, fraction: float | None, color: str = "") -> None:
        """One segment, 0..1; None draws an empty track."""
        self._color = color or self._color
        self.set_segments((Segment("", fraction or 0.0, self._color),), 1.0 if fraction is not None else 0.0)

    def set_segments(self, segments: Sequence[Segment], total: float, limit: float | None = None) -> None:
        """`limit` is drawn as a mark across the bar (for instance what is free)."""
        self._segments, self._total, self._limit = tuple(segments), total, limit
        self.update()

    @property
    def fraction(self) -> float:
        """How full it is drawn, 0..1."""
        return min(1.0, sum(s.value for s in self._segments) / self._total) if self._total else 0.0

    def sizeHint(self) -> QSize:
        return QSize(80, self._height + (6 if self._limit is not None else 0))

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bar = QRectF(0, (self.height() - self._height) / 2, self.width(), self._height)
        shape = QPainterPath()
        shape.addRoundedRect(bar, self._height / 2, self._height / 2)
        painter.fillPath(shape, self._theme.color("track"))
        if self._total <= 0:
            return
        painter.setClipPath(shape)
        left = bar.left()
        for segment in self._segments:
            width = bar.width() * max(0.0, segment.value) / self._total
            painter.fillRect(QRectF(left, bar.top(), width, bar.height()), self._theme.color(segment.token))
            left += width
            if len(self._segments) > 1 and width > 2:
                painter.fillRect(QRectF(left - 1, bar.top(), 1, bar.height()), self._theme.color("surface"))
        painter.setClipping(False)
        if self._limit is not None:
            x = min(bar.right() - 1, bar.left() + bar.width() * self._limit / self._total)
            painter.setPen(QPen(self._theme.color("text"), 2))
            painter.drawLine(round(x), round(bar.top() - 3), round(x), round(bar.bottom() + 3))


class Swatch(QWidget):
    """The small square of a legend."""

    def __init__(self, theme: Theme, token: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._token = theme, token
        self.setFixedSize(10, 10)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(self._token))
        painter.drawRoundedRect(QRectF(self.rect()), 3, 3)


class StackedBar(QWidget):
    """Bytes by part against what is free: a sentence, a bar with a mark at the limit, and a legend."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        whole = column(self, space=theme.space.s)
        self._sentence = label("", "body", wrap=True)
        self.bar = MeterBar(theme, height=12)
        self._legend = QGridLayout()
        self._legend.setContentsMargins(0, 0, 0, 0)
        self._legend.setHorizontalSpacing(theme.space.s)
        self._legend.setVerticalSpacing(theme.space.xs)
        self._legend.setColumnStretch(1, 1)
        whole.addWidget(self._sentence)
        whole.addWidget(self.bar)
        whole.addLayout(self._legend)

    def set_parts(self, parts: Sequence[Segment], free: int, sentence: str = "") -> None:
        """parts in bytes; free: bytes the sum has to fit into, 0 when unknown."""
        shown = [part for part in parts if part.value > 0]
        needed = sum(part.value for part in shown)
        self.bar.set_segments(shown, max(needed, free) * 1.02, float(free) if free else None)
        self.bar.updateGeometry()
        self._sentence.setText(sentence or used_of(needed, free))
        while (item := self._legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for index, part in enumerate(shown):
            number = label(size(part.value), "body")
            number.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._legend.addWidget(Swatch(self._theme, part.token), index, 0)
            self._legend.addWidget(label(part.name, "muted"), index, 1)
            self._legend.addWidget(number, index, 2)
        listed = ", ".join(f"{part.name} {size(part.value)}" for part in shown)
        self.bar.setAccessibleName(f"{self._sentence.text()}: {listed}")


class BusyBar(QWidget):
    """A bar with a known fraction, or one that moves while nobody knows (still with reduced motion)."""

    def __init__(self, theme: Theme, height: int = 6, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._height = theme, height
        self._fraction: float | None = None
        self._phase = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(40)
        self._timer.timeout.connect(self._advance)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_fraction(self, fraction: float | None) -> None:
        """0..1, or None: nobody knows."""
        self._fraction = fraction
        self._run()
        self.setAccessibleDescription("" if fraction is None else f"{fraction * 100:.0f} %")
        self.update()

    @property
    def fraction(self) -> float | None:
        return self._fraction

    def sizeHint(self) -> QSize:
        return QSize(120, self._height)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, self._height)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._run()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()

    def _run(self) -> None:
        if self._fraction is None and self.isVisible() and not self._theme.reduced_motion:
            if not self._timer.isActive():
                self._timer.start()
        else:
            self._timer.stop()

    @Slot()
    def _advance(self) -> None:
        self._phase = (self._phase + 0.02) % 1.0
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        bar = QRectF(0, (self.height() - self._height) / 2, self.width(), self._height)
        radius = self._height / 2
        shape = QPainterPath()
        shape.addRoundedRect(bar, radius, radius)
        painter.fillPath(shape, self._theme.color("track"))
        painter.setClipPath(shape)
        if self._fraction is None:
            width = bar.width() * 0.3
            left = (bar.width() + width) * (self._phase if self._timer.isActive() else 0.5) - width
        else:
            width, left = bar.width() * self._fraction, 0.0
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("accent"))
        painter.drawRoundedRect(QRectF(left, bar.top(), width, bar.height()), radius, radius)


class BusyLine(QWidget):
    """A sentence over a moving bar: the drawn state of waiting."""

    def __init__(self, theme: Theme, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        inside = column(self, space=theme.space.s)
        top = row(space=theme.space.s)
        self._label = label(text, "muted")
        top.addWidget(self._label, 1)
        inside.addLayout(top)
        self.bar = BusyBar(theme)
        inside.addWidget(self.bar)

    def set_text(self, text: str) -> None:
        self._label.setText(text)
