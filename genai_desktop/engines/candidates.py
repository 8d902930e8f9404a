"""Builds of an engine that may be there, as far as the disk can tell without running anything."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from genai_desktop.core.builds import EngineName
from genai_desktop.engines import embedded
from genai_desktop.engines.probe import PROGRAMS

EMBEDDED = "embedded"
OWN = "own"
_WHEELS: dict[EngineName, str] = {
    "llama.cpp": "pip install xllamacpp",
    "stable-diffusion.cpp": 'pip install "genai-desktop[embedded-image]"',
}


@dataclass(frozen=True)
class Candidate:
    """argv: how to start it. key: what a verdict about it holds for; empty when it is not there (reason)."""

    engine: EngineName
    variant: str
    path: str
    argv: tuple[str, ...] = ()
    key: str = ""
    reason: str = ""

    @property
    def is_there(self) -> bool:
        return bool(self.key)


def own_candidate(engine: EngineName, path: str) -> Candidate:
    """A person's own binary, or the folder it is in. Blocking."""
    program = PROGRAMS[engine] + (".exe" if sys.platform == "win32" else "")
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        inside = [place / part / program for part in ("", "bin", "build/bin")]
        place = next((one for one in inside if one.is_file()), inside[0])
    shown = str(place)
    try:
        found = place.stat()
    except OSError as error:
        return Candidate(engine, OWN, shown, reason=f"there is no file '{shown}' ({error.strerror}).")
    if not place.is_file():
        return Candidate(engine, OWN, shown, reason=f"'{shown}' is not a file.")
    if not os.access(place, os.X_OK):
        reason = f"'{shown}' may not be executed; set its execute permission (chmod +x)."
        return Candidate(engine, OWN, shown, reason=reason)
    key = f"{engine}|{shown}|{found.st_size}|{found.st_mtime_ns}"
    return Candidate(engine, OWN, shown, (shown,), key)


def embedded_candidate(engine: EngineName) -> Candidate:
    """The engine that comes as a wheel. Blocking."""
    name = PROGRAMS[engine]
    if not embedded.is_available(name):
        reason = f"the built-in engine is not installed: {_WHEELS[engine]}"
        return Candidate(engine, EMBEDDED, "", reason=reason)
    # our own part of it decides about the flags as much as the wheel does
    files = sorted(Path(embedded.__file__).parent.glob("*.py")) or [Path(sys.executable)]
    stamp = max(file.stat().st_mtime_ns for file in files)
    key = f"{engine}|{EMBEDDED}|{embedded.version(name)}|{sys.executable}|{stamp}"
    return Candidate(engine, EMBEDDED, sys.executable, tuple(embedded.command_line(name)), key)


def embedded_version(engine: EngineName) -> str:
    """Of the wheel; empty when it is not installed or does not tell."""
    return embedded.version(PROGRAMS[engine]) or ""
