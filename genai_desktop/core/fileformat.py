"""What kind of file this is, from its first bytes; and the sentence for what is no model at all."""

from __future__ import annotations

from typing import Final, Literal

from genai_desktop.core.errors import ModelFileError

FileKind = Literal[
    "gguf", "safetensors", "html", "json", "xml", "lfs-pointer", "pickle", "zip", "old-ggml", "text",
    "empty", "unknown"
]  # fmt: skip

SNIFF_BYTES: Final = 512  # how much of a file `sniff` wants to see
PICKLE_SUFFIXES: Final = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_MAGICS: Final[tuple[tuple[bytes, FileKind], ...]] = (
    (b"GGUF", "gguf"),
    (b"PK", "zip"),
    (b"lmgg", "old-ggml"),
    (b"fmgg", "old-ggml"),
    (b"tjgg", "old-ggml"),
    (b"algg", "old-ggml"),
)


def sniff(head: bytes) -> FileKind:
    """The kind of file whose first bytes are `head` (up to SNIFF_BYTES)."""
    if not head:
        return "empty"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    # a pickle stream of protocol 2..5; torch's legacy files begin with the pickled magic number
    if head[0] == 0x80 and len(head) > 1 and head[1] in (2, 3, 4, 5):
        return "pickle"
    if len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    return _sniff_text(head)


def _sniff_text(head: bytes) -> FileKind:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "lfs-pointer"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        return "html"
    if text.startswith((b"<?xml", b"<error")):
        return "xml"
    if text.startswith((b"{", b"[")):
        return "json"
    printable = sum(1 for byte in head if 32 <= byte < 127 or byte in (9, 10, 13))
    return "text" if printable == len(head) else "unknown"


def refusal(kind: FileKind, name: str = "The file") -> ModelFileError:
    """The error for a file that is neither GGUF nor safetensors."""
    message, remedy = _REFUSALS.get(kind, _REFUSALS["unknown"])
    return ModelFileError(message.format(name=name), remedy=remedy, details={"kind": kind})


def refuse_pickle_name(name: str) -> None:
    """Raise ModelFileError when a file name says that it is a pickle (.ckpt, .pt, .pth, .bin)."""
    if name.lower().endswith(PICKLE_SUFFIXES):
        raise refusal("pickle", name)


_AGAIN: Final = "Delete it and download the model again."
_REFUSALS: Final[dict[str, tuple[str, str]]] = {
    "html": (
        "{name} is a web page, not a model: the server sent an error or a sign-in page in place of the file.",
        "Check the address (and whether the repository needs a token), then download it again.",
    ),
    "json": (
        "{name} is a JSON text, not a model: the server probably sent an error message in place of the file.",
        "Check the address (and whether the repository needs a token), then download it again.",
    ),
    "xml": (
        "{name} is an XML text, not a model: the server probably sent an error message in place of the file.",
        "Check the address, then download it again.",
    ),
    "lfs-pointer": (
        "{name} is a Git LFS pointer: a short text that stands for the model, not the model itself.",
        "Run 'git lfs pull' in that folder, or download the file from its repository page.",
    ),
    "pickle": (
        "{name} is a pickle file (.ckpt, .pt, .pth, .bin). Opening one can run any program hidden in it.",
        "Use the same model as .safetensors or .gguf; most repositories offer one.",
    ),
    "zip": (
        "{name} is a zip archive or a pickled PyTorch checkpoint (.ckpt, .pt), which can hide programs.",
        "Use the same model as .safetensors or .gguf; if it is a plain zip, unpack it first.",
    ),
    "old-ggml": (
        "{name} is in a GGML format from before August 2023 that no current engine reads.",
        "Look for the same model as .gguf.",
    ),
    "text": ("{name} is a text file, not a model.", "Choose a .gguf or .safetensors file."),
    "empty": ("{name} is empty.", _AGAIN),
    "unknown": (
        "{name} is neither a GGUF nor a safetensors file, or its beginning is damaged.",
        "Choose a .gguf or .safetensors file; if it is one, download it again.",
    ),
    "gguf": ("{name} is a GGUF file, which does not belong here.", "Choose a .safetensors file."),
    "safetensors": ("{name} is a safetensors file, which does not belong here.", "Choose a .gguf file."),
}
