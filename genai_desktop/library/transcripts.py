"""A conversation as a file to keep or to pass on."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from genai_desktop.core.chat import ChatMessage, Conversation
from genai_desktop.library.atomic import write_atomic

_NAMES = {"user": "You", "assistant": "Assistant", "system": "System"}


def export(conversation: Conversation, path: Path) -> None:
    """Write it to `path`: JSON when the name ends so, Markdown otherwise. Raises StorageError. Blocking."""
    text = to_json(conversation) if path.suffix.lower() == ".json" else to_markdown(conversation)
    write_atomic(path, text.encode("utf-8", "replace"), mode=0o644, doing="export the conversation to")


def to_json(conversation: Conversation) -> str:
    """Everything there is of the visible branch, times in seconds since the epoch."""
    values = {"format": "genai-desktop-conversation", "version": 1, **asdict(conversation)}
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def to_markdown(conversation: Conversation) -> str:
    """To read; thoughts are folded away."""
    blocks = [f"# {conversation.summary.title or 'Conversation'}"]
    if conversation.system_prompt:
        blocks.append("> " + conversation.system_prompt.replace("\n", "\n> "))
    blocks += [_block(message) for message in conversation.messages]
    return "\n\n".join(blocks) + "\n"


def _block(message: ChatMessage) -> str:
    stamp = datetime.fromtimestamp(message.created_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"## {_NAMES[message.role]} ({stamp})"]
    if message.reasoning:
        lines.append(f"<details><summary>Reasoning</summary>\n\n{message.reasoning.strip()}\n\n</details>")
    lines += [f"![picture]({path})" for path in message.images]
    if message.content:
        lines.append(message.content)
    if message.error:
        lines.append(f"*{message.error}*")
    return "\n\n".join(lines)
