"""Where models go: the ladder from all on the GPU to not at all."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.footprint import llm_footprint
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.core.placement import GPU_HEADROOM, fit_badge, place
from tests.core.synthetic_gguf import gguf_header, llama_like

GIB = 1 << 30


def model(**options: Any) -> GgufHeader:
    """About 1.9 GiB of weights, 128 MiB of cache per 1024 tokens."""
    values: dict[str, Any] = {
        "layers": 16, "width": 2048, "heads": 32, "kv_heads": 32, "feed_forward": 12_288,
        "vocabulary": 32_000, "context": 32_768,
    }  # fmt: skip
    raw, size = gguf_header(*llama_like(**{**values, **options}))
    return read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size)


MODEL = model()
EXPERTS = model(architecture="qwen3moe", kv_heads=8, feed_forward=512, experts=(32, 4, 512))


def test_everything_on_a_large_gpu() -> None:
    found = place(MODEL, (24 * GIB,), 1 * GIB)  # little RAM does not matter
    assert found.fits
    assert found.is_fully_on_gpu
    assert (found.n_gpu_layers, found.n_ctx, found.cache_type_k) == (17, 8192, "f16")
    assert "Fits on the GPU" in found.reason
    assert fit_badge(found).level == "gpu"


def test_a_quantized_cache_comes_before_fewer_layers() -> None:
    full = llm_footprint(MODEL, n_ctx=8192, n_gpu_layers=-1).gpu_bytes
    found = place(MODEL, (full + GPU_HEADROOM - 1,), 16 * GIB)
    assert found.is_fully_on_gpu
    assert (found.n_ctx, found.cache_type_k, found.cache_type_v) == (8192, "q8_0", "q8_0")


def test_then_a_shorter_context() -> None:
    small = llm_footprint(
        MODEL, n_ctx=4096, n_gpu_layers=-1, cache_type_k="q8_0", cache_type_v="q8_0"
    ).gpu_bytes
    found = place(MODEL, (small + GPU_HEADROOM,), 16 * GIB)
    assert found.is_fully_on_gpu
    assert found.n_ctx == 4096


def test_then_some_layers() -> None:
    found = place(MODEL, (2 * GIB,), 16 * GIB)
    assert found.fits
    assert 1 < found.n_gpu_layers < 17
    assert "layers fit on the GPU" in found.reason
    assert fit_badge(found).level == "partial"
    assert found.gpu_bytes <= 2 * GIB - GPU_HEADROOM


def test_experts_go_to_ram_before_layers_do() -> None:
    found = place(EXPERTS, (int(1.8 * GIB),), 16 * GIB)
    assert found.fits
    assert found.n_gpu_layers == 17
    assert 0 < found.n_cpu_moe <= 16
    assert "experts" in found.reason
    one_less = llm_footprint(
        EXPERTS, n_ctx=found.n_ctx, n_gpu_layers=-1, n_cpu_moe=found.n_cpu_moe - 1,
        cache_type_k=found.cache_type_k, cache_type_v=found.cache_type_v,
    )  # fmt: skip
    assert one_less.gpu_bytes > int(1.8 * GIB) - GPU_HEADROOM  # not one layer more than needed


def test_without_a_gpu_the_processor() -> None:
    found = place(MODEL, (), 16 * GIB)
    assert (found.n_gpu_layers, found.gpu_bytes, found.fits) == (0, 0, True)
    assert fit_badge(found).level == "cpu"
    tiny_gpu = place(MODEL, (GIB // 2,), 16 * GIB)
    assert tiny_gpu.n_gpu_layers == 0
    assert "Too large for the GPU" in tiny_gpu.reason


def test_too_large_is_said_with_numbers() -> None:
    found = place(MODEL, (), 2 * GIB)
    assert not found.fits
    assert "2.0 GB" in found.reason
    assert found.suggestion
    assert fit_badge(found).level == "no"
    assert "GPU" in place(MODEL, (GIB // 2,), 1 * GIB).reason


def test_what_a_person_fixed_is_kept() -> None:
    found = place(
        MODEL, (24 * GIB,), 16 * GIB, n_gpu_layers=5, n_ctx=3000, cache_type_k="q4_0", cache_type_v="q4_0"
    )
    assert (found.n_gpu_layers, found.n_ctx, found.cache_type_k, found.fits) == (5, 3072, "q4_0", True)
    assert place(MODEL, (24 * GIB,), 64 * GIB, n_ctx=32_768).n_ctx == 32_768
    none = place(MODEL, (24 * GIB,), 16 * GIB, n_gpu_layers=0)
    assert (none.n_gpu_layers, none.gpu_bytes) == (0, 0)
    refused = place(MODEL, (2 * GIB,), 16 * GIB, n_gpu_layers=17, n_ctx=32_768)
    assert not refused.fits
    assert "GPU memory" in refused.reason


def test_a_short_training_context_is_not_exceeded() -> None:
    assert place(model(context=2048), (24 * GIB,), 16 * GIB).n_ctx == 2048


def test_quantized_caches_are_not_tried_for_odd_heads() -> None:
    odd = model(head_dim=80)
    full = llm_footprint(odd, n_ctx=8192, n_gpu_layers=-1).gpu_bytes
    found = place(odd, (full + GPU_HEADROOM - 1,), 16 * GIB)
    assert found.cache_type_k == "f16"


def test_shared_memory_is_not_counted_twice() -> None:
    assert place(MODEL, (8 * GIB,), 8 * GIB, is_unified=True).is_fully_on_gpu
    tight = place(MODEL, (4 * GIB,), 3 * GIB, is_unified=True)
    assert tight.gpu_bytes + tight.host_bytes <= 3 * GIB


def test_two_cards_share() -> None:
    found = place(MODEL, (int(2.6 * GIB), int(2.6 * GIB)), 16 * GIB, n_ctx=4096)
    assert found.is_fully_on_gpu


def test_what_is_no_language_model() -> None:
    raw, _ = gguf_header({"general.architecture": "flux"})
    with pytest.raises(ModelFileError):
        place(read_gguf_header(io.BytesIO(raw)), (), 16 * GIB)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 12 * GIB), max_size=3),
    st.integers(0, 12 * GIB),
    st.booleans(),
    st.sampled_from([None, 2048, 16_384]),
)
def test_a_placement_that_fits_really_fits(
    vram: list[int], ram: int, is_unified: bool, n_ctx: int | None
) -> None:
    for header in (MODEL, EXPERTS):
        found = place(header, vram, ram, is_unified=is_unified, n_ctx=n_ctx)
        assert found.reason.endswith(".")
        assert 0 <= found.n_gpu_layers <= found.n_layer + 1
        if found.fits:
            assert found.gpu_bytes <= sum(vram)
            assert found.host_bytes <= ram
            if is_unified:
                assert found.gpu_bytes + found.host_bytes <= ram
        else:
            assert found.suggestion
