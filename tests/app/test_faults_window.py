"""Faults as a person at the window meets them: quitting in every state, engines that die, messages shown."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.engines import embedded
from genai_desktop.library.image_test_set import tiny_flux_set
from tests.aio import run, until_sync
from tests.app.faults import (
    AS_ANYBODY,
    OwnLlama,
    endless_model,
    freeze,
    image_model,
    is_alive,
    note,
    opened,
)
from tests.app.window import Window
from tests.fakes.other_program import other_program

pytestmark = [pytest.mark.real, pytest.mark.window, pytest.mark.xdist_group("faults")]
needs_images = pytest.mark.skipif(
    not embedded.is_available("sd-cli"), reason="the image engine is not installed"
)
ENDLESS = {"sampling": {"max_tokens": 100_000, "seed": 1, "temperature": 1.0}}
SHORT = {"sampling": {"max_tokens": 16, "seed": 1, "temperature": 0.0}}


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_flux_set(tmp_path_factory.mktemp("flux"))


class Seat:
    """A person in front of the window, with an endless model and a picture at hand."""

    def __init__(self, home: Path, folder: Path, flux: dict[str, Path]) -> None:
        self._home, self._folder = home, folder
        self.picture: dict[str, Any] = {}
        self.model = ""
        run(self._prepare(flux), 60)

    async def _prepare(self, flux: dict[str, Path]) -> None:
        async with opened(self._home) as scene:
            self.model = await endless_model(scene.genai, self._folder)
            if flux:
                config = await image_model(scene.genai, flux)
                values = {
                    "prompt": "a lighthouse",
                    "width": 256,
                    "height": 256,
                    "steps": 200,
                    "cfg_scale": 1.0,
                }
                self.picture = {"config": {**values, "seed": 1, "model_id": config.model_id}}
            await scene.genai.update_settings(onboarding_done=True, close_to_tray=False)

    def window(self) -> Window:
        window = Window(self._home, self._folder / "stderr.txt")
        window.wait("open")
        return window

    def load(self, window: Window, model: str = "guide") -> int:
        """The pid of the engine."""
        window.do("chat", "load_model", model, {})
        pid: int = window.wait("llm", lambda e: e["status"] == "running")["pid"]
        return pid

    def talk(self, window: Window, sampling: dict[str, Any] = ENDLESS, text: str = "Go on for ever.") -> str:
        """Until the reply streams; the conversation."""
        before = len(window.events)
        window.do("chat", "create")
        conversation: str = window.wait("conversation", since=before)["id"]
        window.do("chat", "send", conversation, text, sampling)
        window.wait("delta", lambda e: e["text"], since=before)
        return conversation

    def paint(self, window: Window, **changes: Any) -> None:
        window.do("images", "generate", {"config": {**self.picture["config"], **changes}})


@pytest.fixture
def seat(home: Path, tmp_path: Path, flux: dict[str, Path]) -> Seat:
    return Seat(home, tmp_path, flux)


# 4. quitting in every state


def idle(seat: Seat, window: Window) -> None:
    pass


def twice(seat: Seat, window: Window) -> None:
    """Somebody who cannot wait."""
    running(seat, window)
    window.process.send_signal(signal.SIGTERM)
    window.process.send_signal(signal.SIGINT)


def loading(seat: Seat, window: Window) -> None:
    window.do("chat", "load_model", "guide", {})
    window.wait("llm", lambda e: e["status"] == "starting" and e["pid"])


def about_to_load(seat: Seat, window: Window) -> None:
    window.do("chat", "load_model", "guide", {})
    window.wait("llm", lambda e: e["status"] == "starting")


def running(seat: Seat, window: Window) -> None:
    seat.load(window)


def streaming(seat: Seat, window: Window) -> None:
    seat.load(window, seat.model)
    seat.talk(window)


def unloading(seat: Seat, window: Window) -> None:
    seat.load(window)
    window.do("chat", "unload_model")
    window.wait("llm", lambda e: e["status"] == "stopping")


def crashed(seat: Seat, window: Window) -> None:
    """Between the crash and the restart."""
    os.kill(seat.load(window), signal.SIGKILL)
    window.wait("llm", lambda e: e["status"] == "crashed")


def restarting(seat: Seat, window: Window) -> None:
    crashed(seat, window)
    window.wait("llm", lambda e: e["status"] == "starting" and e["restarts"] == 1 and e["pid"])


def generating(seat: Seat, window: Window) -> None:
    seat.paint(window)
    window.wait("progress", lambda e: e["step"] >= 1)


def cancelling(seat: Seat, window: Window) -> None:
    generating(seat, window)
    window.do("images", "cancel", "")


def draining(seat: Seat, window: Window) -> None:
    window.do("settings", "update", {"step_aside": "always"})
    streaming(seat, window)
    seat.paint(window)
    window.wait("handoff", lambda e: e["phase"] == "draining")


def phase(name: str) -> Callable[[Seat, Window], None]:
    def reach(seat: Seat, window: Window) -> None:
        window.do("settings", "update", {"step_aside": "always"})
        seat.load(window)
        seat.talk(window, SHORT)
        window.wait("message", lambda e: e["role"] == "assistant" and e["state"] == "done")
        seat.paint(window, **({"width": 64, "height": 64, "steps": 1} if name == "resuming" else {}))
        window.wait("handoff", lambda e: e["phase"] == name)
        if name == "suspended":
            window.wait("progress", lambda e: e["step"] >= 1)

    reach.__name__ = name
    return reach


@pytest.mark.parametrize(
    "state",
    [
        idle, twice, about_to_load, loading, running, streaming, unloading, crashed, restarting,
        *(
            pytest.param(state, marks=needs_images)
            for state in (
                generating, cancelling, draining, phase("saving"), phase("stopping"), phase("suspended"),
                phase("resuming"),
            )
        ),
    ],
    ids=lambda state: state.__name__,
)  # fmt: skip
def test_quitting(seat: Seat, state: Callable[[Seat, Window], None]) -> None:
    with seat.window() as window:
        state(seat, window)
        note(f"quit while {state.__name__}", window.end())


def test_quitting_before_it_has_opened(seat: Seat, home: Path, tmp_path: Path) -> None:
    with Window(home, tmp_path / "stderr.txt") as window:
        window.wait("built")
        note("quit while starting", window.end())


@pytest.mark.parametrize("what", ["the disk is full", "the folder is gone"])
def test_quitting_when_nothing_can_be_written(seat: Seat, home: Path, what: str) -> None:
    with seat.window() as window:
        streaming(seat, window)
        if what == "the disk is full":
            resource.prlimit(window.process.pid, resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
        else:
            home.rename(home.with_name("away"))
        note(f"quit when {what}", window.end())


def frozen_at_rest(seat: Seat, window: Window) -> None:
    freeze(seat.load(window))


def frozen_in_a_reply(seat: Seat, window: Window) -> None:
    pid = seat.load(window, seat.model)
    seat.talk(window)
    freeze(pid)


def frozen_while_it_steps_aside(seat: Seat, window: Window) -> None:
    window.do("settings", "update", {"step_aside": "always"})
    pid = seat.load(window)
    seat.talk(window, SHORT)
    window.wait("message", lambda e: e["role"] == "assistant" and e["state"] == "done")
    freeze(pid)
    seat.paint(window)
    window.wait("handoff", lambda e: e["phase"] == "saving")


def frozen_while_it_is_unloaded(seat: Seat, window: Window) -> None:
    freeze(seat.load(window))
    window.do("chat", "unload_model")
    window.wait("llm", lambda e: e["status"] == "stopping")


def frozen_while_it_paints(seat: Seat, window: Window) -> None:
    generating(seat, window)
    (pid,) = [p for p in window.children() if "sd-cli" in " ".join(psutil.Process(p).cmdline())]
    freeze(pid)


FROZEN = [
    frozen_at_rest,
    frozen_in_a_reply,
    frozen_while_it_is_unloaded,
    *([frozen_while_it_steps_aside, frozen_while_it_paints] if embedded.is_available("sd-cli") else []),
]


def test_quitting_with_a_frozen_engine(home: Path, tmp_path: Path, flux: dict[str, Path]) -> None:
    """All of them at once: each takes a grace period."""
    with ExitStack() as stack:
        windows = []
        for state in FROZEN:
            folder = tmp_path / state.__name__
            folder.mkdir()
            seat = Seat(home / state.__name__, folder, flux)
            window = stack.enter_context(seat.window())
            state(seat, window)
            windows.append((state.__name__, window, window.children(), time.monotonic()))
            window.process.send_signal(signal.SIGTERM)
        for name, window, children, began in windows:
            window.process.communicate(timeout=30)
            note(f"quit while {name}, at most", time.monotonic() - began)
            assert window.process.returncode == 0, f"{name}: {window.stderr[-3000:]}"
            assert [pid for pid in children if is_alive(pid)] == [], name
            window.is_quiet()


# 1. and 2. what is shown


def test_a_reply_that_breaks_off_is_shown_with_its_reason(seat: Seat) -> None:
    with seat.window() as window:
        window.do("page", "chat")
        pid = seat.load(window, seat.model)
        seat.talk(window)
        os.kill(pid, signal.SIGKILL)
        message = window.wait("message", lambda e: e["role"] == "assistant" and e["state"] == "interrupted")
        assert message["text"]
        window.shows("ended before the reply was complete")
        crash = window.wait("llm", lambda e: e["status"] == "crashed")
        assert crash["log"] > 0
        window.wait("llm", lambda e: e["status"] == "running" and e["restarts"] == 1)
        seat.talk(window, SHORT)  # elsewhere: this one may have filled the context
        window.wait("message", lambda e: e["role"] == "assistant" and e["state"] == "done")
        window.end()


def test_a_load_that_fails_is_shown_and_another_one_works(seat: Seat, home: Path, tmp_path: Path) -> None:
    own = OwnLlama(tmp_path / "own")
    own.misbehave("signal-loading=11")
    with seat.window() as window:
        window.do("page", "chat")
        window.do("system", "use_engine", "llama.cpp", str(own.path))
        until_sync(lambda: str(own.path) in (home / "settings.json").read_text())
        window.do("chat", "load_model", "guide", {})
        failed = window.wait("failed")
        assert (failed["action"], failed["code"]) == ("load", "SERVER_CRASHED")
        assert failed["remedy"]
        window.shows("The engine crashed while loading the model")
        own.misbehave(f"hold={tmp_path / 'go'}")
        window.do("chat", "load_model", "guide", {})
        window.wait("llm", lambda e: e["status"] == "starting" and e["progress"])
        window.do("chat", "unload_model")
        window.wait("failed", lambda e: e["code"] == "CANCELLED")
        assert "cancelled" not in window.texts()  # whoever did it knows
        own.misbehave()
        seat.load(window)
        with other_program() as (_, port):
            window.do("chat", "load_model", "guide", {"port": port})
            failed = window.wait("failed", lambda e: e["code"] == "PORT_IN_USE")
            window.shows(failed["message"])
        window.end()


# 8. a data folder that cannot be used


def test_a_data_folder_that_cannot_be_used_is_told_in_a_window(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "genai.sqlite3").write_bytes(b"this is no database, " * 1000)
    with Window(home, tmp_path / "stderr.txt") as window:
        assert "is damaged" in window.wait("open-failed")["error"]
        window.shows("is damaged")
        window.process.send_signal(signal.SIGTERM)
        window.process.communicate(timeout=20)
        assert window.process.returncode == 1
        assert window.stderr.startswith("Error: The database")
        assert "Traceback" not in window.stderr
    assert (home / "genai.sqlite3").read_bytes().startswith(b"this is no database")


def test_what_is_typed_on_a_full_disk_stays_in_the_window(seat: Seat) -> None:
    with seat.window() as window:
        window.do("page", "chat")
        seat.load(window)
        unlimited = resource.prlimit(window.process.pid, resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
        window.do("type", "A question of great length.")
        window.wait("failed", lambda e: e["action"] == "create" and e["remedy"])
        window.shows("A question of great length.")
        window.do("settings", "update", {"theme": "dark"})
        assert window.wait("failed", lambda e: e["action"] == "settings")["remedy"]
        resource.prlimit(window.process.pid, resource.RLIMIT_FSIZE, unlimited)
        window.do("type", "A question of great length.")
        window.wait("message", lambda e: e["role"] == "assistant" and e["state"] == "done")
        resource.prlimit(window.process.pid, resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
        window.do("type", "Another one.")
        window.wait("failed", lambda e: e["action"] == "send" and e["remedy"])
        window.shows("Another one.")
        resource.prlimit(window.process.pid, resource.RLIMIT_FSIZE, unlimited)
        window.end()


def test_a_read_only_data_folder_is_told_in_a_window(home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o555)
    with Window(home, tmp_path / "stderr.txt", *AS_ANYBODY) as window:
        texts = "\n".join(window.wait("texts")["texts"])
        assert str(home) in texts
        assert "permission" in texts
        window.process.send_signal(signal.SIGTERM)
        window.process.communicate(timeout=20)
        assert window.process.returncode == 1
        assert window.stderr.startswith("Error: ")
        assert "Traceback" not in window.stderr
