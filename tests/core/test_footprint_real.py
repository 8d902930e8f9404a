"""The formulas against the log of the real engine, over small synthetic models (R501)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.footprint import llm_footprint
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.library.headers import read_model_header
from tests.core.synthetic_gguf import llama_like, tokenizer, write_gguf

pytestmark = pytest.mark.real

_CHILD = """
import os, sys
import xllamacpp as x
path, n_ctx, n_parallel, n_ubatch, cache, flash = sys.argv[1:]
p = x.CommonParams()
p.model.path = path
p.n_ctx, p.n_parallel, p.n_ubatch, p.n_batch = int(n_ctx), int(n_parallel), int(n_ubatch), 512
p.verbosity, p.warmup, p.fit_params, p.n_gpu_layers = 4, False, False, 0
p.port, p.cache_ram_mib, p.kv_unified, p.no_extra_bufts = 0, 0, False, True
kind = {"f16": x.ggml_type.GGML_TYPE_F16, "q8_0": x.ggml_type.GGML_TYPE_Q8_0}[cache]
p.cache_type_k = p.cache_type_v = kind
flag = x.llama_flash_attn_type
on, off = flag.LLAMA_FLASH_ATTN_TYPE_ENABLED, flag.LLAMA_FLASH_ATTN_TYPE_DISABLED
p.flash_attn_type = on if flash == "1" else off
server = x.Server(p)
print("loaded", flush=True)
os._exit(0)
"""
_SHAPES: dict[str, dict[str, Any]] = {
    "dense": {"architecture": "llama", "kv_heads": 8, "vocabulary": 8000},
    "grouped heads, tied": {
        "architecture": "qwen3", "kv_heads": 2, "is_tied": True, "norms": ("attn_q_norm", "attn_k_norm"),
    },
    "sliding window": {
        "architecture": "gemma3", "layers": 6, "kv_heads": 2, "is_tied": True,
        "extra": {"attention.sliding_window": 512},
        "norms": ("attn_q_norm", "attn_k_norm", "post_attention_norm", "post_ffw_norm"),
    },
    "experts": {
        "architecture": "qwen3moe", "kv_heads": 2, "experts": (8, 2, 512),
        "norms": ("attn_q_norm", "attn_k_norm"),
    },
}  # fmt: skip


def _gpt_oss() -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], str]]]:
    """Experts, attention sinks, every other layer with a window."""
    layers, width, heads, kv, head, count, inner = 4, 640, 8, 2, 64, 8, 640
    metadata, tensors = llama_like(
        "gpt-oss", layers=layers, width=width, heads=heads, kv_heads=kv, head_dim=head, feed_forward=inner,
        experts=(count, 4, inner), norms=("post_attention_norm",), extra={"attention.sliding_window": 128},
    )  # fmt: skip
    tensors = [entry for entry in tensors if ".ffn_norm." not in entry[0]]
    for i in range(layers):
        sizes: dict[str, tuple[int, ...]] = {
            "attn_q.bias": (heads * head,), "attn_k.bias": (kv * head,), "attn_v.bias": (kv * head,),
            "attn_output.bias": (width,), "attn_sinks.weight": (heads,), "ffn_gate_inp.bias": (count,),
            "ffn_gate_exps.bias": (inner, count), "ffn_up_exps.bias": (inner, count),
            "ffn_down_exps.bias": (width, count),
        }  # fmt: skip
        tensors += [(f"blk.{i}.{name}", shape, "F32") for name, shape in sizes.items()]
    return metadata, tensors


def _deepseek() -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], str]]]:
    """Multi-head latent attention: the cache holds one compressed key."""
    layers, width, heads, lora, rope, plain, value, query, inner = 3, 512, 8, 256, 64, 64, 64, 384, 1536
    a = "deepseek2"
    numbers = {
        "block_count": layers, "context_length": 8192, "embedding_length": width,
        "feed_forward_length": inner,
        "attention.head_count": heads, "attention.head_count_kv": 1, "attention.key_length": lora + rope,
        "attention.value_length": lora, "attention.key_length_mla": plain + rope,
        "attention.value_length_mla": value, "attention.kv_lora_rank": lora, "attention.q_lora_rank": query,
        "rope.dimension_count": rope, "attention.layer_norm_rms_epsilon": 1e-6,
        "leading_dense_block_count": layers, "expert_count": 0, "expert_used_count": 0,
        "expert_feed_forward_length": 256, "expert_shared_count": 0, "expert_weights_scale": 1.0,
    }  # fmt: skip
    metadata = {"general.architecture": a, **{f"{a}.{k}": v for k, v in numbers.items()}, **tokenizer(2048)}
    tensors = [("token_embd.weight", (width, 2048), "Q8_0"), ("output_norm.weight", (width,), "F32"),
               ("output.weight", (width, 2048), "Q8_0")]  # fmt: skip
    for i in range(layers):
        parts: dict[str, tuple[int, ...]] = {
            "attn_norm": (width,), "attn_q_a": (width, query), "attn_q_a_norm": (query,),
            "attn_q_b": (query, heads * (plain + rope)), "attn_kv_a_mqa": (width, lora + rope),
            "attn_kv_a_norm": (lora,), "attn_k_b": (plain, lora, heads), "attn_v_b": (lora, value, heads),
            "attn_output": (heads * value, width), "ffn_norm": (width,), "ffn_gate": (width, inner),
            "ffn_up": (width, inner), "ffn_down": (inner, width),
        }  # fmt: skip
        tensors += [
            (f"blk.{i}.{name}.weight", shape, "F32" if len(shape) == 1 else "Q8_0")
            for name, shape in parts.items()
        ]
    return metadata, tensors


def _mamba() -> tuple[dict[str, Any], list[tuple[str, tuple[int, ...], str]]]:
    """No attention at all: a recurrent state that does not grow."""
    layers, width, inner, state, groups, heads, kernel = 3, 512, 1024, 64, 1, 16, 4
    a, mixed = "mamba2", 1024 + 2 * 64
    numbers = {
        "block_count": layers, "context_length": 8192, "embedding_length": width,
        "feed_forward_length": 0,
        "attention.head_count": 0, "ssm.conv_kernel": kernel, "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads, "ssm.group_count": groups, "attention.layer_norm_rms_epsilon": 1e-5,
    }  # fmt: skip
    metadata = {"general.architecture": a, **{f"{a}.{k}": v for k, v in numbers.items()}, **tokenizer(2048)}
    tensors = [("token_embd.weight", (width, 2048), "Q8_0"), ("output_norm.weight", (width,), "F32")]
    for i in range(layers):
        parts: dict[str, tuple[tuple[int, ...], str]] = {
            "attn_norm.weight": ((width,), "F32"), "ssm_in.weight": ((width, inner + mixed + heads), "Q8_0"),
            "ssm_conv1d.weight": ((kernel, mixed), "F32"), "ssm_conv1d.bias": ((mixed,), "F32"),
            "ssm_dt.bias": ((heads,), "F32"), "ssm_a": ((1, heads), "F32"), "ssm_d": ((1, heads), "F32"),
            "ssm_norm.weight": ((inner // groups, groups), "F32"), "ssm_out.weight": ((inner, width), "Q8_0"),
        }  # fmt: skip
        tensors += [(f"blk.{i}.{name}", shape, kind) for name, (shape, kind) in parts.items()]
    return metadata, tensors


_BUILT = {"sinks and windows": _gpt_oss, "latent attention": _deepseek, "recurrent": _mamba}
_SETTINGS = [(4096, 1, 512, "q8_0", True), (6000, 2, 256, "f16", True), (2048, 1, 512, "f16", False)]


def _measure(path: Path, setting: tuple[int, int, int, str, bool]) -> dict[str, float]:
    n_ctx, n_parallel, n_ubatch, cache, flash = setting
    arguments = [str(n_ctx), str(n_parallel), str(n_ubatch), cache, "1" if flash else "0"]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    log = done.stderr + done.stdout
    assert "loaded" in done.stdout, log[-2000:]

    def total(pattern: str) -> float:
        return sum(float(size) for size in re.findall(pattern, log))

    return {
        "weights": total(r"model buffer size = +([\d.]+) MiB"),
        "kv_cache": total(r"KV buffer size = +([\d.]+) MiB"),
        "recurrent_state": total(r"RS buffer size = +([\d.]+) MiB"),
        "compute": total(r"sched_reserve: .*compute buffer size = +([\d.]+) MiB"),
        "output": total(r"output buffer size = +([\d.]+) MiB"),
    }


@pytest.mark.parametrize("name", [*_SHAPES, *_BUILT])
def test_the_engine_takes_what_was_predicted(name: str, tmp_path: Path) -> None:
    built = _BUILT[name]() if name in _BUILT else llama_like(**_SHAPES[name])
    path = write_gguf(tmp_path / "model.gguf", *built)
    header = read_model_header(path)
    assert isinstance(header, GgufHeader)
    for setting in _SETTINGS:
        measured = _measure(path, setting)
        n_ctx, n_parallel, n_ubatch, cache, flash = setting
        found = llm_footprint(
            header,
            n_ctx=n_ctx,
            n_parallel=n_parallel,
            n_ubatch=n_ubatch,
            cache_type_k=cache,
            cache_type_v=cache,
            flash_attention=flash,
        )
        predicted = {key: getattr(found, key) / (1 << 20) for key in measured}
        rounding = 0.006  # the log has two decimals
        for key in ("weights", "kv_cache", "recurrent_state", "output"):
            assert predicted[key] == pytest.approx(measured[key], rel=0.001, abs=rounding), (setting, key)
        assert predicted["compute"] == pytest.approx(measured["compute"], rel=0.15 if flash else 0.35), (
            setting
        )
        assert sum(predicted.values()) == pytest.approx(sum(measured.values()), rel=0.015), setting
