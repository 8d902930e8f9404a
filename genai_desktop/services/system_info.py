"""What this computer is and what it can run (R101 to R106)."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from genai_desktop.core.engine_devices import EngineDevice, apply_devices, parse_devices
from genai_desktop.core.errors import GenaiError, ModelFileError
from genai_desktop.core.footprint import diffusion_footprint
from genai_desktop.core.gguf_header import GgufHeader
from genai_desktop.core.hardware import (
    CpuInfo,
    GpuInfo,
    MemoryInfo,
    Problem,
    SystemCapabilities,
)
from genai_desktop.core.models import FitBadge, ModelInfo
from genai_desktop.core.placement import Placement, fit_badge, place
from genai_desktop.core.recommend import free_vram, recommend
from genai_desktop.engines.telemetry.cpu import read_cpu
from genai_desktop.engines.telemetry.gpus import Gpus, GpuSource
from genai_desktop.engines.telemetry.host import Host
from genai_desktop.library.headers import read_header_file, read_model_header

_log = logging.getLogger(__name__)
CACHE_SECONDS = 60.0
_LOW_MEMORY = 2 << 30
_GIB = 1 << 30
_PLATFORMS: Mapping[str, str] = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}


def default_sources() -> tuple[GpuSource, ...]:
    """The sources of GPUs on this system."""
    from genai_desktop.engines.telemetry.nvml import NvmlReader

    system = platform.system()
    if system == "Darwin":
        from genai_desktop.engines.telemetry.macos import AppleReader

        return (AppleReader(),)
    if system == "Windows":
        from genai_desktop.engines.telemetry.windows import WindowsReader

        return (NvmlReader(), WindowsReader())
    from genai_desktop.engines.telemetry.sysfs import SysfsReader

    return (NvmlReader(), SysfsReader())


class RunCheck(NamedTuple):
    """The answer of can_run_model. reason: one sentence; suggestion: what to do, may be empty."""

    possible: bool
    reason: str
    suggestion: str = ""


class SystemInfo:
    """Facts about the machine, cached for a minute; memory is always read anew.

    Sources are injected for tests: `gpus`, `host`, `cpu` (a function) and `clock` (monotonic seconds).
    """

    def __init__(
        self,
        *,
        gpus: Gpus | None = None,
        host: Host | None = None,
        cpu: Callable[[], CpuInfo] = read_cpu,
        clock: Callable[[], float] = time.monotonic,
        system: str = "",
    ) -> None:
        self._gpus = gpus if gpus is not None else Gpus(default_sources())
        self._host = host if host is not None else Host()
        self._cpu = cpu
        self._clock = clock
        self._platform = system or _PLATFORMS.get(platform.system(), platform.system().lower())
        self._cached: SystemCapabilities | None = None
        self._cached_at = 0.0
        self._detecting: asyncio.Task[SystemCapabilities] | None = None
        self._devices: tuple[EngineDevice, ...] | None = None

    # facts ------------------------------------------------------------------------------------------------

    async def detect(self, refresh: bool = False) -> SystemCapabilities:
        """Everything about the machine. Never raises for a missing tool; takes at most about two seconds.

        Cached for 60 s; several callers at once share one detection.
        """
        if not refresh and self._cached is not None and self._clock() - self._cached_at < CACHE_SECONDS:
            return self._cached
        if self._detecting is None or self._detecting.done():
            self._detecting = asyncio.ensure_future(self._detect())
        return await asyncio.shield(self._detecting)

    def get_memory_info(self) -> MemoryInfo:
        """RAM now, never cached (a container's limit counts as the machine's memory)."""
        return self._host.memory()

    async def free_memory(self) -> dict[str, Any]:
        """{"ram": bytes, "vram": (bytes per GPU the engine can use, ...)}, read now."""
        machine = await self._machine()
        return {"ram": machine[0].available, "vram": tuple(free_vram(gpu) for gpu in machine[1])}

    def use_engine_devices(self, lines: Sequence[str] | None) -> None:
        """What the engine in use listed; None: not known, so the hardware's own word stands.

        An empty list is an answer too: this build uses no GPU, and nothing is placed on one.
        """
        devices = None if lines is None else parse_devices(lines)
        if devices != self._devices:
            self._devices = devices
            self._cached = None

    # models -----------------------------------------------------------------------------------------------

    async def can_run_model(self, model: ModelInfo) -> RunCheck:
        """Whether the model runs now: by placement for language models, by the parts' sizes for image
        models.
        """
        if model.missing:
            return RunCheck(
                False, "Its file is missing.", "Import it again from its new place, or remove it."
            )
        if model.type == "diffusion":
            return await self._can_run_diffusion(model)
        try:
            placement = await self.place(model)
        except GenaiError as error:
            return RunCheck(False, error.message, error.remedy)
        return RunCheck(placement.fits, placement.reason, placement.suggestion)

    async def place(self, model: ModelInfo, **wishes: Any) -> Placement:
        """Where a language model would go now. wishes: as core.placement.place (n_ctx, n_gpu_layers, ...).

        Raises ModelNotFoundError, ModelFileError, StorageError.
        """
        header = await asyncio.to_thread(read_model_header, model.path)
        if not isinstance(header, GgufHeader):
            raise _no_llm(model)
        projector = await self._projector(model)
        memory, gpus = await self._machine()
        is_unified = bool(gpus) and all(gpu.is_unified for gpu in gpus)
        vram = tuple(free_vram(gpu) for gpu in gpus)
        return await asyncio.to_thread(
            place, header, vram, memory.available, is_unified=is_unified, projector=projector, **wishes
        )

    async def fit(self, model: ModelInfo) -> FitBadge:
        """The short answer for lists."""
        if model.missing:
            return FitBadge("unknown", "Missing", "Its file is missing.")
        try:
            if model.type == "diffusion":
                check = await self._can_run_diffusion(model)
                level = "no" if not check.possible else "gpu" if "GPU" in check.reason else "cpu"
                return FitBadge(level, "Too large" if not check.possible else "Fits", check.reason)
            return fit_badge(await self.place(model))
        except GenaiError as error:
            return FitBadge("unknown", "Unknown", error.message)

    async def get_optimal_config(self, model: ModelInfo, **wishes: Any) -> dict[str, Any]:
        """Values for LlamaServerConfig by name, and `reason`: why these.

        threads, gpu_layers, context_size, parallel_requests, flash_attention, cache_type_k, cache_type_v, and
        n_cpu_moe when experts stay in RAM. Raises as `place`.
        """
        placement = await self.place(model, **wishes)
        caps = await self.detect()
        config: dict[str, Any] = {
            "threads": caps.cpu.cores,
            "gpu_layers": placement.n_gpu_layers,
            "context_size": placement.n_ctx,
            "parallel_requests": wishes.get("n_parallel", 1),
            "flash_attention": "auto" if placement.flash_attention else "off",
            "cache_type_k": placement.cache_type_k,
            "cache_type_v": placement.cache_type_v,
            "reason": placement.reason,
        }
        if placement.cache_type_v not in ("f16", "f32", "bf16"):  # a quantized V needs flash attention
            config["flash_attention"] = "on"
        if placement.n_cpu_moe:
            config["n_cpu_moe"] = placement.n_cpu_moe
        return config

    # inside -----------------------------------------------------------------------------------------------

    async def _detect(self) -> SystemCapabilities:
        cpu, memory, gpus = await asyncio.gather(
            asyncio.to_thread(self._cpu),
            asyncio.to_thread(self._host.memory),
            asyncio.to_thread(self._gpus.detect),
        )
        if self._devices is not None:
            gpus = apply_devices(gpus, self._devices)
        problems = _problems(memory, gpus, self._gpus.complaints)
        capabilities = SystemCapabilities(
            cpu=cpu,
            memory=memory,
            gpus=gpus,
            platform=self._platform,
            recommendations=recommend(cpu, memory, gpus),
            detected_at=time.time(),
            problems=problems,
        )
        self._cached, self._cached_at = capabilities, self._clock()
        return capabilities

    async def _machine(self) -> tuple[MemoryInfo, tuple[GpuInfo, ...]]:
        """Memory and usable GPUs with what is free now."""
        caps = await self.detect()
        usable = tuple(gpu for gpu in caps.gpus if gpu.backends)
        memory = await asyncio.to_thread(self._host.memory)
        if not usable:
            return memory, ()
        samples = {sample.index: sample for sample in await asyncio.to_thread(self._gpus.sample)}
        gpus: list[GpuInfo] = []
        for gpu in usable:
            sample = samples.get(gpu.index)
            if sample is None:
                gpus.append(gpu)
            elif sample.present:
                free = gpu.vram_free
                if sample.vram_total is not None and sample.vram_used is not None:
                    free = sample.vram_total - sample.vram_used
                gpus.append(replace(gpu, vram_free=free))
        return memory, tuple(gpus)

    async def _projector(self, model: ModelInfo) -> GgufHeader | None:
        path = next((file.path for file in model.files if file.role in ("llm_vision", "mmproj")), "")
        if not path:
            return None
        try:
            header = await asyncio.to_thread(read_header_file, path)
        except GenaiError as error:
            _log.warning("the projector of %s cannot be read: %s", model.name, error)
            return None
        return header if isinstance(header, GgufHeader) else None

    async def _can_run_diffusion(self, model: ModelInfo) -> RunCheck:
        files = {file.role: file.path for file in model.files} or {"": model.path}
        try:
            headers = {role: await asyncio.to_thread(read_header_file, path) for role, path in files.items()}
        except GenaiError as error:
            return RunCheck(False, error.message, error.remedy)
        width, height = (_size(model.recommended.get(name)) for name in ("width", "height"))
        footprint = await asyncio.to_thread(diffusion_footprint, headers, width=width, height=height)
        memory, gpus = await self._machine()
        need = footprint.peak
        best = max((free_vram(gpu) for gpu in gpus), default=0)
        if best >= need:
            return RunCheck(True, f"Fits on the GPU: {need / _GIB:.1f} of {best / _GIB:.1f} GB free.")
        if memory.available >= need:
            where = "RAM, partly on the GPU" if best else "RAM"
            words = f"{need / _GIB:.1f} of {memory.available / _GIB:.1f} GB free {where}"
            return RunCheck(True, f"Runs: {words}.", "" if best else "Pictures take minutes without a GPU.")
        free = f"{memory.available / _GIB:.1f} GB of RAM are free"
        return RunCheck(
            False,
            f"Needs {need / _GIB:.1f} GB for pictures of {width} x {height}; {free}.",
            "Choose a smaller quantization of the diffusion model or its text encoder.",
        )


def _size(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 64 <= value <= 8_192 else 512


def _no_llm(model: ModelInfo) -> ModelFileError:
    return ModelFileError(
        f"{model.name} is not a GGUF file, so the language engine cannot load it.",
        remedy="Look for the same model as .gguf.",
    )


def _problems(memory: MemoryInfo, gpus: Sequence[GpuInfo], complaints: Sequence[str]) -> tuple[Problem, ...]:
    """What `doctor` tells. No GPU is not a problem; one that nothing can use is."""
    problems: list[Problem] = []
    if memory.available < _LOW_MEMORY:
        problems.append(
            Problem(
                "LOW_MEMORY",
                f"Only {memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GB of RAM are free.",
                "Close other programs before loading a model.",
            )
        )
    if "cgroup" in memory.source:
        problems.append(
            Problem(
                "MEMORY_LIMIT",
                f"This session may use {memory.total / _GIB:.1f} GB of RAM (a container's limit), "
                "less than the machine has.",
                "Raise the limit of the container if larger models should run.",
            )
        )
    problems += [
        Problem(
            "GPU_NOT_USABLE",
            f"{gpu.name} is there, but no engine on this computer can use it.",
            "Install the driver of its maker (with Vulkan), or an engine build made for it.",
        )
        for gpu in gpus
        if not gpu.backends
    ]
    problems += [
        Problem(
            "GPU_NOT_ANSWERING",
            f"A GPU driver does not answer ({complaint}).",
            "Restart the computer or reinstall the driver; until then the processor is used.",
        )
        for complaint in complaints
    ]
    return tuple(problems)
