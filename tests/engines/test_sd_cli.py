"""One run of sd-cli through a real child process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.core.builds import EngineBuild, EngineCommand
from genai_desktop.core.errors import GenaiError, ImageError, ModelNotFoundError, StorageError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.sd_output import SdEvent, SdLine, Step
from genai_desktop.engines.process import AsyncioLauncher, LaunchSpec
from genai_desktop.engines.sd_cli import SdListener, SdOutcome, SdRun, job_folder, run_sd, sweep_folders
from tests.aio import run, until
from tests.fakes import fake_sd_cli

FAKE = Path(fake_sd_cli.__file__)


def command(plan: dict[str, Any], folder: Path) -> EngineCommand:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    build = EngineBuild("stable-diffusion.cpp", "own", "fake", str(FAKE), "in-use")
    return EngineCommand(build, (sys.executable, str(FAKE), str(path)), fake_sd_cli.FLAGS)


def model(folder: Path) -> ModelInfo:
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF")
    return ModelInfo("m", "Tiny", "diffusion", str(path), 4, (ModelFile(str(path), 4),))


CONFIG = ImageGenerationConfig(prompt="a cat", width=64, height=64, steps=2, seed=42)


class Heard(SdListener):
    def __init__(self) -> None:
        self.pids: list[int] = []
        self.events: list[SdEvent] = []
        self.lines: list[SdLine] = []
        super().__init__(lambda pid, _argv: self.pids.append(pid), self.events.extend, self.lines.append)


async def paint(
    tmp: Path,
    plan: dict[str, Any] | None = None,
    config: ImageGenerationConfig = CONFIG,
    heard: Heard | None = None,
    look: Callable[[SdOutcome], Any] = lambda outcome: outcome,
    **more: Any,
) -> Any:
    async with job_folder(tmp / "temp") as folder:
        wanted = SdRun(command(plan or {}, tmp), config, model(tmp), folder)
        return look(await run_sd(AsyncioLauncher(), wanted, heard or Heard(), **more))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def leftovers(tmp: Path) -> list[Path]:
    return list((tmp / "temp").glob("*"))


def test_a_picture(tmp_path: Path) -> None:
    heard = Heard()
    outcome = run(paint(tmp_path, heard=heard, look=lambda o: (o, o.files[0].path.exists())))
    result, existed = outcome
    assert existed
    assert [(f.seed, f.width, f.height) for f in result.files] == [(42, 64, 64)]
    assert any(isinstance(e, Step) for e in heard.events)
    assert len(heard.pids) == 1
    assert not alive(heard.pids[0])
    assert leftovers(tmp_path) == []


def test_several_pictures_have_following_seeds(tmp_path: Path) -> None:
    outcome = run(paint(tmp_path, config=replace(CONFIG, count=3, seed=0)))
    assert [f.seed for f in outcome.files] == [0, 1, 2]
    assert [f.path.name for f in outcome.files] == ["image_000.png", "image_001.png", "image_002.png"]


def test_a_data_folder_with_percent_signs_spaces_and_emoji(tmp_path: Path) -> None:
    home = tmp_path / "50% d'été %d 🦆"
    home.mkdir()
    outcome = run(paint(home, config=replace(CONFIG, count=2)))
    assert len(outcome.files) == 2


def test_the_size_is_what_the_file_says(tmp_path: Path) -> None:
    outcome = run(paint(tmp_path, config=replace(CONFIG, width=65)))
    assert (outcome.files[0].width, outcome.files[0].height) == (72, 64)


def test_part_of_a_batch_is_better_than_nothing(tmp_path: Path) -> None:
    outcome = run(paint(tmp_path, {"files": "one"}, replace(CONFIG, count=3)))
    assert [f.seed for f in outcome.files] == [42]


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (
            {"exit": 1, "stderr": "[ERROR] x.cpp:1 - get sd version from file failed: 'm.gguf'"},
            "BAD_MODEL_FILE",
        ),
        ({"exit": 1}, "BACKEND_ERROR"),
        ({"signal": 9}, "OUT_OF_MEMORY"),
        ({"signal": 11, "at": "start"}, "ENGINE_CRASHED"),
        ({"signal": 6, "stderr": "CUDA error: out of memory", "at": "decode"}, "OUT_OF_MEMORY"),
        ({"files": "none"}, "NO_PICTURE"),
        ({"files": "truncated"}, "NO_PICTURE"),
        ({"files": "empty"}, "NO_PICTURE"),
        ({"files": "text"}, "NO_PICTURE"),
    ],
    ids=str,
)
def test_failures(tmp_path: Path, plan: dict[str, Any], code: str) -> None:
    heard = Heard()
    with pytest.raises(ImageError) as caught:
        run(paint(tmp_path, plan, heard=heard))
    assert caught.value.code == code
    assert caught.value.remedy
    assert caught.value.details["log"] or plan.get("at") == "start"
    assert not alive(heard.pids[0])
    assert leftovers(tmp_path) == []


def test_a_flood_on_both_pipes_is_drained(tmp_path: Path) -> None:
    outcome = run(paint(tmp_path, {"flood": 4 * 2**20}))
    assert len(outcome.files) == 1


def test_output_in_single_bytes_is_understood(tmp_path: Path) -> None:
    heard = Heard()
    run(paint(tmp_path, {"chunk": 7}, heard=heard))
    assert [e.step for e in heard.events if isinstance(e, Step)] == [1, 2, 3, 4]


def test_a_hanging_engine_is_ended_with_a_sentence(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(ImageError) as caught:
        run(paint(tmp_path, {"stop": "sample"}, heard=heard, stall_seconds=0.4))
    assert caught.value.code == "ENGINE_STALLED"
    assert not alive(heard.pids[0])


@pytest.mark.parametrize("stage", ["start", "load", "sample", "decode", "save"])
def test_cancel_kills_the_whole_group_within_a_second(tmp_path: Path, stage: str) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    (gate / f"{stage}.hold").touch()
    grandchild = tmp_path / "grandchild"

    async def main() -> None:
        heard = Heard()
        task = asyncio.ensure_future(
            paint(tmp_path, {"gate": str(gate), "grandchild": str(grandchild)}, heard=heard)
        )
        await until((gate / f"{stage}.reached").exists)
        await until(lambda: heard.pids)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 1.0
        assert not alive(heard.pids[0])
        await until(lambda: not alive(int(grandchild.read_text())))
        assert leftovers(tmp_path) == []

    run(main())


class SlowLauncher(AsyncioLauncher):
    """Lets go of the child only when told, after it was started."""

    def __init__(self) -> None:
        self.child: Any = None
        self.started = asyncio.Event()
        self.go = asyncio.Event()

    async def start(self, spec: LaunchSpec, on_output: Any) -> Any:
        self.child = await super().start(spec, on_output)
        self.started.set()
        await self.go.wait()
        return self.child


def test_cancel_while_it_is_being_started_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        launcher = SlowLauncher()

        async def work() -> None:
            async with job_folder(tmp_path / "temp") as folder:
                plan = command({"stop": "start"}, tmp_path)
                await run_sd(launcher, SdRun(plan, CONFIG, model(tmp_path), folder), Heard())

        task = asyncio.ensure_future(work())
        await launcher.started.wait()
        task.cancel()
        await asyncio.sleep(0)
        launcher.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(launcher.child.pid)
        assert leftovers(tmp_path) == []

    run(main())


def test_what_is_wrong_before_is_told_before(tmp_path: Path) -> None:
    async def main() -> None:
        heard = Heard()
        async with job_folder(tmp_path / "temp") as folder:
            wanted = SdRun(command({}, tmp_path), CONFIG, model(tmp_path), folder)
            cases: list[tuple[SdRun, type[GenaiError], str]] = [
                (replace(wanted, config=replace(CONFIG, init_image="/nope.png")), ImageError, "nope.png"),
                (
                    replace(wanted, model=replace(wanted.model, files=(ModelFile("/gone", 1),))),
                    ModelNotFoundError,
                    "/gone",
                ),
                (
                    replace(wanted, config=replace(CONFIG, width=4096, height=4096, count=5)),
                    StorageError,
                    "disk",
                ),
            ]
            (folder / "old.png").write_bytes(b"")
            with pytest.raises(StorageError, match="not empty"):
                await run_sd(AsyncioLauncher(), wanted, heard)
            (folder / "old.png").unlink()
            for bad, kind, words in cases[:2]:
                with pytest.raises(kind, match=words):
                    await run_sd(AsyncioLauncher(), bad, heard)
        assert heard.pids == []

    run(main())


def test_a_missing_engine_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with job_folder(tmp_path / "temp") as folder:
            missing = replace(command({}, tmp_path), argv=(str(tmp_path / "no-such-sd-cli"),))
            with pytest.raises(GenaiError):
                await run_sd(AsyncioLauncher(), SdRun(missing, CONFIG, model(tmp_path), folder), Heard())
        assert leftovers(tmp_path) == []

    run(main())


def test_leftovers_of_a_killed_predecessor_are_swept(tmp_path: Path) -> None:
    gone = 2**22 + 1  # above the largest process number there is
    for name in (f"image-{gone}-abc", f"image-{os.getpid()}-abc", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.png").write_bytes(b"x")
    assert sweep_folders(tmp_path) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"image-{os.getpid()}-abc", "other"]
