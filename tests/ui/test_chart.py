"""Charts: what they draw and what they say under the mouse."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from genai_desktop.core.telemetry import EventMarker
from genai_desktop.ui.system.charts import ChartsPanel
from genai_desktop.ui.theme import Theme
from genai_desktop.ui.widgets.chart import Layer, Point, TimeChart
from tests.ui import samples


@pytest.fixture
def chart(qtbot: QtBot, theme: Theme) -> TimeChart:
    made = TimeChart(
        theme, "Load", line_token="ram", layers=(Layer("ours", "llm"), Layer("rest", "rest")), tell=str
    )
    qtbot.addWidget(made)
    made.resize(400, 140)
    made.set_top(10.0)
    made.show()
    return made


def test_a_reading_names_value_layers_and_marker(chart: TimeChart) -> None:
    chart.set_points([Point(1000.0 + n, (2.0, 3.0)) for n in range(300)])
    chart.add_marker(EventMarker(1150.0, "crashed", "it crashed"))
    x = chart._x(1150.0, chart._plot())
    text = chart.reading_at(x)
    assert "it crashed" in text
    assert "5.0" in text
    assert "ours: 2.0" in text
    assert chart.reading_at(0) == ""
    assert not chart.grab().isNull()


def test_nothing_is_drawn_over_a_gap(chart: TimeChart) -> None:
    chart.set_points(
        [
            Point(1000.0, (1.0, 1.0)),
            Point(1001.0, (1.0, 1.0)),
            Point(1100.0, (1.0, 1.0)),
            Point(1101.0, (1.0, 1.0)),
        ]
    )
    assert [len(run) for run in chart._runs()] == [2, 2]
    chart.add_point(Point(1102.0, None))
    chart.add_point(Point(1103.0, (1.0, 1.0)))
    chart.add_point(Point(1104.0, (1.0, 1.0)))
    assert [len(run) for run in chart._runs()] == [2, 2, 2]
    assert "1050" not in chart.reading_at(chart._x(1050.0, chart._plot()))


def test_old_points_leave(chart: TimeChart) -> None:
    for second in range(700):
        chart.add_point(Point(float(second), (1.0, 1.0)))
    assert len(chart.points) <= 332
    assert chart.points[-1].time == 699.0


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_the_mouse_asks_for_a_reading(qtbot: QtBot, chart: TimeChart) -> None:
    chart.set_points([Point(1000.0 + n, (2.0, 3.0)) for n in range(300)])
    qtbot.mouseMove(chart, QPoint(200, 50))
    qtbot.mouseMove(chart, QPoint(205, 50))
    QApplication.processEvents()
    chart.leaveEvent(QEvent(QEvent.Type.Leave))
    assert chart._hover is None


def test_the_panel_grows_by_a_second(qtbot: QtBot, theme: Theme) -> None:
    panel = ChartsPanel(theme)
    qtbot.addWidget(panel)
    panel.resize(900, 700)
    panel.show()
    panel.show_history(samples.history(gpus=2), 300.0)
    assert len(panel.cards()) == 6
    assert panel.vram[1].objectName() == "system.chart.vram.1"
    before = len(panel.ram.chart.points)
    panel.show_sample(samples.sample(samples.NOW + 1, 2))
    assert len(panel.ram.chart.points) == before + 1
    assert "of 62.0 GiB" in panel.ram.value.text()
    panel.show_markers(samples.markers())
    panel.show_marker(EventMarker(samples.NOW, "oom", "no memory"))
    assert len(panel.gpu[0].chart.markers) == len(samples.markers()) + 1


def test_another_span_asks_for_its_history(qtbot: QtBot, theme: Theme) -> None:
    panel = ChartsPanel(theme)
    qtbot.addWidget(panel)
    with qtbot.waitSignal(panel.history_wanted) as wanted:
        panel.span.choose("24h")
    assert wanted.args == [86_400.0, 600]
    panel.show_history(samples.history(), 300.0)  # the answer to an older question
    assert panel.ram.chart.points == ()
    panel.show_history(samples.history(86_400.0, 100), 86_400.0)
    count = len(panel.ram.chart.points)
    panel.show_sample(samples.sample(samples.NOW + 1))
    assert len(panel.ram.chart.points) == count  # a second is too narrow for a day


def test_a_vanished_gpu_says_so(qtbot: QtBot, theme: Theme) -> None:
    from dataclasses import replace

    panel = ChartsPanel(theme)
    qtbot.addWidget(panel)
    sample = samples.sample(samples.NOW)
    panel.show_sample(replace(sample, gpus=(replace(sample.gpus[0], present=False),)))
    assert panel.gpu[0].value.text() == "not answering"
