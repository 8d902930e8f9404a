"""Will it run here, at which context, with what in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QComboBox, QSlider, QWidget

from genai_desktop.ui.models.words import segments
from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.meter import BusyLine, StackedBar

if TYPE_CHECKING:
    from genai_desktop.core.models import ModelDetails, ModelInfo
    from genai_desktop.ui.theme import Theme

KV_TYPES = ("f16", "q8_0", "q4_0")


class FitPanel(QWidget):
    """`wanted` carries the context (0: automatic) and the KV type to compute for."""

    wanted = Signal(int, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("models.fit")
        self._contexts: list[int] = [0]
        space = theme.space
        whole = column(self, space=space.s)
        self.bar = StackedBar(theme)
        self.busy = BusyLine(theme, self.tr("Reading the header"))
        self.reason = label("", "meta", wrap=True)
        self.choices = QWidget()
        choices = column(self.choices, space=space.xs, margins=(0, space.s, 0, 0))
        caption = row(space=space.s)
        caption.addWidget(label(self.tr("Context"), "meta"))
        caption.addStretch(1)
        self.chosen = label("", "body")
        caption.addWidget(self.chosen)
        choices.addLayout(caption)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("models.fit.context")
        self.slider.setAccessibleName(self.tr("Context in tokens"))
        self.slider.setPageStep(1)
        choices.addWidget(self.slider)
        kinds = row(space=space.s, margins=(0, space.xs, 0, 0))
        kinds.addWidget(label(self.tr("KV cache type"), "meta"))
        kinds.addStretch(1)
        self.kind = QComboBox()
        self.kind.setObjectName("models.fit.cache")
        self.kind.setAccessibleName(self.tr("KV cache type"))
        self.kind.addItems(list(KV_TYPES))
        kinds.addWidget(self.kind)
        choices.addLayout(kinds)
        for part in (self.busy, self.bar, self.reason, self.choices):
            whole.addWidget(part)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(120)
        self._typing.timeout.connect(self._ask)
        self.slider.valueChanged.connect(self._on_moved)
        self.kind.currentIndexChanged.connect(self._on_kind)

    def start(self, model: ModelInfo) -> None:
        """Another model: everything automatic again, and nothing known yet."""
        self._typing.stop()
        self._contexts = [0, *_steps(model.context_length or 0)]
        for control in (self.slider, self.kind):
            control.blockSignals(True)
        self.slider.setRange(0, len(self._contexts) - 1)
        self.slider.setValue(0)
        self.kind.setCurrentIndex(0)
        for control in (self.slider, self.kind):
            control.blockSignals(False)
        self.choices.setVisible(model.type == "llm" and not model.missing)
        self._show_chosen(0)
        self.bar.hide()
        self.reason.hide()
        self.busy.setVisible(not model.missing)

    def show_details(self, details: ModelDetails) -> None:
        self.busy.hide()
        parts = segments(details.footprint)
        self.bar.setVisible(bool(parts))
        if parts:
            needed = sum(part.value for part in parts)
            amount = fmt.used_of(needed, details.memory_free)
            sentence = self.tr("{amount} of free memory").format(amount=amount)
            self.bar.set_parts(parts, details.memory_free, sentence)
        advice = str(details.placement.get("suggestion") or "")
        self.reason.setText(" ".join(text for text in (details.fit.reason, advice) if text))
        self.reason.setVisible(bool(self.reason.text()))
        if not self.slider.value():
            self._show_chosen(int(details.placement.get("n_ctx") or 0))

    @property
    def context(self) -> int:
        """The context asked for, 0 for automatic."""
        return self._contexts[self.slider.value()]

    @Slot(int)
    def _on_moved(self, _value: int) -> None:
        self._show_chosen(0)
        self._typing.start()

    @Slot(int)
    def _on_kind(self, _index: int) -> None:
        self._typing.start()

    @Slot()
    def _ask(self) -> None:
        self.wanted.emit(self.context, self.kind.currentText())

    def _show_chosen(self, automatic: int) -> None:
        if self.context:
            text = self.tr("{count} tokens").format(count=fmt.context(self.context))
        elif automatic:
            text = self.tr("automatic: {count} tokens").format(count=fmt.context(automatic))
        else:
            text = self.tr("automatic")
        self.chosen.setText(text)
        self.slider.setAccessibleDescription(text)


def _steps(longest: int) -> list[int]:
    """Doublings from 2k up to what the model was trained for."""
    steps: list[int] = []
    step = 2048
    while step < longest:
        steps.append(step)
        step *= 2
    return [*steps, longest] if longest else []
