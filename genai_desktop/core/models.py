"""Models as values: what is on the shelf, what a download needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

ModelType = Literal["llm", "diffusion"]
VerifyOutcome = Literal["ok", "mismatch", "unverifiable"]


class ComponentRole(StrEnum):
    """Roles of the files of one diffusion model.

    The order of definition is the order on sd-cli's command line.
    """

    DIFFUSION_MODEL = "diffusion_model"
    CLIP_L = "clip_l"
    CLIP_G = "clip_g"
    T5XXL = "t5xxl"
    LLM = "llm"
    LLM_VISION = "llm_vision"
    VAE = "vae"
    TAESD = "taesd"


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    role is empty for a single-file model or a shard; sha256 is lower-case hex or None.
    """

    path: str
    size: int
    role: str = ""
    sha256: str | None = None
    mtime: float | None = None


@dataclass(frozen=True)
class Capabilities:
    """What the model can do, as its own metadata says (R206, seed 003)."""

    reasoning: bool = False
    tools: bool = False
    vision: bool = False
    embedding: bool = False
    code: bool = False
    languages: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The true ones, for lists and JSON."""
        return tuple(n for n in ("reasoning", "tools", "vision", "embedding", "code") if getattr(self, n))


@dataclass(frozen=True)
class ModelInfo:
    """One logical model, however many files.

    path: the first shard or the diffusion model. size: bytes, all files.
    """

    id: str
    name: str
    type: ModelType
    path: str
    size: int
    files: tuple[ModelFile, ...] = ()
    architecture: str = ""
    quantization: str = ""
    parameter_count: int | None = None
    context_length: int | None = None
    family: str = ""
    capabilities: Capabilities = Capabilities()
    license: str = ""
    source: str = "import"  # "builtin", "import", "url", "huggingface"
    origin: str = ""  # URL without its query, repo:file@revision, or empty
    missing: bool = False
    added_at: float = 0.0
    last_used_at: float | None = None
    # settings that suit the model (steps, cfg_scale, width, height, sampler); empty when nobody knows
    recommended: Mapping[str, Any] = field(default_factory=dict)

    @property
    def components(self) -> dict[str, ModelFile]:
        """Files by role; empty for single-file models."""
        return {f.role: f for f in self.files if f.role}


@dataclass(frozen=True)
class FitBadge:
    """Short answer for lists.

    Will it run here now? level: "gpu", "partial", "cpu", "tight", "no", "unknown".
    """

    level: str
    text: str
    reason: str = ""


@dataclass(frozen=True)
class ModelDetails:
    """What the detail pane shows beside ModelInfo.

    metadata: GGUF key -> printable value, big arrays summarised.
    """

    model: ModelInfo
    metadata: tuple[tuple[str, str], ...] = ()
    footprint: Mapping[str, int] = field(default_factory=dict)
    placement: Mapping[str, Any] = field(default_factory=dict)
    fit: FitBadge = FitBadge("unknown", "")
    memory_free: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComponentDownload:
    """One more file of a multi-component model: from a URL, or repo+file on the hub."""

    role: str
    url: str = ""
    repo: str = ""
    file: str = ""
    checksum: str = ""


@dataclass(frozen=True)
class DownloadConfig:
    """What to download. Either url, or repo and file. checksum: "sha256:<hex>" or empty."""

    name: str = ""
    type: ModelType = "llm"
    url: str = ""
    repo: str = ""
    file: str = ""
    revision: str = "main"
    checksum: str = ""
    components: tuple[ComponentDownload, ...] = ()


@dataclass(frozen=True)
class VerifyResult:
    """result: "unverifiable" when no digest is known (not a failure). files: (path, outcome)."""

    result: VerifyOutcome
    files: tuple[tuple[str, VerifyOutcome], ...] = ()
