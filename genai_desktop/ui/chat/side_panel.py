"""At the right: what the model is told, how it samples, how the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from genai_desktop.core.chat import SamplingParameters
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.field import Field
from genai_desktop.ui.widgets.key_values import KeyValueGrid
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, line, row

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.ui.theme import Theme

CONTEXTS = (0, 2048, 4096, 8192, 16384, 32768, 65536, 131072)


class SidePanel(QScrollArea):
    """Every value is automatic until a person sets it; what automatic chose stands beside it."""

    system_prompt_changed = Signal(str)
    changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("chat.settings")
        self.setAccessibleName(self.tr("Settings of this chat"))
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QFrame()
        inside.setProperty("kind", "side")
        inside.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        whole = column(inside, space=theme.space.m, margins=(16, 16, 16, 16))
        self._build_prompt(theme, whole)
        whole.addWidget(line())
        self._build_sampling(theme, whole)
        whole.addWidget(line())
        self._build_server(theme, whole)
        whole.addStretch(1)
        self.setWidget(inside)

    def _build_prompt(self, theme: Theme, whole: Any) -> None:
        whole.addWidget(label(self.tr("System prompt"), "section"))
        self.system_prompt = QPlainTextEdit()
        self.system_prompt.setAccessibleName(self.tr("System prompt"))
        self.system_prompt.setPlaceholderText(self.tr("How the model should behave in this chat"))
        self.system_prompt.setFixedHeight(theme.px(96))
        self.system_prompt.setTabChangesFocus(True)
        whole.addWidget(self.system_prompt)
        self._prompt_delay = QTimer(self)
        self._prompt_delay.setSingleShot(True)
        self._prompt_delay.setInterval(600)
        self._prompt_delay.timeout.connect(self._on_prompt)
        self.system_prompt.textChanged.connect(self._prompt_delay.start)

    def _build_sampling(self, theme: Theme, whole: Any) -> None:
        whole.addWidget(label(self.tr("Sampling"), "section"))
        self.temperature = self._number(0.0, 2.0, 0.05, 2)
        self.top_p = self._number(0.0, 1.0, 0.05, 2)
        self.max_tokens = self._whole(1_000_000, 64)
        self.seed = self._whole(2_147_483_647, 1)
        for left, right in (
            ((self.tr("Temperature"), self.temperature), (self.tr("Top p"), self.top_p)),
            ((self.tr("Reply limit, tokens"), self.max_tokens), (self.tr("Seed"), self.seed)),
        ):
            pair = row(space=theme.space.m)
            for name, control in (left, right):
                pair.addWidget(Field(theme, name, control), 1)
            whole.addLayout(pair)

    def _build_server(self, theme: Theme, whole: Any) -> None:
        whole.addWidget(label(self.tr("Server, from the next load"), "section"))
        self.context = QComboBox()
        for value in CONTEXTS:
            self.context.addItem(self.tr("Automatic") if value == 0 else f"{value:,}", value)
        self.layers = self._whole(999, 1)
        self.threads = self._whole(512, 1)
        self.cache_type = QComboBox()
        for name in ("f16", "q8_0", "q4_0"):
            self.cache_type.addItem(self.tr("Automatic (f16)") if name == "f16" else name, name)
        for control in (self.context, self.cache_type):
            control.currentIndexChanged.connect(self._on_changed)
        whole.addWidget(Field(theme, self.tr("Context, tokens"), self.context))
        pair = row(space=theme.space.m)
        pair.addWidget(Field(theme, self.tr("GPU layers"), self.layers), 1)
        pair.addWidget(Field(theme, self.tr("Threads"), self.threads), 1)
        whole.addLayout(pair)
        whole.addWidget(Field(theme, self.tr("KV cache type"), self.cache_type))
        self._chosen_title = label(self.tr("What runs now"), "meta")
        self._chosen = KeyValueGrid(theme)
        whole.addWidget(self._chosen_title)
        whole.addWidget(self._chosen)
        head = row(space=theme.space.s)
        head.addWidget(label(self.tr("Command line"), "meta"))
        head.addStretch(1)
        self._copy = Button(theme, self.tr("Copy"), kind="link")
        self._copy.setAccessibleName(self.tr("Copy the command line"))
        self._copy.clicked.connect(self._on_copy)
        head.addWidget(self._copy)
        self._argv_head = QWidget()
        self._argv_head.setLayout(head)
        head.setContentsMargins(0, 0, 0, 0)
        self._argv = QPlainTextEdit()
        self._argv.setReadOnly(True)
        self._argv.setProperty("role", "mono")
        self._argv.setAccessibleName(self.tr("Effective command line"))
        self._argv.setFixedHeight(theme.px(120))
        whole.addWidget(self._argv_head)
        whole.addWidget(self._argv)
        self.set_server(None)

    # -- values ---------------------------------------------------------------------------------------------

    def sampling(self) -> SamplingParameters:
        """Only what a person set."""
        return SamplingParameters(
            temperature=_set(self.temperature),
            top_p=_set(self.top_p),
            max_tokens=None if _set(self.max_tokens) is None else self.max_tokens.value(),
            seed=None if _set(self.seed) is None else self.seed.value(),
        )

    def options(self) -> dict[str, Any]:
        """LlamaServerConfig values a person set."""
        found: dict[str, Any] = {}
        if self.context.currentData():
            found["context_size"] = int(self.context.currentData())
        if _set(self.layers) is not None:
            found["gpu_layers"] = self.layers.value()
        if _set(self.threads) is not None:
            found["threads"] = max(1, self.threads.value())
        if self.cache_type.currentData() != "f16":
            found["cache_type_k"] = found["cache_type_v"] = str(self.cache_type.currentData())
        return found

    def form(self) -> dict[str, Any]:
        """Every value, to be found again after a restart."""
        return {
            "temperature": self.temperature.value(),
            "top_p": self.top_p.value(),
            "max_tokens": self.max_tokens.value(),
            "seed": self.seed.value(),
            "context": self.context.currentData(),
            "layers": self.layers.value(),
            "threads": self.threads.value(),
            "cache_type": self.cache_type.currentData(),
        }

    def set_form(self, values: dict[str, Any]) -> None:
        """What `form` gave, of any version: what does not fit is left alone."""
        for name in ("temperature", "top_p", "max_tokens", "seed", "layers", "threads"):
            value = values.get(name)
            control = getattr(self, name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                control.setValue(type(control.value())(value))
        for name, control in (("context", self.context), ("cache_type", self.cache_type)):
            found = control.findData(values.get(name))
            if found >= 0:
                control.setCurrentIndex(found)

    def set_system_prompt(self, text: str) -> None:
        if text == self.system_prompt.toPlainText():
            return
        self.system_prompt.blockSignals(True)
        self.system_prompt.setPlainText(text)
        self.system_prompt.blockSignals(False)

    def set_server(self, info: ServerInfo | None) -> None:
        """Effective beside requested."""
        is_running = info is not None and info.status == "running"
        for widget in (self._chosen_title, self._chosen, self._argv_head, self._argv):
            widget.setVisible(is_running)
        if info is None or not is_running:
            return
        effective, requested = dict(info.effective), dict(info.requested)
        names = {
            "n_ctx": self.tr("Context"),
            "n_gpu_layers": self.tr("GPU layers"),
            "total_slots": self.tr("Slots"),
            "threads": self.tr("Threads"),
        }
        rows = [(names[key], _shown(effective[key], requested.get(key))) for key in names if key in effective]
        rows.append((self.tr("Engine"), info.engine))
        self._chosen.set_rows(rows)
        self._argv.setPlainText(" ".join(info.command_line))

    # -- inside ---------------------------------------------------------------------------------------------

    def _number(self, low: float, high: float, step: float, decimals: int) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setRange(low - step, high)  # one step below the range means automatic
        box.setSingleStep(step)
        box.setDecimals(decimals)
        box.setSpecialValueText(self.tr("Auto"))
        box.setValue(low - step)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.valueChanged.connect(self._on_changed)
        return box

    def _whole(self, high: int, step: int) -> QSpinBox:
        box = QSpinBox()
        box.setRange(-1, high)
        box.setSingleStep(step)
        box.setSpecialValueText(self.tr("Auto"))
        box.setValue(-1)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.valueChanged.connect(self._on_changed)
        return box

    @Slot()
    def _on_changed(self) -> None:
        self.changed.emit()

    @Slot()
    def _on_prompt(self) -> None:
        self.system_prompt_changed.emit(self.system_prompt.toPlainText())

    @Slot()
    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._argv.toPlainText())


def _set(box: QSpinBox | QDoubleSpinBox) -> float | None:
    return None if box.value() <= box.minimum() else float(box.value())


def _shown(effective: object, requested: object) -> str:
    if requested in (None, effective):
        return str(effective)
    return f"{effective} ({requested})"
