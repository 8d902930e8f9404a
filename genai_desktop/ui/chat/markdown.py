"""Markdown to blocks: prose as HTML, code by itself. Nothing remote, no raw HTML, only http(s) links."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_HIGHLIGHTED = 40_000  # characters; colouring more costs frames and helps nobody


@dataclass(frozen=True)
class Block:
    """language is None for prose; text: the source of the block; end: where it ends in the whole source."""

    text: str
    language: str | None
    end: int

    @property
    def is_code(self) -> bool:
        return self.language is not None


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.disable(["image"])  # no picture of a reply is ever fetched
    parser.validateLink = lambda url: url.lower().startswith(("http://", "https://", "mailto:"))  # type: ignore[method-assign]
    return parser


def split(source: str, offset: int = 0) -> list[Block]:
    """The blocks of `source` from `offset` on: top-level code fences alone, all between as one prose block.

    `end` of every block but the last is final: text that arrives later cannot change it.
    """
    text = source[offset:]
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    blocks: list[Block] = []
    prose_from = 0
    for token in _parser().parse(text):
        if token.level != 0 or token.type not in ("fence", "code_block") or token.map is None:
            continue
        first, last = token.map
        if starts[first] > prose_from:
            blocks.append(Block(text[prose_from : starts[first]], None, offset + starts[first]))
        language = token.info.strip().split(" ")[0] if token.type == "fence" else ""
        blocks.append(Block(token.content, language, offset + starts[last]))
        prose_from = starts[last]
    if text[prose_from:].strip() or not blocks:
        blocks.append(Block(text[prose_from:], None, offset + len(text)))
    return blocks


def settled(source: str, offset: int) -> int:
    """How far the prose from `offset` on can no longer change: the start of its last top-level element.

    Lets a long reply be rendered piece by piece: what lies before is never parsed again.
    """
    text = source[offset:]
    tops = [t for t in _parser().parse(text) if t.level == 0 and t.map is not None and t.nesting >= 0]
    if len(tops) < 2 or tops[-1].map is None:
        return offset
    line = tops[-1].map[0]
    return offset + sum(len(part) for part in text.splitlines(keepends=True)[:line])


def prose_html(source: str, colors: Mapping[str, str], mono: str) -> str:
    """HTML that QTextDocument lays out; colours and the fixed font come from the theme."""
    body = _Renderer(colors, mono).render(_parser().parse(source))
    return f"<div style='color:{colors['text']}'>{body}</div>"


class _Renderer:
    """Token stream to the HTML subset of QTextDocument, with inline styles (it knows no classes)."""

    _HEADINGS = {"h1": 18, "h2": 16, "h3": 15, "h4": 14, "h5": 13, "h6": 13}

    def __init__(self, colors: Mapping[str, str], mono: str) -> None:
        self._colors = colors
        self._mono = mono

    def render(self, tokens: list[Token]) -> str:
        out: list[str] = []
        for token in tokens:
            if token.type == "inline":
                out.append(self._inline(token.children or []))
            elif token.type in ("fence", "code_block"):
                out.append(
                    f"<pre style='background:{self._colors['field']};font-family:\"{self._mono}\"'>"
                    f"{html.escape(token.content)}</pre>"
                )
            elif token.type == "hr":
                out.append("<hr/>")
            else:
                out.append(self._block(token))
        return "".join(out)

    def _block(self, token: Token) -> str:
        if token.hidden:  # the paragraph inside a tight list
            return ""
        tag = token.tag
        if token.nesting < 0:
            return f"</{tag}>"
        style = ""
        if tag in self._HEADINGS:
            style = f"font-size:{self._HEADINGS[tag]}px;font-weight:600;margin:10px 0 4px 0"
        elif tag == "p":
            style = "margin:0 0 8px 0"
        elif tag in ("ul", "ol"):
            style = "margin:0 0 8px 0;-qt-list-indent:1"
        elif tag == "li":
            style = "margin:0 0 2px 0"
        elif tag == "blockquote":
            style = f"margin:0 0 8px 12px;color:{self._colors['muted']}"
        elif tag == "table":
            return (
                "<table cellspacing='0' cellpadding='6' border='1' style='border-style:solid;"
                f"border-collapse:collapse;margin:4px 0 8px 0;border-color:{self._colors['border']}'>"
            )
        elif tag == "th":
            style = "font-weight:600"
        return f"<{tag} style='{style}'>" if style else f"<{tag}>"

    def _inline(self, tokens: list[Token]) -> str:
        out: list[str] = []
        for token in tokens:
            kind = token.type
            if kind == "text":
                out.append(html.escape(token.content))
            elif kind == "code_inline":
                out.append(
                    f"<span style='font-family:\"{self._mono}\";background:{self._colors['field']}'>"
                    f"{html.escape(token.content)}</span>"
                )
            elif kind in ("softbreak", "hardbreak"):
                out.append("<br/>")
            elif kind == "link_open":
                href = html.escape(str(token.attrGet("href") or ""), quote=True)
                out.append(f"<a href='{href}' style='color:{self._colors['accent']}'>")
            elif token.tag:
                tag = {"strong": "b", "em": "i"}.get(token.tag, token.tag)
                out.append(f"</{tag}>" if token.nesting < 0 else f"<{tag}>")
            else:
                out.append(html.escape(token.content))
        return "".join(out)


def code_html(source: str, language: str, colors: Mapping[str, str], *, is_dark: bool) -> str:
    """Coloured code as HTML lines; plain when the language is unknown or the text is long."""
    lexer = _lexer(language) if len(source) <= MAX_HIGHLIGHTED else None
    if lexer is None:
        return html.escape(source)
    from pygments import lex
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    palette = (
        (Comment, colors["muted"]),
        (Keyword, colors["gpu"] if is_dark else "#7A3FD0"),
        (String, colors["ok"]),
        (Number, colors["warn"]),
        (Name.Function, colors["accent"]),
        (Name.Class, colors["accent"]),
        (Name.Builtin, colors["llm"] if is_dark else "#1F6FB8"),
        (Operator.Word, colors["gpu"] if is_dark else "#7A3FD0"),
    )
    out: list[str] = []
    for token, value in lex(source, lexer):
        kind: Any = token
        text = html.escape(value)
        color = next((c for parent, c in palette if kind in parent), None)
        out.append(f"<span style='color:{color}'>{text}</span>" if color and text.strip() else text)
    return "".join(out).rstrip("\n")


@lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None
