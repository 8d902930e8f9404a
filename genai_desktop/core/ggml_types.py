"""The tensor types of ggml: names, block sizes, and the quantization label of a whole file.

Numbers are those of ggml.h and llama.h (via the `gguf` package 0.19). A type this table does not know is
not an error: a newer engine may know it, only sizes cannot be computed then.
"""

from __future__ import annotations

from typing import NamedTuple


class GgmlType(NamedTuple):
    """One type: `block` elements take `size` bytes."""

    name: str
    block: int
    size: int


GGML_TYPES: dict[int, GgmlType] = {
    0: GgmlType("F32", 1, 4),
    1: GgmlType("F16", 1, 2),
    2: GgmlType("Q4_0", 32, 18),
    3: GgmlType("Q4_1", 32, 20),
    6: GgmlType("Q5_0", 32, 22),
    7: GgmlType("Q5_1", 32, 24),
    8: GgmlType("Q8_0", 32, 34),
    9: GgmlType("Q8_1", 32, 40),
    10: GgmlType("Q2_K", 256, 84),
    11: GgmlType("Q3_K", 256, 110),
    12: GgmlType("Q4_K", 256, 144),
    13: GgmlType("Q5_K", 256, 176),
    14: GgmlType("Q6_K", 256, 210),
    15: GgmlType("Q8_K", 256, 292),
    16: GgmlType("IQ2_XXS", 256, 66),
    17: GgmlType("IQ2_XS", 256, 74),
    18: GgmlType("IQ3_XXS", 256, 98),
    19: GgmlType("IQ1_S", 256, 50),
    20: GgmlType("IQ4_NL", 32, 18),
    21: GgmlType("IQ3_S", 256, 110),
    22: GgmlType("IQ2_S", 256, 82),
    23: GgmlType("IQ4_XS", 256, 136),
    24: GgmlType("I8", 1, 1),
    25: GgmlType("I16", 1, 2),
    26: GgmlType("I32", 1, 4),
    27: GgmlType("I64", 1, 8),
    28: GgmlType("F64", 1, 8),
    29: GgmlType("IQ1_M", 256, 56),
    30: GgmlType("BF16", 1, 2),
    34: GgmlType("TQ1_0", 256, 54),
    35: GgmlType("TQ2_0", 256, 66),
    39: GgmlType("MXFP4", 32, 17),
    40: GgmlType("NVFP4", 64, 36),
    41: GgmlType("Q1_0", 128, 18),
}

# llama_ftype: what `general.file_type` says about the whole file
FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
}

# The main tensor type each label stands for; used to notice a file_type that does not match the file.
_MAIN_TYPE: dict[str, frozenset[str]] = {
    "Q2_K": frozenset({"Q2_K", "Q3_K"}),
    "Q2_K_S": frozenset({"Q2_K"}),
    "Q3_K_S": frozenset({"Q3_K"}),
    "Q3_K_M": frozenset({"Q3_K", "Q4_K"}),
    "Q3_K_L": frozenset({"Q3_K", "Q5_K"}),
    "Q4_K_S": frozenset({"Q4_K"}),
    "Q4_K_M": frozenset({"Q4_K"}),
    "Q5_K_S": frozenset({"Q5_K"}),
    "Q5_K_M": frozenset({"Q5_K"}),
    "IQ2_M": frozenset({"IQ2_S", "IQ2_XS", "IQ3_S"}),
    "IQ2_S": frozenset({"IQ2_XS", "IQ2_S"}),
    "IQ3_M": frozenset({"IQ3_S"}),
    "IQ3_XS": frozenset({"IQ3_XXS", "IQ3_S"}),
}
_MEDIUM: dict[str, str] = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}

# What a cache of this type costs: bytes per element (llama-server.md section 4)
CACHE_TYPES: dict[str, GgmlType] = {
    "f32": GGML_TYPES[0],
    "f16": GGML_TYPES[1],
    "bf16": GGML_TYPES[30],
    "q8_0": GGML_TYPES[8],
    "q4_0": GGML_TYPES[2],
    "q4_1": GGML_TYPES[3],
    "iq4_nl": GGML_TYPES[20],
    "q5_0": GGML_TYPES[6],
    "q5_1": GGML_TYPES[7],
}


def type_name(type_id: int) -> str:
    """`Q4_K`, or `type 99` for one this program does not know."""
    known = GGML_TYPES.get(type_id)
    return known.name if known else f"type {type_id}"


def tensor_bytes(n_elements: int, type_id: int) -> int | None:
    """Bytes of a tensor, or None when the type is unknown. Rows are whole blocks in every valid file."""
    known = GGML_TYPES.get(type_id)
    if known is None:
        return None
    return -(-n_elements // known.block) * known.size


def quantization_label(file_type: int | None, bytes_by_type: dict[int, int]) -> str:
    """The label people know ("Q4_K_M"): the file's own word where its tensors agree, else the dominant type.

    bytes_by_type: bytes of matrix tensors by ggml type. Files are found whose `file_type` was never
    updated by the tool that quantized them, so a label whose main type holds no bytes at all is not believed.
    """
    label = FILE_TYPES.get(file_type, "") if file_type is not None else ""
    if not bytes_by_type:
        return label
    names = {type_name(t): size for t, size in bytes_by_type.items()}
    if label and any(names.get(main, 0) > 0 for main in _MAIN_TYPE.get(label, frozenset({label}))):
        return label
    # F32 is what every file keeps its small tensors in; it names a file only when there is nothing else
    dominant = max(names, key=lambda name: (name != "F32", names[name]))
    return _MEDIUM.get(dominant, dominant)
