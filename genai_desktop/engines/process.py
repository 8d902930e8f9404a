"""Child processes: how one is started, watched, fed and killed, whatever event loop runs.

Two launchers stand behind one port: `AsyncioLauncher` here, and `bridge.qprocess.QProcessLauncher` for the
service thread of the window. tests/contracts/test_launchers.py holds both to the same behaviour.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from genai_desktop.core.errors import ServerTimeoutError
from genai_desktop.engines import binding
from genai_desktop.engines.environment import clean_environment

__all__ = [
    "AsyncioLauncher", "ChildProcess", "Completed", "ExitStatus", "LaunchSpec", "OnOutput", "ProcessLauncher",
    "clean_environment", "run_to_end",
]  # fmt: skip

StreamName = Literal["stdout", "stderr"]
OnOutput = Callable[[StreamName, bytes], None]

# After the child is gone, something that left its group may still hold the pipes: do not wait for ever.
DRAIN_SECONDS = 0.5
_STREAMS: dict[int, StreamName] = {1: "stdout", 2: "stderr"}
_MAX_CAPTURE = 16 * 2**20


@dataclass(frozen=True)
class LaunchSpec:
    """What to start.

    argv[0] is a path or a name on env's PATH; env is the whole environment; without has_stdin the child reads
    end-of-file at once.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None
    has_stdin: bool = False


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: an exit code, or the signal that killed it."""

    code: int | None = None
    signal: int | None = None

    @classmethod
    def from_returncode(cls, returncode: int) -> ExitStatus:
        """From Python's convention: negative means a signal."""
        return cls(signal=-returncode) if returncode < 0 else cls(code=returncode)

    @property
    def is_success(self) -> bool:
        return self.code == 0

    def describe(self) -> str:
        """ "exit code 1", "signal 9 (SIGKILL)", "exit code 0xC0000135" """
        if self.signal is not None:
            try:
                return f"signal {self.signal} ({signals.Signals(self.signal).name})"
            except ValueError:
                return f"signal {self.signal}"
        code = self.code or 0
        return f"exit code {code:#010X}".replace("0X", "0x") if code > 255 else f"exit code {code}"


class ChildProcess(Protocol):
    """A started process. All methods may be called after its end, and then do nothing."""

    @property
    def pid(self) -> int: ...

    @property
    def exit_status(self) -> ExitStatus | None:
        """None while it runs."""

    async def wait(self) -> ExitStatus:
        """Until it has ended and its last output was delivered. Any number of tasks may wait."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes for its standard input."""

    def close_stdin(self) -> None: ...

    def terminate(self) -> None:
        """Ask: SIGTERM to the process itself. On Windows there is no such request, and this kills."""

    def kill(self) -> None:
        """Kill the process and everything in its group."""


class ProcessLauncher(Protocol):
    """Starts processes that die with us."""

    async def start(self, spec: LaunchSpec, on_output: OnOutput) -> ChildProcess:
        """The running child. Both pipes are drained from now on into `on_output`, in the loop's thread.

        Raises EngineError when the program is missing, not executable, or not for this computer.
        """
        ...


def deliver(on_output: OnOutput, stream: StreamName, data: bytes) -> None:
    """Call a listener; a broken one is reported and must not stop the draining."""
    try:
        on_output(stream, data)
    except Exception:  # whatever the listener raises, the pipe has to be read on
        logging.getLogger(__name__).exception("a listener to the output of a process failed")


class _Child(asyncio.SubprocessProtocol):
    """One process on asyncio's own transport, which reads both pipes as they fill."""

    def __init__(self, on_output: OnOutput | None) -> None:
        self._on_output = on_output
        self._transport: asyncio.SubprocessTransport | None = None
        self._group: binding.ProcessGroup | None = None
        self._guard: _Child | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._status: ExitStatus | None = None
        self.pid = 0

    def lead_group(self, guard: _Child | None) -> None:
        """From now on its group dies with it; `guard` sees to that if we die first."""
        self._group = binding.ProcessGroup(self.pid)
        self._guard = guard
        if guard is not None:
            guard.write(b"%d\n" % self.pid)
        if self._status is not None:  # it ended before we came here
            self._group.close()

    # -- what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)  # noqa: S101 - narrows the type
        self._transport = transport
        self.pid = transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if self._on_output is None:
            return
        deliver(self._on_output, _STREAMS[fd], data)

    def process_exited(self) -> None:
        assert self._transport is not None  # noqa: S101 - narrows the type
        self._status = ExitStatus.from_returncode(self._transport.get_returncode() or 0)
        if self._group is not None:
            self._group.close()
        loop = asyncio.get_running_loop()
        self._drain_timer = loop.call_later(DRAIN_SECONDS, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        if self._transport is not None:
            self._transport.close()
        if self._guard is not None:
            self._guard.write(b"released\n")
            self._guard.close_stdin()
        self._ended.set()

    # -- ChildProcess

    @property
    def exit_status(self) -> ExitStatus | None:
        return self._status

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        if self._guard is not None:
            await self._guard.wait()
        assert self._status is not None  # noqa: S101 - narrows the type
        return self._status

    def write(self, data: bytes) -> None:
        pipe = self._stdin()
        if pipe is not None:
            pipe.write(data)

    def close_stdin(self) -> None:
        pipe = self._stdin()
        if pipe is not None:
            pipe.close()

    def _stdin(self) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(0) if self._transport is not None else None
        return pipe if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing() else None

    def terminate(self) -> None:
        if self._status is not None or self._transport is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "win32":
                self._transport.terminate()
            else:
                # the transport would look first whether the process has ended, and with that take the exit
                # status away from asyncio's watcher, which then reports 255
                os.kill(self.pid, signals.SIGTERM)

    def kill(self) -> None:
        if self._status is None and self._group is not None:
            self._group.kill()


async def complete_start(starting: Coroutine[Any, Any, ChildProcess]) -> ChildProcess:
    """Run a start to its end even when cancelled, and then end what it started.

    Half a start cannot be undone: asyncio (3.11) waits for ever for a process whose start was cancelled
    before its pipes were connected.
    """
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_kill_started)
        await asyncio.wait({task})
        if task.exception() is None:
            await task.result().wait()
        raise


def _kill_started(task: asyncio.Task[ChildProcess]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().kill()


class AsyncioLauncher:
    """The launcher for plain asyncio loops: the command line, scripts, tests."""

    async def start(self, spec: LaunchSpec, on_output: OnOutput) -> ChildProcess:
        argv = await asyncio.to_thread(binding.prepare, spec.argv, spec.env, spec.cwd)
        return await complete_start(self._start(spec, argv, on_output))

    async def _start(self, spec: LaunchSpec, argv: list[str], on_output: OnOutput) -> ChildProcess:
        env = binding.child_environment(spec.env)
        guard = await self._start_guard(env)
        child = _Child(on_output)
        try:
            await self._spawn(child, argv, env, spec.cwd, has_stdin=spec.has_stdin)
        except OSError as error:
            if guard is not None:
                guard.close_stdin()
                await guard.wait()
            raise binding.start_error(spec.argv[0], error) from error
        child.lead_group(guard)
        return child

    async def _start_guard(self, env: Mapping[str, str]) -> _Child | None:
        argv = binding.guard_argv()
        if argv is None:
            return None
        guard = _Child(None)
        await self._spawn(guard, argv, env, None, has_stdin=True, has_output=False)
        return guard

    async def _spawn(
        self,
        child: _Child,
        argv: list[str],
        env: Mapping[str, str],
        cwd: str | None,
        *,
        has_stdin: bool,
        has_output: bool = True,
    ) -> None:
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NO_WINDOW}
        out = subprocess.PIPE if has_output else subprocess.DEVNULL
        await asyncio.get_running_loop().subprocess_exec(
            lambda: child,
            *argv,
            stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=dict(env),
            cwd=cwd,
            **options,
        )


@dataclass(frozen=True)
class Completed:
    """A program run to its end. At most 16 MiB of each stream are kept."""

    status: ExitStatus
    stdout: str
    stderr: str


async def run_to_end(launcher: ProcessLauncher, spec: LaunchSpec, timeout: float) -> Completed:
    """Run a short program. Killed on cancellation, and with ServerTimeoutError after `timeout` seconds."""
    captured: dict[StreamName, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def keep(stream: StreamName, data: bytes) -> None:
        room = _MAX_CAPTURE - len(captured[stream])
        captured[stream] += data[: max(0, room)]

    child = await launcher.start(spec, keep)
    try:
        status = await asyncio.wait_for(child.wait(), timeout)
    except TimeoutError as error:
        tail = captured["stderr"][-2000:].decode("utf-8", "replace")
        raise ServerTimeoutError(
            f"{spec.name} did not finish within {timeout:g} seconds.",
            remedy="Try again when the computer is less busy.",
            details={"log": tail.splitlines()},
        ) from error
    finally:
        if child.exit_status is None:
            child.kill()
            await child.wait()
    out, err = (captured[name].decode("utf-8", "replace") for name in ("stdout", "stderr"))
    return Completed(status, out, err)
