"""The pieces a message is made of: prose, code with Copy, a thought that folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import QDesktopServices, QGuiApplication, QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy, QTextBrowser, QWidget

from genai_desktop.ui.chat import markdown
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.format import duration
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent, QWheelEvent

    from genai_desktop.ui.theme import Theme


class Colors:
    """The theme as the mapping that markdown wants."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme

    def __getitem__(self, token: str) -> str:
        return self._theme.hex(token)


class TextBlock(QTextBrowser):
    """Read-only rich text that is as high as its content and never scrolls by itself."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setProperty("kind", "bare")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(0)
        self.viewport().setAutoFillBackground(False)
        self.anchorClicked.connect(self._on_link)
        self._fitted = (-1, -1)

    def loadResource(self, _kind: int, _name: QUrl | str) -> Any:
        """Nothing a reply names is ever loaded."""
        return None

    def set_html(self, text: str) -> None:
        self.document().setDefaultFont(self._theme.font("body"))
        self.setHtml(text)
        self._fit(force=True)

    def set_plain(self, text: str) -> None:
        self.document().setDefaultFont(self._theme.font("body"))
        self.setPlainText(text)
        self._fit(force=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the transcript scrolls, not the paragraph

    def sizeHint(self) -> QSize:
        return QSize(200, max(0, self._fitted[1]))

    def _fit(self, *, force: bool = False) -> None:
        width = self.viewport().width()
        if width <= 0 or (width == self._fitted[0] and not force):
            return
        self.document().setTextWidth(width)
        height = int(self.document().size().height() + 0.999)
        self._fitted = (width, height)
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)

    @Slot(QUrl)
    def _on_link(self, url: QUrl) -> None:
        if url.scheme() in ("http", "https", "mailto"):
            QDesktopServices.openUrl(url)


class ProseBlock(TextBlock):
    """Markdown without fences."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._source = ""

    def set_source(self, source: str) -> None:
        if source == self._source:
            return
        self._source = source
        self.refresh()

    def refresh(self) -> None:
        """Again in the colours of now."""
        mono = self._theme.font("mono").family()
        self.set_html(markdown.prose_html(self._source, Colors(self._theme), mono))  # type: ignore[arg-type]


class CodeBlock(QFrame):
    """Code in a well: language and Copy above, long lines scroll."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._source, self._language = "", ""
        self.setProperty("kind", "well")
        whole = column(self, space=0)
        head = row(space=theme.space.s, margins=(12, 4, 6, 0))
        self._name = label("", "meta")
        self._copy = Button(theme, self.tr("Copy"), kind="link")
        self._copy.setAccessibleName(self.tr("Copy code"))
        self._copy.clicked.connect(self._on_copy)
        head.addWidget(self._name)
        head.addStretch(1)
        head.addWidget(self._copy)
        whole.addLayout(head)
        self._text = _CodeText(theme)
        whole.addWidget(self._text)
        self._restore = QTimer(self)
        self._restore.setSingleShot(True)
        self._restore.setInterval(1500)
        self._restore.timeout.connect(self._on_restore)

    def set_source(self, source: str, language: str) -> None:
        if (source, language) == (self._source, self._language):
            return
        self._source, self._language = source, language
        self._name.setText(language or self.tr("text"))
        self.refresh()

    def refresh(self) -> None:
        is_dark = self._theme.name == "dark"
        body = markdown.code_html(
            self._source,
            self._language,
            Colors(self._theme),  # type: ignore[arg-type]
            is_dark=is_dark,
        )
        self._text.show_code(body, self._source)

    @Slot()
    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._source.rstrip("\n"))
        self._copy.setText(self.tr("Copied"))
        self._restore.start()

    @Slot()
    def _on_restore(self) -> None:
        self._copy.setText(self.tr("Copy"))
        self._copy.setAccessibleName(self.tr("Copy code"))


class _CodeText(QTextBrowser):
    """Code does not wrap; it is as high as its lines, at most 480 px, then it scrolls."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setProperty("kind", "bare")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setLineWrapMode(QTextBrowser.LineWrapMode.NoWrap)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.document().setDocumentMargin(12)

    def loadResource(self, _kind: int, _name: QUrl | str) -> Any:
        return None

    def show_code(self, body: str, source: str) -> None:
        font = self._theme.font("mono")
        self.document().setDefaultFont(font)
        color = self._theme.hex("text")
        self.setHtml(
            f'<pre style=\'margin:0;font-family:"{font.family()}";font-size:{font.pixelSize()}px;'
            f"color:{color}'>{body}</pre>"
        )
        lines = source.rstrip("\n").count("\n") + 1
        wanted = int(self.document().size().height()) if lines < 40 else 480
        self.setFixedHeight(min(480, wanted + 14))

    def wheelEvent(self, event: QWheelEvent) -> None:
        bar = self.verticalScrollBar()
        if bar.maximum() > 0 and self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ReasoningBlock(QFrame):
    """What the model thought, folded away; its head says how long it took."""

    toggled = Signal(bool)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._source = ""
        self._is_open = False
        whole = column(self, space=theme.space.xs)
        head = row(space=theme.space.xs)
        self.button = Button(theme, "", kind="ghost", icon="chevron-right")
        self.button.clicked.connect(self._on_clicked)
        head.addWidget(self.button)
        head.addStretch(1)
        whole.addLayout(head)
        self._text = TextBlock(theme)
        self._text.setVisible(False)
        inner = row(margins=(20, 0, 0, 4))
        inner.addWidget(self._text)
        whole.addLayout(inner)

    def set_reasoning(self, source: str, seconds: float, *, is_running: bool) -> None:
        if is_running:
            head = self.tr("Thinking …")
        elif seconds > 0:
            head = self.tr("Thought for {time}").format(time=duration(seconds))
        else:
            head = self.tr("Thoughts")
        self.button.setText(head)
        if source != self._source:
            self._source = source
            if self._is_open:
                self.refresh()

    def refresh(self) -> None:
        from html import escape

        body = escape(self._source.strip()).replace("\n", "<br/>")
        self._text.set_html(f"<div style='color:{self._theme.hex('muted')}'>{body}</div>")

    @Slot()
    def _on_clicked(self) -> None:
        self._is_open = not self._is_open
        self.button.set_icon("chevron-down" if self._is_open else "chevron-right")
        self._text.setVisible(self._is_open)
        if self._is_open:
            self.refresh()
        self.toggled.emit(self._is_open)


class EditBox(QFrame):
    """A sent message being changed before it is sent again."""

    accepted = Signal(str)
    rejected = Signal()

    def __init__(self, theme: Theme, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        whole = column(self, space=theme.space.s)
        self.edit = QPlainTextEdit(text)
        self.edit.setAccessibleName(self.tr("Edit message"))
        self.edit.setFixedHeight(min(220, 40 + 20 * (text.count("\n") + 2)))
        whole.addWidget(self.edit)
        buttons = row(space=theme.space.s)
        buttons.addStretch(1)
        cancel = Button(theme, self.tr("Cancel"))
        cancel.clicked.connect(self.rejected)
        send = Button(theme, self.tr("Send again"), kind="primary")
        send.clicked.connect(self._on_send)
        buttons.addWidget(cancel)
        buttons.addWidget(send)
        whole.addLayout(buttons)

    @Slot()
    def _on_send(self) -> None:
        text = self.edit.toPlainText().strip()
        if text:
            self.accepted.emit(text)


__all__ = ["CodeBlock", "EditBox", "IconButton", "ProseBlock", "ReasoningBlock", "TextBlock"]
