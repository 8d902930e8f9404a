"""What happened, why, and the button that helps: a strip in the page it concerns, never a modal box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFrame, QSizePolicy, QWidget

from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.card import Icon
from genai_desktop.ui.widgets.labels import label, restyle
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_desktop.bridge.facade import Failure
    from genai_desktop.ui.theme import Theme

Tone = Literal["info", "ok", "warn", "danger"]
_ICONS = {"info": "info", "ok": "check-circle", "warn": "warning", "danger": "error"}
_COLORS = {"info": "accent", "ok": "ok", "warn": "warn", "danger": "danger"}


class MessageStrip(QFrame):
    """One message: icon, sentence, muted detail, an optional action and a dismiss button."""

    acted = Signal()
    dismissed = Signal()

    def __init__(
        self,
        theme: Theme,
        tone: Tone = "info",
        text: str = "",
        detail: str = "",
        *,
        action: str = "",
        dismissable: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._tone: Tone = tone
        self.setProperty("kind", "strip")
        # not Maximum: that is the height of one line, and a long sentence in a narrow page has four
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        inside = row(self, space=theme.space.m, margins=(12, 8, 8, 8))
        self._icon = Icon(theme, _ICONS[tone], _COLORS[tone])
        words = column(space=2)
        self._text = label(text, wrap=True, selectable=True)
        self._detail = label(detail, wrap=True, selectable=True)
        words.addWidget(self._text)
        words.addWidget(self._detail)
        self.action = Button(theme, action)
        self.action.clicked.connect(self._on_acted)
        self.close_button = IconButton(theme, "close", self.tr("Dismiss"), size=16)
        if not dismissable:
            self.close_button.hide()
        self.close_button.clicked.connect(self._on_dismissed)
        inside.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        inside.addLayout(words, 1)
        inside.addWidget(self.action, 0, Qt.AlignmentFlag.AlignVCenter)
        inside.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.set_message(tone, text, detail, action)

    def set_message(self, tone: Tone, text: str, detail: str = "", action: str = "") -> None:
        self._tone = tone
        restyle(self, "tone", tone)
        self._icon.set_icon(_ICONS[tone], _COLORS[tone])
        self._text.setText(text)
        self._detail.setText(detail)
        self._detail.setVisible(bool(detail))
        self.action.setText(action)
        self.action.setVisible(bool(action))
        self.setAccessibleName(f"{text} {detail}".strip())

    def text(self) -> str:
        return self._text.text()

    def detail(self) -> str:
        return self._detail.text()

    @property
    def tone(self) -> Tone:
        return self._tone

    @Slot()
    def _on_acted(self) -> None:
        self.acted.emit()

    @Slot()
    def _on_dismissed(self) -> None:
        self.hide()
        self.dismissed.emit()


class MessageArea(QWidget):
    """The strips of one page. A key names what a message is about: the same key replaces, never piles up."""

    acted = Signal(str)  # key of the message whose action was pressed

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._strips: dict[str, MessageStrip] = {}
        self._callbacks: dict[str, Callable[[], None]] = {}
        self._layout = column(self, space=theme.space.s)
        self.hide()

    def show_message(
        self,
        key: str,
        tone: Tone,
        text: str,
        detail: str = "",
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
    ) -> MessageStrip:
        """`on_action` runs when the button is pressed (in the GUI thread); `acted` is emitted as well."""
        strip = self._strips.get(key)
        if strip is None:
            strip = MessageStrip(self._theme, tone, parent=self)
            strip.setObjectName(f"message.{key}")
            strip.acted.connect(self._on_acted)
            strip.dismissed.connect(self._on_dismissed)
            self._strips[key] = strip
            self._layout.addWidget(strip)
        strip.set_message(tone, text, detail, action)
        strip.show()
        self._callbacks.pop(key, None)
        if on_action is not None:
            self._callbacks[key] = on_action
        self.show()
        return strip

    def show_failure(
        self, failure: Failure, action: str = "", on_action: Callable[[], None] | None = None
    ) -> MessageStrip:
        """A failed intent: what happened and why, what to do about it, and the button that does it."""
        return self.show_message(
            failure.action, "danger", failure.message, failure.remedy, action=action, on_action=on_action
        )

    def clear(self, key: str = "") -> None:
        """Take one message away, or all."""
        for name in (key,) if key else tuple(self._strips):
            self._callbacks.pop(name, None)
            strip = self._strips.pop(name, None)
            if strip is not None:
                self._layout.removeWidget(strip)
                strip.hide()
                strip.deleteLater()
        self.setVisible(bool(self._strips))

    def strip(self, key: str) -> MessageStrip | None:
        return self._strips.get(key)

    def _key_of(self, strip: object) -> str:
        return next((key for key, known in self._strips.items() if known is strip), "")

    @Slot()
    def _on_acted(self) -> None:
        key = self._key_of(self.sender())
        callback = self._callbacks.get(key)
        if key:
            self.clear(key)
            self.acted.emit(key)
        if callback is not None:
            callback()

    @Slot()
    def _on_dismissed(self) -> None:
        if key := self._key_of(self.sender()):
            self.clear(key)
