"""A program that starts a child through one of the launchers and then waits to be killed.

argv: the launcher's kind. Prints one JSON line: the pids that must not survive it.
"""

from __future__ import annotations

import asyncio
import json
import sys

from genai_desktop.engines.process import LaunchSpec, ProcessLauncher, clean_environment
from tests.fakes.launchers import run_with

# a child that ignores polite requests, with a child of its own
SCRIPT = "trap '' TERM HUP INT; sleep 1000 & echo $!; wait; wait"


async def main(launcher: ProcessLauncher) -> None:
    heard = asyncio.Event()
    output = bytearray()

    def on_output(stream: str, data: bytes) -> None:
        output.extend(data)
        if output.endswith(b"\n"):
            heard.set()

    spec = LaunchSpec("driver", ("sh", "-c", SCRIPT), clean_environment(), has_stdin=True)
    child = await launcher.start(spec, on_output)
    await heard.wait()
    print(json.dumps([child.pid, int(output)]), flush=True)
    await child.wait()


if __name__ == "__main__":
    run_with(sys.argv[1], main, 600)
