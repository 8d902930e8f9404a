"""What happened: started, crashed, stepped aside, came back; filterable and exportable."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Slot,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLineEdit,
    QStackedWidget,
    QTableView,
)

from genai_desktop.ui.save_text import TextSaver
from genai_desktop.ui.widgets.buttons import IconButton
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.layouts import row
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genai_desktop.core.telemetry import EventMarker
    from genai_desktop.ui.theme import Theme

_Index = QModelIndex | QPersistentModelIndex
_ICONS = {
    "started": ("play", "ok"),
    "stopped": ("stop", "muted"),
    "crashed": ("error", "danger"),
    "suspended": ("pause", "accent"),
    "resumed": ("play", "accent"),
    "image-started": ("images", "accent"),
    "image-finished": ("images", "ok"),
    "oom": ("warning", "danger"),
}
_LIMIT = 5000


class EventModel(QAbstractTableModel):
    """Newest first: time, kind, what."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._events: list[EventMarker] = []

    def set_events(self, events: Sequence[EventMarker]) -> None:
        self.beginResetModel()
        self._events = sorted(events, key=_time_of)[-_LIMIT:]
        self.endResetModel()

    def add(self, event: EventMarker) -> None:
        if len(self._events) >= _LIMIT:
            self.set_events([*self._events[1:], event])
            return
        self.beginInsertRows(QModelIndex(), 0, 0)
        self._events.append(event)
        self.endInsertRows()

    def event_at(self, row_number: int) -> EventMarker:
        return self._events[len(self._events) - 1 - row_number]

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._events)

    def columnCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else 3

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return (self.tr("Time"), self.tr("Kind"), self.tr("What happened"))[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        event = self.event_at(index.row())
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return (_moment(event.time), self.word(event.kind), event.label)[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 1:
            icon, color = _ICONS.get(event.kind, ("info", "muted"))
            return self._theme.tint(icon, color, 16)
        return None

    def word(self, kind: str) -> str:
        return {
            "started": self.tr("started"),
            "stopped": self.tr("stopped"),
            "crashed": self.tr("crashed"),
            "suspended": self.tr("stepped aside"),
            "resumed": self.tr("came back"),
            "image-started": self.tr("image started"),
            "image-finished": self.tr("image finished"),
            "oom": self.tr("out of memory"),
        }.get(kind, kind)

    def lines(self) -> list[str]:
        """Tab-separated, oldest first."""
        return [
            f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(e.time))}\t{e.kind}\t{e.label}"
            for e in self._events
        ]


class EventsCard(Card):
    """The table with its filter."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "", padding=1, fill=True)
        self._theme = theme
        self.setAccessibleName(self.tr("Events"))
        self._saver = TextSaver(self)
        self._saver.saved.connect(self._on_saved)
        self._saver.failed.connect(self._on_save_failed)
        space = theme.space
        tools = row(space=space.s, margins=(space.m, space.m - 1, space.m, 0))
        self.filter = QLineEdit()
        self.filter.setPlaceholderText(self.tr("Filter events"))
        self.filter.setAccessibleName(self.tr("Filter events"))
        self.filter.setClearButtonEnabled(True)
        self.filter.setMaximumWidth(theme.px(320))
        self.export = IconButton(theme, "save", self.tr("Export the events"))
        self.export.clicked.connect(self._on_export)
        tools.addWidget(self.filter, 1)
        tools.addStretch(1)
        tools.addWidget(self.export)
        self.body.addLayout(tools)
        self.messages = MessageArea(theme)
        self.body.addWidget(self.messages)
        self.model = EventModel(theme)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.model)
        self._proxy.setFilterKeyColumn(-1)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.filter.textChanged.connect(self._proxy.setFilterFixedString)
        self.filter.textChanged.connect(self._update)
        self.table = self._make_table()
        self.stack = QStackedWidget()
        self.empty = EmptyState(
            theme,
            "clock",
            self.tr("Nothing happened yet"),
            self.tr("Starts, crashes and hand-offs appear here."),
        )
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.table)
        self.stack.setMinimumHeight(theme.px(200))
        self.body.addWidget(self.stack, 1)
        theme.changed.connect(self._on_theme)
        self._update()

    def _make_table(self) -> QTableView:
        theme = self._theme
        table = QTableView()
        table.setObjectName("system.events")
        table.setAccessibleName(self.tr("Events"))
        table.setModel(self._proxy)
        table.setShowGrid(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(theme.px(30))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setTabKeyNavigation(False)
        header = table.horizontalHeader()
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setHighlightSections(False)
        header.setStretchLastSection(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        table.setColumnWidth(0, theme.px(150))
        table.setColumnWidth(1, theme.px(150))
        return table

    @Slot(object)
    def show_events(self, events: Sequence[EventMarker]) -> None:
        self.model.set_events(events)
        self._update()

    @Slot(object)
    def add_event(self, event: EventMarker) -> None:
        self.model.add(event)
        self._update()

    @Slot()
    def _update(self) -> None:
        has = self._proxy.rowCount() > 0
        self.stack.setCurrentWidget(self.table if has else self.empty)
        self.export.setEnabled(self.model.rowCount() > 0)
        if not has and self.model.rowCount():
            self.empty.set_text(self.tr("No event matches the filter"), "", "search")
        elif not has:
            self.empty.set_text(
                self.tr("Nothing happened yet"),
                self.tr("Starts, crashes and hand-offs appear here."),
                "clock",
            )

    @Slot()
    def _on_theme(self) -> None:
        self.table.verticalHeader().setDefaultSectionSize(self._theme.px(30))
        self.table.viewport().update()

    @Slot()
    def _on_export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, self.tr("Export the events"), "events.tsv", self.tr("Tables (*.tsv *.txt)")
        )
        if path:
            self.export_to(path)

    def export_to(self, path: str) -> None:
        self._saver.save(path, self.model.lines())

    @Slot(str)
    def _on_saved(self, path: str) -> None:
        self.messages.show_message("saved", "ok", self.tr("Saved as {path}").format(path=path))

    @Slot(str, str)
    def _on_save_failed(self, path: str, why: str) -> None:
        text = self.tr("{path} could not be written: {why}.").format(path=path, why=why)
        self.messages.show_message("saved", "danger", text, self.tr("Choose another folder."))


def _time_of(event: EventMarker) -> float:
    return event.time


def _moment(epoch: float) -> str:
    moment = time.localtime(epoch)
    today = time.localtime()
    same_day = moment[:3] == today[:3]
    return time.strftime("%H:%M:%S" if same_day else "%d %b %H:%M:%S", moment)
