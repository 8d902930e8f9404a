"""A long job as a value: what it is, how far it is, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobKind = Literal["download", "verify", "import", "image", "engine", "load", "other"]


@dataclass(frozen=True)
class Progress:
    """How far a job is. `total=None` means that nobody knows (draw it indeterminate).

    unit: "bytes", "steps", "files", "percent"; phase: a short word ("downloading", "loading", "diffusion");
    speed in units per second and eta in seconds, None while unknown. component: which file of several, or
    empty.
    """

    done: float = 0
    total: float | None = None
    unit: str = ""
    phase: str = ""
    speed: float | None = None
    eta: float | None = None
    component: str = ""

    @property
    def fraction(self) -> float | None:
        """0..1, or None when the total is unknown."""
        if not self.total:
            return None
        return min(1.0, max(0.0, self.done / self.total))


@dataclass(frozen=True)
class JobInfo:
    """One job as the window and the command line see it."""

    id: str
    kind: JobKind
    title: str
    state: JobState
    progress: Progress = Progress()
    error_code: str = ""
    error_message: str = ""
    error_remedy: str = ""
    created_at: float = 0.0  # seconds since the epoch

    @property
    def is_finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")
