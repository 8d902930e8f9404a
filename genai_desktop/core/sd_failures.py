"""Why an image run failed: from its exit status and its last lines to a sentence and what to do."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from genai_desktop.core.errors import ImageError

_OUT_OF_MEMORY = re.compile(
    r"^insufficient memory \(attempted to allocate"
    r"|alloc params backend buffer failed"
    r"|failed to allocate the compute buffer|alloc compute buffer failed"
    r"|cudaMalloc failed: out of memory|(?:CUDA|ROCm|HIP) error: out of memory"
    r"|ErrorOutOfDeviceMemory|ErrorOutOfHostMemory|^ggml_\w+: failed to allocate|std::bad_alloc"
)
_BAD_FILE = re.compile(
    r"(?:init model loader from file|get sd version from file|read tensor data) failed: '([^']*)'"
    r"|data offsets out of bounds for tensor|^unknown format (\S.*)$"
)
_NO_FILE = re.compile(r"^file (\S.*) not found$")
_TENSOR = re.compile(r"tensor '([^']+)' (?:not in model (?:metadata|file)|has wrong shape)")
_NO_ENCODER = "No text encoders provided"
_BAD_BACKEND = re.compile(r"backend config failed: (.+)$")
_BAD_ARGUMENT = re.compile(
    r"error: (unknown argument|invalid [\w ]+?)(?: for argument)?:? (.+)$|^\s*what\(\):\s+sto[ilfd]"
)
_BAD_INPUT = re.compile(r"^load image from '(.+)' failed")
_NOT_WRITTEN = re.compile(r"^failed to create directory '|^save result image .*\(failure\)$")
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+?):|GLIBC_\S+' not found")
# Tensor name prefixes and the file they belong to.
_PARTS = (
    ("first_stage_model.", "VAE"),
    ("tae.", "small VAE (TAESD)"),
    ("text_encoders.t5xxl", "T5 text encoder"),
    ("text_encoders.llm", "language model that reads the prompt"),
    ("text_encoders.clip_g", "CLIP-G text encoder"),
    ("text_encoders", "text encoder"),
    ("cond_stage_model.", "text encoder"),
    ("model.diffusion_model.", "diffusion model"),
)
_ILLEGAL_INSTRUCTION = (int(getattr(signal, "SIGILL", 4)), 0xC000001D)
_MISSING_DLL = (0xC0000135, 0xC0000139)
_KILLED = int(getattr(signal, "SIGKILL", 9))


def classify_failure(code: int | None, signal_number: int | None, lines: Sequence[str]) -> ImageError:
    """An ImageError for a run that produced no usable picture. lines: what the engine wrote, oldest first."""
    error = _explain(code, signal_number, lines)
    error.details.setdefault("log", list(lines[-40:]))
    error.details["exit_code"] = code
    error.details["signal"] = signal_number
    return error


def _explain(code: int | None, signal_number: int | None, lines: Sequence[str]) -> ImageError:  # noqa: PLR0911
    for check in (_memory, _encoder, _files, _tensors, _inputs, _settings, _output, _start):
        error = check(lines)
        if error is not None:
            return error
    if signal_number == _KILLED:
        return ImageError(
            "The system ended the image engine, most likely because memory ran out.",
            code="OUT_OF_MEMORY",
            remedy="Choose a smaller picture or model, or close other programs.",
        )
    if signal_number in _ILLEGAL_INSTRUCTION or code in _ILLEGAL_INSTRUCTION:
        return ImageError(
            "This build of the image engine uses instructions that this processor does not have.",
            code="ENGINE_UNSUITABLE",
            remedy="Choose another build in System, Engines.",
        )
    if code in _MISSING_DLL:
        return ImageError(
            "The image engine cannot start because a system library is missing.",
            code="ENGINE_UNSUITABLE",
            remedy="Install the runtime the build needs, or choose another build in System, Engines.",
        )
    if signal_number is not None or (code is not None and (code >= 128 or code < 0)):
        what = f"signal {signal_number}" if signal_number is not None else f"exit code {code}"
        return ImageError(
            f"The image engine crashed ({what}){_because(lines)}.",
            code="ENGINE_CRASHED",
            remedy="Try a smaller picture; if it crashes again, test another build in System, Engines.",
        )
    if code == 0:
        return ImageError(
            "The image engine reported success but left no picture.",
            code="NO_PICTURE",
            remedy="Try again; the log holds what the engine said.",
        )
    return ImageError(
        f"The image engine failed (exit code {code}){_because(lines)}.",
        remedy="The log holds what the engine said.",
    )


def is_out_of_memory(text: str) -> bool:
    """Is this a line by which a backend says that an allocation failed? Prose about memory is not."""
    return _OUT_OF_MEMORY.search(text) is not None


def _memory(lines: Sequence[str]) -> ImageError | None:
    if not any(is_out_of_memory(line) for line in lines):
        return None
    return ImageError(
        "There was not enough memory for this picture.",
        code="OUT_OF_MEMORY",
        remedy="Choose a smaller size or model, switch VAE tiling on, or unload the language model.",
    )


def _encoder(lines: Sequence[str]) -> ImageError | None:
    if not any(_NO_ENCODER in line for line in lines):
        return None
    return ImageError(
        "The image model has no text encoder, so it cannot read a prompt.",
        code="BAD_MODEL_FILE",
        remedy="Import it again with its text encoder (CLIP, T5 or a language model).",
    )


def _files(lines: Sequence[str]) -> ImageError | None:
    if missing := _first(_NO_FILE, lines):
        return ImageError(
            f"The model file '{missing[1]}' is not there.",
            code="MODEL_NOT_FOUND",
            remedy="Bring the file back, or import the model again.",
        )
    match = _first(_BAD_FILE, lines)
    if match is None:
        return None
    name = next((group for group in match.groups() if group), "")
    which = f"The model file '{name}'" if name else "A file of the image model"
    return ImageError(
        f"{which} is damaged, incomplete, or not of a kind the image engine reads.",
        code="BAD_MODEL_FILE",
        remedy="Verify the model in the Models tab, or download it again.",
    )


def _tensors(lines: Sequence[str]) -> ImageError | None:
    match = _first(_TENSOR, lines)
    if match is None:
        return None
    part = next((part for prefix, part in _PARTS if match[1].startswith(prefix)), "model")
    return ImageError(
        f"The {part} is missing or belongs to another model (tensor '{match[1]}').",
        code="BAD_MODEL_FILE",
        remedy="Import the model again with the files that belong together.",
    )


def _inputs(lines: Sequence[str]) -> ImageError | None:
    match = _first(_BAD_INPUT, lines)
    if match is None:
        return None
    return ImageError(
        f"The input picture '{match[1]}' cannot be read.",
        code="INVALID_REQUEST",
        remedy="Choose a PNG or JPEG file.",
    )


def _settings(lines: Sequence[str]) -> ImageError | None:
    if match := _first(_BAD_BACKEND, lines):
        return ImageError(
            f"The image engine cannot use the chosen device: {match[1]}.",
            code="ENGINE_UNSUITABLE",
            remedy="Choose another build in System, Engines, or remove the extra arguments.",
        )
    if match := _first(_BAD_ARGUMENT, lines):
        named = f": {match[1]} {match[2]}" if match[1] else ""
        return ImageError(
            f"This build of the image engine does not accept a setting{named}.",
            code="ENGINE_ARGUMENT",
            remedy="Choose another sampler or scheduler, or another build of the engine.",
        )
    return None


def _output(lines: Sequence[str]) -> ImageError | None:
    if _first(_NOT_WRITTEN, lines) is None:
        return None
    return ImageError(
        "The picture was painted but could not be written.",
        code="IO_ERROR",
        remedy="Free some disk space or check the permissions of the data folder, then try again.",
    )


def _start(lines: Sequence[str]) -> ImageError | None:
    match = _first(_MISSING_LIBRARY, lines)
    if match is None:
        return None
    return ImageError(
        f"The image engine cannot start: {match[0].strip(':')}.",
        code="ENGINE_UNSUITABLE",
        remedy="Choose another build in System, Engines.",
    )


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> re.Match[str] | None:
    return next((match for line in lines if (match := pattern.search(line))), None)


def _because(lines: Sequence[str]) -> str:
    """The first line that names a failure, as an appendix to a sentence."""
    for line in lines:
        if re.search(r"\bfailed\b|\berror\b|GGML_ASSERT", line, re.IGNORECASE):
            return f": {line.strip()[:200]}"
    return ""
