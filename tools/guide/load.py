"""Read a Guide back from its GGUF file, to go on training after facts have changed."""

from __future__ import annotations

from pathlib import Path

import gguf
import torch
from export import SHARPNESS
from model import Guide, Shape
from tokenizer import SPECIALS, dress
from tokenizers import AddedToken, Tokenizer, models


def load(path: Path) -> tuple[Guide, Tokenizer]:
    """Network and vocabulary of a file that export.py wrote."""
    reader = gguf.GGUFReader(path)

    def number(key: str) -> int:
        return int(reader.fields[f"llama.{key}"].contents())

    shape = Shape(
        vocab=number("vocab_size"),
        width=number("embedding_length"),
        layers=number("block_count"),
        heads=number("attention.head_count"),
        kv_heads=number("attention.head_count_kv"),
        head_dim=number("attention.key_length"),
        hidden=number("feed_forward_length"),
        context=number("context_length"),
    )
    model = Guide(shape)
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    weights["output_norm.weight"] = weights["output_norm.weight"] / SHARPNESS
    model.load_state_dict({name: torch.tensor(data) for name, data in weights.items()})
    tokens: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    merges: list[str] = reader.fields["tokenizer.ggml.merges"].contents()
    pairs = [(left, right) for left, _, right in (m.partition(" ") for m in merges)]
    bpe = models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=pairs)
    tokenizer = dress(Tokenizer(bpe))
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in SPECIALS])
    return model, tokenizer
