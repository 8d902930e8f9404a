"""Every option of the embedded sd-cli: those of master-596 that make, change or enlarge pictures.

Absent on purpose: video, PhotoMaker and the reading of image metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from genai_desktop.engines.embedded.cnumbers import stof, stoi
from genai_desktop.engines.embedded.sd_console import Console
from genai_desktop.engines.embedded.sd_library import Library
from genai_desktop.engines.embedded.sd_parser import ExitRequest, Option, UsageError
from genai_desktop.engines.embedded.sd_request import Request

MODES = ("img_gen", "convert", "upscale")
_CACHE_MODES = {"easycache": 1, "ucache": 2, "dbcache": 3, "taylorseer": 4, "cache-dit": 5, "spectrum": 6}


def _put(request: Request, path: str, value: object) -> None:
    target: Any = request
    *parents, name = path.split(".")
    for parent in parents:
        target = getattr(target, parent)
    setattr(target, name, value)


def _string(short: str, long: str, path: str, text: str) -> Option:
    def apply(request: Request, value: str) -> None:
        in_library = path.startswith(("context.", "generation."))
        _put(request, path, value.encode(errors="surrogateescape") if in_library else value)

    return Option(short, long, "string", text, apply)


def _number(read: Callable[[str], Any], value: str) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"error: '{value}' is not a number") from error


def _int(short: str, long: str, path: str, text: str) -> Option:
    return Option(short, long, "int", text, lambda request, value: _put(request, path, _number(stoi, value)))


def _float(long: str, path: str, text: str) -> Option:
    return Option("", long, "float", text, lambda request, value: _put(request, path, _number(stof, value)))


def _switch(short: str, long: str, paths: str, text: str, *, value: bool = True) -> Option:
    def apply(request: Request, nothing: str) -> None:
        del nothing
        for path in paths.split():
            _put(request, path, value)

    return Option(short, long, "switch", text, apply)


def _enum(long: str, kind: str, path: str, what: str, text: str) -> Option:
    def apply(request: Request, value: str) -> None:
        number = request.library.value_of(kind, value)
        if number is None:
            raise ValueError(f"error: {what} {value}")
        _put(request, path, number)

    return Option("", long, "other", text, apply)


def _other(short: str, long: str, text: str, apply: Callable[[Request, str], None]) -> Option:
    return Option(short, long, "other", text, apply)


def _mode(request: Request, value: str) -> None:
    if value not in MODES:
        request.console.error(
            "main.cpp:150", f"error: invalid mode {value}, must be one of [{', '.join(MODES)}]"
        )
        raise ExitRequest(1)
    request.mode = value


def _preview(request: Request, value: str) -> None:
    number = request.library.value_of("preview", value)
    if number is None:
        raise ValueError(f"error: preview method {value}")
    request.preview_method = number


def _seed(request: Request, value: str) -> None:
    request.generation.seed = _number(lambda text: stoi(text, bits=64), value)


def _sigmas(request: Request, value: str) -> None:
    items = [item.strip() for item in value.removeprefix("[").removesuffix("]").split(",")]
    for item in filter(None, items):
        try:
            request.sigmas.append(stof(item))
        except ValueError as error:
            raise ValueError(f"error: invalid float value '{item}' in --sigmas") from error


def _skip_layers(request: Request, value: str) -> None:
    if not (value.startswith("[") and value.endswith("]")):
        raise ValueError
    request.skip_layers = [stoi(item) for item in value[1:-1].replace(",", " ").split()]


def _ref_image(request: Request, value: str) -> None:
    request.ref_images.append(value)


def _cache_mode(request: Request, value: str) -> None:
    if value not in _CACHE_MODES:
        raise ValueError(f"error: invalid cache mode '{value}', must be one of {', '.join(_CACHE_MODES)}")
    request.cache_mode = value
    request.generation.cache.mode = _CACHE_MODES[value]


def _tile_size(request: Request, value: str) -> None:
    x, y = _pair(value, stoi)
    request.generation.vae_tiling_params.tile_size_x, request.generation.vae_tiling_params.tile_size_y = x, y


def _relative_tile_size(request: Request, value: str) -> None:
    x, y = _pair(value, stof)
    request.generation.vae_tiling_params.rel_size_x, request.generation.vae_tiling_params.rel_size_y = x, y


def _pair(value: str, read: Callable[[str], Any]) -> tuple[Any, Any]:
    first, separator, second = value.partition("x")
    try:
        return read(first), read(second if separator else first)
    except ValueError as error:
        raise ValueError from error  # the real program says nothing but the option's name here


def groups(library: Library, console: Console) -> list[tuple[str, list[Option]]]:
    """Return the three groups of the help. The lists of names are the library's own."""
    return [
        ("CLI Options", _cli(console)),
        ("Context Options", _context()),
        ("Generation Options", _generation(library)),
    ]


def _cli(console: Console) -> list[Option]:
    def show_help(request: Request, nothing: str) -> NoReturn:
        del request, nothing
        # The real program calls this an error too, although its status is 0.
        console.error("common.cpp:286", "error: invalid parameter for argument: --help")
        raise UsageError(0)

    def verbose(request: Request, nothing: str) -> None:
        del nothing
        request.console.verbose = True

    def color(request: Request, nothing: str) -> None:
        del nothing
        request.console.color = True

    # fmt: off
    return [
        _string("-o", "--output", "output",
            "where the image goes; %d or %03d becomes its number (default: ./output.png)"),
        _string("", "--preview-path", "preview_path", "where the preview goes (default: ./preview.png)"),
        _int("", "--preview-interval", "preview_interval", "steps between two previews (default: 1)"),
        _int("", "--output-begin-idx", "output_begin_index", "number of the first image (default: 0)"),
        _switch("", "--canny", "canny", "turn the control image into edges"),
        _switch("", "--convert-name", "convert_name", "convert the names of tensors (for convert mode)"),
        Option("-v", "--verbose", "switch", "say more", verbose),
        Option("", "--color", "switch", "color the tags of the log", color),
        _switch("", "--taesd-preview-only", "context.tae_preview_only",
            "use the tiny autoencoder for previews only"),
        _switch("", "--preview-noisy", "preview_noisy",
            "preview the noisy input instead of the result so far"),
        _other("-M", "--mode", f"what to do, one of [{', '.join(MODES)}], default: img_gen", _mode),
        _other("", "--preview", "kind of preview, one of [none, proj, tae, vae] (default is none)", _preview),
        _other("-h", "--help", "show this and exit", show_help),
    ]
    # fmt: on


def _context() -> list[Option]:
    # fmt: off
    return [
        _string("-m", "--model", "context.model_path", "complete model"),
        _string("", "--clip_l", "context.clip_l_path", "CLIP-L text encoder"),
        _string("", "--clip_g", "context.clip_g_path", "CLIP-G text encoder"),
        _string("", "--clip_vision", "context.clip_vision_path", "CLIP vision encoder"),
        _string("", "--t5xxl", "context.t5xxl_path", "T5-XXL text encoder"),
        _string("", "--llm", "context.llm_path", "language model as text encoder"),
        _string("", "--llm_vision", "context.llm_vision_path", "vision part of the language model"),
        _string("", "--qwen2vl", "context.llm_path", "old name of --llm"),
        _string("", "--qwen2vl_vision", "context.llm_vision_path", "old name of --llm_vision"),
        _string("", "--diffusion-model", "context.diffusion_model_path", "diffusion model alone"),
        _string("", "--vae", "context.vae_path", "autoencoder alone"),
        _string("", "--taesd", "context.taesd_path", "tiny autoencoder, fast and coarse"),
        _string("", "--tae", "context.taesd_path", "other name of --taesd"),
        _string("", "--control-net", "context.control_net_path", "ControlNet"),
        _string("", "--embd-dir", "embedding_dir", "directory with embeddings"),
        _string("", "--lora-model-dir", "lora_model_dir", "directory with LoRAs"),
        _string("", "--hires-upscalers-dir", "hires_upscalers_dir", "directory with upscalers for --hires"),
        _string("", "--tensor-type-rules", "context.tensor_type_rules",
            "weight type by pattern, such as \"^vae\\.=f16\""),
        _string("", "--upscale-model", "upscale_model", "ESRGAN upscaler"),
        _int("-t", "--threads", "context.n_threads",
            "CPU threads (default: -1); 0 or less: the physical cores"),
        _int("", "--chroma-t5-mask-pad", "context.chroma_t5_mask_pad", "padding of Chroma's T5 mask"),
        _float("--max-vram", "context.max_vram", "VRAM in GiB to stay within, 0 = no limit"),
        _switch("", "--force-sdxl-vae-conv-scale", "context.force_sdxl_vae_conv_scale",
            "scale the convolutions of SDXL's autoencoder"),
        _switch("", "--offload-to-cpu", "context.offload_params_to_cpu",
            "keep weights in RAM, bring them to VRAM when needed"),
        _switch("", "--mmap", "context.enable_mmap", "map the model into memory"),
        _switch("", "--control-net-cpu", "context.keep_control_net_on_cpu", "ControlNet on the CPU"),
        _switch("", "--clip-on-cpu", "context.keep_clip_on_cpu", "text encoder on the CPU"),
        _switch("", "--vae-on-cpu", "context.keep_vae_on_cpu", "autoencoder on the CPU"),
        _switch("", "--fa", "context.flash_attn", "flash attention"),
        _switch("", "--diffusion-fa", "context.diffusion_flash_attn",
            "flash attention in the diffusion model only"),
        _switch("", "--diffusion-conv-direct", "context.diffusion_conv_direct",
            "direct convolutions in the diffusion model"),
        _switch("", "--vae-conv-direct", "context.vae_conv_direct", "direct convolutions in the autoencoder"),
        _switch("", "--circular", "context.circular_x context.circular_y",
            "wrap around both axes, for tiles"),
        _switch("", "--circularx", "context.circular_x", "wrap around the x axis"),
        _switch("", "--circulary", "context.circular_y", "wrap around the y axis"),
        _switch("", "--chroma-disable-dit-mask", "context.chroma_use_dit_mask", "no DiT mask for Chroma",
            value=False),
        _switch("", "--qwen-image-zero-cond-t", "context.qwen_image_zero_cond_t",
            "zero_cond_t for Qwen Image"),
        _switch("", "--chroma-enable-t5-mask", "context.chroma_use_t5_mask", "T5 mask for Chroma"),
        _enum("--type", "sd_type", "context.wtype", "invalid weight format",
            "weight type, such as f16, q8_0, q4_K (default: that of the file)"),
        _enum("--rng", "rng_type", "context.rng_type", "invalid rng type",
            "random numbers, one of [std_default, cuda, cpu], default: cuda"),
        _enum("--sampler-rng", "rng_type", "context.sampler_rng_type", "invalid sampler rng type",
            "random numbers of the sampler (default: as --rng)"),
        _enum("--prediction", "prediction", "context.prediction", "invalid prediction type",
            "prediction, one of [eps, v, edm_v, sd3_flow, flux_flow, flux2_flow]"),
        _enum("--lora-apply-mode", "lora_apply_mode", "context.lora_apply_mode", "invalid lora apply model",
            "how LoRAs are applied, one of [auto, immediately, at_runtime], default: auto"),
    ]
    # fmt: on


def _generation(library: Library) -> list[Option]:
    samplers = ", ".join(library.names_of("sample_method"))
    schedulers = ", ".join(library.names_of("scheduler"))
    sample, guidance, hires = (
        "generation.sample_params",
        "generation.sample_params.guidance",
        "generation.hires",
    )

    def scm_policy(request: Request, value: str) -> None:
        if value not in ("dynamic", "static"):
            raise ValueError(f"error: invalid scm policy '{value}', must be 'dynamic' or 'static'")
        request.generation.cache.scm_policy_dynamic = value == "dynamic"

    # fmt: off
    return [
        _string("-p", "--prompt", "generation.prompt", "what to paint"),
        _string("-n", "--negative-prompt", "generation.negative_prompt", "what not to paint (default: \"\")"),
        _string("-i", "--init-img", "init_image", "image to start from"),
        _string("", "--mask", "mask_image", "where to paint, white is yes"),
        _string("", "--control-image", "control_image", "image for ControlNet"),
        _string("", "--hires-upscaler", "hires_upscaler",
            "upscaler for --hires, a built-in one or a file of --hires-upscalers-dir (default: Latent)"),
        _int("-H", "--height", "height", "height in pixels (default: 512)"),
        _int("-W", "--width", "width", "width in pixels (default: 512)"),
        _int("", "--steps", f"{sample}.sample_steps", "sampling steps (default: 20)"),
        _int("", "--clip-skip", "generation.clip_skip",
            "last layers of CLIP to leave out plus one (default: -1, -1 = the model's)"),
        _int("-b", "--batch-count", "generation.batch_count", "number of images"),
        _int("", "--timestep-shift", f"{sample}.shifted_timestep",
            "time step shift of NitroFusion models (default: 0)"),
        _int("", "--upscale-repeats", "upscale_repeats", "how often the upscaler runs (default: 1)"),
        _int("", "--upscale-tile-size", "upscale_tile_size", "tile size of the upscaler (default: 128)"),
        _int("", "--hires-width", f"{hires}.target_width", "width of the second pass, 0 = by --hires-scale"),
        _int("", "--hires-height", f"{hires}.target_height",
            "height of the second pass, 0 = by --hires-scale"),
        _int("", "--hires-steps", f"{hires}.steps", "steps of the second pass, 0 = as --steps"),
        _int("", "--hires-upscale-tile-size", f"{hires}.upscale_tile_size",
            "tile size of the second pass (default: 128)"),
        _float("--cfg-scale", f"{guidance}.txt_cfg",
            "guidance (default: 7.0); 1 is one pass per step instead of two"),
        _float("--img-cfg-scale", f"{guidance}.img_cfg", "image guidance (default: as --cfg-scale)"),
        _float("--guidance", f"{guidance}.distilled_guidance", "distilled guidance (default: 3.5)"),
        _float("--slg-scale", f"{guidance}.slg.scale", "skip layer guidance (default: 0, 0 = off)"),
        _float("--skip-layer-start", f"{guidance}.slg.layer_start", "where it begins (default: 0.01)"),
        _float("--skip-layer-end", f"{guidance}.slg.layer_end", "where it ends (default: 0.2)"),
        _float("--eta", f"{sample}.eta", "noise multiplier (default: the sampler's)"),
        _float("--flow-shift", f"{sample}.flow_shift", "shift of flow models (default: auto)"),
        _float("--strength", "generation.strength",
            "how much of the start image is repainted (default: 0.75)"),
        _float("--control-strength", "generation.control_strength",
            "how much ControlNet decides (default: 0.9)"),
        _float("--vae-tile-overlap", "generation.vae_tiling_params.target_overlap",
            "overlap of tiles, as a part of one (default: 0.5)"),
        _float("--hires-scale", f"{hires}.scale", "scale of the second pass (default: 2.0)"),
        _float("--hires-denoising-strength", f"{hires}.denoising_strength",
            "strength of the second pass (default: 0.7)"),
        _switch("", "--increase-ref-index", "generation.increase_ref_index", "number the reference images"),
        _switch("", "--disable-auto-resize-ref-image", "generation.auto_resize_ref_image",
            "leave reference images their size", value=False),
        _switch("", "--disable-image-metadata", "embed_metadata", "write no recipe into the files",
            value=False),
        _switch("", "--vae-tiling", "generation.vae_tiling_params.enabled",
            "decode in tiles, which saves memory"),
        _switch("", "--hires", "generation.hires.enabled", "second pass at a larger size"),
        _other("-s", "--seed", "seed (default: 42, random for < 0)", _seed),
        _enum("--sampling-method", "sample_method", f"{sample}.sample_method", "invalid sample method",
            f"sampler, one of [{samplers}] (default: euler for Flux/SD3/Wan, euler_a otherwise)"),
        _enum("--scheduler", "scheduler", f"{sample}.scheduler", "invalid scheduler",
            f"scheduler, one of [{schedulers}], default: discrete"),
        _other("", "--sigmas", "sigmas of one's own, separated by commas", _sigmas),
        _other("", "--skip-layers", "layers for skip layer guidance (default: [7,8,9])", _skip_layers),
        _other("-r", "--ref-image", "reference image, may be repeated", _ref_image),
        _other("", "--cache-mode", f"step cache, one of {', '.join(_CACHE_MODES)}", _cache_mode),
        _other("", "--cache-option", "its parameters, key=value separated by commas",
            lambda request, value: setattr(request, "cache_option", value)),
        _other("", "--scm-mask", "its steps, 0 or 1 separated by commas",
            lambda request, value: setattr(request.generation.cache, "scm_mask", value.encode())),
        _other("", "--scm-policy", "its policy, 'dynamic' (default) or 'static'", scm_policy),
        _other("", "--vae-tile-size", "tile size [X]x[Y] in latent pixels (default: 32x32)", _tile_size),
        _other("", "--vae-relative-tile-size", "tile size as a part of the image, or as a number of tiles",
            _relative_tile_size),
    ]
    # fmt: on
