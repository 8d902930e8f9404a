"""What goes wrong with a picture while one memory is shared: the model is back, nothing typed is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from genai_desktop.core.errors import CancelledError, ImageError
from genai_desktop.engines import embedded
from genai_desktop.library.image_test_set import tiny_flux_set
from tests.aio import run, until
from tests.app.faults import SHORT, OwnSd, engines, image_model, is_alive, note, opened, painters
from tests.app.table import table

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("faults"),
    pytest.mark.skipif(not embedded.is_available("sd-cli"), reason="the image engine is not installed"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


def test_the_image_engine_dies(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            for moment in ("suspended", "painting"):
                job = await t.begin(t.long)
                await t.reaches(moment)
                await until(painters)
                began = time.monotonic()
                os.kill(painters()[0], signal.SIGSEGV)
                with pytest.raises(ImageError, match="signal 11") as caught:
                    await t.genai.diffusion.wait(job)
                note(f"image engine dead while {moment}, told", time.monotonic() - began)
                assert caught.value.code == "ENGINE_CRASHED"
                assert caught.value.remedy
                assert await t.genai.gallery.list() == ()
                assert await t.back() == ""

    run(main(), 90)


def test_the_image_engine_is_killed_again_and_again(home: Path, files: dict[str, Path]) -> None:
    """That is what running out of memory looks like: it is tried with less, and then told."""

    async def main() -> None:
        async with table(home, files) as t:
            killed: set[int] = set()
            job = await t.begin(t.long)
            await t.enters("suspended")
            waiting = asyncio.ensure_future(t.genai.diffusion.wait(job))
            while not waiting.done():
                await until(lambda: waiting.done() or set(painters()) - killed)
                for pid in set(painters()) - killed:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
            with pytest.raises(ImageError, match="memory") as caught:
                await waiting
            assert caught.value.code == "OUT_OF_MEMORY"
            assert caught.value.remedy
            assert 1 < len(killed) < 9
            assert await t.genai.gallery.list() == ()
            assert await t.back() == ""

    run(main(), 90)


def test_a_wrong_model_fails_and_the_next_job_shares_the_hand_off(
    home: Path, tmp_path: Path, files: dict[str, Path]
) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            copies = {role: tmp_path / path.name for role, path in files.items()}
            for role, copy in copies.items():
                copy.write_bytes(files[role].read_bytes())
            bad = await image_model(t.genai, copies)
            copies["taesd"].write_bytes(files["diffusion_model"].read_bytes())  # went bad after its import
            starts: list[object] = []
            t.genai.llama.on("started", starts.append)
            first = await t.begin(bad)
            second = await t.genai.diffusion.enqueue(t.config)
            with pytest.raises(ImageError) as caught:
                await t.genai.diffusion.wait(first)
            assert caught.value.message.endswith(".")
            assert caught.value.remedy
            assert (await t.genai.diffusion.wait(second)).images
            assert await t.back() == ""
            assert len(starts) == 1

    run(main(), 90)


def test_cancelled_at_any_moment(home: Path, files: dict[str, Path]) -> None:
    """What was typed at that moment is answered, whatever becomes of the picture."""

    async def main() -> None:
        async with table(home, files) as t:
            for moment in ("draining", "saving", "stopping", "suspended", "painting", "resuming"):
                job = await t.begin(t.config if moment == "resuming" else t.long)
                await t.reaches(moment)
                reply = await t.say("What is GGUF?")
                assert t.messages[reply].state == "waiting", moment
                began = time.monotonic()
                assert await t.genai.diffusion.cancel(job) == (moment != "resuming"), moment
                await until(lambda: not painters(), 1.0, f"the end of the image engine, {moment}")
                note(f"cancel while {moment}", time.monotonic() - began)
                assert (await t.over(reply)).state == "done", moment
                assert len(await t.genai.gallery.list()) == (moment == "resuming"), moment
                assert await t.back() == "", moment

    run(main(), 90)


def test_cancelled_at_every_stage_of_the_engine(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    """With an engine that waits there for the cancel, and starts nothing else meanwhile."""

    async def main() -> None:
        async with opened(home) as scene:
            own = OwnSd(tmp_path / "own")
            await own.use(scene.genai)
            config = await image_model(scene.genai, files)

            def has_started(count: int) -> bool:
                return len(own.started()) == count

            for number, stage in enumerate(("start", "load", "sample", "decode", "save"), start=1):
                gate = own.hold(stage)
                first, second = [
                    asyncio.ensure_future(scene.genai.diffusion.generate_image(replace(config, seed=seed)))
                    for seed in (1, 2)
                ]
                await until((gate / f"{stage}.reached").exists)
                assert len(own.started()) == 2 * number - 1, "one at a time"
                began = time.monotonic()
                await scene.genai.diffusion.cancel()
                with pytest.raises(CancelledError):
                    await first
                await until(partial(has_started, 2 * number))
                assert not is_alive(own.started()[-2])
                note(f"cancel at {stage}", time.monotonic() - began)
                (gate / f"{stage}.go").touch()
                assert (await second).images[0].seed == 2
            pictures = list(scene.genai.paths.gallery.iterdir())
            assert len(pictures) == len(await scene.genai.gallery.list()) == 5
            assert list(scene.genai.paths.temp.iterdir()) == []
            assert engines() == []

    run(main(), 90)


def test_two_pictures_at_once_and_a_message_between(home: Path, files: dict[str, Path]) -> None:
    """One engine at a time, one hand-off for both, the message after it."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            starts: list[object] = []
            most = 0

            def count(_: object) -> None:
                nonlocal most
                most = max(most, len(engines()))

            t.genai.llama.on("started", starts.append)
            t.genai.diffusion.on("progress", count)
            jobs = [t.genai.diffusion.generate_image(replace(t.config, seed=seed)) for seed in (1, 2)]
            painted = asyncio.gather(*jobs)
            await t.enters("suspended")
            reply = await t.say("What is GGUF?", SHORT)
            assert [result.images[0].seed for result in await painted] == [1, 2]
            assert (await t.over(reply)).state == "done"
            assert await t.back() == ""
            assert len(starts) == 1
            assert most == 1
            assert len(await t.genai.gallery.list()) == 2

    run(main(), 90)


def test_never_always_and_automatic(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            for choice in ("never", "auto", "always"):
                await t.genai.update_settings(step_aside=choice)
                before = t.info.pid
                forecast = await t.genai.orchestrator.forecast(t.config)
                result = await t.genai.orchestrator.orchestrate_image_generation(t.config)
                assert await t.back() == "", choice
                assert result.handoff.needed == forecast.needed, choice
                assert (t.info.pid == before) != forecast.needed, choice
                assert forecast.needed == {"never": False, "always": True}.get(choice, forecast.needed)
                assert forecast.bytes_needed > 0
                assert forecast.reason.endswith(".")

    run(main(), 90)


@pytest.mark.parametrize("moment", ["draining", "suspended", "painting", "resuming"])
def test_what_is_typed_survives_a_close_at_any_moment(
    home: Path, files: dict[str, Path], moment: str
) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.begin(t.config if moment == "resuming" else t.long)
            await t.reaches(moment)
            await t.say("What is GGUF?")
            began = time.monotonic()
        note(f"close while {moment}", time.monotonic() - began)
        assert engines() == []
        assert t.is_tidy()
        async with opened(home) as again:
            messages = (await again.genai.conversations.get(t.conversation)).messages
            assert [m.content for m in messages if m.role == "user"] == ["Hello.", "What is GGUF?"]
            assert messages[-1].state == "interrupted"
            assert messages[-1].error

    run(main(), 90)
