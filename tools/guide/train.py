"""Train the Guide: ``python tools/guide/train.py --out resources/guide/guide.gguf --minutes 40``.

One processor core and well under an hour are enough. The learning rate follows the clock (or, with
``--steps``, the step count, which makes a run repeatable on one machine), so the file is as good as the
time given allows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import corpus
import torch
from export import export
from load import load
from model import Guide, Shape
from tokenizer import END, START, learn, with_dropout
from tokenizers import Tokenizer
from torch import Tensor

BATCH_TOKENS = 4096
LENGTHS = (128, 192, 256, 256, 256, 384, 512, 512, 1024, 2048, 2048)
"""Row lengths, drawn alike. The longest is the whole context, or long conversations would end in babble."""
OPENING = 12
OPENING_WEIGHT = 3.0
"""The first tokens of a reply are where the fact is chosen; the rest is recited, so it may count less."""
CUT = 0.6
"""Share of last replies cut after their opening: more questions in less time. No loss at a cut."""
QUESTION_WEIGHT = 0.05
"""Loss on what people type: a little teaches how words are spelt, more would go into guessing questions."""


class Encoder:
    """Dialogues to tokens and loss weights, in the form the chat template gives them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.exact = tokenizer
        self.loose = with_dropout(tokenizer, 0.08)
        vocabulary: dict[str, int] = tokenizer.get_vocab()
        self.start, self.end = vocabulary[START], vocabulary[END]
        self.known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Tokens of a text that occurs often."""
        if text not in self.known:
            self.known[text] = self.exact.encode(text).ids
        return self.known[text]

    def turns(self, rng: Random, turns: list[corpus.Turn]) -> tuple[list[int], list[float]]:
        """One dialogue; only the replies and their end count in full."""
        tokens: list[int] = []
        weights: list[float] = []
        for place, (role, text) in enumerate(turns, 1):
            head = [self.start, *self.ids(f"{role}\n")]
            if role == "assistant":
                body = [*self.ids(text), self.end]
                if place == len(turns) and rng.random() < CUT:
                    body = body[:OPENING]
                count = [OPENING_WEIGHT] * min(OPENING, len(body)) + [1.0] * (len(body) - OPENING)
            else:
                body = [*(self.loose if rng.random() < 0.5 else self.exact).encode(text).ids, self.end]
                count = [QUESTION_WEIGHT] * len(body)
            tail = self.ids("\n") if body[-1] == self.end else []
            tokens += [*head, *body, *tail]
            weights += [0.0] * len(head) + count + [0.0] * len(tail)
        return tokens, weights


def batches(encoder: Encoder, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows filled with one dialogue after the other.

    Later dialogues of a row see the earlier ones, as a long conversation would, so the network learns to
    answer the last question wherever it stands in the context.
    """
    rng = Random(seed)
    stream = corpus.dialogues(seed)
    while True:
        length = rng.choice(LENGTHS)
        rows, weights = [], []
        for _ in range(BATCH_TOKENS // length):
            row: list[int] = []
            weight: list[float] = []
            while len(row) < length + 1:
                t, w = encoder.turns(rng, next(stream))
                row += t
                weight += w
            rows.append(row[: length + 1])
            weights.append(weight[: length + 1])
        yield torch.tensor(rows), torch.tensor(weights)


def optimizers(model: Guide, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, where it learns faster; AdamW for embedding and norms."""
    inner = [p for n, p in model.named_parameters() if p.dim() == 2 and n.startswith("blk.")]
    outer = [p for n, p in model.named_parameters() if p.dim() != 2 or not n.startswith("blk.")]
    return [
        torch.optim.Muon(inner, lr=rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(outer, lr=rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def rate_at(done: float) -> float:
    """Share of the learning rate at a share of the run: a short warm-up, a plateau, a straight way down."""
    return min(1.0, done / 0.02) * min(1.0, (1.0 - done) / 0.55 + 0.01)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    minutes: float
    steps: int
    seed: int
    rate: float
    half: bool


def train(out: Path, model: Guide, tokenizer: Tokenizer, plan: Plan) -> None:
    """Train until the time or the steps are used up, and write the file at the end (and at each quarter)."""
    print(f"{model.count():,} parameters, vocabulary {model.shape.vocab}", flush=True)
    groups = optimizers(model, plan.rate)
    source = batches(Encoder(tokenizer), plan.seed)
    begin = time.monotonic()
    step, done, smooth, written = 0, 0.0, 0.0, 0
    while done < 1.0:
        spent = (time.monotonic() - begin) / 60
        done = step / plan.steps if plan.steps else spent / plan.minutes
        for group in groups:
            for params in group.param_groups:
                params["lr"] = plan.rate * rate_at(min(done, 1.0))
        tokens, weights = next(source)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.half):
            loss = model.loss(tokens, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in groups:
            group.step()
            group.zero_grad()
        step += 1
        smooth = loss.item() if step == 1 else 0.95 * smooth + 0.05 * loss.item()
        if step % 50 == 0:
            speed = step * BATCH_TOKENS / (time.monotonic() - begin)
            print(f"step {step}  {done:5.1%}  loss {smooth:.4f}  {speed:,.0f} tok/s", flush=True)
        if int(done * 4) > written:
            written = int(done * 4)
            export(model, tokenizer, out)
    export(model, tokenizer, out)
    seen = step * BATCH_TOKENS / 1e6
    print(f"wrote {out.stat().st_size:,} bytes after {step} steps, {seen:.1f} M tokens, {spent:.1f} min")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="go on from this file (with another seed)")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--steps", type=int, default=0, help="train this many steps instead of by the clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--hidden", type=int, default=Shape.hidden)
    parser.add_argument("--vocab", type=int, default=Shape.vocab)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--f32", action="store_true", help="no bfloat16: for processors that are slow at it")
    a = parser.parse_args()
    shape = Shape(vocab=a.vocab, layers=a.layers, hidden=a.hidden)
    a.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    model, tokenizer = load(a.start) if a.start else (Guide(shape), learn(shape.vocab))
    train(a.out, model, tokenizer, Plan(a.minutes, a.steps, a.seed, a.rate, half=not a.f32))


if __name__ == "__main__":
    main()
