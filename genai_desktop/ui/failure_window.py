"""When the program cannot open its data: what happened, why, and what to do, instead of nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QMainWindow

from genai_desktop.ui.assets import asset
from genai_desktop.ui.widgets.empty import EmptyState

if TYPE_CHECKING:
    from PySide6.QtGui import QCloseEvent

    from genai_desktop.ui.theme import Theme


class FailureWindow(QMainWindow):
    """One sentence, one remedy, one button."""

    quit_requested = Signal()

    def __init__(self, theme: Theme, message: str, remedy: str) -> None:
        super().__init__()
        self.setWindowTitle("GenAI Desktop")
        self.setWindowIcon(QIcon(str(asset("icons", "app.svg"))))
        self.setObjectName("failure")
        self.resize(640, 420)
        state = EmptyState(
            theme,
            "error",
            self.tr("GenAI Desktop cannot start"),
            f"{message} {remedy}".strip(),
            action=self.tr("Quit"),
        )
        self.setCentralWidget(state)
        self.text = f"{message} {remedy}".strip()
        if state.button is not None:
            state.button.clicked.connect(self.quit_requested)
            state.button.setFocus()

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        self.quit_requested.emit()
