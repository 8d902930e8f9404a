"""From a configuration to the command line of llama-server, gated on what the binary says it knows."""

from __future__ import annotations

from collections.abc import Callable, Collection

from genai_desktop.core.errors import EngineError
from genai_desktop.core.llama_config import LlamaServerConfig, padded_context, resolved

__all__ = ["LlamaServerConfig", "build_llama_argv", "padded_context", "resolved"]


class _ArgvBuilder:
    """Adds a flag under the first spelling the binary knows; without any flags it is taken to know all."""

    def __init__(self, flags: Collection[str]) -> None:
        self._flags = frozenset(flags)
        self.argv: list[str] = []

    def knows(self, *spellings: str) -> str | None:
        return next((s for s in spellings if not self._flags or s in self._flags), None)

    def add(self, spellings: tuple[str, ...], *values: object) -> bool:
        """False, and nothing added, when the binary lacks the flag."""
        spelling = self.knows(*spellings)
        if spelling is not None:
            self.argv += [spelling, *map(str, values)]
        return spelling is not None

    def require(self, key: str, spellings: tuple[str, ...], *values: object) -> None:
        """For what a person asked for: it must not be dropped in silence."""
        if not self.add(spellings, *values):
            raise EngineError(
                f"This build of llama.cpp does not know {spellings[0]}, which the setting {key} needs.",
                code="ENGINE_TOO_OLD",
                remedy=f"Install a newer build of llama.cpp, or leave {key} at its default.",
            )


def build_llama_argv(
    config: LlamaServerConfig,
    model_path: str,
    flags: Collection[str],
    *,
    port: int,
    alias: str = "",
    slot_dir: str = "",
) -> list[str]:
    """The arguments after the program. config must be `resolved`; no secret is in them.

    flags: the names in the binary's --help; what it lacks is left out when it is a mere default, and
    EngineError when a person asked for it.
    """
    b = _ArgvBuilder(flags)
    b.argv += ["-m", model_path, "--host", "127.0.0.1" if config.host == "localhost" else config.host]
    b.argv += ["--port", str(port), "-c", str(config.context_size), "-np", str(config.parallel_requests)]
    b.argv += ["-ngl", _layers(config.gpu_layers, b.knows)]
    for spellings, value in (
        (("-t", "--threads"), config.threads),
        (("-tb", "--threads-batch"), config.threads_batch),
        (("-b", "--batch-size"), config.batch_size),
        (("-ub", "--ubatch-size"), config.ubatch_size),
        (("-fa", "--flash-attn"), config.flash_attention),
        (("-ctk", "--cache-type-k"), config.cache_type_k),
        (("-ctv", "--cache-type-v"), config.cache_type_v),
        (("-fit", "--fit"), "on" if config.fit else "off"),
        (("--reasoning-format",), config.reasoning_format),
        (("--cache-ram", "-cram"), config.cache_ram),
        (("-ctxcp", "--ctx-checkpoints", "--swa-checkpoints"), config.ctx_checkpoints),
        (("--alias", "-a"), _alias(config.alias or alias)),
        (("--slot-save-path",), slot_dir),
        (("--log-colors",), "off"),
        # a reply's connection is looked at once per ping: with the default of 30 s a stop may wait that long
        (("--sse-ping-interval",), 2),
        (("-lv", "--verbosity", "--log-verbosity"), 4),
        # a page in a browser has nothing to ask here; .invalid can never be anybody's origin
        (("--cors-origins",), "https://genai-desktop.invalid"),
    ):
        if value not in (None, ""):
            b.add(spellings, value)
    for spellings in (
        ("--jinja",),
        ("--no-ui", "--no-webui"),
        ("--no-cors-credentials",),
        ("--metrics",),
        ("--offline",),
    ):
        b.add(spellings)
    _add_choices(b, config)
    b.argv += config.extra_args
    return b.argv


def _add_choices(b: _ArgvBuilder, config: LlamaServerConfig) -> None:
    """What only appears when a person, or the placement, wanted it."""
    if config.load_mode != "auto":
        _add_load_mode(b, config.load_mode)
    draft = config.draft_model
    draft_layers = None if config.draft_gpu_layers is None else _layers(config.draft_gpu_layers, b.knows)
    budget = None if config.reasoning_budget == -1 else config.reasoning_budget
    valued: tuple[tuple[str, tuple[str, ...], object], ...] = (
        ("mmproj", ("--mmproj", "-mm"), config.mmproj),
        ("n_cpu_moe", ("--n-cpu-moe", "-ncmoe"), None if config.cpu_moe else config.n_cpu_moe),
        ("draft_model", ("--spec-draft-model", "-md", "--model-draft"), draft),
        ("draft_max", ("--spec-draft-n-max", "--draft-max"), config.draft_max if draft else None),
        ("draft_gpu_layers", ("--spec-draft-ngl", "-ngld"), draft_layers if draft else None),
        ("rpc_workers", ("--rpc",), ",".join(config.rpc_workers)),
        ("device", ("--device", "-dev"), config.device),
        ("reasoning", ("--reasoning", "-rea"), None if config.reasoning == "auto" else config.reasoning),
        ("reasoning_budget", ("--reasoning-budget",), budget),
        ("chat_template_file", ("--chat-template-file",), config.chat_template_file),
    )
    for key, spellings, value in valued:
        if value not in (None, ""):
            b.require(key, spellings, value)
    switches: tuple[tuple[str, tuple[str, ...], bool], ...] = (
        ("cpu_moe", ("--cpu-moe", "-cmoe"), config.cpu_moe),
        ("kv_offload", ("--no-kv-offload", "-nkvo"), not config.kv_offload),
        ("swa_full", ("--swa-full",), config.swa_full),
        ("context_shift", ("--context-shift",), config.context_shift),
    )
    for key, spellings, is_on in switches:
        if is_on:
            b.require(key, spellings)


def _add_load_mode(b: _ArgvBuilder, mode: str) -> None:
    if b.add(("--load-mode", "-lm"), mode):
        return
    # builds before September 2026: mmap was the default, and each other mode a flag of its own
    old = {"none": ("--no-mmap",), "mlock": ("--no-mmap", "--mlock"), "mmap+mlock": ("--mlock",), "mmap": ()}
    for flag in old.get(mode, ("--load-mode",)):
        b.require("load_mode", (flag,))


def _layers(value: int | str | None, knows: Callable[..., str | None]) -> str:
    """ "all" is a word only newer builds know; they are the ones with --fit."""
    if value == "all":
        return "all" if knows("-fit", "--fit") else "999"
    return str(value or 0)


def _alias(name: str) -> str:
    """A comma would make it two aliases."""
    return " ".join(name.replace(",", " ").split())
