"""What one command line asks of sd-cli: the library's parameters, and what only the program itself needs."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
from pathlib import Path
from typing import Any

from genai_desktop.engines.embedded.cnumbers import stof
from genai_desktop.engines.embedded.sd_console import Console
from genai_desktop.engines.embedded.sd_library import Library

_LORA = re.compile(r"<lora:([^:>]+):([^>]+)>")
_LORA_SUFFIXES = ("", ".gguf", ".safetensors", ".pt")
_EMBEDDING_SUFFIXES = (".gguf", ".safetensors", ".pt")
_UPSCALER_SUFFIXES = (".gguf", ".safetensors", ".pt", ".pth")


class Request:
    """The parsed command line. `context` and `generation` are the structures for the library."""

    def __init__(self, library: Library, console: Console) -> None:
        self.library = library
        self.console = console
        self.context: Any = library.context_params()
        self.generation: Any = library.generation_params()
        self.mode = "img_gen"
        self.output = "output.png"
        self.output_begin_index = -1
        self.preview_method = 0
        self.preview_interval = 1
        self.preview_path = "preview.png"
        self.preview_noisy = False
        self.canny = False
        self.convert_name = False
        self.embed_metadata = True
        self.width = -1
        self.height = -1
        self.init_image = ""
        self.mask_image = ""
        self.control_image = ""
        self.ref_images: list[str] = []
        self.lora_model_dir = "."
        self.embedding_dir = ""
        self.upscale_model = ""
        self.upscale_repeats = 1
        self.upscale_tile_size = 128
        self.hires_upscaler = "Latent"
        self.hires_upscalers_dir = ""
        self.sigmas: list[float] = []
        self.skip_layers = [7, 8, 9]
        self.cache_mode = ""
        self.cache_option = ""
        self.prompt_with_loras = ""
        self.loras: dict[str, float] = {}
        self._kept: list[object] = []  # C arrays that the structures point into

    @property
    def prompt(self) -> str:
        return bytes(self.generation.prompt or b"").decode(errors="surrogateescape")

    @property
    def resolved_width(self) -> int:
        return self.width if self.width > 0 else 512

    @property
    def resolved_height(self) -> int:
        return self.height if self.height > 0 else 512

    def take_size(self, width: int, height: int) -> None:
        """Let an input image decide the size, unless the command line did."""
        if self.width <= 0 or self.height <= 0:
            self.console.info("common.cpp:1808", f"set width x height to {width} x {height}")
            self.width, self.height = width, height

    def resolve(self) -> bool:
        """Fill in what depends on several options; return whether the result can be used, or say why not."""
        if self.context.n_threads <= 0:
            self.context.n_threads = self.library.binding.sd_get_num_physical_cores()
        self._find_embeddings()
        if not self._resolve_cache():
            return False
        if self.generation.seed < 0:
            self.generation.seed = secrets.randbelow(2**31)
        if not self._resolve_hires():
            return False
        self.prompt_with_loras = self.prompt
        if self.lora_model_dir:
            self._take_loras_from_prompt()
        return self._is_valid()

    def freeze(self) -> None:
        """Point the structures at the lists of this request. Call it last, when nothing changes any more."""
        generation, binding = self.generation, self.library.binding
        generation.width, generation.height = self.resolved_width, self.resolved_height
        guidance = generation.sample_params.guidance.slg
        guidance.layers = self._array(ctypes.c_int, self.skip_layers)
        guidance.layer_count = len(self.skip_layers)
        generation.sample_params.custom_sigmas = self._array(ctypes.c_float, self.sigmas)
        generation.sample_params.custom_sigmas_count = len(self.sigmas)
        loras = [
            binding.sd_lora_t(is_high_noise=False, multiplier=weight, path=os.fsencode(path))
            for path, weight in sorted(self.loras.items())
        ]
        generation.loras = self._array(binding.sd_lora_t, loras)
        generation.lora_count = len(loras)

    def keep(self, array: Any) -> Any:
        """Hold on to something that C points to."""
        self._kept.append(array)
        return array

    def _array(self, kind: Any, values: list[Any]) -> Any:
        if not values:
            return None
        array = self.keep((kind * len(values))(*values))
        return ctypes.cast(array, ctypes.POINTER(kind))

    def _find_embeddings(self) -> None:
        directory = Path(self.embedding_dir)
        if not self.embedding_dir or not directory.is_dir():
            return
        binding = self.library.binding
        found = [
            binding.sd_embedding_t(name=os.fsencode(path.stem), path=os.fsencode(path))
            for path in sorted(directory.iterdir())
            if path.is_file() and path.suffix in _EMBEDDING_SUFFIXES
        ]
        self.context.embeddings = self._array(binding.sd_embedding_t, found)
        self.context.embedding_count = len(found)

    def _resolve_cache(self) -> bool:
        cache = self.generation.cache
        fields = {
            "threshold": ("residual_diff_threshold", float),
            "start": ("start_percent", float),
            "end": ("end_percent", float),
            "decay": ("error_decay_rate", float),
            "relative": ("use_relative_threshold", bool),
            "reset": ("reset_error_on_compute", bool),
            "Fn": ("Fn_compute_blocks", int),
            "fn": ("Fn_compute_blocks", int),
            "Bn": ("Bn_compute_blocks", int),
            "bn": ("Bn_compute_blocks", int),
            "warmup": ("max_warmup_steps", int),
            "w": ("spectrum_w", float),
            "m": ("spectrum_m", int),
            "lam": ("spectrum_lam", float),
            "window": ("spectrum_window_size", int),
            "flex": ("spectrum_flex_window", float),
            "stop": ("spectrum_stop_percent", float),
        }
        if self.cache_mode in ("easycache", "ucache"):
            fields["threshold"] = ("reuse_threshold", float)
        if self.cache_mode == "spectrum":
            fields["warmup"] = ("spectrum_warmup_steps", int)
        for item in filter(None, self.cache_option.split(",")):
            key, separator, value = item.partition("=")
            if not separator:
                return self._refuse(f"cache option '{item}' missing '=' separator")
            if key not in fields:
                return self._refuse(f"unknown cache parameter '{key}'")
            name, kind = fields[key]
            try:
                setattr(cache, name, kind(stof(value)))
            except (ValueError, OverflowError):
                return self._refuse(f"invalid value '{value}' for parameter '{key}'")
        return True

    def _resolve_hires(self) -> bool:
        hires = self.generation.hires
        if not hires.enabled:
            return True
        upscaler = self.library.value_of("sd_hires_upscaler", self.hires_upscaler or "Latent")
        if upscaler is not None:
            hires.upscaler = upscaler
            hires.enabled = upscaler != 0
            return True
        name, directory = self.hires_upscaler, self.hires_upscalers_dir
        if not directory:
            return self._refuse("hires upscaler directory is empty", "")
        if Path(name).name != name or Path(name).suffix:
            return self._refuse(f"hires upscaler must be a model name without path or extension: {name}", "")
        for suffix in _UPSCALER_SUFFIXES:
            path = Path(directory) / (name + suffix)
            if path.is_file():
                hires.upscaler = self.library.value_of("sd_hires_upscaler", "Model")
                hires.model_path = os.fsencode(path)
                return True
        return self._refuse(f"can not find hires upscaler {name} in {directory}", "")

    def _take_loras_from_prompt(self) -> None:
        """Move every `<lora:NAME:WEIGHT>` from the prompt to the list; a missing file is a warning only."""
        prompt = self.prompt
        for match in _LORA.finditer(prompt):
            name, weight = match.groups()
            try:
                factor = stof(weight)
            except ValueError:
                continue
            wanted = Path(self.lora_model_dir) / name  # an absolute name stays what it is
            candidates = (wanted.with_name(wanted.name + suffix) for suffix in _LORA_SUFFIXES)
            path = next((str(candidate) for candidate in candidates if candidate.exists()), None)
            if path is None:
                self.console.warn("common.cpp:1773", f"can not found lora {wanted}")
                continue
            self.loras[path] = self.loras.get(path, 0.0) + factor
        self.generation.prompt = _LORA.sub("", prompt).encode(errors="surrogateescape")

    def _is_valid(self) -> bool:
        generation, sample = self.generation, self.generation.sample_params
        has_model = bool(self.context.model_path or self.context.diffusion_model_path)
        enlarges = self.mode == "upscale"
        rules = (
            (bool(self.output), "the following arguments are required: output_path"),
            (has_model or enlarges, "the following arguments are required: model_path/diffusion_model"),
            (
                bool(self.upscale_model) or not enlarges,
                "upscale mode needs an upscaler model (--upscale-model)",
            ),
            (generation.batch_count > 0, "batch_count must be greater than 0"),
            (sample.sample_steps > 0, "the sample_steps must be greater than 0"),
            (0 <= generation.strength <= 1, "can only work with strength in [0.0, 1.0]"),
            (sample.guidance.txt_cfg >= 0, "cfg_scale must be positive"),
            (0 <= sample.shifted_timestep <= 1000, "shifted_timestep must be in range [0, 1000]"),
            (self.upscale_repeats > 0, "upscale_repeats must be greater than 0"),
            (self.upscale_tile_size > 0, "upscale_tile_size must be greater than 0"),
            (
                not generation.hires.enabled or 0 < generation.hires.denoising_strength <= 1,
                "hires denoising strength must be in (0.0, 1.0]",
            ),
            (bool(self.init_image) or not enlarges, "upscale mode needs an init image (--init-img)"),
        )
        broken = next((why for holds, why in rules if not holds), None)
        return broken is None or self._refuse(broken)

    def _refuse(self, why: str, prefix: str = "error: ") -> bool:
        self.console.error("common.cpp:1990", prefix + why)
        return False
