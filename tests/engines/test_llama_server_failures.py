"""Every way llama-server is known to fail gets its cause, a sentence and a remedy."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from genai_desktop.core import errors
from genai_desktop.engines.driver import Failure
from genai_desktop.engines.llama_failures import classify
from genai_desktop.engines.logs import LineSplitter
from genai_desktop.engines.process import ExitStatus
from tests.services.test_llama_server import REPLAYS

DATA = Path(__file__).resolve().parent.parent / "data" / "llama-server"
ONE = ExitStatus(code=1)


def explain(status: ExitStatus, *lines: str, is_loaded: bool = False) -> Failure:
    return classify(status, lines, model="/models/my model.gguf", is_loaded=is_loaded)


@pytest.mark.parametrize(("name", "kind", "code"), REPLAYS)
def test_recordings_cut_at_random_bytes(name: str, kind: type[errors.GenaiError], code: str) -> None:
    data = (DATA / f"{name}.err.txt").read_bytes()
    for seed in range(20):
        rng = random.Random(seed)
        splitter, lines, rest = LineSplitter(), [], data
        while rest:
            size = rng.randint(1, 60)
            lines += splitter.feed(rest[:size])
            rest = rest[size:]
        lines += splitter.flush()
        failure = explain(ONE, *lines)
        assert (type(failure.error), failure.error.code) == (kind, code)
        assert failure.error.remedy
        assert failure.is_final or code == "OUT_OF_MEMORY", "only memory may be there the next time"


@pytest.mark.parametrize("name", ["port_in_use", "shim_portinuse"])
def test_a_taken_port_is_bad_luck(name: str) -> None:
    failure = explain(ONE, *(DATA / f"{name}.err.txt").read_text().splitlines())
    assert failure.error.code == "PORT_IN_USE"
    assert failure.is_retryable_at_once
    assert not failure.is_final


@pytest.mark.parametrize(
    ("lines", "code", "kind", "words"),
    [
        (["x: error while loading shared libraries: libcuda.so.1: cannot open shared object file"],
         "ENGINE_MISSING_LIBRARY", errors.EngineError, "libcuda.so.1"),
        (["./llama-server: /lib/libc.so.6: version `GLIBC_2.39' not found (required by ./x)"],
         "ENGINE_MISSING_LIBRARY", errors.EngineError, "GLIBC_2.39"),
        (["dyld[1]: Library not loaded: @rpath/libggml.dylib"],
         "ENGINE_MISSING_LIBRARY", errors.EngineError, "libggml.dylib"),
        (["error: the embedded llama.cpp needs the package xllamacpp, which is missing"],
         "ENGINE_MISSING_LIBRARY", errors.EngineError, "xllamacpp"),
        (["0.0 E gguf_init_from_file: failed to open GGUF file '/m/x.gguf' (Permission denied)"],
         "MODEL_UNREADABLE", errors.ModelFileError, "Permission denied"),
        (["E gguf_init_from_reader: invalid magic characters: '<!DO', expected 'GGUF'"],
         "NOT_A_MODEL", errors.ModelFileError, "web page"),
        (["E gguf_init_from_reader: invalid magic characters: '<htm', expected 'GGUF'"],
         "NOT_A_MODEL", errors.ModelFileError, "web page"),
        (["E gguf_init_from_reader: invalid magic characters: '", "<!D', expected 'GGUF'"],
         "NOT_A_MODEL", errors.ModelFileError, "web page"),
        (["E gguf_init_from_reader: invalid magic characters: 'vers', expected 'GGUF'"],
         "NOT_A_MODEL", errors.ModelFileError, "Git LFS"),
        (["E gguf_init_from_reader: invalid magic characters: '''?', expected 'GGUF'"],
         "NOT_A_MODEL", errors.ModelFileError, "my model.gguf"),
        (["E gguf_init_from_file: this GGUF file is version 4 but this software only supports up to 3"],
         "UNKNOWN_ARCHITECTURE", errors.ModelFileError, "version 4"),
        (["E error loading model vocabulary: unknown pre-tokenizer type: 'nextgen'"],
         "UNKNOWN_ARCHITECTURE", errors.ModelFileError, "nextgen"),
        (["E llama_model_load: error loading model: missing tensor 'blk.3.attn_q.weight'"],
         "MODEL_DAMAGED", errors.ModelFileError, "blk.3.attn_q.weight"),
        (["E gguf_init_from_reader: failed to read header"],
         "MODEL_DAMAGED", errors.ModelFileError, "damaged"),
        (["E alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory",
          "E llama_model_load: error loading model: unable to allocate CUDA0 buffer"],
         "OUT_OF_MEMORY", errors.InsufficientResourcesError, "memory"),
        (["ggml_vulkan: Device memory allocation of size 1073741824 failed.", "vk: ErrorOutOfDeviceMemory"],
         "OUT_OF_MEMORY", errors.InsufficientResourcesError, "memory"),
        (["terminate called after throwing an instance of 'std::bad_alloc'"],
         "OUT_OF_MEMORY", errors.InsufficientResourcesError, "memory"),
        (["E llama_init_from_model: failed to initialize the context: failed to allocate compute pp"],
         "OUT_OF_MEMORY", errors.InsufficientResourcesError, "memory"),
        (["E quantized V cache was requested, but this requires Flash Attention"],
         "BAD_CACHE_TYPE", errors.ConfigurationError, "Flash Attention"),
        (["vk::Queue::submit: ErrorDeviceLost"], "GPU_FAILED", errors.EngineError, "ErrorDeviceLost"),
        (["CUDA error: an illegal memory access was encountered"],
         "GPU_FAILED", errors.EngineError, "illegal"),
        (["/src/ggml.c:123: GGML_ASSERT(n_dims > 0) failed"],
         "ENGINE_ABORTED", errors.ServerError, "n_dims > 0"),
        (["E srv load_model: failed to load model, 'x'"],
         "MODEL_NOT_LOADED", errors.ModelFileError, "my model"),
        ([], "SERVER_EXITED", errors.ServerError, "exit code 1"),
        (["0.0 E srv something unheard of"], "SERVER_EXITED", errors.ServerError, "unheard of"),
    ],
)  # fmt: skip
def test_words_of_the_log(lines: list[str], code: str, kind: type[errors.GenaiError], words: str) -> None:
    error = explain(ONE, *lines).error
    assert (error.code, type(error)) == (code, kind)
    assert words in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [
        (ExitStatus(signal=signal.SIGILL), "ILLEGAL_INSTRUCTION", True),
        (ExitStatus(code=0xC000001D), "ILLEGAL_INSTRUCTION", True),
        (ExitStatus(code=0xC0000135), "ENGINE_MISSING_LIBRARY", True),
        (ExitStatus(code=0xC0000005), "SERVER_CRASHED", False),
        (ExitStatus(code=127), "ENGINE_NOT_EXECUTABLE", True),
        (ExitStatus(signal=signal.SIGKILL), "KILLED", False),
        (ExitStatus(signal=signal.SIGBUS), "MODEL_UNREADABLE", True),
        (ExitStatus(signal=signal.SIGSEGV), "SERVER_CRASHED", False),
        (ExitStatus(code=0), "SERVER_EXITED", False),
    ],
)
def test_the_status_alone(status: ExitStatus, code: str, final: bool) -> None:
    failure = explain(status, "0.00.008.185 I srv    load_model: loading model '/models/x.gguf'")
    assert (failure.error.code, failure.is_final) == (code, final)
    assert failure.error.details["exit_code"] == status.code
    assert failure.error.details["signal"] == status.signal


def test_a_server_that_had_been_serving_is_started_again() -> None:
    for status in (
        ExitStatus(signal=9),
        ExitStatus(signal=11),
        ExitStatus(code=0),
        ExitStatus(signal=7),
        ONE,
    ):
        assert not explain(status, "0.00.1 I listening on http://127.0.0.1:1", is_loaded=True).is_final
    assert explain(ExitStatus(signal=signal.SIGILL), is_loaded=True).is_final
    assert not explain(ExitStatus(signal=6), "CUDA error: lost", is_loaded=True).is_final
    assert not explain(ExitStatus(signal=6), "GGML_ASSERT(x) failed", is_loaded=True).is_final


def test_a_healthy_log_gives_no_cause() -> None:
    for name in (
        "recommended",
        "normal_lv4",
        "normal_defaults_lv4",
        "shim_normal",
        "shim_child",
        "normal_lv3",
    ):
        lines = (DATA / f"{name}.err.txt").read_text().splitlines()
        for is_loaded in (True, False):
            assert explain(ExitStatus(signal=11), *lines, is_loaded=is_loaded).error.code == "SERVER_CRASHED"
