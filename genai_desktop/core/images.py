"""Image generation as values, with every range checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from genai_desktop.core.errors import InvalidInputError

ImageStage = Literal["queued", "suspending", "loading", "diffusion", "decoding", "saving", "resuming", "done"]
# The names sd-cli takes, in the order people expect (contracts: sdcpp 1.5); a binary may offer fewer.
SAMPLERS: tuple[str, ...] = (
    "euler_a", "euler", "heun", "dpm2", "dpm++2s_a", "dpm++2m", "dpm++2mv2", "ipndm", "ipndm_v", "lcm",
    "ddim_trailing", "tcd", "res_multistep", "res_2s", "er_sde",
)  # fmt: skip
SCHEDULERS: tuple[str, ...] = (
    "discrete", "karras", "exponential", "ays", "gits", "sgm_uniform", "simple", "smoothstep", "kl_optimal",
    "lcm", "bong_tangent",
)  # fmt: skip
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class ImageGenerationConfig:
    """What to paint. seed -1 is random, 0 is a seed; sampler and scheduler empty: the engine's own choice."""

    prompt: str
    negative_prompt: str = ""
    width: int = 512
    height: int = 512
    steps: int = 20
    cfg_scale: float = 7.0
    seed: int = -1
    sampler: str = ""
    scheduler: str = ""
    count: int = 1
    model_id: str = ""
    init_image: str = ""
    strength: float = 0.75
    guidance: float | None = None

    def validated(self) -> ImageGenerationConfig:
        """Itself, or InvalidInputError naming the field, the value and the allowed range."""
        _check_text("prompt", self.prompt, 100_000)
        _check_text("negative_prompt", self.negative_prompt, 100_000)
        for name, low, high in (
            ("width", 64, 4096),
            ("height", 64, 4096),
            ("steps", 1, 200),
            ("count", 1, 5),
        ):
            _check_int(name, getattr(self, name), low, high)
        _check_int("seed", self.seed, -1, MAX_SEED)
        _check_float("cfg_scale", self.cfg_scale, 0.0, 50.0)
        _check_float("strength", self.strength, 0.0, 1.0)
        if self.guidance is not None:
            _check_float("guidance", self.guidance, 0.0, 50.0)
        _check_choice("sampler", self.sampler, SAMPLERS)
        _check_choice("scheduler", self.scheduler, SCHEDULERS)
        return self

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ImageGenerationConfig:
        """From untyped data (HTTP, files). Unknown keys are refused by name."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InvalidInputError(
                f"Unknown parameter {unknown[0]!r}.", remedy=f"Known: {', '.join(sorted(known))}."
            )
        if "prompt" not in values:
            raise InvalidInputError(
                "A prompt is required.", remedy="Describe the picture in the field 'prompt'."
            )
        return cls(**values).validated()


def _check_text(name: str, value: object, limit: int) -> None:
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} must be text, not {type(value).__name__}.")
    if len(value) > limit:
        raise InvalidInputError(f"{name} has {len(value)} characters; at most {limit} are allowed.")
    if "\0" in value:
        raise InvalidInputError(f"{name} holds a null character, which no command line can carry.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInputError(f"{name} holds half a character, which cannot be written as UTF-8.") from None


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError(f"{name} must be a whole number, not {value!r}.")
    if not low <= value <= high:
        raise InvalidInputError(f"{name} is {value}; it must be between {low} and {high}.")


def _check_float(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
        raise InvalidInputError(f"{name} must be a number, not {value!r}.")
    if not low <= value <= high:
        raise InvalidInputError(f"{name} is {value}; it must be between {low} and {high}.")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value != "" and value not in choices:
        raise InvalidInputError(
            f"{name} {value!r} is not known.", remedy=f"Choose one of: {', '.join(choices)}."
        )


@dataclass(frozen=True)
class ImageProgress:
    """One progress line.

    percent 0..100 of the whole job, never falling; eta seconds or None when nobody knows.

    image and images count from 1. preview: path of a preview picture or empty.
    """

    job_id: str
    stage: ImageStage
    step: int = 0
    steps: int = 0
    percent: float = 0.0
    eta: float | None = None
    image: int = 1
    images: int = 1
    preview: str = ""


@dataclass(frozen=True)
class GeneratedImage:
    path: str
    seed: int
    width: int
    height: int


@dataclass(frozen=True)
class HandoffReport:
    """What sharing the memory cost.

    seconds_*: 0.0 when not needed. cached_tokens: of the next turn, None if unknown.
    """

    needed: bool = False
    reason: str = ""
    seconds_suspend: float = 0.0
    seconds_resume: float = 0.0
    restored_tokens: int | None = None  # tokens the server read back from the saved slot
    cached_tokens: int | None = None  # of the next turn's prompt, what the server still knew; None before it
    error: str = ""


@dataclass(frozen=True)
class ImageResult:
    """seconds: wall time of the engine run. handoff is complete only after wait_for_reload()."""

    job_id: str
    images: tuple[GeneratedImage, ...]
    seconds: float
    handoff: HandoffReport = HandoffReport()


@dataclass(frozen=True)
class GalleryItem:
    """A picture in the gallery with its full recipe."""

    id: str
    path: str
    thumbnail: str
    created_at: float
    width: int
    height: int
    seed: int
    prompt: str
    model_name: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    is_missing: bool = False


@dataclass(frozen=True)
class ImageJob:
    """A row of the queue. state as in core.jobs."""

    id: str
    config: ImageGenerationConfig
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    created_at: float
    progress: ImageProgress | None = None
    error_code: str = ""
    error_message: str = ""
    error_remedy: str = ""
    result: ImageResult | None = None


@dataclass(frozen=True)
class OffloadForecast:
    """Will the LLM step aside for this job? Shown before the click. needed and free are bytes."""

    needed: bool
    reason: str
    bytes_needed: int = 0
    bytes_free: int = 0
    resource: Literal["vram", "ram"] = "ram"
    is_llm_running: bool = False
