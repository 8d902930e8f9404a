"""Where one types. Grows, sends with Enter, breaks with Shift+Enter, takes dropped pictures and texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy, QWidget

from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent

    from genai_desktop.ui.theme import Theme

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
MAX_TEXT_FILE = 1_000_000  # bytes of a dropped text file


class PromptEdit(QPlainTextEdit):
    """One to ten lines high."""

    submitted = Signal()
    files_dropped = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("chat.prompt")
        self.setProperty("kind", "bare")
        self.setAccessibleName(self.tr("Message"))
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(2)
        self.textChanged.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.submitted.emit()
            return
        super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return bool(source.hasUrls() or super().canInsertFromMimeData(source))

    def insertFromMimeData(self, source: QMimeData) -> None:
        paths = [u.toLocalFile() for u in source.urls() if u.isLocalFile()] if source.hasUrls() else []
        if paths:
            self.files_dropped.emit(paths)
            return
        super().insertFromMimeData(source)

    @Slot()
    def _fit(self) -> None:
        lines = max(1, min(10, self.document().size().toSize().height()))  # QPlainTextEdit counts lines here
        self.setFixedHeight(self.fontMetrics().lineSpacing() * lines + 10)

    def sizeHint(self) -> QSize:
        return QSize(300, self.height())


class Composer(QFrame):
    """The prompt with its buttons; Stop takes the place of Send while a reply streams."""

    sent = Signal(str, tuple)  # text, picture paths
    stopped = Signal()
    draft_changed = Signal(str)  # a moment after the last key

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._pictures: list[str] = []
        self.setProperty("kind", "well")
        whole = column(self, space=theme.space.xs, margins=(12, 10, 8, 8))
        self._attached = label("", "meta", wrap=True)
        self._attached.hide()
        whole.addWidget(self._attached)
        self.prompt = PromptEdit()
        self.prompt.submitted.connect(self._on_send)
        self.prompt.files_dropped.connect(self._on_files)
        self.prompt.textChanged.connect(self._on_typed)
        whole.addWidget(self.prompt)
        foot = row(space=theme.space.s)
        self._attach = IconButton(theme, "attach", self.tr("Attach a picture or a text file"))
        self._attach.clicked.connect(self._on_attach)
        self._hint = label("", "meta")
        self.send_button = Button(theme, self.tr("Send"), kind="primary", icon="send", name="chat.send")
        self.send_button.clicked.connect(self._on_send)
        self.stop_button = Button(theme, self.tr("Stop"), icon="stop", name="chat.stop")
        self.stop_button.clicked.connect(self.stopped)
        self.stop_button.hide()
        foot.addWidget(self._attach)
        foot.addWidget(self._hint, 1)
        foot.addWidget(self.stop_button)
        foot.addWidget(self.send_button)
        whole.addLayout(foot)
        self._draft = QTimer(self)
        self._draft.setSingleShot(True)
        self._draft.setInterval(700)
        self._draft.timeout.connect(self._on_draft)
        self.set_placeholder("")
        self._on_typed()

    def set_placeholder(self, text: str) -> None:
        self.prompt.setPlaceholderText(
            text or self.tr("Ask anything. Enter sends, Shift+Enter breaks the line.")
        )

    def set_hint(self, text: str) -> None:
        self._hint.setText(text)

    def hint(self) -> str:
        return self._hint.text()

    def set_streaming(self, is_streaming: bool) -> None:
        self.stop_button.setVisible(is_streaming)
        self.send_button.setVisible(not is_streaming)

    def set_text(self, text: str) -> None:
        """The draft of a conversation, without telling that it changed."""
        self._draft.stop()
        self.prompt.blockSignals(True)
        self.prompt.setPlainText(text)
        self.prompt.blockSignals(False)
        self.prompt._fit()
        self.send_button.setEnabled(bool(text.strip()))
        cursor = self.prompt.textCursor()
        cursor.movePosition(cursor.MoveOperation.End)
        self.prompt.setTextCursor(cursor)

    def text(self) -> str:
        return self.prompt.toPlainText()

    def give_back(self, text: str, pictures: tuple[str, ...]) -> None:
        """What could not be sent stands here again, before what was typed since."""
        self._pictures[:0] = pictures
        self._show_attached()
        self.prompt.setPlainText("\n\n".join(part for part in (text, self.text()) if part))
        self.prompt.moveCursor(QTextCursor.MoveOperation.End)

    def keep_draft(self) -> None:
        """Tell what was typed a moment ago now, not later."""
        if self._draft.isActive():
            self._draft.stop()
            self._on_draft()

    @Slot()
    def _on_typed(self) -> None:
        self.send_button.setEnabled(bool(self.text().strip()))
        self._draft.start()

    @Slot()
    def _on_draft(self) -> None:
        self.draft_changed.emit(self.text())

    @Slot()
    def _on_send(self) -> None:
        text = self.text().strip()
        if not text or not self.send_button.isVisible():
            return
        pictures = tuple(self._pictures)
        self._pictures.clear()
        self._show_attached()
        self.set_text("")
        self.sent.emit(text, pictures)

    @Slot()
    def _on_attach(self) -> None:
        from PySide6.QtWidgets import QFileDialog

        paths, _ = QFileDialog.getOpenFileNames(
            self,
            self.tr("Attach"),
            "",
            self.tr(
                "Pictures and texts (*.png *.jpg *.jpeg *.bmp *.gif *.txt *.md *.py *.json);;All files (*)"
            ),
        )
        if paths:
            self._on_files(paths)

    @Slot(list)
    def _on_files(self, paths: list[str]) -> None:
        for path in paths:
            if path.lower().endswith(PICTURES):
                self._pictures.append(path)
            else:
                self._insert_file(Path(path))
        self._show_attached()

    def _insert_file(self, path: Path) -> None:
        try:
            if path.stat().st_size > MAX_TEXT_FILE:
                self._hint.setText(self.tr("{name} is too large to paste.").format(name=path.name))
                return
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            self._hint.setText(self.tr("{name} is no text file.").format(name=path.name))
            return
        self.prompt.insertPlainText(f"\n{path.name}:\n```\n{text.rstrip()}\n```\n")

    def _show_attached(self) -> None:
        names = ", ".join(Path(p).name for p in self._pictures)
        self._attached.setText(self.tr("Attached: {names}").format(names=names) if names else "")
        self._attached.setVisible(bool(names))
