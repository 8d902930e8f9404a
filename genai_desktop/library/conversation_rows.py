"""Rows of the conversation tables as values, and the questions asked of them. All of it runs in the database
thread.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from genai_desktop.core.chat import ChatMessage, ConversationSummary, InferenceStats, ToolCall
from genai_desktop.core.errors import NotFoundError

# Scripts written without spaces: a word index does not find a word inside a sentence there.
_NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")

_SUMMARY = """
    SELECT c.id, c.title, c.updated_at, c.created_at, c.is_pinned, c.folder, coalesce(m.depth, 0) AS
    message_count FROM conversations c LEFT JOIN messages m ON m.id = c.leaf_id
"""
_PATH = """
    WITH RECURSIVE branch (seq, parent_id, depth) AS (
        SELECT seq, parent_id, depth FROM messages WHERE id = ?
        UNION ALL
        SELECT m.seq, m.parent_id, m.depth FROM messages m JOIN branch ON m.id = branch.parent_id
        WHERE m.depth < branch.depth  -- a damaged record could make a ring
    )
    SELECT messages.* FROM branch JOIN messages ON messages.seq = branch.seq
"""


def conversation_row(connection: sqlite3.Connection, conversation_id: str) -> sqlite3.Row:
    """The row of a conversation that is not in the bin; raises NotFoundError."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM conversations WHERE id = ? AND deleted_at IS NULL", (conversation_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "This conversation does not exist any more.",
            code="CONVERSATION_NOT_FOUND",
            remedy="Choose another one, or undo the deletion.",
        )
    return row


def message_row(connection: sqlite3.Connection, message_id: str) -> sqlite3.Row:
    """The row of a message; raises NotFoundError."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM messages WHERE id = ?", (message_id,)
    ).fetchone()
    if row is None:
        raise NotFoundError("This message does not exist any more.", code="MESSAGE_NOT_FOUND")
    return row


def summaries(connection: sqlite3.Connection) -> tuple[ConversationSummary, ...]:
    """Pinned first, then the newest."""
    rows = connection.execute(
        _SUMMARY + "WHERE c.deleted_at IS NULL ORDER BY c.is_pinned DESC, c.updated_at DESC, c.id"
    )
    return tuple(to_summary(row) for row in rows)


def summary(connection: sqlite3.Connection, conversation_id: str) -> ConversationSummary:
    row = connection.execute(_SUMMARY + "WHERE c.id = ?", (conversation_id,)).fetchone()
    return to_summary(row)


def branch(connection: sqlite3.Connection, leaf_id: str | None) -> tuple[ChatMessage, ...]:
    """The messages from the first one to `leaf_id`; of one that is streaming, what is stored of it so far."""
    if leaf_id is None:
        return ()
    found = connection.execute(_PATH, (leaf_id,)).fetchall()
    found.sort(key=lambda row: int(row["depth"]))
    return tuple(to_message(connection, row) for row in found)


def to_summary(row: sqlite3.Row) -> ConversationSummary:
    return ConversationSummary(
        id=row["id"],
        title=row["title"],
        updated_at=row["updated_at"],
        created_at=row["created_at"],
        is_pinned=bool(row["is_pinned"]),
        folder=row["folder"],
        message_count=row["message_count"],
    )


def to_message(connection: sqlite3.Connection, row: sqlite3.Row) -> ChatMessage:
    content, reasoning = row["content"], row["reasoning"]
    if row["state"] == "streaming":
        more_content, more_reasoning = parts(connection, row["id"])
        content, reasoning = content + more_content, reasoning + more_reasoning
    return ChatMessage(
        id=row["id"],
        conversation_id=row["conversation_id"],
        role=row["role"],
        content=content,
        reasoning=reasoning,
        state=row["state"],
        created_at=row["created_at"],
        model_id=row["model_id"],
        **_from_extra(row["extra"]),
    )


def parts(connection: sqlite3.Connection, message_id: str) -> tuple[str, str]:
    """What was appended to a streaming message since it began: content, reasoning."""
    rows = connection.execute(
        "SELECT content, reasoning FROM message_parts WHERE message_id = ? ORDER BY seq", (message_id,)
    ).fetchall()
    return "".join(row[0] for row in rows), "".join(row[1] for row in rows)


def to_extra(message: ChatMessage) -> str:
    """What has no column of its own, without the empty values."""
    values: dict[str, Any] = {
        "finish_reason": message.finish_reason,
        "error": message.error,
        "reasoning_seconds": message.reasoning_seconds,
        "images": list(message.images),
        "tool_calls": [asdict(call) for call in message.tool_calls],
        "stats": asdict(message.stats) if message.stats is not None else None,
    }
    return json.dumps({name: value for name, value in values.items() if value}, ensure_ascii=False)


def _from_extra(text: str) -> dict[str, Any]:
    """Keyword arguments of ChatMessage. A damaged record loses its extras, never the text."""
    if text == "{}":
        return {}
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(values, Mapping):
        return {}
    result: dict[str, Any] = {}
    for name, kind in (("finish_reason", str), ("error", str), ("reasoning_seconds", float)):
        if isinstance(values.get(name), kind):
            result[name] = values[name]
    try:
        result["images"] = tuple(str(path) for path in values.get("images", ()))
        result["tool_calls"] = tuple(ToolCall(**call) for call in values.get("tool_calls", ()))
        result["stats"] = InferenceStats(**values["stats"]) if values.get("stats") else None
    except TypeError:
        return {name: value for name, value in result.items() if isinstance(value, str | float)}
    return result


# search ---------------------------------------------------------------------------------------------------


def search(connection: sqlite3.Connection, query: str) -> tuple[ConversationSummary, ...]:
    """Conversations whose title, or one of whose messages, holds every word of `query`.

    Words match from their beginning, whatever the case and the accents; words with signs in them (C++, a
    path, an emoji) and words of scripts without spaces match anywhere.
    """
    words = query.split()
    if not words:
        return summaries(connection)
    found = _by_content(connection, words)
    folded = [_fold(word) for word in words]
    return tuple(
        one
        for one in summaries(connection)
        if one.id in found or all(word in _fold(one.title) for word in folded)
    )


def _by_content(connection: sqlite3.Connection, words: Iterable[str]) -> set[str]:
    indexed: list[str] = []
    conditions: list[str] = []
    values: list[str] = []
    for word in words:
        if word.isalnum() and not _has_no_spaces(word):
            indexed.append(f'"{word}"*')
        else:
            conditions.append("content LIKE ? ESCAPE '\\'")
            pattern = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            values.append(f"%{pattern}%")
    if indexed:
        conditions.insert(0, "seq IN (SELECT rowid FROM messages_fts WHERE messages_fts MATCH ?)")
        values.insert(0, " AND ".join(indexed))
    rows = connection.execute(
        f"SELECT DISTINCT conversation_id FROM messages WHERE {' AND '.join(conditions)}",  # noqa: S608 - no input in it
        values,
    )
    return {row[0] for row in rows}


def _has_no_spaces(word: str) -> bool:
    return any(unicodedata.name(char, "").startswith(_NO_SPACES) for char in word if ord(char) > 0xE00)


def _fold(text: str) -> str:
    return "".join(
        char for char in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(char)
    )
