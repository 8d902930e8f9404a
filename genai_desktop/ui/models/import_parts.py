"""An image model made of several files: one row per role, in place, not a dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QGridLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from genai_desktop.core.models import ComponentRole
from genai_desktop.ui.models.words import role_name
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.field import Field
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.strip import MessageArea

if TYPE_CHECKING:
    from genai_desktop.ui.theme import Theme


class PathEdit(QLineEdit):
    """Takes a typed path or a dropped file."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setAcceptDrops(True)
        self.setClearButtonEnabled(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()
        else:
            super().dragEnterEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.setText(paths[0])
            event.acceptProposedAction()
        else:
            super().dropEvent(event)


class PartsPanel(QFrame):
    """Only the diffusion model is required; which other parts belong to it depends on its family."""

    submitted = Signal(str, object)  # name, dict of role -> path
    closed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._folder = ""
        self.setObjectName("models.parts")
        self.setProperty("kind", "card")
        self.setAccessibleName(self.tr("Image model by parts"))
        outer = column(self, margins=1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        outer.addWidget(scroll)
        inner = QWidget()
        scroll.setWidget(inner)
        whole = column(inner, space=theme.space.m, margins=theme.space.l)
        self._build_head(whole)
        self._build_rows(whole)
        whole.addStretch(1)
        self._build_foot(whole)
        self._check()

    def _build_head(self, whole: QVBoxLayout) -> None:
        head = row(space=self._theme.space.s)
        head.addWidget(label(self.tr("Image model by parts"), "section"))
        head.addStretch(1)
        close = IconButton(self._theme, "close", self.tr("Close without importing"))
        close.clicked.connect(self.closed)
        head.addWidget(close)
        whole.addLayout(head)
        sentence = self.tr(
            "Choose the files that belong together, or drop them on their rows. They stay where they are."
        )
        whole.addWidget(label(sentence, "muted", wrap=True))
        self.messages = MessageArea(self._theme)
        whole.addWidget(self.messages)
        self.name = QLineEdit()
        self.name.setObjectName("models.parts.name")
        self.name.setPlaceholderText(self.tr("For instance: Flux 2 Klein"))
        whole.addWidget(
            Field(self._theme, self.tr("Name"), self.name, self.tr("Empty: named after the file"))
        )

    def _build_rows(self, whole: QVBoxLayout) -> None:
        grid = QGridLayout()
        grid.setHorizontalSpacing(self._theme.space.s)
        grid.setVerticalSpacing(self._theme.space.s)
        grid.setColumnStretch(1, 1)
        self.paths: dict[str, PathEdit] = {}
        for index, role in enumerate(ComponentRole):
            edit = PathEdit(role_name(role.value))
            edit.setObjectName(f"models.parts.{role.value}")
            edit.textChanged.connect(self._check)
            browse = Button(self._theme, self.tr("Choose…"))
            browse.setAccessibleName(self.tr("Choose {role}").format(role=role_name(role.value)))
            browse.setProperty("component", role.value)
            browse.clicked.connect(self._on_browse)
            grid.addWidget(label(role_name(role.value)), index, 0)
            grid.addWidget(edit, index, 1)
            grid.addWidget(browse, index, 2)
            self.paths[role.value] = edit
        whole.addLayout(grid)

    def _build_foot(self, whole: QVBoxLayout) -> None:
        theme = self._theme
        foot = row(space=theme.space.s)
        self.hint = label("", "meta")
        self.cancel = Button(theme, self.tr("Cancel"))
        self.cancel.clicked.connect(self.closed)
        self.submit = Button(theme, self.tr("Import"), kind="primary", icon="import")
        self.submit.setObjectName("models.parts.import")
        self.submit.clicked.connect(self._on_submit)
        foot.addWidget(self.hint)
        foot.addStretch(1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.submit)
        whole.addLayout(foot)

    def components(self) -> dict[str, str]:
        """The rows that are filled in: role -> path."""
        return {role: edit.text().strip() for role, edit in self.paths.items() if edit.text().strip()}

    def clear(self) -> None:
        self.name.clear()
        for edit in self.paths.values():
            edit.clear()
        self.messages.clear()

    @Slot()
    def _check(self) -> None:
        has = ComponentRole.DIFFUSION_MODEL.value in self.components()
        self.submit.setEnabled(has)
        self.hint.setText("" if has else self.tr("The diffusion model is needed at least."))

    @Slot()
    def _on_browse(self) -> None:
        role = str(self.sender().property("component"))
        path, _ = QFileDialog.getOpenFileName(
            self,
            self.tr("Choose a file"),
            self._folder,
            self.tr("Models (*.gguf *.safetensors *.sft);;All files (*)"),
        )
        if path:
            self._folder = path.rpartition("/")[0]
            self.paths[role].setText(path)

    @Slot()
    def _on_submit(self) -> None:
        self.submitted.emit(self.name.text().strip(), self.components())
