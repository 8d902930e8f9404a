"""How to run one model: every setting of the language model server, checked in one place."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from genai_desktop.core.errors import ConfigurationError

OnOffAuto = Literal["auto", "on", "off"]
CACHE_TYPES: tuple[str, ...] = (
    "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1",
)  # fmt: skip
LOAD_MODES: tuple[str, ...] = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
REASONING_FORMATS: tuple[str, ...] = ("deepseek", "deepseek-legacy", "none", "auto")
CONTEXT_STEP = 256  # llama.cpp rounds the context of each slot up to this many tokens
DEFAULT_CONTEXT = 8192

# Words people know from elsewhere, for the hint when a key is unknown.
_SYNONYMS = {
    "n_ctx": "context_size", "ctx_size": "context_size", "n_gpu_layers": "gpu_layers", "ngl": "gpu_layers",
    "n_threads": "threads", "n_parallel": "parallel_requests", "slots": "parallel_requests",
    "flash_attn": "flash_attention", "fa": "flash_attention", "n_batch": "batch_size",
    "n_ubatch": "ubatch_size", "mmap": "load_mode", "mlock": "load_mode", "no_mmap": "load_mode",
    "rpc": "rpc_workers", "model": "model_id", "kv_type": "cache_type_k",
}  # fmt: skip
# Flags only this program may set: they decide who can reach the server and what it may touch.
_RESERVED = frozenset({
    "--model", "-m", "--model-url", "-mu", "--hf-repo", "-hf", "-hfr", "--docker-repo", "-dr", "--host",
    "--port", "--reuse-port", "--api-key", "--api-key-file", "--api-prefix", "--alias", "-a",
    "--slot-save-path",
    "--media-path", "--path", "--tools", "--tools-runtime", "--agent", "-ag", "--mcp-servers-config",
    "--mcp-servers-json", "--ui", "--webui", "--ui-mcp-proxy", "--webui-mcp-proxy", "--cors-origins",
    "--cors-methods", "--cors-headers", "--cors-credentials", "--models-dir", "--models-preset", "--log-file",
    "--log-prompts-dir", "--log-disable", "--log-jsonl", "--ssl-key-file", "--ssl-cert-file",
})  # fmt: skip


@dataclass(frozen=True)
class LlamaServerConfig:
    """How to run one model. None means "auto": the program decides, and says in the end what it was.

    context_size: tokens of all slots together (`-c`); gpu_layers: a number or "all"; cache_ram: MiB of host
    memory for the prompt cache; rpc_workers: "host:port". port "auto": any free one.
    """

    model_id: str
    port: int | Literal["auto"] = 8080
    host: str = "127.0.0.1"
    alias: str = ""
    threads: int | None = None
    threads_batch: int | None = None
    context_size: int | None = None
    gpu_layers: int | Literal["all"] | None = None
    parallel_requests: int | None = None
    flash_attention: OnOffAuto = "auto"
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    batch_size: int | None = None
    ubatch_size: int | None = None
    mmproj: str = ""
    load_mode: str = "auto"
    cpu_moe: bool = False
    n_cpu_moe: int | None = None
    draft_model: str = ""
    draft_max: int | None = None
    draft_gpu_layers: int | Literal["all"] | None = None
    rpc_workers: tuple[str, ...] = ()
    device: str = ""
    kv_offload: bool = True
    swa_full: bool = False
    context_shift: bool = False
    fit: bool = False
    cache_ram: int | None = None
    ctx_checkpoints: int | None = None
    reasoning: OnOffAuto = "auto"
    reasoning_format: str = "deepseek"
    reasoning_budget: int | None = None
    chat_template_file: str = ""
    extra_args: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> LlamaServerConfig:
        """From untyped data (settings, CLI, HTTP). "auto" means None; unknown keys are refused by name."""
        known = {f.name: f for f in fields(cls)}
        for key in values:
            if key not in known:
                raise _unknown_key(key, known)
        if not values.get("model_id"):
            raise ConfigurationError("model_id is missing.", remedy="Name the model to load.")
        shaped: dict[str, Any] = {}
        for key, value in values.items():
            if value == "auto" and known[key].default is None:
                shaped[key] = None
            elif isinstance(value, list):
                shaped[key] = tuple(value)
            else:
                shaped[key] = "auto" if key == "port" and value == 0 else value
        return cls(**shaped).validated()

    def validated(self) -> LlamaServerConfig:
        """Itself, or ConfigurationError naming the key, the value and what is allowed."""
        if not isinstance(self.model_id, str) or not self.model_id:
            raise ConfigurationError(f"model_id must name a model, not {self.model_id!r}.")
        if self.port != "auto":
            _check_int("port", self.port, 1, 65535)
        if self.host not in ("127.0.0.1", "localhost", "::1"):
            raise ConfigurationError(
                f"host is {self.host!r}; the server listens on this computer only.",
                remedy="Leave it at 127.0.0.1; other machines are served by the gateway.",
            )
        for key, (low, high) in _RANGES.items():
            value = getattr(self, key)
            if value is not None and not (value == "all" and key in ("gpu_layers", "draft_gpu_layers")):
                _check_int(key, value, low, high)
        for key, choices in _CHOICES.items():
            if getattr(self, key) not in (None, *choices):
                raise ConfigurationError(
                    f"{key} cannot be {getattr(self, key)!r}.", remedy=f"Choose one of: {', '.join(choices)}."
                )
        for key in ("cpu_moe", "kv_offload", "swa_full", "context_shift", "fit"):
            if not isinstance(getattr(self, key), bool):
                raise ConfigurationError(f"{key} must be true or false, not {getattr(self, key)!r}.")
        for key in ("alias", "mmproj", "draft_model", "device", "chat_template_file"):
            _check_text(key, getattr(self, key))
        for key in ("rpc_workers", "extra_args"):
            _check_texts(key, getattr(self, key))
        self._check_together()
        return self

    def _check_together(self) -> None:
        if is_quantized(self.cache_type_v) and self.flash_attention == "off":
            raise ConfigurationError(
                f"cache_type_v {self.cache_type_v} needs flash attention, which is off.",
                remedy="Set flash_attention to on or auto, or cache_type_v to f16.",
            )
        if self.batch_size and self.ubatch_size and self.ubatch_size > self.batch_size:
            raise ConfigurationError(
                f"ubatch_size {self.ubatch_size} is larger than batch_size {self.batch_size}.",
                remedy="Make ubatch_size at most batch_size.",
            )
        for worker in self.rpc_workers:
            host, _, port = worker.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536 or "," in worker:
                raise ConfigurationError(f"rpc_workers: {worker!r} is not host:port.")
        for argument in self.extra_args:
            name = argument.replace("_", "-").partition("=")[0]
            if name in _RESERVED or name.replace("--no-", "--") in _RESERVED:
                raise ConfigurationError(
                    f"extra_args may not contain {argument}; this program sets it itself.",
                    remedy="Remove it; where there is a setting for it, use that.",
                )


_RANGES: dict[str, tuple[int, int]] = {
    "threads": (1, 1024),
    "threads_batch": (1, 1024),
    "context_size": (CONTEXT_STEP, 2**24),
    "gpu_layers": (0, 10_000),
    "draft_gpu_layers": (0, 10_000),
    "parallel_requests": (1, 64),
    "batch_size": (32, 65_536),
    "ubatch_size": (32, 65_536),
    "n_cpu_moe": (0, 10_000),
    "draft_max": (1, 64),
    "cache_ram": (0, 2**20),
    "ctx_checkpoints": (0, 256),
    "reasoning_budget": (-1, 2**24),
}
_ON_OFF_AUTO = ("auto", "on", "off")
_CHOICES: dict[str, tuple[str, ...]] = {
    "flash_attention": _ON_OFF_AUTO,
    "reasoning": _ON_OFF_AUTO,
    "cache_type_k": CACHE_TYPES,
    "cache_type_v": CACHE_TYPES,
    "load_mode": LOAD_MODES,
    "reasoning_format": REASONING_FORMATS,
}


def _unknown_key(key: object, known: Collection[str]) -> ConfigurationError:
    name = str(key)
    close = difflib.get_close_matches(name, known, n=1)
    guess = _SYNONYMS.get(name.lower().replace("-", "_")) or (close[0] if close else None)
    remedy = f"Did you mean {guess!r}?" if guess else f"Known: {', '.join(sorted(known))}."
    return ConfigurationError(f"Unknown setting {name!r} of the language model server.", remedy=remedy)


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}.")
    if not low <= value <= high:
        raise ConfigurationError(f"{name} is {value}; it must be between {low} and {high}.")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, not {value!r}.")
    if "\0" in value or "\n" in value:
        raise ConfigurationError(f"{name} holds a character that no command line can carry.")


def _check_texts(name: str, values: object) -> None:
    if not isinstance(values, tuple):
        raise ConfigurationError(f"{name} must be a list of texts.")
    for value in values:
        _check_text(name, value)


def is_quantized(cache_type: str | None) -> bool:
    """True for KV types that need flash attention on the V side."""
    return cache_type not in (None, "f32", "f16", "bf16")


def padded_context(tokens: int, slots: int, trained: int | None) -> int:
    """`-c` for `slots` slots: at most the trained context for each, rounded up to a whole step for each.

    llama-server allocates what lies above the trained context and then does not use it.
    """
    each = max(1, tokens // slots)
    if trained:
        each = min(each, trained)
    return -(-each // CONTEXT_STEP) * CONTEXT_STEP * slots


def resolved(
    config: LlamaServerConfig, *, context_length: int | None, cores: int, optimal: Mapping[str, Any]
) -> LlamaServerConfig:
    """`config` with every "auto" replaced: first by `optimal` (values by key), else by what is safe anywhere.

    Safe: no layer on a GPU, one slot, at most 8192 tokens, one thread per physical core. flash_attention and
    load_mode "auto" stay: there the engine decides. The port stays too: any free one may be found again.
    """
    names = {f.name for f in fields(config)} - {"model_id", "port", "host", "alias", "extra_args"}
    known = {key: value for key, value in optimal.items() if key in names and value is not None}
    chosen = {key: value for key, value in known.items() if getattr(config, key) in (None, "auto")}
    config = replace(config, **chosen).validated()
    slots = config.parallel_requests or 1
    wanted = config.context_size or min(context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT) * slots
    layers = 0 if config.gpu_layers is None else config.gpu_layers
    # the logical batch is how long a cancelled prompt goes on computing
    batch = config.batch_size or max(256 if layers == 0 else 512, config.ubatch_size or 0)
    needs_flash = is_quantized(config.cache_type_v) and config.flash_attention == "auto"
    return replace(
        config,
        threads=config.threads or max(1, cores),
        context_size=padded_context(wanted, slots, context_length),
        gpu_layers=layers,
        parallel_requests=slots,
        flash_attention="on" if needs_flash else config.flash_attention,
        cache_type_k=config.cache_type_k or "f16",
        cache_type_v=config.cache_type_v or "f16",
        batch_size=batch,
        ubatch_size=config.ubatch_size or min(512, batch),
        cache_ram=512 if config.cache_ram is None else config.cache_ram,
        ctx_checkpoints=4 if config.ctx_checkpoints is None else config.ctx_checkpoints,
        reasoning_budget=-1 if config.reasoning_budget is None else config.reasoning_budget,
    )
