"""The same words for roles and memory parts wherever they appear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from genai_desktop.ui.widgets.meter import Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUMS = ("total", "gpu_bytes", "host_bytes", "peak", "resident")
_TOKENS = {
    "weights": "accent",
    "kv_cache": "vram",
    "recurrent_state": "llm",
    "compute": "gpu",
    "output": "diffusion",
    "projector": "warn",
    "diffusion_model": "accent",
    "checkpoint": "accent",
    "clip_l": "llm",
    "clip_g": "llm",
    "t5xxl": "vram",
    "llm": "vram",
    "llm_vision": "warn",
    "vae": "diffusion",
    "taesd": "diffusion",
}


def _tr(text: str) -> str:
    return QCoreApplication.translate("words", text)


def role_name(role: str) -> str:
    """A component role for people: what it does, with the field's own word."""
    return {
        "": _tr("Model"),
        "checkpoint": _tr("Model"),
        "diffusion_model": _tr("Diffusion model"),
        "clip_l": _tr("Text encoder CLIP-L"),
        "clip_g": _tr("Text encoder CLIP-G"),
        "t5xxl": _tr("Text encoder T5-XXL"),
        "llm": _tr("Text encoder LLM"),
        "llm_vision": _tr("Vision part of the LLM"),
        "vae": _tr("VAE (decoder)"),
        "taesd": _tr("Preview decoder TAESD"),
        "mmproj": _tr("Vision projector"),
        "projector": _tr("Vision projector"),
    }.get(role, role)


def part_name(part: str) -> str:
    """A part of the memory a model needs."""
    return {
        "weights": _tr("Weights"),
        "kv_cache": _tr("KV cache"),
        "recurrent_state": _tr("Recurrent state"),
        "compute": _tr("Compute"),
        "output": _tr("Output"),
        "projector": _tr("Vision projector"),
    }.get(part) or role_name(part)


def segments(footprint: Mapping[str, int]) -> list[Segment]:
    """The parts of a footprint in its order, without the sums."""
    return [
        Segment(part_name(name), value, _TOKENS.get(name, "rest"))
        for name, value in footprint.items()
        if name not in _SUMS and value > 0
    ]
