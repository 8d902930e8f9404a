"""Real events at widgets whose place is settled."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QApplication, QCheckBox, QWidget
from pytestqt.qtbot import QtBot


def settle() -> None:
    """Let layouts find their sizes."""
    for _ in range(3):
        QApplication.processEvents()


def press(qtbot: QtBot, button: QAbstractButton | QWidget) -> None:
    """Click it where a person would: on the box of a check box, else in the middle."""
    settle()
    assert button.isVisible(), f"{button.objectName() or button} cannot be seen"
    pos = QPoint(12, button.height() // 2) if isinstance(button, QCheckBox) else button.rect().center()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=pos)


def activate(qtbot: QtBot, window: QWidget) -> None:
    """Make it the window keys go to."""
    window.activateWindow()
    settle()
    qtbot.waitUntil(window.isActiveWindow)
