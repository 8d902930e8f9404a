"""Live charts: memory, graphics memory, graphics load, processor, with what happened marked in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.chart import Layer, Point, TimeChart
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import ResponsiveGrid, column, row
from genai_desktop.ui.widgets.meter import Swatch
from genai_desktop.ui.widgets.segmented import SegmentedControl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from genai_desktop.core.telemetry import EventMarker, GpuSample, TelemetrySample
    from genai_desktop.ui.theme import Theme

SPANS: dict[str, float] = {"5m": 300.0, "1h": 3600.0, "24h": 86_400.0}
POINTS = 600


class ChartCard(Card):
    """A chart with its present value, and a legend when it is stacked."""

    def __init__(
        self,
        theme: Theme,
        title: str,
        name: str,
        *,
        line: str,
        layers: Sequence[Layer],
        tell: Callable[[float], str],
    ) -> None:
        super().__init__(theme, title, name=name, role="strong", padding=theme.space.m)
        self.value = label("", "body")
        self.header.addWidget(self.value)
        self.chart = TimeChart(theme, title, line_token=line, layers=layers, tell=tell)
        self.body.addWidget(self.chart)
        if len(layers) > 1:
            legend = row(space=theme.space.s)
            for layer in layers:
                legend.addWidget(Swatch(theme, layer.token))
                legend.addWidget(label(layer.name, "meta"))
            legend.addStretch(1)
            self.body.addLayout(legend)


class ChartsPanel(QWidget):
    """Asks for history when the span changes (`history_wanted`), and grows by one point a second."""

    history_wanted = Signal(float, int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._last = 0.0
        self._markers: list[EventMarker] = []
        whole = column(self, space=theme.space.m)
        head = row(space=theme.space.s)
        head.addWidget(label(self.tr("Live"), "section"))
        head.addStretch(1)
        self.span = SegmentedControl(
            [("5m", self.tr("5 min")), ("1h", self.tr("1 h")), ("24h", self.tr("24 h"))],
            self.tr("Time shown in the charts"),
        )
        self.span.chosen.connect(self._on_span)
        head.addWidget(self.span)
        whole.addLayout(head)
        self._grid = ResponsiveGrid(theme.px(320), space=theme.space.m, max_columns=2)
        whole.addWidget(self._grid)
        rest = self.tr("other programs")
        self.ram = ChartCard(
            theme,
            self.tr("Memory"),
            "system.chart.ram",
            line="ram",
            layers=(Layer("LLM", "llm"), Layer(self.tr("images"), "diffusion"), Layer(rest, "rest")),
            tell=fmt.size,
        )
        self.cpu = ChartCard(
            theme,
            self.tr("Processor load"),
            "system.chart.cpu",
            line="cpu",
            layers=(Layer("", "cpu"),),
            tell=fmt.percent,
        )
        self.vram: list[ChartCard] = [self._vram_card(0, "")]
        self.gpu: list[ChartCard] = [self._gpu_card(0, "")]
        self._grid.keep(*self.vram, *self.gpu)
        self.cpu.chart.set_top(1.0)
        self._gpu_count = 0
        self._grid.set_items([self.ram, self.cpu])

    def _vram_card(self, index: int, suffix: str) -> ChartCard:
        return ChartCard(
            self._theme,
            self.tr("Graphics memory") + suffix,
            "system.chart.vram" if index == 0 else f"system.chart.vram.{index}",
            line="vram",
            layers=(Layer(self.tr("ours"), "vram"), Layer(self.tr("other programs"), "rest")),
            tell=fmt.size,
        )

    def _gpu_card(self, index: int, suffix: str) -> ChartCard:
        card = ChartCard(
            self._theme,
            self.tr("Graphics load") + suffix,
            "system.chart.gpu" if index == 0 else f"system.chart.gpu.{index}",
            line="gpu",
            layers=(Layer("", "gpu"),),
            tell=fmt.percent,
        )
        card.chart.set_top(1.0)
        return card

    @property
    def seconds(self) -> float:
        """The span that is shown."""
        return SPANS[self.span.current]

    def ask_for_history(self) -> None:
        self.history_wanted.emit(self.seconds, POINTS)

    def cards(self) -> tuple[ChartCard, ...]:
        """Those on display."""
        return (self.ram, self.cpu, *self.vram[: self._gpu_count], *self.gpu[: self._gpu_count])

    @Slot(str)
    def _on_span(self, _key: str) -> None:
        for card in self.cards():
            card.chart.set_span(self.seconds)
        self.ask_for_history()

    @Slot(object, object)
    def show_history(self, samples: Sequence[TelemetrySample], seconds: float) -> None:
        """What was before; ignored when another span has been chosen meanwhile."""
        if seconds != self.seconds:
            return
        if samples:
            self._arrange(samples[-1].gpus)
            self._last = samples[-1].time
            self._tell(samples[-1])
        self.ram.chart.set_points([_ram_point(s) for s in samples])
        self.cpu.chart.set_points([Point(s.time, (s.cpu,)) for s in samples])
        for index in range(self._gpu_count):
            self.vram[index].chart.set_points([_vram_point(s, index) for s in samples])
            self.gpu[index].chart.set_points([_load_point(s, index) for s in samples])

    @Slot(object)
    def show_sample(self, sample: TelemetrySample) -> None:
        """One more second. Long spans take a point only as often as one is wide."""
        self._arrange(sample.gpus)
        self._tell(sample)
        if sample.time - self._last < self.seconds / POINTS and self.seconds > SPANS["5m"]:
            return
        self._last = sample.time
        self.ram.chart.add_point(_ram_point(sample))
        self.cpu.chart.add_point(Point(sample.time, (sample.cpu,)))
        for index in range(self._gpu_count):
            self.vram[index].chart.add_point(_vram_point(sample, index))
            self.gpu[index].chart.add_point(_load_point(sample, index))

    @Slot(object)
    def show_markers(self, markers: Sequence[EventMarker]) -> None:
        self._markers = list(markers)
        for card in self.cards():
            card.chart.set_markers(self._markers)

    @Slot(object)
    def show_marker(self, marker: EventMarker) -> None:
        self._markers.append(marker)
        for card in self.cards():
            card.chart.add_marker(marker)

    def _arrange(self, gpus: Sequence[GpuSample]) -> None:
        if len(gpus) == self._gpu_count:
            return
        self._gpu_count = len(gpus)
        while len(self.vram) < len(gpus):
            index = len(self.vram)
            self.vram.append(self._vram_card(index, f" {index + 1}"))
            self.gpu.append(self._gpu_card(index, f" {index + 1}"))
        for card in self.cards():
            card.chart.set_span(self.seconds)
            card.chart.set_markers(self._markers)
        pairs = [card for pair in zip(self.vram, self.gpu, strict=True) for card in pair]
        self._grid.set_items([self.ram, self.cpu, *pairs[: 2 * len(gpus)]])

    def _tell(self, sample: TelemetrySample) -> None:
        self.ram.value.setText(fmt.used_of(sample.ram_used, sample.ram_total))
        self.ram.chart.set_top(sample.ram_total)
        self.cpu.value.setText(fmt.percent(sample.cpu))
        for index, gpu in enumerate(sample.gpus):
            known = gpu.present and gpu.vram_total
            self.vram[index].value.setText(
                fmt.used_of(gpu.vram_used, gpu.vram_total) if known else fmt.UNKNOWN
            )
            if gpu.vram_total:
                self.vram[index].chart.set_top(gpu.vram_total)
            parts = [fmt.percent(gpu.load)]
            if gpu.temperature is not None:
                parts.append(f"{gpu.temperature:.0f} °C")
            if gpu.power is not None:
                parts.append(f"{gpu.power:.0f} W")
            self.gpu[index].value.setText(" · ".join(parts) if gpu.present else self.tr("not answering"))


def _ram_point(sample: TelemetrySample) -> Point:
    ours = dict(sample.ram_ours)
    llm, images = ours.get("llama", 0), ours.get("diffusion", 0)
    return Point(sample.time, (llm, images, max(0, sample.ram_used - llm - images)))


def _vram_point(sample: TelemetrySample, index: int) -> Point:
    gpu = sample.gpus[index] if index < len(sample.gpus) else None
    if gpu is None or not gpu.present or gpu.vram_used is None:
        return Point(sample.time, None)
    ours = min(gpu.vram_ours, gpu.vram_used)
    return Point(sample.time, (ours, gpu.vram_used - ours))


def _load_point(sample: TelemetrySample, index: int) -> Point:
    gpu = sample.gpus[index] if index < len(sample.gpus) else None
    known = gpu is not None and gpu.present and gpu.load is not None
    return Point(sample.time, (gpu.load,) if known and gpu is not None and gpu.load is not None else None)
