"""The settings file: JSON, replaced atomically, tolerant of what other versions and damage left in it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from genai_desktop.core.errors import ConfigurationError
from genai_desktop.core.events import Emitter
from genai_desktop.core.settings import Settings
from genai_desktop.library.atomic import set_aside, write_atomic
from genai_desktop.library.disk import storage_error
from genai_desktop.library.locks import FileLock

_log = logging.getLogger(__name__)

_TYPES: dict[str, Any] = get_type_hints(Settings)
_RANGES: dict[str, tuple[int, int]] = {
    "llama_port": (0, 65535),
    "image_port": (0, 65535),
    "text_scale": (100, 150),
}


class SettingsStore:
    """The settings of one data folder. Safe to use from several threads and several processes.

    A change re-reads the file under a lock and writes only what changed, so that two processes do not
    undo each other.
    `events` carries "changed" with the new Settings, in the thread that made the change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.RLock()
        self._current = Settings()
        self.events = Emitter()

    @property
    def current(self) -> Settings:
        """What was last read or written here."""
        return self._current

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def load(self) -> Settings:
        """Read the file. Missing: defaults. Damaged: kept aside as `.damaged`. A wrong type: that default.

        Raises StorageError only when the file is there but must not be read.
        """
        with self._guard:
            self._current = _from_raw(self._read())
            return self._current

    def save(self, settings: Settings) -> Settings:
        """Store every field that differs from `current`. Raises ConfigurationError, StorageError."""
        changes = {
            f.name: getattr(settings, f.name)
            for f in fields(Settings)
            if getattr(settings, f.name) != getattr(self._current, f.name)
        }
        return self.update(**changes)

    def update(self, **changes: Any) -> Settings:
        """Change the named settings and store them; what is stored now.

        Raises ConfigurationError naming an unknown key or a wrong value, StorageError when it cannot be
        written; the settings are then as before.
        """
        for name, value in changes.items():
            _check(name, value)
        with self._guard:
            if not changes:
                return self._current
            with FileLock(self._path.with_name(self._path.name + ".lock"), what="A change of the settings"):
                raw = self._read()
                stored = asdict(replace(_from_raw(raw), **changes))
                # unknown keys belong to a newer version and stay; a wrong value of a known key is repaired
                raw.update({name: stored[name] for name in stored if name in changes or name in raw})
                self._write(raw)
            self._current = _from_raw(raw)
            settings = self._current
        self.events.emit("changed", settings)
        return settings

    def _read(self) -> dict[str, Any]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, "read the settings", self._path) from error
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            raw = None
        if isinstance(raw, dict):
            return raw
        kept = set_aside(self._path)
        _log.warning(
            "the settings file was damaged; defaults are used, the old file is %s", kept or "still there"
        )
        return {}

    def _write(self, raw: Mapping[str, Any]) -> None:
        text = json.dumps(raw, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        write_atomic(
            self._path, text.encode("utf-8", "surrogatepass"), mode=0o600, doing="write the settings"
        )


def _from_raw(raw: Mapping[str, Any]) -> Settings:
    values: dict[str, Any] = {}
    for field in fields(Settings):
        if field.name not in raw:
            continue
        value = _shaped(raw[field.name], _TYPES[field.name])
        if _is_valid(field.name, value):
            values[field.name] = value
        else:
            _log.warning("the setting %r has an unusable value; its default is used", field.name)
    return Settings(**values)


def _check(name: str, value: Any) -> None:
    if name not in _TYPES:
        raise ConfigurationError(
            f"There is no setting {name!r}.", remedy=f"Known settings: {', '.join(sorted(_TYPES))}."
        )
    if not _is_valid(name, value):
        raise ConfigurationError(f"The setting {name!r} cannot be {value!r}.", remedy=_expectation(name))


def _expectation(name: str) -> str:
    if name in _RANGES:
        low, high = _RANGES[name]
        return f"It must be a whole number from {low} to {high}."
    kind = _TYPES[name]
    if get_origin(kind) is Literal:
        return f"It must be one of: {', '.join(get_args(kind))}."
    return f"It must be of type {getattr(kind, '__name__', str(kind))}."


def _is_valid(name: str, value: Any) -> bool:
    if not _fits(value, _TYPES[name]):
        return False
    if name in _RANGES:
        low, high = _RANGES[name]
        return bool(low <= value <= high)
    return True


def _shaped(value: Any, kind: Any) -> Any:
    """JSON knows no tuples."""
    return tuple(value) if get_origin(kind) is tuple and isinstance(value, list) else value


def _fits(value: Any, kind: Any) -> bool:
    """Is `value` of the type `kind`? Knows the kinds of types that Settings uses."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        fits = isinstance(value, str) and value in arguments
    elif origin in (Union, UnionType):
        fits = any(_fits(value, argument) for argument in arguments)
    elif origin is tuple:
        fits = isinstance(value, tuple) and all(_fits(item, arguments[0]) for item in value)
    elif origin is dict:
        fits = isinstance(value, dict) and all(
            _fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items()
        )
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = kind is Any or isinstance(value, kind)
    return fits
