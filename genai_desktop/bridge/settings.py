"""Facade of the settings, and of the jobs popover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal, Slot

from genai_desktop.bridge.facade import Facade, Submitter
from genai_desktop.core.settings import Settings

if TYPE_CHECKING:
    from genai_desktop.services.genai import GenAI


class SettingsFacade(Facade):
    """`current` is the last known snapshot: read once from the file before the window is built."""

    changed = Signal(object)  # Settings

    def __init__(self, thread: Submitter, initial: Settings, parent: QObject | None = None) -> None:
        super().__init__(thread, parent)
        self.current = initial
        self.changed.connect(self._remember)

    def attach(self, genai: GenAI) -> None:
        genai.settings.on("changed", self.changed.emit)

    def update(self, **changes: Any) -> None:
        """Change settings by name -> changed."""
        self._run("settings", lambda genai: genai.update_settings(**changes))

    def remember_ui(self, **values: Any) -> None:
        """Geometry, splitters and form values: merged into Settings.ui without a round trip per key."""
        self._run("settings", lambda genai: genai.remember_ui(values))

    @Slot(object)
    def _remember(self, settings: Settings) -> None:
        self.current = settings


class JobsFacade(Facade):
    """Every running job with its progress and Cancel."""

    jobs_changed = Signal(object)  # tuple[JobInfo, ...]

    def attach(self, genai: GenAI) -> None:
        genai.jobs.on("changed", self.jobs_changed.emit)

    @Slot(str)
    def cancel(self, job_id: str) -> None:
        self._run("cancel", lambda genai: genai.cancel_job(job_id))
