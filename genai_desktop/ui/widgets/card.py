"""The surface most things stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from genai_desktop.ui.theme import Theme


class Icon(QLabel):
    """A picture from the icon family that follows the theme."""

    def __init__(
        self, theme: Theme, name: str, color: str = "muted", size: int = 20, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self._name, self._color, self._size = theme, name, color, size
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._render)
        self._render()

    def set_icon(self, name: str, color: str = "") -> None:
        self._name, self._color = name, color or self._color
        self._render()

    @Slot()
    def _render(self) -> None:
        self.setPixmap(self._theme.pixmap(self._name, self._color, self._size))


class Card(QFrame):
    """A bordered surface: optional icon and title, actions at the right of the title, then `body`.

    fill: the body takes all height there is (tables, logs); otherwise it stays at the top.
    """

    def __init__(
        self,
        theme: Theme,
        title: str = "",
        *,
        icon: str = "",
        role: str = "section",
        name: str = "",
        padding: int = -1,
        fill: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        space = theme.space
        self.setProperty("kind", "card")
        if name:
            self.setObjectName(name)
        if title:
            self.setAccessibleName(title)
        edge = space.l if padding < 0 else padding
        whole = column(self, space=space.m, margins=edge)
        self.header: QHBoxLayout = row(space=space.s)
        self.title = ElidedLabel(title, role) if role != "section" else label(title, role)
        self.icon: Icon | None = None
        if icon:
            self.icon = Icon(theme, icon, "muted", 18)
            self.header.addWidget(self.icon)
        if title:
            self.header.addWidget(self.title)
            self.header.addStretch(1)
        if title or icon:
            whole.addLayout(self.header)
        self.body: QVBoxLayout = column(space=space.s)
        whole.addLayout(self.body, 1 if fill else 0)
        if not fill:
            whole.addStretch(1)
        self.foot: QVBoxLayout = column(space=space.s)
        whole.addLayout(self.foot)

    def add_action(self, widget: QWidget) -> None:
        """Put a widget at the right end of the title row."""
        self.header.addWidget(widget)
