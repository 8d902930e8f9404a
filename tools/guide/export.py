"""Write the trained network as a GGUF file that llama.cpp loads."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from model import Guide
from tokenizer import END, END_TEXT, SPECIALS
from tokenizers import Tokenizer

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""Plain ChatML: no tools and no thinking, which the engine looks for in the template."""

SHARPNESS = 2.0
"""The logits are scaled by this. So small a network is unsure of its first word and at the usual temperature
of 0.7 or 0.8 it would now and then pick the second best, which is a wrong answer."""

DESCRIPTION = (
    "A tiny demo model built into GenAI Desktop. It answers simple questions about the program and knows "
    "nothing else. It shows that the engine works; load a real model for real work."
)


def size_label(parameters: int) -> str:
    """Parameter count the way model names carry it, such as 4.7M."""
    return f"{parameters / 1e6:.1f}M"


def export(model: Guide, tokenizer: Tokenizer, path: Path) -> None:
    """Write ``path`` in one step: a reader sees the old file or the new one, never half of one."""
    shape = model.shape
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "llama")
    writer.add_type("model")
    writer.add_name("Guide (demo)")
    writer.add_basename("guide")
    writer.add_description(DESCRIPTION)
    writer.add_license("MIT")
    writer.add_license_name("MIT License")
    writer.add_author("The GenAI Desktop developers")
    writer.add_languages(["en"])
    writer.add_tags(["demo", "text-generation"])
    writer.add_size_label(size_label(model.count()))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_vocab_size(shape.vocab)
    _vocabulary(writer, tokenizer)
    for name, parameter in model.named_parameters():
        data = parameter.detach().float().numpy()
        if name == "output_norm.weight":
            data = data * SHARPNESS
        if data.ndim == 1:
            writer.add_tensor(name, data.astype(np.float32))
        else:
            packed = gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    ids: dict[str, int] = tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda t: ids[t])
    kinds = [gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL for t in tokens]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(ids[END_TEXT])
    writer.add_eos_token_id(ids[END])
    writer.add_eot_token_id(ids[END])
    writer.add_pad_token_id(ids[END_TEXT])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
