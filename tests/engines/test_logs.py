"""Bytes to lines, lines to levels, lines to files; and no secret anywhere."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.servers import LogEntry
from genai_desktop.engines.logs import (
    MAX_LINE,
    REDACTED,
    LineSplitter,
    OutputReader,
    ProcessLog,
    RotatingFile,
    level_of,
    redact,
)
from tests.aio import run

DATA = Path(__file__).resolve().parent.parent / "data" / "llama-server"


def split(pieces: list[bytes]) -> list[str]:
    splitter = LineSplitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return lines + splitter.flush()


def cut(data: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    pieces = []
    while data:
        size = rng.choice((1, 1, 2, 3, 7, 64, 1000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\ntwo", ["one", "two"]),
        (b"a\r\nb\rc\nd\r", ["a", "b", "c", "d"]),
        (b"\n\r\n\r", ["", "", ""]),
        (b"10%\r20%\r100%\n", ["10%", "20%", "100%"]),
        ("ü€😀\n".encode(), ["ü€😀"]),
        (b"half \xc3", ["half \N{REPLACEMENT CHARACTER}"]),
        (b"bad \xff byte\n", ["bad \N{REPLACEMENT CHARACTER} byte"]),
    ],
)
def test_lines(data: bytes, lines: list[str]) -> None:
    assert split([data]) == lines
    assert split([bytes([byte]) for byte in data]) == lines, "byte by byte"


@given(st.binary(max_size=400), st.integers(0, 1000))
def test_lines_do_not_depend_on_the_cuts(data: bytes, seed: int) -> None:
    assert split(cut(data, seed)) == split([data])


def test_recordings_cut_anywhere() -> None:
    for path in sorted(DATA.glob("*.err.txt")):
        data = path.read_bytes()
        assert split(cut(data, 1)) == split([data]) == data.decode("utf-8", "replace").splitlines()


def test_a_line_without_end_does_not_eat_the_memory() -> None:
    splitter = LineSplitter()
    lines = splitter.feed(b"x" * (3 * MAX_LINE + 5))
    assert [len(line) for line in lines] == [MAX_LINE] * 3
    assert splitter.flush() == ["xxxxx"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("0.00.005.806 I srv  llama_server: initializing ...", "info"),
        ("0.00.004.153 W srv  llama_server: security: no API key", "warn"),
        ("0.00.008.527 E common_fit_params: encountered an error", "error"),
        ("12.34.005.806 D slot update: error in name only", "debug"),
        ("0.00.005.806 I print_info: f_norm_eps = 0 error", "info"),
        ("main: error: could not load the model", "error"),
        ("error: invalid argument: --frobnicate", "error"),
        ('error while handling argument "-fa": unknown', "error"),
        ("E shim: Failed to init server", "error"),
        ("warning: no usable GPU found, --gpu-layers option will be ignored", "warn"),
        ("warning: failed is a harder word", "error"),
        ("[ERROR] stable-diffusion.cpp:12 - nope", "error"),
        ("[WARN ] ggml_extend.hpp:1 - hm", "warn"),
        ("[INFO ] main.cpp:1 - failed to be an error", "info"),
        ("[DEBUG] main.cpp:1 - x", "debug"),
        ("GGML_ASSERT(n > 0) failed", "error"),
        ("finished with 0 errors", "info"),
        ("llama_perf_context_print: load time = 1 ms", "info"),
        ("Available devices:", "info"),
        ("I am a sentence", "info"),
        ("", "info"),
    ],
)
def test_levels_come_from_the_words(line: str, level: str) -> None:
    assert level_of(line) == level


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer abcdefghijklmnop",
        "authorization: bearer ABCDEFGHIJKLMNOP==",
        'headers {"x-api-key": "0123456789abcdef"}',
        "GET https://example.com/m.gguf?token=0123456789abcdef&x=1",
        "api_key=0123456789abcdef, next",
        "using hf_abcdefghijklmnopqrstuvwx for download",
        "sk-abcdefghijklmnopqrstuvwx",
        "my own s3cret-value here",
    ],
)
def test_secrets_are_replaced_and_the_rest_is_kept(line: str) -> None:
    text = redact(line, ["s3cret-value"])
    assert REDACTED in text
    for secret in ("abcdefghijklmnop", "ABCDEFGHIJ", "0123456789", "s3cret-value"):
        assert secret not in text
    assert text.split(REDACTED)[0] == line[: len(text.split(REDACTED)[0])]


@pytest.mark.parametrize(
    "line",
    [
        "0.00.671.540 I slot print_timing: prompt eval time = 232.19 ms / 16 tokens (14.51 ms per token)",
        "llama_model_loader: - kv 19: tokenizer.ggml.bos_token_id u32 = 1",
        "print_info: EOS token             = 4 '<|im_end|>'",
        "srv  init_listene: api_keys: ****zz",
        "slot task-1234567890123456: processing",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line, ["", "s3cret"]) == line


def test_no_recorded_line_is_taken_for_a_secret() -> None:
    for path in sorted(DATA.glob("*.err.txt")):
        for line in path.read_text(errors="replace").splitlines():
            assert redact(line) == line


def test_the_ring_keeps_the_newest() -> None:
    heard: list[LogEntry] = []
    log = ProcessLog(None, time=lambda: 0.0, on_entry=heard.append, size=3)
    for number in range(5):
        log.add(f"line {number}")
    assert [entry.message for entry in log.entries()] == ["line 2", "line 3", "line 4"]
    assert [entry.message for entry in log.entries(2)] == ["line 3", "line 4"]
    assert log.entries(0) == ()
    assert log.entries(-5) == ()
    assert len(heard) == 5
    log.clear()
    assert log.entries() == ()


def test_a_hidden_value_reaches_nobody(tmp_path: Path) -> None:
    async def go() -> None:
        heard: list[LogEntry] = []
        log = ProcessLog(RotatingFile(tmp_path / "x.log"), time=lambda: 0.0, on_entry=heard.append)
        log.hide("top-secret-key")
        log.hide("")
        log.add("key is top-secret-key!")
        await log.flush()
        assert heard[0].message == f"key is {REDACTED}!"
        assert "top-secret" not in (tmp_path / "x.log").read_text()

    run(go())


def test_each_pipe_has_its_own_lines() -> None:
    got: list[tuple[str, str]] = []
    reader = OutputReader(lambda line, stream: got.append((stream, line)))
    reader.feed("stdout", b"out ")
    reader.feed("stderr", b"err ")
    reader.feed("stdout", b"1\n")
    reader.feed("stderr", b"1\nlast")
    reader.finish()
    reader.finish()
    assert got == [("stdout", "out 1"), ("stderr", "err 1"), ("stderr", "last")]


def test_the_file_rotates_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "server.log"

    async def go() -> None:
        file = RotatingFile(path, max_bytes=1000, archives=2)
        for number in range(200):
            file.append(f"line {number:04} " + "x" * 20)
            if number % 7 == 0:
                await file.flush()
        await file.flush()

    run(go())
    files = sorted(p.name for p in path.parent.iterdir())
    assert files == ["server.log", "server.log.1", "server.log.2"]
    assert all(p.stat().st_size <= 1000 for p in path.parent.iterdir())
    newest = "".join(
        (path.parent / name).read_text() for name in ("server.log.2", "server.log.1", "server.log")
    )
    numbers = [int(line.split()[1]) for line in newest.splitlines()]
    assert numbers == list(range(numbers[0], 200)), "nothing lost or doubled among what is kept"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_written_while_writing_are_kept_in_order(tmp_path: Path) -> None:
    path = tmp_path / "server.log"

    async def go() -> None:
        import asyncio

        file = RotatingFile(path)
        for number in range(2000):
            file.append(str(number))
            if number % 50 == 0:
                await asyncio.sleep(0)
        await file.flush()

    run(go())
    assert path.read_text().split() == [str(n) for n in range(2000)]


def test_a_disk_that_refuses_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        file = RotatingFile(tmp_path)  # a folder cannot be written
        for _ in range(3):
            file.append("x")
            await file.flush()

    run(go())
    assert len([r for r in caplog.records if "cannot be written" in r.message]) == 1
