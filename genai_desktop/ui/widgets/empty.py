"""The drawn state of nothing: an icon, a sentence that says what to do next, and the button that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSizePolicy, QWidget

from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.card import Icon
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from genai_desktop.ui.theme import Theme


class EmptyState(QWidget):
    """Centred in whatever room it gets. `button` (and `second`) are None when there is nothing to press."""

    def __init__(
        self,
        theme: Theme,
        icon: str,
        title: str,
        sentence: str = "",
        *,
        action: str = "",
        second: str = "",
        action_icon: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        space = theme.space
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(f"{title} {sentence}".strip())
        center = Qt.AlignmentFlag.AlignHCenter
        whole = column(self, space=space.s, margins=space.xl)
        whole.addStretch(1)
        self._icon = Icon(theme, icon, "muted", 40)
        whole.addWidget(self._icon, 0, center)
        whole.addSpacing(space.xs)
        self._title = label(title, "section")
        whole.addWidget(self._title, 0, center)
        self._sentence = label(sentence, "muted", wrap=True)
        self._sentence.setAlignment(center)
        self._sentence.setMaximumWidth(theme.px(420))
        if not sentence:
            self._sentence.hide()
        # between stretches, not aligned: an aligned label gets its preferred height, and a second line is cut
        middle = row()
        middle.addStretch(1)
        middle.addWidget(self._sentence, 100)
        middle.addStretch(1)
        whole.addLayout(middle)
        self.button: Button | None = None
        self.second: Button | None = None
        if action:
            whole.addSpacing(space.s)
            buttons = row(space=space.s)
            buttons.addStretch(1)
            self.button = Button(theme, action, kind="primary", icon=action_icon)
            buttons.addWidget(self.button)
            if second:
                self.second = Button(theme, second)
                buttons.addWidget(self.second)
            buttons.addStretch(1)
            whole.addLayout(buttons)
        whole.addStretch(1)

    def set_text(self, title: str, sentence: str = "", icon: str = "") -> None:
        self._title.setText(title)
        self._sentence.setText(sentence)
        self._sentence.setVisible(bool(sentence))
        self.setAccessibleName(f"{title} {sentence}".strip())
        if icon:
            self._icon.set_icon(icon)
