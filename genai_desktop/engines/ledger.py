"""Which children are ours, on disk, so that a start after a crash can end what the crash left running.

One JSON file per child. A process is killed only if everything matches: its pid, when it was created, what
program it is, the token in its environment; and only if the program that started it is gone, because two of
us may share a data folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from genai_desktop.engines import binding
from genai_desktop.engines.environment import INSTANCE_TOKEN

_log = logging.getLogger(__name__)

# Creation times come from a clock that may be set meanwhile; executable and token are compared exactly.
_CREATED_WITHIN = 2.0
_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class LedgerEntry:
    """One child. create_time, owner_create_time: seconds since the epoch."""

    name: str
    pid: int
    create_time: float
    executable: str
    port: int | None
    token: str
    owner_pid: int
    owner_create_time: float


class Ledger:
    """The children of this process, and those an earlier one left. Blocking; `record` takes a millisecond."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, Path] = {}
        self._pids: dict[str, int] = {}
        self._owner_create_time = psutil.Process().create_time()
        # given to every child in its environment: it proves later that the process is the one we started
        self.token = secrets.token_hex(16)

    def environment(self) -> dict[str, str]:
        """What a child needs in its environment to be recognised."""
        return {INSTANCE_TOKEN: self.token}

    def record(
        self, name: str, pid: int, port: int | None, executable: str, token: str | None = None
    ) -> None:
        """Write down a child. One that is already gone is not written. An unwritable disk is only logged."""
        self.forget(name)
        self._pids[name] = pid
        try:
            create_time = psutil.Process(pid).create_time()
        except psutil.Error:
            return
        entry = LedgerEntry(
            name, pid, create_time, str(Path(executable).resolve()), port, token or self.token, os.getpid(),
            self._owner_create_time,
        )  # fmt: skip
        path = self._directory / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{pid}.json"
        temporary = path.with_suffix(".tmp")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(asdict(entry), file)
            temporary.replace(path)
        except OSError as error:
            _log.warning("the child %s could not be written down: %s", name, error)
            return
        self._files[name] = path

    def forget(self, name: str) -> None:
        """The child has ended."""
        self._pids.pop(name, None)
        path = self._files.pop(name, None)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def entries(self) -> list[LedgerEntry]:
        """Everything written down here, ours and others'; damaged files are removed."""
        found = []
        for path in sorted(self._directory.glob("*.json")):
            entry = _read(path)
            if entry is not None:
                found.append(entry)
        return found

    def kill_all(self) -> None:
        """Kill the group of every child of this process, now. For the last moment of a shutdown."""
        for pid in tuple(self._pids.values()):
            _kill_tree(pid)  # not waited for: the exit statuses belong to the event loop

    def sweep(self) -> list[str]:
        """End what earlier runs left; "name (process N)" for each that was killed. Call once at start-up."""
        killed = []
        for path in sorted(self._directory.glob("*.json")):
            entry = _read(path)
            if entry is None or (entry.owner_pid != os.getpid() and _is_running(entry)):
                continue
            if entry.owner_pid == os.getpid() and entry.owner_create_time == self._owner_create_time:
                continue  # one of ours
            if _matches(entry):
                psutil.wait_procs(_kill_tree(entry.pid), timeout=_WAIT_SECONDS)
                killed.append(f"{entry.name} (process {entry.pid})")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        return killed


def _read(path: Path) -> LedgerEntry | None:
    """The entry in a file. Files of other kinds in the folder are left alone."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or set(values) != set(LedgerEntry.__dataclass_fields__):
            return None
        entry = LedgerEntry(**values)
        valid = isinstance(entry.pid, int) and isinstance(entry.owner_pid, int) and entry.pid > 1
        float(entry.create_time), float(entry.owner_create_time)
    except (OSError, ValueError, TypeError):
        return None
    return entry if valid and entry.token else None


def _is_running(entry: LedgerEntry) -> bool:
    """Whether the process that started the child is still there."""
    try:
        created = psutil.Process(entry.owner_pid).create_time()
    except psutil.Error:
        return False
    return abs(created - entry.owner_create_time) <= _CREATED_WITHIN


def _matches(entry: LedgerEntry) -> bool:
    try:
        process = psutil.Process(entry.pid)
        if abs(process.create_time() - entry.create_time) > _CREATED_WITHIN:
            return False
        if process.environ().get(INSTANCE_TOKEN) != entry.token:
            return False
        # a script runs under its interpreter's name; it then stands among the first arguments
        programs = [process.exe(), *process.cmdline()[:2]]
    except (psutil.Error, OSError):
        return False
    return any(program and str(Path(program).resolve()) == entry.executable for program in programs)


def _kill_tree(pid: int) -> list[psutil.Process]:
    """Kill a process, its children and its group."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            if os.getpgid(pid) == pid:
                binding.kill_group(pid)
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    return family
