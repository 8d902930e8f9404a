"""What the log of llama-server tells, on recordings of the real one cut at any byte."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.engines.llama_log import LlamaLog
from genai_desktop.engines.logs import OutputReader

DATA = Path(__file__).resolve().parent.parent / "data" / "llama-server"
MIB = 2**20


def read(name: str, seed: int | None = None) -> LlamaLog:
    """Feed a recording, in random pieces if there is a seed."""
    log = LlamaLog()
    reader = OutputReader(lambda line, stream: log.read(line) and None)
    data = (DATA / name).read_bytes()
    rng = random.Random(seed)
    while data:
        size = len(data) if seed is None else rng.randint(1, 50)
        reader.feed("stderr", data[:size])
        data = data[size:]
    reader.finish()
    return log


def test_the_recommended_start() -> None:
    log = read("recommended.err.txt")
    assert log.url == "http://127.0.0.1:45653"
    assert log.port == 45653
    assert log.is_ready
    assert log.effective == {
        "n_ctx_train": 2048,
        "load_mode": "none",
        "n_ctx": 8192,
        "n_batch": 512,
        "n_ubatch": 512,
        "kv_cells": 8192,
        "cache_type_k": "f16",
        "cache_type_v": "f16",
        "flash_attn": True,
        "total_slots": 1,
        "n_ctx_slot": 2048,
        "buffers": {
            "weights": {"CPU": round(0.47 * MIB)},
            "output": {"CPU": 0},
            "kv_cache": {"CPU": 3 * MIB},
            "compute": {"CPU": round(9.64 * MIB)},
        },
    }


@pytest.mark.parametrize("path", sorted(DATA.glob("*.err.txt")), ids=lambda p: p.name)
def test_cuts_change_nothing(path: Path) -> None:
    whole = read(path.name)
    for seed in range(3):
        pieces = read(path.name, seed)
        assert (pieces.effective, pieces.url) == (whole.effective, whole.url)


def test_a_quiet_log_still_tells_the_address() -> None:
    log = read("normal_lv3.err.txt")
    assert (log.port, log.is_ready) == (35397, True)
    assert log.effective == {"total_slots": 1, "n_ctx_slot": 1024}


def test_failures_never_look_ready() -> None:
    for path in DATA.glob("*.err.txt"):
        if path.name.startswith(
            ("bad_", "missing_", "garbage", "truncated", "unknown", "removed", "port_in")
        ):
            log = read(path.name)
            assert not log.is_ready
            assert log.url is None


def test_lines_of_gpu_builds() -> None:
    log = LlamaLog()
    for line in (
        "0.01.000.000 I load_tensors: offloaded 25/33 layers to GPU",
        "0.01.000.000 I load_tensors:        CUDA0 model buffer size =  3577.56 MiB",
        "0.01.000.000 I load_tensors:   CPU_Mapped model buffer size =    70.31 MiB",
        "0.01.000.000 I llama_kv_cache:      CUDA0 KV buffer size =   192.00 MiB",
        "0.01.000.000 I llama_kv_cache:      CUDA0 KV buffer size =    64.00 MiB",
        "0.01.000.000 I llama_memory_recurrent:      CUDA0 RS buffer size =    12.50 MiB",
        "0.01.000.000 I llama_context:  CUDA_Host  output buffer size =     0.49 MiB",
        "0.01.000.000 I sched_reserve:      CUDA0 compute buffer size =   258.50 MiB",
        "0.01.000.000 I sched_reserve:      CUDA0 compute buffer size =   300.00 MiB",
    ):
        assert log.read(line)
    assert (log.effective["offloaded_layers"], log.effective["total_layers"]) == (25, 33)
    assert log.effective["buffers"] == {
        "weights": {"CUDA0": round(3577.56 * MIB), "CPU_Mapped": round(70.31 * MIB)},
        "kv_cache": {"CUDA0": 256 * MIB},  # full and sliding-window caches add up
        "recurrent_state": {"CUDA0": round(12.5 * MIB)},
        "output": {"CUDA_Host": round(0.49 * MIB)},
        "compute": {"CUDA0": 300 * MIB},  # reserved again, not twice
    }


def test_older_builds() -> None:
    log = LlamaLog()
    log.read("main: server is listening on http://127.0.0.1:8080 - starting the main loop")
    log.read("llama_context: flash_attn    = disabled")
    assert (log.port, log.effective) == (8080, {"flash_attn": False})
    log.read("0.0 I listening on http://[::1]:4711")
    assert log.port == 4711


@pytest.mark.parametrize("name", ["childtrick.out.txt", "shim_child.out.txt"])
def test_progress_of_a_real_load(name: str) -> None:
    log = LlamaLog()
    seen = []
    for line in (DATA / name).read_text().splitlines():
        log.read(line)
        seen.append(log.load_progress)
    values = [value for value in seen if value is not None]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[-1] == 1.0
    assert log.has_child_protocol
    assert log.is_ready


def test_the_protocol_is_not_for_people() -> None:
    log = LlamaLog()
    assert not log.read('cmd_child_to_router:state:{"state":"loading","payload":{"value":0.5}}')
    assert not log.read("cmd_child_to_router:anything new")
    assert log.read("srv something else")


def test_progress_over_several_stages_never_falls() -> None:
    log = LlamaLog()
    seen: list[float] = []
    for stage in ("text_model", "mmproj"):
        for value in (0.0, 0.5, 1.0):
            payload = {"stages": ["text_model", "mmproj"], "current": stage, "value": value}
            log.read("cmd_child_to_router:state:" + json.dumps({"state": "loading", "payload": payload}))
            assert log.load_progress is not None
            seen.append(log.load_progress)
    assert seen == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0]
    payload = {"stages": ["text_model"], "current": "text_model", "value": 0.1}
    log.read("cmd_child_to_router:state:" + json.dumps({"state": "loading", "payload": payload}))
    assert log.load_progress == 1.0


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"state":"loading"}', '{"state":"loading","payload":{"value":"x"}}',
     '{"state":"loading","payload":[1]}', '{"state":7,"payload":null}', '{"payload":{}}'],
)  # fmt: skip
def test_what_the_protocol_may_become_is_ignored(text: str) -> None:
    log = LlamaLog()
    log.read(f"cmd_child_to_router:state:{text}")
    assert log.load_progress is None
    assert not log.is_ready


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(line: str) -> None:
    log = LlamaLog()
    log.read(line)
    log.read(f"0.00.000.000 I {line} buffer size = {line} MiB listening on http://{line}")
    assert log.port is None or log.port >= 0
