"""Real work for an engine: a reply from a tiny language model, a picture of 64 x 64 points."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genai_desktop.core.builds import EngineCommand
from genai_desktop.core.chat import SamplingParameters
from genai_desktop.core.errors import EngineError, ImageError, ServerError, ServerTimeoutError
from genai_desktop.core.images import ImageGenerationConfig
from genai_desktop.core.launch import LlamaServerConfig, build_llama_argv
from genai_desktop.core.llama_config import resolved
from genai_desktop.core.models import ModelInfo
from genai_desktop.engines.deadline import Deadline
from genai_desktop.engines.environment import clean_environment
from genai_desktop.engines.health import LlamaProbe
from genai_desktop.engines.llama_client import LlamaClient
from genai_desktop.engines.llama_failures import classify
from genai_desktop.engines.llama_log import LlamaLog
from genai_desktop.engines.logs import OutputReader
from genai_desktop.engines.ports import free_port
from genai_desktop.engines.probe import Device, Steps
from genai_desktop.engines.process import ChildProcess, LaunchSpec, ProcessLauncher
from genai_desktop.engines.sd_cli import SdListener, SdRun, job_folder, run_sd

OnLine = Callable[[str], None]
_POLL_SECONDS = 0.05
_TOKENS = 8
_CONTEXT = 512
_KEPT_LINES = 200
# an engine may go on after these, on the processor or with rubbish
_GPU_ERROR = re.compile(
    r"ggml_cuda_init: failed|CUDA error|cudaMalloc failed|ErrorOutOfDeviceMemory|ErrorDeviceLost"
    r"|ggml_vulkan: .*fail|ROCm error|hipMalloc failed"
)


@dataclass(frozen=True)
class TrialPatience:
    """Seconds. The tiny model needs a fraction of a second; a GPU build may compile its programs first."""

    load: float = 60.0
    reply: float = 60.0
    stop: float = 10.0
    image: float = 300.0


@dataclass
class _Run:
    """A llama-server on trial."""

    child: ChildProcess
    url: str
    key: str
    log: LlamaLog = field(default_factory=LlamaLog)
    lines: list[str] = field(default_factory=list)


class LlamaTrial:
    """Starts llama-server with a model, lets it say a few words, and stops it."""

    def __init__(
        self,
        launcher: ProcessLauncher,
        command: EngineCommand,
        devices: tuple[Device, ...],
        *,
        patience: TrialPatience | None = None,
        on_line: OnLine = lambda _: None,
    ) -> None:
        self._launcher = launcher
        self._command = command
        self._gpus = [device for device in devices if device.is_gpu]
        self._patience = patience or TrialPatience()
        self._on_line = on_line

    async def run(self, model: ModelInfo, steps: Steps) -> None:
        """Adds the steps "load", "reply" and "stop". A GPU the engine lists must really get the layers."""
        running: _Run | None = None
        try:
            async with steps.step("load") as step:
                running = await self._start(model)
                await self._wait_until_loaded(running, model)
                step.detail = self._placement(running)
            if running is not None and steps.is_good:
                async with steps.step("reply") as step:
                    step.detail = await self._reply(running)
                async with steps.step("stop") as step:
                    step.detail = await self._stop(running)
        finally:
            if running is not None:
                await _end(running.child)

    async def _start(self, model: ModelInfo) -> _Run:
        config = LlamaServerConfig(
            model.id or "trial",
            port="auto",
            context_size=_CONTEXT,
            gpu_layers="all" if self._gpus else 0,
            parallel_requests=1,
            cache_ram=0,
        )
        config = resolved(config, context_length=model.context_length, cores=2, optimal={})
        port = await asyncio.to_thread(free_port)
        argv = build_llama_argv(config, model.path, self._command.flags, port=port, alias="trial")
        key = secrets.token_urlsafe(24)
        lines: list[str] = []
        log = LlamaLog()

        def on_line(line: str, _: Literal["stdout", "stderr"]) -> None:
            if log.read(line):
                lines.append(line)
                del lines[:-_KEPT_LINES]
                self._on_line(line)

        reader = OutputReader(on_line)
        spec = LaunchSpec(
            "llama-server",
            (*self._command.argv, *argv),
            clean_environment({**dict(self._command.environment), "LLAMA_API_KEY": key}),
            cwd=_working_directory(self._command),
        )
        child = await self._launcher.start(spec, reader.feed)
        return _Run(child, f"http://127.0.0.1:{port}", key, log, lines)

    async def _wait_until_loaded(self, running: _Run, model: ModelInfo) -> None:
        probe = LlamaProbe(running.url, running.key)
        try:
            async with Deadline(self._patience.load):
                while await probe.health() != "ok" or await probe.props() is None:
                    if running.child.exit_status is not None:
                        status = await running.child.wait()
                        raise classify(status, running.lines, model=model.path, is_loaded=False).error
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"The tiny model was not loaded within {self._patience.load:g} seconds.",
                remedy="Try again when the computer is less busy, or choose another build.",
                details={"log": running.lines[-20:]},
            ) from error
        finally:
            await probe.aclose()

    def _placement(self, running: _Run) -> str:
        """Where the layers went; raises EngineError when a GPU was listed and got none."""
        offloaded, total = (running.log.effective.get(k) for k in ("offloaded_layers", "total_layers"))
        if not self._gpus:
            return "on the processor"
        names = ", ".join(device.name for device in self._gpus)
        if not offloaded:
            raise EngineError(
                f"The engine lists {names}, but put no layer of the model on it.",
                code="GPU_UNUSED",
                remedy="Update the graphics driver, or choose another build.",
            )
        return f"{offloaded} of {total} layers on {names}"

    async def _reply(self, running: _Run) -> str:
        words = ""
        first = 0.0
        began = time.monotonic()
        messages = [{"role": "user", "content": "Hello!"}]
        try:
            async with (
                Deadline(self._patience.reply),
                LlamaClient(running.url, running.key) as client,
                contextlib.aclosing(
                    client.stream_chat(messages, SamplingParameters(temperature=0.0, max_tokens=_TOKENS))
                ) as stream,
            ):
                async for chunk in stream:
                    if (chunk.content or chunk.reasoning) and not words:
                        first = time.monotonic() - began
                    words += chunk.reasoning + chunk.content
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"No reply within {self._patience.reply:g} seconds.", remedy="Choose another build."
            ) from error
        for line in running.lines if self._gpus else ():
            if _GPU_ERROR.search(line):
                raise EngineError(
                    f"The graphics card reported an error: {line.strip()[:200]}",
                    code="GPU_ERROR",
                    remedy="Update the graphics driver, or choose another build.",
                )
        if not words:
            raise ServerError("The engine replied without a single word.", remedy="Choose another build.")
        return f"first word after {first:.2f} s: {' '.join(words.split())[:60]!r}"

    async def _stop(self, running: _Run) -> str:
        running.child.terminate()
        try:
            status = await asyncio.wait_for(running.child.wait(), self._patience.stop)
        except TimeoutError as error:
            raise ServerTimeoutError(
                f"The engine did not stop within {self._patience.stop:g} seconds and was killed.",
                remedy="Choose another build.",
            ) from error
        return status.describe()


class ImageTrial:
    """Lets sd-cli paint the smallest picture there is."""

    def __init__(
        self,
        launcher: ProcessLauncher,
        command: EngineCommand,
        folder: Path,
        *,
        patience: TrialPatience | None = None,
        on_line: OnLine = lambda _: None,
    ) -> None:
        self._launcher = launcher
        self._command = command
        self._folder = folder
        self._patience = patience or TrialPatience()
        self._on_line = on_line

    async def run(self, model: ModelInfo, steps: Steps) -> None:
        """Adds the step "image"."""
        async with steps.step("image") as step, job_folder(self._folder) as folder:
            config = ImageGenerationConfig("a red apple", width=64, height=64, steps=1, cfg_scale=1.0, seed=1)
            listener = SdListener(on_line=lambda line: self._on_line(line.text))
            run = SdRun(self._command, config, model, folder)
            try:
                async with Deadline(self._patience.image):
                    outcome = await run_sd(self._launcher, run, listener)
            except TimeoutError as error:
                raise ImageError(
                    f"No picture within {self._patience.image:g} seconds.",
                    code="TIMEOUT",
                    remedy="Try a smaller image model, or choose another build.",
                ) from error
            if await asyncio.to_thread(_is_blank, outcome.files[0].path):
                raise ImageError(
                    "The picture is of one single colour: the engine computes wrongly on this computer.",
                    code="BLANK_IMAGE",
                    remedy="Choose another build, or update the graphics driver.",
                )
            step.detail = f"64x64 with {model.name} in {outcome.seconds:.1f} s"


def _is_blank(path: Path) -> bool:
    from PIL import Image

    with Image.open(path) as image:
        extrema = image.convert("RGB").getextrema()
    return all(low == high for low, high in extrema)  # type: ignore[misc]


def _working_directory(command: EngineCommand) -> str | None:
    """Backends are also looked for in the working directory; our own engine is started by module name."""
    program = Path(command.argv[0])
    return str(program.parent) if command.build.variant != "embedded" and program.is_absolute() else None


async def _end(child: ChildProcess) -> None:
    """Nothing of it may be left, even if we are cancelled again while it dies."""
    if child.exit_status is None:
        child.kill()
    await asyncio.shield(asyncio.ensure_future(child.wait()))
