"""A labelled control of a form, with a hint below it and the reason when its value is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QBoxLayout, QLabel, QWidget

from genai_desktop.ui.widgets.labels import label, restyle
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from genai_desktop.ui.theme import Theme


class Field(QWidget):
    """Label above the control. `set_error` shows why a value is refused, in words."""

    def __init__(
        self, theme: Theme, name: str, control: QWidget, hint: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.control = control
        self._hint_text = hint
        whole = column(self, space=theme.space.xs)
        caption = label(name, "meta")
        caption.setBuddy(control)
        if not control.accessibleName():
            control.setAccessibleName(name)
        if hint:
            control.setAccessibleDescription(hint)
        self._hint = label(hint, "meta", wrap=True)
        if not hint:
            self._hint.hide()
        whole.addWidget(caption)
        whole.addWidget(control)
        whole.addWidget(self._hint)

    def set_error(self, sentence: str) -> None:
        """An empty sentence takes the error away and brings the hint back."""
        restyle(self.control, "invalid", bool(sentence))
        restyle(self._hint, "tone", "danger" if sentence else "")
        self._hint.setText(sentence or self._hint_text)
        self._hint.setVisible(bool(sentence or self._hint_text))
        self.control.setAccessibleDescription(sentence or self._hint_text)

    def error(self) -> str:
        return self._hint.text() if self._hint.property("tone") == "danger" else ""


class SettingRow(QWidget):
    """A setting: name and one sentence at the left, the control at the right; below when it is narrow."""

    def __init__(
        self, theme: Theme, name: str, sentence: str, control: QWidget, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._control = control
        self._row = row(self, space=theme.space.l)
        words = column(space=2)
        caption = QLabel(name)
        caption.setBuddy(control)
        self._sentence = label(sentence, "meta", wrap=True)
        if not sentence:
            self._sentence.hide()
        words.addWidget(caption)
        words.addWidget(self._sentence)
        if not control.accessibleName():
            control.setAccessibleName(name)
        control.setAccessibleDescription(sentence)
        self._row.addLayout(words, 1)
        self._row.addWidget(control, 0, Qt.AlignmentFlag.AlignVCenter)

    def set_sentence(self, text: str) -> None:
        self._sentence.setText(text)
        self._sentence.setVisible(bool(text))

    def minimumSizeHint(self) -> QSize:
        """As narrow as the control: the words can go above it."""
        return QSize(self._control.sizeHint().width(), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        is_narrow = self._control.sizeHint().width() > self.width() * 0.55
        direction = QBoxLayout.Direction.TopToBottom if is_narrow else QBoxLayout.Direction.LeftToRight
        if direction != self._row.direction():
            self._row.setDirection(direction)
            self._row.setSpacing(8 if is_narrow else 16)
