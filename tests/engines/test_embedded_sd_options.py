"""The command-line rules of the embedded sd-cli, and the names of the files it writes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai_desktop.engines.embedded import SD_CLI, is_available
from genai_desktop.engines.embedded.sd_cli import output_paths
from genai_desktop.engines.embedded.sd_console import Console
from genai_desktop.engines.embedded.sd_library import Library
from genai_desktop.engines.embedded.sd_options import groups
from genai_desktop.engines.embedded.sd_parser import ExitRequest, Option, UsageError, parse
from genai_desktop.engines.embedded.sd_request import Request

needs_wheel = pytest.mark.skipif(
    not is_available(SD_CLI), reason="the extra 'embedded-image' is not installed"
)


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def requested(library: Library, *argv: str) -> Request:
    console = Console()
    request = Request(library, console)
    parse([options for _, options in groups(library, console)], argv, request, console)
    assert request.resolve()
    return request


@pytest.mark.parametrize(
    ("output", "begin", "count", "expected"),
    [
        ("cat.png", -1, 1, ["cat.png"]),
        ("cat.png", -1, 2, ["cat_0.png", "cat_1.png"]),
        ("cat.png", 7, 2, ["cat_7.png", "cat_8.png"]),
        ("cat.JPG", -1, 1, ["cat.JPG"]),
        ("cat.tiff", -1, 1, ["cat.tiff.png"]),
        ("cat", -1, 2, ["cat_0.png", "cat_1.png"]),
        ("cat.avi", -1, 1, ["cat.png"]),
        ("c_%03d.webp", -1, 2, ["c_000.webp", "c_001.webp"]),
        ("%d/x.png", 3, 1, ["3/x.png"]),
        ("50%%_%d.png", -1, 1, ["50%_0.png"]),
        ("50%.png", -1, 1, ["50%.png"]),
    ],
)
def test_the_names_of_a_batch(output: str, begin: int, count: int, expected: list[str]) -> None:
    request: Any = SimpleNamespace(output=output, output_begin_index=begin)
    assert output_paths(request, count) == [Path(name) for name in expected]


@needs_wheel
def test_options_reach_the_librarys_own_structures(library: Library) -> None:
    request = requested(
        library,
        *("-m", "m.gguf", "--cfg-scale", "2.5", "--guidance", "3", "-s", "-9", "-b", "3", "--vae-tiling"),
        *("--vae-tile-size", "16x8", "--skip-layers", "[1, 2]", "--sigmas", "[14.5, 0]", "--circular"),
        *(
            "--scheduler",
            "karras",
            "--sampling-method",
            "dpm++2m",
            "--type",
            "q8_0",
            "--steps",
            "7",
            "--steps",
            "9",
        ),
        *("--cache-mode", "easycache", "--cache-option", "threshold=0.25,reset=0"),
    )
    request.freeze()
    context, generation = request.context, request.generation
    assert context.model_path == b"m.gguf"
    assert (context.circular_x, context.circular_y, context.wtype) == (True, True, 8)
    assert generation.sample_params.guidance.txt_cfg == 2.5
    assert generation.sample_params.sample_steps == 9
    assert library.name_of("scheduler", generation.sample_params.scheduler) == "karras"
    assert library.name_of("sample_method", generation.sample_params.sample_method) == "dpm++2m"
    assert list(generation.sample_params.custom_sigmas[:2]) == [14.5, 0.0]
    assert list(generation.sample_params.guidance.slg.layers[:2]) == [1, 2]
    assert (generation.vae_tiling_params.tile_size_x, generation.vae_tiling_params.tile_size_y) == (16, 8)
    assert (generation.cache.mode, generation.cache.reuse_threshold) == (1, 0.25)
    assert generation.cache.reset_error_on_compute is False
    assert generation.seed >= 0
    assert (generation.width, generation.height) == (512, 512)


@needs_wheel
def test_the_defaults_are_the_real_programs(library: Library) -> None:
    request = requested(library, "-m", "m.gguf")
    generation = request.generation
    assert generation.seed == 42
    assert generation.sample_params.guidance.txt_cfg == 7.0
    assert generation.sample_params.sample_steps == 20
    assert generation.strength == 0.75
    assert generation.auto_resize_ref_image is True
    assert request.context.n_threads > 0
    assert library.name_of("rng_type", request.context.rng_type) == "cuda"


@needs_wheel
def test_loras_leave_the_prompt_and_add_up(library: Library, tmp_path: Path) -> None:
    (tmp_path / "style.safetensors").touch()
    prompt = "a <lora:style:0.5>cat<lora:style:0.25> <lora:gone:1>"
    request = requested(library, "-m", "m", "-p", prompt, "--lora-model-dir", str(tmp_path))
    assert request.prompt == "a cat "
    assert request.prompt_with_loras == prompt
    assert request.loras == {str(tmp_path / "style.safetensors"): 0.75}


@needs_wheel
def test_every_option_takes_some_value(library: Library) -> None:
    console = Console()
    options = [option for _, group in groups(library, console) for option in group]
    names = [name for option in options for name in (option.short, option.long) if name]
    assert len(names) == len(set(names))
    candidates = (
        "1",
        "cpu",
        "eps",
        "euler",
        "karras",
        "f16",
        "auto",
        "proj",
        "[1]",
        "static",
        "upscale",
        "ucache",
    )
    for option in options:
        assert any(takes(option, Request(library, console), value) for value in candidates), option.long


def takes(option: Option, request: Request, value: str) -> bool:
    try:
        option.apply(request, value)
    except UsageError:
        return option.long == "--help"
    except (ValueError, ExitRequest):
        return False
    return True
