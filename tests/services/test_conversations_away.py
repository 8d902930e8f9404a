"""The model goes away and comes back: waiting, order, pausing, continuing; and a crash of this program."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from genai_desktop.core.chat import ChatMessage
from genai_desktop.core.errors import InferenceError
from tests.aio import run, until
from tests.services.chat_world import ManualTimer, Script, World, requests, saying


def test_while_held_turns_wait_with_an_estimate_and_go_in_order(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one, two = await w.create(), await w.create()
            w.service.hold("Painting a picture", eta=12.0)
            ids = [
                await w.service.send(one, "first"),
                await w.service.send(two, "second"),
                await w.service.send(one, "third"),
            ]
            state = w.seen.last_state(one)
            assert (state.is_suspended, state.is_model_ready, state.waiting) == (True, False, 2)
            assert state.eta is not None
            assert 0 < state.eta <= 12.0
            assert state.reason == "Painting a picture"
            assert w.service.state().waiting == 3
            messages = (await w.conversation(one)).messages
            assert [m.state for m in messages] == ["waiting"] * 4
            assert messages[0].content == "first"
            w.service.hold("Painting a picture", eta=3.0)
            assert (w.seen.last_state(two).eta or 99) <= 3.0
            assert requests(w) == []
            w.service.release()
            for number, reply_id in enumerate(ids, start=1):
                await script.asked(number)
                assert w.service.state().waiting == 3 - number
                assert len(script.replies) == number, "one after the other"
                await script.say(number, f"reply {number}")
                await script.finish(number)
                await w.finished(reply_id)
            asked = [body["messages"][-1]["content"] for body in requests(w)]
            assert asked == ["first", "second", "third"]
            assert requests(w)[2]["messages"][1] == {"role": "assistant", "content": "reply 1"}
            assert [m.state for m in (await w.conversation(one)).messages] == ["done"] * 4
            state = w.seen.last_state(one)
            assert (state.is_suspended, state.is_model_ready, state.waiting, state.eta) == (
                False,
                True,
                0,
                None,
            )

    run(go())


def test_a_turn_that_comes_while_others_wait_goes_behind_them(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one, two, three = [await w.create() for _ in range(3)]
            w.service.hold("x")
            await w.service.send(one, "first")
            await w.service.send(two, "second")
            w.service.release()
            await script.asked(1)
            late = await w.service.send(three, "late")
            assert (await w.message(late)).state == "waiting"
            for number in (1, 2, 3):
                await script.finish(number)
            await w.finished(late)
            assert [b["messages"][-1]["content"] for b in requests(w)] == ["first", "second", "late"]

    run(go())


def test_the_estimate_counts_down(tmp_path: Path) -> None:
    async def go() -> None:
        timer = ManualTimer()
        async with World(tmp_path, saying("x"), timer=timer) as w:
            w.service.hold("x", eta=12.0)
            timer.advance(5.0)
            assert w.service.state().eta == 7.0
            timer.advance(50.0)
            assert w.service.state().eta == 0.0
            w.service.hold("x")
            assert w.service.state().eta is None

    run(go())


def test_while_the_model_loads_turns_wait(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("hello"), status="starting") as w:
            one = await w.create()
            reply_id = await w.service.send(one, "early")
            assert (await w.message(reply_id)).state == "waiting"
            once = asyncio.ensure_future(
                anext(aiter(w.service.chat_once([{"role": "user", "content": "x"}])))
            )
            await asyncio.sleep(0)
            w.llama.become("crashed")  # and the supervisor tries again
            w.llama.become("starting")
            assert requests(w) == []
            w.llama.become("running")
            assert (await w.finished(reply_id)).content == "hello"
            await once

    run(go())


def test_load_and_send_at_once(tmp_path: Path) -> None:
    """The window asks for both together, and the text arrives before the load has begun."""

    async def go() -> None:
        async with World(tmp_path, saying("hello"), status="stopped", patience=60.0) as w:
            one = await w.create()
            sending = asyncio.ensure_future(w.service.send(one, "early"))
            await until(lambda: bool(w.service._queue._waiters))
            w.llama.become("starting")
            reply_id = await sending
            assert (await w.message(reply_id)).state == "waiting"
            w.llama.become("running")
            assert (await w.finished(reply_id)).content == "hello"
            # closing does not leave such a message hanging
            w.llama.become("stopped")
            sending = asyncio.ensure_future(w.service.send(one, "lost?"))
            await until(lambda: bool(w.service._queue._waiters))
            await w.service.close()
            with pytest.raises(InferenceError):
                await sending
            assert (await w.conversation(one)).draft == "lost?"

    run(go())


def test_stopping_what_waits_keeps_what_was_typed(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("x")) as w:
            one, two = await w.create(), await w.create()
            w.service.hold("x")
            reply_id = await w.service.send(one, "typed")
            other = await w.service.send(two, "other")
            await w.service.stop(one)
            assert [m.state for m in (await w.conversation(one)).messages] == ["done", "stopped"]
            assert w.seen.shown[reply_id].state == "stopped"
            w.service.release()
            await w.finished(other)
            assert len(requests(w)) == 1
            assert (await w.conversation(one)).messages[0].content == "typed"

    run(go())


# draining -------------------------------------------------------------------------------------------------


def test_draining_waits_for_running_replies(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "x")
            await script.say(1, "a ")
            w.service.hold("image", eta=5)
            drained = asyncio.ensure_future(w.service.drain(pause=False))
            later = await w.service.send(one, "typed meanwhile")
            await script.say(1, "b")
            await until(lambda: w.seen.shown[reply_id].content == "a b")
            assert not drained.done()
            await script.finish(1)
            await drained
            assert w.seen.shown[reply_id].state == "done"
            assert (await w.message(later)).state == "waiting"
            await w.service.drain(pause=False)  # nothing runs: at once
            w.service.release()
            await script.finish(2)
            await w.finished(later)

    run(go())


def test_draining_waits_for_replies_that_are_not_stored(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            said = w.service.chat_once([{"role": "user", "content": "x"}])
            first = asyncio.ensure_future(anext(said))
            await script.say(1, "a")
            await first
            drained = asyncio.ensure_future(w.service.drain(pause=True))
            await asyncio.sleep(0)
            assert w.service.state().is_suspended, "draining holds"
            assert not drained.done()
            await said.aclose()  # type: ignore[attr-defined]
            await drained

    run(go())


def test_a_paused_reply_goes_on_where_it_was(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one, two = await w.create(), await w.create()
            reply_id = await w.service.send(one, "Count")
            await script.say(1, "one, ", "two,")
            await until(lambda: w.seen.shown[reply_id].content == "one, two,")
            w.service.hold("image", eta=5)
            after = await w.service.send(two, "after it")
            await w.service.drain(pause=True)
            await until(lambda: w.server.hang_ups == 1)
            assert (await w.message(reply_id)).state == "waiting"
            assert (await w.message(reply_id)).content == "one, two,"
            assert w.service.state(one).waiting == 1
            # the server is another one afterwards
            w.llama.become("stopped")
            w.llama.become("starting")
            w.service.release()
            assert len(script.replies) == 1
            w.llama.become("running")
            await script.say(2, " three.")
            await script.finish(2, cache=40, predicted=2)
            message = await w.finished(reply_id)
            assert message.content == "one, two, three."
            assert message.stats is not None
            assert (message.stats.completion_tokens, message.stats.cached_tokens) == (4, 40)
            assert w.seen.states(reply_id) == ["streaming", "waiting", "streaming", "done"]
            assert requests(w)[1]["messages"] == [
                {"role": "user", "content": "Count"},
                {"role": "assistant", "content": "one, two,"},
            ]
            await script.finish(3)
            await w.finished(after)
            assert requests(w)[2]["messages"][-1]["content"] == "after it", "paused replies go on first"

    run(go())


def test_a_reply_paused_in_its_thought_goes_on_thinking(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            reply_id = await w.service.send(await w.create(), "Why?")
            await script.think(1, "Well, ")
            await until(lambda: w.seen.shown[reply_id].reasoning == "Well, ")
            await w.service.drain(pause=True)
            w.service.release()
            await script.think(2, "hm.")
            await script.say(2, "So.")
            await script.finish(2)
            message = await w.finished(reply_id)
            assert (message.reasoning, message.content) == ("Well, hm.", "So.")
            assert requests(w)[1]["messages"][-1] == {
                "role": "assistant",
                "content": "",
                "reasoning_content": "Well, ",
            }

    run(go())


@pytest.mark.parametrize("how", ["closes the turn", "refuses", "strips"])
def test_a_template_that_cannot_continue_says_it_all_again(tmp_path: Path, how: str) -> None:
    async def go() -> None:
        script = Script()
        if how == "refuses":
            script.template = lambda messages: None
        elif how == "strips":
            script.template = lambda messages: str(messages[-1]["content"]).rstrip()
        else:
            script.template = lambda messages: f"{messages[-1]['content']}<|im_end|>\n<|im_start|>assistant\n"
        async with World(tmp_path, script) as w:
            reply_id = await w.service.send(await w.create(), "Count")
            await script.say(1, "one, two,\n ")
            await until(lambda: w.seen.shown[reply_id].content == "one, two,\n ")
            await w.service.drain(pause=True)
            w.service.release()
            if how == "strips":
                await script.say(2, " three.")
                expected, last = "one, two, three.", {"role": "assistant", "content": "one, two,"}
            else:
                await script.say(2, "1, 2, 3.")
                expected, last = "1, 2, 3.", {"role": "user", "content": "Count"}
            await script.finish(2)
            message = await w.finished(reply_id)
            assert message.content == expected
            assert requests(w)[1]["messages"][-1] == last

    run(go())


def test_a_reply_paused_before_its_first_word_is_asked_again(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "x")
            await w.service.drain(pause=True)  # not even connected
            assert (await w.message(reply_id)).state == "waiting"
            w.service.release()
            await script.asked(1)
            await w.service.drain(pause=True)
            w.service.release()
            await script.say(2, "ok")
            await script.finish(2)
            assert (await w.finished(reply_id)).content == "ok"
            assert [m.state for m in (await w.conversation(one)).messages] == ["done", "done"]

    run(go())


def test_a_paused_reply_can_be_stopped(tmp_path: Path) -> None:
    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            reply_id = await w.service.send(one, "x")
            await script.say(1, "half")
            await until(lambda: w.seen.shown[reply_id].content == "half")
            await w.service.drain(pause=True)
            await w.service.stop(one)
            message = await w.finished(reply_id)
            assert (message.state, message.content) == ("stopped", "half")
            w.service.release()
            assert w.service.state().waiting == 0

    run(go())


def test_a_hand_off_that_begins_while_a_message_is_being_stored(tmp_path: Path) -> None:
    """The turn must not slip through into a server that is about to be saved and stopped."""

    async def go() -> None:
        script = Script()
        async with World(tmp_path, script) as w:
            one = await w.create()
            append = w.service._store.append

            async def slow(conversation_id: str, *messages: ChatMessage, title: str = "") -> None:
                await append(conversation_id, *messages, title=title)
                w.service.hold("image")
                await w.service.drain(pause=False)

            w.service._store.append = slow  # type: ignore[method-assign]
            reply_id = await w.service.send(one, "x")
            assert w.seen.shown[reply_id].state == "waiting"
            assert (await w.message(reply_id)).state == "waiting"
            assert requests(w) == []
            w.service.release()
            await script.finish(1)
            await w.finished(reply_id)

    run(go())


def test_regenerating_while_held_waits_too(tmp_path: Path) -> None:
    async def go() -> None:
        async with World(tmp_path, saying("ok")) as w:
            one = await w.create()
            first = await w.service.send(one, "x")
            await w.finished(first)
            w.service.hold("x")
            again = await w.service.regenerate(first)
            assert (await w.message(again)).state == "waiting"
            w.service.release()
            assert (await w.finished(again)).content == "ok"
            user = (await w.conversation(one)).messages[0]
            w.service.hold("x")
            edited = await w.service.edit_and_resend(user.id, "y")
            assert [m.state for m in (await w.conversation(one)).messages] == ["waiting", "waiting"]
            w.service.release()
            await w.finished(edited)
            assert [m.state for m in (await w.conversation(one)).messages] == ["done", "done"]

    run(go())


# a crash of this program ----------------------------------------------------------------------------------


def test_a_killed_program_loses_nothing_it_said_was_stored(tmp_path: Path) -> None:
    async def go() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.services.chat_writer", str(tmp_path),
            stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stdout is not None
        reply_id, stored = "", 0
        try:
            while stored < 100:
                word, value = (await process.stdout.readline()).decode().split()
                if word == "reply":
                    reply_id = value
                else:
                    stored = int(value)
        finally:
            process.kill()  # SIGKILL: no handler runs, no file is closed
            rest = await process.stdout.read()
            await process.wait()
        stored = max([stored, *(int(line.split()[1]) for line in rest.decode().splitlines() if " " in line)])
        async with World(tmp_path, saying("x")) as w:
            assert await w.service.recover() == 2
            message = await w.message(reply_id)
            assert message.state == "interrupted"
            assert "before this reply was complete" in message.error
            numbers = message.content.split()
            assert len(numbers) >= stored
            assert numbers == [str(n) for n in range(len(numbers))]
            conversation = await w.conversation(message.conversation_id)
            assert [m.state for m in conversation.messages] == ["done", "interrupted", "done", "interrupted"]
            assert conversation.messages[2].content == "and this waits"
            assert await w.service.recover() == 0
            # and it can be continued
            w.server.handler = script = Script()
            await w.service.regenerate(reply_id)
            await script.finish(1)

    run(go())
