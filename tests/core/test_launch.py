"""The configuration of the language model server, and the command line made of it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.errors import ConfigurationError, EngineError
from genai_desktop.core.launch import LlamaServerConfig, build_llama_argv, padded_context, resolved

HELP = Path(__file__).resolve().parent.parent / "data" / "llama-server" / "help.out.txt"
FLAGS = frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", HELP.read_text()))
OLD_FLAGS = frozenset({
    "-m", "--model", "--host", "--port", "-c", "--ctx-size", "-ngl", "-np", "-t", "--threads", "-b", "-ub",
    "--no-mmap", "--mlock", "--jinja", "--no-webui", "--api-key", "--alias", "-md", "--draft-max",
    "--slot-save-path", "--metrics",
})  # fmt: skip


def config(**values: Any) -> LlamaServerConfig:
    return LlamaServerConfig.from_mapping({"model_id": "m", **values})


def settle(context_length: int | None = None, optimal: dict[str, Any] | None = None, **values: Any) -> Any:
    return resolved(config(**values), context_length=context_length, cores=4, optimal=optimal or {})


def argv(flags: frozenset[str] = FLAGS, **values: Any) -> list[str]:
    return build_llama_argv(
        settle(**values), "/models/a b.gguf", flags, port=4711, alias="Name", slot_dir="/slots"
    )


def value(line: list[str], flag: str) -> str:
    return line[line.index(flag) + 1]


def test_defaults_are_those_of_the_requirements() -> None:
    c = config()
    assert (c.port, c.host) == (8080, "127.0.0.1")
    assert config(port=0).port == "auto"
    assert config(port="auto").port == "auto"


def test_every_key_of_the_requirements_exists() -> None:
    names = {f.name for f in fields(LlamaServerConfig)}
    assert names >= {
        "model_id", "port", "threads", "context_size", "gpu_layers", "parallel_requests", "flash_attention",
        "cache_type_k", "cache_type_v", "batch_size", "ubatch_size", "mmproj", "host", "alias", "load_mode",
        "cpu_moe", "n_cpu_moe", "draft_model", "rpc_workers", "extra_args",
    }  # fmt: skip


def test_auto_means_undecided() -> None:
    keys = ("threads", "context_size", "gpu_layers", "parallel_requests", "cache_type_k", "batch_size")
    assert config(**dict.fromkeys(keys, "auto")) == config()
    assert config(flash_attention="auto", load_mode="auto").flash_attention == "auto"


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        ("n_ctx", "context_size"),
        ("n-gpu-layers", "gpu_layers"),
        ("threds", "threads"),
        ("mlock", "load_mode"),
        ("flash_attn", "flash_attention"),
    ],
)
def test_unknown_keys_are_refused_by_name_with_a_guess(key: str, guess: str) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        config(**{key: 1})
    assert guess in caught.value.remedy
    with pytest.raises(ConfigurationError, match="xyzzy") as caught:
        config(xyzzy=1)
    assert "context_size" in caught.value.remedy


def test_the_model_must_be_named() -> None:
    for values in ({}, {"model_id": ""}, {"model_id": None}):
        with pytest.raises(ConfigurationError, match="model_id"):
            LlamaServerConfig.from_mapping(values)


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("port", -1), ("port", 65536), ("port", "8080"), ("port", True), ("port", None), ("port", 80.5),
        ("host", "0.0.0.0"), ("host", "192.168.0.2"), ("host", ""), ("host", "example.com"),
        ("threads", 0), ("threads", -1), ("threads", 1.5), ("threads", "2"), ("threads", True),
        ("context_size", 0), ("context_size", 255), ("context_size", 2**24 + 1), ("context_size", "big"),
        ("gpu_layers", -1), ("gpu_layers", "some"), ("gpu_layers", 10_001),
        ("parallel_requests", 0), ("parallel_requests", 65), ("parallel_requests", "all"),
        ("flash_attention", "yes"), ("flash_attention", True), ("flash_attention", []),
        ("cache_type_k", "q3_k"), ("cache_type_v", 8), ("load_mode", "fast"), ("load_mode", ["mmap"]),
        ("batch_size", 1), ("ubatch_size", 10**6), ("cpu_moe", "yes"), ("cpu_moe", 1), ("n_cpu_moe", -1),
        ("cache_ram", -1), ("ctx_checkpoints", 999), ("reasoning", "maybe"), ("reasoning_budget", -2),
        ("reasoning_format", "xml"), ("alias", 5), ("alias", "a\0b"), ("mmproj", None),
        ("draft_model", "a\nb"),
        ("rpc_workers", "host:1"), ("rpc_workers", ["host"]), ("rpc_workers", ["host:0"]),
        ("rpc_workers", ["a:1,b:2"]), ("rpc_workers", [":1"]), ("rpc_workers", [1]),
        ("extra_args", "--foo"), ("extra_args", [1]), ("extra_args", ["a\0"]), ("draft_max", 0),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name(key: str, bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=key):
        config(**{key: bad})


@pytest.mark.parametrize(
    "flag",
    [
        "--host", "--port", "--api-key", "--api_key", "--api-key=abc", "--api-key-file", "-m", "--model",
        "--alias", "--slot-save-path", "--webui", "--no-webui", "--no-ui", "--cors-origins", "--tools",
        "--no-cors-credentials", "--log-disable", "--media-path", "--path", "-hf", "--mcp-servers-json",
    ],
)  # fmt: skip
def test_extra_arguments_may_not_open_the_server(flag: str) -> None:
    with pytest.raises(ConfigurationError, match="extra_args"):
        config(extra_args=["--no-warmup", flag, "x"])


def test_extra_arguments_come_last() -> None:
    line = argv(extra_args=["--no-warmup", "--rope-freq-base", "10000"])
    assert line[-3:] == ["--no-warmup", "--rope-freq-base", "10000"]


def test_values_that_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="flash attention"):
        config(cache_type_v="q8_0", flash_attention="off")
    config(cache_type_k="q8_0", flash_attention="off")
    with pytest.raises(ConfigurationError, match="ubatch_size"):
        config(batch_size=128, ubatch_size=256)


def test_the_recommended_command_line() -> None:
    assert argv(gpu_layers="all", context_size=8192) == [
        "-m", "/models/a b.gguf", "--host", "127.0.0.1", "--port", "4711", "-c", "8192", "-np", "1",
        "-ngl", "all", "-t", "4", "-b", "512", "-ub", "512", "-fa", "auto", "-ctk", "f16", "-ctv", "f16",
        "-fit", "off", "--reasoning-format", "deepseek", "--cache-ram", "512", "-ctxcp", "4",
        "--alias", "Name", "--slot-save-path", "/slots", "--log-colors", "off", "--sse-ping-interval", "2",
        "-lv", "4",
        "--cors-origins", "https://genai-desktop.invalid", "--jinja", "--no-ui", "--no-cors-credentials",
        "--metrics", "--offline",
    ]  # fmt: skip


def test_layers_context_and_slots_are_always_explicit() -> None:
    line = argv(flags=frozenset({"-m"}))
    assert value(line, "-ngl") == "0"
    assert value(line, "-c") == "8192"
    assert value(line, "-np") == "1"


def test_the_batch_is_small_on_the_processor() -> None:
    """It is how long a cancelled prompt goes on."""
    assert (value(argv(), "-b"), value(argv(), "-ub")) == ("256", "256")
    assert (value(argv(gpu_layers=5), "-b"), value(argv(gpu_layers=5), "-ub")) == ("512", "512")
    assert value(argv(ubatch_size=1024), "-b") == "1024", (
        "a logical batch is never smaller than a physical one"
    )
    assert value(argv(batch_size=64), "-ub") == "64"


def test_quantized_values_switch_flash_attention_on() -> None:
    assert value(argv(cache_type_v="q8_0"), "-fa") == "on"
    assert value(argv(cache_type_k="q8_0"), "-fa") == "auto"


def test_context_is_clamped_and_padded() -> None:
    assert settle(context_length=2048).context_size == 2048, "no more than the model can"
    assert settle(context_length=131072).context_size == 8192, "and no more than is safe"
    assert settle(context_length=131072, context_size=100_000).context_size == 100_096
    assert settle(context_length=2048, context_size=100_000).context_size == 2048
    assert settle(context_length=2048, context_size=8192, parallel_requests=4).context_size == 8192
    assert settle(context_length=2048, context_size=9999, parallel_requests=4).context_size == 8192
    assert settle(parallel_requests=2).context_size == 16384
    assert settle().context_size == 8192


@given(st.integers(1, 10**6), st.integers(1, 16), st.none() | st.integers(1, 10**6))
def test_padded_context_properties(tokens: int, slots: int, trained: int | None) -> None:
    result = padded_context(tokens, slots, trained)
    each, rest = divmod(result, slots)
    assert rest == 0
    assert each % 256 == 0
    assert each > 0
    if trained is not None:
        assert each < trained + 256
    if trained is None or tokens // slots <= trained:
        assert result >= tokens // slots * slots


def test_the_computers_advice_fills_only_what_is_open() -> None:
    advice = {
        "gpu_layers": 20, "context_size": 4096, "cache_type_k": "q8_0", "cache_type_v": "q8_0",
        "flash_attention": "on", "threads": 8, "port": 1, "host": "0.0.0.0", "model_id": "other", "zzz": 1,
        "batch_size": None,
    }  # fmt: skip
    got = settle(optimal=advice, threads=2, cache_type_k="f16")
    assert (got.gpu_layers, got.context_size, got.threads, got.flash_attention) == (20, 4096, 2, "on")
    assert (got.cache_type_k, got.cache_type_v) == ("f16", "q8_0")
    assert (got.port, got.host, got.model_id) == (8080, "127.0.0.1", "m")


def test_bad_advice_is_refused_too() -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        settle(optimal={"threads": 0})


def test_resolving_twice_changes_nothing() -> None:
    once = settle(context_length=4096, gpu_layers=7, cache_type_v="q4_0")
    assert resolved(once, context_length=4096, cores=1, optimal={"threads": 99}) == once
    assert LlamaServerConfig.from_mapping({f.name: getattr(once, f.name) for f in fields(once)}) == once


def test_choices_a_person_made() -> None:
    line = argv(
        mmproj="/p.gguf", cpu_moe=True, n_cpu_moe=3, draft_model="/d.gguf", draft_max=8,
        draft_gpu_layers="all",
        rpc_workers=["a:1", "b:2"], device="CUDA0", kv_offload=False, swa_full=True, context_shift=True,
        reasoning="off", reasoning_budget=0, chat_template_file="/t", load_mode="none", fit=True,
        host="localhost",
        alias="my, name", threads_batch=3, cache_ram=0,
    )  # fmt: skip
    text = " ".join(line)
    for part in (
        "--mmproj /p.gguf", "--cpu-moe", "--spec-draft-model /d.gguf", "--spec-draft-n-max 8",
        "--spec-draft-ngl all", "--rpc a:1,b:2", "--device CUDA0", "--no-kv-offload", "--swa-full",
        "--context-shift", "--reasoning off", "--reasoning-budget 0", "--chat-template-file /t",
        "--load-mode none", "-fit on", "--host 127.0.0.1", "--alias my name", "-tb 3", "--cache-ram 0",
    ):  # fmt: skip
        assert part in text
    assert "--n-cpu-moe" not in line, "all experts says it already"
    assert value(argv(n_cpu_moe=3), "--n-cpu-moe") == "3"
    assert "--load-mode" not in argv()


def test_defaults_an_old_binary_lacks_are_left_out() -> None:
    line = argv(flags=OLD_FLAGS)
    used = {word for word in line if re.fullmatch(r"--?[a-z].*", word)}
    assert used <= OLD_FLAGS
    assert "--no-webui" in used
    assert value(argv(flags=OLD_FLAGS, gpu_layers="all"), "-ngl") == "999"


def test_wishes_an_old_binary_lacks_are_refused() -> None:
    for wish in ({"cpu_moe": True}, {"rpc_workers": ["a:1"]}, {"reasoning": "on"}, {"load_mode": "dio"}):
        with pytest.raises(EngineError, match=next(iter(wish))) as caught:
            argv(flags=OLD_FLAGS, **wish)
        assert caught.value.code == "ENGINE_TOO_OLD"
        assert "newer" in caught.value.remedy


def test_old_names_are_used_where_only_they_exist() -> None:
    assert "--no-mmap" in argv(flags=OLD_FLAGS, load_mode="none")
    mlock = argv(flags=OLD_FLAGS, load_mode="mmap+mlock")
    assert "--mlock" in mlock
    assert "--no-mmap" not in mlock
    draft = argv(flags=OLD_FLAGS, draft_model="/d.gguf", draft_max=4)
    assert (value(draft, "-md"), value(draft, "--draft-max")) == ("/d.gguf", "4")


def test_no_secret_can_get_into_the_command_line() -> None:
    assert not any("key" in word for word in argv())
