"""The log of one server in a window of its own, to keep beside the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QLineEdit, QWidget

from genai_desktop.ui.save_text import TextSaver
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.log_view import LogView
from genai_desktop.ui.widgets.segmented import SegmentedControl
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from genai_desktop.core.servers import LogEntry
    from genai_desktop.ui.theme import Theme


class LogWindow(QWidget):
    """Search, level, follow, copy, save, clear."""

    clear_requested = Signal(str)

    def __init__(self, theme: Theme, server: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.server = server
        self.setObjectName(f"system.log.{server}")
        self.setProperty("kind", "window")
        self.setWindowTitle(title)
        self.resize(900, 560)
        space = theme.space
        self._saver = TextSaver(self)
        self._saver.saved.connect(self._on_saved)
        self._saver.failed.connect(self._on_save_failed)
        whole = column(self, space=space.m, margins=space.l)
        tools = row(space=space.s)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Filter lines"))
        self.search.setAccessibleName(self.tr("Filter lines"))
        self.search.setClearButtonEnabled(True)
        self.level = SegmentedControl(
            [
                ("debug", self.tr("All")),
                ("info", self.tr("Info")),
                ("warn", self.tr("Warnings")),
                ("error", self.tr("Errors")),
            ],
            self.tr("Least level shown"),
        )
        self.copy = IconButton(theme, "copy", self.tr("Copy the selected lines, or all"))
        self.save = IconButton(theme, "save", self.tr("Save as a file"))
        self.clear = IconButton(theme, "trash", self.tr("Clear the log"))
        tools.addWidget(self.search, 1)
        tools.addWidget(self.level)
        for button in (self.copy, self.save, self.clear):
            tools.addWidget(button)
        whole.addLayout(tools)
        self.messages = MessageArea(theme)
        whole.addWidget(self.messages)
        self.view = LogView(theme)
        card = Card(theme, padding=1, fill=True)
        card.body.addWidget(self.view)
        whole.addWidget(card, 1)
        foot = row(space=space.s)
        self.count = label("", "meta")
        self.follow = Button(theme, self.tr("Jump to the end"), kind="link", icon="arrow-down")
        foot.addWidget(self.count)
        foot.addStretch(1)
        foot.addWidget(self.follow)
        whole.addLayout(foot)
        self.follow.hide()
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(150)
        self._typing.timeout.connect(self._filter)
        self.search.textChanged.connect(self._on_typed)
        self.level.chosen.connect(self._filter)
        self.copy.clicked.connect(self.view.copy)
        self.save.clicked.connect(self._on_save)
        self.clear.clicked.connect(self._on_clear)
        self.follow.clicked.connect(self.view.scroll_to_end)
        self.view.following_changed.connect(self._on_following)
        self.view.count_changed.connect(self._on_count)

    def show_entries(self, entries: Sequence[LogEntry]) -> None:
        self.view.set_entries(entries)

    def append(self, entries: Sequence[LogEntry]) -> None:
        self.view.append(entries)

    @Slot()
    def _on_typed(self) -> None:
        self._typing.start()

    @Slot()
    def _filter(self) -> None:
        self.view.set_filter(self.search.text().strip(), self.level.current)

    @Slot(bool)
    def _on_following(self, following: bool) -> None:
        self.follow.setVisible(not following)

    @Slot(int, int)
    def _on_count(self, shown: int, total: int) -> None:
        if shown == total:
            self.count.setText(self.tr("{count} lines").format(count=f"{total:,}"))
        else:
            self.count.setText(
                self.tr("{shown} of {total} lines").format(shown=f"{shown:,}", total=f"{total:,}")
            )

    @Slot()
    def _on_clear(self) -> None:
        self.clear_requested.emit(self.server)

    @Slot()
    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save the log"), f"{self.server}.log", self.tr("Logs (*.log *.txt)")
        )
        if path:
            self.save_to(path)

    def save_to(self, path: str) -> None:
        """Write the lines that are shown."""
        entries = list(self.view.lines.all_shown())
        self._saver.save(path, _lines_of(entries))

    @Slot(str)
    def _on_saved(self, path: str) -> None:
        self.messages.show_message("saved", "ok", self.tr("Saved as {path}").format(path=path))

    @Slot(str, str)
    def _on_save_failed(self, path: str, why: str) -> None:
        self.messages.show_message(
            "saved",
            "danger",
            self.tr("{path} could not be written: {why}.").format(path=path, why=why),
            self.tr("Choose another folder."),
        )


def _lines_of(entries: Sequence[LogEntry]) -> Iterator[str]:
    return (entry.to_line() for entry in entries)
