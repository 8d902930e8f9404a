"""Facade of the Models tab, and of every place that names a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal, Slot

from genai_desktop.bridge.facade import Facade

if TYPE_CHECKING:
    from genai_desktop.core.models import DownloadConfig, ModelType
    from genai_desktop.services.genai import GenAI


class ModelsFacade(Facade):
    """Signals carry core values."""

    models_changed = Signal(object)  # tuple[ModelInfo, ...]
    fits_changed = Signal(object)  # dict[model id, FitBadge]
    details_loaded = Signal(object)  # ModelDetails
    verified = Signal(str, object)  # model id, VerifyResult
    removed = Signal(str, str, object)  # model id, name, bytes freed
    imported = Signal(object)  # tuple[ModelInfo, ...] that are new
    download_finished = Signal(object)  # ModelInfo
    disk_changed = Signal(object, object)  # free bytes, total bytes of the disk the models are on
    hub_found = Signal(object)  # HubSearch
    repo_files_loaded = Signal(object)  # HubRepo

    def attach(self, genai: GenAI) -> None:
        genai.models.on("changed", self.models_changed.emit)

    @Slot()
    def load(self) -> None:
        """Models, fit badges and disk space."""
        self._run("models", lambda genai: genai.models.list_models(), self.models_changed.emit)
        self.load_fits()

    @Slot()
    def load_fits(self) -> None:
        self._run("fit", lambda genai: genai.fit_badges(), self.fits_changed.emit)
        self._run("disk", lambda genai: genai.disk_space(), lambda pair: self.disk_changed.emit(*pair))

    @Slot(str, int, str)
    def load_details(self, model_id: str, n_ctx: int = 0, cache_type: str = "f16") -> None:
        """Details with the fit at this context (0: automatic) and KV type -> details_loaded."""
        self._run(
            "details",
            lambda genai: genai.model_details(model_id, n_ctx=n_ctx, cache_type=cache_type),
            self.details_loaded.emit,
        )

    def import_paths(self, paths: tuple[str, ...]) -> None:
        """Files and folders, in place -> imported, models_changed; what is refused -> failed."""
        self._run("import", lambda genai: genai.import_paths(paths), self.imported.emit)

    def import_components(self, name: str, components: dict[str, str]) -> None:
        """An image model made of several files by role -> imported."""
        self._run("import", lambda genai: genai.import_components(name, components), self.imported.emit)

    def download(self, config: DownloadConfig) -> None:
        """Runs as a job (see JobsFacade) -> download_finished."""
        self._run("download", lambda genai: genai.models.download_model(config), self.download_finished.emit)

    @Slot(str)
    def cancel_download(self, job_id: str = "") -> None:
        async def work(genai: GenAI) -> None:
            genai.models.cancel_download(job_id or None)

        self._run("cancel", work)

    @Slot(str)
    def verify(self, model_id: str) -> None:
        """Runs as a job -> verified."""
        self._run(
            "verify",
            lambda genai: genai.models.verify_model(model_id),
            lambda result: self.verified.emit(model_id, result),
        )

    @Slot(str, str)
    def remove(self, model_id: str, name: str = "") -> None:
        self._run(
            "remove",
            lambda genai: genai.remove_model(model_id),
            lambda freed: self.removed.emit(model_id, name, freed),
        )

    @Slot(str, str)
    def rename(self, model_id: str, name: str) -> None:
        self._run("rename", lambda genai: genai.models.rename_model(model_id, name))

    @Slot(str, str)
    def search_hub(self, text: str, type: str = "") -> None:
        """Search the model hub ("llm", "diffusion" or empty for both) -> hub_found; call it debounced."""
        kind: ModelType | None = "llm" if type == "llm" else "diffusion" if type == "diffusion" else None
        self._run("search", lambda genai: genai.hub.search(text, kind), self.hub_found.emit)

    @Slot(str)
    def load_repo(self, repo: str) -> None:
        """The files of a repository, each with a first answer whether it fits -> repo_files_loaded."""
        self._run("repo", lambda genai: genai.hub.files(repo), self.repo_files_loaded.emit)
