"""The embedded llama-server against the contract of the real one, with real models and a real server."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from genai_desktop.engines.embedded import LLAMA_SERVER, command_line, version
from tests.real.embedded_server import KEY, READY, RECOMMENDED, ROOT, Engine, ask, chat, engine, spoken, until
from tests.real.models import bulky_llama, html_instead, tiny_llama, tiny_thinker, truncated, unknown_arch

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("embedded-llama")]


@pytest.fixture(scope="module")
def models() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tiny models ü ") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def model(models: Path) -> Path:
    return tiny_llama(models / "tiny-llama.gguf")


@pytest.fixture(scope="module")
def server(models: Path, model: Path) -> Iterator[tuple[Engine, httpx.Client]]:
    """One server with the recommended command line, for all tests that only talk to it."""
    slots = models / "slots"
    slots.mkdir()
    arguments = ("-m", model, *RECOMMENDED, "--slot-save-path", slots)
    with engine(models / "server", *arguments, environ={"LLAMA_API_KEY": KEY}) as running:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=running.ready(), headers=headers, timeout=60) as client:
            yield running, client


# --- what it says about itself ---


def test_the_wheel_is_seen_without_being_imported() -> None:
    code = (
        "import sys; from genai_desktop.engines.embedded import is_available, version;"
        "assert is_available('llama-server') and version('llama-server');"
        "assert not is_available('ollama') and version('ollama') is None;"
        "print(sorted(name for name in ('xllamacpp', 'PySide6', 'httpx') if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_child_loads_nothing_of_the_desktop() -> None:
    code = (
        "import sys; from genai_desktop.engines.embedded import dispatch;"
        "status = dispatch(['--embedded-engine', 'llama-server', '--list-devices']);"
        "print(status, [name for name in ('PySide6', 'httpx', 'asyncio', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"


def test_version_goes_to_stderr() -> None:
    run = ask("--version")
    assert run.returncode == 0
    assert run.stdout == ""
    match = re.fullmatch(r"version: (\S+) \(build (\d+), commit \w+\)\nbuilt with .+ for .+\n", run.stderr)
    assert match is not None
    assert match.group(1) == f"xllamacpp-{version(LLAMA_SERVER)}"
    assert int(match.group(2)) >= 11549


def test_help_names_the_recommended_flags_and_no_removed_one() -> None:
    run = ask("--help")
    assert run.returncode == 0
    assert run.stderr == ""
    named = set(re.findall(r"(?:^|, +)(--?[a-z][\w-]*)", run.stdout, re.MULTILINE))
    wanted = {item for item in RECOMMENDED if item.startswith("-")} | {"-m", "--slot-save-path", "--mmproj"}
    assert wanted <= named
    assert not named & {"--mlock", "--no-mmap", "--draft-max"}


def test_no_gpu_is_listed_where_there_is_none() -> None:
    run = ask("--list-devices")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Available devices:\n  ")


# --- refused command lines ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frobnicate"], "error: invalid argument: --frobnicate\n"),
        (["--port=0"], "error: invalid argument: --port=0\n"),
        (["--no-mmap"], "error: invalid argument: --no-mmap\n"),
        (["-ngl", "many"], 'error while handling argument "-ngl": stoi\n\nusage:\n-ngl,  --gpu-layers'),
        (["-m"], 'error while handling argument "-m": expected value for argument\n\nusage:\n-m,    --model'),
        (["-fa", "x"], "error while handling argument \"-fa\": error: unknown value for --flash-attn: 'x'\n"),
        (["--slot_save_path", "/nowhere"], '"--slot-save-path": not a directory: /nowhere\n'),
        (["--device", "CUDA0"], 'error while handling argument "--device": invalid device: CUDA0\n'),
        (["-ctk", "q9_0"], 'error while handling argument "-ctk": Unsupported cache type: q9_0\n'),
        (["-np", "0"], 'error while handling argument "-np": error: invalid value for n_parallel\n'),
        (["--api-key-file", "/nowhere"], "error: failed to open file '/nowhere'\n"),
        ([], "error: the embedded engine has no router mode, --model is required\n"),
    ],
)
def test_a_bad_command_line_is_named(arguments: list[str], message: str) -> None:
    run = ask(*arguments)
    assert (run.returncode, run.stdout) == (1, "")
    assert message in run.stderr


def test_a_repeated_flag_warns_and_the_last_wins(tmp_path: Path, model: Path) -> None:
    with engine(tmp_path, "-m", model, "-c", "4096", "-c", "512", "--port", "0", "-np", "1") as running:
        address = running.ready()
        assert "W DEPRECATED: argument '-c' specified multiple times" in running.log
        settings = httpx.get(f"{address}/props").json()["default_generation_settings"]
        assert settings["n_ctx"] == 512


# --- failing loads ---


@pytest.mark.parametrize(
    ("make", "pattern"),
    [
        (lambda folder: folder / "missing.gguf", r"gguf_init_from_file: failed to open GGUF file"),
        (
            lambda folder: html_instead(folder / "page.gguf"),
            r"invalid magic characters: '<!DO', expected 'GGUF'",
        ),
        (
            lambda folder: truncated(tiny_llama(folder / "whole.gguf"), folder / "part.gguf"),
            r"data is not within the file bounds, model is corrupted or incomplete|failed to read",
        ),
        (lambda folder: unknown_arch(folder / "newer.gguf"), r"unknown model architecture: 'fantasia'"),
    ],
    ids=["missing", "html", "truncated", "unknown-architecture"],
)
def test_a_bad_model_ends_with_the_engines_own_words(
    models: Path, make: Callable[[Path], Path], pattern: str
) -> None:
    run = ask("-m", make(models), "--port", "0")
    assert run.returncode == 1
    assert re.search(pattern, run.stderr)
    assert run.stderr.rstrip().endswith("exiting due to model loading error")


def test_a_taken_port_is_an_error(model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = ask("-m", model, "--port", str(port))
    assert run.returncode == 1
    assert f"couldn't bind HTTP server socket, hostname: 127.0.0.1, port: {port}" in run.stderr
    assert run.stderr.rstrip().endswith("exiting due to HTTP server error")


# --- signals, and the state during the load ---


def test_while_loading_it_answers_503_and_a_signal_kills(tmp_path: Path, models: Path) -> None:
    heavy = bulky_llama(models / "bulky.gguf")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ("-m", heavy, "--port", str(port), "-c", "256", "-np", "1", "--load-mode", "none")
    with engine(tmp_path, *arguments) as running, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def health() -> httpx.Response | None:
            try:
                return client.get("/health")
            except httpx.TransportError:
                assert running.process.poll() is None, running.log
                return None

        answer = until(health)
        assert answer.status_code == 503
        assert answer.json()["error"] == {
            "message": "Loading model",
            "type": "unavailable_error",
            "code": 503,
        }
        running.process.terminate()
        assert running.wait() == -signal.SIGTERM
        assert "model loaded" not in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("metrics", [True, False])
def test_a_signal_after_the_load_is_a_clean_end(
    tmp_path: Path, model: Path, number: signal.Signals, metrics: bool
) -> None:
    with engine(tmp_path, "-m", model, "--port", "0", *(["--metrics"] if metrics else [])) as running:
        address = running.ready()
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        running.process.send_signal(number)
        assert running.wait() == 0
        assert "main loop exited" in running.log


def test_a_signal_ends_a_running_reply(tmp_path: Path, model: Path) -> None:
    # The end of the server waits for its open streams, which look up at every sign of life (30 s by default).
    arguments = ("-m", model, "--port", "0", "--context-shift", "--sse-ping-interval", "1")
    with engine(tmp_path, *arguments) as running:
        request = {"prompt": "the", "n_predict": -1, "stream": True}
        with httpx.stream("POST", f"{running.ready()}/completion", json=request, timeout=60) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            running.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in lines:
                    pass
        assert running.wait() == 0


# --- the parent ---


def test_the_child_protocol_reports_states_and_obeys_exit(tmp_path: Path, model: Path) -> None:
    with engine(tmp_path, "-m", model, "--port", "0", environ={"LLAMA_SERVER_ROUTER_PORT": "1"}) as running:
        running.ready()
        prefix = "cmd_child_to_router:state:"
        until(lambda: '"state":"ready"' in running.stdout)
        lines = [line for line in running.stdout.splitlines() if line]
        assert all(line.startswith(prefix) for line in lines)
        states = [json.loads(line.removeprefix(prefix)) for line in lines]
        assert [state["state"] for state in states][-1] == "ready"
        loading = [state["payload"]["value"] for state in states if state["state"] == "loading"]
        assert loading == sorted(loading)
        assert loading[-1] == 1.0
        assert states[-1]["payload"]["meta"]["n_ctx_train"] == 2048
        running.say("cmd_router_to_child:exit")
        assert running.wait() == 0
        assert "exit command received, exiting..." in running.log


def test_the_end_of_stdin_ends_a_child(tmp_path: Path, model: Path) -> None:
    with engine(tmp_path, "-m", model, "--port", "0", environ={"LLAMA_SERVER_ROUTER_PORT": "1"}) as running:
        running.ready()
        running.close_stdin()
        assert running.wait() == 1
        assert "EOF on stdin detected, forcing shutdown..." in running.log


def test_a_signal_ends_a_child_whose_stdin_stays_open(tmp_path: Path, model: Path) -> None:
    with engine(tmp_path, "-m", model, "--port", "0", environ={"LLAMA_SERVER_ROUTER_PORT": "1"}) as running:
        running.ready()
        running.process.terminate()
        assert running.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_it_dies_with_its_parent(tmp_path: Path, model: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, subprocess, sys\n"
        "environ = {**os.environ, 'GENAI_DESKTOP_PARENT_PID': str(os.getpid())}\n"
        "child = subprocess.Popen(sys.argv[2:], env=environ, stderr=open(sys.argv[1], 'wb'))\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        str(log),
        *command_line(LLAMA_SERVER),
        "-m",
        str(model),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            until(lambda: READY.search(log.read_text(encoding="utf-8")))
            parent.kill()
            until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        finally:
            with suppress(psutil.NoSuchProcess):
                child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal")
def test_it_does_not_start_for_a_parent_that_is_gone(model: Path) -> None:
    run = ask("-m", model, "--port", "0", environ={"GENAI_DESKTOP_PARENT_PID": "1"})
    assert (run.returncode, run.stdout, run.stderr) == (1, "", "")


# --- serving ---


def test_the_log_is_llama_cpps_own(server: tuple[Engine, httpx.Client]) -> None:
    running, _ = server
    for line in (
        r"load_tensors: +CPU\w* model buffer size = +\d+\.\d+ MiB",
        r"llama_kv_cache: +CPU KV buffer size = +\d+\.\d+ MiB",
        r"sched_reserve: +CPU compute buffer size = +\d+\.\d+ MiB",
        r"llama_context: n_ctx +=? ?1024",
        r"initializing, n_slots = 1, n_ctx_slot = 1024, kv_unified = 'false'",
        r"\d\.\d\d\.\d\d\d\.\d\d\d I srv .*listening on http://127\.0\.0\.1:\d+",
    ):
        assert re.search(line, running.log), line
    assert KEY not in running.log


def test_the_key_guards_all_but_health(server: tuple[Engine, httpx.Client]) -> None:
    _, client = server
    address = str(client.base_url).rstrip("/")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        refused = httpx.get(f"{address}/props", headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
    assert httpx.get(f"{address}/health").status_code == 200
    assert client.get("/props").json()["total_slots"] == 1
    assert client.get("/v1/models").json()["data"][0]["id"] == "tiny"
    assert "llamacpp:prompt_tokens_total" in client.get("/metrics").text


def test_a_reply_streams_with_usage_and_timings(server: tuple[Engine, httpx.Client]) -> None:
    _, client = server
    chunks = chat(client, "the water and the people", return_progress=True)
    progress = [chunk["prompt_progress"] for chunk in chunks if "prompt_progress" in chunk]
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert spoken(chunks)[1].strip()
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk.get("choices", [])]
    assert [reason for reason in reasons if reason] == ["length"]
    usage, timings = chunks[-1]["usage"], chunks[-1]["timings"]
    assert usage["completion_tokens"] == timings["predicted_n"] == 8
    assert usage["prompt_tokens"] == timings["prompt_n"] + timings["cache_n"]
    assert timings["predicted_per_second"] > 0


def test_a_saved_slot_is_restored_and_reused(server: tuple[Engine, httpx.Client]) -> None:
    _, client = server
    prompt = "what did they say about the water and the people of this place, and where was the man"
    fresh = chat(client, prompt, id_slot=0, cache_prompt=True)[-1]["timings"]
    saved = client.post("/slots/0?action=save", json={"filename": "one.bin"}).json()
    assert saved["n_saved"] >= fresh["prompt_n"] + fresh["cache_n"]
    assert client.post("/slots/0?action=erase").json()["n_erased"] > 0
    assert client.post("/slots/0?action=restore", json={"filename": "one.bin"}).json()["n_restored"]
    again = chat(client, prompt, id_slot=0, cache_prompt=True)[-1]["timings"]
    assert again["cache_n"] >= fresh["prompt_n"] + fresh["cache_n"] - 1
    assert again["prompt_n"] <= 1


def test_too_long_a_prompt_is_a_400(server: tuple[Engine, httpx.Client]) -> None:
    _, client = server
    answer = client.post(
        "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "the " * 3000}], "stream": True},
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_prompt_tokens"] > error["n_ctx"] == 1024


def test_thoughts_come_apart_from_the_reply(tmp_path: Path, models: Path) -> None:
    thinker = tiny_thinker(models / "tiny-thinker.gguf")
    arguments = ("-m", thinker, "--port", "0", "-np", "1", "--reasoning-format", "deepseek")
    with (
        engine(tmp_path, *arguments, "--reasoning-budget", "6") as running,
        httpx.Client(base_url=running.ready(), timeout=60) as client,
    ):
        chunks = chat(client, "why", max_tokens=24)
        plain = chat(client, "why", chat_template_kwargs={"enable_thinking": False})
    thoughts, reply = spoken(chunks)
    assert thoughts.strip()
    assert reply.strip()
    assert "think>" not in thoughts + reply
    assert spoken(plain)[0] == ""
