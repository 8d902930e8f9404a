"""A short word over the page, with Undo where something can be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer, Slot
from PySide6.QtWidgets import QFrame, QStackedWidget, QWidget

from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import row

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QShowEvent

    from genai_desktop.ui.theme import Theme


class Toast(QFrame):
    """Lies over `host` and leaves by itself. One at a time: a new one replaces the old one."""

    def __init__(self, theme: Theme, host: QWidget, milliseconds: int = 8000) -> None:
        super().__init__(host)
        self._host = host
        self._callback: Callable[[], None] | None = None
        self.setProperty("kind", "toast")
        self.setObjectName("toast")
        inside = row(self, space=theme.space.m, margins=(16, 8, 8, 8))
        self._label = label("")
        self.action = Button(theme, "", kind="link")
        self.action.clicked.connect(self._on_acted)
        close = IconButton(theme, "close", self.tr("Dismiss"), size=16)
        close.clicked.connect(self.hide)
        inside.addWidget(self._label)
        inside.addWidget(self.action)
        inside.addWidget(close)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        self._timer.timeout.connect(self.hide)
        host.installEventFilter(self)
        if isinstance(host, QStackedWidget):
            host.currentChanged.connect(self.raise_)
        self.hide()

    def announce(self, text: str, action: str = "", on_action: Callable[[], None] | None = None) -> None:
        """Show a sentence; `action` (for instance "Undo") calls `on_action` in the GUI thread."""
        self._callback = on_action
        self._label.setText(text)
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self.setAccessibleName(text)
        self._place()
        self.show()
        self.raise_()
        self._timer.start()

    def text(self) -> str:
        return self._label.text()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._host and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        self.ensurePolished()
        self.adjustSize()
        # under the tool bar: at the foot it would lie over the composer and the progress line
        self.move((self._host.width() - self.width()) // 2, 56)

    @Slot()
    def _on_acted(self) -> None:
        self.hide()
        if self._callback is not None:
            self._callback()
