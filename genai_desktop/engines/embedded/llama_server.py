"""llama-server without its binary: the same command line, log, exit statuses and HTTP, from the xllamacpp
wheel.

The server itself is llama.cpp's own. What the wheel leaves out and lives here: the command line, the signals,
and the end of the process.

Two properties of the wheel shape this module. `Server(...)` holds the interpreter's lock until the model is
loaded, so nothing in Python runs meanwhile: no thread, no signal handler. And when the child protocol ends
the server, the wheel ends its own loop but not the process.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from genai_desktop.engines.embedded import llama_flags
from genai_desktop.engines.embedded.llama_parser import Flag, UsageError, parse, usage

# In the child protocol the parent talks to us on stdin; the variable is how llama.cpp's router says so.
CHILD_VARIABLE = "LLAMA_SERVER_ROUTER_PORT"
_EXIT_COMMAND = b"cmd_router_to_child:exit"

_DEFAULT_PORT = 8080
# Seconds that the start of the task loop is allowed where there is nothing to ask it: a hundred times what it
# takes.
_LOOP_START = 0.1


class _Finished(Exception):
    """A flag such as `--version` has done all there is to do."""


def main(argv: Sequence[str]) -> int:
    """Serve as the arguments of llama-server say; return the exit status.

    0 after a stop that was asked for, 1 for every error it can explain. While the model loads, a signal ends
    the process by its default action, as it does with the real server.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler could not run during the load anyway
    sections = _sections()
    if importlib.util.find_spec("xllamacpp") is None:
        print("error: the embedded llama.cpp needs the package xllamacpp, which is missing", file=sys.stderr)
        return 127
    try:
        params = _parameters(sections, argv, os.environ)
    except _Finished:
        return 0
    except UsageError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.flush()
    sys.stderr.flush()
    return _serve(params)


def _sections() -> dict[str, tuple[Flag, ...]]:
    def show_help(params: Any, value: bool) -> NoReturn:
        del params, value
        print(usage(sections), end="")
        raise _Finished

    about = (
        Flag(("-h", "--help", "--usage"), "print this and exit", show_help),
        Flag(("--version",), "print the version and exit", _show_version),
        Flag(("--list-devices",), "print the devices and exit", _show_devices),
    )
    sections = {
        "common params": (*about, *llama_flags.COMMON),
        "sampling params": llama_flags.SAMPLING,
        "speculative params": llama_flags.SPECULATIVE,
        "example-specific params": llama_flags.SERVER,
    }
    return sections


def _show_version(params: Any, value: bool) -> NoReturn:
    """The real server prints this to stderr, so this one does too."""
    del params, value
    import xllamacpp

    # The last part of the wheel's version is the llama.cpp build inside; the library itself does not know it.
    match = re.search(r"\.(\d{4,})$", xllamacpp.__version__)
    build = match.group(1) if match else xllamacpp.BUILD_INFO["build_number"]
    print(f"version: xllamacpp-{xllamacpp.__version__} (build {build}, commit unknown)", file=sys.stderr)
    info = xllamacpp.BUILD_INFO
    print(f"built with {info['compiler']} for {info['build_target']}", file=sys.stderr)
    raise _Finished


def _show_devices(params: Any, value: bool) -> NoReturn:
    del params, value
    from xllamacpp import get_device_info

    print("Available devices:")
    devices = [info for info in get_device_info() if info["type"] != 0]  # 0 is the CPU, which is never listed
    for info in devices:
        total, free = info["memory_total"] >> 20, info["memory_free"] >> 20
        print(f"  {info['name']}: {info['description']} ({total} MiB, {free} MiB free)")
    if not devices:
        print("  (none)")
    raise _Finished


def _parameters(
    sections: Mapping[str, Sequence[Flag]], argv: Sequence[str], environ: Mapping[str, str]
) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    # The library's defaults are those of the command line but for these two.
    params.port = _DEFAULT_PORT
    params.n_parallel = -1
    parse([flag for flags in sections.values() for flag in flags], argv, environ, params)
    if not params.model.path:
        raise UsageError("error: the embedded engine has no router mode, --model is required")
    return params


def _serve(params: Any) -> int:
    from xllamacpp import Server

    stop = threading.Event()
    relay = _StdinRelay(stop) if os.environ.get(CHILD_VARIABLE) else None
    try:
        server = Server(params)
    except RuntimeError:
        return 1  # the reason is in the log, in llama.cpp's own words

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        # Ending the server takes the interpreter's lock too: a second signal must not wait for it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    _wait_for_loop(server, params)
    if relay is not None:
        relay.start()
    _wait(stop)
    if relay is not None:
        relay.release()
    del server  # lets the running batch finish, closes the connections and joins the server's threads
    return 0


def _wait_for_loop(server: Any, params: Any) -> None:
    """Return when llama.cpp's task loop runs.

    It starts just after `Server(...)` returns, and a server that is ended before that loops for ever.
    """
    if params.endpoint_metrics:
        server.handle_metrics()  # answered by the loop
    else:
        time.sleep(_LOOP_START)


def _wait(stop: threading.Event) -> None:
    if sys.platform == "win32":
        while not stop.wait(0.2):  # an endless wait would never notice Ctrl-C there
            pass
    else:
        stop.wait()


class _StdinRelay:
    """Stands between the parent's pipe and llama.cpp's own reader of the child protocol.

    llama.cpp must read the commands, because the answers are its business; but it tells nobody that it was
    told to exit. So its standard input becomes a pipe of ours, and what comes from the parent is passed on
    and looked at. Nothing is read before the model is loaded, just as in the real server.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._source = os.dup(0)
        reading, self._sink = os.pipe()
        os.dup2(reading, 0)
        os.close(reading)

    def start(self) -> None:
        """Begin to pass on what the parent says."""
        threading.Thread(target=self._run, name="stdin-relay", daemon=True).start()

    def release(self) -> None:
        """Let llama.cpp's reader come to its end, which the end of the server waits for."""
        os.write(self._sink, _EXIT_COMMAND + b"\n")

    def _run(self) -> None:
        with os.fdopen(self._source, "rb", buffering=0) as source:
            pending = b""
            while data := source.read(4096):
                os.write(self._sink, data)
                *lines, pending = (pending + data).split(b"\n")
                if any(line.strip() == _EXIT_COMMAND for line in lines):
                    self._stop.set()
                    return
        # The parent is gone: llama.cpp sees the end of its input and exits with status 1 by itself.
        os.close(self._sink)
