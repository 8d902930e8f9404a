"""The command-line rules of the embedded llama-server, and that every flag reaches a real parameter."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import xllamacpp

from genai_desktop.engines.embedded import llama_flags, llama_setters
from genai_desktop.engines.embedded.llama_parser import Flag, UsageError, describe, parse, usage

ALL = (*llama_flags.COMMON, *llama_flags.SAMPLING, *llama_flags.SPECULATIVE, *llama_flags.SERVER)


def _set(name: str) -> Any:
    return lambda params, value: setattr(params, name, value)


TABLE = (
    Flag(("-c", "--ctx-size"), "the context", _set("ctx"), "N", "LLAMA_ARG_CTX_SIZE"),
    Flag(("--ui", "--webui"), "the page", _set("ui"), env="LLAMA_ARG_UI", off=("--no-ui", "--no-webui")),
    Flag(("--offline",), "no network", _set("offline"), env="LLAMA_ARG_OFFLINE"),
)


def parsed(*argv: str, **environ: str) -> dict[str, object]:
    params = SimpleNamespace()
    parse(TABLE, argv, environ, params)
    return vars(params)


def test_the_last_of_two_wins_and_spellings_are_free(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("-c", "1", "--ctx_size", "2", "-c", "3", "--no_webui") == {"ctx": "3", "ui": False}
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 1
    assert " W DEPRECATED: argument '-c' specified multiple times" in warnings[0]


def test_the_command_line_outranks_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed("-c", "1", LLAMA_ARG_CTX_SIZE="9", LLAMA_ARG_UI="off") == {"ctx": "1", "ui": False}
    assert capsys.readouterr().err == (
        "warn: LLAMA_ARG_CTX_SIZE environment variable is set, "
        "but will be overwritten by command line argument -c\n"
    )


def test_switches_in_the_environment() -> None:
    assert parsed(LLAMA_ARG_OFFLINE="enabled", LLAMA_ARG_NO_UI="") == {"offline": True, "ui": False}
    assert parsed(LLAMA_ARG_OFFLINE="0") == {}
    with pytest.raises(UsageError, match='error while handling environment variable "LLAMA_ARG_UI"'):
        parsed(LLAMA_ARG_UI="perhaps")


def test_the_help_has_the_real_ones_columns() -> None:
    text = usage({"common params": TABLE})
    assert text.startswith("----- common params -----\n\n-c,    --ctx-size N ")
    assert all(line[:40].strip() == "" or line[0] == "-" for line in text.splitlines() if line)
    assert describe(TABLE[1]).splitlines()[0] == "--ui,  --webui, --no-ui, --no-webui     the page"


@pytest.mark.parametrize("flag", ALL, ids=lambda flag: flag.names[-1])
def test_every_flag_reaches_the_library(flag: Flag, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")
    params = xllamacpp.CommonParams()
    if not flag.hint:
        flag.apply(params, True)
        if flag.off:
            flag.apply(params, False)
        return
    candidates = (
        "1",
        "on",
        "f16",
        "none",
        "linear",
        "isolate",
        '{"a": 1}',
        str(tmp_path),
        str(tmp_path / "file"),
    )
    accepted = 0
    for candidate in (*candidates, r"\.ffn_up=CPU", "a:0.5"):
        try:
            flag.apply(params, candidate)
        except ValueError:
            continue
        accepted += 1
    assert accepted


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (["-c", "0"], lambda p: (p.n_ctx, p.fit_params_min_ctx) == (0, -1)),
        (["-ngl", "all"], lambda p: p.n_gpu_layers == -2),
        (["-ctk", "q8_0", "-ctv", "q4_0"], lambda p: (int(p.cache_type_k), int(p.cache_type_v)) == (8, 2)),
        (["-fitt", "512"], lambda p: set(p.fit_params_target) == {512 * 2**20}),
        (["-ts", "3,1"], lambda p: list(p.tensor_split[:3]) == [3.0, 1.0, 0.0]),
        (["-s", "-1"], lambda p: p.sampling.seed == 2**32 - 1),
        (["--temp", "0.5x"], lambda p: (p.sampling.temp, p.sampling.user_sampling_config & 64) == (0.5, 64)),
        (["-a", "one, two"], lambda p: p.model_alias == {"one", "two"}),
        (["--api-key", "a,b"], lambda p: list(p.api_keys) == ["a", "b"]),
        (["-cmoe", "-ncffn", "1"], lambda p: p.tensor_buft_overrides.count("=CPU") == 2),
        (["--device", "none"], lambda p: (p.n_gpu_layers, p.no_kv_offload) == (0, True)),
        (["-rea", "off"], lambda p: json.loads(p.default_template_kwargs["enable_thinking"]) is False),
        (["--no-mmproj", "--no-repack"], lambda p: p.no_mmproj and p.no_extra_bufts),
        (["--spec-type", "ngram-mod"], lambda p: [int(kind) for kind in p.speculative.types] == [9]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_mean_more_than_their_word(arguments: list[str], read: Any) -> None:
    params = xllamacpp.CommonParams()
    parse(ALL, arguments, {}, params)
    assert read(params)


def test_keys_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# mine\nfirst\n\nsecond\n")
    params = xllamacpp.CommonParams()
    parse(ALL, ["--api-key-file", str(file)], {"LLAMA_API_KEY": "third"}, params)
    assert sorted(params.api_keys) == ["first", "second", "third"]


def test_a_slot_folder_gets_its_separator(tmp_path: Path) -> None:
    params = SimpleNamespace()
    llama_setters.slot_save_path(params, str(tmp_path))
    assert params.slot_save_path == f"{tmp_path}/"
    llama_setters.slot_save_path(params, f"{tmp_path}/")
    assert params.slot_save_path == f"{tmp_path}/"
