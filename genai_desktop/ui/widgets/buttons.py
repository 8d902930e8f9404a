"""Buttons with a name, an icon that follows the theme, and a focus that only the keyboard shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QCheckBox, QPushButton, QToolButton, QWidget

if TYPE_CHECKING:
    from PySide6.QtCore import QPoint
    from PySide6.QtGui import QPaintEvent
    from PySide6.QtWidgets import QMenu

    from genai_desktop.ui.theme import Theme

ButtonKind = Literal["", "primary", "ghost", "danger", "link"]
_ICON_TOKENS = {"primary": "on_accent", "danger": "danger", "link": "accent"}


class Button(QPushButton):
    """A push button; kind: "" (plain), primary, ghost, danger, link."""

    def __init__(
        self,
        theme: Theme,
        text: str,
        *,
        kind: ButtonKind = "",
        icon: str = "",
        name: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(text, parent)
        self._theme = theme
        self.setProperty("kind", kind)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAutoDefault(False)
        self.setAccessibleName(text)
        if name:
            self.setObjectName(name)
        if icon:
            self.set_icon(icon)

    def set_icon(self, icon: str) -> None:
        """By the name of the file in resources/icons."""
        self._theme.dress(self, icon, _ICON_TOKENS.get(str(self.property("kind")), "text"), 16, 4)

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setAccessibleName(text)

    def set_menu(self, menu: QMenu) -> None:
        """Open this menu on click; a small arrow says so."""
        self.setProperty("hasMenu", True)
        self.setMenu(menu)


class IconButton(QToolButton):
    """A flat square button. `name` is its accessible name and, with the shortcut, its tool tip."""

    def __init__(
        self,
        theme: Theme,
        icon: str,
        name: str,
        *,
        color: str = "muted",
        size: int = 18,
        checkable: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._color, self._size = color, size
        self.setCheckable(checkable)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.ArrowCursor)
        self.setAccessibleName(name)
        self.setToolTip(name)
        self.set_icon(icon)

    def set_icon(self, icon: str, color: str = "") -> None:
        """By the name of the file in resources/icons; color: a token, "" keeps the one it has."""
        self._color = color or self._color
        self._theme.dress(self, icon, self._color, self._size)


class Switch(QCheckBox):
    """A check box that looks like a switch."""

    _WIDTH, _HEIGHT = 34, 20

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(self._WIDTH + 4, self._HEIGHT + 4)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: QPoint) -> bool:
        return self.rect().contains(pos)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = self._theme.color
        groove = QRectF(2, (self.height() - self._HEIGHT) / 2, self._WIDTH, self._HEIGHT)
        if self.hasFocus():
            painter.setPen(color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(groove.adjusted(-1.5, -1.5, 1.5, 1.5), 11.5, 11.5)
        painter.setPen(Qt.PenStyle.NoPen)
        on, enabled = self.isChecked(), self.isEnabled()
        painter.setBrush(color(("accent" if on else "scroll") if enabled else "track"))
        painter.drawRoundedRect(groove, self._HEIGHT / 2, self._HEIGHT / 2)
        edge = self._HEIGHT - 6
        left = groove.right() - edge - 3 if on else groove.left() + 3
        painter.setBrush(color("on_accent" if on else "surface") if enabled else color("disabled"))
        painter.drawEllipse(QRectF(left, groove.top() + 3, edge, edge))
