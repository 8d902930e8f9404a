"""A GGUF header as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from genai_desktop.core.ggml_types import tensor_bytes, type_name


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array value. values: all `count` items of a short array, the first few of a long one."""

    type: str
    count: int
    values: tuple[Any, ...]

    @property
    def is_whole(self) -> bool:
        return len(self.values) == self.count


class GgufTensor(NamedTuple):
    """One tensor. shape is in ggml's order (fastest first); offset counts from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    @property
    def n_bytes(self) -> int | None:
        """None when the type is one this program does not know."""
        return tensor_bytes(prod(self.shape), self.type)

    @property
    def type_name(self) -> str:
        return type_name(self.type)


@dataclass(frozen=True)
class GgufHeader:
    """Everything before the data.

    file_size: of the whole file, None when nobody told; bytes_read: asked of the port.
    """

    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]
    alignment: int
    data_offset: int
    file_size: int | None
    bytes_read: int

    def text(self, key: str) -> str:
        """A string value, or empty."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def integer(self, key: str) -> int | None:
        """A whole number, or None (also for an array, a text or a float that is no whole number)."""
        value = self.metadata.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != _int_or_none(value):
            return None
        return int(value)

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def hparam(self, name: str) -> Any:
        """The value of `<architecture>.<name>`, or None."""
        return self.metadata.get(f"{self.architecture}.{name}")


def _int_or_none(value: float) -> int | None:
    """The whole part, or None for infinities and NaN."""
    try:
        return int(value)
    except (OverflowError, ValueError):
        return None
