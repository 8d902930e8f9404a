"""Where the files the window needs are, in a source tree, in a wheel and in a frozen application."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def assets_dir() -> Path:
    """The folder that holds icons/, theme/ and translations/."""
    package = Path(__file__).resolve().parents[1]
    frozen = getattr(sys, "_MEIPASS", None)
    candidates = [package / "resources", package.parent / "resources"]
    if frozen:
        candidates.insert(0, Path(frozen) / "resources")
    for folder in candidates:
        if (folder / "theme" / "tokens.toml").is_file():
            return folder
    raise FileNotFoundError(f"resources/theme/tokens.toml is in none of {[str(c) for c in candidates]}")


def asset(*parts: str) -> Path:
    """One file below `assets_dir`."""
    return assets_dir().joinpath(*parts)
