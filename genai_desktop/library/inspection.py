"""Reading a model before it is put on the shelf: what it is, of which files, and whether it can be used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from genai_desktop.core.component_guess import FileGuess, Header, guess_file
from genai_desktop.core.components import ROLE_TITLES, check_roles, recommended_settings
from genai_desktop.core.errors import InvalidInputError, ModelFileError, ModelNotFoundError
from genai_desktop.core.gguf import display_name, model_type, shard_names, summarize
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.models import ComponentRole, ModelFile, ModelInfo, ModelType
from genai_desktop.library.disk import storage_error
from genai_desktop.library.headers import read_header_file, read_model_header

PROJECTOR_ROLE = "mmproj"  # role of the file that gives a language model eyes
_SAFETENSORS_SHARD = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|sft)$", re.IGNORECASE)
_BLOB = re.compile(r"^sha256[-:][0-9a-f]{64}$")
_MEANINGLESS = frozenset(
    {"model", "diffusion_pytorch_model", "ggml-model", "pytorch_model", "unet", "consolidated"}
)
_KINDS = {"llm": "a language model", "diffusion": "an image model"}


@dataclass(frozen=True)
class Inspected:
    """A usable model. info has everything but id and dates; header is that of the main file."""

    info: ModelInfo
    header: Header


def inspect_file(path: Path, *, type: ModelType | None = None) -> Inspected:
    """A model of one file, or of numbered parts (any of them may be given), with the projector beside it.

    type: what it must be; None: whatever it is. Raises ModelNotFoundError, StorageError, ModelFileError.
    """
    paths = shard_paths(path)
    _refuse_incomplete(paths)
    header = read_model_header(paths[0])
    guess = guess_file(header)
    kind = _kind_of(paths[0], header, guess, type)
    files = [model_file(part) for part in paths]
    if kind == "diffusion":
        _refuse_problems({"checkpoint": guess})
    info = _described(kind, paths[0], header, guess, tuple(files))
    if kind == "llm" and isinstance(header, GgufHeader):
        projector = find_projector(paths[0], header, has_vision=info.capabilities.vision)
        if projector is not None:
            info = with_projector(info, projector)
    return Inspected(info, header)


def inspect_components(components: Mapping[str, Path]) -> Inspected:
    """An image model of several files by role. Raises InvalidInputError (a role), ModelFileError (a file)."""
    roles = {str(role) for role in ComponentRole}
    unknown = sorted(set(components) - roles)
    if unknown:
        raise InvalidInputError(
            f"There is no role {unknown[0]!r}.", remedy=f"Roles are: {', '.join(ComponentRole)}."
        )
    headers: dict[str, Header] = {}
    for role in ComponentRole:
        if role in components:
            try:
                headers[role] = read_header_file(components[role])
            except ModelFileError as error:
                message = f"The {ROLE_TITLES[role]} cannot be used. {error.message}"
                raise ModelFileError(message, remedy=error.remedy, details={"component": role}) from error
    _refuse_problems(headers)
    main = headers[ComponentRole.DIFFUSION_MODEL]
    files = tuple(model_file(components[role], role) for role in headers)
    info = _described("diffusion", components[ComponentRole.DIFFUSION_MODEL], main, guess_file(main), files)
    return Inspected(info, main)


def model_file(path: Path, role: str = "") -> ModelFile:
    """What the disk says about a file now."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"The file {path} does not exist.", remedy="Check the name, or whether it was moved."
        ) from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    return ModelFile(str(path), found.st_size, role, None, found.st_mtime)


def shard_paths(path: Path) -> tuple[Path, ...]:
    """All parts of a split GGUF of which `path` is one, in order; else just `path`."""
    return tuple(path.with_name(name) for name in shard_names(path.name))


def find_projector(path: Path, header: GgufHeader, *, has_vision: bool) -> Path | None:
    """The projector (mmproj) beside a language model that fits it, or None.

    It must make vectors as wide as the model's, and the model must either see by itself or share its name.
    """
    try:
        candidates = sorted(p for p in path.parent.iterdir() if _is_projector_name(p.name) and p != path)
    except OSError:
        return None
    width = header.integer(f"{header.architecture}.embedding_length")
    fitting = []
    for candidate in candidates:
        try:
            found = read_header_file(candidate)
        except (ModelFileError, ModelNotFoundError):
            continue
        if not isinstance(found, GgufHeader) or guess_file(found).role != "llm_vision":
            continue
        made = found.integer("clip.vision.projection_dim") or found.integer("clip.audio.projection_dim")
        if made is not None and width is not None and made != width:
            continue
        alike = _common_start(candidate.name, path.name)
        if has_vision or alike >= 4:
            fitting.append((alike, candidate))
    return max(fitting, key=lambda pair: (pair[0], pair[1].name))[1] if fitting else None


def with_projector(info: ModelInfo, projector: Path) -> ModelInfo:
    """The same model with eyes."""
    file = model_file(projector, PROJECTOR_ROLE)
    return replace(
        info,
        files=(*info.files, file),
        size=info.size + file.size,
        capabilities=replace(info.capabilities, vision=True),
    )


def _is_projector_name(name: str) -> bool:
    return "mmproj" in name.lower() and name.lower().endswith(".gguf")


def _common_start(projector: str, model: str) -> int:
    """Length of the common start of two names, "mmproj" and separators aside."""
    one, two = (re.sub(r"mmproj|[^a-z0-9]", "", name.lower()) for name in (projector, model))
    same = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        same += 1
    return same


def _refuse_incomplete(paths: tuple[Path, ...]) -> None:
    missing = [number for number, path in enumerate(paths, 1) if not path.is_file()]
    if len(paths) > 1 and missing and len(missing) < len(paths):
        raise ModelFileError(
            f"Part {missing[0]} of {len(paths)} of the model is missing: '{paths[missing[0] - 1].name}'.",
            remedy="Put all parts into one folder, with the names they were published with.",
            details={"kind": "shard", "missing": missing},
        )


def _kind_of(path: Path, header: Header, guess: FileGuess, wanted: ModelType | None) -> ModelType:
    """Which shelf it belongs on; raises ModelFileError for a part, and for something else than wanted."""
    if not isinstance(header, GgufHeader) and (
        guess.role == "llm" or _SAFETENSORS_SHARD.search(path.name) or not header.tensors
    ):
        raise ModelFileError(
            f"'{path.name}' is (a part of) a model for other programs; llama.cpp needs it as GGUF.",
            remedy="Look for a GGUF version of the same model; most have one.",
        )
    kind = model_type(guess)
    if kind is None and guess.role == "unknown":
        # the engine may know more than we do: what has an architecture may be tried
        is_llm = isinstance(header, GgufHeader) and bool(header.architecture)
        kind = wanted or ("llm" if is_llm else None)
    if kind is None:
        raise ModelFileError(
            f"'{path.name}' is {_article(guess.title)}: a part of a model, not a model of its own.",
            remedy="Import it together with its diffusion model, each file in its role."
            if guess.role in tuple(ComponentRole) and guess.role != "llm_vision"
            else "Import the model it belongs to.",
            details={"role": guess.role},
        )
    if wanted is not None and kind != wanted:
        raise ModelFileError(
            f"'{path.name}' is {_KINDS[kind]}, not {_KINDS[wanted]}.",
            remedy=f"Import it with the type '{kind}'.",
        )
    return kind


def _article(title: str) -> str:
    if not title:
        return "a file of an unknown kind"
    return f"{'an' if title[0] in 'aeiouAEIO' else 'a'} {title}"


def _refuse_problems(files: Mapping[str, Header | FileGuess]) -> None:
    for problem in check_roles(files):
        if problem.level == "error":
            raise ModelFileError(problem.message, remedy=problem.remedy, details={"component": problem.role})


def _described(
    kind: ModelType, path: Path, header: Header, guess: FileGuess, files: tuple[ModelFile, ...]
) -> ModelInfo:
    facts = summarize(header)
    return ModelInfo(
        id="",
        name=_name(path, header),
        type=kind,
        path=str(path),
        size=sum(file.size for file in files),
        files=files,
        recommended=recommended_settings(guess.family) if kind == "diffusion" else {},
        **facts,
    )


def _name(path: Path, header: Header) -> str:
    """The name of the file, which people chose; where it says nothing, what the file calls itself."""
    stem = re.sub(r"-00001-of-\d{5}$", "", path.stem)
    if _BLOB.match(path.name):
        return display_name(header) or path.name[7:19]
    if stem.lower() in _MEANINGLESS:
        return display_name(header) or f"{path.parent.name} {stem}".strip()
    return stem
