"""Every text of the window, read from its sources: class (or module) and English text."""

from __future__ import annotations

import ast
from pathlib import Path

UI = Path(__file__).parents[2] / "genai_desktop" / "ui"


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _text_of(call: ast.Call) -> tuple[str, str] | None:
    """(context or "", text) of one call that translates."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("tr", "_tr") and len(call.args) == 1 and (text := _literal(call.args[0])) is not None:
        return "", text
    if name in ("translate", "tr") and len(call.args) == 2 and (text := _literal(call.args[1])) is not None:
        return _literal(call.args[0]) or "", text
    return None


def strings() -> list[tuple[str, str]]:
    """(context, text) without doubles, in order."""
    found: dict[tuple[str, str], None] = {}
    for path in sorted(UI.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            context = node.name if isinstance(node, ast.ClassDef) else path.stem
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and (said := _text_of(call)) is not None:
                    found[(said[0] or context, said[1])] = None
    return list(found)
