"""Everything about one model, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices, QKeyEvent
from PySide6.QtWidgets import QFrame, QLineEdit, QScrollArea, QWidget

from genai_desktop.ui.models.fit_panel import FitPanel
from genai_desktop.ui.models.words import role_name
from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.key_values import KeyValueGrid
from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import column, line, row
from genai_desktop.ui.widgets.pill import FitBadge
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.core.models import FitBadge as FitValue
    from genai_desktop.core.models import ModelDetails, ModelInfo
    from genai_desktop.ui.theme import Theme


class DetailPane(QFrame):
    """Shows the chosen model; its buttons only ask."""

    chat_requested = Signal(str)
    studio_requested = Signal(str)
    verify_requested = Signal(str)
    remove_requested = Signal(str)
    rename_requested = Signal(str, str)
    details_wanted = Signal(str, int, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.model: ModelInfo | None = None
        self._metadata: tuple[tuple[str, str], ...] = ()
        self.setObjectName("models.detail")
        self.setProperty("kind", "card")
        self.setAccessibleName(self.tr("Details of the model"))
        outer = column(self, margins=1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer.addWidget(scroll)
        inner = QWidget()
        scroll.setWidget(inner)
        space = theme.space
        self._whole = column(inner, space=space.m, margins=space.l)
        self._build_head()
        self._memory = (line(), label(self.tr("Memory"), "strong"))
        for part in self._memory:
            self._whole.addWidget(part)
        self.fit_panel = FitPanel(theme)
        self.fit_panel.wanted.connect(self._on_fit_wanted)
        self._whole.addWidget(self.fit_panel)
        self._whole.addWidget(line())
        self._whole.addWidget(label(self.tr("About"), "strong"))
        self.about = KeyValueGrid(theme)
        self._whole.addWidget(self.about)
        self._whole.addWidget(line())
        self._whole.addWidget(label(self.tr("Files"), "strong"))
        self._files: list[QWidget] = []
        self._file_box = column(space=space.s)
        self._whole.addLayout(self._file_box)
        self._fold = Button(theme, self.tr("Metadata"), kind="link", icon="chevron-right")
        self._fold.clicked.connect(self._on_fold)
        self._whole.addWidget(self._fold, 0, Qt.AlignmentFlag.AlignLeft)
        self.metadata = KeyValueGrid(theme)
        self.metadata.hide()
        self._whole.addWidget(self.metadata)
        self._whole.addStretch(1)

    def _build_head(self) -> None:
        theme, space = self._theme, self._theme.space
        head = row(space=space.s)
        self.name = ElidedLabel("", "section")
        self.edit = QLineEdit()
        self.edit.setAccessibleName(self.tr("New name"))
        self.edit.hide()
        self.edit.installEventFilter(self)
        self.edit.returnPressed.connect(self._on_renamed)
        self.rename = IconButton(theme, "edit", self.tr("Rename"), size=16)
        self.rename.clicked.connect(self._on_rename)
        head.addWidget(self.name, 1)
        head.addWidget(self.edit, 1)
        head.addWidget(self.rename)
        self._whole.addLayout(head)
        marks = row(space=space.s)
        self.fit = FitBadge(theme)
        self.kind = label("", "muted")
        marks.addWidget(self.fit)
        marks.addWidget(self.kind)
        marks.addStretch(1)
        self._whole.addLayout(marks)
        self.messages = MessageArea(theme)
        self._whole.addWidget(self.messages)
        self.use = Button(theme, "", kind="primary", icon="chat", name="models.use")
        self.use.clicked.connect(self._on_use)
        self._whole.addWidget(self.use)
        actions = row(space=space.xs)
        self.verify = Button(theme, self.tr("Verify"), icon="shield", name="models.verify")
        self.verify.setToolTip(self.tr("Read every byte and compare with the digest it came with"))
        self.folder = Button(theme, self.tr("Show in folder"), icon="folder", name="models.folder")
        self.remove = IconButton(theme, "trash", self.tr("Remove"), color="danger")
        self.remove.setObjectName("models.remove")
        self.verify.clicked.connect(self._on_verify)
        self.folder.clicked.connect(self._on_folder)
        self.remove.clicked.connect(self._on_remove)
        actions.addWidget(self.verify)
        actions.addWidget(self.folder)
        actions.addStretch(1)
        actions.addWidget(self.remove)
        self._whole.addLayout(actions)

    # -- snapshots --------------------------------------------------------------------------------------

    def show_model(self, model: ModelInfo, fit: FitValue | None) -> None:
        """Another model, or the same one after it changed."""
        is_other = self.model is None or self.model.id != model.id
        self.model = model
        self._end_rename()
        self.name.setText(model.name)
        is_llm = model.type == "llm"
        self.kind.setText(self.tr("Language model") if is_llm else self.tr("Image model"))
        self.use.setText(self.tr("Chat with this") if is_llm else self.tr("Use in the studio"))
        self.use.set_icon("chat" if is_llm else "images")
        self.use.setEnabled(not model.missing)
        self.verify.setEnabled(not model.missing)
        self.remove.setEnabled(model.source != "builtin")
        builtin = self.tr("It comes with the program and stays")
        self.remove.setToolTip(self.tr("Remove") if model.source != "builtin" else builtin)
        self.show_fit(fit)
        self.about.set_rows(self._facts(model))
        self._show_files(model)
        for part in self._memory:
            part.setVisible(not model.missing)
        if is_other:
            self.messages.clear()
            self._metadata = ()
            self.metadata.set_rows(())
            self.metadata.hide()
            self._fold.set_icon("chevron-right")
            self.fit_panel.start(model)
            self.details_wanted.emit(model.id, 0, "f16")
        if model.missing:
            self.messages.show_message(
                "missing",
                "warn",
                self.tr("The file is not where it was."),
                self.tr("Connect its disk, import it again from its new place, or remove the entry."),
            )

    def show_fit(self, fit: FitValue | None) -> None:
        self.fit.set_fit(fit)

    def show_details(self, details: ModelDetails) -> None:
        if self.model is None or details.model.id != self.model.id:
            return
        self.fit_panel.show_details(details)
        if details.fit.text:
            self.fit.set_fit(details.fit)
        self._metadata = details.metadata
        if self.metadata.isVisible():
            self.metadata.set_rows(self._metadata)
        self._fold.setVisible(bool(details.metadata))
        if not details.metadata:
            self.metadata.hide()
        self.messages.clear("problem")
        if details.problems and not self.model.missing:
            self.messages.show_message("problem", "warn", "\n".join(details.problems))

    def _facts(self, model: ModelInfo) -> tuple[tuple[str, str], ...]:
        can = {
            "reasoning": self.tr("thinks before it answers"),
            "tools": self.tr("uses tools"),
            "vision": self.tr("sees pictures"),
            "embedding": self.tr("embeds text"),
            "code": self.tr("writes code"),
        }
        sources = {
            "builtin": self.tr("comes with the program"),
            "import": self.tr("imported in place"),
            "url": self.tr("downloaded"),
            "huggingface": self.tr("downloaded from Hugging Face"),
        }
        return (
            (self.tr("Family"), model.family),
            (self.tr("Architecture"), model.architecture),
            (self.tr("Parameters"), fmt.parameters(model.parameter_count) if model.parameter_count else ""),
            (self.tr("Quantization"), model.quantization),
            (self.tr("Context"), fmt.context(model.context_length) if model.context_length else ""),
            (self.tr("Abilities"), ", ".join(can[name] for name in model.capabilities.names())),
            (self.tr("Licence"), model.license or self.tr("not stated in the file")),
            (self.tr("Size"), fmt.size(model.size)),
            (self.tr("Source"), sources.get(model.source, model.source)),
            (self.tr("From"), model.origin),
            (self.tr("Last used"), fmt.when(model.last_used_at) if model.last_used_at else self.tr("never")),
        )

    def _show_files(self, model: ModelInfo) -> None:
        for old in self._files:
            self._file_box.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._files = []
        for file in model.files:
            shown = QWidget()
            inside = column(shown, space=0)
            top = row(space=self._theme.space.s)
            top.addWidget(ElidedLabel(_file_name(file.path), mode=Qt.TextElideMode.ElideMiddle), 1)
            top.addWidget(label(fmt.size(file.size), "muted"))
            inside.addLayout(top)
            if file.role:
                inside.addWidget(label(role_name(file.role), "meta"))
            shown.setToolTip(file.path)
            self._files.append(shown)
            self._file_box.addWidget(shown)

    # -- intents ----------------------------------------------------------------------------------------

    @Slot(int, str)
    def _on_fit_wanted(self, context: int, cache_type: str) -> None:
        if self.model is not None:
            self.details_wanted.emit(self.model.id, context, cache_type)

    @Slot()
    def _on_use(self) -> None:
        if self.model is not None:
            signal = self.chat_requested if self.model.type == "llm" else self.studio_requested
            signal.emit(self.model.id)

    @Slot()
    def _on_verify(self) -> None:
        if self.model is not None:
            self.verify_requested.emit(self.model.id)

    @Slot()
    def _on_remove(self) -> None:
        if self.model is not None:
            self.remove_requested.emit(self.model.id)

    @Slot()
    def _on_folder(self) -> None:
        if self.model is not None:
            folder = self.model.path.replace("\\", "/").rpartition("/")[0]
            QDesktopServices.openUrl(QUrl.fromLocalFile(folder))

    @Slot()
    def _on_fold(self) -> None:
        self.metadata.set_rows(self._metadata)
        self.metadata.setVisible(not self.metadata.isVisible())
        self._fold.set_icon("chevron-down" if self.metadata.isVisible() else "chevron-right")

    # -- renaming ---------------------------------------------------------------------------------------

    @Slot()
    def _on_rename(self) -> None:
        if self.model is None:
            return
        self.edit.setText(self.model.name)
        self.name.hide()
        self.rename.hide()
        self.edit.show()
        self.edit.setFocus()
        self.edit.selectAll()

    @Slot()
    def _on_renamed(self) -> None:
        name = self.edit.text().strip()
        if self.model is not None and name and name != self.model.name:
            self.rename_requested.emit(self.model.id, name)
        self._end_rename()

    def _end_rename(self) -> None:
        self.edit.hide()
        self.name.show()
        self.rename.show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.edit:
            is_escape = (
                event.type() == QEvent.Type.KeyPress
                and isinstance(event, QKeyEvent)
                and event.key() == Qt.Key.Key_Escape
            )
            if is_escape or event.type() == QEvent.Type.FocusOut:
                self._end_rename()
                return is_escape
        return super().eventFilter(watched, event)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
