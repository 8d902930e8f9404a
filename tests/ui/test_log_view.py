"""The log: flat in length, filtered in slices, following only a reader at the end."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from genai_desktop.core.servers import LogEntry
from genai_desktop.ui.system.logs import LogWindow
from genai_desktop.ui.theme import Theme
from genai_desktop.ui.widgets.log_lines import LogLines
from genai_desktop.ui.widgets.log_view import LogView
from tests.ui.samples import log_entries


def entries(count: int, start: int = 0) -> list[LogEntry]:
    return [
        LogEntry(1000.0 + n, "error" if n % 10 == 0 else "info", f"line {n}")
        for n in range(start, start + count)
    ]


@pytest.fixture
def view(qtbot: QtBot, theme: Theme) -> LogView:
    made = LogView(theme)
    qtbot.addWidget(made)
    made.resize(500, 300)
    made.show()
    return made


def test_it_follows_until_the_reader_scrolls_up(qtbot: QtBot, view: LogView) -> None:
    view.append(entries(200))
    bar = view.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    with qtbot.waitSignal(view.following_changed) as changed:
        qtbot.keyClick(view, Qt.Key.Key_PageUp)
    assert changed.args == [False]
    place = bar.value()
    view.append(entries(50, 200))
    assert bar.value() == place
    qtbot.keyClick(view, Qt.Key.Key_End)
    view.append(entries(50, 250))
    assert bar.value() == bar.maximum()


def test_the_filter_works_in_slices(qtbot: QtBot, view: LogView) -> None:
    view.append(entries(50_000))
    view.set_filter("LINE 499", "debug")
    qtbot.waitUntil(lambda: not view.lines.is_filtering)
    assert len(view.lines) == 111
    view.append(entries(1, 499_999))
    assert view.lines.shown(len(view.lines) - 1).message == "line 499999"
    view.set_filter("", "error")
    qtbot.waitUntil(lambda: not view.lines.is_filtering)
    assert len(view.lines) == 5_000
    view.set_filter("")
    assert len(view.lines) == 50_001


def test_old_lines_go_when_it_is_full() -> None:
    lines = LogLines(limit=1000)
    lines.set_filter("", "error")
    lines.append(entries(1000))
    lines.scan(1000)
    assert lines.append(entries(1, 1000)) == 10
    assert lines.total == 901
    assert lines.shown(0).message == "line 100"


def test_what_is_read_stays_in_place_when_old_lines_go(qtbot: QtBot, theme: Theme) -> None:
    view = LogView(theme, limit=1000)
    qtbot.addWidget(view)
    view.resize(500, 300)
    view.show()
    view.append(entries(1000))
    view.verticalScrollBar().setValue(500)
    before = view.lines.shown(500).message
    view.append(entries(1, 1000))
    assert view.lines.shown(view.verticalScrollBar().value()).message == before


def test_selected_lines_are_copied(qtbot: QtBot, view: LogView) -> None:
    view.append(entries(5))
    left, shift = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
    qtbot.mouseClick(view.viewport(), left, pos=QPoint(5, 2))
    qtbot.mouseClick(view.viewport(), left, shift, pos=QPoint(5, view._row + 2))
    qtbot.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    copied = QApplication.clipboard().text().splitlines()
    assert [line.rpartition("] ")[2] for line in copied] == ["line 0", "line 1"]
    qtbot.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert len(view.selected_text().splitlines()) == 5


def test_appending_costs_the_same_at_any_length(view: LogView) -> None:
    """Not timed: the view may not touch what it does not show."""
    view.append(entries(100_000))
    seen: list[int] = []
    real = view.lines.shown
    view.lines.shown = lambda index: seen.append(index) or real(index)  # type: ignore[method-assign, func-returns-value]
    view.append(entries(1, 100_000))
    view.grab()
    assert 0 < len(seen) <= 40


def test_the_window_filters_saves_and_clears(qtbot: QtBot, theme: Theme, tmp_path: object) -> None:
    window = LogWindow(theme, "llama", "Log")
    qtbot.addWidget(window)
    window.show()
    window.show_entries(log_entries(80))
    qtbot.mouseClick(window.level.button("error"), Qt.MouseButton.LeftButton)
    assert window.count.text() == "10 of 80 lines"
    qtbot.keyClicks(window.search, "nothing of that kind")
    qtbot.waitUntil(lambda: window.count.text() == "0 of 80 lines")
    window.search.clear()
    qtbot.waitUntil(lambda: window.count.text() == "10 of 80 lines")
    path = tmp_path / "a log.txt"  # type: ignore[operator]
    with qtbot.waitSignal(window._saver.saved):
        window.save_to(str(path))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 10
    with qtbot.waitSignal(window._saver.failed):
        window.save_to(str(tmp_path / "no" / "such" / "folder"))  # type: ignore[operator]
    strip = window.messages.strip("saved")
    assert strip is not None
    assert strip.tone == "danger"
    with qtbot.waitSignal(window.clear_requested) as cleared:
        qtbot.mouseClick(window.clear, Qt.MouseButton.LeftButton)
    assert cleared.args == ["llama"]


def test_jump_to_the_end_is_there_when_it_is_needed(qtbot: QtBot, theme: Theme) -> None:
    window = LogWindow(theme, "llama", "Log")
    qtbot.addWidget(window)
    window.show()
    window.show_entries(log_entries(400))
    assert not window.follow.isVisible()
    window.view.verticalScrollBar().setValue(0)
    assert window.follow.isVisible()
    qtbot.mouseClick(window.follow, Qt.MouseButton.LeftButton)
    assert window.view.is_following
    assert not window.follow.isVisible()
