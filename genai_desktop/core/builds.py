"""Engine builds as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["llama.cpp", "stable-diffusion.cpp"]
ENGINES: tuple[EngineName, ...] = ("llama.cpp", "stable-diffusion.cpp")
BuildState = Literal["in-use", "available", "refused", "missing", "untested"]


@dataclass(frozen=True)
class EngineTest:
    """One step of the variant test. seconds: how long it took."""

    name: str
    passed: bool
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class EngineBuild:
    """One build of one engine.

    variant: "embedded", "own", "cuda", "vulkan", "cpu" ...; path: executable or empty.
    """

    engine: EngineName
    variant: str
    build: str  # "b11549", "master-596-90e87bc", or what --version said
    path: str
    state: BuildState
    reason: str = ""
    tests: tuple[EngineTest, ...] = ()
    backends: tuple[str, ...] = ()  # devices the engine itself listed


@dataclass(frozen=True)
class EngineCommand:
    """How to start an engine: argv prefix, and the flags its --help names (feature probe)."""

    build: EngineBuild
    argv: tuple[str, ...]
    flags: frozenset[str]
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        return f"{self.build.variant} {self.build.build}".strip()
