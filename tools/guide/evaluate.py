"""Score the Guide through the real engine: ``python tools/guide/evaluate.py resources/guide/guide.gguf``.

An answer counts when it is, nearly word for word, the answer of an intent that heldout.txt accepts for the
question. Nearly, because sampling at a temperature may change a word without changing what is said.
"""

from __future__ import annotations

import argparse
import difflib
import tempfile
from pathlib import Path
from typing import Any

import corpus
import httpx
import xllamacpp

SAME = 0.9


def serve(path: Path, slots: Path) -> Any:
    """Start the embedded llama.cpp server on a free loopback port."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 2048
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.use_jinja = True
    params.verbosity = 1
    params.cpuparams.n_threads = 1
    params.slot_save_path = f"{slots}/"
    return xllamacpp.Server(params)


def call(url: str, body: dict[str, Any]) -> Any:
    """One JSON request to the server."""
    return httpx.post(url, json=body, timeout=120).raise_for_status().json()


def ask(url: str, question: str, temperature: float, seed: int = 1) -> tuple[list[str], dict[str, Any]]:
    """Play a dialogue (turns split by ``||``); all replies, and the last response."""
    messages: list[dict[str, str]] = []
    replies: list[str] = []
    reply: dict[str, Any] = {}
    for turn in question.split(" || "):
        messages.append({"role": "user", "content": turn})
        body = {"messages": messages, "temperature": temperature, "seed": seed, "max_tokens": 200}
        reply = call(f"{url}/v1/chat/completions", body)
        replies.append(reply["choices"][0]["message"]["content"])
        messages.append({"role": "assistant", "content": replies[-1]})
    return replies, reply


def likeness(a: str, b: str) -> float:
    """Share of words two answers have in common, in order."""
    return difflib.SequenceMatcher(None, a.lower().split(), b.lower().split(), autojunk=False).ratio()


def score(url: str, temperature: float, show: bool) -> None:
    """Ask every question of heldout.txt and print how many were answered as they should be."""
    table = corpus.answers()
    right = {False: 0, True: 0}
    total = {False: 0, True: 0}
    stopped, speeds = 0, []
    for names, question, seen in corpus.asked():
        replies, last = ask(url, question, temperature)
        good = max(likeness(replies[-1], table[name]) for name in names) >= SAME
        total[seen] += 1
        right[seen] += good
        stopped += last["choices"][0]["finish_reason"] == "stop"
        speeds.append(last["timings"]["predicted_per_second"])
        if show and not good:
            print(f"  MISS [{','.join(names)}] {question}\n       {replies[-1]}")
    count = len(speeds)
    print(
        f"temperature {temperature}: held-out {right[False]}/{total[False]}, "
        f"most likely {right[True]}/{total[True]}, stopped by itself {stopped}/{count}, "
        f"{sorted(speeds)[count // 2]:.0f} tok/s (median, one thread)"
    )


def resume(url: str) -> None:
    """Save the slot, wipe it, restore it, and show that the conversation is not read again."""
    turns = [{"role": "user", "content": "How do I download a model?"}]
    first = call(f"{url}/v1/chat/completions", {"messages": turns, "temperature": 0, "id_slot": 0})
    turns += [first["choices"][0]["message"], {"role": "user", "content": "tell me more"}]
    saved = call(f"{url}/slots/0?action=save", {"filename": "guide.bin"})["n_saved"]
    call(f"{url}/slots/0?action=erase", {})
    restored = call(f"{url}/slots/0?action=restore", {"filename": "guide.bin"})["n_restored"]
    second = call(f"{url}/v1/chat/completions", {"messages": turns, "temperature": 0, "id_slot": 0})
    reused, read = second["timings"]["cache_n"], second["timings"]["prompt_n"]
    print(f"slot: saved {saved}, restored {restored}, then cache_n {reused}, prompt_n {read}")


def main() -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--temperature", type=float, action="append", help="default: 0 and 0.7")
    parser.add_argument("--misses", action="store_true", help="print each wrong answer")
    parser.add_argument(
        "--ask", action="append", default=[], help="print the replies to this (turns split by ||)"
    )
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as slots:
        server = serve(a.model, Path(slots))
        url = server.listening_address
        for question in a.ask:
            replies, _ = ask(url, question, (a.temperature or [0.0])[0])
            for turn, reply in zip(question.split(" || "), replies, strict=True):
                print(f"> {turn}\n{reply}")
            print()
        if not a.ask:
            for temperature in a.temperature or [0.0, 0.7]:
                score(url, temperature, a.misses)
            resume(url)
        del server


if __name__ == "__main__":
    main()
