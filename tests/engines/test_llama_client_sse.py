"""The event parser against every way to cut and to end lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.engines.sse import MAX_EVENT_BYTES, EventTooLongError, SseParser

PAYLOADS = st.lists(
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), min_size=1, max_size=30),
    max_size=6,
)
NEWLINES = st.sampled_from(["\n", "\r\n", "\r"])


@given(PAYLOADS, NEWLINES, st.lists(st.integers(0, 500), max_size=20), st.booleans(), st.booleans())
def test_any_cut_and_any_line_end(
    payloads: list[str], newline: str, cuts: list[int], has_mark: bool, has_comments: bool
) -> None:
    lines = [": hello", "event: message", "id: 7", "retry: 3", "unknown", ":", ""] if has_comments else []
    for payload in payloads:
        lines += [f"data: {payload}", ""]
    data = (b"\xef\xbb\xbf" if has_mark else b"") + "".join(line + newline for line in lines).encode()
    points = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parser = SseParser()
    found: list[str] = []
    for index, start in enumerate(points):
        found += parser.feed(data[start : points[index + 1] if index + 1 < len(points) else len(data)])
    assert found + parser.close() == payloads


def test_several_data_lines_are_one_event() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\ndata:b\ndata\ndata:  c\n\n\n\ndata: d\n\n") == ["a\nb\n\n c", "d"]


def test_an_unfinished_event_comes_out_at_the_end_only() -> None:
    parser = SseParser()
    assert parser.feed(b'data: {"a":1}\ndata: tai') == []
    assert parser.close() == ['{"a":1}\ntai']
    assert parser.close() == []


def test_a_character_cut_in_two_and_one_that_is_none() -> None:
    parser = SseParser()
    word = "data: 👩‍🚀\n\n".encode()
    assert [payload for byte in word for payload in parser.feed(bytes([byte]))] == ["👩‍🚀"]
    assert parser.feed(b"data: \xff\xfe ok\n\n") == ["\ufffd\ufffd ok"]


def test_the_older_form_of_errors() -> None:
    assert SseParser().feed(b'error: {"code":500}\n\n') == ['{"error":{"code":500}}']


@pytest.mark.parametrize("piece", [b"x" * 65536, b"data: " + b"y" * 65536 + b"\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    parser = SseParser()
    parser.feed(b"data: ")
    for _ in range(MAX_EVENT_BYTES // len(piece) - 1):
        parser.feed(piece)
    with pytest.raises(EventTooLongError):
        parser.feed(piece * 3)
    # many short events are no long one
    parser = SseParser()
    for _ in range(MAX_EVENT_BYTES // 65536 + 2):
        parser.feed(b"data: " + b"z" * 65536 + b"\n\n")
