"""The embedded sd-cli against the contract of the real one, with the smallest model that the engine runs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from genai_desktop.engines.embedded import SD_CLI, command_line, is_available
from tests.real.models import html_instead, tiny_flux_set, truncated, wrong_role

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("embedded-sd"),
    pytest.mark.skipif(not is_available(SD_CLI), reason="the extra 'embedded-image' is not installed"),
]

ROOT = Path(__file__).parents[2]
BAR = re.compile(r"\r  \|[=> ]{50}\| (\d+)/(\d+) - ([\d.]+)(it/s|s/it|MB/s|GB/s)\033\[K")
LINE = re.compile(r"\[(DEBUG|INFO |WARN |ERROR)\] [\w.-]+:\d+ +- .*")
SMALL = ("-W", "64", "-H", "64", "--cfg-scale", "1", "--steps", "1")

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def files() -> Iterator[dict[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="tiny images ü ") as folder:
        yield tiny_flux_set(Path(folder))


def model_arguments(files: dict[str, Path]) -> list[str]:
    flags = {"diffusion_model": "--diffusion-model", "clip_l": "--clip_l", "taesd": "--taesd"}
    return [item for role, path in files.items() for item in (flags[role], str(path))]


def sd_cli(*arguments: str | Path, cwd: Path | None = None) -> Run:
    """Run the engine to its end. `cwd` receives what it writes by relative names."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from genai_desktop.engines.embedded import dispatch"
    )
    command = [sys.executable, "-c", f"{code}; sys.exit(dispatch(sys.argv[1:]))", "--embedded-engine", SD_CLI]
    run = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd or ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=110,
        check=False,
    )
    # not text=True: it would turn the carriage returns of the bars into line ends
    return Run(run.args, run.returncode, run.stdout.decode(), run.stderr.decode())


def messages(output: str) -> list[str]:
    """The lines of the log without their level and place."""
    lines = re.split(r"[\r\n]+", output)
    return [line.split(" - ", 1)[1] for line in lines if LINE.fullmatch(line)]


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


def recipe(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.info["parameters"]).encode("latin-1").decode()


@pytest.fixture(scope="session")
def batch(files: dict[str, Path]) -> Iterator[tuple[Run, Path]]:
    """Two images in one run; several tests look at what came out."""
    with tempfile.TemporaryDirectory(prefix="images ü ") as folder:
        output = Path(folder) / "new folder" / "cat.png"
        prompt = ("-p", "a cät, sitting", "-n", "dog", "-s", "7", "-b", "2", "-o", output)
        arguments = (*model_arguments(files), *SMALL, *prompt, "--steps", "4")
        yield sd_cli(*arguments), output.parent


# --- what it says about itself ---


def test_the_command_line_runs_through_this_interpreter() -> None:
    assert command_line(SD_CLI) == [sys.executable, "-m", "genai_desktop", "--embedded-engine", SD_CLI]
    run = subprocess.run([*command_line(SD_CLI), "--version"], cwd=ROOT, capture_output=True, check=True)
    assert run.stdout == b"stable-diffusion.cpp version master-596-90e87bc, commit 90e87bc\n"


def test_version_counts_only_in_front() -> None:
    run = sd_cli("-v", "--version")
    assert run.returncode == 1
    assert run.stderr.endswith("error: unknown argument: --version\n")


def test_help_lists_the_flags_the_desktop_uses() -> None:
    run = sd_cli("--help")
    assert run.returncode == 0
    assert run.stderr == "[ERROR] common.cpp:286  - error: invalid parameter for argument: --help\n"
    named = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", run.stdout, re.MULTILINE))
    assert named >= {
        *("--model", "--diffusion-model", "--clip_l", "--clip_g", "--t5xxl", "--llm", "--llm_vision"),
        *(
            "--clip_vision",
            "--vae",
            "--taesd",
            "--tae",
            "--control-net",
            "--lora-model-dir",
            "--upscale-model",
        ),
        *("--prompt", "--negative-prompt", "--width", "--height", "--steps", "--cfg-scale", "--guidance"),
        *(
            "--seed",
            "--batch-count",
            "--sampling-method",
            "--scheduler",
            "--init-img",
            "--strength",
            "--mask",
        ),
        *("--ref-image", "--output", "--clip-skip", "--vae-tiling", "--vae-tile-size", "--offload-to-cpu"),
        *("--diffusion-fa", "--clip-on-cpu", "--vae-on-cpu", "--threads", "--type", "--rng", "--verbose"),
        *("--preview", "--preview-path", "--upscale-repeats", "--flow-shift"),
    }
    assert "--list-devices" not in named  # master-596 has none
    assert "euler_a, heun" in re.sub(r"\s+", " ", run.stdout)


def test_without_the_wheel_it_names_the_extra() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from genai_desktop.engines.embedded import dispatch;"
        "sys.exit(dispatch(['--embedded-engine', 'sd-cli', '--help']))"
    )
    # -S leaves out site-packages, where the wheel is
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (127, "")
    assert "embedded-image" in run.stderr


# --- refused command lines ---


@pytest.mark.parametrize(
    ("arguments", "errors"),
    [
        (["--bogus"], ["error: unknown argument: --bogus"]),
        (["a cat"], ["error: unknown argument: a cat"]),
        (["--steps=4"], ["error: unknown argument: --steps=4"]),
        (["-p"], ["error: invalid parameter for argument: -p"]),
        (
            ["--steps", "four"],
            ["error: 'four' is not a number", "error: invalid parameter for argument: --steps"],
        ),
        (
            ["--sampling-method", "foo"],
            ["error: invalid sample method foo", "error: invalid parameter for argument: --sampling-method"],
        ),
        (
            ["--type", "q4_k"],
            ["error: invalid weight format q4_k", "error: invalid parameter for argument: --type"],
        ),
        ([], ["error: the following arguments are required: model_path/diffusion_model"]),
        (["-m", "x", "--steps", "0"], ["error: the sample_steps must be greater than 0"]),
        (["-m", "x", "--strength", "2"], ["error: can only work with strength in [0.0, 1.0]"]),
        (["-M", "upscale"], ["error: upscale mode needs an upscaler model (--upscale-model)"]),
    ],
)
def test_a_bad_command_line_is_named_and_followed_by_the_help(
    arguments: list[str], errors: list[str]
) -> None:
    run = sd_cli(*arguments)
    assert run.returncode == 1
    assert messages(run.stderr) == errors
    assert "Usage: sd-cli [options]" in run.stdout


def test_a_bad_mode_has_no_help() -> None:
    run = sd_cli("-M", "vid_gen")
    assert (run.returncode, run.stdout) == (1, "")
    assert "error: invalid mode vid_gen" in run.stderr


# --- making images ---


def test_a_batch_is_written_with_numbers_and_counted(batch: tuple[Run, Path]) -> None:
    run, folder = batch
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert sorted(path.name for path in folder.iterdir()) == ["cat_0.png", "cat_1.png"]
    said = messages(run.stdout)
    assert said[-3:] == [
        f"save result image 0 to '{folder / 'cat_0.png'}' (success)",
        f"save result image 1 to '{folder / 'cat_1.png'}' (success)",
        "2/2 images saved",
    ]
    with Image.open(folder / "cat_0.png") as image:
        assert (image.size, image.mode) == ((64, 64), "RGB")
        assert any(low != high for low, high in image.getextrema())
    assert pixels(folder / "cat_0.png") != pixels(folder / "cat_1.png")


def test_the_phases_come_in_the_order_of_this_version(batch: tuple[Run, Path]) -> None:
    run, _ = batch
    said = "\n".join(messages(run.stdout))
    order = [
        "loading diffusion model from ",
        "loading clip_l from ",
        "loading tae from ",
        "Version: Flux",
        "loading tensors completed, taking",
        "total params memory size = ",
        "running in Flux FLOW mode",
        "generate_image 64x64",
        "sampling using Euler method",
        "get_learned_condition completed, taking",
        "generating image: 1/2 - seed 7",
        "sampling completed, taking",
        "generating image: 2/2 - seed 8",
        "generating 2 latent images completed, taking",
        "decoding 2 latents",
        "latent 1 decoded, taking",
        "latent 2 decoded, taking",
        "decode_first_stage completed, taking",
        "generate_image completed in",
        "save result image 0 to ",
    ]
    assert [said.find(text) for text in order] == sorted(said.find(text) for text in order)
    assert all(text in said for text in order)


def test_the_bars_are_the_real_ones(batch: tuple[Run, Path]) -> None:
    run, _ = batch
    sampling = run.stdout[run.stdout.index("generating image: 1/2") :]
    steps = [(int(step), int(total)) for step, total, _, unit in BAR.findall(sampling) if "it" in unit]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2
    loading = run.stdout[: run.stdout.index("loading tensors completed")]
    bars = BAR.findall(loading)
    assert {unit for *_, unit in bars} <= {"MB/s", "GB/s"}
    assert bars[-1][0] == bars[-1][1]
    leftovers = BAR.sub("", run.stdout).replace("\r", "\n")
    assert all(LINE.fullmatch(line) for line in leftovers.split("\n") if line)


def test_the_recipe_is_in_the_file(batch: tuple[Run, Path]) -> None:
    _, folder = batch
    text = recipe(folder / "cat_1.png")
    assert text.startswith("a cät, sitting\nNegative prompt: dog\nSteps: 4, CFG scale: 1.000000, ")
    assert "Seed: 8, Size: 64x64, " in text
    assert "Sampler: euler discrete, " in text
    details = json.loads(text.split("SDCPP: ", 1)[1])
    assert details["schema"] == "sdcpp.image.params/v1"
    assert details["seed"] == 8
    assert details["prompt"] == {"positive": "a cät, sitting", "negative": "dog"}
    assert details["models"]["diffusion_model"] == "tiny-flux.safetensors"
    assert str(folder.parent) not in text


def test_the_seed_decides_the_pixels(files: dict[str, Path], batch: tuple[Run, Path], tmp_path: Path) -> None:
    _, folder = batch
    prompt = ("-p", "a cät, sitting", "-n", "dog", "--steps", "4")
    again = sd_cli(*model_arguments(files), *SMALL, *prompt, "-s", "8", "-o", tmp_path / "a.png")
    assert again.returncode == 0
    assert pixels(tmp_path / "a.png") == pixels(folder / "cat_1.png")


def test_a_negative_seed_is_drawn_and_told(files: dict[str, Path], tmp_path: Path) -> None:
    arguments = (*model_arguments(files), *SMALL, "-s", "-1", "-o", "r_%03d.jpg", "--disable-image-metadata")
    run = sd_cli(*arguments, "--output-begin-idx", "5", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    match = re.search(r"generating image: 1/1 - seed (\d+)", run.stdout)
    assert match is not None
    assert int(match.group(1)) != 42
    with Image.open(tmp_path / "r_005.jpg") as image:
        assert image.format == "JPEG"
        assert "comment" not in image.info


def test_an_image_to_start_from_shortens_the_steps_and_gives_the_size(
    files: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (64, 128), (200, 30, 30)).save(tmp_path / "start.png")
    arguments = ("--cfg-scale", "1", "--steps", "8", "--strength", "0.5", "-i", tmp_path / "start.png")
    preview = ("--preview", "proj", "--preview-path", tmp_path / "preview.png")
    run = sd_cli(*model_arguments(files), *arguments, *preview, "-o", tmp_path / "o.tiff")
    assert run.returncode == 0, run.stderr
    assert "IMG2IMG" in messages(run.stdout)
    sampling = run.stdout[run.stdout.index("generating image:") :]
    assert {total for _, total, _, _ in BAR.findall(sampling)} == {"5"}
    with Image.open(tmp_path / "o.tiff.png") as image:
        assert image.size == (64, 128)
    with Image.open(tmp_path / "preview.png") as image:
        image.load()


def test_a_missing_lora_and_a_missing_upscaler_do_not_cost_the_image(
    files: dict[str, Path], tmp_path: Path
) -> None:
    arguments = (*model_arguments(files), *SMALL, "-p", "<lora:nowhere:0.5>a cat", "-o", tmp_path / "o.png")
    run = sd_cli(*arguments, "--upscale-model", tmp_path / "missing.gguf")
    assert run.returncode == 0
    assert any(line.startswith("can not found lora") for line in messages(run.stdout))
    assert "new_upscaler_ctx failed" in messages(run.stderr)
    with Image.open(tmp_path / "o.png") as image:
        assert image.size == (64, 64)


# --- failures ---


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("no-decoder", "tensor 'first_stage_model."),
        ("missing", "get sd version from file failed"),
        ("html", "get sd version from file failed"),
        ("truncated", "read tensor data failed: "),
        ("wrong-role", "get sd version from file failed"),
    ],
)
def test_a_bad_component_fails_with_the_engines_own_words(
    files: dict[str, Path], tmp_path: Path, broken: str, error: str
) -> None:
    folder = files["diffusion_model"].parent
    damaged = {
        "no-decoder": {role: path for role, path in files.items() if role != "taesd"},
        "missing": {**files, "diffusion_model": folder / "missing.safetensors"},
        "html": {**files, "diffusion_model": html_instead(folder / "page.safetensors")},
        "truncated": {**files, "clip_l": truncated(files["clip_l"], folder / "part.gguf")},
        "wrong-role": wrong_role(files),
    }[broken]
    run = sd_cli(*model_arguments(damaged), *SMALL, "-o", tmp_path / "o.png")
    assert run.returncode == 1
    assert error in run.stderr
    assert run.stdout.endswith(" - new_sd_ctx_t failed\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="death by signal")
def test_without_any_text_encoder_the_engine_crashes_as_it_does(
    files: dict[str, Path], tmp_path: Path
) -> None:
    bare = {role: path for role, path in files.items() if role != "clip_l"}
    run = sd_cli(*model_arguments(bare), *SMALL, "-o", tmp_path / "o.png")
    assert run.returncode == -signal.SIGSEGV
    assert "No text encoders provided" in run.stdout


def test_an_unreadable_input_is_refused_before_the_model_is_loaded(
    files: dict[str, Path], tmp_path: Path
) -> None:
    page = html_instead(tmp_path / "page.png")
    run = sd_cli(*model_arguments(files), *SMALL, "-i", page, "-o", tmp_path / "o.png")
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run.stderr) == [f"load image from '{page}' failed"]


def test_a_grey_input_is_refused_where_color_is_needed(files: dict[str, Path], tmp_path: Path) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "grey.png")
    run = sd_cli(*model_arguments(files), *SMALL, "-i", tmp_path / "grey.png", "-o", tmp_path / "o.png")
    assert run.returncode == 1
    assert "must be >= 3, but got 1 channels" in run.stderr


def test_an_unwritable_output_is_told_at_the_end(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "o.png").mkdir()
    run = sd_cli(*model_arguments(files), *SMALL, "-o", tmp_path / "o.png")
    assert (run.returncode, run.stderr) == (1, "")
    assert messages(run.stdout)[-2:] == [
        f"save result image 0 to '{tmp_path / 'o.png'}' (failure)",
        "0/1 images saved",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["o.png"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform == "win32", reason="death by signal")
def test_a_cancelled_run_leaves_nothing(
    files: dict[str, Path], tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "stdout"
    arguments = (*model_arguments(files), *SMALL, "--steps", "5000", "-o", str(tmp_path / "o.png"))
    with output.open("wb") as file:
        process = subprocess.Popen([*command_line(SD_CLI), *arguments], cwd=ROOT, stdout=file)
    try:
        deadline = time.monotonic() + 60
        while "/5000 - " not in output.read_text(encoding="utf-8"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        assert process.wait(10) == -number
    finally:
        process.kill()
        process.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["stdout"]
