"""The language model put aside for a picture, as values: what to bring back, and whether it must go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import OffloadForecast
from genai_desktop.core.launch import LlamaServerConfig

StepAside = Literal["auto", "always", "never"]
# Seed's rule where footprints are estimates: both together may take this share of what there is.
ESTIMATE_SHARE = 0.75
SLOT_PREFIX = "handoff-"


@dataclass(frozen=True)
class SavedSlot:
    """One slot's state in a file of the slot folder."""

    slot: int
    file: str
    tokens: int


@dataclass(frozen=True)
class SavedLlmState:
    """What it takes to bring the language model back as it was. config: the resolved one, no "auto" in it.

    saved_at: seconds since the epoch. engine: label of the build; another build cannot read the slots.
    """

    config: LlamaServerConfig
    was_running: bool
    saved_at: float
    slots: tuple[SavedSlot, ...] = ()
    engine: str = ""
    model_name: str = ""

    @property
    def model_id(self) -> str:
        return self.config.model_id

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SavedLlmState | None:
        """The inverse; None for anything damaged."""
        try:
            return cls(
                config=LlamaServerConfig.from_mapping(values["config"]),
                was_running=bool(values["was_running"]),
                saved_at=float(values["saved_at"]),
                slots=tuple(
                    SavedSlot(int(s["slot"]), str(s["file"]), int(s["tokens"])) for s in values["slots"]
                ),
                engine=str(values.get("engine", "")),
                model_name=str(values.get("model_name", "")),
            )
        except (GenaiError, KeyError, TypeError, ValueError):
            return None


def slot_file_name(config: LlamaServerConfig, model_path: str, engine: str, owner: int, slot: int) -> str:
    """A file that only a server which can read it asks for: same model, KV types, flash attention, build.

    owner: number of our process, for several of us may share a data folder.
    """
    key = "\0".join(
        (
            config.model_id, model_path, str(config.cache_type_k), str(config.cache_type_v),
            config.flash_attention, str(config.parallel_requests), str(config.swa_full), engine,
        )
    )  # fmt: skip
    return f"{SLOT_PREFIX}{hashlib.sha256(key.encode()).hexdigest()[:24]}-{owner}-{slot}.bin"


@dataclass(frozen=True)
class MemoryPicture:
    """Bytes of the one resource that matters. held: what comes free when the language model goes."""

    resource: Literal["vram", "ram"]
    free: int
    held: int
    is_llm_running: bool


def decide(
    picture: MemoryPicture, needed: int, margin: int, *, is_estimate: bool, step_aside: StepAside
) -> OffloadForecast:
    """Must the language model step aside for a job of `needed` bytes?

    margin: what the footprint may be wrong by; it counts where the footprint is known. Where it is an
    estimate, both together may take 75 % of what there is.
    """

    def forecast(is_needed: bool, reason: str) -> OffloadForecast:
        return OffloadForecast(
            needed=is_needed,
            reason=reason,
            bytes_needed=needed,
            bytes_free=picture.free,
            resource=picture.resource,
            is_llm_running=picture.is_llm_running,
        )

    kind = "GPU memory" if picture.resource == "vram" else "memory"
    sizes = f"The picture needs about {_gib(needed)} of {kind}; {_gib(picture.free)} are free"
    if not picture.is_llm_running:
        return forecast(False, "No language model is loaded.")
    if step_aside == "never":
        return forecast(False, f"{sizes}. The language model stays, by your setting.")
    if step_aside == "always":
        return forecast(True, f"{sizes}. The language model steps aside, by your setting.")
    if is_estimate:
        capacity = picture.free + picture.held
        is_tight = picture.held + needed > ESTIMATE_SHARE * capacity
        if is_tight:
            return forecast(True, f"{sizes}, which is close by estimate: the language model steps aside.")
    elif needed + margin > picture.free:
        return forecast(True, f"{sizes}: the language model steps aside.")
    return forecast(False, f"{sizes}: the language model stays.")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
