"""Facades that record what the window asks for and send nothing anywhere.

Signals, signatures and classes are the real ones: a call the real facade would refuse is refused here too.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Coroutine
from typing import Any

from genai_desktop.bridge.chat import ChatFacade
from genai_desktop.bridge.facade import Facade
from genai_desktop.bridge.facades import Facades
from genai_desktop.bridge.images import ImagesFacade
from genai_desktop.bridge.models import ModelsFacade
from genai_desktop.bridge.settings import JobsFacade, SettingsFacade
from genai_desktop.bridge.system import SystemFacade
from genai_desktop.core.settings import Settings

Call = tuple[str, tuple[Any, ...]]
_NOT_INTENTS = ("attach", "close")


class FakeSubmitter:
    """Nothing may reach it: every intent is recorded before."""

    def submit(self, coro: Coroutine[Any, Any, Any]) -> object:
        coro.close()
        raise AssertionError("an intent went past the recorder")

    @property
    def genai(self) -> Any:
        raise AssertionError("a widget asked for the services")

    async def ready(self) -> Any:
        raise AssertionError("a widget waited for the services")


def _recorder(name: str, real: Any) -> Any:
    signature = inspect.signature(real)

    @functools.wraps(real)
    def record(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self.calls.append((name, tuple(bound.arguments.values())[1:]))
        answer = getattr(self, f"_answer_{name}", None)
        if answer is not None:
            answer(*args, **kwargs)

    return record


def recording(cls: type[Any]) -> type[Any]:
    """A subclass whose intents are recorded in `calls` as (name, arguments with defaults filled in)."""
    intents = {
        name: _recorder(name, real)
        for name, real in vars(cls).items()
        if inspect.isfunction(real) and not name.startswith("_") and name not in _NOT_INTENTS
    }
    return type(f"Fake{cls.__name__}", (cls,), intents)


class _AnsweringSettings(SettingsFacade):
    """Settings come back at once, as the service would send them a moment later."""

    calls: list[Call]

    def _answer_update(self, **changes: Any) -> None:
        self.changed.emit(dataclasses.replace(self.current, **changes))

    def _answer_remember_ui(self, **values: Any) -> None:
        self.changed.emit(dataclasses.replace(self.current, ui={**self.current.ui, **values}))


class FakeFacades(Facades):
    """`facades.system.calls` and so on; `emit` the signals of the real facades to play the services."""

    def __init__(self, settings: Settings | None = None) -> None:
        thread = FakeSubmitter()
        fake_settings = type(
            "FakeSettingsFacade",
            (_AnsweringSettings,),
            {name: _recorder(name, getattr(SettingsFacade, name)) for name in ("update", "remember_ui")},
        )
        super().__init__(
            recording(SystemFacade)(thread),
            recording(ModelsFacade)(thread),
            recording(ChatFacade)(thread),
            recording(ImagesFacade)(thread),
            fake_settings(thread, settings or Settings()),
            recording(JobsFacade)(thread),
        )
        for facade in self.all():
            facade.calls = []  # type: ignore[attr-defined]

    def calls(self, area: str) -> list[Call]:
        """Everything asked of one facade so far."""
        found: list[Call] = getattr(self, area).calls
        return found

    def asked(self, area: str, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of one intent."""
        return [arguments for called, arguments in self.calls(area) if called == name]

    def forget(self) -> None:
        """Drop what was recorded."""
        for facade in self.all():
            assert isinstance(facade, Facade)
            facade.calls.clear()  # type: ignore[attr-defined]
