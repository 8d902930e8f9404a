"""What a model file is, told from the names and shapes of its tensors (never from its file name).

The marks are those stable-diffusion.cpp itself goes by (model.cpp, name_conversion.cpp), for files in the
layouts people share: single checkpoints, bare diffusion models, diffusers folders, text encoders, VAEs, GGUF
conversions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.safetensors import SafetensorsHeader

Header = GgufHeader | SafetensorsHeader


class TensorView(NamedTuple):
    """A tensor of either format. shape as in PyTorch (slowest first)."""

    name: str
    shape: tuple[int, ...]
    n_bytes: int


@dataclass(frozen=True)
class FileGuess:
    """What one file seems to be.

    role: a ComponentRole value, or "checkpoint" (diffusion model with its encoders or VAE inside), "lora",
    "controlnet", "upscaler", "clip_vision", "unknown". family: for diffusion models a key of
    components.FAMILIES. title: for people. parts: components a checkpoint carries. width: of the text this
    file makes (encoders) or wants (diffusion models), 0 unknown. latent: the latent space of a VAE or a
    diffusion model ("kl-4", "kl-16", "flux2", "wan-16", "wan-48", "pixel"), empty unknown.
    """

    role: str
    family: str = ""
    title: str = ""
    parts: frozenset[str] = frozenset()
    width: int = 0
    latent: str = ""


def tensor_views(header: Header) -> tuple[TensorView, ...]:
    """The tensors of a GGUF or safetensors header in one form."""
    if isinstance(header, GgufHeader):
        return tuple(TensorView(t.name, t.shape[::-1], t.n_bytes or 0) for t in header.tensors)
    return tuple(TensorView(t.name, t.shape, t.n_bytes) for t in header.tensors)


def guess_file(header: Header) -> FileGuess:
    """The best guess for one file; role "unknown" when nothing fits."""
    tensors = _Tensors(tensor_views(header))
    architecture = header.architecture if isinstance(header, GgufHeader) else ""
    for rule in (_guess_addition, _guess_diffusion, _guess_clip, _guess_t5, _guess_vae):
        guess = rule(tensors, architecture)
        if guess is not None:
            return guess
    return _guess_llm(tensors, architecture) or FileGuess("unknown", title="unknown kind of model")


_PREFIXES: Final = ("model.diffusion_model.", "diffusion_model.", "unet.", "transformer.", "net.")
_ENCODER_MARKS: Final[tuple[tuple[str, str], ...]] = (
    ("\ncond_stage_model.1.", "clip_g"),
    ("\ncond_stage_model.", "clip_l"),
    ("\nconditioner.embedders.1.", "clip_g"),
    ("\nconditioner.embedders.0.", "clip_l"),
    ("\ntext_encoders.clip_l.", "clip_l"),
    ("\ntext_encoders.clip_g.", "clip_g"),
    ("\ntext_encoders.t5xxl.", "t5xxl"),
    ("\ntext_encoders.llm.", "llm"),
    ("\ntext_encoders.qwen", "llm"),
    ("\nte.text_model.", "clip_l"),
    ("\nte.1.", "clip_g"),
    ("\nfirst_stage_model.", "vae"),
    ("\nvae.", "vae"),
)


class _Tensors:
    """Names in one text for fast substring questions, shapes by name without the diffusion prefix."""

    def __init__(self, views: Iterable[TensorView]) -> None:
        names: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.has_prefix = False
        for view in views:
            name = view.name
            names.append(name)
            self.shapes[name] = view.shape
            for prefix in _PREFIXES:
                if name.startswith(prefix):
                    self.shapes.setdefault(name[len(prefix) :], view.shape)
                    self.has_prefix = self.has_prefix or prefix == "model.diffusion_model."
                    break
        self.count = len(names)
        self.text = "\n" + "\n".join(names) + "\n"

    def has(self, *marks: str) -> bool:
        """Any of the marks occurs somewhere in a name."""
        return any(mark in self.text for mark in marks)

    def begins(self, *marks: str) -> bool:
        """Any of the marks begins a name, the usual prefixes aside."""
        return any(f"\n{mark}" in self.text for mark in marks) or any(
            f"\n{prefix}{mark}" in self.text for mark in marks for prefix in _PREFIXES
        )

    def dim(self, name: str, axis: int) -> int:
        """One dimension of the tensor whose name is, or ends with, `name`; 0 when there is none."""
        shape = self.shapes.get(name)
        if shape is None:
            shape = next((s for n, s in self.shapes.items() if n.endswith(name)), ())
        return shape[axis] if -len(shape) <= axis < len(shape) else 0


def _guess_addition(tensors: _Tensors, architecture: str) -> FileGuess | None:
    if tensors.has(".lora_down.", ".lora_A.", ".lora_up.", ".hada_w1", ".lokr_w1") or tensors.begins(
        "lora_unet_"
    ):
        return FileGuess("lora", title="LoRA")
    if tensors.has("controlnet_cond_embedding", "input_hint_block", "controlnet_blocks.", "control_model."):
        return FileGuess("controlnet", title="ControlNet")
    if tensors.has("conv_first.weight", "model.1.sub.0.") and tensors.has("rdb1.", "RDB1.", "body.0."):
        return FileGuess("upscaler", title="upscaler (ESRGAN)")
    if architecture == "clip":  # llama.cpp's name for every multimodal projector
        return FileGuess("llm_vision", title="vision projector (mmproj)")
    return None


# (marks, family, text width tensor, latent): the first line whose marks occur wins
_DIT_MARKS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("nerf_final_layer_conv.", "nerf_blocks."), "chroma-radiance"),
    (("joint_blocks.", "pos_embed.proj.weight"), "sd3"),
    (("transformer_blocks.0.img_mod.1.weight",), "qwen-image"),
    (("llm_adapter.blocks.0.cross_attn.",), "anima"),
    (("cap_embedder.0.weight",), "z-image"),
    (("layers.0.adaLN_sa_ln.weight",), "ernie-image"),
    (("double_blocks.0.img_mlp.gate_proj.weight",), "ovis-image"),
    (("double_stream_modulation_img.lin",), "flux2"),
    (("distilled_guidance_layer.",), "chroma"),
    (("txt_in.individual_token_refiner.",), "hunyuan-video"),
    (("double_blocks.", "single_transformer_blocks."), "flux"),
    (("blocks.0.cross_attn.norm_k.weight",), "wan"),
    (("patchify_proj.",), "ltx"),
    (("time_mixer.mix_factor", "time_mixing.mix_factor"), "svd"),
)
_DIT_ARCHITECTURES: Final[Mapping[str, str]] = {  # general.architecture of GGUF conversions of image models
    "flux": "flux", "sd1": "sd1", "sdxl": "sdxl", "sd3": "sd3", "qwen_image": "qwen-image",
    "lumina2": "z-image", "wan": "wan", "ltxv": "ltx", "hyvid": "hunyuan-video",
}  # fmt: skip
_LATENTS: Final[Mapping[str, str]] = {
    "sd1": "kl-4", "sd2": "kl-4", "sdxl": "kl-4", "sd3": "kl-16", "flux": "kl-16", "chroma": "kl-16",
    "z-image": "kl-16", "ovis-image": "kl-16", "flux2": "flux2", "flux2-klein": "flux2",
    "ernie-image": "flux2", "qwen-image": "wan-16", "anima": "wan-16", "wan": "wan-16",
    "chroma-radiance": "pixel",
}  # fmt: skip
_TITLES: Final[Mapping[str, str]] = {
    "sd1": "Stable Diffusion 1.x", "sd2": "Stable Diffusion 2.x", "sdxl": "SDXL", "sd3": "Stable Diffusion 3",
    "flux": "FLUX.1", "flux2": "FLUX.2", "flux2-klein": "FLUX.2 klein", "chroma": "Chroma",
    "chroma-radiance": "Chroma Radiance", "z-image": "Z-Image", "ovis-image": "Ovis-Image",
    "ernie-image": "ERNIE-Image", "qwen-image": "Qwen-Image", "anima": "Anima", "wan": "Wan", "ltx": "LTX",
    "hunyuan-video": "HunyuanVideo", "svd": "Stable Video Diffusion",
}  # fmt: skip


def family_title(family: str) -> str:
    """The name people use: "FLUX.1"."""
    return _TITLES.get(family, family)


def _guess_diffusion(tensors: _Tensors, architecture: str) -> FileGuess | None:
    family = _diffusion_family(tensors, architecture)
    if not family:
        return None
    parts = frozenset(part for mark, part in _ENCODER_MARKS if mark in tensors.text)
    title = family_title(family)
    latent = _LATENTS.get(family, "")
    if parts:
        parts |= {"diffusion_model"}
        return FileGuess("checkpoint", family, f"{title} checkpoint", parts, latent=latent)
    width = _text_width(tensors, family)
    return FileGuess(
        "diffusion_model", family, f"{title} diffusion model", frozenset({"diffusion_model"}), width, latent
    )


def _diffusion_family(tensors: _Tensors, architecture: str) -> str:
    for marks, family in _DIT_MARKS:
        if tensors.begins(*marks) or (family == "svd" and tensors.has(*marks)):
            if family == "flux2" and not tensors.begins("single_blocks.47.", "single_transformer_blocks.47."):
                return "flux2-klein"
            return family
    if tensors.begins("input_blocks.", "down_blocks.") and tensors.has(
        "attn2.to_k", "time_embed", "label_emb."
    ):
        context = tensors.dim("attn2.to_k.weight", -1)
        return {768: "sd1", 1024: "sd2", 1280: "sdxl", 2048: "sdxl"}.get(context, "sd1")
    return _DIT_ARCHITECTURES.get(architecture, "")


def _text_width(tensors: _Tensors, family: str) -> int:
    """The width of the text the diffusion model wants, as its encoder's hidden size."""
    if family in ("flux2", "flux2-klein"):  # three layers of the LLM side by side
        width = tensors.dim("txt_in.weight", -1) or tensors.dim("context_embedder.weight", -1)
        return width // 3
    names = {"z-image": "cap_embedder.1.weight", "sd3": "context_embedder.weight"}
    if family in ("flux", "chroma", "qwen-image", "z-image", "sd3", "ovis-image"):
        return tensors.dim(names.get(family, "txt_in.weight"), -1) or tensors.dim(
            "context_embedder.weight", -1
        )
    return 0


def _guess_clip(tensors: _Tensors, architecture: str) -> FileGuess | None:
    del architecture
    has_text = tensors.has("text_model.embeddings.token_embedding.", "text_model.encoder.layers.") or (
        tensors.has("token_embedding.weight") and tensors.has("transformer.resblocks.")
    )
    if not has_text:
        if tensors.has("vision_model.embeddings.patch_embedding", "visual.transformer.resblocks."):
            return FileGuess("clip_vision", title="CLIP vision encoder")
        return None
    width = tensors.dim("token_embedding.weight", -1) or tensors.dim("layer_norm1.weight", -1)
    if width == 1280:
        return FileGuess("clip_g", title="CLIP-G text encoder", width=width)
    if width == 1024:
        return FileGuess("clip_l", "sd2", "OpenCLIP-H text encoder of Stable Diffusion 2", width=width)
    return FileGuess("clip_l", title="CLIP-L text encoder", width=width)


def _guess_t5(tensors: _Tensors, architecture: str) -> FileGuess | None:
    is_t5 = architecture in ("t5", "t5encoder") or tensors.has(
        "block.0.layer.0.SelfAttention.q.", "enc.blk.0.attn_q."
    )
    if not is_t5:
        return None
    width = tensors.dim("shared.weight", -1) or tensors.dim("token_embd.weight", -1)
    vocabulary = tensors.dim("shared.weight", 0) or tensors.dim("token_embd.weight", 0)
    if vocabulary > 200_000:
        return FileGuess("t5xxl", "umt5", "UMT5-XXL text encoder", width=width)
    size = {4096: "T5-XXL", 2048: "T5-XL", 1024: "T5-large", 768: "T5-base"}.get(width, "T5")
    return FileGuess("t5xxl", "t5", f"{size} text encoder", width=width)


def _guess_vae(tensors: _Tensors, architecture: str) -> FileGuess | None:
    del architecture
    # tiny autoencoders first: they have a decoder too
    if tensors.has("decoder.layers.") or (
        tensors.has("\ndecoder.1.weight", "\n1.weight", "\ndecoder.3.conv.0.", "\n3.conv.0.")
        and tensors.has("conv.0.weight")
        and not tensors.has("up_blocks.", "decoder.up.")
    ):
        channels = tensors.dim("decoder.layers.0.weight", 1) or tensors.dim("decoder.1.weight", 1)
        latent = {4: "kl-4", 16: "kl-16"}.get(channels, "")
        return FileGuess("taesd", title="tiny autoencoder (TAESD)", latent=latent)
    if tensors.has("decoder.upsamples.", "decoder.head.2.", "decoder.middle.0.residual."):
        channels = tensors.dim("conv2.weight", 0) or tensors.dim("decoder.conv1.weight", 1)
        latent = "wan-48" if channels == 48 else "wan-16"
        return FileGuess("vae", title="Wan or Qwen-Image VAE", latent=latent)
    if tensors.has("decoder.conv_in.") and tensors.has("decoder.up.", "decoder.up_blocks."):
        channels = tensors.dim("decoder.conv_in.weight", 1)
        latent = {4: "kl-4", 16: "kl-16", 32: "flux2"}.get(channels, "")
        names = {"kl-4": "Stable Diffusion VAE", "kl-16": "FLUX.1 or SD3 VAE", "flux2": "FLUX.2 VAE"}
        return FileGuess("vae", title=names.get(latent, "VAE"), latent=latent)
    return None


def _guess_llm(tensors: _Tensors, architecture: str) -> FileGuess | None:
    if tensors.has("visual.blocks.", "\nv.blk.0.", "vision_tower.") and not tensors.has(
        "layers.0.self_attn.", "\nblk.0."
    ):
        return FileGuess("llm_vision", title="vision projector (mmproj)")
    is_llm = tensors.has("layers.0.self_attn.q_proj.", "layers.0.self_attn.qkv_proj.", "\nblk.0.") or (
        architecture and tensors.has("\ntoken_embd.weight")
    )
    if not is_llm and not (
        architecture and tensors.count == 0
    ):  # the first shard of a split may hold no tensors
        return None
    width = tensors.dim("token_embd.weight", -1) or tensors.dim("embed_tokens.weight", -1)
    return FileGuess("llm", architecture, "language model", width=width)
