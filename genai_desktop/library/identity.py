"""Ids and file names that any name may be turned into."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

from genai_desktop.core.errors import InvalidInputError

_MAX_NAME = 200
_SLUG_LENGTH = 40
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_RESERVED = frozenset({
    "con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10)),
})  # fmt: skip
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_LONGEST_FILE_NAME = 200  # bytes; leaves room for suffixes of unfinished downloads


def model_id(name: str, identity: str, *, digits: int = 6) -> str:
    """A readable part and a few digits of a hash: stable for the same identity, different for any other.

    identity: what the model is, for example the absolute path or the repository and file it comes from.
    """
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{slug(name) or 'model'}-{digest[:digits]}"


def slug(name: str) -> str:
    """Lower-case ASCII letters, digits and hyphens; empty when the name has none of them."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH].strip("-")


def checked_name(name: str) -> str:
    """The name as it is stored. Raises InvalidInputError for one nobody could read."""
    tidy = unicodedata.normalize("NFC", name).strip()
    if not _is_readable(tidy):
        raise InvalidInputError("A model needs a name.", remedy="Give it at least one character.")
    if len(tidy) > _MAX_NAME:
        raise InvalidInputError(
            f"The name has {len(tidy)} characters; at most {_MAX_NAME} are allowed.",
            remedy="Choose a shorter one.",
        )
    if any(unicodedata.category(character) in _CONTROL for character in tidy):
        raise InvalidInputError("The name holds a control character.", remedy="Type it without line breaks.")
    return tidy


def tidy_name(text: str) -> str:
    """A name out of whatever a file is called: never refused."""
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) not in _CONTROL)
    short = kept.strip()[:_MAX_NAME].strip()
    return short if _is_readable(short) else "Model"


def _is_readable(text: str) -> bool:
    """Something in it can be seen."""
    return any(unicodedata.category(c) not in (*_CONTROL, "Cf", "Zs") for c in text)


def safe_file_name(name: str) -> str:
    """A file name that every system takes, as close to `name` as possible; never a path."""
    base = _FORBIDDEN.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .") or "file"
    stem, dot, suffix = base.rpartition(".")
    if not dot or len(suffix) > 20:
        stem, dot, suffix = base, "", ""
    if stem.split(".")[0].lower() in _RESERVED:
        stem = f"_{stem}"
    room = _LONGEST_FILE_NAME - len(os.fsencode(dot + suffix))
    raw = os.fsencode(stem)
    if len(raw) > room:
        tail = hashlib.sha256(raw).hexdigest()[:8]
        stem = raw[: room - 9].decode("utf-8", "ignore") + "-" + tail
    return stem + dot + suffix
