"""The parser of sd-cli's output: the same events for every chunking, release, and byte order."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.core.sd_output import (
    AllDecoded,
    Completed,
    Decoding,
    ImageDecoded,
    ImageSampled,
    ImageStarted,
    Loaded,
    Loading,
    MemoryPlanned,
    ModelRecognised,
    Saved,
    SavedCount,
    SdEvent,
    SdLine,
    SdOutputParser,
    SizeChosen,
    Step,
    TextEncoded,
    Tile,
)

DATA = Path(__file__).parents[1] / "data" / "sd-cli"
TRANSCRIPTS = sorted(DATA.glob("*.out"))
GOOD = [path for path in TRANSCRIPTS if "1/1 images saved" in path.read_text("utf-8", "replace")] + [
    path for path in TRANSCRIPTS if "2/2 images saved" in path.read_text("utf-8", "replace")
]


def parse(data: bytes, cuts: list[int] | None = None) -> list[SdEvent | SdLine]:
    parser = SdOutputParser()
    found: list[SdEvent | SdLine] = []
    begin = 0
    for end in [*(cuts or []), len(data)]:
        found += parser.feed(data[begin:end])
        begin = end
    return found + parser.finish()


def events(data: bytes, cuts: list[int] | None = None) -> list[SdEvent]:
    return [item for item in parse(data, cuts) if not isinstance(item, SdLine)]


def windows_order(data: bytes) -> bytes:
    """What the same program writes into a pipe on Windows: a tag follows the message it belongs to."""
    out = bytearray()
    tag = b""
    for line in re.split(rb"(?<=\n)", data):
        match = re.match(rb"(\[\w+ ?\] )(.*)", line, re.DOTALL)
        if match is None:
            out += tag + line.replace(b"\n", b"\r\n")  # bars go through text mode
            tag = b""
        else:
            out += match[2] + match[1]
    return bytes(out)


def test_there_are_transcripts_of_both_orders() -> None:
    assert len(GOOD) >= 12
    assert {path.name[:4] for path in GOOD} == {"m596", "m827"}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: p.stem)
def test_two_hundred_random_cuttings_change_nothing(path: Path) -> None:
    data = path.read_bytes()
    whole = parse(data)
    dice = random.Random(path.name)
    for _ in range(20):
        cuts = sorted(dice.sample(range(len(data) + 1), min(200, len(data))))
        assert parse(data, cuts) == whole


@pytest.mark.parametrize("path", [GOOD[0], GOOD[-1]], ids=lambda p: p.stem)
def test_byte_by_byte_changes_nothing(path: Path) -> None:
    data = path.read_bytes()
    assert parse(data, list(range(1, len(data)))) == parse(data)


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_windows_byte_order_gives_the_same_events(path: Path) -> None:
    data = path.read_bytes()
    assert events(windows_order(data)) == events(data)


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_every_good_run_has_its_stages_in_order(path: Path) -> None:
    kinds = [type(event) for event in events(path.read_bytes())]
    order = [
        ModelRecognised,
        SizeChosen,
        ImageStarted,
        ImageSampled,
        Decoding,
        ImageDecoded,
        AllDecoded,
        Completed,
    ]
    assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order)
    assert kinds[-1] is SavedCount
    assert TextEncoded in kinds
    assert MemoryPlanned in kinds


def test_batch_of_the_older_release_word_for_word() -> None:
    found = events((DATA / "m596_flux_batch2.out").read_bytes())
    assert ModelRecognised("Flux") in found
    assert found.index(Loaded("load", 0.6)) < found.index(ImageStarted(1, 2, 42))
    assert [e for e in found if isinstance(e, Step)] == [
        Step(image, 2, step, 4) for image in (1, 2) for step in (1, 2, 3, 4)
    ]
    assert [e for e in found if isinstance(e, Saved)] == [Saved("g_00.png", True), Saved("g_01.png", True)]
    assert all(e.phase == "load" for e in found if isinstance(e, Loading))
    planned = next(e for e in found if isinstance(e, MemoryPlanned))
    assert (planned.total, planned.vae) == (round(71.98 * 2**20), round(2.35 * 2**20))


def test_lazy_loading_of_the_newer_release_is_not_taken_for_steps() -> None:
    found = events((DATA / "m827_flux_batch2.out").read_bytes())
    assert [e.phase for e in found if isinstance(e, Loading)] == ["load", "sample", "decode"]
    assert [e for e in found if isinstance(e, Step)] == [
        Step(image, 2, step, 4) for image in (1, 2) for step in (1, 2, 3, 4)
    ]


def test_tiles_are_not_steps() -> None:
    found = events((DATA / "m827_tiling.out").read_bytes())
    assert [e.tile for e in found if isinstance(e, Tile)] == list(range(1, 10))
    assert {e.tiles for e in found if isinstance(e, Tile)} == {9}


def test_the_bar_counts_the_steps_not_the_command_line() -> None:
    steps = [e for e in events((DATA / "m827_img2img.out").read_bytes()) if isinstance(e, Step)]
    assert [(e.step, e.steps) for e in steps] == [(n, 5) for n in range(1, 6)]


def test_loading_bars_of_old_releases_look_like_steps_and_are_not() -> None:
    bar = "\r  |" + "=" * 24 + ">" + " " * 25 + "| 50/100 - 20.31it/s\x1b[K"
    text = f"{bar}\n[INFO ] x.cpp:1 - generating image: 1/1 - seed 7\n{bar}"
    assert events(text.encode()) == [Loading("load", 50, 100), ImageStarted(1, 1, 7), Step(1, 1, 50, 100)]


def test_a_step_is_seen_as_soon_as_its_bar_is_complete() -> None:
    parser = SdOutputParser()
    parser.feed(b"[INFO ] x.cpp:1 - generating image: 1/1 - seed 7\n")
    bar = b"\r  |" + b"=" * 25 + b" " * 25 + b"| 2/4 - 1.00s/it\x1b[K"
    assert parser.feed(bar[:-1]) == []
    assert parser.feed(bar[-1:]) == [Step(1, 1, 2, 4)]


def test_older_words_for_saved_and_seconds() -> None:
    text = (
        "[INFO ] s.cpp:1 - get_learned_condition completed, taking 1500 ms\n"
        "save result PNG image to 'a.png' (success)\n"
        "save result image 1 to 'b c.png' (failure)\n"
    )
    assert events(text.encode()) == [TextEncoded(1.5), Saved("a.png", True), Saved("b c.png", False)]


def test_standard_error_gives_lines_only() -> None:
    parser = SdOutputParser()
    data = b"[ERROR] main.cpp:1 - generating image: 1/1 - seed 1\nggml_cuda_init: found 1 CUDA devices\n"
    assert parser.feed(data, "stderr") == [
        SdLine("generating image: 1/1 - seed 1", "stderr"),
        SdLine("ggml_cuda_init: found 1 CUDA devices", "stderr"),
    ]


def test_half_a_character_at_the_border_of_a_chunk() -> None:
    data = "[INFO ] m.cpp:1 - save result image 0 to 'grün 猫.png' (success)\n".encode()
    for cut in range(len(data)):
        assert events(data, [cut]) == [Saved("grün 猫.png", True)]


def test_a_flood_without_line_ends_does_not_grow() -> None:
    parser = SdOutputParser()
    for _ in range(64):
        parser.feed(b"x" * 65536)
    assert sum(len(segments._pending) for segments in parser._split.values()) <= 1 << 17


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_are_survived_and_chunking_never_matters(data: bytes, cuts: list[int]) -> None:
    assert parse(data, sorted(min(cut, len(data)) for cut in cuts)) == parse(data)
