"""A small file per running process, gone after a proper end: what is left tells of a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psutil

from genai_desktop.library.atomic import write_atomic


class SessionFile:
    """`runtime/session-<pid>.json`. Two processes on one data folder do not disturb each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / f"session-{os.getpid()}.json"
        self._values: dict[str, Any] = {"created": psutil.Process().create_time()}

    def update(self, **values: Any) -> None:
        """Remember values for the case that this process does not get to say goodbye."""
        self._values |= values
        write_atomic(self.path, json.dumps(self._values).encode(), mode=0o600)

    def close(self) -> None:
        """A proper end."""
        self.path.unlink(missing_ok=True)

    def take_crashed(self) -> list[dict[str, Any]]:
        """The values of processes that died without closing; each is told once."""
        found = []
        for path in sorted(self._folder.glob("session-*.json")):
            try:
                values = json.loads(path.read_text("utf-8"))
                pid = int(path.stem.removeprefix("session-"))
            except (OSError, ValueError):
                values, pid = {}, -1
            if path == self.path or not isinstance(values, dict) or _is_same(pid, values.get("created")):
                continue
            path.unlink(missing_ok=True)
            found.append(values)
        return found


def _is_same(pid: int, created: object) -> bool:
    """Is the process that wrote the file still alive? A pid alone may have been given to another one."""
    try:
        return isinstance(created, int | float) and abs(psutil.Process(pid).create_time() - created) < 1.0
    except (psutil.Error, ValueError):
        return False
