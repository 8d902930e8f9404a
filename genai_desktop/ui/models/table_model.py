"""All models as a table: sorted and filtered here, so that ten thousand rows stay quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from genai_desktop.ui.widgets import format as fmt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from genai_desktop.core.models import FitBadge, ModelInfo
    from genai_desktop.ui.theme import Theme

_Index = QModelIndex | QPersistentModelIndex
NAME, KIND, FAMILY, QUANTIZATION, SIZE, CONTEXT, FIT, LICENCE, USED = range(9)
FIT_ROLE = Qt.ItemDataRole.UserRole + 1
ID_ROLE = Qt.ItemDataRole.UserRole + 2
_RIGHT = (SIZE, CONTEXT)
_FIT_ORDER = {"gpu": 0, "partial": 1, "cpu": 2, "tight": 3, "unknown": 4, "no": 5}


class ModelTable(QAbstractTableModel):
    """Rows are ModelInfo. `set_models` keeps order, filter and (by persistent index) the selection."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._all: list[ModelInfo] = []
        self._rows: list[ModelInfo] = []
        self._fits: Mapping[str, FitBadge] = {}
        self._needle = ""
        self._column, self._order = NAME, Qt.SortOrder.AscendingOrder

    # -- content ----------------------------------------------------------------------------------------

    def set_models(self, models: Sequence[ModelInfo]) -> None:
        self._all = list(models)
        self._rebuild()

    def set_fits(self, fits: Mapping[str, FitBadge]) -> None:
        self._fits = fits
        if self._column == FIT:
            self._rebuild()
        elif self._rows:
            self.dataChanged.emit(self.index(0, FIT), self.index(len(self._rows) - 1, FIT))

    def set_filter(self, text: str) -> None:
        """Only models whose name, family, quantization or licence holds this text."""
        self._needle = text.casefold().strip()
        self._rebuild()

    def model_at(self, row_number: int) -> ModelInfo | None:
        return self._rows[row_number] if 0 <= row_number < len(self._rows) else None

    def row_of(self, model_id: str) -> int:
        """-1 when it is not shown."""
        return next((i for i, model in enumerate(self._rows) if model.id == model_id), -1)

    @property
    def total(self) -> int:
        """How many there are, shown or not."""
        return len(self._all)

    def _rebuild(self) -> None:
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        ids = [self._rows[index.row()].id for index in old]
        self._rows = sorted(
            (model for model in self._all if self._matches(model)),
            key=self._key,
            reverse=self._order == Qt.SortOrder.DescendingOrder,
        )
        places = {model.id: row for row, model in enumerate(self._rows)}
        new = [
            self.index(places[model_id], index.column()) if model_id in places else QModelIndex()
            for model_id, index in zip(ids, old, strict=True)
        ]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _matches(self, model: ModelInfo) -> bool:
        if not self._needle:
            return True
        texts = (model.name, model.family, model.quantization, model.license, model.architecture)
        return any(self._needle in text.casefold() for text in texts)

    def _key(self, model: ModelInfo) -> tuple[Any, str]:
        fit = self._fits.get(model.id)
        values: dict[int, Any] = {
            NAME: "",
            KIND: model.type,
            FAMILY: model.family.casefold(),
            QUANTIZATION: model.quantization,
            SIZE: model.size,
            CONTEXT: model.context_length or 0,
            FIT: _FIT_ORDER.get(fit.level if fit else "unknown", 4),
            LICENCE: model.license.casefold(),
            USED: model.last_used_at or 0.0,
        }
        return values[self._column], model.name.casefold()

    # -- Qt's side --------------------------------------------------------------------------------------

    def rowCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: _Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else 9

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._column, self._order = max(0, column), order
        self._rebuild()

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section in _RIGHT else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return (
            self.tr("Name"),
            self.tr("Kind"),
            self.tr("Family"),
            self.tr("Quantization"),
            self.tr("Size"),
            self.tr("Context"),
            self.tr("Fit"),
            self.tr("Licence"),
            self.tr("Last used"),
        )[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        model = self.model_at(index.row())
        if model is None:
            return None
        column = index.column()
        value: Any = None
        if role == Qt.ItemDataRole.DisplayRole:
            value = self._text(model, column)
        elif role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column in _RIGHT else Qt.AlignmentFlag.AlignLeft
            value = side | Qt.AlignmentFlag.AlignVCenter
        elif role == Qt.ItemDataRole.DecorationRole and column == NAME:
            value = self._icon(model)
        elif role == Qt.ItemDataRole.ForegroundRole and model.missing:
            value = self._theme.color("muted")
        elif role == Qt.ItemDataRole.ToolTipRole:
            fit = self._fits.get(model.id)
            value = fit.reason if column == FIT and fit is not None else model.path
        elif role == FIT_ROLE:
            value = self._fits.get(model.id)
        elif role == ID_ROLE:
            value = model.id
        return value

    def _icon(self, model: ModelInfo) -> Any:
        if model.missing:
            return self._theme.tint("warning", "warn", 16)
        return self._theme.tint("chat" if model.type == "llm" else "images", "muted", 16)

    def _text(self, model: ModelInfo, column: int) -> str:
        fit = self._fits.get(model.id)
        if column == FIT:
            if model.missing:
                return self.tr("file is missing")
            return fit.text if fit is not None else ""
        return (
            model.name,
            self.tr("LLM") if model.type == "llm" else self.tr("image"),
            model.family or model.architecture or fmt.UNKNOWN,
            model.quantization or fmt.UNKNOWN,
            fmt.size(model.size),
            fmt.context(model.context_length),
            "",
            model.license or self.tr("not stated"),
            fmt.when(model.last_used_at) if model.last_used_at else self.tr("never"),
        )[column]
