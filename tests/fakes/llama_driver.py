"""A program that brings a LlamaServerManager into a state, says so, and waits to be killed.

argv: launcher kind, state, data folder. Prints one JSON line: the status and the pids that must not survive.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil

from genai_desktop.engines.process import ProcessLauncher
from genai_desktop.engines.supervisor import Policy
from tests.aio import until
from tests.fakes.launchers import run_with
from tests.fakes.llama_setup import Setup
from tests.services.test_llama_server import STATES, poke


async def main(launcher: ProcessLauncher) -> None:
    _, state, home = sys.argv[1:]
    policy = Policy(delays=(0.01,), grace=1000)
    setup = Setup(Path(home), *STATES[state][0], launcher=launcher, policy=policy)
    starting = asyncio.ensure_future(setup.start())
    if state == "loading":
        await until(lambda: "loading model" in setup.lines())
    else:
        await starting
    if state == "restarted":
        await poke(setup, "/fake/exit?code=1")
        await until(lambda: setup.told.count("started") == 2)
    stopping = None
    if state == "stopping":
        stopping = asyncio.ensure_future(setup.manager.stop())
        await until(lambda: setup.info.status == "stopping")
    pids = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps({"status": setup.info.status, "pids": pids}), flush=True)
    await asyncio.Event().wait()
    del stopping


if __name__ == "__main__":
    run_with(sys.argv[1], main, 600)
