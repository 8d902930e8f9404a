"""What a model hub offers, as values: repositories, their files, and whether a file fits by its size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from genai_desktop.core.diffusion_footprint import SIZE_FACTOR
from genai_desktop.core.errors import ModelFileError
from genai_desktop.core.gguf import shard_names
from genai_desktop.core.models import FitBadge, ModelType
from genai_desktop.core.placement import Machine

NOT_KNOWN: Final = FitBadge("unknown", "Not known")
_GIB: Final = 1 << 30
_SUFFIXES: Final = (".gguf", ".safetensors", ".sft")
_SAFETENSORS_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}\.(safetensors|sft)$", re.IGNORECASE)
_QUANTIZATION: Final = re.compile(
    r"(?<![a-z0-9])(i?q[1-8](?:_(?:[ksmlp]|xs|xl|xxs|xxl|nl|\d))*|tq[12]_0|mxfp4|nvfp4|bf16|fp?16|fp?32|fp8|int8)"
    r"(?![a-z0-9])",
    re.IGNORECASE,
)
_RENAMED: Final = {"FP16": "F16", "FP32": "F32"}
# parts of an image model, by the names people give their files and folders
_PARTS: Final = re.compile(
    r"(?<![a-z0-9])(vae|ae|taesd|taef1|clip_?[lg]|clip|t5(?:xxl)?|text_?encoders?(?:_?\d)?|lora|controlnet)(?![a-z0-9])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class HubModel:
    """One repository found by a search.

    gated: empty, "auto" or "manual" (terms to accept first). last_modified: seconds since the epoch.
    architecture, parameter_count and context_length are None or empty where the hub does not tell.
    """

    repo: str
    type: ModelType
    downloads: int = 0
    likes: int = 0
    gated: str = ""
    last_modified: float | None = None
    license: str = ""
    architecture: str = ""
    parameter_count: int | None = None
    context_length: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubSearch:
    """The answer to one search; text and type are those asked for, so a late answer can be told apart."""

    text: str
    type: ModelType | None
    models: tuple[HubModel, ...]


@dataclass(frozen=True)
class HubPart:
    """One file as the repository holds it. sha256: of a large (LFS) file, else None."""

    file: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class HubFile:
    """One thing to choose in a repository: a file, or all numbered parts of a split one.

    file: its first part. sha256: None where the hub tells none, and for a split file (see parts).
    role: "model", "projector" (mmproj), "component" (part of an image model) or "other" (not usable here).
    missing: parts the repository should hold but does not.
    """

    file: str
    size: int
    quantization: str = ""
    sha256: str | None = None
    role: str = "model"
    parts: tuple[HubPart, ...] = ()
    missing: tuple[str, ...] = ()
    fit: FitBadge = NOT_KNOWN

    @property
    def fits(self) -> bool | None:
        """By its size; None where that cannot be said."""
        return None if self.fit.level == "unknown" else self.fit.level != "no"


@dataclass(frozen=True)
class HubRepo:
    """A repository with its usable files, smallest model first. commit: what `revision` is now."""

    repo: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    gated: str = ""
    license: str = ""
    tags: tuple[str, ...] = ()
    last_modified: float | None = None

    @property
    def projectors(self) -> tuple[HubFile, ...]:
        """The files that give its models eyes."""
        return tuple(file for file in self.files if file.role == "projector")


@dataclass(frozen=True)
class FitReport:
    """Does a model fit now? footprint and placement: bytes and settings by name.

    bytes_read: of the headers, from the disk or over the network.
    """

    footprint: Mapping[str, int]
    placement: Mapping[str, int]
    fits: bool
    reason: str
    bytes_read: int
    suggestion: str = ""


def quantization_of(name: str) -> str:
    """The quantization a file name tells ("Q4_K_M"), or its folder, or empty."""
    folder, _, base = name.rpartition("/")
    for text in (base.rpartition(".")[0], folder):
        found = _QUANTIZATION.findall(text)
        if found:
            label: str = found[-1].upper()
            return _RENAMED.get(label, label)
    return ""


def group_files(parts: Iterable[HubPart]) -> tuple[HubFile, ...]:
    """The model files of a repository: split ones as one, projectors told apart, the rest left out."""
    known = {part.file: part for part in parts if part.file.lower().endswith(_SUFFIXES)}
    files: list[HubFile] = []
    seen: set[str] = set()
    for name in sorted(known):
        if name in seen:
            continue
        names = _all_parts(name)
        seen.update(names)
        there = tuple(known[part] for part in names if part in known)
        files.append(
            HubFile(
                file=names[0],
                size=sum(part.size for part in there),
                quantization=quantization_of(name),
                sha256=there[0].sha256 if len(names) == 1 else None,
                role=_role(name),
                parts=there,
                missing=tuple(part for part in names if part not in known),
            )
        )
    order = ("model", "projector", "component", "other")
    return tuple(sorted(files, key=lambda file: (order.index(file.role), file.size, file.file)))


def fit_by_size(file: HubFile, machine: Machine) -> FitBadge:
    """A first answer before the header is read: the size of the file times 1.2 against free memory."""
    unknown = _why_unknown(file)
    if unknown is not None:
        return unknown
    need = round(file.size * SIZE_FACTOR)
    words = f"By its size it needs about {need / _GIB:.1f} GB"
    vram, ram = machine.usable_vram, machine.usable_ram
    if vram >= need:
        return FitBadge("gpu", "Fits the GPU", f"{words}; {vram / _GIB:.1f} GB of GPU memory can be used.")
    both = ram if machine.is_unified else ram + vram
    free = f"{ram / _GIB:.1f} GB of RAM can be used"
    if vram:
        free += f" and {vram / _GIB:.1f} GB on the GPU"
    if both < need:
        return FitBadge("no", "Too large", f"{words}; {free}.")
    if vram:
        return FitBadge("partial", "Partly on the GPU", f"{words}; {free}.")
    return FitBadge("cpu", "Runs on the processor", f"{words}; {free}.")


def _why_unknown(file: HubFile) -> FitBadge | None:
    if file.role == "other":
        return FitBadge("unknown", "Not usable", "Neither engine of this program loads this file.")
    if file.missing:
        return FitBadge("unknown", "Incomplete", f"The repository lacks '{file.missing[0]}'.")
    return NOT_KNOWN if file.role != "model" or not file.size else None


def _all_parts(name: str) -> tuple[str, ...]:
    folder, slash, base = name.rpartition("/")
    try:
        return tuple(f"{folder}{slash}{part}" for part in shard_names(base))
    except ModelFileError:  # a name whose numbers make no sense is just a name
        return (name,)


def _role(name: str) -> str:
    lower = name.lower()
    base = lower.rpartition("/")[2]
    if base.endswith(".gguf"):
        if "mmproj" in base:
            return "projector"
        return "other" if "imatrix" in base else "component" if _PARTS.search(base) else "model"
    if _SAFETENSORS_SHARD.search(base):
        return "other"
    return "component" if _PARTS.search(lower) else "model"
