"""Numbers as people read them."""

from __future__ import annotations

import time

import pytest

from genai_desktop.core.jobs import Progress
from genai_desktop.ui.widgets import format as fmt

GIB = 1 << 30


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        (0, "0 B"),
        (900, "900 B"),
        (5 << 20, "5 MiB"),
        (104 << 20, "0.1 GiB"),
        (round(4.05 * GIB), "4.0 GiB"),
        (62 * GIB, "62.0 GiB"),
        (1500 * GIB, "1.5 TiB"),
    ],
)
def test_sizes(value: int | None, text: str) -> None:
    assert fmt.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (4.3, "4.3 s"),
        (12, "12 s"),
        (60, "1 m"),
        (80, "1 m 20 s"),
        (3599.7, "1 h"),
        (7500, "2 h 5 m"),
        (90_000, "1 d 1 h"),
        (None, "\u2013"),
        (-3, "\u2013"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (118e6, "118 MB/s"),
        (4.2e6, "4.2 MB/s"),
        (830e3, "830 kB/s"),
        (1.25e9, "1.2 GB/s"),
        (0, ""),
        (None, ""),
    ],
)
def test_speeds(rate: float | None, text: str) -> None:
    assert fmt.speed(rate) == text


def test_token_rate() -> None:
    assert fmt.token_rate(42.3) == "42.3 tok/s"
    assert fmt.token_rate(0) == ""


def test_used_of_says_only_what_is_known() -> None:
    assert fmt.used_of(5.2 * GIB, 16 * GIB) == "5.2 of 16.0 GiB"
    assert fmt.used_of(3 << 20, 5 << 20) == "3 MiB of 5 MiB"
    assert fmt.used_of(0, 0) == "\u2013"
    assert fmt.used_of(None, 16 * GIB) == "16.0 GiB"
    assert fmt.used_of(2 * GIB, None) == "2.0 GiB"


@pytest.mark.parametrize(
    ("count", "text"),
    [(7_615_000_000, "7.6B"), (70_000_000_000, "70B"), (350_000_000, "350M"), (0, "\u2013")],
)
def test_parameters(count: int, text: str) -> None:
    assert fmt.parameters(count) == text


def test_context() -> None:
    assert fmt.context(131_072) == "128k"
    assert fmt.context(40_000) == "40,000"
    assert fmt.context(None) == "\u2013"


def test_when() -> None:
    now = time.time()
    assert fmt.when(now).startswith("today ")
    assert fmt.when(now - 86_400).startswith("yesterday ")
    assert "today" not in fmt.when(now - 40 * 86_400)


def test_a_job_that_knows_nothing_says_nothing() -> None:
    assert fmt.progress_line(Progress(unit="bytes")) == ""
    assert "0 B" not in fmt.progress_line(Progress(0, 0, "bytes", "resolving"))


def test_progress_lines() -> None:
    line = fmt.progress_line(Progress(1.2 * GIB, 4.1 * GIB, "bytes", "downloading", 118e6, 25))
    assert line == "downloading · 1.2 of 4.1 GiB · 118 MB/s · 25 s left"
    assert fmt.progress_line(Progress(7, 20, "steps")) == "step 7 of 20"
    assert fmt.progress_line(Progress(2, 3, "files", eta=4)) == "2 of 3 · 4 s left"
    assert fmt.amount(Progress(37, 100, "percent")) == "37 %"
