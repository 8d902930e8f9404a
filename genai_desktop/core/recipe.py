"""How a picture was made: written so that other tools read it, and read back as settings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import PurePath
from typing import Any

from genai_desktop.core.errors import InvalidInputError
from genai_desktop.core.images import SAMPLERS, SCHEDULERS, GeneratedImage, ImageGenerationConfig
from genai_desktop.core.models import ModelInfo

OWN_KEY = "genai_desktop"
COMMON_KEY = "parameters"
_SCHEMA = 1
# How Automatic1111 and the tools that read its pictures call the samplers.
_COMMON_SAMPLERS = {
    "euler_a": "Euler a",
    "euler": "Euler",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm++2s_a": "DPM++ 2S a",
    "dpm++2m": "DPM++ 2M",
    "lcm": "LCM",
    "res_multistep": "Res Multistep",
}
_OWN_SAMPLERS = {common.lower(): own for own, common in _COMMON_SAMPLERS.items()}
_PAIR = re.compile(r'\s*([\w ./-]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


def make_recipe(
    config: ImageGenerationConfig,
    image: GeneratedImage,
    model: ModelInfo,
    *,
    engine: str,
    options: Mapping[str, Any],
    seconds: float,
    created_at: float,
) -> dict[str, Any]:
    """Everything that is needed to paint it again. No path of this computer is in it."""
    values = asdict(replace(config, seed=image.seed, width=image.width, height=image.height, count=1))
    values["init_image"] = PurePath(config.init_image).name
    values["model_id"] = model.id
    return {
        "schema": _SCHEMA,
        **values,
        "model": {
            "name": model.name,
            "files": [
                {"name": PurePath(file.path).name, "role": file.role, "sha256": file.sha256}
                for file in model.files
            ],
        },
        "engine": engine,
        "options": dict(options),
        "seconds": round(seconds, 3),
        "created_at": created_at,
    }


def recipe_texts(recipe: Mapping[str, Any]) -> dict[str, str]:
    """The texts to store in the picture: the common one and our own."""
    return {
        COMMON_KEY: common_text(recipe),
        OWN_KEY: json.dumps(recipe, ensure_ascii=True, separators=(",", ":")),
    }


def common_text(recipe: Mapping[str, Any]) -> str:
    """The `parameters` text of Automatic1111."""
    sampler = str(recipe.get("sampler") or "")
    pairs: dict[str, Any] = {"Steps": recipe["steps"]}
    if sampler:
        pairs["Sampler"] = _COMMON_SAMPLERS.get(sampler, sampler)
    if recipe.get("scheduler"):
        pairs["Schedule type"] = str(recipe["scheduler"]).capitalize()
    pairs["CFG scale"] = f"{recipe['cfg_scale']:g}"
    if recipe.get("guidance") is not None:
        pairs["Distilled CFG Scale"] = f"{recipe['guidance']:g}"
    pairs["Seed"] = recipe["seed"]
    pairs["Size"] = f"{recipe['width']}x{recipe['height']}"
    pairs["Model"] = recipe.get("model", {}).get("name", "")
    if recipe.get("init_image"):
        pairs["Denoising strength"] = f"{recipe['strength']:g}"
    pairs["Version"] = "GenAI Desktop"
    lines = [str(recipe["prompt"])]
    if recipe.get("negative_prompt"):
        lines.append(f"Negative prompt: {recipe['negative_prompt']}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value != ""))
    return "\n".join(lines)


def read_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """ImageGenerationConfig values from a picture's texts, ours first; only valid values are in it."""
    own = _own(texts.get(OWN_KEY, ""))
    return _valid(own) if own else _valid(_common(texts.get(COMMON_KEY, "")))


def full_recipe(texts: Mapping[str, str]) -> dict[str, Any]:
    """Our own recipe as it was stored, empty when there is none."""
    return _own(texts.get(OWN_KEY, ""))


def _own(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _common(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    *head, last = text.strip("\n").split("\n")
    if not last.lstrip().startswith("Steps:"):
        return {"prompt": text}
    prompt, _, negative = "\n".join(head).partition("\nNegative prompt: ")
    if not head or head[0].startswith("Negative prompt: "):
        prompt, negative = "", "\n".join(head).removeprefix("Negative prompt: ")
    pairs = {key.strip().lower(): _unquoted(value) for key, value in _PAIR.findall(last)}
    width, _, height = pairs.get("size", "").partition("x")
    sampler = pairs.get("sampler", "").lower()
    found: dict[str, Any] = {
        "prompt": prompt,
        "negative_prompt": negative,
        "steps": _number(pairs.get("steps"), int),
        "cfg_scale": _number(pairs.get("cfg scale"), float),
        "seed": _number(pairs.get("seed"), int),
        "width": _number(width, int),
        "height": _number(height, int),
        "guidance": _number(pairs.get("distilled cfg scale") or pairs.get("guidance"), float),
        "strength": _number(pairs.get("denoising strength"), float),
        "sampler": _OWN_SAMPLERS.get(sampler, sampler if sampler in SAMPLERS else None),
    }
    scheduler = pairs.get("schedule type", "").lower()
    found["scheduler"] = scheduler if scheduler in SCHEDULERS else None
    return {key: value for key, value in found.items() if value is not None}


def _valid(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a stranger's file says, field by field: a wrong value is left out, the rest is used."""
    valid: dict[str, Any] = {}
    for field in fields(ImageGenerationConfig):
        if field.name not in values or field.name == "init_image":
            continue
        try:
            ImageGenerationConfig(**{"prompt": "", field.name: values[field.name]}).validated()
        except (InvalidInputError, TypeError):
            continue
        if field.name == "model_id" and not isinstance(values[field.name], str):
            continue
        valid[field.name] = values[field.name]
    return valid


def _number(text: str | None, kind: type[int] | type[float]) -> int | float | None:
    try:
        return kind(text) if text and len(text) < 40 else None
    except ValueError:
        return None


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n\"]", text) else text


def _unquoted(text: str) -> str:
    text = text.strip()
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text
