"""Numbers as the C++ programs read them: what follows the digits is ignored, no digits at all is an error."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"\s*[+-]?\d+")
_NUMBER = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.IGNORECASE)


def stoi(text: str, *, bits: int = 32) -> int:
    """Read an integer like `std::stoi` (`std::stoll` for 64 bits); raises ValueError with that name."""
    match = _INTEGER.match(text)
    limit = 1 << (bits - 1)
    if match is None or not -limit <= int(match.group()) < limit:
        raise ValueError("stoi" if bits == 32 else "stoll")
    return int(match.group())


def stof(text: str) -> float:
    """Read a number like `std::stof`; raises ValueError with the function's name."""
    match = _NUMBER.match(text)
    if match is None:
        raise ValueError("stof")
    return float(match.group())
