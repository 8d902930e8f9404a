"""A conversation as the request the model server takes, and what can be continued."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from genai_desktop.core.chat import ChatMessage, Conversation
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.services.pictures import data_url

Continuation = Literal["exact", "trimmed", "impossible"]
_TAIL = 200  # characters of the end that are compared


def clean_text(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a pair become one character, a lone half U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


async def request_messages(system_prompt: str, history: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Messages of the request, oldest first.

    Replies that brought nothing are left out, and user messages that then follow each other are joined: many
    templates refuse two turns of one role. Thoughts are not repeated. A picture that is gone leaves a note.
    """
    messages: list[dict[str, Any]] = []
    if system_prompt.strip():
        messages.append({"role": "system", "content": system_prompt})
    for message in history:
        if not message.content and not message.images:
            continue
        content = await _content(message)
        if messages and messages[-1]["role"] == message.role:
            messages[-1]["content"] = _join(messages[-1]["content"], content)
        else:
            messages.append({"role": message.role, "content": content})
    return messages


def unfinished(content: str, reasoning: str) -> dict[str, Any]:
    """The last message of a request that continues a reply."""
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if reasoning:
        message["reasoning_content"] = reasoning
    return message


def continuation(prompt: str, content: str, reasoning: str) -> Continuation:
    """Whether a prompt the template made ends with what was said so far.

    Templates may drop the thought, close the turn, or strip white space at the end ("trimmed").
    """
    said = (content or reasoning)[-_TAIL:]
    if prompt.endswith(said):
        return "exact"
    return "trimmed" if said.strip() and prompt.endswith(said.rstrip()) else "impossible"


def reply_to_replace(conversation: Conversation, identifier: str) -> str | None:
    """Id of the reply a new version is made of; None when the last message is the user's and has none yet."""
    messages = conversation.messages
    if identifier == conversation.summary.id:
        index = len(messages) - 1
    else:
        index = next((i for i, message in enumerate(messages) if message.id == identifier), -1)
    if index < 0:
        raise InvalidInputError("There is nothing to regenerate.", remedy="Send a message first.")
    if messages[index].role == "assistant":
        return messages[index].id
    return messages[index + 1].id if index + 1 < len(messages) else None


def reply_to_continue(conversation: Conversation, message_id: str) -> ChatMessage:
    """The last message when it is this one, a reply, and says something; raises InvalidInputError."""
    last = conversation.messages[-1] if conversation.messages else None
    if (
        last is None
        or last.id != message_id
        or last.role != "assistant"
        or not (last.content or last.reasoning)
    ):
        raise InvalidInputError("Only the last reply of a conversation can be continued.")
    return last


async def _content(message: ChatMessage) -> Any:
    if not message.images:
        return message.content
    parts: list[dict[str, Any]] = [{"type": "text", "text": message.content}] if message.content else []
    for path in message.images:
        try:
            url = await asyncio.to_thread(data_url, path)
        except InvalidInputError as error:
            parts.append({"type": "text", "text": f"[{error.message}]"})
        else:
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def _join(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), *_parts(second)]


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
