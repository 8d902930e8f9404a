"""The command-line rules of llama-server: how a flag is found, read, refused and described."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TRUE = ("on", "enabled", "true", "1")
_FALSE = ("off", "disabled", "false", "0")
_HELP_COLUMN = 40
_HELP_WIDTH = 70
_STARTED = time.monotonic()


class UsageError(Exception):
    """The command line cannot be used; the text is what goes to stderr before exit status 1."""


@dataclass(frozen=True)
class Flag:
    """One flag: its spellings, what it does to the parameters, and its line in the help.

    `hint` names the value; a flag without one is a switch and `apply` gets True, or False for a spelling in
    `off`. `apply` raises ValueError with the engine's own words when it refuses a value.
    """

    names: tuple[str, ...]
    help: str
    apply: Callable[[Any, Any], None]
    hint: str = ""
    env: str = ""
    off: tuple[str, ...] = ()


def is_truthy(text: str) -> bool:
    return text in _TRUE


def is_falsey(text: str) -> bool:
    return text in _FALSE


def warn(message: str) -> None:
    """Write a warning to stderr in the shape of the engine's log, whose own logger is not running yet."""
    milliseconds, microseconds = divmod(int((time.monotonic() - _STARTED) * 1e6), 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    print(
        f"{minutes}.{seconds:02}.{milliseconds:03}.{microseconds:03} W {message}", file=sys.stderr, flush=True
    )


def parse(flags: Iterable[Flag], argv: Sequence[str], environ: Mapping[str, str], params: Any) -> None:
    """Apply the environment, then the command line, to `params`; raises UsageError.

    Options are separate items (`--port 0`, never `--port=0`), `_` may stand for `-`, and the last one wins.
    """
    from_environment = _apply_environment(flags, environ, params)
    table = {name: (flag, True) for flag in flags for name in flag.names}
    table.update({name: (flag, False) for flag in flags for name in flag.off})
    seen: set[str] = set()
    items = iter(argv)
    for item in items:
        name = item.replace("_", "-") if item.startswith("--") else item
        if name not in table:
            raise UsageError(f"error: invalid argument: {name}")
        if name in seen:
            warn(
                f"DEPRECATED: argument '{name}' specified multiple times, use comma-separated values instead "
                "(only last value will be used)"
            )
        seen.add(name)
        flag, positive = table[name]
        if flag.env in from_environment:
            message = "environment variable is set, but will be overwritten by command line argument"
            print(f"warn: {flag.env} {message} {name}", file=sys.stderr)
        try:
            flag.apply(params, _value(items) if flag.hint else positive)
        except ValueError as error:
            raise UsageError(
                f'error while handling argument "{name}": {error}\n\nusage:\n{describe(flag)}\n\n'
                "to show complete usage, run with -h"
            ) from error


def _value(items: Iterator[str]) -> str:
    value = next(items, None)
    if value is None:
        raise ValueError("expected value for argument")
    return value


def _apply_environment(flags: Iterable[Flag], environ: Mapping[str, str], params: Any) -> set[str]:
    used = set()
    for flag in flags:
        if not flag.env:
            continue
        negative = flag.env.replace("LLAMA_ARG_", "LLAMA_ARG_NO_", 1)
        try:
            if flag.off and negative in environ:
                flag.apply(params, False)
            elif flag.env in environ:
                used.add(flag.env)
                _apply_variable(flag, environ[flag.env], params)
        except ValueError as error:
            raise UsageError(
                f'error while handling environment variable "{flag.env}": {error}\n\n'
            ) from error
    return used


def _apply_variable(flag: Flag, value: str, params: Any) -> None:
    if flag.hint:
        flag.apply(params, value)
    elif is_truthy(value):
        flag.apply(params, True)
    elif flag.off:
        if not is_falsey(value):
            raise ValueError(f"error: invalid boolean value: '{value}'")
        flag.apply(params, False)


def describe(flag: Flag) -> str:
    """Return the entry of one flag as `--help` prints it: names on the left, the text from column 40."""
    names = (*flag.names, *flag.off)
    if len(names) == 1:
        left = names[0]
    else:
        # A short spelling in front is padded, so that the long ones line up.
        left = f"{names[0] + ',':<7}" if len(names[0]) < 6 else f"{names[0]}, "
        left += ", ".join(names[1:])
    if flag.hint:
        left += f" {flag.hint}"
    text = flag.help + (f"\n(env: {flag.env})" if flag.env else "")
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, _HELP_WIDTH) or [""]]
    indent = " " * _HELP_COLUMN
    first = f"{left}\n{indent}" if len(left) > _HELP_COLUMN - 3 else f"{left:<{_HELP_COLUMN}}"
    return first + f"\n{indent}".join(lines) + "\n"


def usage(sections: Mapping[str, Sequence[Flag]]) -> str:
    """Return the whole help: every section with every flag in it, and no flag that is not in the tables."""
    return "\n\n".join(
        f"----- {title} -----\n\n" + "".join(describe(flag) for flag in flags)
        for title, flags in sections.items()
    )
