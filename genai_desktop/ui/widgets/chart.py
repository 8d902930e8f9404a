"""A live chart of the last minutes or hours, drawn by hand: a few hundred points need no plotting library."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Slot
from PySide6.QtGui import QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from genai_desktop.ui.widgets.format import clock, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QMouseEvent, QPaintEvent

    from genai_desktop.core.telemetry import EventMarker
    from genai_desktop.ui.theme import Theme


@dataclass(frozen=True)
class Layer:
    """One stacked area, from the bottom up."""

    name: str
    token: str


@dataclass(frozen=True)
class Point:
    """A moment: seconds since the epoch, and one value per layer in the chart's unit; None: unknown."""

    time: float
    values: tuple[float, ...] | None


_LOUD = ("crashed", "oom")


class TimeChart(QWidget):
    """Stacked areas under a line, event markers, and a reading under the mouse."""

    def __init__(
        self,
        theme: Theme,
        title: str,
        *,
        line_token: str,
        layers: Sequence[Layer],
        tell: Callable[[float], str],
        parent: QWidget | None = None,
    ) -> None:
        """tell: a value as text. A single layer is drawn as a soft area under its line."""
        super().__init__(parent)
        self._theme, self._title, self._line, self._layers, self._tell = (
            theme,
            title,
            line_token,
            tuple(layers),
            tell,
        )
        self._points: list[Point] = []
        self._markers: list[EventMarker] = []
        self._top = 0.0  # nobody has told yet
        self._span = 300.0
        self._now: float | None = None
        self._hover: float | None = None
        self.setMouseTracking(True)
        self.setAccessibleName(title)
        self.setFont(theme.font("meta"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._on_theme)

    def sizeHint(self) -> QSize:
        return QSize(240, self._theme.px(132))

    # -- content --------------------------------------------------------------------------------------------

    def set_span(self, seconds: float) -> None:
        self._span = seconds
        self.update()

    def set_top(self, top: float) -> None:
        """What the upper edge means."""
        self._top = max(top, 1e-9)
        self.update()

    def set_points(self, points: Sequence[Point]) -> None:
        self._points = list(points)
        self._note()

    def add_point(self, point: Point) -> None:
        """Append one and drop what has left the chart."""
        self._points.append(point)
        oldest = point.time - self._span
        if self._points[0].time < oldest - self._span * 0.1:
            self._points = [p for p in self._points if p.time >= oldest]
        self._note()

    def set_markers(self, markers: Sequence[EventMarker]) -> None:
        self._markers = list(markers)
        self.update()

    def add_marker(self, marker: EventMarker) -> None:
        self._markers.append(marker)
        self.update()

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(self._points)

    @property
    def markers(self) -> tuple[EventMarker, ...]:
        return tuple(self._markers)

    def _note(self) -> None:
        if self._points:
            self._now = self._points[-1].time
            values = self._points[-1].values
            self.setAccessibleDescription(self._tell(sum(values)) if values is not None else "")
        self.update()

    @Slot()
    def _on_theme(self) -> None:
        self.setFont(self._theme.font("meta"))
        self.updateGeometry()
        self.update()

    # -- drawing --------------------------------------------------------------------------------------------

    def _plot(self) -> QRectF:
        widest = self._tell(self._top) if self._top else ""
        left = self.fontMetrics().horizontalAdvance(widest) + 10.0
        return QRectF(
            left, 6, max(10.0, self.width() - left - 2), max(10.0, self.height() - self._foot() - 6)
        )

    def _foot(self) -> float:
        return self.fontMetrics().height() + 8.0

    def _end(self) -> float:
        return self._now if self._now is not None else time.time()

    def _x(self, moment: float, plot: QRectF) -> float:
        return plot.right() - (self._end() - moment) / self._span * plot.width()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        plot = self._plot()
        self._draw_grid(painter, plot)
        if len(self._points) < 2:
            painter.setPen(self._theme.color("muted"))
            painter.drawText(plot, Qt.AlignmentFlag.AlignCenter, self.tr("Collecting"))
        else:
            painter.save()
            painter.setClipRect(plot.adjusted(0, -1, 0, 1))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for run in self._runs():
                self._draw_run(painter, plot, run)
            painter.restore()
        self._draw_markers(painter, plot)
        if self._hover is not None:
            painter.setPen(QPen(self._theme.color("muted"), 1, Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(self._hover, plot.top()), QPointF(self._hover, plot.bottom()))

    def _draw_grid(self, painter: QPainter, plot: QRectF) -> None:
        painter.setPen(QPen(self._theme.color("grid"), 1))
        for part in (0.0, 0.5, 1.0) if len(self._points) > 1 else (0.0, 1.0):
            y = round(plot.bottom() - part * plot.height()) + 0.5
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
        painter.setPen(self._theme.color("muted"))
        if not self._top:
            return
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for part in (0.0, 0.5, 1.0):
            y = plot.bottom() - part * plot.height()
            box = QRectF(0, y - 10, plot.left() - 8, 20)
            painter.drawText(box, right, self._tell(part * self._top) if part else "0")
        foot = QRectF(plot.left(), plot.bottom() + 4, plot.width(), self._foot())
        ago = self.tr("{time} ago").format(time=duration(self._span))
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, ago)
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, self.tr("now"))

    def _runs(self) -> list[list[Point]]:
        """Points without a gap: nothing is drawn over the time the computer slept."""
        widest = max(5.0, self._span / 60)
        runs: list[list[Point]] = [[]]
        for point in self._points:
            if point.values is None or (runs[-1] and point.time - runs[-1][-1].time > widest):
                runs.append([])
            if point.values is not None:
                runs[-1].append(point)
        return [run for run in runs if len(run) > 1]

    def _draw_run(self, painter: QPainter, plot: QRectF, run: list[Point]) -> None:
        scale = plot.height() / (self._top or 1.0)
        bottom = plot.bottom()
        xs = [self._x(point.time, plot) for point in run]
        floor = [0.0] * len(run)
        lower = [QPointF(x, bottom) for x in xs]
        single = len(self._layers) == 1
        painter.setPen(Qt.PenStyle.NoPen)
        upper = lower
        for index, layer in enumerate(self._layers):
            floor = [
                low + (point.values[index] if point.values else 0.0)
                for low, point in zip(floor, run, strict=True)
            ]
            upper = [QPointF(x, bottom - y * scale) for x, y in zip(xs, floor, strict=True)]
            painter.setBrush(self._theme.color(layer.token, 0.18 if single else 0.55))
            painter.drawPolygon(QPolygonF(upper + lower[::-1]))
            lower = upper
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self._theme.color(self._line), 1.6))
        painter.drawPolyline(QPolygonF(upper))

    def _draw_markers(self, painter: QPainter, plot: QRectF) -> None:
        for marker in self._markers:
            x = self._x(marker.time, plot)
            if not plot.left() <= x <= plot.right():
                continue
            loud = marker.kind in _LOUD
            color = self._theme.color("danger" if loud else "muted", 0.9 if loud else 0.55)
            painter.setPen(QPen(color, 1))
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color)
            painter.drawPolygon(
                [QPointF(x - 3, plot.top()), QPointF(x + 3, plot.top()), QPointF(x, plot.top() + 5)]
            )

    # -- reading --------------------------------------------------------------------------------------------

    def reading_at(self, x: float) -> str:
        """What the chart says at a horizontal position: the time, every layer, and the marker there."""
        plot = self._plot()
        if not plot.left() <= x <= plot.right() or not self._points:
            return ""
        moment = self._end() - (plot.right() - x) / plot.width() * self._span
        near = [m for m in self._markers if abs(self._x(m.time, plot) - x) <= 5]
        lines = [f"{clock(marker.time)}  {marker.label}" for marker in near]
        index = min(bisect_left(self._points, moment, key=_time_of), len(self._points) - 1)
        if index and moment - self._points[index - 1].time < self._points[index].time - moment:
            index -= 1
        point = self._points[index]
        if point.values is not None and abs(point.time - moment) <= max(5.0, self._span / 60):
            lines.append(f"{clock(point.time)}  {self._tell(sum(point.values))}")
            if len(self._layers) > 1:
                lines += [
                    f"{layer.name}: {self._tell(value)}"
                    for layer, value in zip(self._layers, point.values, strict=True)
                    if value > 0
                ]
        return "\n".join(lines)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        text = self.reading_at(x)
        self._hover = x if text else None
        self.update()
        if text:
            QToolTip.showText(event.globalPosition().toPoint(), text, self)
        else:
            QToolTip.hideText()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover = None
        self.update()


def _time_of(point: Point) -> float:
    return point.time
