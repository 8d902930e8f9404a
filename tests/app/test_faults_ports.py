"""A port that is taken: by us, by somebody's llama-server, by something else, or at the last moment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import PortInUseError
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.ports import free_port
from genai_desktop.gateway.server import ImageGateway
from genai_desktop.library.paths import guide_model
from tests.aio import run
from tests.app.faults import ROOT, Scene, engines, foreign_llama_server, note, opened
from tests.fakes.other_program import other_program

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("faults")]


@contextmanager
def serving(home: Path, port: int) -> Iterator[int]:
    """Another process of ours on the same data folder, serving the Guide; the pid of its engine."""
    process = subprocess.Popen(
        [sys.executable, "-m", "genai_desktop", "serve", "--json", "--model", "guide", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = (json.loads(line) for line in process.stdout)
        yield next(line["llm"]["pid"] for line in told if line["event"] == "ready")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


async def refused(scene: Scene, port: int, state: str = "stopped") -> str:
    """The sentence for this port."""
    began = time.monotonic()
    with pytest.raises(PortInUseError) as caught:
        await scene.genai.load_llm("guide", {"port": port})
    note("port in use", time.monotonic() - began)
    error = caught.value
    assert str(port) in error.message
    assert "auto" in error.remedy
    assert scene.info.status == state
    assert scene.info.error_message == error.message
    return error.message


def test_whoever_has_the_port_is_named(home: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            sentences = []
            port = free_port()
            with serving(home, port) as pid:
                sentences.append(await refused(scene, port))
                assert f"a server this program started (process {pid})" in sentences[-1]
            port = free_port()
            with foreign_llama_server(port, guide_model()) as pid:
                sentences.append(await refused(scene, port))
                assert f"another llama-server (process {pid})" in sentences[-1]
            with other_program() as (_, port):
                sentences.append(await refused(scene, port))
                assert "the program python" in sentences[-1]
            gateway = ImageGateway(scene.genai)
            url = await gateway.start("auto")
            try:
                sentences.append(await refused(scene, int(url.rsplit(":", 1)[1])))
                assert f"a server this program started (process {os.getpid()})" in sentences[-1]
            finally:
                await gateway.stop()
            assert len({" ".join(s.split()[3:6]) for s in sentences}) == 3
            await scene.genai.load_llm("guide", {"port": port})
            assert scene.info.port == port
            await scene.answered()

    run(main(), 90)


def test_the_image_api_names_it_too(home: Path) -> None:
    async def main() -> None:
        async with opened(home) as scene:
            info = await scene.genai.load_llm("guide")
            assert info.port is not None
            with pytest.raises(PortInUseError, match="a server this program started"):
                await ImageGateway(scene.genai).start(info.port)
            with other_program() as (_, port), pytest.raises(PortInUseError, match="the program python"):
                await ImageGateway(scene.genai).start(port)
            await scene.answered()

    run(main(), 60)


@pytest.mark.parametrize("wanted", ["auto", "given"])
def test_stolen_between_choosing_and_binding(home: Path, wanted: str) -> None:
    """The real engine finds its port taken: with "auto" it gets another one, a given one is told."""
    thief = socket.socket()
    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stolen = 0

    def steal(info: ServerInfo) -> None:
        nonlocal stolen
        if info.pid is not None and info.port is not None and not stolen:
            thief.bind(("127.0.0.1", info.port))
            thief.listen()
            stolen = info.port

    async def main() -> None:
        async with opened(home) as scene:
            scene.genai.llama.on("changed", steal)
            port: Any = "auto" if wanted == "auto" else free_port()
            if wanted == "given":
                await refused(scene, port, "crashed")
                assert engines() == []
            else:
                await scene.genai.load_llm("guide", {"port": "auto"})
                assert scene.info.port != stolen
                assert {info.status for info in scene.infos} == {"starting", "running"}
                await scene.answered()
                assert len(engines()) == 1
            thief.close()
            await scene.genai.load_llm("guide", {"port": port})

    with thief:
        run(main(), 60)
    assert stolen
