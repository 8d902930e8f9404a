"""Above the transcript: which model, does it fit, is it loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QComboBox, QFrame, QSizePolicy, QWidget

from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.layouts import row
from genai_desktop.ui.widgets.pill import SERVER_TONES, FitBadge, Pill

if TYPE_CHECKING:
    from genai_desktop.core.models import FitBadge as FitValue
    from genai_desktop.core.models import ModelInfo
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.ui.theme import Theme


class ModelBar(QFrame):
    """Picker, fit, state, Load or Unload, and the switch of the side panel."""

    load_requested = Signal(str)  # model id
    unload_requested = Signal()
    reload_requested = Signal()
    panel_toggled = Signal(bool)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "toolbar")
        self._info: ServerInfo | None = None
        self._fits: dict[str, FitValue] = {}
        line = row(self, space=theme.space.s, margins=(16, 8, 12, 8))
        self.picker = QComboBox()
        self.picker.setObjectName("chat.model")
        self.picker.setAccessibleName(self.tr("Language model"))
        self.picker.setMinimumWidth(160)
        self.picker.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.picker.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.picker.setMinimumContentsLength(18)
        self.picker.currentIndexChanged.connect(self._on_picked)
        self.fit = FitBadge(theme)
        self.fit.hide()
        self.state = Pill(theme, self.tr("Not loaded"), "off")
        self.load_button = Button(theme, self.tr("Load"), kind="primary", icon="play", name="chat.load")
        self.load_button.clicked.connect(self._on_load)
        self.reload_button = IconButton(theme, "restart", self.tr("Load again with these settings"))
        self.reload_button.clicked.connect(self.reload_requested)
        self.reload_button.hide()
        self.panel_button = IconButton(theme, "panel-right", self.tr("Settings of this chat"), checkable=True)
        self.panel_button.toggled.connect(self.panel_toggled)
        line.addWidget(self.picker)
        line.addWidget(self.fit)
        line.addWidget(self.state)
        line.addStretch(1)
        line.addWidget(self.reload_button)
        line.addWidget(self.load_button)
        line.addWidget(self.panel_button)

    # -- content --------------------------------------------------------------------------------------------

    def set_models(self, models: tuple[ModelInfo, ...]) -> None:
        """Language models only; a missing file is told, not offered."""
        wanted = self.model_id() or (self._info.model_id if self._info else "") or ""
        self.picker.blockSignals(True)
        self.picker.clear()
        for model in models:
            if model.type != "llm":
                continue
            name = self.tr("{name} (file missing)").format(name=model.name) if model.missing else model.name
            self.picker.addItem(name, model.id)
        found = self.picker.findData(wanted)
        self.picker.setCurrentIndex(max(0, found))
        self.picker.blockSignals(False)
        self._refresh()

    def set_fits(self, fits: dict[str, FitValue]) -> None:
        self._fits = fits
        self._refresh()

    def set_server(self, info: ServerInfo) -> None:
        is_new = self._info is None or self._info.model_id != info.model_id
        self._info = info
        if info.model_id and is_new:
            self.choose(info.model_id)
        self._refresh()

    def choose(self, model_id: str) -> None:
        found = self.picker.findData(model_id)
        if found >= 0:
            self.picker.setCurrentIndex(found)

    def model_id(self) -> str:
        return str(self.picker.currentData() or "")

    def is_loaded(self) -> bool:
        """The model that is chosen is the one that runs."""
        info = self._info
        return info is not None and info.status == "running" and info.model_id == self.model_id()

    # -- inside ---------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        info, model_id = self._info, self.model_id()
        fit = self._fits.get(model_id)
        self.fit.set_fit(fit)
        status = info.status if info is not None else "stopped"
        self.fit.setVisible(fit is not None and not self.is_loaded())
        texts = {
            "stopped": self.tr("Not loaded"),
            "starting": self.tr("Loading"),
            "running": self.tr("Ready"),
            "stopping": self.tr("Unloading"),
            "crashed": self.tr("Crashed"),
        }
        text = texts[status]
        if status == "starting" and info is not None and info.load_progress is not None:
            text = self.tr("Loading {percent} %").format(percent=round(100 * info.load_progress))
        if status == "running" and info is not None and info.model_id != model_id and info.model_name:
            text = self.tr("{name} is loaded").format(name=info.model_name)
        self.state.set_state(text, SERVER_TONES[status])
        is_busy = status in ("starting", "stopping")
        if self.is_loaded() or is_busy:
            self.load_button.setText(self.tr("Cancel") if status == "starting" else self.tr("Unload"))
            self.load_button.setProperty("kind", "")
            self.load_button.set_icon("close" if status == "starting" else "eject")
        else:
            self.load_button.setText(self.tr("Load"))
            self.load_button.setProperty("kind", "primary")
            self.load_button.set_icon("play")
        style = self.load_button.style()
        style.unpolish(self.load_button)
        style.polish(self.load_button)
        self.load_button.setEnabled(bool(model_id) and status != "stopping")
        self.reload_button.setVisible(self.is_loaded())

    @Slot(int)
    def _on_picked(self, _index: int) -> None:
        self._refresh()

    @Slot()
    def _on_load(self) -> None:
        if self.is_loaded() or (self._info is not None and self._info.status == "starting"):
            self.unload_requested.emit()
        else:
            self.load_requested.emit(self.model_id())
