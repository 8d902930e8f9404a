"""GenAI Desktop: find out what this computer can do, run language and image models on it, share its memory.

    async with genai_desktop.open() as genai:
        caps = await genai.system.detect()
        await genai.llama.start(LlamaServerConfig(model_id="guide"))

Names are loaded on first use: an engine child or `--help` must not pay for all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_EXPORTS = {
    "GenAI": "genai_desktop.services.genai",
    "open": "genai_desktop.services.genai",
    "SystemInfo": "genai_desktop.services.system_info",
    "ModelManager": "genai_desktop.services.model_manager",
    "LlamaServerManager": "genai_desktop.services.llama_server",
    "DiffusionServerManager": "genai_desktop.services.diffusion_server",
    "ResourceOrchestrator": "genai_desktop.services.orchestrator",
    "GenerationRegistry": "genai_desktop.services.generation_registry",
    "ConversationService": "genai_desktop.services.conversations",
    "LlamaServerConfig": "genai_desktop.core.launch",
    "DiffusionServerConfig": "genai_desktop.core.sd_launch",
    "ImageGenerationConfig": "genai_desktop.core.images",
    "DownloadConfig": "genai_desktop.core.models",
    "ComponentDownload": "genai_desktop.core.models",
    "ModelInfo": "genai_desktop.core.models",
    "Settings": "genai_desktop.core.settings",
    "SamplingParameters": "genai_desktop.core.chat",
    "REASONING_MODEL_PATTERNS": "genai_desktop.core.reasoning",
    "detect_reasoning_support": "genai_desktop.core.reasoning",
    "GenaiError": "genai_desktop.core.errors",
    "run": "genai_desktop.services.genai",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605 - strings, all of them

if TYPE_CHECKING:
    from genai_desktop.services.genai import GenAI as GenAI
    from genai_desktop.services.genai import open as open
    from genai_desktop.services.genai import run as run


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value
