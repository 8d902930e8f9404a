"""One-colour SVG icons, tinted when they are drawn."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap

from genai_desktop.ui.assets import asset


@lru_cache(maxsize=128)
def svg_source(name: str) -> str:
    """The text of one icon; its colour is written as `currentColor`."""
    return asset("icons", f"{name}.svg").read_text(encoding="utf-8")


def render(name: str, color: str, size: int, ratio: float, gap: int = 0) -> QPixmap:
    """A pixmap of `size` logical pixels for screens of this ratio; `gap` empty pixels at its right."""
    from PySide6.QtSvg import QSvgRenderer

    renderer = QSvgRenderer(QByteArray(svg_source(name).replace("currentColor", color).encode()))
    edge = max(1, round(size * ratio))
    pixmap = QPixmap(QSize(edge + round(gap * ratio), edge))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter, QRectF(0, 0, edge, edge))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def tinted(
    name: str, colors: tuple[QColor, QColor], size: int, ratios: tuple[float, ...], gap: int = 0
) -> QIcon:
    """An icon with a normal and a disabled face (in these colours), sharp at every ratio given."""
    icon = QIcon()
    for ratio in ratios:
        icon.addPixmap(render(name, colors[0].name(), size, ratio, gap), QIcon.Mode.Normal)
        icon.addPixmap(render(name, colors[1].name(), size, ratio, gap), QIcon.Mode.Disabled)
    return icon
