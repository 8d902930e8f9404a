"""No part of the window may appear as a window of its own while it is being built."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from genai_desktop.ui.theme import Theme
from tests.screens import shoot
from tests.screens.scenes import fresh_facades
from tests.ui.events import settle

WINDOWS = ("MainWindow", "LogWindow")


class Watcher(QObject):
    """Notes every top-level widget that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            name = type(watched).__name__
            if name not in WINDOWS:
                self.seen.append(f"{name} {watched.objectName()}")
        return False


@pytest.mark.parametrize("name", sorted(shoot.all_scenes()))
def test_every_screen_is_built_without_flashes(
    qtbot: QtBot, qapp: QApplication, theme: Theme, name: str
) -> None:
    watcher = Watcher()
    qapp.installEventFilter(watcher)
    try:
        made = shoot.all_scenes()[name](fresh_facades(name, theme), theme)
        if hasattr(made, "dispose"):
            qtbot.addWidget(made, before_close_func=lambda window: window.dispose())
        else:
            qtbot.addWidget(made)
        made.show()
        settle()
        assert not made.grab().isNull()
    finally:
        qapp.removeEventFilter(watcher)
    assert watcher.seen == []
