"""What the tests of faults share: the composed services under observation, and engines that misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

import genai_desktop
from genai_desktop.core.chat import ChatMessage, SamplingParameters
from genai_desktop.core.images import HandoffReport, ImageGenerationConfig, ImageProgress
from genai_desktop.core.servers import ServerInfo
from genai_desktop.engines.embedded import LLAMA_SERVER, command_line
from genai_desktop.services.genai import GenAI
from tests.aio import until, until_sync
from tests.fakes import fake_llama_server, fake_sd_cli
from tests.real import models

ROOT = Path(__file__).resolve().parents[2]
SHORT = SamplingParameters(max_tokens=16, seed=1, temperature=0.0)
ENDLESS = SamplingParameters(max_tokens=100_000, seed=1, temperature=1.0)
# root may write anywhere; without these it has to obey permissions like anybody else
AS_ANYBODY = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if hasattr(os, "geteuid") and os.geteuid() == 0
    else ()
)
OVER = ("done", "stopped", "interrupted", "failed")


def note(name: str, seconds: float) -> None:
    """A time worth knowing, for whoever asks with GENAI_DESKTOP_TIMINGS=FILE; nothing is judged by it."""
    if os.environ.get("GENAI_DESKTOP_TIMINGS"):
        with Path(os.environ["GENAI_DESKTOP_TIMINGS"]).open("a") as file:
            file.write(f"{name}: {seconds:.3f} s\n")


class Scene:
    """The program without a window, and everything it told."""

    def __init__(self, genai: GenAI) -> None:
        self.genai = genai
        self.infos: list[ServerInfo] = []
        self.messages: dict[str, ChatMessage] = {}
        self.said: dict[str, str] = {}
        self.phases: list[str] = []
        self.reports: list[HandoffReport] = []
        self.progress: list[ImageProgress] = []
        self.conversation = ""
        self._is_full = False
        genai.llama.on("changed", self.infos.append)
        genai.conversations.on("message_changed", self._note_message)
        genai.conversations.on("delta", self._note_delta)
        genai.orchestrator.on("state_changed", lambda state: self.phases.append(state["phase"]))
        genai.orchestrator.on("handoff", self.reports.append)
        genai.diffusion.on("progress", self.progress.append)

    def _note_message(self, message: ChatMessage) -> None:
        self.messages[message.id] = message
        self.said[message.id] = message.content

    def _note_delta(self, delta: Any) -> None:
        self.said[delta.message_id] = self.said.get(delta.message_id, "") + delta.content

    @property
    def info(self) -> ServerInfo:
        return self.genai.llama.get_info()

    @property
    def pid(self) -> int:
        assert self.info.pid is not None
        return self.info.pid

    async def say(self, text: str = "Hello.", sampling: SamplingParameters = SHORT) -> str:
        """Send; the id of the reply. After an endless one elsewhere: it may have filled the context."""
        if self._is_full or not self.conversation:
            self.conversation = (await self.genai.conversations.create()).summary.id
        self._is_full = sampling is ENDLESS
        return await self.genai.conversations.send(self.conversation, text, sampling=sampling)

    async def has_said(self, reply: str, characters: int = 40) -> None:
        await until(lambda: len(self.said.get(reply, "")) >= characters, 30, f"{characters} characters")

    async def over(self, reply: str, timeout: float = 30) -> ChatMessage:
        """The reply when it has ended, however."""
        await until(
            lambda: reply in self.messages and self.messages[reply].state in OVER,
            timeout,
            "the end of a reply",
        )
        return self.messages[reply]

    async def answered(self, text: str = "Hello.", timeout: float = 30) -> ChatMessage:
        """A whole turn that must work."""
        message = await self.over(await self.say(text), timeout)
        assert message.state == "done", message
        assert message.content
        return message

    async def becomes(self, *states: str, timeout: float = 30) -> ServerInfo:
        await until(lambda: self.info.status in states, timeout, f"status {states}")
        return self.info

    async def enters(self, phase: str, timeout: float = 30) -> None:
        await until(lambda: phase in self.phases, timeout, f"phase {phase}")

    async def paints(self, step: int = 1, timeout: float = 60) -> None:
        await until(lambda: any(p.step >= step for p in self.progress), timeout, f"step {step}")


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Scene]:
    async with genai_desktop.open(home) as genai:
        yield Scene(genai)


async def endless_model(genai: GenAI, folder: Path) -> str:
    """Random weights do not know when to stop: replies long enough for a fault to happen in them."""
    path = models.tiny_llama(folder / "endless.gguf", n_ctx_train=32768)
    return (await genai.models.import_model(str(path))).id


async def image_model(genai: GenAI, files: dict[str, Path]) -> ImageGenerationConfig:
    """A small picture by the tiny image model, which is on the shelf then."""
    model = await genai.models.import_model(
        str(files["diffusion_model"]),
        name="Tiny Flux",
        type="diffusion",
        components={role: str(path) for role, path in files.items()},
    )
    return ImageGenerationConfig(
        "a lighthouse", width=64, height=64, steps=2, cfg_scale=1.0, seed=7, model_id=model.id
    )


# processes


def engines(*words: str) -> list[int]:
    """Living engines below this process whose command line holds one of the words (default: any engine)."""
    wanted = words or ("llama-server", "sd-cli", "fake_llama_server", "fake_sd_cli")
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            line = " ".join(child.cmdline())
            if child.status() != psutil.STATUS_ZOMBIE and any(word in line for word in wanted):
                found.append(child.pid)
    return found


def painters() -> list[int]:
    return engines("sd-cli", "sd_cli")


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def freeze(pid: int) -> None:
    """SIGSTOP; returns when it has stopped, for a SIGTERM on its heels would overtake it."""
    os.kill(pid, signal.SIGSTOP)
    until_sync(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, 5, "the stop")


def run_cli(
    home: Path, *arguments: str, timeout: float = 60, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-m", "genai_desktop", *arguments],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The error object of a `--json` command that failed as it should: with a sentence and a way out."""
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr
    error: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert error["event"] == "error"
    assert error["message"].endswith((".", "!")), error
    assert error["remedy"], error
    return error


# engines of one's own


class OwnLlama:
    """`llama-server` by path: the fake, with faults that can change from start to start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "llama-server"
        self._faults = folder / "faults"
        self.misbehave()
        _script(
            self.path,
            'case "$1" in --version) echo "version: 9999 (0c1e570)" >&2; exit 0;;\n'
            '--list-devices) echo "Available devices:"; exit 0;; esac\n'
            f'eval "set -- $(cat \'{self._faults}\') \\"\\$@\\""\n'
            f"exec '{sys.executable}' -I -S '{fake_llama_server.__file__}' \"$@\"\n",
        )

    def misbehave(self, *faults: str) -> None:
        """From the next start on."""
        self._faults.write_text(" ".join(f"--fault '{fault}'" for fault in faults))

    async def use(self, genai: GenAI) -> None:
        await genai.engines.use("llama.cpp", str(self.path))


class OwnSd:
    """`sd-cli` by path: the fake, with a plan that can change from run to run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "sd-cli"
        self.folder = folder
        self.runs = folder / "runs.txt"
        self._plan = folder / "plan.json"
        self.plan()
        fake = f"'{sys.executable}' '{fake_sd_cli.__file__}' '{self._plan}'"
        _script(self.path, f'case "$1" in --list-devices) exit 0;; esac\nexec {fake} "$@"\n')

    def plan(self, **values: Any) -> None:
        """From the next run on."""
        self._plan.write_text(json.dumps({"runs": str(self.runs), **values}))

    def hold(self, stage: str) -> Path:
        """Let the next runs wait at a stage; the folder in which `<stage>.reached` tells of it."""
        gate = self.folder / "gate"
        gate.mkdir(exist_ok=True)
        for old in gate.iterdir():
            old.unlink()
        (gate / f"{stage}.hold").touch()
        self.plan(gate=str(gate))
        return gate

    def started(self) -> list[int]:
        lines = self.runs.read_text().splitlines() if self.runs.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith("start ")]

    async def use(self, genai: GenAI) -> None:
        await genai.engines.use("stable-diffusion.cpp", str(self.path))


def real_llama_by_path(folder: Path) -> Path:
    """The embedded engine behind a path of its own, which can be taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "llama-server"
    words = " ".join(f"'{word}'" for word in command_line(LLAMA_SERVER))
    _script(path, f'exec {words} "$@"\n')
    return path


def _script(path: Path, body: str) -> None:
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)


# ports


@contextmanager
def foreign_llama_server(port: int, model: Path) -> Iterator[int]:
    """Somebody else's real llama-server, with a key of theirs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_", "GENAI_"))}
    process = subprocess.Popen(
        [
            *command_line(LLAMA_SERVER), "-m", str(model), "--host", "127.0.0.1", "--port", str(port),
            "-c", "512", "-np", "1", "-t", "1", "--alias", "their-model",
        ],
        cwd=ROOT,
        env={**environment, "LLAMA_API_KEY": "a-key-of-theirs"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if b"listening on" in line:
                break
        yield process.pid
    finally:
        process.kill()
        process.communicate()
