"""Exit status and last lines of sd-cli, told as sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from genai_desktop.core.sd_failures import classify_failure, is_out_of_memory
from genai_desktop.core.sd_output import SdLine, SdOutputParser

DATA = Path(__file__).parents[1] / "data" / "sd-cli"


def recorded(name: str) -> tuple[int | None, int | None, list[str]]:
    """Exit code, signal and lines of a recorded run; the shell tells a signal as 128 + number."""
    parser = SdOutputParser()
    items = []
    for suffix, stream in ((".err", "stderr"), (".out", "stdout")):
        path = DATA / f"{name}{suffix}"
        if path.exists():
            items += parser.feed(path.read_bytes(), stream)  # type: ignore[arg-type]
    lines = [item.text for item in items + parser.finish() if isinstance(item, SdLine)]
    code = int((DATA / f"{name}.rc").read_text())
    return (None, code - 128, lines) if code > 128 else (code, None, lines)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("m827_err_badbackend", "ENGINE_UNSUITABLE", "backend 'cuda0' was not found"),
        ("m827_err_badint", "ENGINE_ARGUMENT", "does not accept"),
        ("m827_err_unknown_flag", "ENGINE_ARGUMENT", "--bogus"),
        ("m827_err_garbage", "BAD_MODEL_FILE", "garbage.gguf"),
        ("m827_err_missing_model", "MODEL_NOT_FOUND", "/nonexistent.gguf"),
        ("m827_err_noTE", "BAD_MODEL_FILE", "no text encoder"),
        ("m827_err_novae", "BAD_MODEL_FILE", "VAE is missing"),
        ("m827_err_trunc", "BAD_MODEL_FILE", "trunc.gguf"),
        ("m827_err_unwritable", "IO_ERROR", "could not be written"),
    ],
)
def test_recorded_failures(name: str, code: str, says: str) -> None:
    error = classify_failure(*recorded(name))
    assert error.code == code
    assert says in error.message
    assert error.remedy
    assert error.details["log"] or name == "m827_err_unknown_flag"


@pytest.mark.parametrize(
    "line",
    [
        "insufficient memory (attempted to allocate 4096.00 MB)",
        "model manager alloc params backend buffer failed, size = 8000.00MB",
        "ggml_backend_cuda: allocating 900.00 MiB on device 0: cudaMalloc failed: out of memory",
        "CUDA error: out of memory",
        "vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
        "vae: failed to allocate the compute buffer",
    ],
)
def test_out_of_memory(line: str) -> None:
    assert classify_failure(None, 6, ["loading", line]).code == "OUT_OF_MEMORY"


def test_prose_about_memory_is_no_failure() -> None:
    assert not is_out_of_memory("this model may run out of memory on small GPUs")
    assert not is_out_of_memory("total params memory size = 10.72MB")


def test_killed_from_outside_is_most_likely_memory() -> None:
    error = classify_failure(None, 9, [])
    assert error.code == "OUT_OF_MEMORY"
    assert "most likely" in error.message


@pytest.mark.parametrize(
    ("code", "signal", "wanted"),
    [
        (None, 11, "ENGINE_CRASHED"),
        (139, None, "ENGINE_CRASHED"),
        (0xC0000005, None, "ENGINE_CRASHED"),
        (None, 4, "ENGINE_UNSUITABLE"),
        (0xC000001D, None, "ENGINE_UNSUITABLE"),
        (0xC0000135, None, "ENGINE_UNSUITABLE"),
        (0, None, "NO_PICTURE"),
        (1, None, "BACKEND_ERROR"),
    ],
)
def test_statuses_without_a_known_line(code: int | None, signal: int | None, wanted: str) -> None:
    error = classify_failure(code, signal, ["something"])
    assert error.code == wanted
    assert error.details["log"] == ["something"]


def test_the_first_complaint_is_told() -> None:
    error = classify_failure(1, None, ["loading", "frobnication failed: no cheese", "generate failed"])
    assert "no cheese" in error.message


def test_a_missing_library_is_named() -> None:
    line = "sd-cli: error while loading shared libraries: libgomp.so.1: cannot open shared object file"
    error = classify_failure(127, None, [line])
    assert error.code == "ENGINE_UNSUITABLE"
    assert "libgomp.so.1" in error.message
