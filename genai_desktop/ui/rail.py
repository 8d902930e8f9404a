"""The navigation at the left: four tabs, settings at the foot, numbers where something waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QFont, QIcon, QPainter
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from genai_desktop.ui.icons import render
from genai_desktop.ui.pages import TABS
from genai_desktop.ui.theme import tokens
from genai_desktop.ui.widgets.buttons import IconButton
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from genai_desktop.ui.theme import Theme


class NavButton(QPushButton):
    """An icon and a word; a number or a dot at the right when something waits there."""

    def __init__(self, theme: Theme, key: str, icon: str, text: str, tip: str) -> None:
        super().__init__()
        self._theme, self._icon_name, self._words = theme, icon, text
        self._badge = 0
        self._alert = False
        self.key = key
        self.setObjectName(f"nav.{key}")
        self.setProperty("kind", "nav")
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setToolTip(tip)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._render)
        self._render()
        self.set_collapsed(False)
        self._name()

    def set_collapsed(self, collapsed: bool) -> None:
        self.setText("" if collapsed else f"  {self._words}")

    def set_badge(self, count: int) -> None:
        self._badge = count
        self._name()
        self.update()

    def set_alert(self, alert: bool) -> None:
        """Something went wrong there while nobody looked."""
        self._alert = alert
        self._name()
        self.update()

    @property
    def badge(self) -> int:
        return self._badge

    @property
    def alert(self) -> bool:
        return self._alert

    def _name(self) -> None:
        parts = [self._words]
        if self._badge:
            parts.append(str(self._badge))
        if self._alert:
            parts.append(self.tr("a problem"))
        self.setAccessibleName(", ".join(parts))

    @Slot()
    def _render(self) -> None:
        icon = QIcon()
        for color, state in (("muted", QIcon.State.Off), ("accent", QIcon.State.On)):
            icon.addPixmap(self._theme.pixmap(self._icon_name, color), QIcon.Mode.Normal, state)
        self.setIcon(icon)
        self.setIconSize(QSize(self._theme.px(20), self._theme.px(20)))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._badge and not self._alert:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("danger" if self._alert else "accent"))
        collapsed = not self.text()
        if collapsed or self._alert:
            edge = 8.0
            x = self.width() - edge - (6 if collapsed else 12)
            y = 5.0 if collapsed else (self.height() - edge) / 2
            painter.drawEllipse(QRectF(x, y, edge, edge))
            return
        font = QFont(self._theme.font("meta"))
        font.setWeight(QFont.Weight.DemiBold)
        painter.setFont(font)
        text = str(self._badge) if self._badge < 100 else "99+"
        height = painter.fontMetrics().height() + 2.0
        width = max(height, painter.fontMetrics().horizontalAdvance(text) + 10.0)
        box = QRectF(self.width() - width - 8, (self.height() - height) / 2, width, height)
        painter.drawRoundedRect(box, height / 2, height / 2)
        painter.setPen(self._theme.color("on_accent"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


class Rail(QFrame):
    """`chosen` carries the name of the page; the window answers with `select`."""

    chosen = Signal(str)
    collapsed_changed = Signal(bool)
    first_painted = (
        Signal()
    )  # the window is on the screen (it is itself covered by its parts, and not painted)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._collapsed = False
        self._is_painted = False
        self.setProperty("kind", "rail")
        self.setAccessibleName(self.tr("Navigation"))
        space = theme.space
        whole = column(self, space=space.xs, margins=(8, 12, 9, 8))
        head = row(space=space.s, margins=(6, 0, 0, 0))
        self._mark = QLabel()
        self._mark.setPixmap(render("app", "", 24, self.devicePixelRatioF()))
        self._mark.setFixedHeight(32)
        self._product = label("GenAI Desktop", "strong")
        head.addWidget(self._mark)
        head.addWidget(self._product, 1)
        whole.addLayout(head)
        whole.addSpacing(space.s)
        words = {
            "system": self.tr("System"),
            "models": self.tr("Models"),
            "chat": self.tr("LLM Chat"),
            "images": self.tr("Image Studio"),
        }
        self.buttons: dict[str, NavButton] = {}
        for index, (key, icon) in enumerate(TABS.items(), 1):
            self._add(whole, key, icon, words[key], f"{words[key]} (Ctrl+{index})")
        whole.addStretch(1)
        self._fold = IconButton(theme, "sidebar", self.tr("Collapse the navigation"), size=20)
        self._fold.setObjectName("nav.collapse")
        self._fold.clicked.connect(self._on_fold)
        fold_row = row(margins=(5, 0, 0, 0))
        fold_row.addWidget(self._fold)
        fold_row.addStretch(1)
        whole.addLayout(fold_row)
        self._add(whole, "settings", "settings", self.tr("Settings"), self.tr("Settings") + " (Ctrl+,)")
        theme.changed.connect(self._resize)
        self._resize()

    def _add(self, where: QVBoxLayout, key: str, icon: str, text: str, tip: str) -> None:
        button = NavButton(self._theme, key, icon, text, tip)
        button.clicked.connect(self._on_clicked)
        self.buttons[key] = button
        where.addWidget(button)

    def select(self, name: str) -> None:
        """Mark a page as the current one; none for pages that are not in the rail."""
        for key, button in self.buttons.items():
            button.setAutoExclusive(False)
            button.setChecked(key == name)
            button.setAutoExclusive(True)
        if name in self.buttons:
            self.buttons[name].set_alert(False)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._is_painted:
            self._is_painted = True
            self.first_painted.emit()

    @property
    def is_collapsed(self) -> bool:
        return self._collapsed

    def set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        for button in self.buttons.values():
            button.set_collapsed(collapsed)
        self._product.setVisible(not collapsed)
        text = self.tr("Expand the navigation") if collapsed else self.tr("Collapse the navigation")
        self._fold.setToolTip(text)
        self._fold.setAccessibleName(text)
        self._resize()
        self.collapsed_changed.emit(collapsed)

    @Slot()
    def _resize(self) -> None:
        shape = tokens()["shape"]
        # half as fast as the text: what is beside the rail needs room as well
        width = shape["rail_collapsed"] if self._collapsed else shape["rail"]
        self.setFixedWidth((width + self._theme.px(width)) // 2)

    @Slot()
    def _on_fold(self) -> None:
        self.set_collapsed(not self._collapsed)

    @Slot()
    def _on_clicked(self) -> None:
        sender = self.sender()
        if isinstance(sender, NavButton):
            self.chosen.emit(sender.key)
