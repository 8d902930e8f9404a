"""The engine manager: builds, one's own binary, and tests that do real work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.builds import EngineBuild, EngineName
from genai_desktop.core.errors import EngineError, InvalidInputError, NotFoundError
from genai_desktop.core.models import ModelInfo, ModelType
from genai_desktop.engines import embedded
from genai_desktop.engines.probe import ProbePatience
from genai_desktop.engines.process import AsyncioLauncher
from genai_desktop.engines.trial import TrialPatience
from genai_desktop.library.database import Database
from genai_desktop.library.inspection import inspect_file
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.settings import SettingsStore
from genai_desktop.services.engine_manager import EngineManager
from tests.aio import run
from tests.fakes.fake_engine import HELP, write_engine
from tests.services import sample_models as samples

LLAMA: EngineName = "llama.cpp"
SD: EngineName = "stable-diffusion.cpp"


class FakeModels:
    """A shelf with a guide, and perhaps an image model."""

    def __init__(self, folder: Path, *, has_image_model: bool = False) -> None:
        guide = inspect_file(samples.language_model(folder / "guide.gguf")).info
        self.guide = ModelInfo("guide", "Guide", "llm", guide.path, guide.size, guide.files)
        self.images: tuple[ModelInfo, ...] = ()
        if has_image_model:
            self.images = (inspect_file(samples.checkpoint(folder / "sd1.safetensors")).info,)

    async def get_model_info(self, model_id: str) -> ModelInfo:
        assert model_id == "guide"
        return self.guide

    async def list_models(self, type: ModelType | None = None) -> tuple[ModelInfo, ...]:
        return self.images if type == "diffusion" else (self.guide, *self.images)


@asynccontextmanager
async def a_manager(
    tmp_path: Path, *, has_image_model: bool = False, probe: Any = None, trial: Any = None
) -> AsyncIterator[EngineManager]:
    paths = DataPaths(tmp_path / "data ü").ensure()
    database = Database(paths.database)
    database.open()
    settings = SettingsStore(paths.settings)
    settings.load()
    try:
        yield EngineManager(
            paths=paths,
            settings=settings,
            launcher=AsyncioLauncher(),
            models=FakeModels(tmp_path / "models", has_image_model=has_image_model),
            database=database,
            probe_patience=probe,
            trial_patience=trial,
        )
    finally:
        database.close()


def of(builds: tuple[EngineBuild, ...], engine: str) -> list[tuple[str, str]]:
    return [(b.variant, b.state) for b in builds if b.engine == engine]


def steps(build: EngineBuild) -> list[tuple[str, bool]]:
    return [(test.name, test.passed) for test in build.tests]


def test_embedded_engines_are_listed(tmp_path: Path) -> None:
    async def work() -> None:
        async with a_manager(tmp_path) as engines:
            builds = await engines.list_engines()
            assert of(builds, LLAMA) == [("embedded", "in-use")]
            (image,) = [b for b in builds if b.engine == SD]
            if not embedded.is_available("sd-cli"):
                assert image.state == "missing"
                assert 'pip install "genai-desktop[embedded-image]"' in image.reason

    run(work())


def test_own_binary_and_back(tmp_path: Path) -> None:
    path = write_engine(tmp_path / "my builds" / "llama-server", LLAMA)

    async def work() -> None:
        async with a_manager(tmp_path) as engines:
            events: list[Any] = []
            engines.on("changed", events.append)
            build = await engines.use(LLAMA, str(path))
            assert (build.variant, build.build, build.path, build.state) == (
                "own",
                "b11700",
                str(path),
                "in-use",
            )
            assert of(events[-1], LLAMA) == [("own", "in-use"), ("embedded", "untested")]
            command = await engines.command(LLAMA)
            assert command.argv == (str(path),)
            assert command.label == "own b11700"
            assert "--slot-save-path" in command.flags
            back = await engines.use(LLAMA, "embedded")
            assert back.variant == "embedded"
            assert of(await engines.list_engines(), LLAMA) == [("own", "available"), ("embedded", "in-use")]
            assert (await engines.use(LLAMA, "b11700")).path == str(path)
        async with a_manager(tmp_path) as engines:  # after a restart
            assert (await engines.command(LLAMA)).argv == (str(path),)

    run(work())


def test_flags_are_asked_for_once(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = write_engine(tmp_path / "llama-server", LLAMA, runs=str(runs))

    async def work() -> None:
        async with a_manager(tmp_path) as engines:
            await engines.use(LLAMA, str(path))
            await engines.command(LLAMA)
        async with a_manager(tmp_path) as engines:
            await engines.command(LLAMA)
            assert runs.read_text().split() == ["--help", "--version", "--list-devices"]
            write_engine(path, LLAMA, runs=str(runs), version="version: 9 (aa)\n")  # a newer one in its place
            assert (await engines.command(LLAMA)).build.build == "b9"
            assert runs.read_text().split() == ["--help", "--version", "--list-devices"] * 2
            assert len(await engines._verdicts.paths(LLAMA)) == 1

    run(work())


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ({"help": "usage: nothing\n"}, "WRONG_PROGRAM"),
        ({"help": HELP[SD].read_text("utf-8")}, "WRONG_PROGRAM"),
        ({"help_code": 1, "help": ""}, "ENGINE_BROKEN"),
        ({"hang": "--help"}, "TIMEOUT"),
    ],
)
def test_wrong_binary_changes_nothing(tmp_path: Path, plan: dict[str, Any], code: str) -> None:
    path = write_engine(tmp_path / "llama-server", LLAMA, **plan)

    async def work() -> None:
        async with a_manager(tmp_path, probe=ProbePatience(help=2.0)) as engines:
            with pytest.raises(EngineError) as caught:
                await engines.use(LLAMA, str(path))
            assert caught.value.code == code
            assert of(await engines.list_engines(), LLAMA) == [("embedded", "in-use")]

    run(work())


def test_nonsense_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with a_manager(tmp_path) as engines:
            with pytest.raises(EngineError, match="no file"):
                await engines.use(LLAMA, str(tmp_path / "none"))
            with pytest.raises(NotFoundError, match="no build 'b1'"):
                await engines.use(LLAMA, "b1")
            with pytest.raises(InvalidInputError):
                await engines.use(LLAMA, "")
            with pytest.raises(InvalidInputError, match="no engine 'ollama'"):
                await engines.test("ollama")  # type: ignore[arg-type]

    run(work())


def test_own_binary_that_disappears(tmp_path: Path) -> None:
    path = write_engine(tmp_path / "llama-server", LLAMA)

    async def work() -> None:
        async with a_manager(tmp_path) as engines:
            await engines.use(LLAMA, str(path))
            path.unlink()
            own, built_in = [b for b in await engines.list_engines() if b.engine == LLAMA]
            assert (own.state, built_in.state) == ("missing", "untested")
            assert "no file" in own.reason
            with pytest.raises(EngineError, match="no file"):
                await engines.command(LLAMA)
            tested = await engines.test(LLAMA)
            assert (tested.state, steps(tested)) == ("missing", [("start", False)])
            await engines.use(LLAMA, "embedded")
            assert of(await engines.list_engines(), LLAMA) == [("embedded", "in-use")]

    run(work())


class TestOfLlama:
    def test_real_work_step_by_step(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA)

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                log: list[Any] = []
                progress: list[Any] = []
                engines.on("binary_log", log.append)
                engines.on("binary_progress", progress.append)
                build = await engines.test(LLAMA, str(path))
                assert steps(build) == [
                    ("help", True), ("version", True), ("devices", True), ("load", True), ("reply", True),
                    ("stop", True),
                ]  # fmt: skip
                assert all(test.seconds > 0 for test in build.tests)
                assert "word0" in build.tests[4].detail
                assert (build.state, build.reason) == ("available", "")
                assert any("model loaded" in entry.message for entry in log)
                assert [p.phase for p in progress][:2] == ["testing: help", "testing: version"]
            async with a_manager(tmp_path) as engines:
                stored = next(b for b in await engines.list_engines() if b.path == str(path))
                assert stored.tests == build.tests

        run(work())

    @pytest.mark.parametrize(
        ("plan", "failed", "words"),
        [
            ({"version_code": 1, "version": "no\n"}, "version", "no"),
            ({"faults": ["--fault", "exit-loading=1"]}, "load", ""),
            ({"faults": ["--fault", "signal-loading=4"]}, "load", "instructions"),
            ({"faults": ["--fault", "never-listens"]}, "load", "within"),
            ({"faults": ["--fault", "replay=unknown_arch:1"]}, "load", "architecture"),
            ({"faults": ["--fault", "ignore-term"]}, "stop", "killed"),
        ],
    )
    def test_failures_are_told(self, tmp_path: Path, plan: dict[str, Any], failed: str, words: str) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA, **plan)

        async def work() -> None:
            patience = TrialPatience(load=3.0, reply=10.0, stop=1.0)
            async with a_manager(tmp_path, trial=patience) as engines:
                build = await engines.test(LLAMA, str(path))
                assert steps(build)[-1] == (failed, False)
                assert words in build.tests[-1].detail
                assert build.state == "refused"
                assert failed in build.reason

        run(work())

    def test_gpu_that_gets_no_layer_is_refused(self, tmp_path: Path) -> None:
        devices = "Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)\n"
        path = write_engine(tmp_path / "llama-server", LLAMA, devices=devices, on_processor=True)

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                build = await engines.test(LLAMA, str(path))
                assert steps(build)[-1] == ("load", False)
                assert "no layer" in build.tests[-1].detail
                assert build.backends == ("CUDA0: NVIDIA H200",)

        run(work())

    def test_error_of_the_graphics_card_is_refused(self, tmp_path: Path) -> None:
        path = write_engine(
            tmp_path / "llama-server",
            LLAMA,
            devices="Available devices:\n  Vulkan0: Radeon (8000 MiB, 8000 MiB free)\n",
            log=["ggml_vulkan: Device memory allocation of size 5 failed."],
        )

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                build = await engines.test(LLAMA, str(path))
                assert steps(build)[-3:] == [("load", True), ("reply", False), ("stop", True)]
                assert "4 of 4 layers on Vulkan0" in build.tests[-3].detail
                assert "allocation" in build.tests[-2].detail
                assert build.state == "refused"

        run(work())

    def test_cancelled_test_leaves_nothing(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA, faults=["--fault", "never-listens"])

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                begun = asyncio.Event()
                engines.on("binary_progress", lambda p: begun.set() if p.phase.endswith("load") else None)
                task = asyncio.create_task(engines.test(LLAMA, str(path)))
                await begun.wait()
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert (await engines.test(LLAMA, "embedded")).state == "in-use"

        run(work())

    def test_embedded_engine_really_works(self, tmp_path: Path) -> None:
        from genai_desktop.library.paths import guide_model

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                guide = inspect_file(guide_model()).info
                engines._models.guide = guide  # type: ignore[attr-defined]
                build = await engines.test(LLAMA)
                assert [name for name, _ in steps(build)] == [
                    "help", "version", "devices", "load", "reply", "stop",
                ]  # fmt: skip
                assert all(passed for _, passed in steps(build)), build.tests
                assert build.state == "in-use"

        run(work())


class TestOfSdCli:
    def test_without_an_image_model_it_says_so(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "sd-cli", SD)

        async def work() -> None:
            async with a_manager(tmp_path) as engines:
                build = await engines.test(SD, str(path))
                assert steps(build) == [("help", True), ("version", True), ("devices", True)]
                assert "no image model" in build.reason
                assert build.state == "available"

        run(work())

    def test_paints_a_picture(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "sd-cli", SD)

        async def work() -> None:
            async with a_manager(tmp_path, has_image_model=True) as engines:
                build = await engines.test(SD, str(path))
                assert steps(build)[-1] == ("image", True)
                assert "64x64 with sd1" in build.tests[-1].detail
                assert build.reason == ""
                assert list((tmp_path / "data ü" / "temp").iterdir()) == []

        run(work())

    @pytest.mark.parametrize(
        ("image", "words"),
        [
            ({"exit": 1}, ""),
            ({"files": "none"}, ""),
            ({"files": "text"}, ""),
            ({"signal": 6}, ""),
            ({"stop": "sample"}, "No picture within"),
        ],
    )
    def test_failures_are_told(self, tmp_path: Path, image: dict[str, Any], words: str) -> None:
        path = write_engine(tmp_path / "sd-cli", SD, image=image)

        async def work() -> None:
            patience = TrialPatience(image=3.0 if "stop" in image else 60.0)
            async with a_manager(tmp_path, has_image_model=True, trial=patience) as engines:
                build = await engines.test(SD, str(path))
                assert steps(build)[-1] == ("image", False)
                assert words in build.tests[-1].detail
                assert build.tests[-1].detail
                assert build.state == "refused"

        run(work())
