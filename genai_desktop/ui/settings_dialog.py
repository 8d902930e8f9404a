"""Every setting on one page, in effect as soon as it is changed. Nothing to confirm, nothing modal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QComboBox, QScrollArea, QSpinBox, QVBoxLayout, QWidget

from genai_desktop.ui.translate import LANGUAGES
from genai_desktop.ui.widgets.buttons import Button, Switch
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.field import SettingRow
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, line
from genai_desktop.ui.widgets.segmented import SegmentedControl
from genai_desktop.ui.widgets.strip import MessageArea
from genai_desktop.ui.widgets.wheel import ignore_wheel

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.settings import Settings
    from genai_desktop.ui.theme import Theme

_AUTOMATIC_PORT = 1023  # shown as "automatic"; stored as 0
_CLOSING: dict[str, bool | None] = {"ask": None, "hide": True, "quit": False}


class SettingsPage(QWidget):
    """Renders Settings and sends every change at once."""

    ui_changed = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facades, self._theme = facades, theme
        self._shown: Settings | None = None
        self._rows: dict[str, QWidget] = {}
        self._folder = ""
        self.setProperty("kind", "page")
        space = theme.space
        outer = column(self)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        outer.addWidget(scroll)
        inner = QWidget()
        inner.setProperty("kind", "page")
        scroll.setWidget(inner)
        self._whole = column(inner, space=space.m, margins=space.xl)
        self._whole.addWidget(label(self.tr("Settings"), "title"))
        self.messages = MessageArea(theme)
        self._whole.addWidget(self.messages)
        self._build_look()
        self._build_memory()
        self._build_network()
        self._build_window()
        self._build_data()
        self._whole.addStretch(1)
        facades.settings.changed.connect(self.show_settings)
        facades.settings.failed.connect(self._on_failed)
        self.show_settings(facades.settings.current)

    # -- parts ------------------------------------------------------------------------------------------

    def _card(self, title: str) -> QVBoxLayout:
        card = Card(self._theme, title)
        card.body.setSpacing(self._theme.space.m)
        card.setMaximumWidth(self._theme.px(760))
        self._whole.addWidget(card)
        return card.body

    def _add(self, body: QVBoxLayout, name: str, title: str, sentence: str, control: QWidget) -> None:
        if body.count():
            rule = line()
            body.addWidget(rule)
            self._rows[f"{name}.line"] = rule
        control.setObjectName(f"settings.{name}")
        shown = SettingRow(self._theme, title, sentence, control)
        self._rows[name] = shown
        body.addWidget(shown)

    def _switch(self, name: str, title: str) -> Switch:
        switch = Switch(self._theme, title)
        switch.setProperty("setting", name)
        switch.clicked.connect(self._on_switched)
        return switch

    def _build_look(self) -> None:
        body = self._card(self.tr("Appearance"))
        self.theme_choice = SegmentedControl(
            [("system", self.tr("Like the system")), ("light", self.tr("Light")), ("dark", self.tr("Dark"))],
            self.tr("Theme"),
        )
        self.theme_choice.chosen.connect(self._on_theme)
        self._add(body, "theme", self.tr("Theme"), "", self.theme_choice)
        self.scale = SegmentedControl(
            [(str(percent), f"{percent} %") for percent in (100, 115, 130, 150)], self.tr("Text size")
        )
        self.scale.chosen.connect(self._on_scale)
        self._add(body, "text_scale", self.tr("Text size"), "", self.scale)
        self.motion = self._switch("reduced_motion", self.tr("Reduced motion"))
        self._add(
            body,
            "reduced_motion",
            self.tr("Reduced motion"),
            self.tr("Nothing slides or pulses."),
            self.motion,
        )
        self.language = QComboBox()
        for code, words in (("", self.tr("Like the system")), *LANGUAGES.items()):
            self.language.addItem(words, code)
        ignore_wheel(self.language)
        self.language.activated.connect(self._on_language)
        self._add(
            body, "language", self.tr("Language"), self.tr("Takes effect with the next start."), self.language
        )

    def _build_memory(self) -> None:
        body = self._card(self.tr("One memory for both"))
        self.aside = SegmentedControl(
            [
                ("auto", self.tr("When needed")),
                ("always", self.tr("Always")),
                ("never", self.tr("Never")),
            ],
            self.tr("Let the LLM step aside for pictures"),
        )
        self.aside.chosen.connect(self._on_aside)
        self._add(
            body,
            "step_aside",
            self.tr("Let the LLM step aside for pictures"),
            self.tr(
                "It leaves the memory while a picture is made and comes back with the conversation intact."
            ),
            self.aside,
        )
        self.pausing = self._switch("pause_reply_for_image", self.tr("Interrupt a running reply"))
        self._add(
            body,
            "pause_reply_for_image",
            self.tr("Interrupt a running reply"),
            self.tr(
                "On: the reply pauses and goes on after the picture. Off: the picture waits for its end."
            ),
            self.pausing,
        )

    def _build_network(self) -> None:
        body = self._card(self.tr("Network"))
        self.offline = self._switch("offline", self.tr("Offline"))
        self._add(
            body,
            "offline",
            self.tr("Offline"),
            self.tr("No request leaves this computer. What is installed keeps working."),
            self.offline,
        )
        self.llama_port = self._port("llama_port")
        self.image_port = self._port("image_port")
        here = self.tr("Only programs on this computer can reach it. In effect with the next start of it.")
        self._add(body, "llama_port", self.tr("Port of the LLM server"), here, self.llama_port)
        self._add(body, "image_port", self.tr("Port of the image server"), here, self.image_port)

    def _port(self, name: str) -> QSpinBox:
        port = QSpinBox()
        port.setRange(_AUTOMATIC_PORT, 65_535)
        port.setSpecialValueText(self.tr("automatic"))
        port.setMinimumWidth(self._theme.px(130))
        port.setKeyboardTracking(False)
        port.setProperty("setting", name)
        port.valueChanged.connect(self._on_port)
        ignore_wheel(port)
        return port

    def _build_window(self) -> None:
        body = self._card(self.tr("Window"))
        self.closing = SegmentedControl(
            [
                ("ask", self.tr("Ask")),
                ("hide", self.tr("Keep running in the tray")),
                ("quit", self.tr("Quit")),
            ],
            self.tr("When the window is closed"),
        )
        self.closing.chosen.connect(self._on_closing)
        self._add(
            body,
            "close_to_tray",
            self.tr("When the window is closed"),
            self.tr("Without a tray it quits."),
            self.closing,
        )
        self.notifications = self._switch("notifications", self.tr("Notifications"))
        self._add(
            body,
            "notifications",
            self.tr("Notifications"),
            self.tr("When something long has finished and the window is not in front."),
            self.notifications,
        )
        self.minimized = self._switch("start_minimized", self.tr("Start in the tray"))
        self._add(body, "start_minimized", self.tr("Start in the tray"), "", self.minimized)
        self.autostart = self._switch("autostart", self.tr("Start with the computer"))
        self._add(body, "autostart", self.tr("Start with the computer"), "", self.autostart)
        self.set_autostart_supported(False)

    def _build_data(self) -> None:
        body = self._card(self.tr("Data"))
        self.open_folder = Button(self._theme, self.tr("Open"), icon="folder")
        self.open_folder.clicked.connect(self._on_open_folder)
        self._add(
            body,
            "data_folder",
            self.tr("Data folder"),
            self.tr(
                "Models, conversations, pictures and logs. --data-dir or GENAI_DESKTOP_HOME choose another."
            ),
            self.open_folder,
        )
        self.open_folder.hide()
        promise = self.tr("This program sends nothing about you or your computer anywhere.")
        body.addWidget(label(promise, "meta", wrap=True))

    # -- what the application knows ---------------------------------------------------------------------

    def set_data_folder(self, path: str) -> None:
        """Where everything is kept."""
        self._folder = path
        shown = self._rows["data_folder"]
        if isinstance(shown, SettingRow):
            shown.set_sentence(path)
        self.open_folder.setVisible(bool(path))

    def set_autostart_supported(self, supported: bool) -> None:
        """The row is only there where it can work."""
        for name in ("autostart", "autostart.line"):
            self._rows[name].setVisible(supported)

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def show_settings(self, settings: Settings) -> None:
        self._shown = settings
        self.theme_choice.choose(settings.theme, quietly=True)
        nearest = min((100, 115, 130, 150), key=_distance_to(settings.text_scale))
        self.scale.choose(str(nearest), quietly=True)
        self.aside.choose(settings.step_aside, quietly=True)
        self.closing.choose(
            next(key for key, value in _CLOSING.items() if value is settings.close_to_tray), quietly=True
        )
        for switch in (
            self.motion, self.pausing, self.offline, self.notifications, self.minimized, self.autostart,
        ):  # fmt: skip
            switch.setChecked(bool(getattr(settings, str(switch.property("setting")))))
        for port in (self.llama_port, self.image_port):
            port.blockSignals(True)
            port.setValue(getattr(settings, str(port.property("setting"))) or _AUTOMATIC_PORT)
            port.blockSignals(False)
        self.language.setCurrentIndex(max(0, self.language.findData(settings.language)))

    @Slot(object)
    def _on_failed(self, failure: Failure) -> None:
        self.messages.show_failure(failure)
        if self._shown is not None:
            self.show_settings(self._shown)

    # -- changes ----------------------------------------------------------------------------------------

    def _change(self, name: str, value: Any) -> None:
        self.messages.clear()
        if self._shown is None or getattr(self._shown, name) != value:
            self._facades.settings.update(**{name: value})

    @Slot(str)
    def _on_theme(self, key: str) -> None:
        self._change("theme", key)

    @Slot(str)
    def _on_scale(self, key: str) -> None:
        self._change("text_scale", int(key))

    @Slot(str)
    def _on_aside(self, key: str) -> None:
        self._change("step_aside", key)

    @Slot(str)
    def _on_closing(self, key: str) -> None:
        self._change("close_to_tray", _CLOSING[key])

    @Slot(int)
    def _on_language(self, index: int) -> None:
        self._change("language", self.language.itemData(index))

    @Slot(bool)
    def _on_switched(self, on: bool) -> None:
        self._change(str(self.sender().property("setting")), on)

    @Slot(int)
    def _on_port(self, port: int) -> None:
        value = 0 if port == _AUTOMATIC_PORT else port
        self._change(str(self.sender().property("setting")), value)

    @Slot()
    def _on_open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._folder))


def _distance_to(percent: int) -> Any:
    return lambda choice: abs(choice - percent)
