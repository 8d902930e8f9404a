"""What goes wrong while one memory is shared, with both real engines: nothing typed is lost, it says why."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from genai_desktop.core.errors import GenaiError, ImageError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.engines import embedded
from tests.aio import run, until
from tests.app.faults import (
    ENDLESS,
    SHORT,
    Scene,
    endless_model,
    engines,
    freeze,
    image_model,
    note,
    opened,
    painters,
    real_llama_by_path,
)
from tests.real.models import tiny_flux_set

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("faults"),
    pytest.mark.skipif(not embedded.is_available("sd-cli"), reason="the image engine is not installed"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


class Table(Scene):
    """A loaded language model that always steps aside, and a picture to be painted."""

    config: ImageGenerationConfig

    @property
    def long(self) -> ImageGenerationConfig:
        """Time enough for something to go wrong."""
        return replace(self.config, width=256, height=256, steps=200)

    async def reaches(self, moment: str) -> None:
        if moment == "painting":
            await self.paints()
        else:
            await self.enters(moment)

    async def back(self, *, error: str = "") -> None:
        """The language model runs and answers, and nothing of the hand-off is left."""
        report = await self.genai.orchestrator.wait_for_reload()
        assert report is not None
        assert error in report.error if error else report.error == ""
        assert self.info.status == "running"
        assert len(engines()) == 1
        assert self.nothing_left()
        assert self.genai.orchestrator.get_saved_state() is None
        assert not self.genai.conversations.state().is_suspended
        await self.answered("And then?")

    def nothing_left(self) -> bool:
        paths = self.genai.paths
        return not any((*paths.slots.iterdir(), *paths.runtime.glob("suspended-*"), *paths.temp.iterdir()))


@asynccontextmanager
async def table(home: Path, files: dict[str, Path], model: str = "guide") -> AsyncIterator[Table]:
    async with opened(home) as scene:
        scene.__class__ = Table
        assert isinstance(scene, Table)
        scene.config = await image_model(scene.genai, files)
        await scene.genai.update_settings(step_aside="always")
        if model:
            await scene.genai.load_llm(model)
        yield scene


# the picture fails


@pytest.mark.parametrize("moment", ["suspended", "painting"])
def test_the_image_engine_dies(home: Path, files: dict[str, Path], moment: str) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.long)
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
            assert list(t.genai.paths.gallery.glob("*.png")) == []
            await t.back()

    run(main(), 90)


def test_the_image_engine_is_killed_again_and_again(home: Path, files: dict[str, Path]) -> None:
    """That is what running out of memory looks like: it is tried with less, and then told."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            killed: set[int] = set()
            job = await t.genai.diffusion.enqueue(t.long)
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
            await t.back()

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
            await t.answered()
            starts: list[object] = []
            t.genai.llama.on("started", starts.append)
            first = await t.genai.diffusion.enqueue(bad)
            second = await t.genai.diffusion.enqueue(t.config)
            with pytest.raises(ImageError) as caught:
                await t.genai.diffusion.wait(first)
            assert caught.value.message.endswith(".")
            assert caught.value.remedy
            assert (await t.genai.diffusion.wait(second)).images
            await t.back()
            assert len(starts) == 1

    run(main(), 90)


@pytest.mark.parametrize("moment", ["draining", "saving", "stopping", "suspended", "painting", "resuming"])
def test_cancelled_at_any_moment(home: Path, files: dict[str, Path], moment: str) -> None:
    """What was typed at that moment is answered, whatever becomes of the picture."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            config = t.config if moment == "resuming" else t.long
            job = await t.genai.diffusion.enqueue(config)
            await t.reaches(moment)
            reply = await t.say("What is GGUF?")
            assert t.messages[reply].state == "waiting"
            began = time.monotonic()
            assert await t.genai.diffusion.cancel(job) == (moment != "resuming")
            await until(lambda: not painters(), 1.0, "the end of the image engine")
            note(f"cancel while {moment}", time.monotonic() - began)
            assert (await t.over(reply)).state == "done"
            assert len(list(t.genai.paths.gallery.glob("*.png"))) == (moment == "resuming")
            await t.back()

    run(main(), 90)


# the language model does not come back


def test_its_program_is_gone_when_it_should_come_back(
    home: Path, tmp_path: Path, files: dict[str, Path]
) -> None:
    async def main() -> None:
        async with table(home, files, "") as t:
            path = real_llama_by_path(tmp_path / "own")
            await t.genai.engines.use("llama.cpp", str(path))
            await t.genai.load_llm("guide")
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("suspended")
            waiting = await t.say("Are you still there?")
            path.unlink()
            assert (await t.genai.diffusion.wait(job)).images
            report = await t.genai.orchestrator.wait_for_reload()
            assert report is not None
            assert str(path) in report.error
            assert t.phases[-1] == "failed"
            assert t.messages[waiting].state == "waiting"
            with pytest.raises(GenaiError, match="no file"):
                await t.genai.load_llm("guide")
            with pytest.raises(GenaiError, match="loaded"):
                await t.say("Can I say more?")
            await t.genai.engines.use("llama.cpp", "embedded")
            await t.genai.load_llm("guide")
            assert (await t.over(waiting)).state == "done"
            assert t.phases[-1] == "running"
            await t.back(error=str(path))

    run(main(), 90)


def test_the_saved_slot_is_gone_when_it_should_come_back(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("suspended")
            (slot,) = t.genai.paths.slots.iterdir()
            slot.unlink()
            await t.genai.diffusion.wait(job)
            await t.back(error="read again")

    run(main(), 90)


def test_the_saved_slot_is_damaged_when_it_should_come_back(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("suspended")
            (slot,) = t.genai.paths.slots.iterdir()
            slot.write_bytes(slot.read_bytes()[:100])
            await t.genai.diffusion.wait(job)
            await t.back(error="read again")

    run(main(), 90)


def test_killed_while_it_comes_back(home: Path, files: dict[str, Path]) -> None:
    """Once more by itself, so that nobody has to do anything."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("suspended")
            reply = await t.say("What is GGUF?")
            generation = t.info.generation
            await t.genai.diffusion.wait(job)
            await until(lambda: t.info.generation > generation and t.info.pid)
            os.kill(t.pid, signal.SIGKILL)
            assert (await t.over(reply)).state == "done"
            await t.back()

    run(main(), 90)


@pytest.mark.parametrize("moment", ["draining", "saving", "stopping", "suspended", "resuming"])
def test_unloaded_by_a_person_in_the_middle(home: Path, files: dict[str, Path], moment: str) -> None:
    """Then it stays away, the picture is painted, and nothing claims to be back."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters(moment)
            await t.genai.stop_server("llama")
            assert (await t.genai.diffusion.wait(job)).images
            await t.genai.orchestrator.wait_for_reload()
            assert t.info.status == "stopped"
            assert engines() == []
            assert t.phases[-1] == "running"
            assert t.nothing_left()
            await t.genai.load_llm("guide")
            await t.answered()

    run(main(), 90)


@pytest.mark.parametrize("moment", ["draining", "saving", "stopping", "suspended", "painting", "resuming"])
def test_another_model_is_loaded_in_the_middle(
    home: Path, tmp_path: Path, files: dict[str, Path], moment: str
) -> None:
    """The person's last wish counts."""

    async def main() -> None:
        async with table(home, files) as t:
            other = await endless_model(t.genai, tmp_path)
            await t.answered()
            config = t.long if moment == "painting" else t.config
            job = await t.genai.diffusion.enqueue(replace(config, steps=min(config.steps, 40)))
            await t.reaches(moment)
            reply = await t.say("What is GGUF?")
            await t.genai.load_llm(other)
            assert (await t.genai.diffusion.wait(job)).images
            await t.genai.orchestrator.wait_for_reload()
            assert t.info.status == "running"
            assert t.info.model_id == other
            assert len(engines()) == 1
            assert t.nothing_left()
            assert (await t.over(reply)).state == "done"

    run(main(), 90)


# a language model in trouble steps aside


def test_killed_in_a_reply_that_is_waited_for(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files, "") as t:
            await t.genai.load_llm(await endless_model(t.genai, tmp_path))
            reply = await t.say("Go on for ever.", ENDLESS)
            await t.has_said(reply)
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("draining")
            os.kill(t.pid, signal.SIGKILL)
            message = await t.over(reply)
            assert message.state == "interrupted"
            assert len(message.content) >= 40
            assert (await t.genai.diffusion.wait(job)).images
            report = await t.genai.orchestrator.wait_for_reload()
            assert report is not None
            await t.back(error=report.error)  # whether it was seen to be dead before its state was saved

    run(main(), 90)


def test_a_frozen_engine_does_not_hold_up_a_cancel(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            freeze(t.pid)
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters("saving")
            began = time.monotonic()
            assert await t.genai.diffusion.cancel(job)
            note("cancel while saving, engine frozen", time.monotonic() - began)
            assert time.monotonic() - began < 1.0
            os.kill(t.pid, signal.SIGCONT)
            await t.back()

    run(main(), 90)


@pytest.mark.parametrize("moment", ["saving", "stopping"])
def test_closing_while_a_frozen_engine_steps_aside(home: Path, files: dict[str, Path], moment: str) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            if moment == "saving":
                freeze(t.pid)
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters(moment)
            if moment == "stopping":
                freeze(t.pid)
            began = time.monotonic()
        note(f"close while {moment}, engine frozen", time.monotonic() - began)
        assert engines() == []
        assert t.nothing_left()
        assert time.monotonic() - began < 11
        async with opened(home) as again:
            (left,) = again.genai.diffusion.jobs()
            assert (left.id, left.state) == (job, "failed")  # offered, not lost

    run(main(), 90)


@pytest.mark.parametrize("moment", ["draining", "suspended", "painting", "resuming"])
def test_what_is_typed_survives_a_close_at_any_moment(
    home: Path, files: dict[str, Path], moment: str
) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            await t.genai.diffusion.enqueue(t.config if moment == "resuming" else t.long)
            await t.reaches(moment)
            await t.say("What is GGUF?")
            began = time.monotonic()
        note(f"close while {moment}", time.monotonic() - began)
        assert engines() == []
        assert t.nothing_left()
        async with opened(home) as again:
            messages = (await again.genai.conversations.get(t.conversation)).messages
            assert [m.content for m in messages if m.role == "user"] == ["Hello.", "What is GGUF?"]
            assert messages[-1].state == "interrupted"
            assert messages[-1].error

    run(main(), 90)


# the choice


def test_never_always_and_automatic(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            for choice in ("never", "auto", "always"):
                await t.genai.update_settings(step_aside=choice)
                await t.answered()
                before = t.info.pid
                forecast = await t.genai.orchestrator.forecast(t.config)
                result = await t.genai.orchestrator.orchestrate_image_generation(t.config)
                await t.genai.orchestrator.wait_for_reload()
                assert result.handoff.needed == forecast.needed
                assert (t.info.pid == before) != forecast.needed
                assert forecast.needed == {"never": False, "always": True}.get(choice, forecast.needed)
                assert forecast.bytes_needed > 0
                assert forecast.reason.endswith(".")
                await t.back()

    run(main(), 90)


def test_two_pictures_at_once_and_a_message_between(home: Path, files: dict[str, Path]) -> None:
    """One engine at a time, one hand-off for both, the message after it."""

    async def main() -> None:
        async with table(home, files) as t:
            await t.answered()
            starts: list[object] = []
            seen: set[int] = set()
            most = 0

            def count(_: object) -> None:
                nonlocal most
                now = engines()
                seen.update(now)
                most = max(most, len(now))

            t.genai.llama.on("started", starts.append)
            t.genai.diffusion.on("progress", count)
            jobs = [t.genai.diffusion.generate_image(replace(t.config, seed=seed)) for seed in (1, 2)]
            painted = asyncio.gather(*jobs)
            await t.enters("suspended")
            reply = await t.say("What is GGUF?", SHORT)
            assert [result.images[0].seed for result in await painted] == [1, 2]
            assert (await t.over(reply)).state == "done"
            await t.back()
            assert len(starts) == 1
            assert most == 1
            assert len(await t.genai.gallery.list()) == 2

    run(main(), 90)
