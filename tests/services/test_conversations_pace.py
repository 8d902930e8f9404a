"""Few emissions, few writes, and not a character lost; and titles."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.chat import ChatDelta, InferenceStats
from genai_desktop.core.errors import StorageError
from genai_desktop.services.chat_prompt import clean_text
from genai_desktop.services.delta_batch import EMIT_INTERVAL, STORE_INTERVAL, DeltaBatch, PartWriter
from genai_desktop.services.titles import TITLE_LENGTH, title_of
from tests.aio import run, until
from tests.fakes import chat_server as fake
from tests.fakes.chat_server import Reply, Request
from tests.services.chat_world import ManualTimer, World


class Emissions:
    def __init__(self, timer: ManualTimer) -> None:
        self._timer = timer
        self.times: list[float] = []
        self.deltas: list[ChatDelta] = []

    def __call__(self, delta: ChatDelta) -> None:
        self.times.append(self._timer.now)
        self.deltas.append(delta)

    @property
    def text(self) -> str:
        return "".join(delta.content for delta in self.deltas)

    def most_in_a_second(self) -> int:
        return max(sum(start <= t < start + 1.0 for t in self.times) for start in self.times)


def test_200_tokens_a_second_are_at_most_30_emissions() -> None:
    timer = ManualTimer()
    emissions = Emissions(timer)
    batch = DeltaBatch("c", "m", emissions, timer)
    pieces = [f"{n} ü👩‍🚀"[n % 4 :] for n in range(5_000)]
    for index, piece in enumerate(pieces):
        if index % 7:
            batch.add(content=piece)
        else:
            batch.add(content=piece, reasoning=f"r{index}")
        timer.advance(1 / 200)
        # nobody waits longer than one interval for what has arrived
        assert emissions.times[-1] >= timer.now - EMIT_INTERVAL - 1 / 200
    stats = InferenceStats(1, 5_000)
    batch.finish("stop", stats)
    assert emissions.text == "".join(pieces)
    assert "".join(d.reasoning for d in emissions.deltas) == "".join(f"r{n}" for n in range(0, 5_000, 7))
    assert emissions.most_in_a_second() <= 30
    assert len(emissions.times) <= 25 * 30 + 2
    assert (emissions.deltas[-1].finish_reason, emissions.deltas[-1].stats) == ("stop", stats)
    assert batch.emitted[0] == emissions.text
    timer.advance(10)
    assert emissions.deltas[-1].stats == stats, "nothing comes after the last one"


@given(st.lists(st.tuples(st.floats(0, 0.2), st.text(max_size=4)), max_size=80))
def test_any_pace_keeps_the_text_and_the_limit(steps: list[tuple[float, str]]) -> None:
    timer = ManualTimer()
    emissions = Emissions(timer)
    batch = DeltaBatch("c", "m", emissions, timer)
    for pause, text in steps:
        timer.advance(pause)
        batch.add(content=text)
    batch.finish()
    assert emissions.text == "".join(text for _, text in steps)
    gaps = [b - a for a, b in pairwise(emissions.times[:-1])]
    assert all(gap >= EMIT_INTERVAL - 1e-9 for gap in gaps)
    assert not emissions.times or emissions.most_in_a_second() <= 30


def test_the_first_token_is_not_held_back() -> None:
    timer = ManualTimer()
    emissions = Emissions(timer)
    batch = DeltaBatch("c", "m", emissions, timer)
    batch.add(prompt_progress=0.0)
    batch.add(prompt_progress=0.5)
    timer.advance(EMIT_INTERVAL)
    assert [d.prompt_progress for d in emissions.deltas] == [0.0, 0.5]
    batch.add(prompt_progress=1.0)
    batch.add(content="now")
    assert emissions.times[-1] == timer.now
    assert emissions.deltas[-1].content == "now"
    assert emissions.deltas[-1].prompt_progress is None
    batch.add(content=" and")
    assert emissions.text == "now"
    timer.advance(EMIT_INTERVAL)
    assert emissions.text == "now and"


def test_an_alarm_that_rings_early_is_set_again() -> None:
    timer = ManualTimer()
    emissions = Emissions(timer)
    batch = DeltaBatch("c", "m", emissions, timer)
    batch.add(content="a")
    batch.add(content="b")
    alarm = timer.alarms.pop()
    timer.now += EMIT_INTERVAL * 0.9  # Qt's coarse timers do this
    alarm.callback()
    assert emissions.text == "a"
    timer.advance(EMIT_INTERVAL)
    assert emissions.text == "ab"


def test_a_real_stream_of_5000_deltas(tmp_path: Path) -> None:
    """Through sockets and database: exactly the text, and emissions in proportion to the time it took."""

    async def go() -> None:
        words = [f"w{n} " for n in range(5_000)]

        async def handler(request: Request, reply: Reply) -> None:
            await reply.start_stream()
            for start in range(0, len(words), 10):
                await reply.send(b"".join(fake.delta(content=word) for word in words[start : start + 10]))
            await reply.send(fake.ending(predicted=5_000))
            await reply.end()

        async with World(tmp_path, handler) as w:
            times: list[float] = []
            loop = asyncio.get_running_loop()
            w.service.on("delta", lambda _: times.append(loop.time()))
            message = await w.finished(await w.service.send(await w.create(), "go"))
            assert message.content == "".join(words)
            assert "".join(delta.content for delta in w.seen.deltas) == message.content
            gaps = [b - a for a, b in pairwise(times[:-1])]
            assert all(gap >= EMIT_INTERVAL * 0.99 for gap in gaps)
            parts = await w.database.read(
                lambda c: c.execute("SELECT count(*) FROM message_parts").fetchone()
            )
            assert parts[0] == 0  # folded into the message

    run(go())


# writing --------------------------------------------------------------------------------------------------


def test_writes_come_at_most_every_half_second() -> None:
    async def go() -> None:
        timer = ManualTimer()
        written: list[tuple[float, str]] = []

        async def write(content: str, reasoning: str) -> None:
            written.append((timer.now, content + reasoning))

        writer = PartWriter(write, timer)
        for n in range(400):
            writer.add(f"{n} ", "")
            timer.advance(0.01)
            for _ in range(3):
                await asyncio.sleep(0)  # lets a write that began end
            stored = sum(text.count(" ") for _, text in written)
            assert n + 1 - stored <= STORE_INTERVAL / 0.01 + 1, "more than half a second could be lost"
        assert len(written) <= 4 / STORE_INTERVAL + 1
        await writer.close()
        writer.add("after", "")
        timer.advance(5)
        count = len(written)
        await asyncio.sleep(0)
        assert len(written) == count

    run(go())


def test_a_write_that_fails_is_made_up_for() -> None:
    async def go() -> None:
        timer = ManualTimer()
        written: list[str] = []
        is_full = True

        async def write(content: str, reasoning: str) -> None:
            if is_full:
                raise StorageError("The disk is full; nothing was changed.")
            written.append(content)

        writer = PartWriter(write, timer)
        writer.add("a", "")
        timer.advance(0)
        await until(lambda: writer.error is not None)
        is_full = False
        writer.add("b", "")
        timer.advance(STORE_INTERVAL)
        await until(lambda: bool(written))
        assert written == ["ab"]
        await until(lambda: writer.error is None)
        await writer.close()

    run(go())


# titles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Hello", "Hello"),
        ("\n\n  # **Big** `plan`\nmore", "Big plan"),
        ("- one\n- two", "one"),
        ("```\n```", ""),
        ("", ""),
        ("a\x00b\x1b[2J\tc", "a b [2J c"),
        ("word " * 30, ("word " * 12).strip() + "…"),
    ],
)
def test_titles(text: str, title: str) -> None:
    assert title_of(text) == title


@pytest.mark.parametrize("unit", ["👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "日"])
@pytest.mark.parametrize("shift", range(4))
def test_titles_are_never_cut_inside_a_character(unit: str, shift: int) -> None:
    title = title_of("x" * shift + unit * 60)
    assert len(title) <= TITLE_LENGTH
    body = title.removesuffix("…")[shift:]
    assert len(body) % len(unit) == 0
    assert body == unit * (len(body) // len(unit))
    assert body


@given(st.text())
def test_any_text_has_a_short_title_of_one_line(text: str) -> None:
    title = title_of(text)
    assert len(title) <= TITLE_LENGTH
    assert "\n" not in title
    clean_text(title).encode()


@given(st.text(st.characters(codec="utf-16", exclude_categories=())))
def test_clean_text_is_always_utf8_and_changes_nothing_that_was(text: str) -> None:
    clean_text(text).encode("utf-8")
    if max(text, default="") < "\ud800" or all(not "\ud800" <= c <= "\udfff" for c in text):
        assert clean_text(text) == text
