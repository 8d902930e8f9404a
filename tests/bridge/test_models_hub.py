"""The intents of Discover: a search and a repository, answered by signals."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from pytestqt.qtbot import QtBot

from genai_desktop.bridge.facade import Failure
from genai_desktop.bridge.models import ModelsFacade
from genai_desktop.core.errors import OfflineError
from genai_desktop.core.hub import HubRepo, HubSearch


class Hub:
    """Answers with what it was asked, or not at all."""

    is_offline = False

    async def search(self, text: str, type: Any = None) -> HubSearch:
        if self.is_offline:
            raise OfflineError("The offline switch is on.", remedy="Turn it off.")
        return HubSearch(text, type, ())

    async def files(self, repo: str) -> HubRepo:
        return HubRepo(repo, "main", "c0ffee", ())


class Thread:
    """Runs a coroutine at once."""

    def __init__(self, hub: Hub) -> None:
        self.genai: Any = SimpleNamespace(hub=hub)

    def submit(self, coro: Coroutine[Any, Any, Any]) -> object:
        return asyncio.run(coro)

    async def ready(self) -> Any:
        return self.genai


def test_answers_and_failures_come_as_signals(qtbot: QtBot) -> None:
    hub = Hub()
    facade = ModelsFacade(Thread(hub))
    with qtbot.waitSignal(facade.hub_found) as found:
        facade.search_hub("qwen", "llm")
    assert found.args == [HubSearch("qwen", "llm", ())]
    with qtbot.waitSignal(facade.hub_found) as found:
        facade.search_hub("qwen")
    assert found.args == [HubSearch("qwen", None, ())]
    with qtbot.waitSignal(facade.repo_files_loaded) as loaded:
        facade.load_repo("acme/tiny")
    assert loaded.args[0].commit == "c0ffee"
    hub.is_offline = True
    with qtbot.waitSignal(facade.failed) as failed:
        facade.search_hub("qwen", "diffusion")
    assert failed.args == [Failure("search", "OFFLINE", "The offline switch is on.", "Turn it off.")]
