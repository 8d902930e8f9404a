"""The transfer engine against a loopback hub that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from genai_desktop.core.errors import (
    ChecksumError,
    DownloadError,
    GenaiError,
    InvalidInputError,
    ModelFileError,
    OfflineError,
    StorageError,
)
from genai_desktop.core.jobs import Progress
from genai_desktop.library.transfer import TransferEngine, TransferPolicy, TransferRequest, TransferResult
from tests.aio import run, until
from tests.fakes.hub import FakeHub, Fault, Seen

MIB = 1024**2
CONTENT = random.Random(7).randbytes(3 * MIB + 12345)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
REPO, NAME = "acme/tiny-GGUF", "sub folder/tiny-Q4_0.gguf"
QUICK = TransferPolicy(backoff=0.001, stall_timeout=10, journal_seconds=0.05, progress_seconds=0.01)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.add(REPO, NAME, CONTENT)
        fake.add_plain("plain.bin", CONTENT)
        yield fake


def fetch(url: str, dest: Path, *, policy: TransferPolicy = QUICK, **options: Any) -> TransferResult:
    return run(TransferEngine(policy=policy).fetch(TransferRequest(url, dest, **options)))


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_file_arrives_verified_and_alone(hub: FakeHub, tmp_path: Path) -> None:
    dest = tmp_path / "new" / "tiny.gguf"
    result = fetch(hub.resolve_url(REPO, NAME), dest)
    assert dest.read_bytes() == CONTENT
    assert (result.size, result.sha256, result.resumed_from) == (len(CONTENT), DIGEST, 0)
    assert result.commit == hub.commits[REPO]
    assert "sig=" not in result.source
    assert leftovers(dest.parent) == {"tiny.gguf"}


def test_progress_is_monotonic_and_ends_full(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[Progress] = []

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        await TransferEngine(policy=QUICK).fetch(request, seen.append)

    run(work())
    downloading = [p.done for p in seen if p.phase == "downloading"]
    assert downloading == sorted(downloading)
    assert all(p.total == len(CONTENT) and p.unit == "bytes" for p in seen)
    assert all(p.eta is None or 0 <= p.eta < float("inf") for p in seen)
    assert seen[-1].done == len(CONTENT)


def test_secrets_go_to_the_hub_and_nowhere_else(hub: FakeHub, tmp_path: Path) -> None:
    hub.gated[REPO] = "hf_good"
    headers = {"Authorization": "Bearer hf_good", "X-Custom": "secret", "Cookie": "session=1"}
    fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", headers=headers)
    asked = hub.seen("hub", with_probes=True)
    assert asked
    assert all(s.headers["authorization"] == "Bearer hf_good" for s in asked)
    foreign = hub.seen("cdn", with_probes=True)
    assert foreign
    for seen in foreign:
        assert not {"authorization", "x-custom", "cookie"} & set(seen.headers)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(drop_after=MIB), id="dropped in the middle"),
        pytest.param(Fault(drop_after=0), id="dropped before the body"),
        pytest.param(Fault(status=503), id="503"),
        pytest.param(Fault(status=500), id="500"),
        pytest.param(Fault(status=429, headers={"Retry-After": "0"}), id="429"),
        pytest.param(Fault(range_shift=10), id="wrong range"),
        pytest.param(Fault(headers={"Content-Range": "bytes nonsense"}), id="senseless range"),
        pytest.param(Fault(surplus=9), id="more than announced"),
        pytest.param(Fault(ignore_range=True), id="ignores ranges"),
        pytest.param(Fault(ignore_range=True, drop_after=MIB), id="ignores ranges and drops"),
        pytest.param(Fault(etag='"moved"'), id="other ETag, digest known"),
        pytest.param(Fault(no_validators=True), id="no validators"),
        pytest.param(Fault(chunked=True), id="chunked"),
    ],
)
def test_fault_is_survived(hub: FakeHub, tmp_path: Path, fault: Fault) -> None:
    hub.fail(fault, times=2)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert result.sha256 == DIGEST


def test_drops_cost_nothing_twice(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(drop_after=MIB), times=3)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert result.received == len(CONTENT)
    starts = [int(s.range.removeprefix("bytes=").split("-")[0]) for s in hub.seen("cdn")]
    assert starts == [0, MIB, 2 * MIB, 3 * MIB]


def test_stalled_connection_is_given_up_and_resumed(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=2 * MIB))
    policy = TransferPolicy(backoff=0.001, stall_timeout=0.5)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=policy)
    assert result.received == len(CONTENT)
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_dripping_connection_is_given_up(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(drip=50))
    policy = TransferPolicy(backoff=0.001, slow_seconds=0.3, slow_bytes_per_second=10_000)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=policy)
    assert result.sha256 == DIGEST
    assert len(hub.seen("cdn")) == 2


def test_server_that_never_recovers_ends_in_a_sentence(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(status=503), times=99)
    with pytest.raises(DownloadError, match="503") as caught:
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert caught.value.remedy
    assert len(hub.seen("cdn")) == QUICK.attempts


def test_retry_after_is_honoured_and_capped(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(status=429, headers={"Retry-After": "3600"}))
    hub.fail(Fault(status=503, headers={"RateLimit": '"api";r=0;t=3600'}))
    hub.fail(Fault(status=503, headers={"Retry-After": "Fri, 31 Dec 2099 23:59:59 GMT"}))
    policy = TransferPolicy(backoff=60, retry_after_cap=0.01)
    assert fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=policy).sha256 == DIGEST


def test_expired_address_is_asked_for_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(drop_after=MIB))
    engine = TransferEngine(policy=QUICK)

    async def work() -> TransferResult:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        remote = await engine.resolve(request)
        hub.expire_signatures()
        return await engine.fetch(request, remote=remote)

    result = run(work())
    assert result.received == len(CONTENT)
    assert any(s for s in hub.seen("hub", with_probes=True))


def test_address_that_always_expires_is_a_refusal(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(status=403), times=99)
    with pytest.raises(DownloadError, match="403"):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")


class TestChangedFile:
    """The file on the server is replaced between two attempts."""

    def interrupted(self, hub: FakeHub, url: str, dest: Path) -> None:
        hub.fail(Fault(drop_after=MIB))
        hub.fail(Fault(status=503), times=99)
        with pytest.raises(DownloadError):
            fetch(url, dest)
        hub.heal()

    def test_begins_again_when_the_digest_differs(self, hub: FakeHub, tmp_path: Path) -> None:
        url = hub.resolve_url(REPO, NAME)
        self.interrupted(hub, url, tmp_path / "f")
        other = bytes(reversed(CONTENT))
        hub.add(REPO, NAME, other)
        assert fetch(url, tmp_path / "f").resumed_from == 0
        assert (tmp_path / "f").read_bytes() == other

    def test_begins_again_when_only_the_etag_tells(self, hub: FakeHub, tmp_path: Path) -> None:
        url = hub.file_url("plain.bin")
        hub.fail(Fault(drop_after=MIB), on="hub")
        hub.fail(Fault(status=503), times=99, on="hub")
        with pytest.raises(DownloadError):
            fetch(url, tmp_path / "f")
        hub.heal()
        other = bytes(reversed(CONTENT))
        hub.add_plain("plain.bin", other)
        result = fetch(url, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == other
        assert result.resumed_from == 0

    def test_goes_on_when_nothing_changed(self, hub: FakeHub, tmp_path: Path) -> None:
        url = hub.resolve_url(REPO, NAME)
        self.interrupted(hub, url, tmp_path / "f")
        result = fetch(url, tmp_path / "f")
        assert result.resumed_from == MIB
        assert result.received == len(CONTENT) - MIB
        assert result.sha256 == DIGEST

    def test_goes_on_by_digest_although_the_network_changed_its_etag(
        self, hub: FakeHub, tmp_path: Path
    ) -> None:
        url = hub.resolve_url(REPO, NAME)
        self.interrupted(hub, url, tmp_path / "f")
        hub.repos[REPO][NAME].etag = '"another edge"'
        assert fetch(url, tmp_path / "f").resumed_from == MIB

    def test_file_changes_while_it_downloads(self, hub: FakeHub, tmp_path: Path) -> None:
        url = hub.file_url("plain.bin")
        other = bytes(reversed(CONTENT))
        hub.fail(Fault(drop_after=MIB), on="hub")

        def replaced_in_the_meantime(seen: Seen) -> bool:
            if seen.range.startswith(f"bytes={MIB}-"):
                hub.add_plain("plain.bin", other)
            return False

        hub.fail(Fault(), on="hub", when=replaced_in_the_meantime)
        result = fetch(url, tmp_path / "f")
        assert (tmp_path / "f").read_bytes() == other
        assert result.received == MIB + len(CONTENT)

    def test_file_that_shrank_answers_416(self, hub: FakeHub, tmp_path: Path) -> None:
        url = hub.file_url("plain.bin")
        hub.fail(Fault(drop_after=2 * MIB), on="hub")
        hub.fail(Fault(status=416, headers={"Content-Range": f"bytes */{MIB}"}), on="hub")
        result = fetch(url, tmp_path / "f")
        assert result.sha256 == DIGEST


def test_etag_that_never_holds_still_is_given_up(hub: FakeHub, tmp_path: Path) -> None:
    for number in range(20):
        hub.fail(Fault(etag=f'"{number}"'), on="hub", with_probe=True)
    with pytest.raises(DownloadError, match="changes again and again"):
        fetch(hub.file_url("plain.bin"), tmp_path / "f")


@pytest.mark.parametrize("damage", ["journal", "version", "part", "gone", "segments"])
def test_damaged_leftovers_are_not_trusted(hub: FakeHub, tmp_path: Path, damage: str) -> None:
    dest, url = tmp_path / "f", hub.resolve_url(REPO, NAME)
    TestChangedFile().interrupted(hub, url, dest)
    journal, part = tmp_path / "f.part.json", tmp_path / "f.part"
    raw = json.loads(journal.read_text())
    assert raw["segments"][0][2] == MIB
    if damage == "journal":
        journal.write_text('{"v": 1, "segm')
    elif damage == "version":
        journal.write_text(json.dumps({**raw, "v": 99}))
    elif damage == "segments":
        journal.write_text(json.dumps({**raw, "segments": [[0, 5, 10**12]]}))
    elif damage == "part":
        os.truncate(part, 1000)  # what a power cut may leave
    else:
        part.unlink()
    result = fetch(url, dest)
    assert result.resumed_from == 0
    assert dest.read_bytes() == CONTENT


def test_wrong_checksum_never_gets_the_name(hub: FakeHub, tmp_path: Path) -> None:
    """What arrived is kept for a look, until the next attempt."""
    with pytest.raises(ChecksumError) as caught:
        fetch(hub.file_url("plain.bin"), tmp_path / "f", sha256="0" * 64)
    assert caught.value.details["actual"] == DIGEST
    assert leftovers(tmp_path) == {"f.part.bad"}
    assert fetch(hub.file_url("plain.bin"), tmp_path / "f", sha256=DIGEST).received == len(CONTENT)
    assert leftovers(tmp_path) == {"f"}


def test_checksum_that_the_hub_contradicts_costs_no_bytes(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", sha256="0" * 64)
    assert hub.seen("cdn") == []


def test_flipped_byte_is_noticed(hub: FakeHub, tmp_path: Path) -> None:
    wrong = bytearray(CONTENT)
    wrong[MIB] ^= 1
    stored = hub.repos[REPO][NAME]
    stored.content = bytes(wrong)
    with pytest.raises(ChecksumError):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=200, headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html><html>sign in</html>"),
        Fault(status=200, body=b"\n  <html><head><title>503</title></head></html>"),
        Fault(status=200, headers={"Content-Type": "text/html; charset=utf-8"}, body=b"Please sign in"),
    ],
)
def test_web_page_is_refused_before_anything_is_stored(hub: FakeHub, tmp_path: Path, fault: Fault) -> None:
    hub.fail(fault, with_probe=True)
    with pytest.raises(ModelFileError, match="web page"):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert leftovers(tmp_path) == set()


def test_caller_may_refuse_by_the_first_bytes(hub: FakeHub, tmp_path: Path) -> None:
    def check(remote: Any) -> None:
        assert remote.head == CONTENT[:4096]
        assert remote.size == len(CONTENT)
        raise ModelFileError("No.")

    with pytest.raises(ModelFileError, match="No"):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", check=check)
    assert hub.seen("cdn") == []
    assert leftovers(tmp_path) == set()


def test_compressed_answer_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(compressed=True), with_probe=True)
    with pytest.raises(DownloadError, match="compressed"):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")


@pytest.mark.parametrize(
    ("repo", "name", "token", "expected"),
    [
        ("acme/none", "x.gguf", "", ("NOT_FOUND", "no such repository")),
        (REPO, "none.gguf", "", ("NOT_FOUND", "no such file")),
        ("acme/gated", "x.gguf", "", ("GATED", "gated")),
        ("acme/gated", "x.gguf", "hf_bad", ("GATED", "gated")),
    ],
)
def test_refusals_of_the_hub_are_explained(
    hub: FakeHub,
    tmp_path: Path,
    *,
    repo: str,
    name: str,
    token: str,
    expected: tuple[str, str],
) -> None:
    hub.add("acme/gated", "x.gguf", b"GGUF")
    hub.gated["acme/gated"] = "hf_good"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(DownloadError, match=expected[1]) as caught:
        fetch(hub.resolve_url(repo, name), tmp_path / "f", headers=headers)
    assert caught.value.code == expected[0]
    assert caught.value.remedy


def test_unknown_revision_is_explained(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="revision"):
        fetch(hub.resolve_url(REPO, NAME, "nope"), tmp_path / "f")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://example.com/model.gguf", "not encrypted"),
        ("ftp://example.com/model.gguf", "not a web address"),
        ("file:///etc/passwd", "not a web address"),
        ("https://user:secret@example.com/x", "user name or password"),
    ],
)
def test_redirects_nobody_should_follow(hub: FakeHub, tmp_path: Path, target: str, words: str) -> None:
    hub.fail(Fault(redirect=target), on="hub", with_probe=True)
    with pytest.raises(DownloadError, match=words) as caught:
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert "secret" not in str(caught.value)


def test_redirect_circle_ends(hub: FakeHub, tmp_path: Path) -> None:
    url = hub.file_url("plain.bin")
    hub.fail(Fault(redirect=url), on="hub", times=99, with_probe=True)
    with pytest.raises(DownloadError, match="circle"):
        fetch(url, tmp_path / "f")


def test_relative_redirect_is_followed(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(redirect="/files/plain.bin"), on="hub", with_probe=True)
    assert fetch(f"{hub.url}/old/place", tmp_path / "f").sha256 == DIGEST


@pytest.mark.parametrize(
    "url",
    [
        "",
        "model.gguf",
        "http://example.com/x",
        "https://",
        "javascript:1",
        "http://[::1/x",
        "https://a:b@c/d",
    ],
)
def test_addresses_refused_at_once(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInputError):
        fetch(url, tmp_path / "f")


def test_offline_switch(hub: FakeHub, tmp_path: Path) -> None:
    engine = TransferEngine(policy=QUICK, is_offline=lambda: True)
    with pytest.raises(OfflineError) as caught:
        run(engine.fetch(TransferRequest(hub.file_url("plain.bin"), tmp_path / "f")))
    assert caught.value.code == "OFFLINE"
    assert hub.requests == []


def test_server_that_is_not_there(tmp_path: Path, hub: FakeHub) -> None:
    url = hub.file_url("plain.bin")
    hub.close()
    with pytest.raises(DownloadError, match="could not be reached"):
        fetch(url, tmp_path / "f")


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (httpx.ConnectError("[Errno -2] Name or service not known"), "could not be reached"),
        (httpx.ConnectTimeout("slow"), "did not answer in time"),
        (httpx.ReadTimeout("slow"), "no bytes arrived"),
        (httpx.RemoteProtocolError("peer closed connection"), "broke off"),
        (httpx.ReadError("[SSL: UNEXPECTED_EOF_WHILE_READING]"), "broke off"),
        (httpx.ProxyError("407 Proxy Authentication Required"), "proxy refused"),
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), "TLS certificate"),
    ],
)
def test_troubles_of_the_network_are_sentences(tmp_path: Path, raised: Exception, words: str) -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        raise raised

    def factory(_: str, __: TransferPolicy) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(handler))

    engine = TransferEngine(policy=QUICK, client_factory=factory)
    with pytest.raises(DownloadError, match=words) as caught:
        run(engine.fetch(TransferRequest("https://hub.example/m.gguf", tmp_path / "f")))
    assert caught.value.remedy
    is_final = "proxy" in words or "certificate" in words
    assert len(asked) == (1 if is_final else QUICK.attempts)


def test_proxy_that_cannot_be_used_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    with pytest.raises(DownloadError, match="proxy"):
        fetch("https://hub.example/m.gguf", tmp_path / "f")


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, MIB, MIB + 1])
def test_sizes_at_the_edges(hub: FakeHub, tmp_path: Path, size: int) -> None:
    hub.add_plain("edge", CONTENT[:size])
    result = fetch(hub.file_url("edge"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT[:size]
    assert result.size == size


def test_size_nobody_tells(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(chunked=True, ignore_range=True), times=99, on="hub", with_probe=True)
    assert fetch(hub.file_url("plain.bin"), tmp_path / "f").sha256 == DIGEST


def test_size_the_caller_knows_better(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="bytes"):
        fetch(hub.file_url("plain.bin"), tmp_path / "f", size=5)


@pytest.mark.parametrize(
    "name",
    [
        "with space 'and quote.gguf",
        "模型-🦙-модель.gguf",
        "x" * 250 + ".gguf",  # 255 bytes: no room for a suffix
        "🦙" * 62 + ".gguf",
    ],
)
def test_awkward_names(hub: FakeHub, tmp_path: Path, name: str) -> None:
    dest = tmp_path / "Ordner 🗂" / name
    hub.fail(Fault(drop_after=MIB))
    fetch(hub.resolve_url(REPO, NAME), dest)
    assert dest.read_bytes() == CONTENT
    assert leftovers(dest.parent) == {name}


def test_name_too_long_is_a_sentence(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="too long"):
        fetch(hub.file_url("plain.bin"), tmp_path / ("x" * 300))


def test_existing_file_is_not_overwritten(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(StorageError, match="not overwritten"):
        fetch(hub.file_url("plain.bin"), tmp_path / "f")
    assert (tmp_path / "f").read_text() == "mine"


def test_cancel_is_quick_even_when_nothing_arrives(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=2 * MIB))
    dest = tmp_path / "f"
    seen: list[Progress] = []

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), dest)
        policy = TransferPolicy(stall_timeout=60, progress_seconds=0)
        task = asyncio.create_task(TransferEngine(policy=policy).fetch(request, seen.append))
        await until(lambda: seen and seen[-1].done >= 2 * MIB)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work(), timeout=10)
    assert json.loads((tmp_path / "f.part.json").read_text())["segments"][0][2] == 2 * MIB
    hub.release.set()
    result = fetch(hub.resolve_url(REPO, NAME), dest)
    assert result.resumed_from == 2 * MIB
    assert result.sha256 == DIGEST


def test_cancel_while_the_server_says_nothing_at_all(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=0), with_probe=True)

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        task = asyncio.create_task(TransferEngine(policy=TransferPolicy(stall_timeout=60)).fetch(request))
        await until(lambda: hub.seen("cdn", with_probes=True))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work(), timeout=10)


def test_cancel_during_the_back_off(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(status=503, headers={"Retry-After": "300"}))
    seen: list[Progress] = []

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        task = asyncio.create_task(TransferEngine(policy=QUICK).fetch(request, seen.append))
        await until(lambda: any(p.phase == "waiting" for p in seen))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work(), timeout=10)


def test_pause_and_resume_many_times(hub: FakeHub, tmp_path: Path) -> None:
    dest = tmp_path / "f"
    engine = TransferEngine(policy=TransferPolicy(progress_seconds=0, journal_seconds=60))

    async def one_round() -> bool:
        begun = asyncio.Event()
        request = TransferRequest(hub.resolve_url(REPO, NAME), dest)
        task = asyncio.create_task(engine.fetch(request, lambda _: begun.set()))
        waiter = asyncio.create_task(begun.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return dest.exists()  # it may have been done in the very moment it was stopped

    async def work() -> None:
        for _ in range(25):
            if await one_round():
                return
        await engine.fetch(TransferRequest(hub.resolve_url(REPO, NAME), dest))

    run(work())
    assert dest.read_bytes() == CONTENT
    assert leftovers(tmp_path) == {"f"}


def test_same_file_twice_at_once(hub: FakeHub, tmp_path: Path) -> None:
    """One of them wins, the other is told; the file is whole."""
    hub.fail(Fault(hang_after=MIB))
    engine = TransferEngine(policy=QUICK)

    async def work() -> list[Any]:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        tasks = [asyncio.create_task(engine.fetch(request)) for _ in range(2)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        hub.release.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(work())
    assert sum(isinstance(r, TransferResult) for r in results) == 1
    assert sum(isinstance(r, GenaiError) for r in results) == 1
    assert (tmp_path / "f").read_bytes() == CONTENT
