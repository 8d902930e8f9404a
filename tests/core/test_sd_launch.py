"""The command line of sd-cli."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.errors import ConfigurationError, EngineError, InvalidInputError, ModelFileError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.sd_launch import (
    DiffusionServerConfig,
    SdMemory,
    SdOptions,
    aligned_size,
    build_sd_argv,
    output_index,
    relieved,
    resolve_options,
)

HELP = (Path(__file__).parents[1] / "data" / "sd-cli" / "sd-cli-help-master827.txt").read_text()
FLAGS = frozenset(m[1] for m in re.finditer(r"^\s{2}(?:-\w, )?(--[\w-]+)", HELP, re.MULTILINE))
GIB = 2**30
SINGLE = ModelInfo("m", "M", "diffusion", "/m/model.gguf", 100)
CONFIG = ImageGenerationConfig(prompt="a cat", seed=7)


def parts(*roles: str, size: int = GIB) -> ModelInfo:
    files = tuple(ModelFile(f"/m/{role}.gguf", size, role) for role in roles)
    return ModelInfo("m", "M", "diffusion", files[0].path, size * len(files), files)


FLUX = parts("vae", "t5xxl", "diffusion_model", "clip_l")


def build(config: ImageGenerationConfig = CONFIG, model: ModelInfo = SINGLE, **more: object) -> list[str]:
    return build_sd_argv(config, model, **{"options": SdOptions(), "flags": FLAGS, **more})  # type: ignore[arg-type]


def value(argv: list[str], flag: str) -> str:
    assert argv.count(flag) == 1
    return argv[argv.index(flag) + 1]


def test_single_file() -> None:
    assert build() == [
        "--model", "/m/model.gguf", "--prompt", "a cat", "--width", "512", "--height", "512", "--steps", "20",
        "--cfg-scale", "7", "--seed", "7", "--output", "image.png",
    ]  # fmt: skip


def test_components_come_in_the_fixed_order_whatever_the_order_of_the_files() -> None:
    argv = build(
        model=parts("taesd", "llm_vision", "vae", "llm", "clip_g", "clip_l", "t5xxl", "diffusion_model")
    )
    order = [
        "--diffusion-model",
        "--clip_l",
        "--clip_g",
        "--t5xxl",
        "--llm",
        "--llm_vision",
        "--vae",
        "--taesd",
    ]
    assert [a for a in argv if a in (*order, "--model")] == order
    assert value(argv, "--vae") == "/m/vae.gguf"


def test_zero_is_a_seed_and_a_value() -> None:
    argv = build(replace(CONFIG, seed=0, cfg_scale=0.0))
    assert value(argv, "--seed") == "0"
    assert value(argv, "--cfg-scale") == "0"


def test_an_undecided_seed_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        build(replace(CONFIG, seed=-1))


def test_everything_that_was_asked_for() -> None:
    config = replace(
        CONFIG, negative_prompt="dog", count=3, sampler="dpm++2m", scheduler="karras", guidance=3.5,
        init_image="/i.png", strength=0.4,
    )  # fmt: skip
    argv = build(config, threads=4, extra_args=("--rng", "cpu"))
    for flag, wanted in {
        "--negative-prompt": "dog", "--batch-count": "3", "--sampling-method": "dpm++2m",
        "--scheduler": "karras",
        "--guidance": "3.5", "--init-img": "/i.png", "--strength": "0.4", "--threads": "4", "--rng": "cpu",
        "--output": "image_%03d.png",
    }.items():  # fmt: skip
        assert value(argv, flag) == wanted


def test_the_engine_chooses_what_was_left_open() -> None:
    argv = build()
    assert not {
        "--sampling-method",
        "--scheduler",
        "--guidance",
        "--threads",
        "--strength",
        "--batch-count",
    } & set(argv)


def test_percent_signs_of_the_folder_are_doubled_and_ours_is_not() -> None:
    assert value(build(output_folder="/tmp/50% off"), "--output") == "/tmp/50%% off/image.png"
    assert value(build(replace(CONFIG, count=2), output_folder="/a%d"), "--output") == "/a%%d/image_%03d.png"


def test_switches_on_a_build_that_knows_them_and_on_one_that_does_not() -> None:
    every = SdOptions(True, True, True, True, True)
    old = build(options=every)
    assert {"--offload-to-cpu", "--diffusion-fa", "--clip-on-cpu", "--vae-on-cpu", "--vae-tiling"} <= set(old)
    new = build(options=every, flags=FLAGS - {"--offload-to-cpu", "--clip-on-cpu", "--vae-on-cpu"})
    assert value(new, "--params-backend") == "*=cpu"
    assert [new[i + 1] for i, a in enumerate(new) if a == "--backend"] == ["te=cpu", "vae=cpu"]
    assert not {"--offload-to-cpu", "--diffusion-fa", "--vae-tiling"} & set(build())


def test_a_build_without_a_needed_flag_is_refused_by_name() -> None:
    with pytest.raises(EngineError, match="--llm"):
        build(model=parts("diffusion_model", "llm", "vae"), flags=FLAGS - {"--llm"})
    assert build(model=parts("diffusion_model", "llm", "vae"), flags=frozenset())


def test_no_text_encoder_is_refused_because_the_engine_would_crash() -> None:
    with pytest.raises(ModelFileError, match="text encoder"):
        build(model=parts("diffusion_model", "vae"))
    with pytest.raises(ModelFileError, match="diffusion model"):
        build(model=parts("clip_l", "vae"))


def test_a_prompt_that_no_command_line_can_carry_goes_through_a_file() -> None:
    long = replace(CONFIG, prompt="猫" * 90_000)
    argv = build(long, prompt_file="prompt.txt")
    assert value(argv, "--prompt-file") == "prompt.txt"
    assert "--prompt" not in argv
    with pytest.raises(InvalidInputError, match="too long"):
        build(long)
    with pytest.raises(EngineError, match="--prompt-file"):
        build(long, prompt_file="prompt.txt", flags=FLAGS - {"--prompt-file"})


def test_prompts_are_single_arguments_whatever_they_hold() -> None:
    for prompt in ("--help", "", "a\nb", "'; rm -rf /", "<lora:x:1> %d", "🦆"):
        assert value(build(replace(CONFIG, prompt=prompt)), "--prompt") == prompt


def test_size_is_aligned_up() -> None:
    assert aligned_size(replace(CONFIG, width=65, height=64), SINGLE) == (72, 64)
    assert aligned_size(replace(CONFIG, width=65, height=72), replace(SINGLE, family="flux2-klein")) == (
        80,
        80,
    )
    assert value(build(replace(CONFIG, width=100)), "--width") == "104"


@given(st.floats(0, 50, allow_nan=False))
def test_numbers_have_no_exponent(number: float) -> None:
    text = value(build(replace(CONFIG, cfg_scale=number)), "--cfg-scale")
    assert re.fullmatch(r"\d+(\.\d+)?", text)
    assert float(text) == pytest.approx(number, abs=1e-6)


def test_every_flag_exists_in_the_recorded_help() -> None:
    config = replace(CONFIG, negative_prompt="x", count=2, sampler="euler", scheduler="simple", guidance=1.0)
    argv = build(
        config, parts("diffusion_model", "clip_l", "t5xxl", "vae"), options=SdOptions(*[True] * 5), threads=2
    )
    assert {a for a in argv if a.startswith("--")} <= FLAGS


def test_output_names() -> None:
    names = ("image.png", "image_000.png", "image_012.png", "x.png", "image_a.png")
    assert [output_index(name) for name in names] == [0, 0, 12, None, None]


def memory(vram: int | None, ram: int = 64 * GIB, text: int = 8 * GIB, model: int = 4 * GIB) -> SdMemory:
    return SdMemory(text, model, GIB // 4, GIB, vram, ram)


def test_auto_keeps_everything_on_a_gpu_that_holds_it() -> None:
    options = resolve_options(DiffusionServerConfig(), FLUX, 1024, 1024, memory(24 * GIB))
    assert options == SdOptions()


def test_auto_gives_up_the_cheapest_thing_first() -> None:
    config = DiffusionServerConfig()
    streamed = resolve_options(config, FLUX, 1024, 1024, memory(10 * GIB))
    assert (streamed.offload_to_cpu, streamed.clip_on_cpu, streamed.vae_tiling) == (True, False, False)
    small = resolve_options(config, FLUX, 1024, 1024, memory(6 * GIB))
    assert (small.offload_to_cpu, small.clip_on_cpu, small.vae_on_cpu, small.vae_tiling) == (
        True,
        True,
        False,
        True,
    )


def test_auto_without_a_gpu_moves_nothing() -> None:
    options = resolve_options(DiffusionServerConfig(), FLUX, 512, 512, memory(None))
    assert options == SdOptions()
    tight = resolve_options(DiffusionServerConfig(), FLUX, 2048, 2048, memory(None, ram=16 * GIB))
    assert tight == SdOptions(vae_tiling=True)


def test_what_was_set_stays_set() -> None:
    config = DiffusionServerConfig(offload_to_cpu="off", vae_tiling="on", diffusion_flash_attention="on")
    options = resolve_options(config, FLUX, 1024, 1024, memory(2 * GIB))
    assert (options.offload_to_cpu, options.vae_tiling, options.diffusion_flash_attention) == (
        False,
        True,
        True,
    )


def test_the_ladder_after_running_out_of_memory() -> None:
    config = DiffusionServerConfig(clip_on_cpu="off")
    seen = []
    options: SdOptions | None = SdOptions()
    while (options := relieved(options, config, has_gpu=True)) is not None:
        seen.append(options)
    assert seen == [
        SdOptions(vae_tiling=True),
        SdOptions(vae_tiling=True, offload_to_cpu=True),
        SdOptions(vae_tiling=True, offload_to_cpu=True, vae_on_cpu=True),
    ]
    assert relieved(SdOptions(vae_tiling=True), config, has_gpu=False) is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"nope": 1}, "nope"),
        ({"port": 0}, "port"),
        ({"port": True}, "port"),
        ({"threads": "4"}, "threads"),
        ({"vae_tiling": True}, "vae_tiling"),
        ({"extra_args": [1]}, "extra_args"),
        ({"model_id": 3}, "model_id"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        DiffusionServerConfig.from_mapping(values)


def test_a_right_configuration() -> None:
    config = DiffusionServerConfig.from_mapping(
        {"model_id": "m", "port": "auto", "vae_tiling": "on", "extra_args": ["--rng", "cpu"]}
    )
    assert config.extra_args == ("--rng", "cpu")
