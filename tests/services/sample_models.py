"""Small model files with real headers, for shelves and downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.core.synthetic_gguf import llama_like, write_gguf, write_safetensors

KLEIN_WIDTH = 64
KLEIN_NAMES = ("klein-Q8_0.safetensors", "Qwen3-4B.gguf", "vae.safetensors")


def _tiny_llama(architecture: str = "llama", *, layers: int, width: int) -> Any:
    return llama_like(
        architecture,
        layers=layers,
        width=width,
        heads=2,
        kv_heads=2,
        head_dim=32,
        feed_forward=96,
        vocabulary=300,
    )


def language_model(
    path: Path, *, width: int = 64, layers: int = 1, name: str = "", architecture: str = "llama"
) -> Path:
    """A llama of a few hundred kilobytes that the parsers take; it is not meant to be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata, tensors = _tiny_llama(architecture, layers=layers, width=width)
    if name:
        metadata["general.name"] = name
    return write_gguf(path, metadata, tensors)


def split_model(folder: Path, stem: str = "Big-Q8_0", parts: int = 3) -> list[Path]:
    """A language model in numbered parts, as llama-gguf-split makes them."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata, tensors = _tiny_llama(layers=2, width=64)
    metadata["split.tensors.count"] = ("i32", len(tensors))
    paths = []
    share = -(-len(tensors) // parts)
    for number in range(parts):
        path = folder / f"{stem}-{number + 1:05d}-of-{parts:05d}.gguf"
        notes = metadata if number == 0 else {"general.architecture": "llama"}
        paths.append(write_gguf(path, notes, tensors[number * share : (number + 1) * share]))
    return paths


def projector(path: Path, *, width: int = 64) -> Path:
    """A vision projector for a model of that width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"general.architecture": "clip", "clip.vision.projection_dim": width}
    return write_gguf(path, metadata, [("v.blk.0.attn_q.weight", (32, 32), "F16")])


def checkpoint(path: Path) -> Path:
    """A Stable Diffusion 1 checkpoint with everything inside."""
    unet, text = "model.diffusion_model.", "cond_stage_model.transformer.text_model."
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_safetensors(
        path,
        {
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (
                "F16",
                (320, 768),
            ),
            f"{unet}time_embed.0.weight": ("F16", (64, 32)),
            f"{text}embeddings.token_embedding.weight": ("F16", (100, 768)),
            "first_stage_model.decoder.conv_in.weight": ("F16", (512, 4, 3, 3)),
            "first_stage_model.decoder.up.0.block.0.norm1.weight": ("F16", (128,)),
        },
    )


def klein(folder: Path, *, names: tuple[str, str, str] = KLEIN_NAMES) -> dict[str, Path]:
    """FLUX.2 klein in its three files, by role."""
    main, encoder, vae = (folder / name for name in names)
    for path in (main, encoder, vae):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(
        main,
        {
            "double_stream_modulation_img.lin.weight": ("F16", (96, 32)),
            "txt_in.weight": ("F16", (32, 3 * KLEIN_WIDTH)),
            "double_blocks.0.img_attn.qkv.weight": ("F16", (96, 32)),
        },
    )
    language_model(encoder, width=KLEIN_WIDTH)
    write_safetensors(
        vae,
        {
            "decoder.conv_in.weight": ("F16", (512, 32, 3, 3)),
            "decoder.up.0.block.0.norm1.weight": ("F16", (128,)),
        },
    )
    return {"diffusion_model": main, "llm": encoder, "vae": vae}


def wrong_vae(path: Path) -> Path:
    """The VAE of FLUX.1, which FLUX.2 cannot use."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_safetensors(
        path,
        {
            "decoder.conv_in.weight": ("F16", (512, 16, 3, 3)),
            "decoder.up.0.block.0.norm1.weight": ("F16", (128,)),
        },
    )
