"""The engines that come as wheels, run as child processes with the command line of the real binaries.

`command_line` starts one through this very executable; `dispatch` is the other end of it. A child imports
nothing of the desktop (no Qt, no HTTP client), because its start counts against every hand-off.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

ENGINE_ARGUMENT = "--embedded-engine"

LLAMA_SERVER = "llama-server"
SD_CLI = "sd-cli"

# engine -> (module of the wheel, name of its distribution)
_WHEELS = {
    LLAMA_SERVER: ("xllamacpp", "xllamacpp"),
    SD_CLI: ("stable_diffusion_cpp", "stable-diffusion-cpp-python"),
}


def command_line(name: str) -> list[str]:
    """Return the argv prefix that starts the engine `name`; the engine's own flags follow it.

    Raises ValueError for a name that is no embedded engine.
    """
    if name not in _WHEELS:
        raise ValueError(f"no embedded engine is called {name!r}")
    if getattr(sys, "frozen", False):
        return [sys.executable, ENGINE_ARGUMENT, name]
    return [sys.executable, "-m", "genai_desktop", ENGINE_ARGUMENT, name]


def dispatch(argv: Sequence[str]) -> int | None:
    """Run the engine that `argv` (without the program's name) asks for and return its exit status.

    Returns None when the arguments are not for an engine; the caller then goes on with its own command line.
    """
    if list(argv[:1]) != [ENGINE_ARGUMENT]:
        return None
    name, arguments = (argv[1] if len(argv) > 1 else ""), list(argv[2:])
    from genai_desktop.engines.embedded.child import bind_to_parent, yield_cores

    if not bind_to_parent():
        return 1
    yield_cores()
    if name == LLAMA_SERVER:
        from genai_desktop.engines.embedded import llama_server

        return llama_server.main(arguments)
    if name == SD_CLI:
        from genai_desktop.engines.embedded import sd_cli

        return sd_cli.main(arguments)
    print(f"error: no embedded engine is called {name!r}", file=sys.stderr)
    return 1


def is_available(name: str) -> bool:
    """Whether the wheel behind the engine `name` is installed; nothing of it is imported."""
    return name in _WHEELS and importlib.util.find_spec(_WHEELS[name][0]) is not None


def version(name: str) -> str | None:
    """Return the version of the wheel behind the engine `name`, or None when it is not installed."""
    if not is_available(name):
        return None
    from importlib import metadata  # twenty milliseconds that a child need not pay

    try:
        return metadata.version(_WHEELS[name][1])
    except metadata.PackageNotFoundError:  # frozen without the wheel's metadata
        return None
