"""Transfers on disks that fail, and in processes that are killed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_desktop.core.errors import BusyError, StorageError
from genai_desktop.core.jobs import Progress
from genai_desktop.library.disk import Disk
from genai_desktop.library.locks import FileLock
from genai_desktop.library.transfer import TransferEngine, TransferPolicy, TransferRequest, TransferResult
from genai_desktop.library.transfer.hasher import Hasher
from tests.aio import run, until_sync
from tests.fakes.hub import FakeHub, Fault

MIB = 1024**2
CONTENT = random.Random(11).randbytes(4 * MIB + 99)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = TransferPolicy(backoff=0.001, stall_timeout=10, journal_seconds=0.05)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.add("acme/m", "m.gguf", CONTENT)
        yield fake


@pytest.fixture
def url(hub: FakeHub) -> str:
    return hub.resolve_url("acme/m", "m.gguf")


class FailingDisk(Disk):
    """Fails with one errno in one call; writes only from a byte on."""

    def __init__(self, call: str, code: int, *, after: int = 0) -> None:
        self._call = call
        self._code = code
        self._after = after

    def _fail(self, call: str) -> None:
        if call == self._call:
            raise OSError(self._code, os.strerror(self._code))

    def open_part(self, path: Path) -> int:
        self._fail("open")
        return super().open_part(path)

    def write_at(self, fd: int, data: bytes, offset: int) -> None:
        if offset + len(data) > self._after:
            self._fail("write")
        super().write_at(fd, data, offset)

    def read_at(self, fd: int, buffer: bytearray, offset: int) -> int:
        self._fail("read")
        return super().read_at(fd, buffer, offset)

    def sync(self, fd: int) -> None:
        self._fail("sync")
        super().sync(fd)

    def reserve(self, fd: int, size: int) -> None:
        self._fail("reserve")
        super().reserve(fd, size)

    def replace(self, source: Path, target: Path) -> None:
        self._fail("replace")
        super().replace(source, target)

    def free_bytes(self, folder: Path) -> int:
        self._fail("free")
        return super().free_bytes(folder)


def fetch(url: str, dest: Path, disk: Disk | None = None) -> TransferResult:
    return run(TransferEngine(policy=QUICK, disk=disk).fetch(TransferRequest(url, dest)))


@pytest.mark.parametrize("call", ["open", "write", "read", "sync", "reserve", "replace", "free"])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "no permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_disk_failure_is_a_sentence_and_nothing_half_finished_is_named(
    tmp_path: Path, url: str, call: str, code: int, words: str
) -> None:
    dest = tmp_path / "m.gguf"
    with pytest.raises(StorageError, match=words) as caught:
        fetch(url, dest, FailingDisk(call, code))
    assert caught.value.remedy
    assert not dest.exists()
    # and once the disk is well again, it is a matter of one more attempt
    assert fetch(url, dest).sha256 == DIGEST


def test_disk_that_fills_up_on_the_way_loses_nothing(tmp_path: Path, url: str, hub: FakeHub) -> None:
    dest = tmp_path / "m.gguf"
    with pytest.raises(StorageError) as caught:
        fetch(url, dest, FailingDisk("write", errno.ENOSPC, after=2 * MIB))
    assert caught.value.code == "DISK_FULL"
    assert len(hub.seen("cdn")) == 1  # never tried again
    result = fetch(url, dest)
    assert 2 * MIB - 65536 <= result.resumed_from <= 2 * MIB
    assert dest.read_bytes() == CONTENT


def test_too_little_space_is_noticed_before_the_first_byte(tmp_path: Path, url: str, hub: FakeHub) -> None:
    class SmallDisk(Disk):
        def free_bytes(self, folder: Path) -> int:
            return 5 * MIB

    with pytest.raises(StorageError, match="has only 5 MiB left") as caught:
        fetch(url, tmp_path / "m.gguf", SmallDisk())
    assert caught.value.code == "DISK_FULL"
    assert hub.seen("cdn") == []
    assert list(tmp_path.iterdir()) == []


def test_space_is_reserved(tmp_path: Path, url: str, hub: FakeHub) -> None:
    hub.fail(Fault(drop_after=MIB))
    hub.fail(Fault(status=503), times=99)
    with pytest.raises(Exception, match="503"):
        fetch(url, tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf.part").stat().st_size == len(CONTENT)


def test_stopped_while_it_is_verified(tmp_path: Path, url: str) -> None:
    """All bytes are there: the next attempt only has to look at them."""
    dest = tmp_path / "m.gguf"
    gate = threading.Event()

    class SlowToRead(Disk):
        def read_at(self, fd: int, buffer: bytearray, offset: int) -> int:
            gate.wait(60)
            return super().read_at(fd, buffer, offset)

    async def work() -> None:
        verifying = asyncio.Event()

        def on_progress(progress: Progress) -> None:
            if progress.phase == "verifying":
                verifying.set()

        engine = TransferEngine(policy=QUICK, disk=SlowToRead())
        task = asyncio.create_task(engine.fetch(TransferRequest(url, dest), on_progress))
        await verifying.wait()
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the worker has been asked to stop; now its reader may go on
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    assert not dest.exists()
    result = fetch(url, dest)
    assert (result.received, result.resumed_from, result.sha256) == (0, len(CONTENT), DIGEST)


def test_folder_removed_under_us(tmp_path: Path, url: str, hub: FakeHub) -> None:
    folder = tmp_path / "models"

    class Vanishing(Disk):
        def write_at(self, fd: int, data: bytes, offset: int) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            super().write_at(fd, data, offset)

    with pytest.raises(StorageError, match="gone"):
        fetch(url, folder / "m.gguf", Vanishing())
    assert fetch(url, folder / "m.gguf").sha256 == DIGEST


def test_folder_that_is_a_file(tmp_path: Path, url: str) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StorageError):
        fetch(url, tmp_path / "models" / "m.gguf")


def start_driver(url: str, dest: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.fetch_driver", url, str(dest)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def journaled(dest: Path) -> int:
    try:
        return int(json.loads(dest.with_name(dest.name + ".part.json").read_text())["segments"][0][2])
    except (OSError, ValueError):
        return 0


def test_kill_minus_nine_then_resume(tmp_path: Path, url: str, hub: FakeHub) -> None:
    """Killed four times at different places, each time without a chance to say goodbye."""
    dest = tmp_path / "m.gguf"
    begun = 0
    for stage in (1, 2, 3, 4):
        hub.heal()
        hub.fail(Fault(hang_after=stage * MIB - begun), times=9)
        driver = start_driver(url, dest)
        try:
            until_sync(lambda stage=stage: journaled(dest) >= stage * MIB, what=f"stage {stage}")
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.communicate()
        begun = journaled(dest)
        assert not dest.exists()
    hub.heal()
    hub.release.set()
    driver = start_driver(url, dest)
    out, err = driver.communicate(timeout=30)
    assert out.split() == [DIGEST, str(begun)], err
    assert dest.read_bytes() == CONTENT
    assert {p.name for p in tmp_path.iterdir()} == {"m.gguf"}


def test_two_processes_never_write_the_same_file(tmp_path: Path, url: str, hub: FakeHub) -> None:
    dest = tmp_path / "m.gguf"
    hub.fail(Fault(hang_after=MIB))
    driver = start_driver(url, dest)
    try:
        until_sync(lambda: journaled(dest) >= MIB)
        with pytest.raises(BusyError, match="in another process"):
            fetch(url, dest)
    finally:
        hub.release.set()
        out, err = driver.communicate(timeout=30)
    assert out.startswith(DIGEST), err


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import sys,time;from pathlib import Path;from genai_desktop.library.locks import FileLock;"
        "lock=FileLock(Path(sys.argv[1]));lock.acquire();print('held',flush=True);time.sleep(60)"
    )
    lock = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            FileLock(lock, timeout=0).acquire()
    finally:
        process.kill()
        process.communicate()
    with FileLock(lock, timeout=0) as held:
        assert held.is_held
    assert not lock.exists()


def test_hasher_survives_being_restarted_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY)
    hasher = Hasher(Disk(), fd)
    hasher.start()
    try:
        for _ in range(50):
            hasher.advance(len(CONTENT))
            hasher.restart()
        hasher.advance(2 * MIB)
        hasher.complete(len(CONTENT))
        hasher.join(20)
        assert hasher.hexdigest() == DIGEST
    finally:
        hasher.stop()
        os.close(fd)


def test_hasher_notices_a_file_that_got_shorter(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"short")
    fd = os.open(path, os.O_RDONLY)
    hasher = Hasher(Disk(), fd, 0)
    hasher.start()
    try:
        hasher.complete(10)
        hasher.join(20)
        with pytest.raises(OSError, match="5 of 10"):
            hasher.hexdigest()
    finally:
        hasher.stop()
        os.close(fd)
