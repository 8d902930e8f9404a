"""The few questions that stop the work until they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QDialog, QWidget

from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from genai_desktop.ui.theme import Theme


class Question(QDialog):
    """One sentence, one explanation, two buttons; Escape is the second. `confirmed` when it is the first."""

    confirmed = Signal()

    def __init__(
        self,
        theme: Theme,
        parent: QWidget,
        *,
        title: str,
        text: str,
        detail: str,
        yes: str,
        no: str,
        is_dangerous: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setObjectName("question")
        self.setMinimumWidth(theme.px(420))
        space = theme.space
        self.whole = column(self, space=space.m, margins=space.xl)
        self.whole.addWidget(label(text, "section", wrap=True))
        if detail:
            self.whole.addWidget(label(detail, "muted", wrap=True))
        self.buttons = row(space=space.s, margins=(0, space.s, 0, 0))
        self.buttons.addStretch(1)
        self.no = Button(theme, no)
        self.yes = Button(theme, yes, kind="danger" if is_dangerous else "primary")
        self.no.setObjectName("question.no")
        self.yes.setObjectName("question.yes")
        self.no.clicked.connect(self.reject)
        self.yes.clicked.connect(self._on_yes)
        self.buttons.addWidget(self.no)
        self.buttons.addWidget(self.yes)
        self.whole.addLayout(self.buttons)
        (self.no if is_dangerous else self.yes).setDefault(True)

    @Slot()
    def _on_yes(self) -> None:
        self.accept()
        self.confirmed.emit()


class CloseQuestion(Question):
    """Asked once: what closing the window means."""

    answered = Signal(bool, bool)  # keep running, remember

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        tr = QCoreApplication.translate
        super().__init__(
            theme,
            parent,
            title="GenAI Desktop",
            text=tr("CloseQuestion", "Keep running in the tray?"),
            detail=tr(
                "CloseQuestion",
                "Models stay loaded and pictures are finished while the window is closed. "
                "You can change this in Settings.",
            ),
            yes=tr("CloseQuestion", "Keep running"),
            no=tr("CloseQuestion", "Quit"),
        )
        self.remember = QCheckBox(self.tr("Remember my answer"))
        self.remember.setChecked(True)
        self.whole.insertWidget(2, self.remember)
        self.no.clicked.disconnect()
        self.no.clicked.connect(self._on_no)
        self.confirmed.connect(self._on_keep)

    @Slot()
    def _on_keep(self) -> None:
        self.answered.emit(True, self.remember.isChecked())

    @Slot()
    def _on_no(self) -> None:
        self.accept()
        self.answered.emit(False, self.remember.isChecked())
