"""Reading the headers of model files on disk.

Blocking and quick (a few reads); call it from a worker thread.
"""

from __future__ import annotations

from pathlib import Path

from genai_desktop.core.component_guess import Header
from genai_desktop.core.errors import ModelFileError, ModelNotFoundError, StorageError
from genai_desktop.core.fileformat import PICKLE_SUFFIXES, SNIFF_BYTES, refusal, sniff
from genai_desktop.core.gguf import GgufHeader, merge_shards, read_gguf_header, shard_names
from genai_desktop.core.safetensors import read_safetensors_header


def read_header_file(path: Path | str) -> Header:
    """The header of one GGUF or safetensors file (one shard), checked against the length of the file.

    Raises ModelNotFoundError (gone), StorageError (not readable), ModelFileError (not a usable model).
    """
    path = Path(path)
    try:
        with path.open("rb", buffering=0) as file:
            size = path.stat().st_size
            kind = sniff(file.read(SNIFF_BYTES))
            if kind == "gguf":
                return read_gguf_header(file, file_size=size)
            if kind == "safetensors":
                return read_safetensors_header(file, file_size=size)
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"The file {path} does not exist (any more).",
            remedy="If it was moved, import it again from its new place.",
        ) from error
    except IsADirectoryError as error:
        raise ModelFileError(
            f"{path} is a folder, not a model file.", remedy="Choose a file in it."
        ) from error
    except OSError as error:
        raise StorageError(
            f"The file {path} cannot be read: {error.strerror or error}.",
            remedy="Check its permissions and that its drive is connected.",
        ) from error
    if kind == "unknown" and path.suffix.lower() in PICKLE_SUFFIXES:
        kind = "pickle"
    raise refusal(kind, path.name)


def read_model_header(path: Path | str) -> Header:
    """The header of a whole model: all shards of a split GGUF merged into one, else as read_header_file."""
    path = Path(path)
    names = shard_names(path.name)
    if len(names) == 1:
        return read_header_file(path)
    headers: list[GgufHeader] = []
    for name in names:
        header = read_header_file(path.with_name(name))
        if not isinstance(header, GgufHeader):
            raise ModelFileError(f"The part {name} is not a GGUF file.", remedy="Download that part again.")
        headers.append(header)
    return merge_shards(headers)
