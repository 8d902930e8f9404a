"""Conversations on disk: branches, search, the bin, and what a crash leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_desktop.core.chat import ChatMessage, InferenceStats, ToolCall
from genai_desktop.core.errors import InvalidInputError, NotFoundError, StorageError
from genai_desktop.library.conversations import (
    INTERRUPTED,
    NEVER_SENT,
    ConversationStore,
    is_process_alive,
    new_id,
    process_token,
)
from genai_desktop.library.database import Database
from genai_desktop.library.transcripts import export
from tests.aio import run


class Times:
    """A clock that goes one second further at each look."""

    now = 1_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "däta base" / "genai.sqlite3")
    one.open()
    yield one
    one.close()


@pytest.fixture
def store(database: Database) -> ConversationStore:
    return ConversationStore(database, clock=Times())


def message(conversation_id: str, role: Any, content: str, **values: Any) -> ChatMessage:
    return ChatMessage(id=new_id(), conversation_id=conversation_id, role=role, content=content, **values)


async def talk(store: ConversationStore, *texts: str, title: str = "Talk") -> str:
    """A conversation of alternating turns."""
    one = (await store.create(title)).summary.id
    for index, text in enumerate(texts):
        await store.append(one, message(one, "assistant" if index % 2 else "user", text))
    return one


def test_a_message_comes_back_as_it_was(store: ConversationStore) -> None:
    async def go() -> None:
        one = (await store.create(system_prompt="Be brief.")).summary.id
        long = "x" * 1_000_000
        text = long + "a\x00b \x1b[31m\r\n\t👩‍👩‍👧‍👦 e\u0301 \u202e 日本"
        full = message(
            one, "assistant", text,
            reasoning="because\x00", state="stopped", created_at=12.5, model_id="m", finish_reason="stopped",
            error="why", reasoning_seconds=1.25, images=("/a b/ü.png",),
            tool_calls=(ToolCall("1", "f", "{}"),), stats=InferenceStats(1, 2, 3, 4.0, 5.0, 6.0, 7.0),
        )  # fmt: skip
        await store.append(one, full)
        got = await store.get(one)
        assert got.messages == (full,)
        assert got.system_prompt == "Be brief."
        assert got.summary.message_count == 1
        assert await store.get_message(full.id) == full

    run(go())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=("Cs",))), st.text(st.characters(exclude_categories=("Cs",))))
def test_any_text_survives_and_any_query_is_safe(store: ConversationStore, text: str, query: str) -> None:
    async def go() -> None:
        one = await talk(store, text)
        assert (await store.get(one)).messages[0].content == text
        await store.list(query)  # whatever is typed is no syntax
        await store.delete(one)

    run(go())


def test_the_list_has_pinned_first_then_newest(store: ConversationStore) -> None:
    async def go() -> None:
        old, middle, new = [await talk(store, "hi", title=title) for title in ("old", "middle", "new")]
        assert [one.title for one in await store.list()] == ["new", "middle", "old"]
        await store.pin(old, True)
        await store.move(old, "Work")
        await store.append(middle, message(middle, "assistant", "hello"))
        found = await store.list()
        assert [one.title for one in found] == ["old", "middle", "new"]
        assert (found[0].is_pinned, found[0].folder) == (True, "Work")
        assert [one.message_count for one in found] == [1, 2, 1]
        await store.pin(old, False)
        await store.rename(new, "newest")
        assert [one.title for one in await store.list()] == ["middle", "newest", "old"]

    run(go())


def test_versions_are_kept_beside_each_other(store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "q1", "a1", "q2", "a2")
        q1, a1, q2, a2 = (await store.get(one)).messages
        again = message(one, "assistant", "a1 again")
        await store.branch(a1.id, again)
        assert [m.content for m in (await store.get(one)).messages] == ["q1", "a1 again"]
        assert (await store.get(one)).summary.message_count == 2
        assert [m.content for m in await store.versions(again.id)] == ["a1", "a1 again"]
        await store.select_version(a1.id)
        assert (await store.get(one)).messages == (q1, a1, q2, a2)
        edited = message(one, "user", "q1 edited")
        await store.branch(q1.id, edited, message(one, "assistant", "other"))
        assert [m.content for m in (await store.get(one)).messages] == ["q1 edited", "other"]
        assert len(await store.versions(q1.id)) == 2
        before = await store.history(a2.id)
        assert before.messages == (q1, a1, q2)
        assert (await store.history(edited.id)).messages == ()

    run(go())


def test_a_message_belongs_to_its_conversation(store: ConversationStore) -> None:
    async def go() -> None:
        one, two = await talk(store, "a"), await talk(store, "b")
        with pytest.raises(InvalidInputError):
            await store.append(one, message(one, "user", "fine"), message(two, "user", "lost"))
        assert len((await store.get(one)).messages) == 1  # all of it or nothing

    run(go())


def test_the_title_comes_once_and_the_draft_goes_when_sent(store: ConversationStore) -> None:
    async def go() -> None:
        one = (await store.create()).summary.id
        await store.set_draft(one, "typed ünsent")
        assert (await store.get(one)).draft == "typed ünsent"
        await store.append(one, message(one, "user", "x"), title="First")
        await store.append(one, message(one, "user", "y"), title="Second")
        got = await store.get(one)
        assert (got.summary.title, got.draft) == ("First", "")

    run(go())


# search ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", {"Räuber", "Code", "東京", "Plain"}),
        ("räuber", {"Räuber"}),
        ("RAUBER", {"Räuber"}),  # title, folded
        ("strasse", {"Räuber"}),
        ("hänsel", {"Räuber"}),
        ("hansel wald", {"Räuber"}),
        ("hansel moon", set()),
        ("wal", {"Räuber"}),  # beginning of a word
        ("ald", set()),  # not its end
        ("C++", {"Code"}),
        ("std::move", {"Code"}),
        ("100%", {"Code"}),
        ("100", {"Code"}),
        ("a_b", {"Code"}),
        ("aXb", set()),
        ("\\", {"Code"}),
        ("観光", {"東京"}),  # inside a sentence without spaces
        ("東京", {"東京"}),
        ("👩‍🚀", {"Plain"}),
        ('"', {"Plain"}),
        ("quote OR", set()),
        ("NEAR(", set()),
        ("* -", set()),
        ("answer", {"Plain"}),
    ],
)
def test_search(store: ConversationStore, query: str, titles: set[str]) -> None:
    async def go() -> None:
        await talk(store, "Hänsel und Gretel im Wald", "an der Straße strasse", title="Räuber")
        await talk(store, "C++ std::move at 100% a_b \\o/", title="Code")
        await talk(store, "明日は観光に行きます", title="東京")
        await talk(store, 'hello 👩‍🚀 "quote"', "the answer", title="Plain")
        gone = await talk(store, "Hänsel quote answer", title="Gone")
        await store.delete(gone)
        assert {one.title for one in await store.list(query)} == titles

    run(go())


def test_search_follows_what_is_edited_and_removed(store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "first")
        reply = message(one, "assistant", "", state="streaming")
        await store.append(one, reply)
        await store.append_part(reply.id, "zebra", "")
        await store.save(replace(reply, content="zebra crossing", state="done"))
        assert len(await store.list("zebra")) == 1
        await store.save(replace(reply, content="horse", state="done"))
        assert await store.list("zebra") == ()
        assert len(await store.list("horse")) == 1
        await store.delete(one)
        await store.purge(float("inf"))
        assert await store.list("horse") == ()

    run(go())


# the bin --------------------------------------------------------------------------------------------------


def test_deleting_can_be_undone_until_the_bin_is_emptied(store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "keep me", "yes")
        before = await store.get(one)
        await store.delete(one)
        assert await store.list() == ()
        for attempt in (store.get(one), store.delete(one), store.rename(one, "x"), store.set_draft(one, "x")):
            with pytest.raises(NotFoundError):
                await attempt
        await store.undo_delete(one)
        assert await store.get(one) == before
        await store.delete(one)
        assert await store.purge(0.0) == ()
        assert await store.purge(float("inf")) == (one,)
        await store.undo_delete(one)
        with pytest.raises(NotFoundError):
            await store.get(one)
        with pytest.raises(NotFoundError):
            await store.get_message(before.messages[0].id)

    run(go())


# streaming and crashes ------------------------------------------------------------------------------------


def test_a_streaming_reply_is_appended_to(store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "q")
        reply = message(one, "assistant", "said before ", state="streaming")
        await store.append(one, reply)
        await store.append_part(reply.id, "Hel", "hm")
        await store.append_part(reply.id, "lo 👩", "m")
        await store.append_part(reply.id, "\u200d🚀", "")
        got = (await store.get(one)).messages[1]
        assert (got.content, got.reasoning, got.state) == ("said before Hello 👩‍🚀", "hmm", "streaming")
        done = replace(got, content="Hello, whole", state="done", finish_reason="stop")
        await store.save(done)
        assert (await store.get(one)).messages[1] == done
        await store.append_part(new_id(), "to nobody", "")  # its conversation is gone: no error

    run(go())


def test_recovering_what_a_dead_process_left(database: Database) -> None:
    async def go() -> None:
        dead = ConversationStore(database, owner="1:dead", is_alive=lambda _: False)
        one = await talk(dead, "q")
        reply = message(one, "assistant", "", state="streaming")
        asked = message(one, "user", "later", state="waiting")
        waiting = message(one, "assistant", "", state="waiting")
        paused = message(one, "assistant", "half", state="waiting")
        await dead.append(one, reply, asked, waiting, paused)
        await dead.append_part(reply.id, "up to here", "thought")
        now = ConversationStore(database)
        assert await now.recover() == 3
        got = (await now.get(one)).messages
        assert [m.state for m in got] == ["done", "interrupted", "done", "interrupted", "interrupted"]
        assert (got[1].content, got[1].reasoning, got[1].error) == ("up to here", "thought", INTERRUPTED)
        assert got[2].content == "later"  # what was typed is still there
        assert got[3].error == NEVER_SENT
        assert (got[4].content, got[4].error) == ("half", INTERRUPTED)
        assert await now.recover() == 0
        assert len(await now.list("here")) == 1

    run(go())


def test_the_replies_of_another_living_process_are_left_alone(database: Database) -> None:
    async def go() -> None:
        other = ConversationStore(database, owner="2:alive")
        one = await talk(other, "q")
        await other.append(one, message(one, "assistant", "", state="streaming"))
        mine = ConversationStore(database, is_alive=lambda owner: owner == "2:alive")
        assert await mine.recover() == 0
        two = await talk(mine, "q")
        await mine.append(two, message(two, "assistant", "", state="waiting"))
        assert await mine.recover() == 0  # our own are not dead either

    run(go())


def test_a_process_is_known_by_more_than_its_number() -> None:
    token = process_token()
    assert is_process_alive(token)
    pid = token.partition(":")[0]
    assert not is_process_alive(f"{pid}:1.00")
    assert not is_process_alive("999999999:1.00")
    assert not is_process_alive("")


def test_a_damaged_record_hides_no_other(database: Database, store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "q", "a", "q2", "a2")
        ids = [m.id for m in (await store.get(one)).messages]
        for message_id, extra in zip(
            ids,
            ["{broken", "[]", '{"stats": {"x": 1}, "error": "e"}', '{"images": 5, "error": 7}'],
            strict=True,
        ):
            await database.write(
                lambda c, i=message_id, e=extra: c.execute(
                    "UPDATE messages SET extra = ? WHERE id = ?", (e, i)
                )
            )
        got = (await store.get(one)).messages
        assert [m.content for m in got] == ["q", "a", "q2", "a2"]
        assert got[2].error == "e"
        # a ring of parents ends
        await database.write(
            lambda c: c.execute("UPDATE messages SET parent_id = ? WHERE id = ?", (ids[3], ids[0]))
        )
        assert len((await store.get(one)).messages) == 4

    run(go())


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Two processes' worth of connections: every message is there, in order."""

    async def go() -> None:
        databases = [Database(tmp_path / "x.sqlite3") for _ in range(2)]
        for one in databases:
            one.open()
        stores = [ConversationStore(one, owner=str(i)) for i, one in enumerate(databases)]
        ids = [await talk(one, "start") for one in stores]

        async def write(index: int) -> None:
            for number in range(20):
                await stores[index].append(ids[index], message(ids[index], "user", str(number)))

        await asyncio.gather(write(0), write(1))
        for one, store in zip(ids, reversed(stores), strict=True):
            assert [m.content for m in (await store.get(one)).messages] == ["start", *map(str, range(20))]
        for database in databases:
            database.close()

    run(go())


def test_a_long_conversation_is_read_in_order(store: ConversationStore) -> None:
    async def go() -> None:
        one = await talk(store, "start")
        await store.append(one, *(message(one, "user", str(n)) for n in range(5_000)))
        got = await store.get(one)
        assert [m.content for m in got.messages[1:]] == [str(n) for n in range(5_000)]
        assert got.summary.message_count == 5_001

    run(go())


# export ---------------------------------------------------------------------------------------------------


def test_export(store: ConversationStore, tmp_path: Path) -> None:
    async def go() -> None:
        one = await talk(store, "How?", title="Ünder")
        await store.append(
            one,
            message(one, "assistant", "**Thus.**", reasoning="let me see", error="cut", images=("/p.png",)),
        )
        conversation = replace(await store.get(one), system_prompt="Two\nlines")
        text, data = tmp_path / "ö ü.md", tmp_path / "x.json"
        export(conversation, text)
        export(conversation, data)
        markdown = text.read_text("utf-8")
        assert markdown.startswith("# Ünder\n\n> Two\n> lines\n\n## You (")
        assert "let me see" in markdown
        assert "**Thus.**\n\n*cut*\n" in markdown
        values = json.loads(data.read_text("utf-8"))
        assert values["version"] == 1
        assert [m["content"] for m in values["messages"]] == ["How?", "**Thus.**"]
        with pytest.raises(StorageError):
            export(conversation, tmp_path / "missing" / "x.md")

    run(go())
