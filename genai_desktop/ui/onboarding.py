"""The first minute: three steps on one page, each already filled in, and one button that does all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, line, row
from genai_desktop.ui.widgets.meter import BusyLine
from genai_desktop.ui.widgets.pill import Pill
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.builds import EngineBuild
    from genai_desktop.core.hardware import SystemCapabilities
    from genai_desktop.core.models import FitBadge, ModelInfo
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.theme import Theme

GUIDE = "guide"
_CHOICES = 4


class StepCard(Card):
    """A number, a title, a state at the right, a sentence, and whatever belongs to it."""

    def __init__(self, theme: Theme, title: str, icon: str, waiting: str) -> None:
        super().__init__(theme, title, icon=icon)
        self.state = Pill(theme, self.tr("looking"), "busy")
        self.add_action(self.state)
        self.busy = BusyLine(theme, waiting)
        self.sentence = label("", wrap=True)
        self.detail = label("", "muted", wrap=True)
        for part in (self.busy, self.sentence, self.detail):
            self.body.addWidget(part)
        self.sentence.hide()
        self.detail.hide()

    def tell(self, sentence: str, detail: str, state: str, tone: str) -> None:
        self.busy.hide()
        self.sentence.setText(sentence)
        self.detail.setText(detail)
        self.sentence.show()
        self.detail.setVisible(bool(detail))
        self.state.set_state(state, tone)


class OnboardingPage(QWidget):
    """Shown once; `onboarding.start` loads the chosen model and lands in the chat."""

    open_requested = Signal(str)

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._models: tuple[ModelInfo, ...] = ()
        self._fits: dict[str, FitBadge] = {}
        self._chosen = GUIDE
        self._buttons: list[QPushButton] = []
        self.setProperty("kind", "page")
        self.setAcceptDrops(True)
        outer = column(self)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        outer.addWidget(scroll, 1)
        inner = QWidget()
        inner.setProperty("kind", "page")
        scroll.setWidget(inner)
        edge = theme.space.xl
        whole = self._centred(row(inner, margins=(edge, edge, edge, theme.space.m)))
        self._build(whole)
        # outside of what scrolls: the one button is always in sight
        outer.addWidget(line())
        self._foot = row(margins=(edge, theme.space.l, edge, theme.space.l))
        outer.addLayout(self._foot)
        self._build_foot(self._centred(self._foot))
        self._bar = scroll.verticalScrollBar()
        self._bar.rangeChanged.connect(self._on_range)
        self._connect()

    def _centred(self, sides: QHBoxLayout) -> QVBoxLayout:
        """A column of readable width in the middle."""
        center = QWidget()
        center.setMaximumWidth(self._theme.px(680))
        center.setMinimumWidth(520)
        sides.addStretch(1)
        sides.addWidget(center, 4)
        sides.addStretch(1)
        return column(center, space=self._theme.space.m)

    def _build(self, whole: QVBoxLayout) -> None:
        theme, space = self._theme, self._theme.space
        whole.addWidget(label(self.tr("Welcome"), "title"))
        promise = self.tr(
            "Chat with a language model and paint pictures on this computer. Nothing leaves it. "
            "Everything below is filled in; change it or just start."
        )
        whole.addWidget(label(promise, "muted", wrap=True))
        self.messages = MessageArea(theme)
        whole.addWidget(self.messages)
        self.computer = StepCard(
            theme, self.tr("1. This computer"), "cpu", self.tr("Looking at this computer")
        )
        self.engine = StepCard(theme, self.tr("2. The engine"), "bolt", self.tr("Looking for engines"))
        self.starter = StepCard(theme, self.tr("3. The first model"), "models", self.tr("Reading the shelf"))
        for step in (self.computer, self.engine, self.starter):
            whole.addWidget(step)
        self._choices = column(space=space.s)
        self.starter.body.addLayout(self._choices)
        self.own = Button(theme, self.tr("Use a file of mine…"), kind="link", icon="file")
        self.own.clicked.connect(self._on_own)
        self.starter.body.addWidget(self.own, 0, Qt.AlignmentFlag.AlignLeft)
        whole.addStretch(1)

    def _build_foot(self, whole: QVBoxLayout) -> None:
        theme = self._theme
        foot = row(space=theme.space.m)
        self.start = Button(
            theme, self.tr("Start chatting"), kind="primary", icon="chat", name="onboarding.start"
        )
        self.skip = Button(theme, self.tr("Skip"), kind="ghost", name="onboarding.skip")
        foot.addWidget(self.start)
        foot.addWidget(self.skip)
        foot.addStretch(1)
        whole.addLayout(foot)

    def _connect(self) -> None:
        facades = self._facades
        facades.system.capabilities_changed.connect(self._on_capabilities)
        facades.system.engines_changed.connect(self._on_engines)
        facades.system.failed.connect(self._on_failed)
        facades.models.models_changed.connect(self._on_models)
        facades.models.fits_changed.connect(self._on_fits)
        facades.models.imported.connect(self._on_imported)
        facades.models.failed.connect(self._on_failed)
        self.start.clicked.connect(self._on_start)
        self.skip.clicked.connect(self._on_skip)
        facades.system.load()
        facades.models.load()

    @Slot(int, int)
    def _on_range(self, _low: int, high: int) -> None:
        """Keep the button below the cards when a scroll bar pushes them aside."""
        edge, space = self._theme.space.xl, self._theme.space.l
        self._foot.setContentsMargins(
            edge, space, edge + (self._bar.sizeHint().width() if high else 0), space
        )

    def replay(self, latest: Latest) -> None:
        if latest.capabilities is not None:
            self._on_capabilities(latest.capabilities)
        if latest.engines is not None:
            self._on_engines(latest.engines)
        if latest.models is not None:
            self._on_models(latest.models)
        self._on_fits(latest.fits)

    def focus_default(self) -> None:
        self.start.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def chosen(self) -> str:
        """Id of the model the button will load."""
        return self._chosen

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def _on_capabilities(self, values: SystemCapabilities) -> None:
        parts = [self.tr("{count} cores").format(count=values.cpu.cores)]
        parts.append(self.tr("{size} of memory").format(size=fmt.size(values.memory.total)))
        parts += [
            f"{gpu.name} ({fmt.size(gpu.vram_total)})" if gpu.vram_total else gpu.name for gpu in values.gpus
        ]
        if not values.gpus:
            parts.append(self.tr("no graphics card"))
        self.computer.tell(" · ".join(parts), values.recommendations.reason, self.tr("ready"), "on")

    @Slot(object)
    def _on_engines(self, builds: tuple[EngineBuild, ...]) -> None:
        used = next((b for b in builds if b.engine == "llama.cpp" and b.state == "in-use"), None)
        used = used or next((b for b in builds if b.engine == "llama.cpp" and b.state != "refused"), None)
        if used is None:
            self.engine.tell(
                self.tr("No engine for language models was found."),
                self.tr("Choose a llama-server of yours in the System tab."),
                self.tr("missing"),
                "warn",
            )
            return
        variant = self.tr("it comes with the program") if used.variant == "embedded" else used.variant
        painter = any(b.engine == "stable-diffusion.cpp" and b.state != "missing" for b in builds)
        pictures = (
            self.tr("Pictures: stable-diffusion.cpp is here too.")
            if painter
            else self.tr("Pictures: stable-diffusion.cpp is not installed; chatting works without it.")
        )
        self.engine.tell(f"llama.cpp {used.build} · {variant}", pictures, self.tr("ready"), "on")

    @Slot(object)
    def _on_models(self, models: tuple[ModelInfo, ...]) -> None:
        self._models = tuple(model for model in models if model.type == "llm" and not model.missing)
        if self._chosen not in {model.id for model in self._models} and self._models:
            self._chosen = self._models[0].id
        self._show_choices()

    @Slot(object)
    def _on_fits(self, fits: dict[str, FitBadge]) -> None:
        self._fits = fits
        self._show_choices()

    def _show_choices(self) -> None:
        if not self._models:
            return
        for old in self._buttons:
            self._choices.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._buttons = []
        shown = sorted(self._models, key=self._rank)[:_CHOICES]
        for model in shown:
            fit = self._fits.get(model.id)
            parts = [model.name, fmt.size(model.size), fit.text if fit is not None else ""]
            button = QPushButton("  ·  ".join(part for part in parts if part))
            button.setProperty("kind", "choice")
            button.setProperty("model", model.id)
            button.setCheckable(True)
            button.setAutoExclusive(True)
            button.setChecked(model.id == self._chosen)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(button.text())
            button.clicked.connect(self._on_chosen)
            self._buttons.append(button)
            self._choices.addWidget(button)
        self._tell_model()

    def _rank(self, model: ModelInfo) -> tuple[bool, float]:
        return model.id != self._chosen, -(model.last_used_at or model.added_at)

    def _tell_model(self) -> None:
        model = next((known for known in self._models if known.id == self._chosen), None)
        if model is None:
            return
        if model.source == "builtin":
            sentence = self.tr(
                "A tiny demonstration model is already here. It knows this program and little else."
            )
            detail = self.tr("It loads in a second and needs no network. Better ones are in Models.")
        else:
            sentence = self.tr("{name} is already here.").format(name=model.name)
            fit = self._fits.get(model.id)
            detail = fit.reason if fit is not None else ""
        self.starter.tell(sentence, detail, self.tr("ready"), "on")

    @Slot(object)
    def _on_imported(self, models: tuple[ModelInfo, ...]) -> None:
        usable = [model for model in models if model.type == "llm"]
        if usable:
            self.messages.clear("import")
            self._chosen = usable[0].id
            known = {model.id for model in self._models}
            self._models = (*self._models, *(model for model in usable if model.id not in known))
            self._show_choices()

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        steps = {"detect": self.computer, "engines": self.engine, "models": self.starter}
        step = steps.get(failure.action)
        if step is not None:
            step.tell(failure.message, failure.remedy, self.tr("failed"), "danger")
        elif failure.action == "import":
            self.messages.show_failure(failure)

    # -- intents ----------------------------------------------------------------------------------------

    @Slot()
    def _on_chosen(self) -> None:
        self._chosen = str(self.sender().property("model"))
        self._tell_model()

    @Slot()
    def _on_start(self) -> None:
        self._facades.settings.update(onboarding_done=True)
        self._facades.chat.load_model(self._chosen)
        self._facades.chat.create()
        self.open_requested.emit("chat")

    @Slot()
    def _on_skip(self) -> None:
        self._facades.settings.update(onboarding_done=True)
        self.open_requested.emit("system")

    @Slot()
    def _on_own(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, self.tr("Use a file of mine"), "", self.tr("Language models (*.gguf);;All files (*)")
        )
        if path:
            self._facades.models.import_paths((path,))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = tuple(url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile())
        if paths:
            event.acceptProposedAction()
            self._facades.models.import_paths(paths)
