"""A conversation's title, made of its first message."""

from __future__ import annotations

import re
import unicodedata

TITLE_LENGTH = 60
_ZWJ = "\u200d"


def title_of(text: str) -> str:
    """The first line that says something, without marks of Markdown, cut between words; empty when there is
    none.

    A word longer than a title is cut between characters as people see them: never inside an emoji of several
    parts.
    """
    for line in text.splitlines():
        plain = re.sub(r"^[\s#>*+\-`~|]+|[*_`~]{2,}|`", "", line)
        plain = "".join(char if unicodedata.category(char) not in ("Cc", "Cs") else " " for char in plain)
        plain = " ".join(plain.split())
        if plain:
            return _shorten(plain)
    return ""


def _shorten(text: str) -> str:
    if len(text) <= TITLE_LENGTH:
        return text
    cut = text.rfind(" ", TITLE_LENGTH // 2, TITLE_LENGTH)
    if cut < 0:
        cut = TITLE_LENGTH - 1
        while cut > 1 and _joins(text, cut):
            cut -= 1
    return text[:cut].rstrip(" ,;:.-") + "…"


def _joins(text: str, index: int) -> bool:
    """Whether the characters before and at `index` belong together."""
    before, after = text[index - 1], text[index]
    if _ZWJ in (before, after) or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # skin tones
        return True
    if not (_is_flag_letter(before) and _is_flag_letter(after)):
        return False
    run = index
    while run > 0 and _is_flag_letter(text[run - 1]):
        run -= 1
    return (index - run) % 2 == 1  # flags are pairs of letters


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
