"""One run of sd-cli: in a folder of its own, followed, judged by the files it leaves, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from genai_desktop.core.errors import ImageError, ModelNotFoundError, StorageError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.sd_failures import classify_failure
from genai_desktop.core.sd_launch import SdOptions, aligned_size, build_sd_argv, is_long_prompt, output_index
from genai_desktop.core.sd_output import SdEvent, SdLine, SdOutputParser
from genai_desktop.engines.process import LaunchSpec, clean_environment

if TYPE_CHECKING:
    from genai_desktop.core.builds import EngineCommand
    from genai_desktop.engines.process import ChildProcess, ExitStatus, ProcessLauncher

_log = logging.getLogger(__name__)

STALL_SECONDS = 600.0  # no output and no processor time for so long: it hangs
_KEPT_LINES = 400
_LONG_PROMPT = 10_000
_DISK_MARGIN = 32 * 1024**2
FOLDER_PREFIX = "image-"


@dataclass(frozen=True)
class SdRun:
    """What to run. config.seed is decided; folder is empty and only for this run."""

    command: EngineCommand
    config: ImageGenerationConfig
    model: ModelInfo
    folder: Path
    options: SdOptions = field(default_factory=SdOptions)
    threads: int | None = None
    extra_args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PaintedFile:
    """A picture the engine left: complete, decodable, with its real size in pixels."""

    path: Path
    seed: int
    width: int
    height: int


@dataclass(frozen=True)
class SdOutcome:
    """seconds: from the start of the process to its end."""

    files: tuple[PaintedFile, ...]
    seconds: float
    argv: tuple[str, ...]
    lines: tuple[str, ...] = field(default=(), repr=False)


@dataclass
class SdListener:
    """What the caller wants to hear, in the loop's thread."""

    on_started: Callable[[int, tuple[str, ...]], None] = lambda _pid, _argv: None
    on_events: Callable[[list[SdEvent]], None] = lambda _events: None
    on_line: Callable[[SdLine], None] = lambda _line: None


@asynccontextmanager
async def job_folder(parent: Path) -> AsyncIterator[Path]:
    """A fresh folder, gone afterwards whatever happened. Raises StorageError when it cannot be made."""
    folder = parent / f"{FOLDER_PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    making = asyncio.ensure_future(asyncio.to_thread(folder.mkdir, parents=True))

    async def remove() -> None:
        await asyncio.wait({making})  # cancelled while it was being made, it would appear afterwards
        if making.cancelled() or making.exception() is not None:
            return
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    try:
        try:
            await asyncio.shield(making)
        except OSError as error:
            raise StorageError(
                f"The folder for pictures in progress cannot be made in {parent}: {error.strerror or error}.",
                remedy="Free some disk space or check the permissions of the data folder.",
            ) from error
        yield folder
    finally:
        # a second cancellation must not leave it behind: the removing goes on
        await asyncio.shield(asyncio.ensure_future(remove()))


def sweep_folders(parent: Path) -> int:
    """Remove what killed processes left; how many. Those of a process that still runs are left alone."""
    import psutil

    found = 0
    for folder in parent.glob(f"{FOLDER_PREFIX}*-*"):
        owner = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
            found += 1
    return found


async def run_sd(
    launcher: ProcessLauncher,
    run: SdRun,
    listener: SdListener,
    *,
    clock: Callable[[], float] = time.monotonic,
    stall_seconds: float = STALL_SECONDS,
) -> SdOutcome:
    """Run to the end. Raises ImageError with the last lines, or ModelNotFoundError, StorageError, EngineError
    before anything is started. Cancelling kills the process and its group: nothing of it runs afterwards.
    """
    await asyncio.to_thread(_check_before, run)
    run = _with_absolute_paths(run)
    prompt_file = await asyncio.to_thread(_write_prompt, run) if is_long_prompt(run.config) else ""
    argv = (
        *run.command.argv,
        *build_sd_argv(
            run.config,
            run.model,
            options=run.options,
            flags=run.command.flags,
            threads=run.threads,
            prompt_file=prompt_file,
            extra_args=run.extra_args,
        ),
    )
    reader = _Reader(listener, clock)
    spec = LaunchSpec(
        name="sd-cli",
        argv=argv,
        env=clean_environment(dict((*run.command.environment, *run.environment))),
        cwd=str(run.folder),  # the output name is plain ASCII in it, wherever the data folder lies
    )
    started = clock()
    status = await _supervise(launcher, spec, reader, stall_seconds)
    seconds = clock() - started
    if not status.is_success:
        error = classify_failure(status.code, status.signal, reader.lines)
        if error.code == "ENGINE_CRASHED" and len(run.config.prompt) > _LONG_PROMPT:
            # the tokenizer of the engine recurses over the prompt
            error.remedy = "Shorten the prompt: the image engine cannot read one of this length."
        raise error
    files, rejected = await asyncio.to_thread(_collect, run)
    if not files:
        error = classify_failure(0, None, reader.lines)
        if rejected:
            error.details["rejected"] = rejected
        raise error
    return SdOutcome(files, seconds, argv, tuple(reader.lines))


async def _supervise(
    launcher: ProcessLauncher,
    spec: LaunchSpec,
    reader: _Reader,
    stall_seconds: float,
) -> ExitStatus:
    # shielded: when we are cancelled while it starts, we still get to know the process and end it
    starting = asyncio.ensure_future(launcher.start(spec, reader.feed))
    child: ChildProcess | None = None
    try:
        child = await asyncio.shield(starting)
        reader.listener.on_started(child.pid, spec.argv)
        watch = asyncio.ensure_future(_watch_for_stall(child.pid, reader, stall_seconds))
        waiting = asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait({watch, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ImageError(
                    f"The image engine has not moved for {stall_seconds:.0f} seconds and was ended.",
                    code="ENGINE_STALLED",
                    remedy="Try again; if it happens again, test another build in System, Engines.",
                    details={"log": reader.lines[-40:]},
                )
            reader.finish()
            return waiting.result()
        finally:
            for task in (watch, waiting):
                task.cancel()
            await asyncio.gather(watch, waiting, return_exceptions=True)
    finally:
        await _end(starting, child)


async def _end(starting: asyncio.Future[ChildProcess], child: ChildProcess | None) -> None:
    """Nothing of it may be left, even if we are cancelled again while it dies."""

    async def kill() -> None:
        running = child
        if running is None:
            await asyncio.wait({starting})
            if starting.cancelled() or starting.exception() is not None:
                return  # it never started: whoever started it has been told
            running = starting.result()
        if running.exit_status is None:
            running.kill()
        await running.wait()

    if child is not None and child.exit_status is not None:
        return
    await asyncio.shield(asyncio.ensure_future(kill()))


class _Reader:
    """Both pipes through the parser, and the last lines for the sentence of a failure."""

    def __init__(self, listener: SdListener, clock: Callable[[], float]) -> None:
        self._parser = SdOutputParser()
        self.listener = listener
        self.clock = clock
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._first_errors: list[str] = []  # a flood of one complaint must not push out what began it
        self.last_output = clock()

    @property
    def lines(self) -> list[str]:
        kept = list(self._lines)
        return [line for line in self._first_errors if line not in kept] + kept

    def feed(self, stream: str, data: bytes) -> None:
        self.last_output = self.clock()
        self._deliver(self._parser.feed(data, "stderr" if stream == "stderr" else "stdout"))

    def finish(self) -> None:
        self._deliver(self._parser.finish())

    def _deliver(self, items: list[SdEvent | SdLine]) -> None:
        events: list[SdEvent] = []
        for item in items:
            if not isinstance(item, SdLine):
                events.append(item)
                continue
            self._lines.append(item.text)
            if item.stream == "stderr" and len(self._first_errors) < 20:
                self._first_errors.append(item.text)
            self.listener.on_line(item)
        if events:
            self.listener.on_events(events)


async def _watch_for_stall(pid: int, reader: _Reader, stall_seconds: float) -> None:
    """Return when the process has neither written nor computed for `stall_seconds`."""
    busy = await asyncio.to_thread(_processor_seconds, pid)
    since = reader.clock()
    while True:
        await asyncio.sleep(stall_seconds / 4)
        now_busy = await asyncio.to_thread(_processor_seconds, pid)
        if now_busy - busy > 0.01 * stall_seconds:
            busy, since = now_busy, reader.clock()
        since = max(since, reader.last_output)
        if reader.clock() - since >= stall_seconds:
            return


def _processor_seconds(pid: int) -> float:
    """Processor time of the process and its children so far; 0 when it is gone."""
    import psutil

    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = member.cpu_times()
                total += times.user + times.system
    return total


def _with_absolute_paths(run: SdRun) -> SdRun:
    """The engine runs in another folder than we do."""
    if not run.config.init_image:
        return run
    return replace(run, config=replace(run.config, init_image=str(Path(run.config.init_image).absolute())))


def _check_before(run: SdRun) -> None:
    """Whatever can be known before minutes are spent."""
    for file in run.model.files or ():
        if not Path(file.path).is_file():
            raise ModelNotFoundError(
                f"A file of the image model '{run.model.name}' is gone: {file.path}.",
                remedy="Bring the file back, or import the model again in the Models tab.",
            )
    if not run.model.files and not Path(run.model.path).exists():
        raise ModelNotFoundError(
            f"The file of the image model '{run.model.name}' is gone: {run.model.path}.",
            remedy="Bring the file back, or import the model again in the Models tab.",
        )
    if run.config.init_image and not Path(run.config.init_image).is_file():
        raise ImageError(
            f"The input picture '{run.config.init_image}' is not there.",
            code="INVALID_REQUEST",
            remedy="Choose a PNG or JPEG file.",
        )
    if any(run.folder.iterdir()):
        raise StorageError(f"The folder for the pictures is not empty: {run.folder}.")
    width, height = aligned_size(run.config, run.model)
    needed = run.config.count * width * height * 4 + _DISK_MARGIN
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise StorageError(
            f"The disk has only {free // 2**20} MiB left; the pictures need up to {needed // 2**20} MiB.",
            code="DISK_FULL",
            remedy="Free some disk space and try again.",
        )
    probe = run.folder / "writable"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"The folder for the pictures cannot be written: {error.strerror or error}.",
            remedy="Check the permissions of the data folder.",
        ) from error


def _write_prompt(run: SdRun) -> str:
    (run.folder / "prompt.txt").write_text(run.config.prompt, "utf-8")
    return "prompt.txt"


def _collect(run: SdRun) -> tuple[tuple[PaintedFile, ...], list[str]]:
    """The usable pictures in order, and why others were refused. The folder was empty: all are new."""
    from PIL import Image

    files: list[PaintedFile] = []
    rejected: list[str] = []
    for path in sorted(run.folder.glob("image*.png")):
        index = output_index(path.name)
        if index is None:
            continue
        try:
            with Image.open(path, formats=("PNG",)) as picture:
                picture.load()
                width, height = picture.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            rejected.append(f"{path.name}: {error}")
            continue
        files.append(PaintedFile(path, run.config.seed + index, width, height))
    return tuple(files), rejected
