"""A recorded NVML: stands in for pynvml, and a recorder that makes such files from a real one.

A recording is JSON: {"about": ..., "frames": [{"nvmlDeviceGetName(0)": {"value": ...}, ...}, ...]}. An
answer is {"value": v}, {"error": "NVMLError_NotSupported"} or {"hang": true}. Structures are objects,
lists of them lists. What a later frame does not mention stays as it was. Run this file to record the
machine it runs on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "nvml"
_GLOBAL = (
    "nvmlInit",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
    "nvmlDeviceGetCount",
)
_PER_DEVICE = (
    "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetName", "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses",
)  # fmt: skip


class ReplayNvml:
    """Answers as the recording did. `advance()` goes to the next frame; `release` ends every hanging call."""

    def __init__(self, name: str) -> None:
        recording = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
        self._frames: list[dict[str, Any]] = recording["frames"]
        self._answers: dict[str, Any] = dict(self._frames[0])
        self._frame = 0
        self.release = threading.Event()
        self.calls: list[str] = []

    def advance(self) -> None:
        """The next moment of the recording."""
        self._frame += 1
        self._answers.update(self._frames[self._frame])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return lambda *arguments: self._answer(name, arguments)

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "nvmlShutdown":
            return None
        key = f"{name}({arguments[0]})" if arguments else name
        self.calls.append(key)
        if key not in self._answers:
            raise _error("NVMLError_FunctionNotFound")
        answer = self._answers[key]
        if answer.get("hang"):
            self.release.wait(30)
            raise _error("NVMLError_Timeout")
        if "error" in answer:
            raise _error(answer["error"])
        return _object(answer.get("value"))


def _error(name: str) -> Exception:
    """An exception of that class name, as pynvml makes its own at run time."""
    kind: type[Exception] = type(name, (Exception,), {})
    return kind(name)


def _object(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _object(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_object(item) for item in value]
    return value


def record(nvml: Any) -> dict[str, Any]:
    """One frame of what `nvml` (pynvml) says now."""
    frame: dict[str, Any] = {}

    def ask(name: str, *arguments: Any, key: str) -> Any:
        try:
            value = getattr(nvml, name)(*arguments)
        except Exception as error:  # noqa: BLE001 - every refusal is part of the recording
            frame[key] = {"error": type(error).__name__}
            return None
        frame[key] = {"value": None if name in ("nvmlInit", "nvmlDeviceGetHandleByIndex") else _plain(value)}
        return value

    for name in _GLOBAL:
        ask(name, key=name)
    for index in range(frame["nvmlDeviceGetCount"].get("value") or 0):
        handle = ask("nvmlDeviceGetHandleByIndex", index, key=f"nvmlDeviceGetHandleByIndex({index})")
        frame[f"nvmlDeviceGetHandleByIndex({index})"] = {"value": index}
        for name in _PER_DEVICE[1:]:
            extra = (0,) if name == "nvmlDeviceGetTemperature" else ()
            ask(name, handle, *extra, key=f"{name}({index})")
    return frame


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    fields = getattr(value, "_fields_", None)
    if fields:
        return {name: _plain(getattr(value, name)) for name, *_ in fields}
    if hasattr(value, "__dict__"):
        return {name: _plain(item) for name, item in vars(value).items()}
    return value


if __name__ == "__main__":
    import pynvml

    print(json.dumps({"about": "recorded", "frames": [record(pynvml)]}, indent=1))
