"""Conversations on disk: messages in branches, drafts, search, a bin, and replies that survive a crash as
they stream.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from genai_desktop.core.chat import ChatMessage, Conversation, ConversationSummary, MessageState
from genai_desktop.core.errors import InvalidInputError
from genai_desktop.library import conversation_rows as rows
from genai_desktop.library.database import Database

INTERRUPTED = "The program ended before this reply was complete."
NEVER_SENT = "The program ended before this message was sent."


def new_id() -> str:
    """An id for a conversation or a message."""
    return uuid.uuid4().hex


def process_token() -> str:
    """Names this process beyond its own life: a process id alone is given to somebody else later."""
    import psutil

    process = psutil.Process()
    return f"{process.pid}:{process.create_time():.2f}"


def is_process_alive(token: str) -> bool:
    """Whether the process of a `process_token` still runs."""
    import psutil

    pid, _, created = token.partition(":")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == created
    except (psutil.Error, ValueError):
        return False


class ConversationStore:
    """The records. Every change is one transaction that is on disk when the call returns.

    Messages form a tree: siblings are versions of each other, and a conversation shows the branch that ends
    with its leaf. Deleting moves a conversation to the bin until `purge`.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        owner: str | None = None,
        is_alive: Callable[[str], bool] = is_process_alive,
    ) -> None:
        self._database = database
        self._clock = clock
        self._owner = owner if owner is not None else process_token()
        self._is_alive = is_alive

    # conversations ----------------------------------------------------------------------------------------

    async def list(self, query: str = "") -> tuple[ConversationSummary, ...]:
        """Pinned first, then newest first; with a query only those that hold all its words."""
        return await self._database.read(lambda c: rows.search(c, query))

    async def create(self, title: str = "", system_prompt: str = "") -> Conversation:
        now = self._clock()
        one = ConversationSummary(id=new_id(), title=title, updated_at=now, created_at=now)

        def work(c: sqlite3.Connection) -> None:
            c.execute(
                "INSERT INTO conversations (id, title, system_prompt, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (one.id, title, system_prompt, now, now),
            )

        await self._database.write(work)
        return Conversation(one, system_prompt=system_prompt)

    async def get(self, conversation_id: str) -> Conversation:
        """The whole visible branch. Raises NotFoundError, also for one in the bin."""

        def work(c: sqlite3.Connection) -> Conversation:
            row = rows.conversation_row(c, conversation_id)
            return Conversation(
                rows.summary(c, conversation_id),
                rows.branch(c, row["leaf_id"]),
                system_prompt=row["system_prompt"],
                draft=row["draft"],
            )

        return await self._database.read(work)

    async def rename(self, conversation_id: str, title: str) -> None:
        await self._set(conversation_id, "title", title)

    async def set_system_prompt(self, conversation_id: str, text: str) -> None:
        await self._set(conversation_id, "system_prompt", text)

    async def set_draft(self, conversation_id: str, text: str) -> None:
        await self._set(conversation_id, "draft", text)

    async def pin(self, conversation_id: str, is_pinned: bool) -> None:
        await self._set(conversation_id, "is_pinned", int(is_pinned))

    async def move(self, conversation_id: str, folder: str) -> None:
        """Into a folder of the list; an empty name takes it out."""
        await self._set(conversation_id, "folder", folder)

    async def delete(self, conversation_id: str) -> None:
        """To the bin."""
        await self._set(conversation_id, "deleted_at", self._clock())

    async def undo_delete(self, conversation_id: str) -> None:
        """Out of the bin; nothing happens when it is not in it."""
        await self._database.write(
            lambda c: (
                c.execute(
                    "UPDATE conversations SET deleted_at = NULL WHERE id = ?", (conversation_id,)
                ).rowcount
            )
        )

    async def purge(self, deleted_before: float) -> tuple[str, ...]:
        """Empty the bin of what was deleted before a time; the ids that are gone for good."""

        def work(c: sqlite3.Connection) -> tuple[str, ...]:
            found = c.execute(
                "SELECT id FROM conversations WHERE deleted_at < ?", (deleted_before,)
            ).fetchall()
            c.execute("DELETE FROM conversations WHERE deleted_at < ?", (deleted_before,))
            return tuple(row[0] for row in found)

        return await self._database.write(work)

    async def _set(self, conversation_id: str, column: str, value: Any) -> None:
        def work(c: sqlite3.Connection) -> None:
            rows.conversation_row(c, conversation_id)
            c.execute(f"UPDATE conversations SET {column} = ? WHERE id = ?", (value, conversation_id))  # noqa: S608 - our column

        await self._database.write(work)

    # messages ---------------------------------------------------------------------------------------------

    async def get_message(self, message_id: str) -> ChatMessage:
        """Raises NotFoundError."""
        return await self._database.read(lambda c: rows.to_message(c, rows.message_row(c, message_id)))

    async def history(self, message_id: str) -> Conversation:
        """The conversation as it was before this message."""

        def work(c: sqlite3.Connection) -> Conversation:
            message = rows.message_row(c, message_id)
            row = rows.conversation_row(c, message["conversation_id"])
            return Conversation(
                rows.summary(c, row["id"]),
                rows.branch(c, message["parent_id"]),
                system_prompt=row["system_prompt"],
            )

        return await self._database.read(work)

    async def versions(self, message_id: str) -> tuple[ChatMessage, ...]:
        """The message and its siblings, oldest first."""

        def work(c: sqlite3.Connection) -> tuple[ChatMessage, ...]:
            row = rows.message_row(c, message_id)
            found = c.execute(
                "SELECT * FROM messages WHERE conversation_id = ? AND parent_id IS ? AND role = ?"
                " ORDER BY seq",
                (row["conversation_id"], row["parent_id"], row["role"]),
            ).fetchall()
            return tuple(rows.to_message(c, one) for one in found)

        return await self._database.read(work)

    async def select_version(self, message_id: str) -> None:
        """Show the branch this message is on, down to its newest end."""

        def work(c: sqlite3.Connection) -> None:
            row = rows.message_row(c, message_id)
            leaf: str = row["id"]
            while True:
                child = c.execute(
                    "SELECT id FROM messages WHERE conversation_id = ? AND parent_id = ?"
                    " ORDER BY seq DESC LIMIT 1",
                    (row["conversation_id"], leaf),
                ).fetchone()
                if child is None:
                    break
                leaf = child["id"]
            c.execute("UPDATE conversations SET leaf_id = ? WHERE id = ?", (leaf, row["conversation_id"]))

        await self._database.write(work)

    async def append(self, conversation_id: str, *messages: ChatMessage, title: str = "") -> None:
        """Add messages at the end of the visible branch. The draft was sent: it is emptied.

        title: for a conversation that has none yet.
        """

        def work(c: sqlite3.Connection) -> None:
            row = rows.conversation_row(c, conversation_id)
            self._insert(c, conversation_id, row["leaf_id"], messages)
            c.execute(
                "UPDATE conversations SET draft = '', title = CASE title WHEN '' THEN ? ELSE title END"
                " WHERE id = ?",
                (title, conversation_id),
            )

        await self._database.write(work)

    async def branch(self, message_id: str, *messages: ChatMessage) -> None:
        """Add messages as a new version beside `message_id`, and show that branch."""

        def work(c: sqlite3.Connection) -> None:
            row = rows.message_row(c, message_id)
            rows.conversation_row(c, row["conversation_id"])
            self._insert(c, row["conversation_id"], row["parent_id"], messages)

        await self._database.write(work)

    def _insert(
        self,
        c: sqlite3.Connection,
        conversation_id: str,
        parent_id: str | None,
        messages: tuple[ChatMessage, ...],
    ) -> None:
        now = self._clock()
        depth = rows.message_row(c, parent_id)["depth"] if parent_id is not None else 0
        for message in messages:
            if message.conversation_id != conversation_id:
                raise InvalidInputError("A message belongs to one conversation only.")
            depth += 1
            c.execute(
                "INSERT INTO messages (id, conversation_id, parent_id, depth, role, content, reasoning,"
                " state, owner, model_id, extra, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    message.id, conversation_id, parent_id, depth, message.role, message.content,
                    message.reasoning, message.state, self._owner_of(message.state), message.model_id,
                    rows.to_extra(message), message.created_at, now,
                ),
            )  # fmt: skip
            parent_id = message.id
        c.execute(
            "UPDATE conversations SET leaf_id = ?, updated_at = ? WHERE id = ?",
            (parent_id, now, conversation_id),
        )

    def _owner_of(self, state: MessageState) -> str:
        return self._owner if state in ("streaming", "waiting") else ""

    # a reply as it streams --------------------------------------------------------------------------------

    async def append_part(self, message_id: str, content: str, reasoning: str) -> None:
        """What arrived since the last call; costs the same however long the reply has become."""
        await self._database.write(
            lambda c: (
                c.execute(
                    # a reply whose conversation was removed for good meanwhile has nowhere to go
                    "INSERT INTO message_parts (message_id, content, reasoning)"
                    " SELECT id, ?, ? FROM messages WHERE id = ?",
                    (content, reasoning, message_id),
                ).rowcount
            )
        )

    async def save(self, *messages: ChatMessage) -> None:
        """Store messages whole, as they are now; what was appended in parts is replaced by it."""
        now = self._clock()

        def work(c: sqlite3.Connection) -> None:
            for message in messages:
                c.execute("DELETE FROM message_parts WHERE message_id = ?", (message.id,))
                c.execute(
                    "UPDATE messages SET content = ?, reasoning = ?, state = ?, owner = ?, model_id = ?,"
                    " extra = ?, updated_at = ? WHERE id = ?",
                    (
                        message.content, message.reasoning, message.state, self._owner_of(message.state),
                        message.model_id, rows.to_extra(message), now, message.id,
                    ),
                )  # fmt: skip
                c.execute(
                    "UPDATE conversations SET updated_at = max(updated_at, ?) WHERE id = ?",
                    (now, message.conversation_id),
                )

        await self._database.write(work)

    async def recover(self) -> int:
        """After a crash: replies left streaming or waiting by a process that is gone are "interrupted".

        Their text is what was stored, at most half a second before the end. Returns how many there were.
        """
        now = self._clock()

        def work(c: sqlite3.Connection) -> int:
            found = c.execute("SELECT * FROM messages WHERE state IN ('streaming', 'waiting')").fetchall()
            lost = [row for row in found if row["owner"] != self._owner and not self._is_alive(row["owner"])]
            for row in lost:
                message = rows.to_message(c, row)
                if row["role"] == "user":
                    message = replace(message, state="done")
                else:
                    was_sent = row["state"] == "streaming" or message.content or message.reasoning
                    message = replace(
                        message, state="interrupted", error=INTERRUPTED if was_sent else NEVER_SENT
                    )
                c.execute(
                    "UPDATE messages SET content = ?, reasoning = ?, state = ?, owner = '', extra = ?,"
                    " updated_at = ? WHERE id = ?",
                    (
                        message.content,
                        message.reasoning,
                        message.state,
                        rows.to_extra(message),
                        now,
                        message.id,
                    ),
                )
                c.execute("DELETE FROM message_parts WHERE message_id = ?", (message.id,))
            return sum(row["role"] != "user" for row in lost)

        return await self._database.write(work)
