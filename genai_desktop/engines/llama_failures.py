"""Why a llama-server ended: from its exit status and its last lines to one sentence and what to do about it.

The lines are llama.cpp's own; the first rule that matches names the cause, so the specific ones stand before
what they lead to ("failed to load model" follows nearly every one of them).
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from genai_desktop.core.errors import (
    ConfigurationError,
    EngineError,
    GenaiError,
    InsufficientResourcesError,
    ModelFileError,
    ModelNotFoundError,
    ServerError,
    StorageError,
)
from genai_desktop.core.gguf_reader import read_gguf_header
from genai_desktop.engines.driver import Failure
from genai_desktop.engines.process import ExitStatus

_FEWER = "Use a smaller context, fewer GPU layers or a smaller model, or close other programs."
_DOWNLOAD_AGAIN = "Verify the model in the Models tab, or download it again."
_NEWER_ENGINE = "Install a newer build of llama.cpp in Settings, or use another model."
_OTHER_BUILD = "Choose another build of llama.cpp in Settings; the embedded one runs on any processor."


@dataclass(frozen=True)
class _Found:
    """A rule's match. model: the file's name, for the sentence."""

    match: re.Match[str]
    model: str

    def __getitem__(self, group: int) -> str:
        return str(self.match[group]).strip()


_Make = Callable[[_Found], GenaiError]


def _says(kind: type[GenaiError], code: str, message: str, remedy: str) -> _Make:
    """A fixed sentence; {0} is what matched, {1} its first group, {model} the file's name."""

    def make(found: _Found) -> GenaiError:
        groups = (found[0], *(str(group).strip() for group in found.match.groups()))
        return kind(message.format(*groups, model=found.model), code=code, remedy=remedy)

    return make


def _bad_value(found: _Found) -> GenaiError:
    flag, reason = found[1], found[2].removeprefix("error: ")
    if reason.startswith("invalid device"):
        return ConfigurationError(
            f"The engine has no device called {reason.rpartition(' ')[2]}.",
            code="NO_SUCH_DEVICE",
            remedy="Choose one of the devices the engine lists, or leave the choice to it.",
        )
    if flag == "--slot-save-path":
        return StorageError(
            f"The folder for saved conversations cannot be used: {reason}.",
            remedy="Check that the data folder exists and can be written.",
        )
    wrong = "" if reason in ("stoi", "stof", "stod", "stol") else f" ({reason})"
    return ConfigurationError(
        f"The engine refuses the value given for {flag}{wrong}.",
        code="BAD_FLAG",
        remedy="Correct the setting, or leave it at its default.",
    )


def _cannot_open(found: _Found) -> GenaiError:
    path, reason = found[1], found[2]
    if "No such file" in reason:
        return ModelNotFoundError(
            f"The model file {path} does not exist.",
            remedy="Import or download the model again, or connect the drive it is on.",
        )
    return ModelFileError(
        f"The model file {path} cannot be opened: {reason}.",
        code="MODEL_UNREADABLE",
        remedy="Check the permissions of the file and the drive it is on.",
    )


def _not_gguf(found: _Found) -> GenaiError:
    magic = found[1].lower()
    if magic.startswith(("<!", "<h", "<?x")):
        what, remedy = "is a web page, not a model", "Download it again; some links need a login first."
    elif magic == "vers":
        what, remedy = "is a Git LFS pointer, not a model", "Download the model itself, not the pointer."
    else:
        what, remedy = "is not a GGUF model or is damaged", _DOWNLOAD_AGAIN
    return ModelFileError(f"{found.model} {what}.", code="NOT_A_MODEL", remedy=remedy)


def _bad_projector(found: _Found) -> GenaiError:
    name = PurePath(found[1].strip("'")).name
    return ModelFileError(
        f"The image part (projector) {name} cannot be used with this model.",
        code="BAD_PROJECTOR",
        remedy="Choose the mmproj file that belongs to the model, or load the model without one.",
    )


_missing_library = _says(
    EngineError,
    "ENGINE_MISSING_LIBRARY",
    "The engine cannot start because the library {1} is missing.",
    "Install the library (for a GPU build: the driver and its runtime), or choose another build.",
)
_port_taken = _says(ServerError, "PORT_IN_USE", "The port is in use.", "Choose another port.")
_bad_flag = _says(
    ConfigurationError,
    "BAD_FLAG",
    "This build of llama.cpp does not know the option {1}.",
    "Remove it from the extra arguments, or choose another build of llama.cpp.",
)
_unknown_architecture = _says(
    ModelFileError,
    "UNKNOWN_ARCHITECTURE",
    "This build of llama.cpp does not know the model's architecture '{1}'.",
    _NEWER_ENGINE,
)
_too_new = _says(
    ModelFileError,
    "UNKNOWN_ARCHITECTURE",
    "{model} uses something this build of llama.cpp does not know: {0}.",
    _NEWER_ENGINE,
)
_truncated = _says(
    ModelFileError,
    "MODEL_TRUNCATED",
    "{model} is incomplete: parts of it are missing.",
    "Download it again; what is there is kept and continued.",
)
_damaged = _says(ModelFileError, "MODEL_DAMAGED", "{model} is damaged: {0}.", _DOWNLOAD_AGAIN)
_out_of_memory = _says(
    InsufficientResourcesError,
    "OUT_OF_MEMORY",
    "There was not enough memory for the model and its context.",
    _FEWER,
)
_bad_cache = _says(
    ConfigurationError,
    "BAD_CACHE_TYPE",
    "The KV cache type does not suit this model: {0}.",
    "Set the KV cache types to f16, or turn flash attention on.",
)
_bad_template = _says(
    ConfigurationError,
    "BAD_CHAT_TEMPLATE",
    "The chat template of the model cannot be used.",
    "Remove the chat template from the settings, or choose a newer build of llama.cpp.",
)
_gpu_failed = _says(
    EngineError,
    "GPU_FAILED",
    "The graphics card or its driver failed: {0}.",
    "Update the driver, use fewer GPU layers, or choose another build (Vulkan or CPU).",
)
_aborted = _says(
    ServerError,
    "ENGINE_ABORTED",
    "The engine stopped at an internal check: {0}.",
    "Try another build of llama.cpp, or default settings.",
)
_not_loaded = _says(
    ModelFileError,
    "MODEL_NOT_LOADED",
    "The engine could not load {model}.",
    "Look at the log below, verify the model, or use a newer build of llama.cpp.",
)


def _rule(pattern: str, make: _Make) -> tuple[re.Pattern[str], _Make]:
    return re.compile(pattern, re.MULTILINE), make


# In order: the first that matches is the cause.
_RULES: tuple[tuple[re.Pattern[str], _Make], ...] = (
    _rule(r"error while loading shared libraries: (\S+?):", _missing_library),
    _rule(r"(GLIBC(?:XX)?_[\d.]+)' not found", _missing_library),
    _rule(r"Library not loaded: (\S+)", _missing_library),
    _rule(r"needs the package (\w+), which is missing", _missing_library),
    _rule(r"couldn't bind HTTP server socket|[Aa]ddress already in use", _port_taken),
    _rule(r"^error: invalid argument: (\S+)", _bad_flag),
    _rule(r"^error while handling argument \"([^\"]+)\": (.*)$", _bad_value),
    _rule(r"[Ff]ailed to load CLIP model from (.+?)\s*$", _bad_projector),
    _rule(r"failed to load multimodal model, (.+?)\s*$", _bad_projector),
    _rule(r"failed to open GGUF file '(.*)' \((.*)\)", _cannot_open),
    _rule(r"invalid magic characters: '([\s\S]{1,8}?)', expected", _not_gguf),
    _rule(r"unknown model architecture: '(.*?)'", _unknown_architecture),
    _rule(r"unknown pre-tokenizer type: '.*?'|this GGUF file is version \d+ but .*", _too_new),
    _rule(r"data is not within the file bounds|unexpectedly reached end of file", _truncated),
    _rule(r"[KV] cache type \S+ with block size.*", _bad_cache),
    _rule(r"quantized V cache was requested, but this requires Flash Attention", _bad_cache),
    _rule(
        r"insufficient memory \(attempted to allocate|cudaMalloc failed|CUDA error: out of memory"
        r"|ErrorOutOf(?:Device|Host)Memory|Device memory allocation of size|std::bad_alloc|hipMalloc failed"
        r"|failed to allocate (?:buffer|\S+ buffer|compute)|unable to allocate \S+ buffer"
        r"|CommandBufferCallbackErrorOutOfMemory",
        _out_of_memory,
    ),
    _rule(r"ErrorDeviceLost.*|CUDA error: .*|ROCm error: .*|failed to initialize CUDA: .*", _gpu_failed),
    _rule(r"the supplied chat template is not supported|failed to initialize chat template", _bad_template),
    _rule(r"GGML_ASSERT\(.*", _aborted),
    _rule(
        r"gguf_init_from\w*: .*(?:failed to read|invalid|duplicate|out of range|bad).*"
        r"|missing tensor '.*'|tensor '.*' (?:not found|has wrong shape).*|check_tensor_dims: .*"
        r"|key not found in model: .*|invalid n_dims.*|corrupted model.*",
        _damaged,
    ),
)
_LATE_RULES = (_rule(r"failed to load model|exiting due to model loading error", _not_loaded),)

_NOT_FINAL = ("GPU_FAILED", "ENGINE_ABORTED")  # may have been the request, not the start
# Worth another try even though it happened while loading: a restart after a crash must not give up at these.
_TRANSIENT = ("OUT_OF_MEMORY", "KILLED", "SERVER_CRASHED", "SERVER_EXITED", *_NOT_FINAL)


def classify(status: ExitStatus, lines: Sequence[str], *, model: str, is_loaded: bool) -> Failure:
    """The cause of an unasked end. is_loaded: it had been serving, so the model as such is good.

    PORT_IN_USE comes back with `is_retryable_at_once`; who sits there is for the caller to find out.
    """
    text = "\n".join(lines)
    error = _from_status_first(status)
    if error is None:
        error = _first(_RULES, text, model)
    if error is None:
        error = _from_signal(status, is_loaded)
    if error is None and not is_loaded:
        error = _first(_LATE_RULES, text, model)
    if error is None:
        error = _unexplained(status, lines, is_loaded)
    error.details.update(exit_code=status.code, signal=status.signal)
    if error.code == "PORT_IN_USE":
        return Failure(error, is_retryable_at_once=True)
    is_engine = isinstance(error, EngineError) and error.code not in _NOT_FINAL
    return Failure(error, is_final=is_engine or (not is_loaded and error.code not in _TRANSIENT))


UNEXPLAINED = ("SERVER_EXITED", "MODEL_NOT_LOADED")
_CODES_BY_KIND = {"truncated": "MODEL_TRUNCATED", "damaged": "MODEL_DAMAGED"}


def damage_of(path: str) -> ModelFileError | None:
    """What is wrong with a model file by its own header, for when the engine died before saying so. Blocking.

    llama.cpp writes its log in a thread of its own, and the last lines may be lost when the process ends.
    """
    try:
        with Path(path).open("rb") as file:
            read_gguf_header(file, file_size=Path(path).stat().st_size)
    except ModelFileError as error:
        error.code = _CODES_BY_KIND.get(str(error.details.get("kind")), "NOT_A_MODEL")
        return error
    except OSError as error:
        return ModelFileError(
            f"The model file {path} cannot be read: {error.strerror}.",
            code="MODEL_UNREADABLE",
            remedy="Check the permissions of the file and the drive it is on.",
        )
    return None


def _first(rules: Sequence[tuple[re.Pattern[str], _Make]], text: str, model: str) -> GenaiError | None:
    for pattern, make in rules:
        match = pattern.search(text)
        if match is not None:
            return make(_Found(match, PurePath(model).name or "The model"))
    return None


def _from_status_first(status: ExitStatus) -> GenaiError | None:
    """Ends whose status says more than any log line."""
    if status.signal == signal.SIGILL or status.code == 0xC000001D:
        return EngineError(
            "This build of the engine uses instructions this processor does not have.",
            code="ILLEGAL_INSTRUCTION",
            remedy=_OTHER_BUILD,
        )
    if status.code in (0xC0000135, 0xC0000139):
        return EngineError(
            "The engine cannot start because a library (DLL) is missing.",
            code="ENGINE_MISSING_LIBRARY",
            remedy="Install the Visual C++ runtime and the GPU driver, or choose another build.",
        )
    return None


def _from_signal(status: ExitStatus, is_loaded: bool) -> GenaiError | None:
    doing = "" if is_loaded else " while loading the model"
    if status.signal == getattr(signal, "SIGKILL", 9):
        return InsufficientResourcesError(
            f"The system ended the engine{doing}, most likely because memory ran out.",
            code="KILLED",
            remedy=_FEWER,
        )
    if status.signal == getattr(signal, "SIGBUS", -1):
        return ModelFileError(
            f"The model file could not be read any more{doing}.",
            code="MODEL_UNREADABLE",
            remedy="Check the drive it is on; it may have been removed, shortened or damaged.",
        )
    if status.code in (126, 127):
        return EngineError(
            "The engine's program could not be executed.",
            code="ENGINE_NOT_EXECUTABLE",
            remedy="Install the engine again or choose another build.",
        )
    return None


def _unexplained(status: ExitStatus, lines: Sequence[str], is_loaded: bool) -> ServerError:
    doing = "" if is_loaded else " while loading the model"
    if status.signal is not None or (status.code or 0) > 0xC0000000:
        return ServerError(
            f"The engine crashed{doing}: {status.describe()}.",
            code="SERVER_CRASHED",
            remedy="Try again; if it happens again, try another build of llama.cpp.",
        )
    said = next((line for line in reversed(lines) if re.search(r"\berror\b| E ", line)), "")
    reason = f": {said.strip()}" if said else ""
    return ServerError(
        f"The engine ended by itself{doing} ({status.describe()}){reason}.",
        code="SERVER_EXITED",
        remedy="Look at the log below.",
    )
