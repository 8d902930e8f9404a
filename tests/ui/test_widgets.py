"""The kit by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QSpinBox, QWidget
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.jobs import JobInfo, Progress
from genai_desktop.core.models import FitBadge as FitValue
from genai_desktop.ui.theme import Theme
from genai_desktop.ui.widgets.buttons import Button, IconButton, Switch
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.field import Field
from genai_desktop.ui.widgets.job_row import JobRow
from genai_desktop.ui.widgets.key_values import KeyValueGrid
from genai_desktop.ui.widgets.labels import ElidedLabel
from genai_desktop.ui.widgets.layouts import ResponsiveGrid, column
from genai_desktop.ui.widgets.meter import BusyBar, MeterBar, Segment, StackedBar
from genai_desktop.ui.widgets.pill import FIT_TONES, FitBadge, Pill
from genai_desktop.ui.widgets.segmented import SegmentedControl
from genai_desktop.ui.widgets.strip import MessageArea
from genai_desktop.ui.widgets.toast import Toast
from genai_desktop.ui.widgets.wheel import ignore_wheel

GIB = 1 << 30


def shown(qtbot: QtBot, widget: QWidget, width: int = 400, height: int = 200) -> QWidget:
    host = QWidget()
    column(host).addWidget(widget)
    widget.host = host  # type: ignore[attr-defined]  # qtbot holds it only weakly
    qtbot.addWidget(host)
    host.resize(width, height)
    host.show()
    return host


def test_a_message_has_its_action_and_goes_when_it_is_pressed(qtbot: QtBot, theme: Theme) -> None:
    area = MessageArea(theme)
    shown(qtbot, area)
    pressed: list[str] = []
    strip = area.show_message(
        "a", "danger", "It broke.", "Mend it.", action="Mend", on_action=lambda: pressed.append("mend")
    )
    assert (strip.text(), strip.detail(), strip.tone) == ("It broke.", "Mend it.", "danger")
    assert strip.accessibleName() == "It broke. Mend it."
    qtbot.mouseClick(strip.action, Qt.MouseButton.LeftButton)
    assert pressed == ["mend"]
    assert area.strip("a") is None
    assert not area.isVisible()


def test_the_same_key_replaces(qtbot: QtBot, theme: Theme) -> None:
    area = MessageArea(theme)
    shown(qtbot, area)
    area.show_message("a", "info", "One")
    area.show_failure(Failure("b", "X", "Two", "Do this"))
    strip = area.show_message("a", "ok", "Three")
    assert strip.text() == "Three"
    assert not strip.action.isVisible()
    qtbot.mouseClick(strip.close_button, Qt.MouseButton.LeftButton)
    assert area.strip("a") is None
    assert area.strip("b") is not None
    assert area.isVisible()


def test_segments_move_with_the_arrow_keys(qtbot: QtBot, theme: Theme) -> None:
    control = SegmentedControl([("a", "A"), ("b", "B"), ("c", "C")], "Letters")
    host = shown(qtbot, control)
    with qtbot.waitSignal(control.chosen) as chosen:
        qtbot.mouseClick(control.button("b"), Qt.MouseButton.LeftButton)
    assert chosen.args == ["b"]
    host.activateWindow()
    qtbot.waitUntil(host.isActiveWindow)
    control.button("b").setFocus()
    with qtbot.waitSignal(control.chosen):
        qtbot.keyClick(control.button("b"), Qt.Key.Key_Right)
    assert control.current == "c"
    qtbot.keyClick(control.button("c"), Qt.Key.Key_Right)
    assert control.current == "c"
    with qtbot.assertNotEmitted(control.chosen):
        control.choose("a", quietly=True)
    control.set_count("a", 3)
    assert control.button("a").text() == "A  3"


def test_an_elided_label_keeps_the_whole_text(qtbot: QtBot, theme: Theme) -> None:
    name = ElidedLabel("a very long name of a model that nobody can read in full")
    host = shown(qtbot, name, 120, 40)
    assert name.toolTip() == name.whole_text() == name.accessibleName()
    host.resize(900, 40)
    QApplication.processEvents()
    assert name.toolTip() == ""


def test_a_job_row_shows_every_state(qtbot: QtBot, theme: Theme) -> None:
    job = JobInfo("j", "download", "model.gguf", "queued")
    line = JobRow(theme, job, can_retry=True)
    shown(qtbot, line)
    assert line.line() == "waiting"
    line.set_job(replace(job, state="running"))
    assert line.line() == "starting"
    assert line._bar.fraction is None
    line.set_job(
        replace(job, state="running", progress=Progress(GIB, 4 * GIB, "bytes", "downloading", 48e6, 62))
    )
    assert line.line() == "downloading · 1.0 of 4.0 GiB · 48 MB/s · 1 m 2 s left"
    assert line._bar.fraction == 0.25
    with qtbot.waitSignal(line.cancel_requested) as cancelled:
        qtbot.mouseClick(line.cancel, Qt.MouseButton.LeftButton)
    assert cancelled.args == ["j"]
    line.set_job(replace(job, state="failed", error_message="No.", error_remedy="Yes."))
    assert line._why.text() == "No. Yes."
    assert not line.cancel.isVisible()
    with qtbot.waitSignal(line.retry_requested):
        qtbot.mouseClick(line.retry, Qt.MouseButton.LeftButton)


def test_the_stacked_bar_adds_up(qtbot: QtBot, theme: Theme) -> None:
    bar = StackedBar(theme)
    shown(qtbot, bar)
    bar.set_parts([Segment("Weights", 3 * GIB, "accent"), Segment("None", 0, "rest")], 4 * GIB)
    assert bar._sentence.text() == "3.0 of 4.0 GiB"
    assert "Weights 3.0 GiB" in bar.bar.accessibleName()
    assert "None" not in bar.bar.accessibleName()
    assert not bar.grab().isNull()
    bar.set_parts([Segment("Weights", 6 * GIB, "accent")], 4 * GIB)
    assert bar.bar.fraction > 0.9


def test_an_unknown_total_is_an_empty_track(qtbot: QtBot, theme: Theme) -> None:
    bar = MeterBar(theme)
    shown(qtbot, bar)
    bar.set_value(None)
    assert bar.fraction == 0.0
    bar.set_value(0.4)
    assert bar.fraction == pytest.approx(0.4)


def test_the_busy_bar_moves_only_while_nobody_knows(qtbot: QtBot, theme: Theme) -> None:
    theme.reduced_motion = False
    bar = BusyBar(theme)
    host = shown(qtbot, bar)
    assert bar._timer.isActive()
    bar.set_fraction(0.5)
    assert not bar._timer.isActive()
    bar.set_fraction(None)
    host.hide()
    assert not bar._timer.isActive()
    theme.reduced_motion = True
    host.show()
    assert not bar._timer.isActive()


@pytest.mark.parametrize("level", FIT_TONES)
def test_fit_badges_differ_in_more_than_colour(qtbot: QtBot, theme: Theme, level: str) -> None:
    badge = FitBadge(theme, FitValue(level, f"it is {level}", "because"))
    shown(qtbot, badge)
    assert badge.text() == f"it is {level}"
    assert badge.toolTip() == "because"
    assert badge.tone == FIT_TONES[level]
    badge.set_fit(None)
    assert not badge.isVisible()


def test_facts_keep_their_widgets(qtbot: QtBot, theme: Theme) -> None:
    grid = KeyValueGrid(theme, columns=2)
    shown(qtbot, grid)
    grid.set_rows((("Port", "8080"), ("Process", ""), ("Model", "x")))
    assert grid.value("Port") == "8080"
    assert grid.value("Process") == ""
    before = grid._rows["Port"][1]
    grid.set_rows((("Port", "8081"), ("Model", "x")))
    assert grid._rows["Port"][1] is before
    assert before.text() == "8081"


def test_the_toast_undoes(qtbot: QtBot, theme: Theme) -> None:
    host = QWidget()
    qtbot.addWidget(host)
    host.resize(600, 300)
    host.show()
    undone: list[bool] = []
    toast = Toast(theme, host)
    toast.announce("Deleted.", "Undo", lambda: undone.append(True))
    assert toast.isVisible()
    qtbot.mouseClick(toast.action, Qt.MouseButton.LeftButton)
    assert undone == [True]
    assert not toast.isVisible()


def test_the_toast_leaves_by_itself(qtbot: QtBot, theme: Theme) -> None:
    host = QWidget()
    qtbot.addWidget(host)
    host.show()
    toast = Toast(theme, host, milliseconds=20)
    toast.announce("Done.")
    qtbot.waitUntil(lambda: not toast.isVisible())


def test_the_empty_state_says_what_to_do(qtbot: QtBot, theme: Theme) -> None:
    empty = EmptyState(theme, "models", "Nothing", "Do something.", action="Do", second="Other")
    shown(qtbot, empty, 600, 400)
    assert empty.button is not None
    with qtbot.waitSignal(empty.button.clicked):
        qtbot.mouseClick(empty.button, Qt.MouseButton.LeftButton)
    assert empty.accessibleName() == "Nothing Do something."


def test_controls_have_names(qtbot: QtBot, theme: Theme) -> None:
    assert Button(theme, "Start").accessibleName() == "Start"
    assert IconButton(theme, "copy", "Copy").accessibleName() == "Copy"
    edit = QLineEdit()
    field = Field(theme, "Address", edit, "of the file")
    qtbot.addWidget(field)
    assert edit.accessibleName() == "Address"
    field.set_error("wrong")
    assert field.error() == edit.accessibleDescription() == "wrong"
    field.set_error("")
    assert field.error() == ""
    assert edit.accessibleDescription() == "of the file"


def test_the_switch_switches(qtbot: QtBot, theme: Theme) -> None:
    switch = Switch(theme, "Offline")
    shown(qtbot, switch)
    qtbot.mouseClick(switch, Qt.MouseButton.LeftButton)
    assert switch.isChecked()
    switch.setFocus()
    qtbot.keyClick(switch, Qt.Key.Key_Space)
    assert not switch.isChecked()
    assert not switch.grab().isNull()


def test_the_grid_uses_the_width_it_has(qtbot: QtBot, theme: Theme) -> None:
    grid = ResponsiveGrid(200, space=10, max_columns=3)
    host = shown(qtbot, grid, 900, 300)
    cards = [Card(theme, str(index)) for index in range(5)]
    grid.set_items(cards)
    QApplication.processEvents()
    assert cards[2].geometry().top() == cards[0].geometry().top()
    assert cards[3].geometry().top() > cards[0].geometry().top()
    assert cards[4].geometry().right() == cards[2].geometry().right()
    host.resize(260, 900)
    QApplication.processEvents()
    assert cards[1].geometry().top() > cards[0].geometry().top()
    grid.set_items(cards[:1])
    assert not cards[4].isVisible()


def test_the_wheel_changes_no_value_in_passing(qtbot: QtBot, theme: Theme) -> None:
    box = QSpinBox()
    ignore_wheel(box)
    other = QLineEdit()
    host = shown(qtbot, box)
    host.layout().addWidget(other)
    other.setFocus()
    where = QPointF(5, 5)
    event = QWheelEvent(
        where, where, QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, event)
    assert box.value() == 0


def test_a_pill_says_its_state(qtbot: QtBot, theme: Theme) -> None:
    pill = Pill(theme, "stopped", "off")
    shown(qtbot, pill)
    for tone in ("off", "on", "busy", "warn", "danger", "info"):
        pill.set_state(f"is {tone}", tone, "why")
        assert pill.accessibleName() == f"is {tone}"
        assert not pill.grab().isNull()
