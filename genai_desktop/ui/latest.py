"""The last word of every facade, for pages that are built after it was spoken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Slot

if TYPE_CHECKING:
    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.builds import EngineBuild
    from genai_desktop.core.chat import ChatQueueState, ConversationSummary
    from genai_desktop.core.hardware import SystemCapabilities
    from genai_desktop.core.images import GalleryItem, ImageJob, ImageProgress
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.core.models import FitBadge, ModelInfo
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.core.telemetry import EventMarker, TelemetrySample


class Latest(QObject):
    """Snapshots as they came; None or empty until the first one."""

    def __init__(self, facades: Facades, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.servers: dict[str, ServerInfo] = {}
        self.models: tuple[ModelInfo, ...] | None = None
        self.fits: dict[str, FitBadge] = {}
        self.disk: tuple[int, int] | None = None
        self.capabilities: SystemCapabilities | None = None
        self.engines: tuple[EngineBuild, ...] | None = None
        self.sample: TelemetrySample | None = None
        self.markers: tuple[EventMarker, ...] | None = None
        self.jobs: tuple[JobInfo, ...] = ()
        self.image_jobs: tuple[ImageJob, ...] = ()
        self.image_progress: ImageProgress | None = None
        self.gallery: tuple[GalleryItem, ...] | None = None
        self.handoff: dict[str, object] = {}
        self.chat_state: ChatQueueState | None = None
        self.conversations: tuple[ConversationSummary, ...] | None = None
        self.failures: dict[str, Failure] = {}  # the last one by page
        facades.system.failed.connect(self._on_system_failed)
        facades.models.failed.connect(self._on_models_failed)
        facades.chat.failed.connect(self._on_chat_failed)
        facades.images.failed.connect(self._on_images_failed)
        facades.system.server_changed.connect(self._on_server)
        facades.system.capabilities_changed.connect(self._on_capabilities)
        facades.system.engines_changed.connect(self._on_engines)
        facades.system.sample_taken.connect(self._on_sample)
        facades.system.markers_loaded.connect(self._on_markers)
        facades.models.models_changed.connect(self._on_models)
        facades.models.fits_changed.connect(self._on_fits)
        facades.models.disk_changed.connect(self._on_disk)
        facades.jobs.jobs_changed.connect(self._on_jobs)
        facades.images.jobs_changed.connect(self._on_image_jobs)
        facades.images.progress_changed.connect(self._on_image_progress)
        facades.images.gallery_changed.connect(self._on_gallery)
        facades.images.handoff_changed.connect(self._on_handoff)
        facades.chat.state_changed.connect(self._on_chat_state)
        facades.chat.conversations_changed.connect(self._on_conversations)

    @Slot(object)
    def _on_system_failed(self, failure: Failure) -> None:
        self.failures["system"] = failure

    @Slot(object)
    def _on_models_failed(self, failure: Failure) -> None:
        self.failures["models"] = failure

    @Slot(object)
    def _on_chat_failed(self, failure: Failure) -> None:
        self.failures["chat"] = failure

    @Slot(object)
    def _on_images_failed(self, failure: Failure) -> None:
        self.failures["images"] = failure

    @Slot(object)
    def _on_server(self, info: ServerInfo) -> None:
        self.servers[info.name] = info

    @Slot(object)
    def _on_capabilities(self, capabilities: SystemCapabilities) -> None:
        self.capabilities = capabilities

    @Slot(object)
    def _on_engines(self, engines: tuple[EngineBuild, ...]) -> None:
        self.engines = engines

    @Slot(object)
    def _on_sample(self, sample: TelemetrySample) -> None:
        self.sample = sample

    @Slot(object)
    def _on_markers(self, markers: tuple[EventMarker, ...]) -> None:
        self.markers = markers

    @Slot(object)
    def _on_models(self, models: tuple[ModelInfo, ...]) -> None:
        self.models = models

    @Slot(object)
    def _on_fits(self, fits: dict[str, FitBadge]) -> None:
        self.fits = fits

    @Slot(object, object)
    def _on_disk(self, free: int, total: int) -> None:
        self.disk = (free, total)

    @Slot(object)
    def _on_jobs(self, jobs: tuple[JobInfo, ...]) -> None:
        self.jobs = jobs

    @Slot(object)
    def _on_image_jobs(self, jobs: tuple[ImageJob, ...]) -> None:
        self.image_jobs = jobs

    @Slot(object)
    def _on_image_progress(self, progress: ImageProgress) -> None:
        self.image_progress = progress

    @Slot(object)
    def _on_gallery(self, items: tuple[GalleryItem, ...]) -> None:
        self.gallery = items

    @Slot(object)
    def _on_handoff(self, state: dict[str, object]) -> None:
        self.handoff = state

    @Slot(object)
    def _on_chat_state(self, state: ChatQueueState) -> None:
        self.chat_state = state

    @Slot(object)
    def _on_conversations(self, conversations: tuple[ConversationSummary, ...]) -> None:
        self.conversations = conversations
