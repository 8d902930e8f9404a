"""Facade of the Image Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot

from genai_desktop.bridge.facade import Facade

if TYPE_CHECKING:
    from genai_desktop.core.images import ImageGenerationConfig
    from genai_desktop.services.genai import GenAI


class ImagesFacade(Facade):
    """Signals carry core values."""

    progress_changed = Signal(object)  # ImageProgress
    jobs_changed = Signal(object)  # tuple[ImageJob, ...]: running first, then queued, then the last finished
    finished = Signal(object)  # ImageResult: the pictures are on disk
    gallery_changed = Signal(object)  # tuple[GalleryItem, ...], newest first
    gallery_found = Signal(str, object)  # query, tuple[GalleryItem, ...]
    forecast_changed = Signal(object)  # OffloadForecast
    handoff_changed = Signal(object)  # dict: suspended, eta, phase
    handoff_finished = Signal(object)  # HandoffReport
    recipe_loaded = Signal(object)  # dict of ImageGenerationConfig values found in a PNG
    deleted = Signal(str)  # gallery id: offer an undo

    def attach(self, genai: GenAI) -> None:
        genai.diffusion.on("progress", self.progress_changed.emit)
        genai.diffusion.on("jobs_changed", self.jobs_changed.emit)
        genai.diffusion.on("finished", self.finished.emit)
        genai.gallery.on("changed", self.gallery_changed.emit)
        genai.orchestrator.on("state_changed", self.handoff_changed.emit)
        genai.orchestrator.on("handoff", self.handoff_finished.emit)

    @Slot()
    def load(self) -> None:
        self._run("gallery", lambda genai: genai.gallery.list(), self.gallery_changed.emit)

        async def jobs(genai: GenAI) -> object:
            return genai.diffusion.jobs()

        self._run("queue", jobs, self.jobs_changed.emit)

    def generate(self, config: ImageGenerationConfig) -> None:
        """Put a job into the queue -> jobs_changed, progress_changed, finished.

        Refused -> failed("generate").
        """
        self._run("generate", lambda genai: genai.enqueue_image(config))

    @Slot(str)
    def cancel(self, job_id: str = "") -> None:
        """Cancel one job, or the running one; whatever stage it is in."""
        self._run("cancel", lambda genai: genai.diffusion.cancel(job_id or None))

    @Slot(str)
    def retry(self, job_id: str) -> None:
        self._run("retry", lambda genai: genai.diffusion.retry(job_id))

    @Slot(str, int)
    def move(self, job_id: str, offset: int) -> None:
        """Move a queued job up (negative) or down."""
        self._run("move", lambda genai: genai.diffusion.move(job_id, offset))

    def forecast(self, config: ImageGenerationConfig) -> None:
        """Will the LLM step aside? -> forecast_changed."""
        self._run("forecast", lambda genai: genai.orchestrator.forecast(config), self.forecast_changed.emit)

    @Slot(str)
    def search_gallery(self, query: str) -> None:
        self._run(
            "gallery",
            lambda genai: genai.gallery.list(query),
            lambda items: self.gallery_found.emit(query, items),
        )

    @Slot(str)
    def delete(self, gallery_id: str) -> None:
        self._run(
            "delete", lambda genai: genai.gallery.delete(gallery_id), lambda _: self.deleted.emit(gallery_id)
        )

    @Slot(str)
    def undo_delete(self, gallery_id: str) -> None:
        self._run("undo", lambda genai: genai.gallery.undo_delete(gallery_id))

    @Slot(str)
    def read_recipe(self, path: str) -> None:
        """Settings stored in a PNG -> recipe_loaded; none found -> failed("recipe")."""
        self._run("recipe", lambda genai: genai.read_recipe(path), self.recipe_loaded.emit)
