"""A second language without build tools: .ts files are read as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QLocale, QTranslator

from genai_desktop.ui.assets import asset

if TYPE_CHECKING:
    from pathlib import Path

    from PySide6.QtCore import QObject

LANGUAGES: dict[str, str] = {"en": "English", "de": "Deutsch"}


class TsTranslator(QTranslator):
    """Looks a text up by itself; the class it comes from matters only where two translations differ."""

    def __init__(self, path: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._by_context: dict[tuple[str, str], str] = {}
        self._by_text: dict[str, str] = {}
        for context, source, translation in read_ts(path):
            self._by_context[(context, source)] = translation
            self._by_text.setdefault(source, translation)

    def translate(
        self, context: str, source_text: str, _disambiguation: str | None = None, _n: int = -1
    ) -> str | None:
        """None is the null string that sends Qt on to the original; an empty str would be shown."""
        return self._by_context.get((context, source_text)) or self._by_text.get(source_text)

    def isEmpty(self) -> bool:
        return not self._by_text


def read_ts(path: Path) -> list[tuple[str, str, str]]:
    """(context, source, translation) of every finished message."""
    from xml.etree import ElementTree  # our own file, as trusted as our code

    found: list[tuple[str, str, str]] = []
    for context in ElementTree.parse(path).getroot().iter("context"):  # noqa: S314
        name = context.findtext("name") or ""
        for message in context.iter("message"):
            source, translation = message.findtext("source"), message.find("translation")
            if source and translation is not None and translation.text and translation.get("type") is None:
                found.append((name, source, translation.text))
    return found


def install(language: str) -> QTranslator | None:
    """Speak this language ("" is the system's) if there is a file for it; English needs none."""
    app = QCoreApplication.instance()
    code = language or QLocale.system().name().partition("_")[0]
    path = asset("translations", f"genai_{code}.ts")
    if app is None or code == "en" or not path.is_file():
        return None
    translator = TsTranslator(path, app)
    app.installTranslator(translator)
    return translator
