"""Transfers over several connections: faults on one of them, limits, pauses, and kills."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import DownloadError, InvalidInputError, StorageError
from genai_desktop.core.jobs import Progress
from genai_desktop.library.disk import Disk
from genai_desktop.library.transfer import TransferEngine, TransferPolicy, TransferRequest, TransferResult
from tests.aio import run, until, until_sync
from tests.fakes.hub import FakeHub, Fault, Seen

MIB = 1024**2
SIZE = 6 * MIB + 321
CONTENT = random.Random(23).randbytes(SIZE)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
REPO, NAME = "acme/big-GGUF", "big.gguf"
FOUR = TransferPolicy(
    backoff=0.001,
    stall_timeout=10,
    journal_seconds=0.05,
    progress_seconds=0.01,
    connections_at_first=4,
    connections=4,
    connections_max=4,
    min_segment=256 * 1024,
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.add(REPO, NAME, CONTENT)
        fake.add_plain("plain.bin", CONTENT)
        yield fake


def fetch(url: str, dest: Path, *, policy: TransferPolicy = FOUR, disk: Disk | None = None) -> TransferResult:
    return run(TransferEngine(policy=policy, disk=disk).fetch(TransferRequest(url, dest)))


def bounds(seen: Seen) -> tuple[int, int]:
    first, _, last = seen.range.removeprefix("bytes=").partition("-")
    return int(first), int(last)


def is_first(seen: Seen) -> bool:
    return not seen.is_probe and seen.range.startswith("bytes=0-")


def is_other(seen: Seen) -> bool:
    return not seen.is_probe and not seen.range.startswith("bytes=0-")


def test_four_connections_bring_every_byte_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(rate=8e6), times=99)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert (result.sha256, result.received) == (DIGEST, SIZE)
    assert len(hub.seen("cdn")) >= 4
    assert {p.name for p in tmp_path.iterdir()} == {"f"}


def test_small_file_is_one_request(hub: FakeHub, tmp_path: Path) -> None:
    fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=replace(FOUR, min_segment=8 * MIB))
    assert [bounds(seen) for seen in hub.seen("cdn")] == [(0, SIZE - 1)]


def test_connections_are_added_when_the_server_throttles_each(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(rate=1.5e6), times=99)
    policy = replace(FOUR, connections_at_first=1, ramp_seconds=0.1)
    assert fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=policy).received == SIZE
    assert len(hub.seen("cdn")) >= 2


@pytest.mark.parametrize("which", [is_first, is_other])
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(drop_after=300_000), id="dropped in the middle"),
        pytest.param(Fault(drop_after=0), id="dropped before the body"),
        pytest.param(Fault(status=503), id="503"),
        pytest.param(Fault(status=429, headers={"Retry-After": "0"}), id="429"),
        pytest.param(Fault(range_shift=-10), id="wrong start"),
        pytest.param(Fault(range_shift=10), id="wrong end"),
        pytest.param(Fault(total_shift=5), id="wrong total"),
        pytest.param(Fault(headers={"Content-Range": "bytes nonsense"}), id="senseless range"),
        pytest.param(Fault(surplus=9), id="more than announced"),
        pytest.param(Fault(ignore_range=True), id="ignores ranges"),
        pytest.param(Fault(etag='"moved"'), id="other ETag, digest known"),
        pytest.param(Fault(status=403), id="refused once"),
        pytest.param(Fault(status=416), id="416"),
    ],
)
def test_fault_of_one_connection_is_survived(hub: FakeHub, tmp_path: Path, fault: Fault, which: Any) -> None:
    hub.fail(fault, times=2, when=which)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert result.sha256 == DIGEST


def test_drops_on_all_connections_cost_nothing_twice(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(drop_after=300_000), times=8)
    assert fetch(hub.resolve_url(REPO, NAME), tmp_path / "f").received == SIZE
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("by_etag", [True, False])
def test_file_that_changes_between_two_connections(hub: FakeHub, tmp_path: Path, by_etag: bool) -> None:
    """No digest is known: the first bytes are of one file, the others of another one."""
    other = bytes(reversed(CONTENT)) if by_etag else CONTENT[: 5 * MIB]
    changed: list[Seen] = []

    def replaced(seen: Seen) -> bool:
        if is_other(seen) and not changed:
            changed.append(seen)
            hub.add_plain("plain.bin", other)
        return False

    hub.fail(Fault(), on="hub", when=replaced)
    hub.fail(Fault(rate=20e6), on="hub", times=99)
    result = fetch(hub.file_url("plain.bin"), tmp_path / "f")
    assert changed
    assert (tmp_path / "f").read_bytes() == other
    assert result.resumed_from == 0


def test_address_that_expires_on_the_way_is_renewed_once(hub: FakeHub, tmp_path: Path) -> None:
    expired: list[Seen] = []

    def expire(seen: Seen) -> bool:
        if is_other(seen) and not expired:
            expired.append(seen)
            hub.expire_signatures()
        return False

    hub.fail(Fault(), when=expire)
    hub.fail(Fault(rate=20e6), times=99)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert (result.received, result.sha256) == (SIZE, DIGEST)
    assert expired


def test_server_that_refuses_split_ranges_gets_one_connection(hub: FakeHub, tmp_path: Path) -> None:
    def is_split(seen: Seen) -> bool:
        return not seen.is_probe and bounds(seen)[1] != SIZE - 1

    hub.fail(Fault(status=403), times=999, when=is_split)
    hub.fail(Fault(rate=20e6), times=999)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert (result.received, result.sha256) == (SIZE, DIGEST)
    assert sum(is_split(seen) for seen in hub.seen("cdn")) < 12


def test_server_that_wants_one_connection_gets_one(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(status=503), times=999, when=lambda seen: is_other(seen) and bounds(seen)[0] > SIZE // 4)
    hub.fail(Fault(rate=30e6), times=999, when=is_first)
    with pytest.raises(DownloadError, match="503"):
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    hub.heal()
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert result.resumed_from > 0
    assert (result.received, result.sha256) == (SIZE - result.resumed_from, DIGEST)


def test_idle_connections_take_over_from_one_that_hangs(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=128 * 1024), when=is_first)
    policy = replace(FOUR, stall_timeout=0.5, connections_at_first=2, connections=2, connections_max=2)
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", policy=policy)
    assert (result.received, result.sha256) == (SIZE, DIGEST)
    first_half = [seen for seen in hub.seen("cdn") if 0 < bounds(seen)[0] < SIZE // 2]
    assert first_half


def test_progress_never_goes_back(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(drop_after=200_000), times=6)
    seen: list[Progress] = []

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        await TransferEngine(policy=replace(FOUR, progress_seconds=0)).fetch(request, seen.append)

    run(work())
    arriving = [p.done for p in seen if p.phase in ("downloading", "waiting")]
    assert arriving == sorted(arriving)
    assert all(p.eta is None or 0 <= p.eta < float("inf") for p in seen)
    assert seen[-1].done == SIZE


def test_disk_that_fills_up_ends_all_connections_and_loses_nothing(hub: FakeHub, tmp_path: Path) -> None:
    class FullDisk(Disk):
        def write_at(self, fd: int, data: bytes, offset: int) -> None:
            if offset > SIZE - MIB:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write_at(fd, data, offset)

    hub.fail(Fault(rate=8e6), times=99)
    with pytest.raises(StorageError) as caught:
        fetch(hub.resolve_url(REPO, NAME), tmp_path / "f", disk=FullDisk())
    assert caught.value.code == "DISK_FULL"
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert result.resumed_from > 0
    assert (result.received, result.sha256) == (SIZE - result.resumed_from, DIGEST)


def test_cancel_ends_all_connections_at_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=100_000), times=99)

    async def work() -> None:
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        task = asyncio.create_task(TransferEngine(policy=replace(FOUR, stall_timeout=60)).fetch(request))
        await until(lambda: len(hub.seen("cdn")) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work(), timeout=10)
    hub.heal()
    hub.release.set()
    result = fetch(hub.resolve_url(REPO, NAME), tmp_path / "f")
    assert result.received + result.resumed_from == SIZE
    assert result.sha256 == DIGEST


def test_pause_all_and_resume_all(hub: FakeHub, tmp_path: Path) -> None:
    hub.fail(Fault(hang_after=200_000), times=4)
    seen: list[Progress] = []

    async def work() -> TransferResult:
        engine = TransferEngine(policy=replace(FOUR, stall_timeout=60))
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        task = asyncio.create_task(engine.fetch(request, seen.append))
        await until(lambda: seen and seen[-1].done >= 4 * 131072)
        engine.pause_all()
        assert engine.is_paused
        await until(lambda: seen[-1].phase == "paused")
        asked = len(hub.seen("cdn"))
        hub.expire_signatures()  # it was a long pause
        late = asyncio.create_task(
            engine.fetch(TransferRequest(hub.file_url("plain.bin"), tmp_path / "late"))
        )
        await until(lambda: hub.seen("hub", with_probes=True)[-1].path == "/files/plain.bin")
        assert len(hub.seen("cdn")) == asked
        assert not late.done()
        engine.resume_all()
        await late
        return await task

    result = run(work())
    assert (result.received, result.sha256) == (SIZE, DIGEST)


def test_limit_holds_for_all_connections_together(hub: FakeHub, tmp_path: Path) -> None:
    engine = TransferEngine(policy=FOUR)
    engine.set_limit(8_000_000)
    assert engine.limit == 8_000_000
    begun = time.monotonic()
    run(engine.fetch(TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")))
    rate = SIZE / (time.monotonic() - begun)
    assert rate <= 8_000_000 * 1.15


def test_limit_changes_while_it_downloads(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[Progress] = []

    async def work() -> TransferResult:
        engine = TransferEngine(policy=FOUR)
        engine.set_limit(20_000)  # minutes
        request = TransferRequest(hub.resolve_url(REPO, NAME), tmp_path / "f")
        task = asyncio.create_task(engine.fetch(request, seen.append))
        await until(lambda: seen)
        engine.set_limit(None)
        return await task

    assert run(work(), timeout=20).sha256 == DIGEST


def test_limit_of_no_use_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        TransferEngine().set_limit(5)
    assert caught.value.remedy


def test_host_gets_no_more_connections_than_allowed(hub: FakeHub, tmp_path: Path) -> None:
    """One connection for the host: the second transfer waits for the first one."""
    hub.fail(Fault(hang_after=MIB), on="hub")
    seen: list[Progress] = []

    async def work() -> None:
        engine = TransferEngine(policy=replace(FOUR, host_connections=1))
        url = hub.file_url("plain.bin")
        first = asyncio.create_task(engine.fetch(TransferRequest(url, tmp_path / "1")))
        await until(lambda: len(hub.seen("hub")) == 1)
        second = asyncio.create_task(engine.fetch(TransferRequest(url, tmp_path / "2"), seen.append))
        await until(lambda: any(p.phase == "waiting" for p in seen))
        assert len(hub.seen("hub")) == 1
        hub.release.set()
        await asyncio.gather(first, second)

    run(work())
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == CONTENT
    assert all(bounds(s)[1] == SIZE - 1 for s in hub.seen("hub"))  # never split


def test_journal_of_several_segments_is_checked(hub: FakeHub, tmp_path: Path) -> None:
    url, dest = hub.resolve_url(REPO, NAME), tmp_path / "f"
    hub.fail(Fault(drop_after=200_000), times=4)
    hub.fail(Fault(status=503), times=999)
    with pytest.raises(DownloadError):
        fetch(url, dest)
    hub.heal()
    journal = tmp_path / "f.part.json"
    raw = json.loads(journal.read_text())
    assert len(raw["segments"]) >= 3
    raw["segments"][1][0] += 1  # a byte that belongs to nobody
    journal.write_text(json.dumps(raw))
    result = fetch(url, dest)
    assert (result.resumed_from, result.sha256) == (0, DIGEST)


def journaled(dest: Path) -> int:
    try:
        raw = json.loads(dest.with_name(dest.name + ".part.json").read_text())
    except (OSError, ValueError):
        return 0
    return sum(position - start for start, _, position in raw["segments"])


def has_journaled(dest: Path, count: float) -> bool:
    return journaled(dest) >= count


def has_asked(hub: FakeHub, count: int) -> bool:
    return len(hub.requests) > count


def test_killed_at_twenty_random_moments(hub: FakeHub, tmp_path: Path) -> None:
    """With four connections under way and no chance to say goodbye: nothing journaled comes twice."""
    dest, url = tmp_path / "m.gguf", hub.resolve_url(REPO, NAME)
    hub.fail(Fault(rate=3e6), times=9999)
    moments = sorted(random.Random(5).uniform(0, 0.95) for _ in range(20))
    reached = 0
    for moment in moments:
        asked = len(hub.requests)
        driver = start_driver(url, dest)
        try:
            # a moment that has passed already is one right after the start
            until_sync(partial(has_journaled, dest, moment * SIZE), what=f"{moment:.0%}")
            until_sync(partial(has_asked, hub, asked + 2), what="a request")
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
        assert not dest.exists()
        assert journaled(dest) >= reached
        reached = journaled(dest)
    assert len(json.loads((tmp_path / "m.gguf.part.json").read_text())["segments"]) > 1
    hub.heal()
    driver = start_driver(url, dest)
    out, err = driver.communicate(timeout=30)
    assert out.split() == [DIGEST, str(reached)], err
    assert dest.read_bytes() == CONTENT
    assert {p.name for p in tmp_path.iterdir()} == {"m.gguf"}


def start_driver(url: str, dest: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.fetch_driver", url, str(dest), "4"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
