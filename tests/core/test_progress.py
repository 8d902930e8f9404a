"""Percent and remaining time of an image job."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.images import ImageProgress
from genai_desktop.core.progress import (
    EstimateBook,
    EstimateKey,
    ProgressTracker,
    StageTimes,
    passes_per_step,
)
from genai_desktop.core.sd_output import SdEvent, SdLine, SdOutputParser
from tests.core.test_sd_output import GOOD

KEY = EstimateKey("embedded b1", "flux:123", 512, 512, 4, 1)
TIMES = StageTimes(load=4.0, step=1.0, first_step=2.0, decode=3.0, first_decode=0.5, save=0.5)


def follow(path: Path, cuts: list[int], times: StageTimes | None = None) -> list[ImageProgress]:
    """Every progress line of a run whose output arrives in these pieces; a second passes per event."""
    data = path.read_bytes()
    parser = SdOutputParser()
    tracker = ProgressTracker("j", steps=20, images=1, started=0.0, times=times)
    now = 0.0
    seen: list[ImageProgress] = []
    begin = 0

    def take(items: list[SdEvent | SdLine]) -> None:
        nonlocal now
        for item in items:
            if not isinstance(item, SdLine):
                now += 1.0
                tracker.feed([item], now)
                seen.append(tracker.at(now))

    for end in [*cuts, len(data)]:
        take(parser.feed(data[begin:end]))
        begin = end
    take(parser.finish())
    tracker.finish(now)
    seen.append(tracker.at(now))
    return seen


@pytest.mark.parametrize("times", [None, TIMES], ids=["first-run", "known"])
@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_cut_anywhere_it_is_the_same_monotonic_sequence(path: Path, times: StageTimes | None) -> None:
    whole = follow(path, [], times)
    percents = [p.percent for p in whole]
    assert percents == sorted(percents)
    assert percents[-1] == 100.0
    assert max(percents[:-1]) <= 99.0
    stages = [p.stage for p in whole]
    order = ["loading", "diffusion", "decoding", "saving", "done"]
    assert [order.index(s) for s in stages] == sorted(order.index(s) for s in stages)
    assert set(stages) == set(order)
    size = path.stat().st_size
    dice = random.Random(path.name)
    for _ in range(10):
        assert follow(path, sorted(dice.sample(range(size), 200)), times) == whole


def test_a_first_run_does_not_pretend_to_know_the_time() -> None:
    seen = follow(GOOD[0], [])
    assert {p.eta for p in seen[:-1]} == {None}
    assert seen[-1].eta == 0.0
    assert len({p.percent for p in seen}) > 5


def run(tracker: ProgressTracker, pieces: list[tuple[float, str]]) -> None:
    """Feed lines at times."""
    parser = SdOutputParser()
    for now, text in pieces:
        tracker.feed([e for e in parser.feed((text + "\n").encode()) if not isinstance(e, SdLine)], now)


def bar(step: int, steps: int) -> str:
    return "  |" + "=" * 50 + f"| {step}/{steps} - 1.00s/it\x1b[K"


SCRIPT = [
    (4.0, "generating image: 1/2 - seed 1"),
    (7.0, bar(1, 4)), (8.0, bar(2, 4)), (9.0, bar(3, 4)), (10.0, bar(4, 4)),
    (10.0, "generating image: 2/2 - seed 2"),
    (11.0, bar(1, 4)), (12.0, bar(2, 4)), (13.0, bar(3, 4)), (14.0, bar(4, 4)),
    (14.0, "decoding 2 latents"),
    (17.5, "latent 1 decoded, taking 3.5s"), (20.5, "latent 2 decoded, taking 3.0s"),
    (20.5, "decode_first_stage completed, taking 6.5s"),
]  # fmt: skip


def test_a_finished_run_is_measured_by_stage() -> None:
    tracker = ProgressTracker("j", steps=4, images=2, started=0.0)
    run(tracker, SCRIPT)
    assert tracker.measured() is None
    tracker.finish(21.0)
    measured = tracker.measured()
    assert measured is not None
    assert (measured.load, measured.step, measured.first_step) == (4.0, 1.0, 2.0)
    assert (measured.first_decode, measured.decode, measured.save) == (0.5, 3.0, 0.5)
    assert measured.total(4, 2) == pytest.approx(21.0)


def test_a_second_run_knows_its_time_from_the_first_moment() -> None:
    tracker = ProgressTracker("j", steps=4, images=2, started=0.0, times=TIMES)
    assert tracker.at(0.0).eta == pytest.approx(21.0)
    assert tracker.at(2.0).eta == pytest.approx(19.0)
    run(tracker, SCRIPT[:5])
    assert tracker.at(10.0).eta == pytest.approx(11.0)
    assert tracker.at(10.0).percent == pytest.approx(100 * 10 / 21, abs=0.1)
    run(tracker, SCRIPT[5:11])
    assert tracker.at(15.5).eta == pytest.approx(5.5)
    assert tracker.at(15.5).stage == "decoding"


def test_a_slow_stage_never_takes_the_percentage_back_nor_the_time_below_zero() -> None:
    tracker = ProgressTracker("j", steps=4, images=1, started=0.0, times=TIMES)
    last = -1.0
    for now in range(200):
        progress = tracker.at(float(now))
        assert progress.percent >= last
        assert progress.eta is not None
        assert progress.eta >= 0
        last = progress.percent
    run(tracker, [(300.0, "generating image: 1/1 - seed 1"), (400.0, bar(1, 4))])
    assert tracker.at(400.0).percent >= last
    assert tracker.at(1e6).percent <= 99.0


def test_steps_of_this_run_correct_what_was_remembered() -> None:
    tracker = ProgressTracker("j", steps=10, images=1, started=0.0, times=TIMES)
    run(
        tracker, [(4.0, "generating image: 1/1 - seed 1"), *((7.0 + 5 * n, bar(1 + n, 10)) for n in range(4))]
    )
    eta = tracker.at(22.0).eta
    assert eta == pytest.approx(6 * 5.0 + 3.5 + 0.5)


def test_a_picture_of_one_step_is_measured_too() -> None:
    tracker = ProgressTracker("j", steps=1, images=1, started=0.0)
    run(tracker, [(1.0, "generating image: 1/1 - seed 1"), (3.0, bar(1, 1)), (3.0, "decoding 1 latents"),
                  (4.0, "latent 1 decoded, taking 1s")])  # fmt: skip
    tracker.finish(4.5)
    measured = tracker.measured()
    assert measured is not None
    assert measured.total(1, 1) == pytest.approx(4.5)


def test_an_unfinished_run_teaches_nothing() -> None:
    tracker = ProgressTracker("j", steps=4, images=2, started=0.0)
    run(tracker, SCRIPT[:3])
    assert tracker.measured() is None


def test_the_book_remembers_through_json() -> None:
    book = EstimateBook()
    stored = {KEY.text: json.loads(json.dumps(book.learn(KEY, TIMES)))}
    assert EstimateBook(stored).lookup(KEY) == TIMES
    assert EstimateKey.parse(KEY.text) == KEY


def test_the_newest_run_counts_most() -> None:
    book = EstimateBook()
    book.learn(KEY, TIMES)
    for _ in range(8):
        book.learn(KEY, StageTimes(8.0, 2.0, 2.0, 3.0, 0.5, 0.5))
    learnt = book.lookup(KEY)
    assert learnt is not None
    assert learnt.runs == 9
    assert learnt.load == pytest.approx(8.0, abs=0.01)


def test_another_size_of_the_same_model_is_scaled_and_another_model_is_unknown() -> None:
    book = EstimateBook()
    book.learn(KEY, TIMES)
    double = book.lookup(EstimateKey("embedded b1", "flux:123", 1024, 512, 30, 2))
    assert double is not None
    assert (double.step, double.decode, double.load) == (4.0, 6.0, 4.0)
    assert book.lookup(EstimateKey("embedded b1", "other", 512, 512, 4, 1)) is None
    assert book.lookup(EstimateKey("cuda b1", "flux:123", 512, 512, 4, 1)) is None


@pytest.mark.parametrize(
    "entry", [{}, {"load": "x"}, None, {**dict.fromkeys(("step", "first_step", "decode"), 1.0), "load": -1}]
)
def test_damaged_entries_are_left_out(entry: object) -> None:
    book = EstimateBook({KEY.text: entry, "rubbish": {"load": 1}})  # type: ignore[dict-item]
    assert book.lookup(KEY) is None


def test_passes() -> None:
    assert [passes_per_step(1, ""), passes_per_step(7, "euler"), passes_per_step(0, "heun")] == [1, 2, 4]


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 4096), st.integers(1, 200))
def test_keys_survive_any_name(engine: str, model: str, size: int, steps: int) -> None:
    key = EstimateKey(engine, model.replace("|", ""), size, size, steps, 1)
    again = EstimateKey.parse(key.text)
    assert again is not None
    assert again.text == key.text
