"""The recipe inside a picture: the text that the tools of this field read, and the same as JSON behind it."""

from __future__ import annotations

import json
import math
from pathlib import PurePath
from typing import Any

from genai_desktop.engines.embedded.sd_request import Request

# role in the JSON -> field of the context parameters
_MODELS = {
    "model": "model_path",
    "clip_l": "clip_l_path",
    "clip_g": "clip_g_path",
    "clip_vision": "clip_vision_path",
    "t5xxl": "t5xxl_path",
    "llm": "llm_path",
    "llm_vision": "llm_vision_path",
    "diffusion_model": "diffusion_model_path",
    "vae": "vae_path",
    "taesd": "taesd_path",
    "control_net": "control_net_path",
}
_TEXT_ENCODERS = ("clip_l", "clip_g", "t5xxl", "llm", "llm_vision")


def parameters_text(request: Request, index: int) -> str:
    """Return the recipe of image `index` of a batch; its seed is the request's plus the index."""
    generation, library = request.generation, request.library
    sample, guidance = generation.sample_params, generation.sample_params.guidance
    files = _files(request)
    sampler = library.name_of("sample_method", sample.sample_method)
    if request.sigmas:
        sampler += f", Custom Sigmas: [{', '.join(f'{sigma:.4f}' for sigma in request.sigmas)}]"
    else:
        sampler += f" {library.name_of('scheduler', sample.scheduler)}"
    fields = [f"Steps: {sample.sample_steps}", f"CFG scale: {guidance.txt_cfg:f}"]
    if guidance.slg.scale and request.skip_layers:
        layers = "".join(f"{layer}, " for layer in request.skip_layers)
        fields += [
            f"SLG scale: {guidance.slg.scale:f}",
            f"Skip layers: [{layers}]",
            f"Skip layer start: {guidance.slg.layer_start:f}",
            f"Skip layer end: {guidance.slg.layer_end:f}",
        ]
    fields += [
        f"Guidance: {guidance.distilled_guidance:f}",
        f"Eta: {sample.eta:f}",
        f"Seed: {generation.seed + index}",
        f"Size: {request.resolved_width}x{request.resolved_height}",
        f"Model: {files.get('model', '')}",
        f"RNG: {library.name_of('rng_type', request.context.rng_type)}",
        f"Sampler: {sampler}",
        *(f"TE: {files[role]}" for role in _TEXT_ENCODERS if role in files),
    ]
    if "diffusion_model" in files:
        fields.append(f"Unet: {files['diffusion_model']}")
    if "vae" in files:
        fields.append(f"VAE: {files['vae']}")
    if generation.clip_skip != -1:
        fields.append(f"Clip skip: {generation.clip_skip}")
    if generation.hires.enabled:
        fields += [
            f"Hires upscale: {request.hires_upscaler}",
            f"Hires scale: {generation.hires.scale:f}",
            f"Hires steps: {generation.hires.steps}",
            f"Denoising strength: {generation.hires.denoising_strength:f}",
        ]
    fields += ["Version: stable-diffusion.cpp", f"SDCPP: {_json(request, index, files)}"]
    negative = bytes(generation.negative_prompt).decode(errors="replace")
    lines = [request.prompt_with_loras or request.prompt]
    if negative:
        lines.append(f"Negative prompt: {negative}")
    return "\n".join([*lines, ", ".join(fields)])


def _files(request: Request) -> dict[str, str]:
    """Names of the model files by role. Names only: the folders of a person do not belong into a picture."""
    paths = {role: bytes(getattr(request.context, field) or b"") for role, field in _MODELS.items()}
    return {role: PurePath(path.decode(errors="replace")).name for role, path in paths.items() if path}


def _json(request: Request, index: int, files: dict[str, str]) -> str:
    generation, library = request.generation, request.library
    sample, guidance, tiling = (
        generation.sample_params,
        generation.sample_params.guidance,
        generation.vae_tiling_params,
    )
    version, commit = library.version()
    recipe: dict[str, Any] = {
        "schema": "sdcpp.image.params/v1",
        "mode": "img_gen",
        "generator": {"name": "stable-diffusion.cpp", "version": version, "commit": commit},
        "seed": generation.seed + index,
        "width": request.resolved_width,
        "height": request.resolved_height,
        "prompt": {
            "positive": request.prompt,
            "negative": bytes(generation.negative_prompt).decode(errors="replace"),
        },
        "sampling": {
            "steps": sample.sample_steps,
            "eta": _finite(sample.eta),
            "shifted_timestep": sample.shifted_timestep,
            "flow_shift": _finite(sample.flow_shift),
            "method": library.name_of("sample_method", sample.sample_method),
            "scheduler": library.name_of("scheduler", sample.scheduler),
            "custom_sigmas": request.sigmas,
            "guidance": {
                "txt_cfg": guidance.txt_cfg,
                "img_cfg": _finite(guidance.img_cfg),
                "distilled_guidance": guidance.distilled_guidance,
                "slg": {
                    "scale": guidance.slg.scale,
                    "layers": request.skip_layers,
                    "start": guidance.slg.layer_start,
                    "end": guidance.slg.layer_end,
                },
            },
        },
        "models": files,
        "clip_skip": generation.clip_skip,
        "strength": generation.strength,
        "control_strength": generation.control_strength,
        "auto_resize_ref_image": generation.auto_resize_ref_image,
        "increase_ref_index": generation.increase_ref_index,
        "rng": library.name_of("rng_type", request.context.rng_type),
    }
    if request.loras:
        recipe["loras"] = [
            {"name": PurePath(path).name, "multiplier": weight, "is_high_noise": False}
            for path, weight in sorted(request.loras.items())
        ]
    if generation.hires.enabled:
        recipe["hires"] = {
            "enabled": True,
            "upscaler": request.hires_upscaler,
            "scale": generation.hires.scale,
            "target_width": generation.hires.target_width,
            "target_height": generation.hires.target_height,
            "steps": generation.hires.steps,
            "denoising_strength": generation.hires.denoising_strength,
        }
    if tiling.enabled:
        recipe["vae_tiling"] = {name: getattr(tiling, name) for name, _ in tiling._fields_}
    return json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _finite(value: float) -> float | None:
    """JSON has no infinity, which is the library's "not given"."""
    return value if math.isfinite(value) else None
