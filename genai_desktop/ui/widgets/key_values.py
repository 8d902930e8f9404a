"""Facts in two columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from genai_desktop.ui.widgets.labels import label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from genai_desktop.ui.theme import Theme


class KeyValueGrid(QWidget):
    """Muted names at the left, selectable values at the right. Widgets stay while values change."""

    def __init__(self, theme: Theme, columns: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns = columns
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.space.m)
        self._grid.setVerticalSpacing(theme.space.xs)
        for index in range(columns):
            self._grid.setColumnStretch(2 * index + 1, 1)
        self._rows: dict[str, tuple[QLabel, QLabel]] = {}

    def set_rows(self, rows: Iterable[tuple[str, str]]) -> None:
        """(name, value) in order; a row with an empty value is left out."""
        wanted = [(name, value) for name, value in rows if value]
        if [name for name, _ in wanted] != list(self._rows):
            self._rebuild([name for name, _ in wanted])
        for name, value in wanted:
            shown = self._rows[name][1]
            if shown.text() != value:
                shown.setText(value)
                shown.setToolTip(value if len(value) > 40 else "")

    def value(self, name: str) -> str:
        """What is shown for a name, empty when the row is not there."""
        return self._rows[name][1].text() if name in self._rows else ""

    def _rebuild(self, names: list[str]) -> None:
        for pair in self._rows.values():
            for old in pair:
                self._grid.removeWidget(old)
                old.hide()
                old.deleteLater()
        self._rows = {}
        for index, name in enumerate(names):
            key, value = label(name, "muted"), label("", selectable=True, wrap=True)
            key.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            value.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            value.setAccessibleName(name)
            line, place = divmod(index, self._columns)
            self._grid.addWidget(key, line, 2 * place)
            self._grid.addWidget(value, line, 2 * place + 1)
            self._rows[name] = (key, value)
