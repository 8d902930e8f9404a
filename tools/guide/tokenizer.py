"""The Guide's own byte-level BPE vocabulary.

It is learned from the corpus as it is typed, capitals and slips included, so ordinary questions take few
tokens and any other text still has a spelling in bytes. The pre-tokenizer is the one llama.cpp calls
``gpt-2``.
"""

from __future__ import annotations

from itertools import islice

import corpus
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIALS = (END_TEXT, START, END)


def dress(tokenizer: Tokenizer) -> Tokenizer:
    """Give a tokenizer the byte-level splitting that llama.cpp does too."""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def learn(vocab: int, seed: int = 11, samples: int = 12000) -> Tokenizer:
    """Learn a vocabulary of exactly ``vocab`` tokens from sampled dialogues."""
    tokenizer = dress(Tokenizer(models.BPE()))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Answers come from a short list: a few copies of each are enough, or they would take all the merges.
    dialogues = islice(corpus.dialogues(seed), samples)
    texts = [text for turns in dialogues for role, text in turns if role == "user"]
    texts += [answer for answer in corpus.answers().values() for _ in range(12)]
    texts += [prompt for prompt in corpus.sections()["system"].lines for _ in range(12)]
    texts += ["system\n", "user\n", "assistant\n"] * 200
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab:
        raise ValueError(f"the corpus gave only {tokenizer.get_vocab_size()} tokens of {vocab}")
    return tokenizer


def with_dropout(tokenizer: Tokenizer, dropout: float) -> Tokenizer:
    """The same vocabulary, but skipping merges at random: a cheap way to teach that spellings vary."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.model.dropout = dropout
    return copy
