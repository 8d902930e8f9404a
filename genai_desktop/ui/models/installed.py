"""What is on the shelf: the table, import by drop or menu, and the details of the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QItemSelection, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDropEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QSplitter,
    QStackedWidget,
    QTableView,
    QWidget,
)

from genai_desktop.ui.models.detail import DetailPane
from genai_desktop.ui.models.fit_delegate import FitDelegate
from genai_desktop.ui.models.import_parts import PartsPanel
from genai_desktop.ui.models.table_model import FIT, ModelTable
from genai_desktop.ui.ui_state import decode, encode
from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.card import Card
from genai_desktop.ui.widgets.empty import EmptyState
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.meter import BusyLine, MeterBar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genai_desktop.core.models import FitBadge, ModelInfo
    from genai_desktop.ui.theme import Theme

_WIDTHS = (196, 60, 92, 100, 76, 72, 128, 92, 120)


class InstalledView(QWidget):
    """Emits what a person wants; the page sends it to the facade."""

    paths_chosen = Signal(object)  # tuple of paths to import
    parts_chosen = Signal(str, object)  # name, dict of role -> path
    download_wanted = Signal()
    ui_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._fits: Mapping[str, FitBadge] = {}
        self._wanted = ""  # model id to select when it appears
        self.setAcceptDrops(True)
        whole = column(self, space=theme.space.m)
        self._build_tools(whole)
        self.table = self._make_table()
        self.detail = DetailPane(theme)
        self.detail.setMinimumWidth(300)
        self.parts = PartsPanel(theme)
        self.parts.closed.connect(self._close_parts)
        self.parts.submitted.connect(self.parts_chosen)
        self.splitter = QSplitter()
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(theme.space.m)
        card = Card(theme, padding=1, fill=True)
        card.body.addWidget(self.table)
        self.splitter.addWidget(card)
        self.splitter.addWidget(self.detail)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 0)
        self.splitter.setSizes([640, theme.px(340)])
        self.splitter.splitterMoved.connect(self.ui_changed)
        self.empty = EmptyState(
            theme,
            "models",
            self.tr("No models yet"),
            self.tr("Drop a GGUF or safetensors file here, import a folder, or download one by its address."),
            action=self.tr("Import files…"),
            second=self.tr("Download by address"),
            action_icon="import",
        )
        if self.empty.button is not None and self.empty.second is not None:
            self.empty.button.clicked.connect(self._on_import_files)
            self.empty.second.clicked.connect(self.download_wanted)
        waiting = QWidget()
        inside = column(waiting)
        inside.addWidget(BusyLine(theme, self.tr("Reading the shelf")))
        inside.addStretch(1)
        self.waiting = waiting
        self.stack = QStackedWidget()
        for view in (waiting, self.empty, self.splitter, self.parts):
            self.stack.addWidget(view)
        whole.addWidget(self.stack, 1)
        self.drop = QLabel(self.tr("Drop to import in place"), self)
        self.drop.setProperty("kind", "drop")
        self.drop.setProperty("role", "section")
        self.drop.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.drop.hide()

    def _build_tools(self, whole: Any) -> None:
        theme = self._theme
        tools = row(space=theme.space.s)
        self.filter = QLineEdit()
        self.filter.setObjectName("models.filter")
        self.filter.setPlaceholderText(self.tr("Filter by name, family, quantization, licence"))
        self.filter.setAccessibleName(self.tr("Filter the models"))
        self.filter.setClearButtonEnabled(True)
        self.filter.setMaximumWidth(theme.px(360))
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(120)
        self._typing.timeout.connect(self._on_filter)
        self.filter.textChanged.connect(self._on_typed)
        self.disk_bar = MeterBar(theme, "rest")
        self.disk_bar.setFixedWidth(theme.px(72))
        self.disk = label("", "meta")
        self.disk_bar.hide()
        self.importing = Button(theme, self.tr("Import"), icon="import", name="models.import")
        menu = QMenu(self)
        for text, icon, slot in (
            (self.tr("Files…"), "file", self._on_import_files),
            (self.tr("Folder…"), "folder", self._on_import_folder),
            (self.tr("Image model by parts…"), "images", self.show_parts),
        ):
            action = menu.addAction(text)
            theme.dress(action, icon, "muted", 16)
            action.triggered.connect(slot)
        self.importing.set_menu(menu)
        tools.addWidget(self.filter, 1)
        tools.addStretch(1)
        tools.addWidget(self.disk_bar)
        tools.addWidget(self.disk)
        tools.addSpacing(theme.space.s)
        tools.addWidget(self.importing)
        whole.addLayout(tools)

    def _make_table(self) -> QTableView:
        theme = self._theme
        self.model = ModelTable(theme)
        table = QTableView()
        table.setObjectName("models.installed")
        table.setAccessibleName(self.tr("Installed models"))
        table.setModel(self.model)
        table.setItemDelegateForColumn(FIT, FitDelegate(theme, table))
        table.setShowGrid(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setSortingEnabled(True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        table.setTabKeyNavigation(False)
        table.setWordWrap(False)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(theme.px(36))
        table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsMovable(True)
        header.setMinimumSectionSize(48)
        header.setStretchLastSection(True)
        header.moveSection(FIT, 1)  # the answer a newcomer looks for stands beside the name
        for index, width in enumerate(_WIDTHS):
            table.setColumnWidth(index, theme.px(width))
        header.sectionResized.connect(self.ui_changed)
        header.sectionMoved.connect(self.ui_changed)
        header.sortIndicatorChanged.connect(self.ui_changed)
        table.selectionModel().selectionChanged.connect(self._on_selected)
        table.doubleClicked.connect(self._on_double_clicked)
        theme.changed.connect(self._on_theme)
        return table

    # -- snapshots --------------------------------------------------------------------------------------

    @Slot(object)
    def show_models(self, models: Sequence[ModelInfo]) -> None:
        selected = self.selected_id
        self.model.set_models(models)
        if self.stack.currentWidget() is not self.parts:
            self.stack.setCurrentWidget(self.splitter if models else self.empty)
        wanted = self._wanted or selected
        row_number = self.model.row_of(wanted)
        if row_number < 0 and models and not selected:
            row_number = 0
        if row_number >= 0:
            self._wanted = ""
            if self.model.model_at(row_number) is not None:
                self.table.selectRow(row_number)
                self._show_detail()
        self.detail.setVisible(bool(models))

    @Slot(object)
    def show_fits(self, fits: Mapping[str, FitBadge]) -> None:
        self._fits = fits
        self.model.set_fits(fits)
        if self.detail.model is not None:
            self.detail.show_fit(fits.get(self.detail.model.id))

    @Slot(object, object)
    def show_disk(self, free: int, total: int) -> None:
        self.disk_bar.setVisible(bool(total))
        if total:
            self.disk_bar.set_value(1 - free / total)
        text = self.tr("{free_of_total} free").format(free_of_total=fmt.used_of(free, total))
        self.disk.setText(text)
        self.disk_bar.setAccessibleName(self.tr("Disk: {text}").format(text=text))

    def select(self, model_id: str) -> None:
        """Now, or as soon as it is there."""
        row_number = self.model.row_of(model_id)
        if row_number >= 0:
            self.table.selectRow(row_number)
        else:
            self._wanted = model_id

    @property
    def selected_id(self) -> str:
        rows = self.table.selectionModel().selectedRows()
        model = self.model.model_at(rows[0].row()) if rows else None
        return model.id if model is not None else ""

    # -- form values ------------------------------------------------------------------------------------

    def ui_state(self) -> dict[str, Any]:
        return {
            "splitter": encode(self.splitter.saveState()),
            "header": encode(self.table.horizontalHeader().saveState()),
            "selected": self.selected_id,
        }

    def restore_ui(self, values: dict[str, Any]) -> None:
        self.splitter.restoreState(decode(values.get("splitter")))
        header = self.table.horizontalHeader()
        if header.restoreState(decode(values.get("header"))):
            self.model.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())
        if isinstance(values.get("selected"), str):
            self.select(values["selected"])

    # -- choosing ---------------------------------------------------------------------------------------

    @Slot(QItemSelection, QItemSelection)
    def _on_selected(self, _now: QItemSelection, _before: QItemSelection) -> None:
        self._show_detail()
        self.ui_changed.emit()

    def _show_detail(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        model = self.model.model_at(rows[0].row()) if rows else None
        if model is not None:
            self.detail.show_model(model, self._fits.get(model.id))

    @Slot()
    def _on_double_clicked(self) -> None:
        if self.detail.use.isEnabled():
            self.detail.use.click()

    @Slot()
    def _on_typed(self) -> None:
        self._typing.start()

    @Slot()
    def _on_filter(self) -> None:
        self.model.set_filter(self.filter.text())

    @Slot()
    def _on_theme(self) -> None:
        self.table.verticalHeader().setDefaultSectionSize(self._theme.px(36))
        self.table.viewport().update()

    # -- importing --------------------------------------------------------------------------------------

    @Slot()
    def _on_import_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self, self.tr("Import models"), "", self.tr("Models (*.gguf *.safetensors *.sft);;All files (*)")
        )
        if paths:
            self.paths_chosen.emit(tuple(paths))

    @Slot()
    def _on_import_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self.tr("Import a folder of models"))
        if path:
            self.paths_chosen.emit((path,))

    @Slot()
    def show_parts(self) -> None:
        """The form for an image model of several files."""
        self.stack.setCurrentWidget(self.parts)
        self.parts.name.setFocus()

    @Slot()
    def _close_parts(self) -> None:
        self.parts.clear()
        self.stack.setCurrentWidget(self.splitter if self.model.total else self.empty)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls() and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
            self.drop.setGeometry(self.stack.geometry())
            self.drop.raise_()
            self.drop.show()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.drop.hide()
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        self.drop.hide()
        paths = tuple(url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile())
        if paths:
            event.acceptProposedAction()
            self.paths_chosen.emit(paths)
