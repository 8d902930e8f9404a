"""Tiny random models that the real engines load and run, and broken ones that they refuse.

The weights are noise from a fixed seed, so a file has the same bytes on every machine with the same numpy;
what the models say or paint means nothing. Files land in a directory of the caller and are written once: a
second call finds them there.

    python -m tests.real.models DIR        writes the whole set (about 79 MB) and names each file
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

from genai_desktop.library.image_test_set import tiny_flux_set, write_once

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Ends the prompt inside an open thought, as the distilled reasoning models do. llama.cpp finds out what a
# thought looks like by rendering a reply that has one: without the first half of this, it sees plain text.
THINK_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and message['reasoning_content'] %}"
    "{{ '<think>\\n' + message['reasoning_content'] + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)

_WORDS = """
the of and to in is it you that he was for on are with as his they be at one have this from or had
by not but what some we can out other were all there when up use your how said each she which do
their time if will way about many then them write would like so these her long make thing see him
two has look more day could go come did number sound no most people my over know water than call
first who may down side been now find any new work part take get place made live where after back
little only round man year came show every good me give our under
""".split()  # noqa: SIM905 - a list of a hundred quoted words reads worse

_CONTROL = ("<|im_start|>", "<|im_end|>")
_THOUGHT = ("<think>", "</think>")


# --- language model ---


def tiny_llama(
    path: Path,
    *,
    n_layer: int = 2,
    n_embd: int = 64,
    n_head: int = 2,
    n_head_kv: int = 1,
    n_ff: int = 192,
    n_ctx_train: int = 2048,
    thinking: bool = False,
    architecture: str = "llama",
    name: str = "Tiny Llama",
    seed: int = 7,
) -> Path:
    """Write a random llama model of about 0.4 MB with a tokenizer and a chat template; return its path.

    `thinking` gives it a template that opens `<think>` and a vocabulary in which `</think>` is likely, so
    that a reply has a thought and, sooner or later, an end of it.
    """
    shape = _Shape(n_layer, n_embd, n_head, n_head_kv, n_ff, n_ctx_train)
    return write_once(
        path, lambda target: _write_llama(target, shape, name, architecture, thinking=thinking, seed=seed)
    )


def tiny_thinker(path: Path) -> Path:
    """The tiny llama with a reasoning template."""
    return tiny_llama(path, thinking=True, name="Tiny Thinker")


@dataclass(frozen=True)
class _Shape:
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_ctx_train: int


def bulky_llama(path: Path, *, gigabytes: float = 0.5) -> Path:
    """A llama of zeros, `gigabytes` of holes in a file, whose load takes long enough to be watched.

    Start it with `--load-mode none`, otherwise it is mapped and there is nothing to wait for.
    """
    n_embd, n_ff = 1024, 4096
    per_layer = 2 * (2 * n_embd * n_embd + 2 * n_embd * (n_embd // 2) + 3 * n_embd * n_ff)
    shape = _Shape(max(1, int(gigabytes * 2**30 / per_layer)), n_embd, 16, 8, n_ff, 2048)
    return write_once(path, lambda target: _write_hollow_llama(target, shape))


def _vocabulary(thinking: bool) -> tuple[list[bytes], list[float], list[int]]:
    tokens: list[tuple[str, float, TokenType]] = [
        ("<unk>", 0.0, TokenType.UNKNOWN),
        ("<s>", 0.0, TokenType.CONTROL),
        ("</s>", 0.0, TokenType.CONTROL),
    ]
    tokens += [(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)]
    tokens += [(token, 0.0, TokenType.CONTROL) for token in _CONTROL]
    if thinking:
        tokens += [(token, 0.0, TokenType.USER_DEFINED) for token in _THOUGHT]
    pieces = ["\u2581", *(chr(code) for code in range(33, 127)), *("\u2581" + word for word in _WORDS)]
    tokens += [(piece, -float(rank), TokenType.NORMAL) for rank, piece in enumerate(dict.fromkeys(pieces))]
    return (
        [text.encode() for text, _, _ in tokens],
        [score for _, score, _ in tokens],
        [int(kind) for _, _, kind in tokens],
    )


def _llama_writer(path: Path, shape: _Shape, name: str, architecture: str, *, thinking: bool) -> GGUFWriter:
    """A writer that has the metadata and the vocabulary, and no tensor yet."""
    tokens, scores, kinds = _vocabulary(thinking)
    writer = GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_description("random weights, for tests only")
    writer.add_file_type(1)
    writer.add_context_length(shape.n_ctx_train)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_rope_dimension_count(shape.n_embd // shape.n_head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(THINK_TEMPLATE if thinking else CHAT_TEMPLATE)
    return writer


def _write_llama(
    path: Path, shape: _Shape, name: str, architecture: str, *, thinking: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tokens, _, kinds = _vocabulary(thinking)
    n_embd, n_ff, n_head, n_head_kv = shape.n_embd, shape.n_ff, shape.n_head, shape.n_head_kv
    head = n_embd // n_head
    writer = _llama_writer(path, shape, name, architecture, thinking=thinking)

    def matrix(label: str, rows: int, columns: int, gain: float = 1.0) -> None:
        values = rng.standard_normal((rows, columns), dtype=np.float32) * (gain / np.sqrt(columns))
        writer.add_tensor(label, values.astype(np.float16))

    def ones(label: str) -> None:
        writer.add_tensor(label, np.ones(n_embd, dtype=np.float32))

    matrix("token_embd.weight", len(tokens), n_embd, gain=4.0)
    for layer in range(shape.n_layer):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        matrix(block + "attn_q.weight", n_head * head, n_embd)
        matrix(block + "attn_k.weight", n_head_kv * head, n_embd)
        matrix(block + "attn_v.weight", n_head_kv * head, n_embd)
        matrix(block + "attn_output.weight", n_embd, n_head * head)
        ones(block + "ffn_norm.weight")
        matrix(block + "ffn_gate.weight", n_ff, n_embd)
        matrix(block + "ffn_up.weight", n_ff, n_embd)
        matrix(block + "ffn_down.weight", n_embd, n_ff)
    ones("output_norm.weight")
    # Flat zero for bytes and control tokens: replies are words, valid UTF-8, and end where the
    # test says they end.
    output = rng.standard_normal((len(tokens), n_embd), dtype=np.float32) * (3.0 / np.sqrt(n_embd))
    for index, kind in enumerate(kinds):
        if kind in (TokenType.BYTE, TokenType.CONTROL, TokenType.UNKNOWN):
            output[index] = 0.0
    if thinking:
        output[tokens.index(b"<think>")] = 0.0
        output[tokens.index(b"</think>")] *= 1.6
    writer.add_tensor("output.weight", output.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_hollow_llama(path: Path, shape: _Shape) -> None:
    writer = _llama_writer(path, shape, "Bulky Llama", "llama", thinking=False)
    tokens, _, _ = _vocabulary(thinking=False)
    n_embd, n_ff, n_kv = shape.n_embd, shape.n_ff, shape.n_embd * shape.n_head_kv // shape.n_head
    half, full = np.dtype(np.float16), np.dtype(np.float32)
    tensors: list[tuple[str, tuple[int, ...], np.dtype]] = [
        ("token_embd.weight", (len(tokens), n_embd), half)
    ]
    for layer in range(shape.n_layer):
        block = f"blk.{layer}."
        tensors += [
            (block + "attn_norm.weight", (n_embd,), full),
            (block + "attn_q.weight", (n_embd, n_embd), half),
            (block + "attn_k.weight", (n_kv, n_embd), half),
            (block + "attn_v.weight", (n_kv, n_embd), half),
            (block + "attn_output.weight", (n_embd, n_embd), half),
            (block + "ffn_norm.weight", (n_embd,), full),
            (block + "ffn_gate.weight", (n_ff, n_embd), half),
            (block + "ffn_up.weight", (n_ff, n_embd), half),
            (block + "ffn_down.weight", (n_embd, n_ff), half),
        ]
    tensors += [("output_norm.weight", (n_embd,), full), ("output.weight", (len(tokens), n_embd), half)]
    total = 0
    for label, dimensions, kind in tensors:
        size = int(np.prod(dimensions)) * kind.itemsize
        writer.add_tensor_info(label, dimensions, kind, size)
        total += -(-size // writer.data_alignment) * writer.data_alignment
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        begin = file.seek(0, os.SEEK_END)
        file.truncate(begin + -begin % writer.data_alignment + total)


# --- broken ones ---


def truncated(source: Path, path: Path, *, keep: float = 0.6) -> Path:
    """The first part of `source`, as an interrupted download leaves it."""
    data = source.read_bytes()
    return write_once(path, lambda target: _put(target, data[: int(len(data) * keep)]))


def html_instead(path: Path) -> Path:
    """A web page under a model's name: what a login wall or a moved file hands out with status 200."""
    page = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
    return write_once(path, lambda target: _put(target, page * 40))


def unknown_arch(path: Path) -> Path:
    """A well-formed GGUF of an architecture that no engine knows: a model newer than the engine."""
    return tiny_llama(path, architecture="fantasia", name="Tiny Fantasia")


def wrong_role(files: dict[str, Path]) -> dict[str, Path]:
    """The image set with the autoencoder where the diffusion model belongs, and the reverse."""
    return {**files, "diffusion_model": files["taesd"], "taesd": files["diffusion_model"]}


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def write_all(directory: Path) -> dict[str, Path]:
    """Write every sound model into `directory`; return the files by name of their use."""
    return {
        "chat": tiny_llama(directory / "tiny-llama.gguf"),
        "reasoning": tiny_thinker(directory / "tiny-thinker.gguf"),
        **tiny_flux_set(directory),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.real.models DIR")
    for use, file in write_all(Path(sys.argv[1])).items():
        print(f"{use:16} {file.stat().st_size:>10}  {file}")
