"""Colours that can be read, icons that exist, and a switch that works while the window is open."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication, QPushButton
from pytestqt.qtbot import QtBot

from genai_desktop.core.settings import Settings
from genai_desktop.ui.assets import asset
from genai_desktop.ui.theme import Theme, tokens
from tests.ui.theme_assets import wanted

UI = Path(__file__).parents[2] / "genai_desktop" / "ui"
PAIRS = [
    (name, front, back)
    for name in ("light", "dark")
    for front, backs in tokens()["contrast"].items()
    for back in backs
]


def luminance(color: QColor) -> float:
    parts = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in (color.redF(), color.greenF(), color.blueF())
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(("name", "front", "back"), PAIRS)
def test_text_has_enough_contrast(name: str, front: str, back: str) -> None:
    lights = sorted(luminance(QColor(tokens()[name][token])) for token in (front, back))
    assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 4.5


def test_both_themes_have_the_same_tokens() -> None:
    assert set(tokens()["light"]) == set(tokens()["dark"])


def test_every_text_colour_of_the_style_sheet_is_in_the_contrast_table() -> None:
    sheet = asset("theme", "app.qss").read_text(encoding="utf-8")
    used = set(re.findall(r"[ {;]color: \$(\w+)", sheet))
    assert used - {"disabled"} <= set(tokens()["contrast"])


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_style_sheet_knows_every_token(theme: Theme, mode: str) -> None:
    theme.set_mode(mode)  # type: ignore[arg-type]
    sheet = theme.style_sheet()
    assert "$" not in sheet
    for path in re.findall(r'url\("([^"]+)"\)', sheet):
        assert Path(path).is_file()


def test_named_images_are_tinted_from_the_icons() -> None:
    for path, text in wanted().items():
        assert path.read_text(encoding="utf-8") == text, f"run python -m tests.ui.theme_assets: {path}"


def test_every_icon_named_in_the_code_exists() -> None:
    names: set[str] = set()
    for file in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("icon", "action_icon"):
                names |= {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)}  # type: ignore[misc]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("dress", "tint", "set_icon"):
                index = 1 if getattr(node.func, "attr", "") == "dress" else 0
                if len(node.args) > index and isinstance(node.args[index], ast.Constant):
                    names.add(node.args[index].value)  # type: ignore[attr-defined]
    for name in names - {""}:
        assert asset("icons", f"{name}.svg").is_file(), name


def test_icons_have_one_colour() -> None:
    for path in asset("icons").glob("*.svg"):
        if path.stem != "app":
            assert "#" not in path.read_text(encoding="utf-8"), path.name


def test_switching_is_live(qtbot: QtBot, qapp: QApplication, theme: Theme) -> None:
    button = QPushButton()
    qtbot.addWidget(button)
    theme.dress(button, "play")
    before = button.icon().pixmap(16).toImage()
    with qtbot.waitSignal(theme.changed):
        theme.set_mode("light")
    assert theme.name == "light"
    assert qapp.palette().window().color() == theme.color("window")
    assert button.icon().pixmap(16).toImage() != before


def test_the_text_scale_reaches_fonts_and_sheet(theme: Theme) -> None:
    theme.set_text_scale(150)
    assert theme.font("body").pixelSize() == 20
    assert "font-size: 20px" in theme.style_sheet()
    theme.set_text_scale(400)
    assert theme.text_scale == 150


def test_a_deleted_button_does_not_stop_the_switch(qtbot: QtBot, theme: Theme) -> None:
    button = QPushButton()
    theme.dress(button, "play")
    with qtbot.waitSignal(button.destroyed):
        button.deleteLater()
    theme.set_mode("light")
    assert theme.name == "light"


def test_without_an_application_it_only_measures() -> None:
    assert Theme(None, Settings(theme="light")).hex("window") == "#F6F7F9"
