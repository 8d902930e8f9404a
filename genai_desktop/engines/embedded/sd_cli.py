"""sd-cli without its binary: the same command line, output, files and exit statuses, from the wheel.

The work and nearly all of the log are the library's own, progress bars included: it prints those itself as
long as no callback is set. What the wheel leaves out and lives here is the program around it: options, input
images, files.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genai_desktop.engines.embedded import sd_options
from genai_desktop.engines.embedded.sd_console import Console
from genai_desktop.engines.embedded.sd_library import Library
from genai_desktop.engines.embedded.sd_parser import ExitRequest, UsageError, parse, usage
from genai_desktop.engines.embedded.sd_request import Request

_INDEX = re.compile(r"(?:[^%]|^)(?:%%)*(%\d{0,3}d)")
_UPSCALE_FACTOR = 4


def main(argv: Sequence[str]) -> int:
    """Do what the arguments of sd-cli say; return the exit status.

    0 when at least one image was saved, 1 for every error that is explained, 127 without the wheel. An abort
    inside the library ends the process by its signal, and so do SIGINT and SIGTERM: nothing is saved then.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(
            signal.SIGPIPE, signal.SIG_DFL
        )  # nobody listens any more: nobody wants the image either
    if importlib.util.find_spec("stable_diffusion_cpp") is None:
        print(
            "error: the embedded stable-diffusion.cpp is not installed; install the extra 'embedded-image' "
            "(pip install 'genai-desktop[embedded-image]')",
            file=sys.stderr,
        )
        return 127
    library, console = Library(), Console()
    if argv and argv[0] == "--version":
        print(_version(library))
        return 0
    groups = sd_options.groups(library, console)
    request = Request(library, console)
    try:
        parse([options for _, options in groups], argv, request, console)
        if not request.resolve():
            raise UsageError  # noqa: TRY301 - one place prints the help
    except UsageError as error:
        print(usage(_version(library), groups), end="", flush=True)
        return error.args[0] if error.args else 1
    except ExitRequest as request_to_exit:
        return request_to_exit.status
    library.log_to(console)
    return _run(request)


def _version(library: Library) -> str:
    version, commit = library.version()
    return f"stable-diffusion.cpp version {version}, commit {commit}"


def _run(request: Request) -> int:
    library, console = request.library, request.console
    library.preview_to(
        _preview(request), request.preview_method, request.preview_interval, noisy=request.preview_noisy
    )
    console.debug("main.cpp:520", f"version: {_version(library)}")
    console.debug("main.cpp:521", library.binding.sd_get_system_info().decode(errors="replace"))
    if request.mode == "convert":
        return _convert(request)
    if not _load_images(request):
        return 1
    if request.mode == "upscale":
        results = [request.generation.init_image]
    else:
        generated = _generate(request)
        if generated is None:
            return 1
        results = generated
    if request.upscale_model:
        results = _upscale(request, results)
    return 0 if _save(request, results) else 1


def _preview(request: Request) -> Any:
    from genai_desktop.engines.embedded.sd_images import save

    def show(frame: Any) -> None:
        if not save(frame, Path(request.preview_path)):
            request.console.error("main.cpp:351", f"save preview image to '{request.preview_path}' failed")

    return show


def _convert(request: Request) -> int:
    context = request.context
    output = request.output if request.output != "output.png" else "output.gguf"
    done = request.library.binding.convert(
        context.model_path,
        context.vae_path,
        output.encode(errors="surrogateescape"),
        context.wtype,
        context.tensor_type_rules,
        request.convert_name,
    )
    names = f"'{context.model_path.decode()}'/'{context.vae_path.decode()}' to '{output}'"
    if not done:
        request.console.error("main.cpp:533", f"convert {names} failed")
        return 1
    request.console.info("main.cpp:539", f"convert {names} success")
    return 0


def _load_images(request: Request) -> bool:
    """Read every input image before the model: a missing one must not cost a load."""
    from genai_desktop.engines.embedded.sd_images import from_pixels, load

    generation = request.generation
    if request.init_image:
        fixed = request.width > 0 and request.height > 0
        size = {"width": request.width, "height": request.height} if fixed else {}
        image = load(request, request.init_image, **size)
        if image is None:
            return False
        request.take_size(image.width, image.height)
        generation.init_image = image
    references = []
    for path in request.ref_images:
        image = load(request, path)
        if image is None:
            return False
        request.take_size(image.width, image.height)
        references.append(image)
    if references:
        kind = request.library.binding.sd_image_t
        array = request.keep((kind * len(references))(*references))
        generation.ref_images = ctypes.cast(array, ctypes.POINTER(kind))
        generation.ref_images_count = len(references)
    width, height = request.resolved_width, request.resolved_height
    if request.mask_image:
        mask = load(request, request.mask_image, width=width, height=height, channels=1)
        if mask is None:
            return False
    else:
        mask = from_pixels(request, width, height, 1, b"\xff" * (width * height))
    generation.mask_image = mask
    if request.control_image:
        control = load(request, request.control_image, width=width, height=height)
        if control is None:
            return False
        if request.canny:
            request.library.binding.preprocess_canny(control, 0.08, 0.08, 0.8, 1.0, False)
        generation.control_image = control
    return True


def _generate(request: Request) -> list[Any] | None:
    binding, context, generation = request.library.binding, request.context, request.generation
    pixel_upscalers = ("Model", "Lanczos", "Nearest")
    upscaler = request.library.name_of("sd_hires_upscaler", generation.hires.upscaler)
    encodes = bool(request.init_image or request.ref_images) or (
        generation.hires.enabled and upscaler in pixel_upscalers
    )
    context.vae_decode_only = not encodes
    context.free_params_immediately = True
    request.freeze()
    request.console.debug("main.cpp:523", request.library.describe("sd_ctx_params", context))
    request.console.debug("main.cpp:524", request.library.describe("sd_img_gen_params", generation))
    engine = binding.new_sd_ctx(ctypes.byref(context))
    if not engine:
        request.console.info("main.cpp:679", "new_sd_ctx_t failed")
        return None
    sample = generation.sample_params
    if sample.sample_method == binding.SampleMethod.SAMPLE_METHOD_COUNT:
        sample.sample_method = binding.sd_get_default_sample_method(engine)
    if sample.scheduler == binding.Scheduler.SCHEDULER_COUNT:
        sample.scheduler = binding.sd_get_default_scheduler(engine, sample.sample_method)
    images = binding.generate_image(engine, ctypes.byref(generation))
    if not images:
        request.console.error("main.cpp:711", "generate failed")
        return None
    results = [images[index] for index in range(generation.batch_count)]
    binding.free_sd_ctx(engine)  # the upscaler needs the memory next
    return results


def _upscale(request: Request, images: list[Any]) -> list[Any]:
    """Enlarge every image; what cannot be enlarged stays as it is, and the run still succeeds."""
    binding, console = request.library.binding, request.console
    upscaler = binding.new_upscaler_ctx(
        request.upscale_model.encode(errors="surrogateescape"),
        request.context.offload_params_to_cpu,
        request.context.diffusion_conv_direct,
        request.context.n_threads,
        request.upscale_tile_size,
    )
    if not upscaler:
        console.error("main.cpp:725", "new_upscaler_ctx failed")
        return images
    enlarged = []
    for original in images:
        image = original
        for _ in range(request.upscale_repeats if image.data else 0):
            larger = binding.upscale(upscaler, image, _UPSCALE_FACTOR)
            if not larger.data:
                console.error("main.cpp:737", "upscale failed")
                break
            image = larger
        enlarged.append(image)
    return enlarged


def _save(request: Request, images: list[Any]) -> bool:
    from genai_desktop.engines.embedded.sd_images import save
    from genai_desktop.engines.embedded.sd_metadata import parameters_text

    folder = Path(request.output).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        request.console.error("main.cpp:404", f"failed to create directory '{folder}': {error.strerror}")
        return False
    saved = 0
    for index, (image, path) in enumerate(zip(images, output_paths(request, len(images)), strict=True)):
        done = save(image, path, parameters_text(request, index) if request.embed_metadata else "")
        request.console.info(
            "main.cpp:441", f"save result image {index} to '{path}' ({'success' if done else 'failure'})"
        )
        saved += done
    request.console.info("main.cpp:459", f"{saved}/{len(images)} images saved")
    return saved > 0


def output_paths(request: Request, count: int) -> list[Path]:
    """Name the files of a batch: `%d` is the number, else `_0`, `_1`, ... goes before the extension."""
    from genai_desktop.engines.embedded.sd_images import FORMATS

    output = Path(request.output)
    known = output.suffix.lower() in (*FORMATS, ".avi", ".webm")
    stem = str(output.with_suffix("")) if known else str(output)
    extension = output.suffix if output.suffix.lower() in FORMATS else ".png"
    begin = max(request.output_begin_index, 0)
    if _INDEX.search(request.output):
        return [Path(_numbered(stem + extension, begin + index)) for index in range(count)]
    if count == 1:
        return [Path(stem + extension)]
    return [Path(f"{stem}_{begin + index}{extension}") for index in range(count)]


def _numbered(pattern: str, index: int) -> str:
    while (match := _INDEX.search(pattern)) is not None:
        start, end = match.span(1)
        pattern = pattern[:start] + pattern[start:end] % index + pattern[end:]
    return pattern.replace("%%", "%")
