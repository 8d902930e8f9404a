"""The process launcher of the service thread: QProcess behind the port of `engines.process`.

The QProcess objects are created, used and deleted in the thread whose asyncio loop (qasync) calls `start`;
nothing is parented across threads. Binding to our life is as for the other launcher (engines.binding). The
kernel's part of it is tied to the thread that starts a child: the service thread must end after its children.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping

from PySide6.QtCore import QByteArray, QObject, QProcess, QProcessEnvironment, Slot

from genai_desktop.core.errors import EngineError
from genai_desktop.engines import binding
from genai_desktop.engines.process import (
    ChildProcess,
    ExitStatus,
    LaunchSpec,
    OnOutput,
    StreamName,
    complete_start,
    deliver,
)


class _Watched(QObject):
    """A QProcess and its signals, in the loop's thread; owned by a `_Child` until the process has ended."""

    def __init__(self, child: _Child) -> None:
        super().__init__()
        self._child: _Child | None = child
        self.process = QProcess(self)
        self.process.started.connect(self._on_started)
        self.process.errorOccurred.connect(self._on_error)
        self.process.readyReadStandardOutput.connect(self._on_stdout)
        self.process.readyReadStandardError.connect(self._on_stderr)
        self.process.finished.connect(self._on_finished)

    def release(self) -> None:
        """Delete the Qt objects here, in their own thread; no cycle with the child may outlive the loop."""
        self._child = None
        self.deleteLater()

    @Slot()
    def _on_started(self) -> None:
        if self._child is not None:
            self._child.on_started(self.process.processId())

    @Slot(QProcess.ProcessError)
    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._child is not None:
            self._child.on_start_failed(self.process.errorString())

    @Slot()
    def _on_stdout(self) -> None:
        self._pass_on("stdout", self.process.readAllStandardOutput())

    @Slot()
    def _on_stderr(self) -> None:
        self._pass_on("stderr", self.process.readAllStandardError())

    def _pass_on(self, stream: StreamName, data: QByteArray) -> None:
        if self._child is not None:
            self._child.on_data(stream, bytes(data.data()))

    @Slot(int, QProcess.ExitStatus)
    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        if self.process.isReadable():
            self._on_stdout()
            self._on_stderr()
        is_signal = status == QProcess.ExitStatus.CrashExit and sys.platform != "win32"
        # QProcess tells the signal's number in place of the code, and Windows' codes as signed numbers
        if self._child is not None:
            self._child.on_finished(
                ExitStatus(signal=code) if is_signal else ExitStatus(code=code & 0xFFFFFFFF)
            )


class _Child:
    """One process; the part that outlives the Qt objects."""

    def __init__(self, on_output: OnOutput | None, on_gone: Callable[[_Child], None]) -> None:
        self._on_gone = on_gone
        self._on_output = on_output
        self._watched: _Watched | None = _Watched(self)
        self._group: binding.ProcessGroup | None = None
        self._guard: _Child | None = None
        self._started: asyncio.Future[int] | None = None
        self._ended = asyncio.Event()
        self._status: ExitStatus | None = None
        self.pid = 0

    async def launch(
        self, argv: list[str], env: Mapping[str, str], cwd: str | None, *, has_stdin: bool, has_output: bool
    ) -> None:
        """Returns when it runs; raises EngineError."""
        watched = self._watched
        assert watched is not None  # noqa: S101 - set until the end
        process = watched.process
        process.setProgram(argv[0])
        process.setArguments(argv[1:])
        environment = QProcessEnvironment()
        for name, value in env.items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        if cwd is not None:
            process.setWorkingDirectory(cwd)
        if not has_stdin:
            process.setStandardInputFile(QProcess.nullDevice())
        if not has_output:
            process.setStandardOutputFile(QProcess.nullDevice())
            process.setStandardErrorFile(QProcess.nullDevice())
        if sys.platform != "win32":
            flag = QProcess.UnixProcessFlag
            process.setUnixProcessParameters(
                flag.CreateNewSession | flag.ResetSignalHandlers | flag.CloseFileDescriptors
            )
        self._started = started = asyncio.get_running_loop().create_future()
        process.start()
        try:
            self.pid = await started
        finally:
            self._started = None
            del started  # it holds the exception, whose traceback holds this frame

    def lead_group(self, guard: _Child | None) -> None:
        """From now on its group dies with it; `guard` sees to that if we die first."""
        self._group = binding.ProcessGroup(self.pid)
        self._guard = guard
        if guard is not None:
            guard.write(b"%d\n" % self.pid)
        if self._status is not None:  # it ended before we came here
            self._let_go()

    # -- what Qt tells us

    def on_started(self, pid: int) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_result(pid)

    def on_start_failed(self, reason: str) -> None:
        if self._started is not None and not self._started.done():
            self._started.set_exception(
                EngineError(
                    f"The program could not be started: {reason}.",
                    code="START_FAILED",
                    remedy="Install the engine again or choose another one in Settings.",
                )
            )
        asyncio.get_running_loop().call_soon(self._dispose)

    def on_data(self, stream: StreamName, data: bytes) -> None:
        if self._on_output is not None and data:
            deliver(self._on_output, stream, data)

    def on_finished(self, status: ExitStatus) -> None:
        self._status = status
        if self._group is not None:
            self._let_go()
        self._ended.set()
        asyncio.get_running_loop().call_soon(self._dispose)

    def _let_go(self) -> None:
        assert self._group is not None  # noqa: S101 - both callers checked
        self._group.close()
        if self._guard is not None:
            self._guard.write(b"released\n")
            self._guard.close_stdin()

    def _dispose(self) -> None:
        """Outside Qt's own signals."""
        watched, self._watched = self._watched, None
        if watched is not None:
            watched.release()
        self._on_gone(self)

    # -- ChildProcess

    @property
    def exit_status(self) -> ExitStatus | None:
        return self._status

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        if self._guard is not None:
            await self._guard.wait()
        assert self._status is not None  # noqa: S101 - set before the event
        return self._status

    def write(self, data: bytes) -> None:
        if self._watched is not None and self._status is None and self._watched.process.isWritable():
            self._watched.process.write(data)

    def close_stdin(self) -> None:
        if self._watched is not None and self._status is None:
            self._watched.process.closeWriteChannel()

    def terminate(self) -> None:
        if self._status is None and self._watched is not None:
            if sys.platform == "win32":
                self._watched.process.kill()  # WM_CLOSE, which terminate() sends, reaches no console program
            else:
                self._watched.process.terminate()

    def kill(self) -> None:
        if self._status is None and self._group is not None:
            self._group.kill()


class QProcessLauncher:
    """The launcher for the window: QProcess in the service thread."""

    def __init__(self) -> None:
        # Qt keeps no reference to Python objects: they live here while their process does
        self._running: set[_Child] = set()

    async def start(self, spec: LaunchSpec, on_output: OnOutput) -> ChildProcess:
        """As `engines.process.ProcessLauncher.start`."""
        argv = await asyncio.to_thread(binding.prepare, spec.argv, spec.env, spec.cwd)
        return await complete_start(self._start(spec, argv, on_output))

    async def _start(self, spec: LaunchSpec, argv: list[str], on_output: OnOutput) -> ChildProcess:
        env = binding.child_environment(spec.env)
        guard_argv = binding.guard_argv()
        guard = None
        if guard_argv is not None:
            guard = await self._spawn(None, guard_argv, env, None, has_stdin=True, has_output=False)
        try:
            child = await self._spawn(
                on_output, argv, env, spec.cwd, has_stdin=spec.has_stdin, has_output=True
            )
        except EngineError:
            if guard is not None:
                guard.close_stdin()
                await guard.wait()
            raise
        child.lead_group(guard)
        return child

    async def _spawn(
        self,
        on_output: OnOutput | None,
        argv: list[str],
        env: Mapping[str, str],
        cwd: str | None,
        *,
        has_stdin: bool,
        has_output: bool,
    ) -> _Child:
        child = _Child(on_output, self._running.discard)
        self._running.add(child)
        await child.launch(argv, env, cwd, has_stdin=has_stdin, has_output=has_output)
        return child
