"""Sending, streaming, stopping, versions, and everything that can break off a reply."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genai_desktop.core.chat import ChatMessage, SamplingParameters
from genai_desktop.core.errors import (
    BusyError,
    ContextExceededError,
    InferenceError,
    InvalidInputError,
    NotFoundError,
    StorageError,
)
from genai_desktop.core.settings import Settings
from tests.aio import run, until
from tests.fakes import chat_server as fake
from tests.fakes.chat_server import Reply, Request
from tests.services.chat_world import Script, World, requests, saying


def test_a_turn_is_stored_streamed_and_told(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("Hel", "lo ", "👩‍🚀")) as w:
            one = await w.create()
            sampling = SamplingParameters(temperature=0.5, max_tokens=9)
            reply_id = await w.service.send(one, "Hi there", sampling=sampling)
            message = await w.finished(reply_id)
            assert (message.content, message.state, message.finish_reason) == ("Hello 👩‍🚀", "done", "stop")
            assert message.model_id == "guide"
            assert message.stats is not None
            assert message.stats.completion_tokens == 3
            assert message.stats.first_token_seconds > 0
            assert w.service.last_stats == message.stats
            assert w.seen.states(reply_id) == ["streaming", "done"]
            assert w.seen.deltas[-1].finish_reason == "stop"
            assert w.seen.deltas[-1].stats == message.stats
            conversation = await w.conversation(one)
            assert [(m.role, m.content) for m in conversation.messages] == [
                ("user", "Hi there"),
                ("assistant", "Hello 👩‍🚀"),
            ]
            assert conversation.summary.title == "Hi there"
            (body,) = requests(w)
            assert body["messages"] == [{"role": "user", "content": "Hi there"}]
            assert (body["temperature"], body["max_tokens"]) == (0.5, 9)
            assert (body["id_slot"], body["cache_prompt"]) == (0, True)
            assert w.server.requests[0].headers["authorization"] == "Bearer key"
            assert w.seen.last_state(one).is_streaming is False
            await until(lambda: w.seen.of("list_changed")[-1][0].message_count == 2)

    run(go())


def test_send_returns_before_the_first_token(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Hi")
            assert (await w.message(reply_id)).state == "streaming"
            assert w.seen.last_state(one).is_streaming
            await script.say(1, "now")
            await script.finish(1)
            await w.finished(reply_id)

    run(go())


def test_the_whole_conversation_is_sent_each_time(tmp_path: Path) -> None:
    class Store:
        current = Settings(system_prompt="From the settings.")

    async def go() -> None:
        async with World(tmp_path, saying("yes"), settings=Store()) as w:
            one = await w.create()
            await w.finished(await w.service.send(one, "first"))
            await w.service.set_system_prompt(one, "Be kind.")
            await w.finished(await w.service.send(one, "second\x00 \x1b[2J \u202e"))
            first, second = requests(w)
            assert first["messages"][0] == {"role": "system", "content": "From the settings."}
            assert second["messages"] == [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": "second\x00 \x1b[2J \u202e"},
            ]

    run(go())


def test_reasoning_is_apart_and_timed_and_not_sent_again(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Why?")
            await script.think(1, "Let me ", "see.")
            await until(lambda: w.seen.shown[reply_id].reasoning == "Let me see.")
            await script.say(1, "Because.")
            await script.finish(1)
            message = await w.finished(reply_id)
            assert (message.reasoning, message.content) == ("Let me see.", "Because.")
            assert message.reasoning_seconds > 0
            again = await w.service.send(one, "And?")
            await script.finish(2)
            await w.finished(again)
            assert requests(w)[1]["messages"][1] == {"role": "assistant", "content": "Because."}

    run(go())


def test_stopping_hangs_up_and_keeps_the_text(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Count")
            await script.say(1, "1, ", "2, ")
            await until(lambda: w.seen.shown[reply_id].content == "1, 2, ")
            await w.service.stop(one)
            message = await w.finished(reply_id)
            assert (message.content, message.state, message.finish_reason) == ("1, 2, ", "stopped", "stopped")
            assert message.stats is not None
            assert message.stats.completion_tokens == 2
            await until(lambda: w.server.hang_ups == 1, what="the hang-up")
            await w.service.stop(one)  # nothing to stop is no error
            after = await w.service.send(one, "Again")
            await script.say(2, "ok")
            await script.finish(2)
            assert (await w.finished(after)).content == "ok"

    run(go())


def test_stopping_before_the_server_has_answered(tmp_path: Path) -> None:
    async def go() -> None:
        arrived = asyncio.Event()

        async def silent(request: Request, reply: Reply) -> None:
            arrived.set()
            await reply.hung_up.wait()

        async with World(tmp_path, silent) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Hi")
            await arrived.wait()
            await w.service.stop(one)
            assert (await w.finished(reply_id)).state == "stopped"
            await until(lambda: w.server.hang_ups == 1)
            # and in the very moment it was sent
            reply_id = await w.service.send(one, "Hi")
            await w.service.stop(one)
            assert (await w.finished(reply_id)).state == "stopped"

    run(go())


def test_one_reply_at_a_time_in_a_conversation_several_in_several(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one, two = await w.create(), await w.create()
            first = await w.service.send(one, "a")
            for attempt in (w.service.send(one, "b"), w.service.regenerate(one), w.service.regenerate(first)):
                with pytest.raises(BusyError):
                    await attempt
            await script.asked(1)
            second = await w.service.send(two, "c")
            await script.say(2, "two")
            await until(lambda: w.seen.shown[second].content == "two")
            assert w.service.state(one).is_streaming
            assert w.service.state(two).is_streaming
            await script.say(1, "one")
            await script.finish(1)
            await script.finish(2)
            assert (await w.finished(first)).content == "one"
            assert (await w.finished(second)).content == "two"
            assert len((await w.conversation(one)).messages) == 2

    run(go())


def test_two_clicks_at_once_are_one_message(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            results = await asyncio.gather(
                w.service.send(one, "x"), w.service.send(one, "x"), return_exceptions=True
            )
            assert sum(isinstance(result, BusyError) for result in results) == 1
            assert len((await w.conversation(one)).messages) == 2
            await script.finish(1)

    run(go())


# versions -------------------------------------------------------------------------------------------------


def test_regenerating_keeps_the_old_version(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            old = await w.service.send(one, "Tell")
            await script.say(1, "old")
            await script.finish(1)
            await w.finished(old)
            new = await w.service.regenerate(old)
            assert new != old
            (shown,) = w.seen.of("conversation_changed")
            assert [m.id for m in shown.messages][1:] == [new]
            await script.say(2, "new")
            await script.finish(2)
            await w.finished(new)
            assert requests(w)[1]["messages"] == [{"role": "user", "content": "Tell"}]
            assert [m.content for m in (await w.conversation(one)).messages] == ["Tell", "new"]
            assert [m.content for m in await w.service._store.versions(new)] == ["old", "new"]
            third = await w.service.regenerate(one)  # by the conversation: its last reply
            await script.finish(3)
            await w.finished(third)
            assert len(await w.service._store.versions(new)) == 3

    run(go())


def test_regenerating_from_the_users_message(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            with pytest.raises(InvalidInputError):
                await w.service.regenerate(one)
            with pytest.raises(NotFoundError):
                await w.service.regenerate("nothing")
            await w.finished(await w.service.send(one, "q"))
            user = (await w.conversation(one)).messages[0]
            reply_id = await w.service.regenerate(user.id)
            await w.finished(reply_id)
            assert len(await w.service._store.versions(reply_id)) == 2
            # a user's message that never got a reply
            alone = ChatMessage("alone", one, "user", "hello?")
            await w.service._store.append(one, alone)
            reply_id = await w.service.regenerate("alone")
            assert (await w.finished(reply_id)).content == "ok"
            assert (await w.conversation(one)).messages[-2].id == "alone"

    run(go())


def test_editing_makes_a_branch(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            for text in ("first", "second"):
                await w.finished(await w.service.send(one, text))
            before = (await w.conversation(one)).messages
            reply_id = await w.service.edit_and_resend(before[0].id, "first, but better")
            await w.finished(reply_id)
            after = (await w.conversation(one)).messages
            assert [m.content for m in after] == ["first, but better", "ok"]
            assert requests(w)[-1]["messages"] == [{"role": "user", "content": "first, but better"}]
            await w.service._store.select_version(before[0].id)
            assert (await w.conversation(one)).messages == before
            for message, text in ((before[1], "x"), (before[0], " ")):
                with pytest.raises(InvalidInputError):
                    await w.service.edit_and_resend(message.id, text)

    run(go())


def test_continuing_a_stopped_reply(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Count")
            await script.say(1, "1, 2,")
            await until(lambda: w.seen.shown[reply_id].content == "1, 2,")
            await w.service.stop(one)
            assert await w.service.continue_reply(reply_id) == reply_id
            await script.say(2, " 3.")
            await script.finish(2, predicted=1)
            message = await w.finished(reply_id)
            assert (message.content, message.state) == ("1, 2, 3.", "done")
            assert message.stats is not None
            assert message.stats.completion_tokens == 2
            assert requests(w)[1]["messages"][-1] == {"role": "assistant", "content": "1, 2,"}
            user = (await w.conversation(one)).messages[0]
            with pytest.raises(InvalidInputError):
                await w.service.continue_reply(user.id)
            # a template that cannot costs no text
            script.template = lambda messages: None
            await w.service.continue_reply(reply_id)
            message = await w.finished(reply_id)
            assert (message.content, message.state) == ("1, 2, 3.", "failed")
            assert "cannot go on" in message.error
            w.llama.become("stopped")
            with pytest.raises(InferenceError):
                await w.service.continue_reply(reply_id)
            assert (await w.message(reply_id)).state == "failed"

    run(go())


# when it goes wrong ---------------------------------------------------------------------------------------


def test_a_server_that_dies_leaves_the_partial_answer(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Tell")
            await script.say(1, "Once upon a")
            await until(lambda: w.seen.shown[reply_id].content == "Once upon a")
            script.replies[0].drop()
            message = await w.finished(reply_id)
            assert (message.content, message.state) == ("Once upon a", "interrupted")
            assert "ended before the reply was complete" in message.error
            # unloading on purpose is told as such
            reply_id = await w.service.send(one, "Tell")
            await script.say(2, "Once")
            await until(lambda: w.seen.shown[reply_id].content == "Once")
            w.llama.become("stopping")
            script.replies[1].drop()
            assert "unloaded" in (await w.finished(reply_id)).error

    run(go())


def test_an_error_frame_fails_the_reply_and_keeps_the_text(tmp_path: Path) -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            error = {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}
            await reply.start_stream()
            await reply.send(fake.delta(content="half ") + b"data: " + json.dumps(error).encode() + b"\n\n")
            await reply.end()

        async with World(tmp_path, handler) as w:
            message = await w.finished(await w.service.send(await w.create(), "x"))
            assert (message.content, message.state) == ("half ", "failed")
            assert "Compute error." in message.error

    run(go())


def test_a_prompt_that_is_too_long(tmp_path: Path) -> None:
    async def go() -> None:
        async def handler(request: Request, reply: Reply) -> None:
            size = len(request.json["messages"][-1]["content"])
            error = {
                "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": size, "n_ctx": 1024,
                "message": f"request ({size} tokens) exceeds the available context size",
            }  # fmt: skip
            await reply.json(400, {"error": error})

        async with World(tmp_path, handler) as w:
            one = await w.create()
            text = "é" * 1_000_000
            message = await w.finished(await w.service.send(one, text))
            assert message.state == "failed"
            assert "1,000,000 tokens" in message.error
            assert "1,024" in message.error
            assert ContextExceededError("x").code not in message.error  # a sentence, not a code
            assert (await w.conversation(one)).messages[0].content == text

    run(go())


def test_turns_that_brought_nothing_do_not_break_the_template(tmp_path: Path) -> None:
    """Two user messages in a row are joined, an empty reply is left out."""

    async def go() -> None:
        answers = iter([False, True])

        async def handler(request: Request, reply: Reply) -> None:
            if next(answers):
                await saying("ok")(request, reply)
            else:
                await reply.json(500, {"error": {"code": 500, "message": "boom", "type": "server_error"}})

        async with World(tmp_path, handler) as w:
            one = await w.create()
            await w.finished(await w.service.send(one, "first"))
            await w.finished(await w.service.send(one, "second"))
            assert requests(w)[1]["messages"] == [{"role": "user", "content": "first\n\nsecond"}]

    run(go())


def test_without_a_model_the_text_becomes_the_draft(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("x"), status="stopped", patience=0.0) as w:
            one = await w.create()
            with pytest.raises(InferenceError) as refused:
                await w.service.send(one, "Do not lose me")
            assert refused.value.code == "NOT_LOADED"
            assert "Load a model" in refused.value.remedy
            conversation = await w.conversation(one)
            assert (conversation.draft, conversation.messages) == ("Do not lose me", ())
            w.llama.become("crashed", error_message="Out of memory.")
            with pytest.raises(InferenceError, match=r"crashed: Out of memory\."):
                await w.service.send(one, "Do not lose me")
            with pytest.raises(InferenceError):
                await anext(aiter(w.service.chat_once([{"role": "user", "content": "x"}])))
            w.llama.become("running")
            await w.finished(await w.service.send(one, "Do not lose me"))
            assert (await w.conversation(one)).draft == ""

    run(go())


def test_a_server_that_says_it_loads_is_asked_again(tmp_path: Path) -> None:
    async def go() -> None:
        left = [2]

        async def handler(request: Request, reply: Reply) -> None:
            if left[0]:
                left[0] -= 1
                error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
                await reply.json(503, {"error": error})
            else:
                await saying("ready")(request, reply)

        async with World(tmp_path, handler) as w:
            message = await w.finished(await w.service.send(await w.create(), "x"))
            assert (message.content, message.state) == ("ready", "done")
            assert len(requests(w)) == 3

    run(go())


def test_a_new_start_of_the_server_gets_a_new_client(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            await w.finished(await w.service.send(one, "a"))
            w.llama.become("starting")
            w.llama.api_key = "other"
            w.llama.become("running")
            await w.finished(await w.service.send(one, "b"))
            assert [r.headers["authorization"] for r in w.server.requests] == ["Bearer key", "Bearer other"]

    run(go())


def test_a_full_disk_does_not_stop_the_reply(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "x")
            await script.asked(1)
            write = w.database.write

            async def full(work: Any) -> Any:
                raise StorageError("The disk is full; nothing was changed.", code="DISK_FULL")

            w.database.write = full  # type: ignore[method-assign]
            await script.say(1, "still ", "here")
            await script.finish(1)
            await until(lambda: w.seen.shown[reply_id].state == "done")
            shown = w.seen.shown[reply_id]
            assert shown.content == "still here"
            assert "could not be saved: The disk is full" in shown.error
            w.database.write = write  # type: ignore[method-assign]

    run(go())


def test_closing_ends_replies_and_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one, two = await w.create(), await w.create()
            streaming = await w.service.send(one, "x")
            await script.say(1, "half")
            await until(lambda: w.seen.shown[streaming].content == "half")
            w.service.hold("image")
            waiting = await w.service.send(two, "later")
            await w.service.close()
            assert (await w.message(streaming)).state == "interrupted"
            assert (await w.message(streaming)).content == "half"
            assert (await w.message(waiting)).state == "interrupted"
            assert "before this message was sent" in (await w.message(waiting)).error
            assert await w.service.recover() == 0  # a clean end leaves nothing to recover

    run(go())


def test_what_is_typed_is_checked(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            with pytest.raises(InvalidInputError):
                await w.service.send(one, " \n\t")
            with pytest.raises(NotFoundError):
                await w.service.send("nobody", "x")
            await w.finished(await w.service.send(one, "half a pair \ud83d and a whole \ud83d\ude00"))
            assert (await w.conversation(one)).messages[0].content == "half a pair \ufffd and a whole 😀"

    run(go())


# pictures -------------------------------------------------------------------------------------------------


def test_pictures_are_sent_in_a_form_the_server_reads(tmp_path: Path) -> None:
    async def go() -> None:
        paths = [str(tmp_path / name) for name in ("ä small.png", "big.jpg", "web.webp")]
        Image.new("RGB", (8, 8), "red").save(paths[0])
        Image.new("RGB", (3000, 10), "red").save(paths[1])
        Image.new("RGBA", (8, 8), "red").save(paths[2])
        async with World(tmp_path, saying("a red one")) as w:
            one = await w.create()
            await w.finished(await w.service.send(one, "What?", images=paths))
            text, *parts = requests(w)[0]["messages"][0]["content"]
            assert text == {"type": "text", "text": "What?"}
            urls = [part["image_url"]["url"] for part in parts]
            assert (
                urls[0] == "data:image/png;base64," + base64.b64encode(Path(paths[0]).read_bytes()).decode()
            )
            assert all(url.startswith("data:image/png;base64,") for url in urls)
            sizes = []
            for index, url in enumerate(urls):
                target = tmp_path / f"{index}.png"
                target.write_bytes(base64.b64decode(url.partition(",")[2]))
                with Image.open(target) as picture:
                    sizes.append(picture.size)
            assert sizes == [(8, 8), (2048, 7), (8, 8)]
            # a picture removed since leaves a note, and the conversation goes on
            Path(paths[0]).unlink()
            await w.finished(await w.service.send(one, "And now?"))
            said = [part for part in requests(w)[1]["messages"][0]["content"] if part["type"] == "text"]
            assert "is not there any more" in said[1]["text"]

    run(go())


@pytest.mark.parametrize("content", [None, b"", b"<html>", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_is_refused_before_anything_is_stored(
    tmp_path: Path, content: bytes | None
) -> None:
    async def go() -> None:
        path = tmp_path / "x.png"
        if content is not None:
            path.write_bytes(content)
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            with pytest.raises(InvalidInputError) as refused:
                await w.service.send(one, "What?", images=[str(path)])
            assert refused.value.code == "INVALID_IMAGE"
            assert (await w.conversation(one)).messages == ()

    run(go())


# the list -------------------------------------------------------------------------------------------------


def test_deleting_while_a_reply_streams_and_bringing_it_back(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "Hello friend")
            await script.say(1, "part")
            await until(lambda: w.seen.shown[reply_id].content == "part")
            await w.service.delete(one)
            assert w.seen.of("list_changed")[-1] == ()
            await until(lambda: w.server.hang_ups == 1)
            with pytest.raises(NotFoundError):
                await w.service.get(one)
            await w.service.undo_delete(one)
            assert [m.state for m in (await w.conversation(one)).messages] == ["done", "stopped"]
            assert [c.id for c in await w.service.list("friend")] == [one]
            await w.service.rename(one, "  A   new\nname ")
            await w.service.pin(one, True)
            await w.service.move(one, "Folder")
            (found,) = w.seen.of("list_changed")[-1]
            assert (found.title, found.is_pinned, found.folder) == ("A new name", True, "Folder")
            await w.service.export(one, str(tmp_path / "out.md"))
            assert "Hello friend" in (tmp_path / "out.md").read_text("utf-8")

    run(go())


def test_opening_a_conversation_in_the_middle_of_a_reply_misses_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "x")
            texts = [f"{n} " for n in range(40)]
            shown: list[str] = []
            for index, text in enumerate(texts):
                await script.say(1, text)
                if index == 20:
                    shown.append((await w.service.get(one)).messages[1].content)
                    w.service.on("delta", lambda delta: shown.append(delta.content))
            await script.finish(1)
            await w.finished(reply_id)
            assert "".join(shown) == "".join(texts)

    run(go())


def test_chat_once_stores_nothing_and_stops_when_closed(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            said = w.service.chat_once(
                [{"role": "user", "content": "Hi"}, ChatMessage("1", "2", "assistant", "Hm")],
                SamplingParameters(seed=3),
            )
            first = asyncio.ensure_future(anext(said))
            await script.say(1, "one ")
            assert (await first).content == "one "
            await said.aclose()  # type: ignore[attr-defined]
            await until(lambda: w.server.hang_ups == 1)
            assert requests(w)[0]["messages"][1] == {"role": "assistant", "content": "Hm"}
            assert await w.service.list() == ()
            # cancelled like Ctrl+C
            task = asyncio.ensure_future(anext(w.service.chat_once([{"role": "user", "content": "Hi"}])))
            await script.asked(2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: w.server.hang_ups == 2)
            # to its end
            whole = asyncio.ensure_future(collect(w.service.chat_once([{"role": "user", "content": "Hi"}])))
            await script.say(3, "a", "b")
            await script.finish(3)
            deltas = await whole
            assert "".join(delta.content for delta in deltas) == "ab"
            assert deltas[-1].finish_reason == "stop"
            assert w.service.last_stats == deltas[-1].stats

    run(go())


async def collect(source: Any) -> list[Any]:
    return [value async for value in source]
