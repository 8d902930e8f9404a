"""Reply speed and time to the first token through the window, against curl on the same server."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from typing import Any

from benchmarks.harness import PYTHON, ROOT, Row, data_folder

PROMPT, TOKENS, ROUNDS = "How do I download a model, and what is a quantization?", 64, 7


def measure() -> list[Row]:
    with data_folder():
        window = subprocess.Popen(
            [PYTHON, "-m", "benchmarks.window", "chat", PROMPT, str(TOKENS)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert window.stdin is not None
        assert window.stdout is not None
        server = json.loads(window.stdout.readline())
        rival = [_curl(server["url"], server["key"]) for _ in range(ROUNDS)]
        window.stdin.write("\n")
        window.stdin.flush()
        ours = json.loads(window.stdout.readline())["rounds"]
        window.wait(60)

    def median(rounds: list[dict[str, float]], name: str) -> float:
        return statistics.median(r[name] for r in rounds[1:])

    rate, rival_rate = median(ours, "rate"), median(rival, "rate")
    first, rival_first = 1000 * median(ours, "first"), 1000 * median(rival, "first")
    is_fast = rate >= 0.99 * rival_rate
    is_prompt = first <= rival_first + 10
    return [
        Row("chat through the window", "tok/s", rate, rival_rate, "curl", "at least 0.99x", is_fast),
        Row("first token through the window", "ms", first, rival_first, "curl", "at most +10 ms", is_prompt),
    ]


def _curl(url: str, key: str) -> dict[str, float]:
    headers = ["-H", f"Authorization: Bearer {key}"]
    body = {
        "messages": [{"role": "user", "content": PROMPT}], "stream": True, "temperature": 0.0,
        "max_tokens": TOKENS, "seed": 1, "cache_prompt": True, "id_slot": 0,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    begun = time.perf_counter()
    process = subprocess.Popen(
        ["curl", "-sN", f"{url}/v1/chat/completions", *headers, "-d", json.dumps(body)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    first, tokens = 0.0, 0
    for line in process.stdout:
        if not line.startswith("data: {"):
            continue
        chunk: dict[str, Any] = json.loads(line[6:])
        if not first and any((c.get("delta") or {}).get("content") for c in chunk.get("choices", [])):
            first = time.perf_counter() - begun
        if chunk.get("usage"):
            tokens = chunk["usage"]["completion_tokens"]
    elapsed = time.perf_counter() - begun
    process.wait()
    return {"first": first, "rate": tokens / elapsed, "tokens": float(tokens)}
