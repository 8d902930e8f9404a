"""The command-line rules of sd-cli: how an option is found, read, refused and described."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from genai_desktop.engines.embedded.sd_console import Console

_LINE_WIDTH = 120

# The order inside a group of the help.
KINDS = ("string", "int", "float", "switch", "other")


class UsageError(Exception):
    """The command line cannot be used: everything is said already, the help follows, exit status 1."""


class ExitRequest(Exception):
    """Stop now with this status, without the help."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Option:
    """One option. `apply(request, value)` raises ValueError with a sentence when it refuses the value.

    A switch has no value and gets an empty one. An empty sentence means that nothing is said but the option's
    name.
    """

    short: str
    long: str
    kind: str
    help: str
    apply: Callable[[Any, str], None]


def parse(groups: Sequence[Sequence[Option]], argv: Sequence[str], request: Any, console: Console) -> None:
    """Apply `argv` to `request`; raises UsageError after saying why, ExitRequest to stop without the help."""
    table: dict[str, Option] = {}
    for option in (option for group in groups for option in group):
        for name in filter(None, (option.short, option.long)):
            table.setdefault(name, option)
    items = iter(argv)
    for item in items:
        found = table.get(item)
        if found is None:
            console.error("common.cpp:290", f"error: unknown argument: {item}")
            raise UsageError
        try:
            found.apply(request, _value(found, items))
        except ValueError as error:
            # A number that is none aborts the real program (std::stoi throws, nobody catches, status 134).
            # Here it is an error like any other: an abort would prove nothing about the caller.
            if error.args and error.args[0]:
                console.error("common.cpp:286", str(error))
            console.error("common.cpp:286", f"error: invalid parameter for argument: {item}")
            raise UsageError from error


def _value(option: Option, items: Iterator[str]) -> str:
    if option.kind == "switch" or option.long == "--help":
        return ""
    value = next(items, None)
    if value is None:
        raise ValueError
    return value


def usage(version: str, groups: Sequence[tuple[str, Sequence[Option]]]) -> str:
    """Return the help, which lists exactly the options in the tables."""
    parts = [f"{version}\nUsage: sd-cli [options]\n"]
    for title, options in groups:
        ordered = sorted(options, key=lambda option: KINDS.index(option.kind))
        entries = [(_names(option), option.help) for option in ordered]
        column = 2 + max(len(names) for names, _ in entries) + 4
        lines = [f"{title}:"]
        for names, text in entries:
            wrapped = textwrap.wrap(text, _LINE_WIDTH - column, break_on_hyphens=False) or [""]
            lines.append(f"  {names:<{column - 2}}" + f"\n{' ' * column}".join(wrapped))
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _names(option: Option) -> str:
    names = ", ".join(filter(None, (option.short, option.long)))
    return names if option.kind in ("switch", "other") else f"{names} <{option.kind}>"
