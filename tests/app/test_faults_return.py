"""A language model that cannot step aside or come back as it should: it says why, and a load works again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from genai_desktop.core.errors import GenaiError
from genai_desktop.engines import embedded
from genai_desktop.library.image_test_set import tiny_flux_set
from tests.aio import run, until
from tests.app.faults import (
    ENDLESS,
    OwnSd,
    endless_model,
    engines,
    freeze,
    is_alive,
    note,
    opened,
    real_llama_by_path,
)
from tests.app.table import Table, table

pytestmark = [
    pytest.mark.real,
    pytest.mark.xdist_group("faults"),
    pytest.mark.skipif(not embedded.is_available("sd-cli"), reason="the image engine is not installed"),
]
MOMENTS = ("draining", "saving", "stopping", "suspended", "painting", "resuming")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


def test_its_program_is_gone(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files, "") as t:
            path = real_llama_by_path(tmp_path / "own")
            await t.genai.engines.use("llama.cpp", str(path))
            await t.genai.load_llm("guide")
            job = await t.begin()
            await t.enters("suspended")
            waiting = await t.say("Are you still there?")
            path.unlink()
            assert (await t.genai.diffusion.wait(job)).images
            assert str(path) in await t.settled()
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
            assert str(path) in await t.back()

    run(main(), 90)


def test_its_saved_conversation_is_gone_or_damaged(home: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files) as t:
            for damage in ("gone", "cut"):
                job = await t.begin()
                await t.enters("suspended")
                (slot,) = t.genai.paths.slots.iterdir()
                if damage == "gone":
                    slot.unlink()
                else:
                    slot.write_bytes(slot.read_bytes()[:100])
                await t.genai.diffusion.wait(job)
                assert "is read again" in await t.back(), damage

    run(main(), 90)


def test_killed_while_it_comes_back(home: Path, files: dict[str, Path]) -> None:
    """It is started once more by itself: nobody has to do anything."""

    async def main() -> None:
        async with table(home, files) as t:
            job = await t.begin()
            await t.enters("suspended")
            reply = await t.say("What is GGUF?")
            generation = t.info.generation
            await t.genai.diffusion.wait(job)
            await until(lambda: t.info.generation > generation and t.info.pid)
            os.kill(t.pid, signal.SIGKILL)
            assert (await t.over(reply)).state == "done"
            assert await t.back() == ""

    run(main(), 90)


class Easel:
    """An image engine that is quick, and waits in the middle when that is the moment."""

    def __init__(self, t: Table, folder: Path) -> None:
        self._t = t
        self._engine = OwnSd(folder)
        self._gate = folder

    async def set_up(self) -> None:
        await self._engine.use(self._t.genai)

    async def begin(self, moment: str) -> str:
        """A job, at this moment."""
        self._engine.plan()
        if moment == "painting":
            self._gate = self._engine.hold("sample")
        job = await self._t.begin()
        if moment == "painting":
            await until((self._gate / "sample.reached").exists)
        else:
            await self._t.enters(moment)
        return job

    async def finish(self, job: str) -> None:
        """The picture is there, and no hand-off is under way."""
        (self._gate / "sample.go").touch()
        assert (await self._t.genai.diffusion.wait(job)).images
        await self._t.settled()


def test_unloaded_by_a_person_at_any_moment(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    """Then it stays away, the picture is painted, and nothing claims to be back."""

    async def main() -> None:
        async with table(home, files) as t:
            easel = Easel(t, tmp_path / "own")
            await easel.set_up()
            for moment in MOMENTS:
                job = await easel.begin(moment)
                await t.genai.stop_server("llama")
                await easel.finish(job)
                assert t.info.status == "stopped", moment
                assert engines() == [], moment
                assert t.phases[-1] == "running", moment
                assert t.is_tidy(), moment
                assert not t.genai.conversations.state().is_suspended, moment
                await t.genai.load_llm("guide")

    run(main(), 90)


def test_another_model_is_loaded_at_any_moment(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    """The person's last wish counts, and what was typed is answered by that model."""

    async def main() -> None:
        async with table(home, files) as t:
            easel = Easel(t, tmp_path / "own")
            await easel.set_up()
            both = [await endless_model(t.genai, tmp_path), "guide"]
            for number, moment in enumerate(MOMENTS):
                other = both[number % 2]
                job = await easel.begin(moment)
                reply = await t.say("What is GGUF?")
                await t.genai.load_llm(other)
                await easel.finish(job)
                assert (t.info.status, t.info.model_id) == ("running", other), moment
                assert len(engines()) == 1, moment
                assert t.is_tidy(), moment
                message = await t.over(reply)
                assert (message.state, message.model_id) == ("done", other), moment

    run(main(), 90)


def test_the_model_that_stepped_aside_is_removed(home: Path, tmp_path: Path, files: dict[str, Path]) -> None:
    async def main() -> None:
        async with table(home, files, "") as t:
            model = await endless_model(t.genai, tmp_path)
            await t.genai.load_llm(model)
            job = await t.begin()
            await t.enters("suspended")
            await t.genai.remove_model(model)
            assert (await t.genai.diffusion.wait(job)).images
            assert await t.settled() == ""
            assert t.info.status == "stopped"
            assert t.is_tidy()

    run(main(), 90)


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
            # it depends on the moment whether there was somebody left to save what it knew
            assert await t.back() in ("", (await t.settled()))

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
            assert await t.back() == ""

    run(main(), 90)


def test_closing_while_a_frozen_engine_steps_aside(home: Path, files: dict[str, Path]) -> None:
    """Each moment in a program of its own, at once: a grace period takes its time."""

    async def close(moment: str) -> None:
        async with table(home / moment, files) as t:
            await t.answered()
            pid = t.pid
            if moment == "saving":
                freeze(pid)
            job = await t.genai.diffusion.enqueue(t.config)
            await t.enters(moment)
            if moment == "stopping":
                freeze(pid)
            began = time.monotonic()
        note(f"close while {moment}, engine frozen", time.monotonic() - began)
        assert not is_alive(pid)
        assert t.is_tidy()
        assert time.monotonic() - began < 10, "neither the time-out of a request nor that of a stop"
        async with opened(home / moment) as again:
            (left,) = again.genai.diffusion.jobs()
            assert (left.id, left.state) == (job, "failed")  # offered, not lost

    async def main() -> None:
        await asyncio.gather(close("saving"), close("stopping"))

    run(main(), 90)
