"""The memory formulas: against hand-computed numbers, and laws they must keep."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.core.errors import InvalidInputError, ModelFileError
from genai_desktop.core.footprint import (
    Footprint,
    cache_type_problem,
    diffusion_footprint,
    llm_footprint,
    model_parts,
    pad,
)
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.core.hparams import read_hparams
from tests.core.synthetic_gguf import gguf_header, llama_like, write_safetensors
from tests.core.test_components import CLIP_L, FLUX, SD1, T5, VAE16, safe

MIB = 1 << 20


def model(architecture: str = "llama", **options: Any) -> GgufHeader:
    raw, size = gguf_header(*llama_like(architecture, **options))
    return read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size)


def test_a_dense_model_by_hand() -> None:
    header = model(layers=4, width=512, heads=8, kv_heads=8, head_dim=64, vocabulary=2048)
    found = llm_footprint(header, n_ctx=4096)
    assert found.weights == sum(tensor.n_bytes or 0 for tensor in header.tensors)
    assert found.kv_cache == 4 * 4096 * 2 * (512 + 512)
    assert found.output == 4 * 2048
    assert found.recurrent_state == 0
    assert found.total == sum(
        (found.weights, found.kv_cache, found.compute, found.output, found.projector, found.recurrent_state)
    )
    assert (found.gpu_bytes, found.host_bytes) == (0, found.total)


def test_contexts_are_padded_and_shared_by_slots() -> None:
    header = model()
    assert llm_footprint(header, n_ctx=5000).n_ctx == 5120 == pad(5000)
    assert llm_footprint(header).n_ctx == 8192
    two = llm_footprint(header, n_ctx=8192, n_parallel=2)
    assert two.kv_cache == llm_footprint(header, n_ctx=8192).kv_cache
    assert two.output == 2 * llm_footprint(header, n_ctx=8192).output
    three = llm_footprint(header, n_ctx=8192, n_parallel=3)  # 2731 cells each, padded to 2816
    assert three.kv_cache == 3 * llm_footprint(header, n_ctx=2816).kv_cache


def test_cache_types() -> None:
    header = model()
    plain = llm_footprint(header, n_ctx=4096).kv_cache
    assert (
        llm_footprint(header, n_ctx=4096, cache_type_k="q8_0", cache_type_v="q8_0").kv_cache
        == plain * 34 // 64
    )
    assert (
        llm_footprint(header, n_ctx=4096, cache_type_v="q4_0").kv_cache == plain // 2 + plain // 2 * 18 // 64
    )
    with pytest.raises(InvalidInputError, match="q3_k"):
        llm_footprint(header, cache_type_k="q3_k")


def test_quantized_caches_need_fitting_heads() -> None:
    assert cache_type_problem(read_hparams(model(head_dim=80)), "q8_0")
    assert not cache_type_problem(read_hparams(model(head_dim=64)), "q8_0")
    assert not cache_type_problem(read_hparams(model(head_dim=80)), "f16")


def test_heads_per_layer() -> None:
    header = model(layers=4, kv_heads=[8, 4, 2, 0])
    assert llm_footprint(header, n_ctx=1024).kv_cache == 1024 * 2 * 2 * 64 * (8 + 4 + 2)


def test_sliding_windows() -> None:
    # gemma3: of six layers the last sees everything
    header = model("gemma3", layers=6, extra={"attention.sliding_window": 512})
    shape = read_hparams(header)
    assert [layer.window for layer in shape.layers] == [512, 512, 512, 512, 512, 0]
    per_cell = 2 * 2 * 8 * 64
    found = llm_footprint(header, n_ctx=8192)
    assert found.kv_cache == per_cell * (5 * (512 + 512) + 8192)
    assert llm_footprint(header, n_ctx=8192, is_swa_full=True).kv_cache == per_cell * 6 * 8192
    # never more than the context itself
    assert llm_footprint(header, n_ctx=768).kv_cache == per_cell * 6 * 768


def test_window_patterns() -> None:
    def windows(architecture: str, **extra: Any) -> list[int]:
        header = model(architecture, layers=4, extra={"attention.sliding_window": 128, **extra})
        return [layer.window for layer in read_hparams(header).layers]

    assert windows("gpt-oss") == [128, 0, 128, 0]
    assert windows("cohere2moe") == [0, 128, 128, 128]
    assert windows("new", **{"attention.sliding_window_pattern": [True, False, True, True]}) == [
        128,
        0,
        128,
        128,
    ]
    assert windows("new", **{"attention.sliding_window_pattern": 2}) == [128, 0, 128, 0]
    assert windows("llama") == [0, 0, 0, 0]
    assert windows("exaone4") == [0, 0, 0, 0]


def test_latent_attention_keeps_one_key() -> None:
    extra = {"attention.key_length_mla": 192, "attention.value_length_mla": 128}
    header = model("deepseek2", layers=2, heads=16, kv_heads=1, head_dim=576, extra=extra)
    assert llm_footprint(header, n_ctx=2048).kv_cache == 2 * 2048 * 2 * 576


def test_recurrent_and_hybrid_models() -> None:
    ssm = {"ssm.conv_kernel": 4, "ssm.inner_size": 1024, "ssm.state_size": 128, "ssm.group_count": 8}
    state = 4 * (3 * (1024 + 2 * 8 * 128) + 128 * 1024)
    pure = llm_footprint(model("mamba2", layers=3, extra=ssm), n_ctx=4096)
    assert (pure.recurrent_state, pure.kv_cache) == (3 * state, 0)
    mixed = llm_footprint(model("qwen3next", layers=8, extra=ssm), n_ctx=4096, n_parallel=2)
    assert mixed.recurrent_state == 6 * state * 2
    assert mixed.kv_cache == 2 * 4096 * 2 * 2 * 8 * 64
    by_heads = llm_footprint(model("jamba", layers=4, kv_heads=[0, 0, 8, 0], extra=ssm), n_ctx=1024)
    assert by_heads.recurrent_state == 3 * state
    listed = {**ssm, "attention.recurrent_layers": [True, False, False, False]}
    assert llm_footprint(model("qwen35", layers=4, extra=listed), n_ctx=1024).recurrent_state == state
    both = llm_footprint(model("falcon-h1", layers=2, extra=ssm), n_ctx=1024)
    assert both.recurrent_state == 2 * state
    assert both.kv_cache > 0
    wkv = llm_footprint(
        model("rwkv7", layers=2, width=512, extra={"token_shift_count": 2, "wkv.head_size": 64})
    )
    assert wkv.recurrent_state == 2 * 4 * (2 * 512 + 512 * 64)
    short = llm_footprint(model("lfm2", layers=2, kv_heads=[0, 8], width=512, extra={"shortconv.l_cache": 3}))
    assert short.recurrent_state == 4 * 512 * 2
    kimi = {"kda.head_dim": 64, "ssm.conv_kernel": 4}
    delta = llm_footprint(model("kimi-linear", layers=2, kv_heads=[0, 8], heads=8, extra=kimi))
    assert delta.recurrent_state == 4 * (3 * 3 * 8 * 64 + 64 * 64 * 8)


def test_layers_without_a_cache_of_their_own() -> None:
    full = llm_footprint(model("gemma4", layers=6), n_ctx=1024).kv_cache
    shared = llm_footprint(
        model("gemma4", layers=6, extra={"attention.shared_kv_layers": 2}), n_ctx=1024
    ).kv_cache
    assert shared == full * 4 // 6
    guessing = llm_footprint(model("llama", layers=6, extra={"nextn_predict_layers": 1}), n_ctx=1024).kv_cache
    assert guessing == full * 5 // 6


def test_layers_move_to_the_gpu_from_the_end() -> None:
    header = model(layers=4)
    parts = model_parts(header, 4)
    none = llm_footprint(header, n_ctx=1024)
    one = llm_footprint(header, n_ctx=1024, n_gpu_layers=1)
    every = llm_footprint(header, n_ctx=1024, n_gpu_layers=-1)
    assert one.gpu_bytes == parts.output + one.compute - none.compute
    assert every.gpu_layers == 5
    assert every.gpu_bytes == sum(parts.layers) + parts.output + every.kv_cache + none.compute
    assert every.host_bytes < none.host_bytes // 2
    assert llm_footprint(header, n_ctx=1024, n_gpu_layers=99) == every


def test_a_tied_head_is_loaded_twice_on_the_gpu() -> None:
    header = model(is_tied=True)
    parts = model_parts(header, 4)
    assert parts.is_tied
    assert llm_footprint(header, n_gpu_layers=-1).weights == parts.total + parts.embedding
    assert llm_footprint(header).weights == parts.total


def test_experts_can_stay_in_ram() -> None:
    header = model("qwen3moe", layers=4, experts=(8, 2, 256))
    parts = model_parts(header, 4)
    assert sum(parts.experts) > sum(parts.layers) // 2
    on_gpu = llm_footprint(header, n_gpu_layers=-1)
    split = llm_footprint(header, n_gpu_layers=-1, n_cpu_moe=2)
    assert on_gpu.gpu_bytes - split.gpu_bytes == parts.experts[0] + parts.experts[1]
    assert split.weights == on_gpu.weights


def test_a_projector_counts() -> None:
    raw, size = gguf_header(
        {"general.architecture": "clip"}, [("v.blk.0.attn_q.weight", (1024, 1024), "F16")]
    )
    eyes = read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size)
    found = llm_footprint(model(), projector=eyes)
    assert found.projector == 1024 * 1024 * 2 * 11 // 10 + 300 * MIB
    assert found.host_bytes == found.total


def test_a_type_nobody_knows_is_measured_by_distance() -> None:
    metadata, tensors = llama_like(layers=1)
    raw, size = gguf_header(metadata, [(name, shape, 250) for name, shape, _ in tensors])
    header = read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size + 1000)
    assert llm_footprint(header).weights >= 1000


def test_what_is_no_language_model() -> None:
    raw, size = gguf_header({"general.architecture": "flux"}, [("double_blocks.0.x", (32,), "F32")])
    with pytest.raises(ModelFileError, match="does not describe a language model"):
        llm_footprint(read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 200_000),
    st.integers(1, 200_000),
    st.integers(0, 6),
    st.sampled_from(["f16", "q8_0"]),
    st.booleans(),
)
def test_laws(short: int, long: int, layers: int, cache: str, flash_attention: bool) -> None:
    short, long = sorted((short, long))
    header = model(layers=4)

    def measure(n_ctx: int, n_gpu_layers: int) -> Footprint:
        return llm_footprint(
            header,
            n_ctx=n_ctx,
            n_gpu_layers=n_gpu_layers,
            cache_type_k=cache,
            cache_type_v=cache,
            flash_attention=flash_attention,
        )

    a, b = measure(short, layers), measure(long, layers)
    assert a.total <= b.total  # more context never needs less
    assert measure(short, layers).gpu_bytes <= measure(short, layers + 1).gpu_bytes  # nor do more layers
    for found in (a, b):
        assert min(found.gpu_bytes, found.host_bytes, found.compute, found.kv_cache) >= 0
        parts = found.weights + found.kv_cache + found.recurrent_state + found.compute + found.output
        assert found.total == parts + found.projector


# image models ---------------------------------------------------------------------------------------------


def test_an_image_model_by_its_parts() -> None:
    files = {"diffusion_model": safe(FLUX), "clip_l": safe(CLIP_L), "t5xxl": safe(T5), "vae": safe(VAE16)}
    found = diffusion_footprint(files)
    sizes = dict(found.components)
    assert sizes["clip_l"] == 49408 * 768 * 2
    assert not found.is_estimate
    assert found.resident == sum(sizes.values())
    assert found.peak > found.lazy_peak
    large = diffusion_footprint(files, width=1024, height=1024)
    assert dict(large.stages)["decode"] == 4 * dict(found.stages)["decode"]
    assert diffusion_footprint(files, width=1024, height=1024, vae_tiling=True).peak < large.peak


def test_a_checkpoint_is_taken_apart() -> None:
    sizes = dict(diffusion_footprint({"": safe(SD1)}).components)
    assert sizes["clip_l"] == 49408 * 768 * 2
    assert set(sizes) == {"diffusion_model", "clip_l", "vae"}


def test_without_headers_the_size_counts_with_a_fifth_on_top() -> None:
    found = diffusion_footprint({"diffusion_model": 1_000, "vae": 500})
    assert (found.peak, found.is_estimate) == (1_800, True)
    assert diffusion_footprint({"": 0}).total == 0


def test_the_tiny_autoencoder_replaces_the_other() -> None:
    tiny = safe({"decoder.layers.0.weight": (64, 16, 3, 3)})
    with_both = diffusion_footprint({"diffusion_model": safe(FLUX), "vae": safe(VAE16), "taesd": tiny})
    assert "vae" not in dict(with_both.components)
    assert with_both.peak < diffusion_footprint({"diffusion_model": safe(FLUX), "vae": safe(VAE16)}).peak


def test_files_on_disk(tmp_path: Any) -> None:
    path = write_safetensors(tmp_path / "x.safetensors", {"decoder.conv_in.weight": ("F16", (512, 16, 3, 3))})
    assert path.stat().st_size > 512 * 16 * 9 * 2
