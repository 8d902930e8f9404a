"""One of a few: Installed · Discover · Downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QButtonGroup, QFrame, QPushButton, QSizePolicy, QWidget

from genai_desktop.ui.widgets.layouts import row

if TYPE_CHECKING:
    from collections.abc import Sequence


class SegmentedControl(QFrame):
    """Exactly one segment is chosen. Left and Right move; `chosen` tells the key."""

    chosen = Signal(str)

    def __init__(
        self, segments: Sequence[tuple[str, str]], name: str = "", parent: QWidget | None = None
    ) -> None:
        """segments: (key, text)."""
        super().__init__(parent)
        self.setProperty("kind", "segmented")
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        inside = row(self, space=2, margins=2)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._keys = [key for key, _ in segments]
        self._texts = dict(segments)
        for index, (_key, text) in enumerate(segments):
            button = QPushButton(text)
            button.setProperty("kind", "segment")
            button.setCheckable(True)
            button.setChecked(index == 0)
            button.setAutoDefault(False)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setAccessibleName(text)
            self._group.addButton(button, index)
            inside.addWidget(button)
        self._group.idClicked.connect(self._on_clicked)

    @property
    def current(self) -> str:
        """The key of the chosen segment."""
        return self._keys[self._group.checkedId()]

    def choose(self, key: str, *, quietly: bool = False) -> None:
        """Select by key; `quietly` without the signal."""
        if key not in self._keys or key == self.current:
            return
        self._group.button(self._keys.index(key)).setChecked(True)
        if not quietly:
            self.chosen.emit(key)

    def button(self, key: str) -> QPushButton:
        found = self._group.button(self._keys.index(key))
        assert isinstance(found, QPushButton)  # noqa: S101 - only push buttons were added
        return found

    def set_count(self, key: str, count: int) -> None:
        """Show a number after the text; 0 takes it away."""
        text = self._texts[key]
        self.button(key).setText(f"{text}  {count}" if count else text)

    @Slot(int)
    def _on_clicked(self, index: int) -> None:
        self.chosen.emit(self._keys[index])
