"""The hub client and the reader of remote headers, against a hub and a network on loopback."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import (
    DownloadError,
    GenaiError,
    InvalidInputError,
    ModelFileError,
    NotFoundError,
    OfflineError,
)
from genai_desktop.core.gguf import GgufHeader, read_gguf_header
from genai_desktop.core.hub import HubFile, HubPart, fit_by_size, group_files, quantization_of
from genai_desktop.core.placement import Machine
from genai_desktop.core.safetensors import SafetensorsHeader
from genai_desktop.library.hub import HubClient
from genai_desktop.library.hub_header import FIRST_RANGE, USUAL_LIMIT, RemoteHeader, read_remote_header
from genai_desktop.library.hub_transport import HubPolicy
from genai_desktop.library.transfer.policy import TransferPolicy
from tests.aio import run, until
from tests.core.synthetic_gguf import gguf_header, llama_like, safetensors_bytes, write_gguf
from tests.fakes.hub import FakeHub, Fault

GIB = 1 << 30
REPO = "acme/tiny-GGUF"
QUICK = HubPolicy(connect_timeout=2.0, read_timeout=0.3, total=5.0, attempts=2, backoff=0.01)
PATIENCE = TransferPolicy(connect_timeout=2.0, stall_timeout=0.5, attempts=4, backoff=0.01)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def a_client(hub: FakeHub, **environment: str) -> HubClient:
    return HubClient({"HF_ENDPOINT": hub.url, **environment}, policy=QUICK)


def a_model(*, vocabulary: int = 2048, layers: int = 2, template: str = "") -> bytes:
    """A whole GGUF file, its data zeros."""
    metadata, tensors = llama_like(layers=layers, width=64, heads=2, kv_heads=2, head_dim=32,
                                   feed_forward=96, vocabulary=vocabulary)  # fmt: skip
    if template:
        metadata["tokenizer.chat_template"] = template
    head, size = gguf_header(metadata, tensors)
    return head + b"\0" * size


def read(url: str, headers: dict[str, str] | None = None) -> RemoteHeader:
    return run(read_remote_header(url, headers or {}, policy=PATIENCE))


# names and sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Qwen3-4B-Q8_0.gguf", "Q8_0"),
        ("model.q4_k_m.gguf", "Q4_K_M"),
        ("big-IQ2_XXS-00001-of-00003.gguf", "IQ2_XXS"),
        ("UD-Q3_K_XL/deep-00001-of-00002.gguf", "Q3_K_XL"),
        ("BF16/model.gguf", "BF16"),
        ("mmproj-model-fp16.gguf", "F16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("flux1-dev-fp8.safetensors", "FP8"),
        ("tinyllama.gguf", ""),
        ("Q4-and-Q5_1.gguf", "Q5_1"),
    ],
)
def test_a_name_tells_its_quantization(name: str, label: str) -> None:
    assert quantization_of(name) == label


def test_files_are_grouped_and_told_apart() -> None:
    names = [
        "README.md", "b-Q8_0-00002-of-00002.gguf", "b-Q8_0-00001-of-00002.gguf", "a-Q4_0.gguf",
        "mmproj-F16.gguf", "vae/diffusion_pytorch_model.safetensors", "model-00001-of-00002.safetensors",
        "c-00001-of-00002.gguf", "odd-00009-of-00002.gguf",
    ]  # fmt: skip
    files = {f.file: f for f in group_files(HubPart(n, 10 + i, f"{i}" * 64) for i, n in enumerate(names))}
    split = files["b-Q8_0-00001-of-00002.gguf"]
    assert (split.size, split.sha256, len(split.parts)) == (11 + 12, None, 2)
    assert split.parts[0].file.endswith("00001-of-00002.gguf")
    assert files["c-00001-of-00002.gguf"].missing == ("c-00002-of-00002.gguf",)
    assert files["a-Q4_0.gguf"].sha256 == "3" * 64
    roles = {name: file.role for name, file in files.items()}
    assert roles["mmproj-F16.gguf"] == "projector"
    assert roles["vae/diffusion_pytorch_model.safetensors"] == "component"
    assert roles["model-00001-of-00002.safetensors"] == "other"
    assert roles["odd-00009-of-00002.gguf"] == "model"
    assert "README.md" not in files
    assert next(iter(files.values())).role == "model", "models come first"


@pytest.mark.parametrize(
    ("size", "machine", "level", "fits"),
    [
        (4 * GIB, Machine(32 * GIB, (24 * GIB,)), "gpu", True),
        (24 * GIB, Machine(32 * GIB, (24 * GIB,)), "partial", True),
        (4 * GIB, Machine(16 * GIB), "cpu", True),
        (40 * GIB, Machine(16 * GIB), "no", False),
        (0, Machine(16 * GIB), "unknown", None),
    ],
)
def test_a_first_answer_by_size(size: int, machine: Machine, level: str, fits: bool | None) -> None:
    from dataclasses import replace

    file = HubFile("a.gguf", size)
    badge = fit_by_size(file, machine)
    assert badge.level == level
    assert replace(file, fit=badge).fits is fits


# the hub -----------------------------------------------------------------------------------------------


def test_search_asks_for_what_the_program_can_use(hub: FakeHub) -> None:
    hub.add("acme/tiny-GGUF", "a.gguf", b"x")
    hub.add("acme/tiny-pictures", "b.safetensors", b"x")
    hub.add("acme/tiny-painter-GGUF", "c.gguf", b"x")
    hub.add("acme/tiny-pytorch", "model.bin", b"x")
    hub.cards["acme/tiny-GGUF"] = {
        "tags": ["gguf", "license:mit"], "downloads": 7, "likes": 3,
        "lastModified": "2025-01-02T00:00:00.000Z",
        "gguf": {"total": 8_000_000_000, "architecture": "llama", "context_length": 4096},
    }  # fmt: skip
    hub.cards["acme/tiny-pictures"] = {"tags": ["diffusers"], "pipeline_tag": "text-to-image"}
    hub.cards["acme/tiny-painter-GGUF"] = {"tags": ["gguf"], "pipeline_tag": "text-to-image", "gated": "auto"}
    client = a_client(hub)
    (model,) = run(client.search("tiny", "llm"))
    assert (model.repo, model.type, model.downloads, model.likes) == ("acme/tiny-GGUF", "llm", 7, 3)
    assert (model.parameter_count, model.architecture, model.context_length) == (8_000_000_000, "llama", 4096)
    assert (model.license, model.gated) == ("mit", "")
    assert model.last_modified == 1735776000.0
    painters = run(client.search("tiny", "diffusion"))
    assert {(m.repo, m.gated) for m in painters} == {
        ("acme/tiny-pictures", ""),
        ("acme/tiny-painter-GGUF", "auto"),
    }
    asked = [seen.path for seen in hub.requests]
    assert all(path.startswith("/api/models?") for path in asked), "nothing else is asked, no telemetry"
    assert "filter=gguf" in asked[0]
    assert "sort=downloads" in asked[0]


def test_a_search_follows_pages_to_its_limit_and_no_further(hub: FakeHub) -> None:
    for i in range(30):
        hub.add(f"acme/m{i:02}-GGUF", "a.gguf", b"x")
        hub.cards[f"acme/m{i:02}-GGUF"] = {"tags": ["gguf"]}
    assert len(run(a_client(hub).search("acme", "llm", limit=5))) == 5
    assert len(hub.requests) == 1
    assert len(run(a_client(hub).search("acme", "llm", limit=200))) == 30


def test_a_repository_with_digests_and_its_commit(hub: FakeHub) -> None:
    stored = hub.add(REPO, "Q8/tiny-Q8_0.gguf", b"x" * 1000)
    hub.add(REPO, "README.md", b"hi", is_lfs=False)
    hub.add(REPO, "mmproj-F16.gguf", b"y" * 10)
    found = run(a_client(hub).repository(REPO))
    assert found.commit == hub.commits[REPO]
    model, projector = found.files
    assert (model.file, model.size, model.quantization) == ("Q8/tiny-Q8_0.gguf", 1000, "Q8_0")
    assert model.sha256 == stored.digest
    assert found.projectors == (projector,)
    assert run(a_client(hub).repository(REPO, hub.commits[REPO])).revision == hub.commits[REPO]


def test_names_nobody_should_show_or_fetch_are_left_out(hub: FakeHub) -> None:
    for name in ("good.gguf", "../../evil.gguf", "red\x1b[31m.gguf", "back\\slash.gguf"):
        hub.add(REPO, name, b"x")
    hub.cards[REPO] = {"tags": ["gguf"]}
    hub.add("acme/\x1b[31mred", "a.gguf", b"x")
    hub.cards["acme/\x1b[31mred"] = {"tags": ["gguf"]}
    assert [f.file for f in run(a_client(hub).repository(REPO)).files] == ["good.gguf"]
    assert [m.repo for m in run(a_client(hub).search("", "llm"))] == [REPO]


def test_what_is_refused_is_explained(hub: FakeHub) -> None:
    hub.add(REPO, "a.gguf", b"x")
    hub.add("acme/closed", "a.gguf", b"x")
    hub.gated["acme/closed"] = "hf_right"

    def fails(expected: type[GenaiError], code: str, repo: str, revision: str = "main", **env: str) -> None:
        with pytest.raises(expected) as caught:
            run(a_client(hub, **env).repository(repo, revision))
        assert caught.value.code == code
        assert caught.value.remedy
        assert "hf_" not in str(caught.value)

    fails(NotFoundError, "NOT_FOUND", "acme/absent")
    fails(NotFoundError, "NOT_FOUND", REPO, "v9")
    fails(DownloadError, "GATED", "acme/closed")
    fails(DownloadError, "GATED", "acme/closed", HF_TOKEN="hf_wrong")
    fails(InvalidInputError, "INVALID_REQUEST", "no such name")
    fails(InvalidInputError, "INVALID_REQUEST", "../../etc")
    assert run(a_client(hub, HF_TOKEN="hf_right").repository("acme/closed")).gated == "manual"
    hub.fail(
        Fault(status=401, headers={"X-Error-Message": "Invalid credentials in Authorization header"}),
        on="api",
    )
    fails(DownloadError, "UNAUTHORIZED", REPO, HF_TOKEN="hf_old")
    hub.fail(Fault(status=429, headers={"Retry-After": "120"}), on="api")
    fails(DownloadError, "RATE_LIMITED", REPO)
    hub.fail(Fault(status=200, body=b"<html>Sign in</html>"), on="api")
    fails(DownloadError, "HUB_ANSWER", REPO)
    hub.fail(Fault(status=200, body=b"[1, 2]"), on="api")
    fails(DownloadError, "HUB_ANSWER", REPO)


def test_a_moment_of_trouble_is_retried_a_few_times_only(hub: FakeHub) -> None:
    hub.add(REPO, "a.gguf", b"x")
    hub.fail(Fault(status=503), on="api")
    assert run(a_client(hub).repository(REPO)).files
    hub.requests.clear()
    hub.fail(Fault(status=503), on="api", times=100)
    started = time.monotonic()
    for ask in (a_client(hub).repository(REPO), a_client(hub).search("x", "llm")):
        with pytest.raises(DownloadError) as caught:
            run(ask)
        assert caught.value.code == "HUB_UNREACHABLE"
        assert "503" in caught.value.message
    assert len(hub.requests) == 2 * QUICK.attempts
    assert time.monotonic() - started < 3, "the package's own waits of 40 s are not ours"


def test_a_dead_address_and_a_silent_server_end_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = HubClient({"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}, policy=QUICK)
        for ask in (client.search("x", "llm"), client.repository(REPO)):
            with pytest.raises(DownloadError) as caught:
                run(ask)
            assert caught.value.code == "HUB_UNREACHABLE"
            assert caught.value.remedy
        port = silent.getsockname()[1]
    with pytest.raises(DownloadError) as caught:
        run(HubClient({"HF_ENDPOINT": f"http://127.0.0.1:{port}"}, policy=QUICK).search("x", "llm"))
    assert caught.value.code == "HUB_UNREACHABLE"


def test_a_cancelled_question_ends_its_thread() -> None:
    patient = HubPolicy(read_timeout=60, total=60)

    async def work(endpoint: str) -> float:
        task = asyncio.ensure_future(HubClient({"HF_ENDPOINT": endpoint}, policy=patient).search("x", "llm"))
        connection = await asyncio.to_thread(silent.accept)
        with connection[0]:
            await asyncio.to_thread(connection[0].recv, 100)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not any(t.name == "hub" for t in threading.enumerate()), 5)
            return time.monotonic() - started

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert run(work(f"http://127.0.0.1:{silent.getsockname()[1]}")) < 1


def test_no_encryption_and_offline_are_refused_before_any_request() -> None:
    with pytest.raises(InvalidInputError):
        run(HubClient({"HF_ENDPOINT": "http://mirror.example"}, policy=QUICK).search("x", "llm"))
    with pytest.raises(OfflineError):
        run(HubClient({"HF_HUB_OFFLINE": "1"}, policy=QUICK).search("x", "llm"))


def test_the_token_is_for_the_hub_alone(hub: FakeHub) -> None:
    with FakeHub() as other:
        other.add(REPO, "a.gguf", b"x")
        hub.add(REPO, "a.gguf", b"x")
        client = a_client(hub, HF_TOKEN="hf_secret")
        run(client.repository(REPO))
        assert hub.requests[-1].headers["authorization"] == "Bearer hf_secret"
        hub.fail(Fault(redirect=f"{other.url}/api/models/{REPO}?blobs=true"), on="api")
        run(client.repository(REPO))
        # the next page may be anywhere, if the hub says so
        body = json.dumps([]).encode()
        link = {"Link": f'<{other.url}/api/models?limit=1>; rel="next"', "Content-Type": "application/json"}
        hub.fail(Fault(status=200, headers=link, body=body), on="api")
        run(client.search("x", "llm", limit=3))
        assert len(other.requests) == 2
        assert all("authorization" not in seen.headers for seen in other.requests)


def test_no_implicit_token_and_no_telemetry(hub: FakeHub, tmp_path: Path) -> None:
    """In a process of its own, with a token lying where huggingface_hub would find it."""
    hub.add(REPO, "a.gguf", b"x")
    (tmp_path / "token").write_text("hf_implicit")
    script = (
        "import asyncio, os, sys\n"
        "from genai_desktop.library.hub import HubClient\n"
        "assert not any('huggingface_hub' in m for m in sys.modules)\n"
        f"print(asyncio.run(HubClient().repository({REPO!r})).commit)\n"
        "from huggingface_hub import constants\n"
        "assert constants.HF_HUB_DISABLE_TELEMETRY\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
    environment.pop("HF_HUB_DISABLE_TELEMETRY", None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == hub.commits[REPO], done.stderr
    (seen,) = hub.requests
    assert "authorization" not in seen.headers


# remote headers ----------------------------------------------------------------------------------------


def test_a_remote_header_is_the_local_one(hub: FakeHub, tmp_path: Path) -> None:
    metadata, tensors = llama_like(vocabulary=4096)
    path = write_gguf(tmp_path / "a.gguf", metadata, tensors)
    hub.add(REPO, "a.gguf", path)
    found = read(hub.resolve_url(REPO, "a.gguf"))
    with path.open("rb") as file:
        local = read_gguf_header(file, file_size=path.stat().st_size)
    assert isinstance(found.header, GgufHeader)
    assert found.header.tensors == local.tensors
    assert dict(found.header.metadata) == dict(local.metadata)
    assert found.size == path.stat().st_size
    assert found.bytes_read <= FIRST_RANGE
    assert found.requests == 1


@pytest.mark.parametrize(("vocabulary", "most_requests", "most_bytes"), [
    (6_000, 1, FIRST_RANGE),
    (20_000, 2, USUAL_LIMIT),
    (52_000, 2, USUAL_LIMIT),
    (54_000, 2, USUAL_LIMIT),
    (150_000, 3, 8 << 20),
])  # fmt: skip
def test_as_few_requests_and_bytes_as_the_header_allows(
    hub: FakeHub, vocabulary: int, most_requests: int, most_bytes: int
) -> None:
    content = a_model(vocabulary=vocabulary)
    hub.add(REPO, "a.gguf", content)
    found = read(hub.resolve_url(REPO, "a.gguf"))
    assert isinstance(found.header, GgufHeader)
    assert found.header.bytes_read
    data_offset = found.header.data_offset
    assert found.requests <= most_requests
    if data_offset <= USUAL_LIMIT:
        assert found.bytes_read <= USUAL_LIMIT
    assert found.bytes_read <= most_bytes
    assert found.bytes_read <= data_offset + FIRST_RANGE + 65536
    assert len(hub.seen("cdn")) == found.requests
    assert len(hub.seen("hub")) == 1, "later ranges go to where the bytes are"


def test_a_long_text_at_the_limit_is_read_all_the_same(hub: FakeHub) -> None:
    metadata, tensors = llama_like(layers=1, width=64, heads=2, kv_heads=2, head_dim=32, feed_forward=96)
    filler = {f"general.note.{i}": "n" * 500_000 for i in range(3)}
    metadata = {**metadata, **filler, "tokenizer.chat_template": "t" * 900_000}
    head, size = gguf_header(metadata, tensors)
    hub.add(REPO, "a.gguf", head + b"\0" * size)
    found = read(hub.resolve_url(REPO, "a.gguf"))
    assert isinstance(found.header, GgufHeader)
    assert len(found.header.metadata["tokenizer.chat_template"]) == 900_000


def test_safetensors_and_small_files_of_the_hub_itself(hub: FakeHub) -> None:
    raw = safetensors_bytes({f"layer.{i}.weight": ("F16", (8, 8)) for i in range(3000)})
    hub.add(REPO, "a.safetensors", raw + b"\0" * (3000 * 128), is_lfs=False)
    found = read(hub.resolve_url(REPO, "a.safetensors"))
    assert isinstance(found.header, SafetensorsHeader)
    assert len(found.header.tensors) == 3000


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(drop_after=10_000),
        Fault(hang_after=10_000),
        Fault(range_shift=5),
        Fault(ignore_range=True),
        Fault(ignore_range=True, chunked=True),
        Fault(status=403),
    ],
    ids=["503", "dropped", "silent", "shifted", "no ranges", "chunked", "expired"],
)
def test_faults_of_the_network_are_overcome(hub: FakeHub, fault: Fault) -> None:
    content = a_model(vocabulary=20_000)
    hub.add(REPO, "a.gguf", content)
    hub.fail(fault, times=1, when=lambda seen: True)
    if fault.status == 403:  # only an address that once worked can expire
        hub.heal()
        hub.fail(fault, when=lambda seen: seen.range.startswith("bytes=262144"))
    found = read(hub.resolve_url(REPO, "a.gguf"))
    assert isinstance(found.header, GgufHeader)
    assert found.header.tensors


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=503), DownloadError),
        (Fault(status=429, headers={"Retry-After": "300"}), DownloadError),
        (Fault(status=403), DownloadError),
        (Fault(compressed=True), DownloadError),
        (Fault(drop_after=100, ignore_range=True), DownloadError),
        (Fault(status=200, body=b"<!doctype html><html>sign in</html>"), ModelFileError),
    ],
)
def test_what_does_not_pass_is_an_error_in_words(hub: FakeHub, fault: Fault, error: type[GenaiError]) -> None:
    hub.add(REPO, "a.gguf", a_model())
    hub.fail(fault, times=1000)
    with pytest.raises(error) as caught:
        read(hub.resolve_url(REPO, "a.gguf"))
    assert caught.value.message
    assert caught.value.remedy
    assert len(hub.requests) < 30


def test_another_file_in_between_is_noticed(hub: FakeHub) -> None:
    hub.add(REPO, "a.gguf", a_model(vocabulary=20_000))
    hub.fail(Fault(etag='"other"'), when=lambda seen: seen.range.startswith("bytes=262144"))
    with pytest.raises(DownloadError, match="changed"):
        read(hub.resolve_url(REPO, "a.gguf"))


@pytest.mark.parametrize("kind", ["empty", "pickle", "truncated", "text"])
def test_what_is_no_model_is_refused(hub: FakeHub, kind: str) -> None:
    name, content = "a.gguf", b""
    if kind == "pickle":
        name, content = "a.ckpt", b"\x80\x02}q\x00."
    elif kind == "truncated":
        content = a_model()[:5_000]
    elif kind == "text":
        content = b"hello\n" * 100
    hub.add_plain(name, content)
    with pytest.raises(ModelFileError) as caught:
        read(hub.file_url(name))
    assert caught.value.remedy


def test_gated_and_the_token_stays_with_the_hub(hub: FakeHub) -> None:
    hub.add(REPO, "a.gguf", a_model(vocabulary=20_000))
    hub.gated[REPO] = "hf_right"
    with pytest.raises(DownloadError) as caught:
        read(hub.resolve_url(REPO, "a.gguf"))
    assert caught.value.code == "GATED"
    read(hub.resolve_url(REPO, "a.gguf"), {"Authorization": "Bearer hf_right"})
    assert all("authorization" not in seen.headers for seen in hub.seen("cdn"))


def test_a_cancelled_reading_ends_its_thread(hub: FakeHub) -> None:
    hub.add(REPO, "a.gguf", a_model())
    hub.fail(Fault(hang_after=1_000), times=10)

    async def work() -> None:
        slow: Any = TransferPolicy(stall_timeout=60)
        task = asyncio.ensure_future(read_remote_header(hub.resolve_url(REPO, "a.gguf"), {}, policy=slow))
        await until(lambda: hub.seen("cdn"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not any(t.name == "header" for t in threading.enumerate()), 5)

    run(work())
