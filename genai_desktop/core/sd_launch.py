"""From what to paint to the command line of sd-cli, gated on what the binary says it knows."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from genai_desktop.core.components import COMPONENT_FLAGS, COMPONENT_ORDER
from genai_desktop.core.errors import ConfigurationError, EngineError, InvalidInputError, ModelFileError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.models import ComponentRole, ModelInfo

ThreeState = Literal["auto", "on", "off"]
_THREE_STATE = ("auto", "on", "off")
SWITCHES: tuple[str, ...] = (
    "offload_to_cpu",
    "diffusion_flash_attention",
    "clip_on_cpu",
    "vae_on_cpu",
    "vae_tiling",
)
_ONE_OUTPUT, _MANY_OUTPUTS, _NUMBERED = "image.png", "image_%03d.png", re.compile(r"image_(\d+)\.png")
# One argument may hold 128 KiB on Linux; Windows gives the whole command line 32,767 characters.
_LONGEST_PROMPT = 24_000 if sys.platform == "win32" else 120_000
_VAE_BYTES_PER_PIXEL = 6_700  # compute buffer of an untiled decode, measured on SD and Flux VAEs (f32)
_TEXT_ROLES = (ComponentRole.CLIP_L, ComponentRole.CLIP_G, ComponentRole.T5XXL, ComponentRole.LLM)
# Families whose pictures must be a multiple of 16; the rest needs 8.
_SIXTEENS = ("flux2", "ernie", "lens", "ideogram", "mage", "wan", "hunyuan", "krea")


@dataclass(frozen=True)
class DiffusionServerConfig:
    """How the image engine runs. port: of the HTTP face, "auto", or None for no HTTP face.

    threads None: the engine's choice. The switches are "auto" (decided from memory), "on" or "off".
    """

    model_id: str = ""
    port: int | Literal["auto"] | None = None
    threads: int | None = None
    offload_to_cpu: ThreeState = "auto"
    diffusion_flash_attention: ThreeState = "auto"
    clip_on_cpu: ThreeState = "auto"
    vae_on_cpu: ThreeState = "auto"
    vae_tiling: ThreeState = "auto"
    extra_args: tuple[str, ...] = ()

    def validated(self) -> DiffusionServerConfig:
        """Itself, or ConfigurationError naming the key."""
        if not isinstance(self.model_id, str):
            raise ConfigurationError(f"model_id must be text, not {self.model_id!r}.")
        if self.port not in (None, "auto"):
            _check_int("port", self.port, 1, 65535)
        if self.threads is not None:
            _check_int("threads", self.threads, 1, 1024)
        for name in SWITCHES:
            if getattr(self, name) not in _THREE_STATE:
                raise ConfigurationError(
                    f"{name} cannot be {getattr(self, name)!r}.", remedy="Choose auto, on or off."
                )
        if not all(isinstance(arg, str) and "\0" not in arg for arg in self.extra_args):
            raise ConfigurationError("extra_args must be a list of texts.")
        return self

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> DiffusionServerConfig:
        """From untyped data; unknown keys are refused by name."""
        known = {f.name for f in fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigurationError(
                    f"Unknown setting {key!r} of the image engine.",
                    remedy=f"Known: {', '.join(sorted(known))}.",
                )
        shaped = dict(values)
        if isinstance(shaped.get("extra_args"), list):
            shaped["extra_args"] = tuple(shaped["extra_args"])
        return cls(**shaped).validated()


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(
            f"{name} cannot be {value!r}.", remedy=f"Give a whole number from {low} to {high}."
        )


@dataclass(frozen=True)
class SdOptions:
    """The switches with every "auto" decided."""

    offload_to_cpu: bool = False
    diffusion_flash_attention: bool = False
    clip_on_cpu: bool = False
    vae_on_cpu: bool = False
    vae_tiling: bool = False


@dataclass(frozen=True)
class SdMemory:
    """Bytes. vram_free None: the engine computes on the processor."""

    text_encoders: int
    diffusion_model: int
    vae: int
    compute: int
    vram_free: int | None
    ram_free: int

    @property
    def weights(self) -> int:
        return self.text_encoders + self.diffusion_model + self.vae


def part_sizes(model: ModelInfo) -> tuple[int, int, int]:
    """Bytes of text encoders, diffusion model and VAE. A single file counts as the diffusion model."""
    parts = model.components
    if not parts:
        return 0, model.size, 0
    text = sum(file.size for role, file in parts.items() if role in _TEXT_ROLES or role == "llm_vision")
    vae = sum(file.size for role, file in parts.items() if role in ("vae", "taesd"))
    return text, max(0, model.size - text - vae), vae


def decode_bytes(width: int, height: int) -> int:
    """Compute buffer of an untiled decode."""
    return width * height * _VAE_BYTES_PER_PIXEL


def resolve_options(
    config: DiffusionServerConfig, model: ModelInfo, width: int, height: int, memory: SdMemory
) -> SdOptions:
    """Decide what is "auto": keep everything on the GPU while it fits, then the cheapest sacrifice first.

    Tiling costs little time; streaming the weights from RAM more; computing a part on the processor most.
    """
    auto = dict.fromkeys(SWITCHES, False)
    free = memory.vram_free
    decode = decode_bytes(width, height)
    if free is None:
        auto["vae_tiling"] = memory.weights + decode > memory.ram_free
    else:
        # a language model as text encoder is what flash attention saves on; a processor only loses by it
        auto["diffusion_flash_attention"] = str(ComponentRole.LLM) in model.components
        resident = memory.weights + memory.compute
        auto["offload_to_cpu"] = resident > free
        held = 0 if auto["offload_to_cpu"] else memory.weights
        auto["vae_tiling"] = held + decode > free
        auto["clip_on_cpu"] = memory.text_encoders > free
        auto["vae_on_cpu"] = memory.vae + decode_bytes(256, 256) > free
    return SdOptions(
        **{
            name: auto[name] if getattr(config, name) == "auto" else getattr(config, name) == "on"
            for name in SWITCHES
        }
    )


def relieved(options: SdOptions, config: DiffusionServerConfig, *, has_gpu: bool) -> SdOptions | None:
    """What to try after the engine ran out of memory; None when nothing is left that "auto" may change."""
    ladder = ("vae_tiling", "offload_to_cpu", "clip_on_cpu", "vae_on_cpu") if has_gpu else ("vae_tiling",)
    for name in ladder:
        if not getattr(options, name) and getattr(config, name) == "auto":
            return replace(options, **{name: True})
    return None


def size_multiple(model: ModelInfo) -> int:
    """What width and height must be a multiple of."""
    names = (model.architecture.lower().replace(".", ""), model.family.lower().replace(".", ""))
    return 16 if any(name.startswith(_SIXTEENS) for name in names) else 8


def aligned_size(config: ImageGenerationConfig, model: ModelInfo) -> tuple[int, int]:
    """Width and height that will really be painted: rounded up, as newer engines do themselves."""
    multiple = size_multiple(model)
    return -(-config.width // multiple) * multiple, -(-config.height // multiple) * multiple


def check_model(model: ModelInfo) -> None:
    """Refuse what is known to crash the engine. Raises ModelFileError."""
    roles = model.components
    if not roles:
        return
    if str(ComponentRole.DIFFUSION_MODEL) not in roles:
        raise ModelFileError(
            f"The image model '{model.name}' has no diffusion model among its files.",
            remedy="Import it again and choose the file for the role 'diffusion model'.",
        )
    if not any(str(role) in roles for role in _TEXT_ROLES):
        # sd-cli ends with a segmentation fault in this case
        raise ModelFileError(
            f"The image model '{model.name}' has no text encoder, so it cannot read a prompt.",
            remedy="Import it again with its text encoder (CLIP, T5 or a language model).",
        )


def is_long_prompt(config: ImageGenerationConfig) -> bool:
    """Too long for a command line: it must go through a file."""
    return len(config.prompt.encode("utf-8", "replace")) > _LONGEST_PROMPT


def build_sd_argv(
    config: ImageGenerationConfig,
    model: ModelInfo,
    *,
    options: SdOptions,
    flags: Collection[str],
    output_folder: str = "",
    threads: int | None = None,
    prompt_file: str = "",
    extra_args: tuple[str, ...] = (),
) -> list[str]:
    """Arguments after the program itself. config.seed must be decided (>= 0).

    output_folder: where the files that `output_index` knows appear; empty: the directory the engine runs in.
    flags: long names the binary's `--help` lists; empty: not known, everything is assumed. Raises EngineError
    when the build lacks something that the picture needs, ModelFileError for an impossible set of files.
    """
    if config.seed < 0:
        raise InvalidInputError("The seed must be decided before the engine is started.")
    check_model(model)
    argv = _Arguments(flags)
    _add_model(argv, model)
    _add_prompt(argv, config, prompt_file)
    width, height = aligned_size(config, model)
    argv.add("--width", str(width))
    argv.add("--height", str(height))
    argv.add("--steps", str(config.steps))
    argv.add("--cfg-scale", _number(config.cfg_scale))
    argv.add("--seed", str(config.seed))
    if config.count > 1:
        argv.add("--batch-count", str(config.count))
    if config.sampler:
        argv.add("--sampling-method", config.sampler)
    if config.scheduler:
        argv.add("--scheduler", config.scheduler)
    if config.guidance is not None:
        argv.add("--guidance", _number(config.guidance))
    if config.init_image:
        argv.add("--init-img", config.init_image)
        argv.add("--strength", _number(config.strength))
    if threads is not None:
        argv.add("--threads", str(threads))
    _add_switches(argv, options)
    argv.add("--output", _output(output_folder, config.count))
    return [*argv.items, *extra_args]


def output_index(name: str) -> int | None:
    """Which picture of the run a file is, counted from 0; None when it is none of them."""
    if name == _ONE_OUTPUT:
        return 0
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else None


def _output(folder: str, count: int) -> str:
    """The engine reads it as a printf format: a `%` of the folder is doubled, ours numbers the pictures."""
    name = _ONE_OUTPUT if count == 1 else _MANY_OUTPUTS
    return f"{folder.replace('%', '%%')}/{name}" if folder else name


class _Arguments:
    def __init__(self, flags: Collection[str]) -> None:
        self.items: list[str] = []
        self._flags = frozenset(flags)

    def knows(self, flag: str) -> bool:
        return not self._flags or flag in self._flags

    def add(self, flag: str, value: str | None = None) -> None:
        if not self.knows(flag):
            raise EngineError(
                f"This build of the image engine does not know {flag}, which this picture needs.",
                code="ENGINE_TOO_OLD",
                remedy="Use a newer build of stable-diffusion.cpp (System, Engines).",
            )
        self.items.extend([flag] if value is None else [flag, value])


def _add_model(argv: _Arguments, model: ModelInfo) -> None:
    parts = model.components
    if not parts:
        argv.add("--model", model.path)
    for role in COMPONENT_ORDER:
        if str(role) in parts:
            argv.add(COMPONENT_FLAGS[role], parts[str(role)].path)


def _add_prompt(argv: _Arguments, config: ImageGenerationConfig, prompt_file: str) -> None:
    if prompt_file:
        argv.add("--prompt-file", prompt_file)
    elif is_long_prompt(config):
        raise InvalidInputError(
            "The prompt is too long for this image engine.", remedy="Shorten it, or update the engine."
        )
    else:
        argv.add("--prompt", config.prompt)
    if len(config.negative_prompt.encode("utf-8", "replace")) > _LONGEST_PROMPT:
        raise InvalidInputError("The negative prompt is too long for a command line.", remedy="Shorten it.")
    if config.negative_prompt:
        argv.add("--negative-prompt", config.negative_prompt)


def _add_switches(argv: _Arguments, options: SdOptions) -> None:
    """The deprecated names still work everywhere they exist; builds that dropped them know --backend."""
    if options.offload_to_cpu:
        if argv.knows("--offload-to-cpu"):
            argv.add("--offload-to-cpu")
        else:
            argv.add("--params-backend", "*=cpu")
    for flag, module, is_on in (
        ("--clip-on-cpu", "te=cpu", options.clip_on_cpu),
        ("--vae-on-cpu", "vae=cpu", options.vae_on_cpu),
    ):
        if is_on and argv.knows(flag):
            argv.add(flag)
        elif is_on:
            argv.add("--backend", module)  # may be repeated: the engine joins them
    if options.diffusion_flash_attention:
        argv.add("--diffusion-fa")
    if options.vae_tiling:
        argv.add("--vae-tiling")


def _number(value: float) -> str:
    """Without an exponent: the engine reads `1e-05` as 1."""
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return text or "0"
