"""What this computer is: one card per part, and what that means for models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.key_values import KeyValueGrid
from genai_desktop.ui.widgets.labels import ElidedLabel, label, restyle
from genai_desktop.ui.widgets.layouts import ResponsiveGrid, column, row
from genai_desktop.ui.widgets.meter import BusyLine, MeterBar, Segment

if TYPE_CHECKING:
    from genai_desktop.core.hardware import CpuInfo, GpuInfo, MemoryInfo, Recommendations, SystemCapabilities
    from genai_desktop.core.telemetry import GpuSample, TelemetrySample
    from genai_desktop.ui.theme import Theme

_BACKENDS = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "metal": "Metal"}
_ALL_LAYERS = 99  # more than any model has
_MAKERS = {"nvidia": "NVIDIA", "amd": "AMD", "apple": "Apple", "intel": "Intel"}


class PartCard(Card):
    """A figure, what it is of, an optional meter, facts, and where they came from."""

    def __init__(self, theme: Theme, title: str, icon: str, name: str) -> None:
        super().__init__(theme, title, icon=icon, name=name)
        self.gpu: GpuInfo | None = None
        self.figure = ElidedLabel("", "figure")
        self.caption = ElidedLabel("", "muted")
        self.meter = MeterBar(theme)
        self.meter.hide()
        self.facts = KeyValueGrid(theme)
        self.source = ElidedLabel("", "meta")
        for part in (self.figure, self.caption, self.meter, self.facts):
            self.body.addWidget(part)
        self.foot.addWidget(self.source)

    def set_source(self, source: str) -> None:
        self.source.setText(self.tr("Source: {source}").format(source=source) if source else "")


class RecommendationCard(Card):
    """What to choose on this computer, and why in one sentence."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, self.tr("Recommendation"), icon="sparkles", name="system.recommendation")
        restyle(self, "tone", "accent")
        self.figure = ElidedLabel("", "figure")
        self.facts = KeyValueGrid(theme)
        self.reason = label("", "muted", wrap=True)
        for part in (self.figure, self.facts, self.reason):
            self.body.addWidget(part)

    def show_values(self, values: Recommendations) -> None:
        self.figure.setText(self.tr("Models up to {size}").format(size=values.max_model_size))
        layers = self.tr("none, all on the processor")
        if values.gpu_layers < 0 or values.gpu_layers >= _ALL_LAYERS:
            layers = self.tr("all on the graphics card")
        elif values.gpu_layers:
            layers = self.tr("{count} on the graphics card").format(count=values.gpu_layers)
        self.facts.set_rows(
            (
                (self.tr("Quantization"), ", ".join(values.quantizations)),
                (self.tr("Threads"), str(values.threads)),
                (self.tr("Layers"), layers),
            )
        )
        self.reason.setText(values.reason)


class HardwareCards(QWidget):
    """Busy until the first answer; then one card per part."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        whole = column(self, space=theme.space.m)
        self.busy = BusyLine(theme, self.tr("Looking at this computer"))
        self.grid = ResponsiveGrid(theme.px(236), space=theme.space.m, max_columns=4)
        self.grid.hide()
        whole.addWidget(self.busy)
        whole.addWidget(self.grid)
        self.cpu = PartCard(theme, self.tr("Processor"), "cpu", "system.cpu")
        self.memory = PartCard(theme, self.tr("Memory"), "memory", "system.memory")
        self.recommendation = RecommendationCard(theme)
        self.gpus: list[PartCard] = [PartCard(theme, self.tr("Graphics card"), "gpu", "system.gpu")]
        self.grid.keep(self.cpu, self.memory, self.recommendation, *self.gpus)

    def show_busy(self) -> None:
        self.busy.show()

    def show_capabilities(self, values: SystemCapabilities) -> None:
        self.busy.hide()
        self.grid.show()
        self._show_cpu(values.cpu, values.platform)
        self._show_memory(values.memory)
        while len(self.gpus) < len(values.gpus):
            name = f"system.gpu.{len(self.gpus)}"
            self.gpus.append(PartCard(self._theme, self.tr("Graphics card"), "gpu", name))
        for card, gpu in zip(self.gpus, values.gpus, strict=False):
            self._show_gpu(card, gpu)
        if not values.gpus:
            self._show_no_gpu(self.gpus[0])
        self.recommendation.show_values(values.recommendations)
        shown = self.gpus[: max(1, len(values.gpus))]
        self.grid.set_items([self.cpu, self.memory, *shown, self.recommendation])

    @Slot(object)
    def show_sample(self, sample: TelemetrySample) -> None:
        """Live: how much is free now."""
        self._show_ram(sample.ram_used, sample.ram_total)
        by_index = {gpu.index: gpu for gpu in sample.gpus}
        for card in self.gpus:
            reading = by_index.get(card.gpu.index) if card.gpu is not None else None
            if reading is not None:
                self._show_vram(card, reading)

    def _show_cpu(self, cpu: CpuInfo, platform: str) -> None:
        self.cpu.figure.setText(self.tr("{count} cores").format(count=cpu.cores))
        self.cpu.caption.setText(cpu.model)
        self.cpu.facts.set_rows(
            (
                (self.tr("Threads"), str(cpu.threads)),
                (self.tr("Architecture"), cpu.architecture),
                (self.tr("System"), {"macos": "macOS"}.get(platform, platform.capitalize())),
            )
        )
        self.cpu.set_source(cpu.source)

    def _show_memory(self, memory: MemoryInfo) -> None:
        self.memory.figure.setText(fmt.size(memory.total))
        self.memory.caption.setText(self.tr("in total"))
        self.memory.set_source(memory.source)
        self._show_ram(memory.used, memory.total)

    def _show_ram(self, used: int, total: int) -> None:
        self.memory.meter.show()
        self.memory.meter.set_segments((Segment("", used, "ram"),), total)
        self.memory.facts.set_rows(
            ((self.tr("In use"), fmt.size(used)), (self.tr("Free"), fmt.size(max(0, total - used))))
        )

    def _show_gpu(self, card: PartCard, gpu: GpuInfo) -> None:
        card.gpu = gpu
        card.figure.setText(fmt.size(gpu.vram_total) if gpu.vram_total else self.tr("Memory unknown"))
        card.caption.setText(gpu.name)
        card.set_source(gpu.source)
        used = gpu.vram_total - gpu.vram_free if gpu.vram_total and gpu.vram_free is not None else None
        self._facts_of_gpu(card, gpu, gpu.vram_free)
        card.meter.setVisible(used is not None)
        if used is not None and gpu.vram_total:
            card.meter.set_segments((Segment("", used, "vram"),), gpu.vram_total)

    def _facts_of_gpu(self, card: PartCard, gpu: GpuInfo, free: int | None) -> None:
        driver = " · ".join(
            part
            for part in (
                f"{_MAKERS.get(gpu.type, gpu.type)} {gpu.driver}" if gpu.driver else "",
                f"CUDA {gpu.cuda_version}" if gpu.cuda_version else "",
            )
            if part
        )
        works = ", ".join(_BACKENDS.get(name, name) for name in gpu.backends)
        card.facts.set_rows(
            (
                (self.tr("Free"), fmt.size(free) if free is not None else self.tr("not told")),
                (self.tr("Driver"), driver),
                (self.tr("Works with"), works or self.tr("nothing found")),
                (self.tr("Memory"), self.tr("shared with the processor") if gpu.is_unified else ""),
            )
        )

    def _show_vram(self, card: PartCard, sample: GpuSample) -> None:
        gpu = card.gpu
        if gpu is None:
            return
        if not sample.present:
            card.figure.setText(self.tr("Not answering"))
            return
        if sample.vram_total and sample.vram_used is not None:
            card.figure.setText(fmt.size(sample.vram_total))
            card.meter.show()
            card.meter.set_segments((Segment("", sample.vram_used, "vram"),), sample.vram_total)
            self._facts_of_gpu(card, gpu, sample.vram_total - sample.vram_used)

    def _show_no_gpu(self, card: PartCard) -> None:
        card.figure.setText(self.tr("None found"))
        card.caption.setText(self.tr("Everything runs on the processor"))
        card.meter.hide()
        card.facts.set_rows(())
        card.set_source("")


def page_header(theme: Theme, title: str, actions: list[QWidget]) -> QWidget:
    """The first line of a page: its name at the left, what concerns all of it at the right."""
    whole = QWidget()
    inside = row(whole, space=theme.space.s)
    inside.addWidget(label(title, "title"))
    inside.addStretch(1)
    for action in actions:
        inside.addWidget(action)
    return whole
