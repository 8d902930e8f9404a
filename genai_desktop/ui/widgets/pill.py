"""Small words with a mark: the state of something, and whether a model fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QFrame, QSizePolicy, QWidget

from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import row

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from genai_desktop.core.models import FitBadge as FitValue
    from genai_desktop.ui.theme import Theme

# tone -> colour token; the shape differs too: ring, dot, half, triangle, cross
TONES = {
    "off": "muted",
    "on": "ok",
    "busy": "accent",
    "warn": "warn",
    "danger": "danger",
    "info": "accent",
}
FIT_TONES = {"gpu": "on", "partial": "on", "cpu": "info", "tight": "warn", "no": "danger", "unknown": "off"}
SERVER_TONES = {
    "stopped": "off",
    "starting": "busy",
    "running": "on",
    "stopping": "busy",
    "crashed": "danger",
}


def draw_mark(painter: QPainter, theme: Theme, rect: QRectF, tone: str) -> None:
    """The mark of a tone, centred in `rect`. Colour is never the only difference."""
    color = theme.color(TONES.get(tone, "muted"))
    center = rect.center()
    radius = min(rect.width(), rect.height()) / 2 - 1
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(color, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if tone == "off":
        painter.drawEllipse(center, radius - 0.5, radius - 0.5)
    elif tone == "busy":
        painter.drawEllipse(center, radius - 0.5, radius - 0.5)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPie(QRectF(center.x() - radius, center.y() - radius, 2 * radius, 2 * radius), 1440, 2880)
    elif tone == "warn":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawPolygon(
            [
                center + QPointF(0, -radius - 0.5),
                center + QPointF(radius + 0.5, radius),
                center + QPointF(-radius - 0.5, radius),
            ]
        )
    elif tone == "danger":
        painter.setPen(QPen(color, 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        edge = radius - 0.5
        painter.drawLine(center + QPointF(-edge, -edge), center + QPointF(edge, edge))
        painter.drawLine(center + QPointF(edge, -edge), center + QPointF(-edge, edge))
    else:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        painter.drawEllipse(center, radius, radius)
    painter.restore()


class StatusDot(QWidget):
    """The mark of a state, 10 px. tone: off, on, busy, warn, danger, info."""

    def __init__(self, theme: Theme, tone: str = "off", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._tone = theme, tone
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def set_tone(self, tone: str) -> None:
        if tone != self._tone:
            self._tone = tone
            self.update()

    @property
    def tone(self) -> str:
        return self._tone

    def sizeHint(self) -> QSize:
        return QSize(10, 10)

    def paintEvent(self, _event: QPaintEvent) -> None:
        draw_mark(QPainter(self), self._theme, QRectF(self.rect()), self._tone)


class Pill(QFrame):
    """A mark and a word or two in a rounded frame."""

    def __init__(
        self, theme: Theme, text: str = "", tone: str = "off", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setProperty("kind", "pill")
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        inside = row(self, space=6, margins=(8, 2, 9, 2))
        self._dot = StatusDot(theme, tone)
        self._label = label(text, "body")
        inside.addWidget(self._dot, 0, Qt.AlignmentFlag.AlignVCenter)
        inside.addWidget(self._label)
        self.setAccessibleName(text)

    def set_state(self, text: str, tone: str, tip: str = "") -> None:
        self._label.setText(text)
        self._dot.set_tone(tone)
        self.setAccessibleName(text)
        self.setToolTip(tip)

    def text(self) -> str:
        return self._label.text()

    @property
    def tone(self) -> str:
        return self._dot.tone


class FitBadge(Pill):
    """Whether a model runs here; the reason is the tool tip."""

    def __init__(self, theme: Theme, fit: FitValue | None = None, parent: QWidget | None = None) -> None:
        super().__init__(theme, "", "off", parent)
        if fit is None or not fit.text:
            self.hide()
        else:
            self.set_state(fit.text, FIT_TONES.get(fit.level, "off"), fit.reason)

    def set_fit(self, fit: FitValue | None) -> None:
        self.setVisible(fit is not None and bool(fit.text))
        if fit is not None:
            self.set_state(fit.text, FIT_TONES.get(fit.level, "off"), fit.reason)
