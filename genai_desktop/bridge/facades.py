"""All facades together: what the window gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genai_desktop.bridge.chat import ChatFacade
from genai_desktop.bridge.images import ImagesFacade
from genai_desktop.bridge.models import ModelsFacade
from genai_desktop.bridge.settings import JobsFacade, SettingsFacade
from genai_desktop.bridge.system import SystemFacade

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Facade, Submitter
    from genai_desktop.core.settings import Settings
    from genai_desktop.services.genai import GenAI


@dataclass
class Facades:
    """One facade per area; created in the GUI thread before the service thread starts."""

    system: SystemFacade
    models: ModelsFacade
    chat: ChatFacade
    images: ImagesFacade
    settings: SettingsFacade
    jobs: JobsFacade

    @classmethod
    def create(cls, thread: Submitter, settings: Settings) -> Facades:
        return cls(
            SystemFacade(thread),
            ModelsFacade(thread),
            ChatFacade(thread),
            ImagesFacade(thread),
            SettingsFacade(thread, settings),
            JobsFacade(thread),
        )

    def all(self) -> tuple[Facade, ...]:
        return (self.system, self.models, self.chat, self.images, self.settings, self.jobs)

    def attach(self, genai: GenAI) -> None:
        """In the service thread."""
        for facade in self.all():
            facade.attach(genai)

    def close(self) -> None:
        for facade in self.all():
            facade.close()
