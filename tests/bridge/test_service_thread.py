"""The thread of the services: real Qt, real qasync, no services."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from PySide6.QtCore import Signal
from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Facade, Failure
from genai_desktop.bridge.service_thread import ServiceThread
from genai_desktop.core.errors import ModelNotFoundError


class FakeServices:
    """What the thread itself needs of the services."""

    def __init__(self) -> None:
        self.closed_in: str | None = None
        self.children_killed = False
        self.close_blocks = False

    async def close(self) -> None:
        self.closed_in = threading.current_thread().name
        if self.close_blocks:
            await asyncio.Event().wait()

    def kill_children(self) -> None:
        self.children_killed = True


class FakeFacade(Facade):
    answered = Signal(object)

    def ask(self, work: Any) -> None:
        self._run("ask", work, self.answered.emit)


def start(qtbot: QtBot, services: FakeServices | None = None) -> tuple[ServiceThread, FakeServices]:
    fake = services or FakeServices()

    async def opener() -> Any:
        return fake

    thread = ServiceThread(opener, lambda _: None)
    with qtbot.waitSignal(thread.opened, timeout=10_000):
        thread.start()
    return thread, fake


def stop(qtbot: QtBot, thread: ServiceThread, deadline: float = 5.0) -> None:
    with qtbot.waitSignal(thread.finished, timeout=15_000):
        thread.request_close(deadline)
    assert thread.wait(5000)


def test_runs_coroutines_off_the_gui_thread_and_closes_the_services(qtbot: QtBot) -> None:
    thread, services = start(qtbot)

    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert thread.submit(where()).result(5) != threading.get_ident()
    stop(qtbot, thread)
    assert services.closed_in is not None
    assert not thread.isRunning()


def test_submit_after_the_end_cancels_instead_of_hanging(qtbot: QtBot) -> None:
    thread, _ = start(qtbot)
    stop(qtbot, thread)

    async def never() -> None:
        raise AssertionError("must not run")

    assert thread.submit(never()).cancelled()


def test_what_runs_is_cancelled_at_the_end(qtbot: QtBot) -> None:
    thread, _ = start(qtbot)
    seen: list[str] = []
    started = threading.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    future = thread.submit(endless())
    assert started.wait(5)
    stop(qtbot, thread)
    assert future.cancelled()
    assert seen == ["cleaned up"]


def test_services_that_do_not_close_lose_their_children(qtbot: QtBot) -> None:
    services = FakeServices()
    services.close_blocks = True
    thread, _ = start(qtbot, services)
    stop(qtbot, thread, deadline=0.2)
    assert services.children_killed


def test_a_facade_turns_errors_into_failures(qtbot: QtBot) -> None:
    thread, _ = start(qtbot)
    facade = FakeFacade(thread)

    async def refuse(_: object) -> None:
        raise ModelNotFoundError("There is no such model.", remedy="Import it.")

    with qtbot.waitSignal(facade.failed, timeout=5000) as caught:
        facade.ask(refuse)
    assert caught.args == [Failure("ask", "MODEL_NOT_FOUND", "There is no such model.", "Import it.")]

    async def answer(genai: object) -> object:
        return genai

    with qtbot.waitSignal(facade.answered, timeout=5000):
        facade.ask(answer)
    facade.close()
    facade.ask(refuse)  # refused: nothing may arrive any more
    stop(qtbot, thread)


def test_intents_given_before_the_services_are_open_wait_for_them(qtbot: QtBot) -> None:
    gate = threading.Event()
    fake = FakeServices()

    async def opener() -> Any:
        await asyncio.to_thread(gate.wait, 10)
        return fake

    thread = ServiceThread(opener, lambda _: None)
    facade = FakeFacade(thread)
    thread.start()

    async def answer(genai: object) -> object:
        return genai

    with qtbot.waitSignal(facade.answered, timeout=10_000) as caught:
        facade.ask(answer)
        gate.set()
    assert caught.args == [fake]
    stop(qtbot, thread)


def test_a_failed_opening_is_told_and_every_intent_fails(qtbot: QtBot) -> None:
    async def opener() -> Any:
        raise ModelNotFoundError("no")

    thread = ServiceThread(opener, lambda _: None)
    facade = FakeFacade(thread)
    with qtbot.waitSignal(thread.open_failed, timeout=10_000):
        thread.start()

    async def answer(genai: object) -> object:
        return genai

    with qtbot.waitSignal(facade.failed, timeout=5000):
        facade.ask(answer)
    stop(qtbot, thread)


@pytest.mark.parametrize("count", [200])
def test_hundreds_of_starts_and_signals_do_not_crash(qtbot: QtBot, count: int) -> None:
    thread, _ = start(qtbot)
    facade = FakeFacade(thread)
    received: list[object] = []
    facade.answered.connect(received.append)

    async def answer(_: object) -> object:
        return None

    for _ in range(count):
        facade.ask(answer)
    qtbot.waitUntil(lambda: len(received) == count, timeout=10_000)
    stop(qtbot, thread)
