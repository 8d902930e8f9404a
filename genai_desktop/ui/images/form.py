"""The parameters of a picture, and only those that do something."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
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

from genai_desktop.core.images import MAX_SEED, SAMPLERS, SCHEDULERS, ImageGenerationConfig
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.field import Field
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from genai_desktop.core.models import ModelInfo
    from genai_desktop.ui.theme import Theme

SIZES = ((512, 512), (768, 768), (1024, 1024), (512, 768), (768, 512), (1024, 1536), (1536, 1024))


class PromptBox(QPlainTextEdit):
    """Ctrl+Enter paints."""

    submitted = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.submitted.emit()
            return
        super().keyPressEvent(event)


class ImageForm(QFrame):
    """Everything `ImageGenerationConfig` needs, with Generate at its foot."""

    submitted = Signal()
    cancelled = Signal()
    changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._models: dict[str, ModelInfo] = {}
        self.setProperty("kind", "side")
        outer = column(self, space=0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QFrame()
        inside.setProperty("kind", "side")
        inside.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        whole = column(inside, space=theme.space.m, margins=(16, 16, 16, 16))
        self._build_model(theme, whole)
        self._build_prompts(theme, whole)
        self._build_size(theme, whole)
        self._build_sampling(theme, whole)
        self._build_seed(theme, whole)
        whole.addStretch(1)
        scroll.setWidget(inside)
        outer.addWidget(scroll, 1)
        foot = row(space=theme.space.s, margins=(16, 12, 16, 12))
        self.generate_button = Button(
            theme, self.tr("Generate"), kind="primary", icon="sparkles", name="images.generate"
        )
        self.generate_button.setToolTip(self.tr("Generate (Ctrl+Enter)"))
        self.generate_button.clicked.connect(self.submitted)
        self.cancel_button = Button(theme, self.tr("Cancel"), icon="close", name="images.cancel")
        self.cancel_button.clicked.connect(self.cancelled)
        self.cancel_button.hide()
        foot.addWidget(self.generate_button, 1)
        foot.addWidget(self.cancel_button)
        outer.addLayout(foot)

    # -- building -------------------------------------------------------------------------------------------

    def _build_model(self, theme: Theme, whole: Any) -> None:
        self.model = QComboBox()
        self.model.setObjectName("images.model")
        self.model.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.model.currentIndexChanged.connect(self._on_model)
        self._model_field = Field(theme, self.tr("Model"), self.model)
        whole.addWidget(self._model_field)
        self._recommended = Button(theme, "", kind="link")
        self._recommended.clicked.connect(self._on_recommended)
        self._recommended.hide()
        self._recommended.setToolTip(self.tr("Put the settings that suit this model into the form"))
        whole.addWidget(self._recommended, 0, Qt.AlignmentFlag.AlignLeft)

    def _build_prompts(self, theme: Theme, whole: Any) -> None:
        self.prompt = self._text("images.prompt", theme.px(110), self.tr("What should be in the picture?"))
        self._prompt_field = Field(theme, self.tr("Prompt"), self.prompt)
        whole.addWidget(self._prompt_field)
        self.negative = self._text("images.negative", theme.px(56), self.tr("What should not"))
        whole.addWidget(Field(theme, self.tr("Negative prompt"), self.negative))

    def _build_size(self, theme: Theme, whole: Any) -> None:
        self.preset = QComboBox()
        self.preset.addItem(self.tr("Own size"), "")
        for width, height in SIZES:
            self.preset.addItem(f"{width} x {height}".replace("x", "\u00d7"), f"{width}x{height}")
        self.preset.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.preset.currentIndexChanged.connect(self._on_preset)
        whole.addWidget(Field(theme, self.tr("Size"), self.preset))
        self.width_box = self._whole("images.width", 64, 4096, 512, 64)
        self.height_box = self._whole("images.height", 64, 4096, 512, 64)
        for box in (self.width_box, self.height_box):
            box.valueChanged.connect(self._on_size)
        swap = IconButton(theme, "swap", self.tr("Swap width and height"), size=16)
        swap.clicked.connect(self._on_swap)
        line = row(space=theme.space.xs)
        self._on_size()
        line.addWidget(Field(theme, self.tr("Width"), self.width_box), 1)
        line.addWidget(swap, 0, Qt.AlignmentFlag.AlignBottom)
        line.addWidget(Field(theme, self.tr("Height"), self.height_box), 1)
        whole.addLayout(line)

    def _build_sampling(self, theme: Theme, whole: Any) -> None:
        self.steps = self._whole("images.steps", 1, 200, 20, 1)
        self.cfg = QDoubleSpinBox()
        self.cfg.setObjectName("images.cfg")
        self.cfg.setRange(0.0, 50.0)
        self.cfg.setSingleStep(0.5)
        self.cfg.setDecimals(1)
        self.cfg.setValue(7.0)
        self.cfg.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.cfg.valueChanged.connect(self._on_changed)
        self.sampler = self._choice("images.sampler", SAMPLERS)
        self.scheduler = self._choice("images.scheduler", SCHEDULERS)
        for left, right in (
            ((self.tr("Steps"), self.steps), (self.tr("CFG scale"), self.cfg)),
            ((self.tr("Sampler"), self.sampler), (self.tr("Scheduler"), self.scheduler)),
        ):
            line = row(space=theme.space.m)
            for name, control in (left, right):
                line.addWidget(Field(theme, name, control), 1)
            whole.addLayout(line)

    def _build_seed(self, theme: Theme, whole: Any) -> None:
        self.seed = self._whole("images.seed", -1, MAX_SEED, -1, 1)
        self.seed.setSpecialValueText(self.tr("Random"))
        self.lock = IconButton(
            theme, "lock", self.tr("Keep the seed of the last picture"), size=16, checkable=True
        )
        self.lock.toggled.connect(self._on_changed)
        dice = IconButton(theme, "dice", self.tr("Throw a new seed"), size=16)
        dice.clicked.connect(self._on_dice)
        self.count = self._whole("images.count", 1, 5, 1, 1)
        line = row(space=theme.space.xs)
        line.addWidget(Field(theme, self.tr("Seed"), self.seed), 3)
        line.addWidget(self.lock, 0, Qt.AlignmentFlag.AlignBottom)
        line.addWidget(dice, 0, Qt.AlignmentFlag.AlignBottom)
        line.addSpacing(theme.space.s)
        line.addWidget(Field(theme, self.tr("Pictures"), self.count), 2)
        whole.addLayout(line)

    def _text(self, name: str, height: int, placeholder: str) -> PromptBox:
        box = PromptBox()
        box.setObjectName(name)
        box.setFixedHeight(height)
        box.setPlaceholderText(placeholder)
        box.setTabChangesFocus(True)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.submitted.connect(self.submitted)
        box.textChanged.connect(self._on_changed)
        return box

    def _whole(self, name: str, low: int, high: int, value: int, step: int) -> QSpinBox:
        box = QSpinBox()
        box.setObjectName(name)
        box.setRange(low, high)
        box.setSingleStep(step)
        box.setValue(value)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.valueChanged.connect(self._on_changed)
        return box

    def _choice(self, name: str, values: tuple[str, ...]) -> QComboBox:
        box = QComboBox()
        box.setObjectName(name)
        box.addItem(self.tr("Automatic"), "")
        for value in values:
            box.addItem(value, value)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.currentIndexChanged.connect(self._on_changed)
        return box

    # -- values ---------------------------------------------------------------------------------------------

    def config(self) -> ImageGenerationConfig:
        """What is set now, unchecked."""
        return ImageGenerationConfig(
            prompt=self.prompt.toPlainText().strip(),
            negative_prompt=self.negative.toPlainText().strip(),
            width=self.width_box.value(),
            height=self.height_box.value(),
            steps=self.steps.value(),
            cfg_scale=round(self.cfg.value(), 2),
            seed=self.seed.value(),
            sampler=str(self.sampler.currentData() or ""),
            scheduler=str(self.scheduler.currentData() or ""),
            count=self.count.value(),
            model_id=self.model_id(),
        )

    def set_values(self, values: dict[str, Any]) -> None:
        """Values by the names of `ImageGenerationConfig`; what does not fit is left alone."""
        for name, text_box in (("prompt", self.prompt), ("negative_prompt", self.negative)):
            if isinstance(values.get(name), str):
                text_box.setPlainText(values[name])
        for name, box in (
            ("width", self.width_box),
            ("height", self.height_box),
            ("steps", self.steps),
            ("seed", self.seed),
            ("count", self.count),
        ):
            value = values.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                box.setValue(value)
        if isinstance(values.get("cfg_scale"), int | float):
            self.cfg.setValue(float(values["cfg_scale"]))
        for name, choice in (
            ("sampler", self.sampler),
            ("scheduler", self.scheduler),
            ("model_id", self.model),
        ):
            found = choice.findData(values.get(name))
            if found >= 0:
                choice.setCurrentIndex(found)

    def values(self) -> dict[str, Any]:
        """The same, to be found again after a restart."""
        config = self.config()
        names = ("prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed", "sampler",
                 "scheduler", "count", "model_id")  # fmt: skip
        return {name: getattr(config, name) for name in names}

    def set_models(self, models: tuple[ModelInfo, ...]) -> None:
        wanted = self.model_id()
        self._models = {m.id: m for m in models if m.type == "diffusion"}
        self.model.blockSignals(True)
        self.model.clear()
        for model in self._models.values():
            name = self.tr("{name} (file missing)").format(name=model.name) if model.missing else model.name
            self.model.addItem(name, model.id)
        self.model.setCurrentIndex(max(0, self.model.findData(wanted)))
        self.model.blockSignals(False)
        self._on_model()

    def model_id(self) -> str:
        return str(self.model.currentData() or "")

    def choose_model(self, model_id: str) -> None:
        found = self.model.findData(model_id)
        if found >= 0:
            self.model.setCurrentIndex(found)

    def show_prompt_error(self, sentence: str) -> None:
        self._prompt_field.set_error(sentence)

    def set_running(self, is_running: bool) -> None:
        """While one is painted a further click queues the next."""
        self.cancel_button.setVisible(is_running)
        self.generate_button.setText(self.tr("Add to queue") if is_running else self.tr("Generate"))

    def take_seed(self, seed: int) -> None:
        """The seed that was used, when the lock is closed."""
        if self.lock.isChecked():
            self.seed.setValue(seed)

    # -- inside ---------------------------------------------------------------------------------------------

    @Slot()
    def _on_changed(self) -> None:
        if self.prompt.toPlainText().strip():
            self._prompt_field.set_error("")
        self.changed.emit()

    @Slot()
    def _on_model(self) -> None:
        model = self._models.get(self.model_id())
        recommended = dict(model.recommended) if model else {}
        self._recommended.setVisible(bool(recommended))
        if recommended:
            parts = []
            if "steps" in recommended:
                parts.append(self.tr("{n} steps").format(n=recommended["steps"]))
            if "cfg_scale" in recommended:
                parts.append(self.tr("CFG {x}").format(x=recommended["cfg_scale"]))
            self._recommended.setText(self.tr("Recommended: {what}").format(what=", ".join(parts)))
        self.changed.emit()

    @Slot()
    def _on_recommended(self) -> None:
        model = self._models.get(self.model_id())
        if model is not None:
            self.set_values(dict(model.recommended))

    @Slot()
    def _on_preset(self) -> None:
        size = str(self.preset.currentData() or "")
        if size:
            width, height = size.split("x")
            self.width_box.setValue(int(width))
            self.height_box.setValue(int(height))

    @Slot()
    def _on_size(self) -> None:
        found = self.preset.findData(f"{self.width_box.value()}x{self.height_box.value()}")
        self.preset.blockSignals(True)
        self.preset.setCurrentIndex(max(0, found))
        self.preset.blockSignals(False)

    @Slot()
    def _on_swap(self) -> None:
        width, height = self.width_box.value(), self.height_box.value()
        self.width_box.setValue(height)
        self.height_box.setValue(width)

    @Slot()
    def _on_dice(self) -> None:
        self.seed.setValue(random.randrange(MAX_SEED))  # noqa: S311 - a picture, not a key
