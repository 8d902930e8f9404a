"""What llama-server's log tells: how far loading is, where it listens, what it really allocated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

CHILD_STATE = "cmd_child_to_router:"
_STATE_PREFIX = f"{CHILD_STATE}state:"
_MIB = 2**20

_LISTENING = re.compile(r"listening on (https?://[^\s,]+)")
_PREFIX = re.compile(r"^\d+\.\d\d\.\d{3}\.\d{3} [IWED] ")
_BUFFER = re.compile(r"(?P<what>model|KV|RS|compute|output) buffer size\s*=\s*(?P<size>[\d.]+) MiB")
_BUFFER_DEVICE = re.compile(r":\s*(\S+)\s+(?:model|KV|RS|compute|output) buffer size")
_BUFFER_KINDS = {
    "model": "weights",
    "KV": "kv_cache",
    "RS": "recurrent_state",
    "compute": "compute",
    "output": "output",
}


class LlamaLog:
    """Reads the log of one process line by line; ask its attributes at any time.

    load_progress: 0..1 or None; url: where it listens; has_child_protocol: it understands the commands of
    llama.cpp's router; effective: values by name, sizes in bytes.
    """

    def __init__(self) -> None:
        self.load_progress: float | None = None
        self.url: str | None = None
        self.is_ready = False
        self.has_child_protocol = False
        self.effective: dict[str, Any] = {}
        self._stages: list[str] = []

    @property
    def port(self) -> int | None:
        """The port in `url`."""
        match = re.search(r":(\d+)/?$", self.url or "")
        return int(match.group(1)) if match else None

    def read(self, line: str) -> bool:
        """Take one line. False when it is a message of the child protocol and not meant for people."""
        if line.startswith(CHILD_STATE):
            self.has_child_protocol = True
            if line.startswith(_STATE_PREFIX):
                self._read_state(line.removeprefix(_STATE_PREFIX))
            return False
        text = _PREFIX.sub("", line)
        match = _LISTENING.search(text)
        if match is not None:
            self.url = match.group(1)
            self.is_ready = True
        elif "buffer size" in text:
            self._read_buffer(text)
        else:
            for pattern, take in _FACTS:
                match = pattern.search(text)
                if match is not None:
                    self.effective.update(take(match))
        return True

    def _read_state(self, text: str) -> None:
        try:
            message = json.loads(text)
            state, payload = message["state"], message.get("payload") or {}
            if state == "ready":
                self.is_ready = True
                self.load_progress = 1.0
            elif state == "loading":
                self._read_loading(payload)
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # an internal protocol of llama.cpp: what we do not understand is not for us

    def _read_loading(self, payload: dict[str, Any]) -> None:
        value = float(payload["value"])
        stages = [str(stage) for stage in payload.get("stages", ())] or [""]
        current = str(payload.get("current", stages[0]))
        done = stages.index(current) if current in stages else 0
        progress = (done + min(1.0, max(0.0, value))) / len(stages)
        # it never goes back, whatever a second pass over the file reports
        self.load_progress = max(self.load_progress or 0.0, progress)

    def _read_buffer(self, text: str) -> None:
        match, device = _BUFFER.search(text), _BUFFER_DEVICE.search(text)
        if match is None or device is None:
            return
        buffers: dict[str, dict[str, int]] = self.effective.setdefault("buffers", {})
        kind = buffers.setdefault(_BUFFER_KINDS[match["what"]], {})
        name = device.group(1)
        size = round(float(match["size"]) * _MIB)
        # several KV caches (sliding window and full) are reported one after the other and add up
        kind[name] = kind.get(name, 0) + size if match["what"] in ("KV", "RS") else size


def _numbers(*names: str) -> Callable[[re.Match[str]], dict[str, Any]]:
    return lambda match: {name: int(match.group(i)) for i, name in enumerate(names, 1)}


_FACTS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], dict[str, Any]]], ...] = (
    (re.compile(r"offloaded (\d+)/(\d+) layers to GPU"), _numbers("offloaded_layers", "total_layers")),
    (re.compile(r"llama_context: n_ctx\s+= (\d+)"), _numbers("n_ctx")),
    (re.compile(r"llama_context: n_batch\s+= (\d+)"), _numbers("n_batch")),
    (re.compile(r"llama_context: n_ubatch\s+= (\d+)"), _numbers("n_ubatch")),
    (re.compile(r"print_info: n_ctx_train\s+= (\d+)"), _numbers("n_ctx_train")),
    (
        re.compile(r"initializing, n_slots = (\d+), n_ctx_slot = (\d+)"),
        _numbers("total_slots", "n_ctx_slot"),
    ),
    (
        re.compile(r"MiB \(\s*(\d+) cells,\s+\d+ layers,.*?K \((\w+)\):.*?V \((\w+)\):"),
        lambda m: {"kv_cells": int(m[1]), "cache_type_k": m[2], "cache_type_v": m[3]},
    ),
    (
        re.compile(r"Flash Attention (?:was auto, set to )?(enabled|disabled)"),
        lambda m: {"flash_attn": m[1] == "enabled"},
    ),
    (
        re.compile(r"llama_context: flash_attn\s+= (enabled|disabled)"),
        lambda m: {"flash_attn": m[1] == "enabled"},
    ),
    (re.compile(r"load_mode = (\w[\w+]*)\)"), lambda m: {"load_mode": m[1]}),
    (re.compile(r"context size reduced from \d+ to (\d+)"), _numbers("n_ctx")),
)  # fmt: skip
