"""Tinted copies of the icons the style sheet names by file; `python -m tests.ui.theme_assets` writes them."""

from __future__ import annotations

from pathlib import Path

from genai_desktop.ui.assets import asset
from genai_desktop.ui.icons import svg_source
from genai_desktop.ui.theme import tokens

NAMED = {
    "chevron-up.svg": ("chevron-up", "muted"),
    "chevron-down.svg": ("chevron-down", "muted"),
    "chevron-right.svg": ("chevron-right", "muted"),
    "chevron-up-off.svg": ("chevron-up", "border"),
    "chevron-down-off.svg": ("chevron-down", "border"),
    "check.svg": ("check", "on_accent"),
    "check-text.svg": ("check", "text"),
    "minus.svg": ("minus", "on_accent"),
}


def wanted() -> dict[Path, str]:
    """What every tinted file must hold."""
    return {
        asset("theme", name) / file: svg_source(icon).replace("currentColor", tokens()[name][token])
        for name in ("light", "dark")
        for file, (icon, token) in NAMED.items()
    }


def write() -> None:
    for path, text in wanted().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
