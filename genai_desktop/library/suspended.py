"""The language model put aside, on disk: if we are killed meanwhile, the next start can offer it again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from genai_desktop.core.handoff import SLOT_PREFIX, SavedLlmState
from genai_desktop.library.atomic import write_atomic

_PREFIX = "suspended-"


class SuspendedFile:
    """One file per process in the folder of running things. All methods block."""

    def __init__(self, runtime: Path, slots: Path) -> None:
        self._runtime = runtime
        self._slots = slots
        self._path = runtime / f"{_PREFIX}{os.getpid()}.json"

    def save(self, state: SavedLlmState) -> None:
        """Only the owner may read it. Raises StorageError."""
        values = {"created": _created(os.getpid()), **state.to_mapping()}
        write_atomic(self._path, json.dumps(values).encode(), mode=0o600, doing="note the suspended model")

    def clear(self, files: Iterable[str]) -> None:
        """It is back, or not wanted: the note goes, and these saved slots."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.remove_slots(files)

    def remove_slots(self, files: Iterable[str]) -> None:
        """Saved slots hold conversations: they are not kept longer than needed."""
        for name in files:
            with contextlib.suppress(OSError):
                (self._slots / Path(name).name).unlink(missing_ok=True)

    def take_over(self) -> SavedLlmState | None:
        """What a killed process left, the newest; it is noted as ours. Damaged notes are removed."""
        found: list[SavedLlmState] = []
        for path in self._runtime.glob(f"{_PREFIX}*.json"):
            try:
                values = json.loads(path.read_bytes())
                is_theirs = _is_running(path, float(values["created"]))
            except (OSError, ValueError, TypeError, KeyError):
                values, is_theirs = None, False
            if is_theirs:
                continue
            with contextlib.suppress(OSError):
                path.unlink()
            state = SavedLlmState.from_mapping(values) if isinstance(values, dict) else None
            if state is not None:
                found.append(state)
        self._remove_strays({slot.file for state in found for slot in state.slots})
        if not found:
            return None
        newest = max(found, key=lambda state: state.saved_at)
        self.save(newest)
        return newest

    def _remove_strays(self, wanted: set[str]) -> None:
        """Slots that nobody will ask for: a conversation must not lie around."""
        for path in self._slots.glob(f"{SLOT_PREFIX}*.bin"):
            owner = path.stem.split("-")[-2]
            if path.name not in wanted and not (owner.isdecimal() and psutil.pid_exists(int(owner))):
                with contextlib.suppress(OSError):
                    path.unlink()


def _created(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def _is_running(path: Path, created: float) -> bool:
    number = path.stem.removeprefix(_PREFIX)
    return number.isdecimal() and abs(_created(int(number)) - created) < 1.0
