"""What a file is, and whether the files of an image model fit together."""

from __future__ import annotations

import io

import pytest

from genai_desktop.core.component_guess import FileGuess, Header, guess_file
from genai_desktop.core.components import (
    COMPONENT_FLAGS,
    COMPONENT_ORDER,
    FAMILIES,
    check_roles,
    component_arguments,
    recommended_settings,
)
from genai_desktop.core.gguf import model_type
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.core.safetensors import read_safetensors_header
from tests.core.synthetic_gguf import gguf_header, llama_like, safetensors_bytes

Shapes = dict[str, tuple[int, ...]]


def safe(shapes: Shapes) -> Header:
    raw = safetensors_bytes({name: ("F16", shape) for name, shape in shapes.items()})
    return read_safetensors_header(io.BytesIO(raw))


def gguf(shapes: Shapes, architecture: str = "") -> Header:
    metadata = {"general.architecture": architecture} if architecture else {}
    tensors = [(name, shape[::-1], "F16") for name, shape in shapes.items()]
    raw, size = gguf_header(metadata, tensors)
    return read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size)


FLUX: Shapes = {
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "single_blocks.0.linear1.weight": (8, 8),
    "img_in.weight": (3072, 64),
    "txt_in.weight": (3072, 4096),
}
KLEIN: Shapes = {
    "double_blocks.0.img_attn.qkv.weight": (8, 8),
    "double_stream_modulation_img.lin.weight": (8, 8),
    "single_blocks.19.linear1.weight": (8, 8),
    "img_in.weight": (3072, 128),
    "txt_in.weight": (3072, 7680),
}
Z_IMAGE: Shapes = {"cap_embedder.0.weight": (2560,), "cap_embedder.1.weight": (3840, 2560)}
CLIP_L: Shapes = {"text_model.embeddings.token_embedding.weight": (49408, 768)}
CLIP_G: Shapes = {"text_model.embeddings.token_embedding.weight": (49408, 1280)}
T5: Shapes = {"shared.weight": (32128, 4096), "encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096)}
VAE16: Shapes = {"decoder.conv_in.weight": (512, 16, 3, 3), "decoder.up.0.block.0.conv1.weight": (1, 1, 3, 3)}
VAE4: Shapes = {
    "decoder.conv_in.weight": (512, 4, 3, 3),
    "decoder.up_blocks.0.resnets.0.conv1.weight": (1, 1),
}
VAE32: Shapes = {"decoder.conv_in.weight": (512, 32, 3, 3), "decoder.up.0.block.0.conv1.weight": (1, 1)}
WAN_VAE: Shapes = {"conv2.weight": (16, 16, 1, 1, 1), "decoder.upsamples.0.residual.0.gamma": (8,)}
TAESD: Shapes = {"decoder.layers.0.weight": (64, 16, 3, 3), "decoder.layers.2.conv.0.weight": (64, 64, 3, 3)}
UNET: Shapes = {
    "input_blocks.0.0.weight": (320, 4, 3, 3),
    "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    "time_embed.0.weight": (8, 8),
}
SD1: Shapes = {
    **{f"model.diffusion_model.{name}": shape for name, shape in UNET.items()},
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 768),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
}
QWEN3_4B: Shapes = {
    "model.embed_tokens.weight": (151936, 2560),
    "model.layers.0.self_attn.q_proj.weight": (1, 1),
}


@pytest.mark.parametrize(
    ("shapes", "role", "family"),
    [
        (FLUX, "diffusion_model", "flux"),
        ({f"model.diffusion_model.{n}": s for n, s in FLUX.items()}, "diffusion_model", "flux"),
        ({**FLUX, "distilled_guidance_layer.in_proj.weight": (1,)}, "diffusion_model", "chroma"),
        (KLEIN, "diffusion_model", "flux2-klein"),
        ({**KLEIN, "single_blocks.47.linear1.weight": (1,)}, "diffusion_model", "flux2"),
        (Z_IMAGE, "diffusion_model", "z-image"),
        ({"transformer_blocks.0.img_mod.1.weight": (1,)}, "diffusion_model", "qwen-image"),
        ({"net.llm_adapter.blocks.0.cross_attn.q_proj.weight": (1,)}, "diffusion_model", "anima"),
        ({"joint_blocks.0.x_block.attn.qkv.weight": (1,)}, "diffusion_model", "sd3"),
        ({"blocks.0.cross_attn.norm_k.weight": (1,)}, "diffusion_model", "wan"),
        (UNET, "diffusion_model", "sd1"),
        (
            {**UNET, "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 2048)},
            "diffusion_model",
            "sdxl",
        ),
        (SD1, "checkpoint", "sd1"),
        (CLIP_L, "clip_l", ""),
        (CLIP_G, "clip_g", ""),
        (
            {"transformer.resblocks.0.attn.in_proj_weight": (1,), "token_embedding.weight": (9, 1280)},
            "clip_g",
            "",
        ),
        (T5, "t5xxl", "t5"),
        (VAE16, "vae", ""),
        (WAN_VAE, "vae", ""),
        (TAESD, "taesd", ""),
        ({"1.weight": (64, 4, 3, 3), "3.conv.0.weight": (1, 1)}, "taesd", ""),
        (QWEN3_4B, "llm", ""),
        ({"visual.blocks.0.attn.qkv.weight": (1,)}, "llm_vision", ""),
        ({"vision_model.embeddings.patch_embedding.weight": (1,)}, "clip_vision", ""),
        ({"lora_unet_down_blocks_0.lora_down.weight": (1,)}, "lora", ""),
        ({"control_model.input_blocks.0.0.weight": (1,)}, "controlnet", ""),
        ({"conv_first.weight": (1,), "body.0.rdb1.conv1.weight": (1,)}, "upscaler", ""),
        ({"something.else": (1,)}, "unknown", ""),
    ],
)
def test_files_are_told_by_their_tensors(shapes: Shapes, role: str, family: str) -> None:
    for make in (safe, gguf):
        guess = guess_file(make(shapes))
        assert (guess.role, guess.family) == (role, family)


def test_gguf_architectures_help() -> None:
    assert guess_file(gguf({"a": (1,)}, "flux")).family == "flux"
    assert guess_file(gguf({"v.blk.0.attn_q.weight": (1, 1)}, "clip")).role == "llm_vision"
    assert guess_file(gguf({"enc.blk.0.attn_q.weight": (1, 1)}, "t5encoder")).role == "t5xxl"
    metadata, tensors = llama_like(layers=1, vocabulary=300)
    raw, size = gguf_header(metadata, tensors)
    guess = guess_file(read_gguf_header(io.BytesIO(raw), file_size=len(raw) + size))
    assert (guess.role, guess.width, model_type(guess)) == ("llm", 512, "llm")


def test_details_of_guesses() -> None:
    assert guess_file(safe(FLUX)).width == 4096
    assert guess_file(safe(KLEIN)).width == 2560
    assert guess_file(safe(VAE16)).latent == "kl-16"
    assert guess_file(safe(VAE32)).latent == "flux2"
    assert guess_file(safe(SD1)).parts == {"diffusion_model", "clip_l", "vae"}
    assert model_type(guess_file(safe(SD1))) == "diffusion"
    assert model_type(guess_file(safe(VAE4))) is None
    assert "UMT5" in guess_file(safe({**T5, "shared.weight": (256384, 4096)})).title


FULL_FLUX = {"diffusion_model": FLUX, "clip_l": CLIP_L, "t5xxl": T5, "vae": VAE16}


def problems(files: dict[str, Shapes]) -> list[tuple[str, str]]:
    return [(p.level, p.role) for p in check_roles({role: safe(shapes) for role, shapes in files.items()})]


@pytest.mark.parametrize(
    "files",
    [
        FULL_FLUX,
        {"diffusion_model": KLEIN, "llm": QWEN3_4B, "vae": VAE32},
        {"diffusion_model": Z_IMAGE, "llm": QWEN3_4B, "vae": VAE16},
        {"": SD1},
        {"checkpoint": SD1, "vae": VAE4},
        {"diffusion_model": UNET, "clip_l": CLIP_L, "vae": VAE4},
        {
            "diffusion_model": UNET,
            "clip_l": CLIP_L,
            "taesd": {**TAESD, "decoder.layers.0.weight": (64, 4, 3, 3)},
        },
        {"diffusion_model": {"new.kind": (1,)}, "vae": VAE16},
    ],
)
def test_sets_that_fit(files: dict[str, Shapes]) -> None:
    assert problems(files) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"vae": VAE16}, [("error", "diffusion_model")]),
        ({"": FLUX}, [("error", "checkpoint")]),
        ({**FULL_FLUX, "vae": CLIP_L}, [("error", "vae")]),
        ({**FULL_FLUX, "clip_l": CLIP_G}, [("error", "clip_l")]),
        ({"diffusion_model": VAE16}, [("error", "diffusion_model")]),
        ({"diffusion_model": FLUX, "vae": VAE16}, [("error", "clip_l"), ("warning", "t5xxl")]),
        ({"diffusion_model": FLUX, "clip_l": CLIP_L, "vae": VAE16}, [("warning", "t5xxl")]),
        ({"diffusion_model": FLUX, "clip_l": CLIP_L, "t5xxl": T5}, [("error", "vae")]),
        ({**FULL_FLUX, "vae": VAE32}, [("error", "vae")]),
        ({"diffusion_model": KLEIN, "vae": VAE32}, [("error", "llm")]),
        (
            {
                "diffusion_model": KLEIN,
                "llm": {**QWEN3_4B, "model.embed_tokens.weight": (9, 4096)},
                "vae": VAE32,
            },
            [("error", "llm")],
        ),
        ({"diffusion_model": {"patchify_proj.weight": (1,)}}, [("error", "diffusion_model")]),
    ],
)
def test_sets_that_do_not_fit(files: dict[str, Shapes], expected: list[tuple[str, str]]) -> None:
    assert problems(files) == expected


def test_problems_are_sentences() -> None:
    for problem in check_roles({"diffusion_model": safe(KLEIN), "llm": safe(T5), "vae": safe(VAE16)}):
        assert problem.message.endswith(".")
        assert problem.remedy.endswith(".")
    (problem,) = check_roles(
        {"vae": FileGuess("llm", title="language model"), "diffusion_model": safe(Z_IMAGE)}
    )
    assert "a language model" in problem.message
    assert "role 'llm'" in problem.remedy


def test_order_and_flags() -> None:
    assert [str(role) for role in COMPONENT_ORDER][:4] == ["diffusion_model", "clip_l", "clip_g", "t5xxl"]
    assert COMPONENT_FLAGS["llm_vision"] == "--llm_vision"
    assert component_arguments({"vae": "v", "diffusion_model": "d", "t5xxl": ""}) == [
        "--diffusion-model",
        "d",
        "--vae",
        "v",
    ]


def test_every_family_has_settings_and_known_roles() -> None:
    for family in FAMILIES.values():
        assert set(family.required + family.wanted) <= set(COMPONENT_FLAGS)
        if not family.is_video:
            assert recommended_settings(family.key)["steps"] > 0
    assert recommended_settings("nobody knows") == {}
