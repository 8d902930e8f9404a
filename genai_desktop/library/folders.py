"""Finding models in folders of any layout: flat, one per model, hub caches, parts in sibling folders."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genai_desktop.core.component_guess import FileGuess, guess_file
from genai_desktop.core.components import COMPONENT_FLAGS, FAMILIES, check_roles
from genai_desktop.core.errors import GenaiError, ModelFileError
from genai_desktop.core.fileformat import PICKLE_SUFFIXES, refuse_pickle_name, sniff
from genai_desktop.library.disk import storage_error
from genai_desktop.library.headers import read_header_file
from genai_desktop.library.inspection import Inspected, inspect_components, inspect_file

_SUFFIXES = (".gguf", ".safetensors", ".sft")
_BLOB = re.compile(r"^sha256[-:][0-9a-f]{64}$")
_LATER_SHARD = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_SMALLEST_PICKLE = 10 * 1024**2  # smaller ones are optimizer states and the like
_MOST_FILES = 100_000
_MOST_TRIES = 256


@dataclass
class FolderScan:
    """What is in a folder. skipped: (path, sentence) of what looks like a model and cannot be used."""

    models: list[Inspected] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def scan_folder(root: Path, on_file: Callable[[int], None] | None = None) -> FolderScan:
    """Read every model file below `root`. Blocking; on_file(number so far) may raise to stop.

    Raises StorageError when the folder itself cannot be read.
    """
    try:
        next(root.iterdir(), None)
    except OSError as error:
        raise storage_error(error, "read the folder", root) from error
    scan = FolderScan()
    guesses: dict[Path, FileGuess] = {}
    for number, path in enumerate(_candidates(root, scan)):
        if on_file is not None:
            on_file(number)
        try:
            guesses[path] = guess_file(read_header_file(path))
        except GenaiError as error:
            scan.skipped.append((str(path), error.message))
    used = _add_image_models(scan, guesses)
    for path, guess in guesses.items():
        if path in used or (guess.role == "llm_vision" and "mmproj" in path.name.lower()):
            continue
        if guess.role == "diffusion_model":
            continue  # named already, with what it lacks
        try:
            scan.models.append(inspect_file(path))
        except GenaiError as error:
            scan.skipped.append((str(path), error.message))
    return scan


def _candidates(root: Path, scan: FolderScan) -> Iterator[Path]:
    """Model files, each of them once: caches name the same bytes by several links."""
    seen: set[tuple[int, int]] = set()
    named: list[Path] = []
    blobs: list[Path] = []
    count = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        folders.sort()
        for name in sorted(names):
            count += 1
            if count > _MOST_FILES:
                scan.skipped.append((str(root), f"The folder holds more than {_MOST_FILES} files."))
                folders.clear()
                break
            path = Path(folder, name)
            lower = name.lower()
            if lower.endswith(_SUFFIXES):
                if not _LATER_SHARD.search(lower):
                    named.append(path)
            elif _BLOB.match(lower):
                blobs.append(path)
            elif lower.endswith(PICKLE_SUFFIXES):
                _note_pickle(path, scan)
    for path in (*named, *(blob for blob in blobs if _is_gguf(blob))):
        try:
            found = path.stat()
        except OSError:
            continue  # a dangling link
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            yield path


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(512)) == "gguf"
    except OSError:
        return False


def _note_pickle(path: Path, scan: FolderScan) -> None:
    try:
        if path.stat().st_size < _SMALLEST_PICKLE:
            return
        refuse_pickle_name(path.name)
    except OSError:
        return
    except ModelFileError as error:
        scan.skipped.append((str(path), error.message))


def _add_image_models(scan: FolderScan, guesses: Mapping[Path, FileGuess]) -> set[Path]:
    """Put bare diffusion models together with their parts; the files that are thereby accounted for."""
    used: set[Path] = set()
    for path, guess in guesses.items():
        if guess.role != "diffusion_model":
            continue
        components = _complete(path, guess, guesses)
        if components is None:
            reason = next((p.message for p in check_roles({"checkpoint": guess})), "Its parts are missing.")
            scan.skipped.append((str(path), reason))
            continue
        try:
            scan.models.append(inspect_components(components))
        except GenaiError as error:
            scan.skipped.append((str(path), error.message))
            continue
        for role, part in components.items():
            # a language model elsewhere is one in its own right; beside the diffusion model it is a part
            if role != "llm" or part.parent == path.parent:
                used.add(part)
    # parts that no model took are not worth a word each
    return used | {path for path, guess in guesses.items() if guess.role in _PARTS}


_PARTS = frozenset(COMPONENT_FLAGS) - {"diffusion_model", "llm"}


def _complete(main: Path, guess: FileGuess, guesses: Mapping[Path, FileGuess]) -> dict[str, Path] | None:
    """The parts a bare diffusion model needs, the nearest that fit; None when something is missing."""
    family = FAMILIES.get(guess.family)
    if family is None or family.is_video:
        return None
    roles = [role for role in (*family.required, *family.wanted) if role not in guess.parts]
    choices: list[list[Path | None]] = []
    for role in roles:
        fitting: list[Path | None] = [p for p, g in guesses.items() if g.role == role and p != main]
        fitting.sort(key=lambda part: _distance(main, part))
        if role in family.wanted:
            fitting.append(None)
        choices.append(fitting)
    for parts in itertools.islice(itertools.product(*choices), _MOST_TRIES):
        chosen = {role: part for role, part in zip(roles, parts, strict=True) if part is not None}
        tried = {"diffusion_model": guess} | {role: guesses[part] for role, part in chosen.items()}
        if not any(problem.level == "error" for problem in check_roles(tried)):
            return {"diffusion_model": main} | chosen
    return None


def _distance(main: Path, part: Path | None) -> tuple[int, str]:
    """Steps between two folders."""
    if part is None:
        return 1000, ""
    one, two = main.parent.parts, part.parent.parts
    common = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        common += 1
    return len(one) + len(two) - 2 * common, str(part)
