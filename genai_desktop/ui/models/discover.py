"""How a new model gets here. For now: by its address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QLineEdit, QScrollArea, QWidget

from genai_desktop.core.models import DownloadConfig
from genai_desktop.ui.widgets.buttons import Button
from genai_desktop.ui.widgets.card import Card, Icon
from genai_desktop.ui.widgets.field import Field
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.segmented import SegmentedControl

if TYPE_CHECKING:
    from typing import Any

    from genai_desktop.ui.theme import Theme

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")


class DiscoverView(QWidget):
    """A form that says what is wrong while one types."""

    download_requested = Signal(object)  # DownloadConfig

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        space = theme.space
        outer = column(self)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        outer.addWidget(scroll)
        inner = QWidget()
        inner.setProperty("kind", "page")
        scroll.setWidget(inner)
        whole = column(inner, space=space.m)
        card = Card(theme, self.tr("Download by address"), icon="link")
        card.setMaximumWidth(theme.px(760))
        card.body.setSpacing(space.m)
        whole.addWidget(card)
        self._build_form(theme)
        self.start = Button(
            theme, self.tr("Download"), kind="primary", icon="download", name="models.download"
        )
        self.start.setEnabled(False)
        for part in (self.url_field, self.name_field):
            card.body.addWidget(part)
        card.body.addWidget(label(self.tr("Kind"), "meta"))
        card.body.addWidget(self.kind)
        card.body.addWidget(self.digest_field)
        foot = row(space=space.s, margins=(0, space.s, 0, 0))
        foot.addWidget(self.start)
        foot.addStretch(1)
        card.body.addLayout(foot)
        hint = QWidget()
        hint.setMaximumWidth(theme.px(760))
        note = row(hint, space=space.s)
        note.addWidget(Icon(theme, "info", "muted", 18), 0, Qt.AlignmentFlag.AlignTop)
        sentence = self.tr(
            "Searching model hubs is not part of this version. Open a hub in your browser, copy the address "
            "of a file, and paste it above. Downloads go on after an interruption and are checked before "
            "they are listed."
        )
        words = label(sentence, "muted", wrap=True)
        note.addWidget(words, 1)
        whole.addWidget(hint)
        whole.addStretch(1)
        self._named_by_person = False
        self.url.textChanged.connect(self._on_url)
        self.name.textEdited.connect(self._on_named)
        self.digest.textChanged.connect(self._check)
        self.url.returnPressed.connect(self._on_start)
        self.start.clicked.connect(self._on_start)

    def _build_form(self, theme: Theme) -> None:
        self.url = QLineEdit()
        self.url.setObjectName("models.url")
        self.url.setPlaceholderText("https://huggingface.co/…/resolve/main/model-Q4_K_M.gguf")
        self.url_field = Field(
            theme, self.tr("Address"), self.url, self.tr("Of the file itself: a .gguf or .safetensors file.")
        )
        self.name = QLineEdit()
        self.name.setObjectName("models.url.name")
        self.name_field = Field(theme, self.tr("Name"), self.name, self.tr("How it is listed."))
        self.kind = SegmentedControl(
            [("llm", self.tr("Language model")), ("diffusion", self.tr("Image model"))],
            self.tr("Kind of model"),
        )
        self.kind.setObjectName("models.url.kind")
        self.digest = QLineEdit()
        self.digest.setObjectName("models.url.sha256")
        self.digest.setPlaceholderText(self.tr("64 hexadecimal digits"))
        self.digest_field = Field(
            theme,
            self.tr("SHA-256 (optional)"),
            self.digest,
            self.tr("With it every byte is checked while it arrives."),
        )

    def config(self) -> DownloadConfig | None:
        """What the form says, or None while something is wrong."""
        url, digest = self.url.text().strip(), self._clean_digest()
        if self._url_problem(url) or (digest and not _DIGEST.fullmatch(digest)) or not url:
            return None
        return DownloadConfig(
            name=self.name.text().strip() or suggested_name(url),
            type="llm" if self.kind.current == "llm" else "diffusion",
            url=url,
            checksum=f"sha256:{digest.lower()}" if digest else "",
        )

    def ui_state(self) -> dict[str, Any]:
        return {"url": self.url.text(), "name": self.name.text(), "kind": self.kind.current}

    def restore_ui(self, values: dict[str, Any]) -> None:
        for edit, key in ((self.url, "url"), (self.name, "name")):
            if isinstance(values.get(key), str):
                edit.setText(values[key])
        if isinstance(values.get("kind"), str):
            self.kind.choose(values["kind"], quietly=True)

    def clear(self) -> None:
        for edit in (self.url, self.name, self.digest):
            edit.clear()
        self._named_by_person = False

    def _clean_digest(self) -> str:
        return self.digest.text().strip().removeprefix("sha256:")

    def _url_problem(self, url: str) -> str:
        if not url:
            return ""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return self.tr("Only complete http and https addresses can be downloaded.")
        path = parts.path.lower()
        if path.endswith(_PICKLES):
            return self.tr(
                "Pickle files can run foreign code. Look for a .safetensors or .gguf file instead."
            )
        if "huggingface.co" in parts.netloc and "/blob/" in path:
            return self.tr(
                "This is the page about the file. Use its download address, with /resolve/ instead of /blob/."
            )
        return ""

    @Slot()
    def _on_named(self) -> None:
        self._named_by_person = bool(self.name.text())

    @Slot()
    def _on_url(self) -> None:
        url = self.url.text().strip()
        if not self._named_by_person:
            self.name.setText("" if self._url_problem(url) else suggested_name(url))
        self._check()

    @Slot()
    def _check(self) -> None:
        self.url_field.set_error(self._url_problem(self.url.text().strip()))
        digest = self._clean_digest()
        wrong = bool(digest) and not _DIGEST.fullmatch(digest)
        self.digest_field.set_error(
            self.tr("{count} characters; a SHA-256 has 64 hexadecimal digits.").format(count=len(digest))
            if wrong
            else ""
        )
        self.start.setEnabled(self.config() is not None)

    @Slot()
    def _on_start(self) -> None:
        config = self.config()
        if config is not None:
            self.download_requested.emit(config)


def suggested_name(url: str) -> str:
    """The file's name without its ending."""
    file = unquote(urlsplit(url).path).rpartition("/")[2]
    for ending in (".gguf", ".safetensors", ".sft"):
        file = file.removesuffix(ending)
    return file
