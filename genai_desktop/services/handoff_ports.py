"""What the hand-off needs of the services it stands between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genai_desktop.core.images import ImageGenerationConfig, ImageProgress, ImageResult, ImageStage
    from genai_desktop.core.launch import LlamaServerConfig
    from genai_desktop.core.models import ModelInfo
    from genai_desktop.core.servers import ServerInfo, ServerStatus
    from genai_desktop.core.telemetry import MarkerKind
    from genai_desktop.services.image_estimates import ImageFootprint
    from genai_desktop.services.memory_broker import MemoryBroker


class Llama(Protocol):
    """What is needed of LlamaServerManager."""

    @property
    def resolved_config(self) -> LlamaServerConfig | None: ...

    def get_status(self) -> ServerStatus: ...

    def get_info(self) -> ServerInfo: ...

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]: ...

    async def start(self, config: LlamaServerConfig) -> ServerInfo: ...

    async def stop(self, grace: float | None = None) -> None: ...

    async def save_slot(self, filename: str, slot: int = 0) -> int: ...

    async def restore_slot(self, filename: str, slot: int = 0) -> int: ...


class Conversations(Protocol):
    """What is needed of ConversationService."""

    def hold(self, reason: str, eta: float | None = None) -> None: ...

    def release(self) -> None: ...

    async def drain(self, pause: bool) -> None: ...

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]: ...


class System(Protocol):
    async def free_memory(self) -> dict[str, Any]: ...


class Holdings(Protocol):
    """What is needed of Telemetry."""

    def held_by(self, name: str) -> tuple[int, tuple[int, ...]]: ...


class Diffusion(Protocol):
    """What is needed of DiffusionServerManager."""

    @property
    def has_waiting(self) -> bool: ...

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]: ...

    def set_memory_broker(self, broker: MemoryBroker) -> None: ...

    def report_stage(self, job_id: str, stage: ImageStage) -> None: ...

    async def generate_image(
        self, config: ImageGenerationConfig, on_progress: Callable[[ImageProgress], None] | None = None
    ) -> ImageResult: ...

    async def footprint(self, config: ImageGenerationConfig) -> ImageFootprint: ...

    async def estimate_seconds(self, config: ImageGenerationConfig) -> float | None: ...


class Telemetry(Holdings, Protocol):
    def mark(self, kind: MarkerKind, label: str) -> None: ...


class Models(Protocol):
    async def get_model_info(self, model_id: str) -> ModelInfo: ...
