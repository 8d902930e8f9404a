"""Believable values for screens and tests."""

from __future__ import annotations

import math
import time

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.builds import EngineBuild, EngineTest
from genai_desktop.core.hardware import (
    CpuInfo,
    GpuInfo,
    MemoryInfo,
    Problem,
    Recommendations,
    SystemCapabilities,
)
from genai_desktop.core.jobs import JobInfo, Progress
from genai_desktop.core.models import Capabilities, FitBadge, ModelDetails, ModelFile, ModelInfo
from genai_desktop.core.servers import LogEntry, ServerInfo
from genai_desktop.core.telemetry import EventMarker, GpuSample, TelemetrySample

GIB = 1 << 30
MIB = 1 << 20
NOW = time.time()


def capabilities(gpus: int = 1, problems: tuple[Problem, ...] = ()) -> SystemCapabilities:
    cards = tuple(
        GpuInfo(
            index=index,
            type="nvidia",
            name="NVIDIA GeForce RTX 4070",
            vram_total=12 * GIB,
            vram_free=round(9.4 * GIB),
            driver="550.54",
            backends=("cuda", "vulkan"),
            source="NVML",
            cuda_version="12.4",
            compute_capability="8.9",
        )
        for index in range(gpus)
    )
    return SystemCapabilities(
        cpu=CpuInfo(8, 16, "AMD Ryzen 7 7800X3D 8-Core Processor", "x64", "/proc/cpuinfo"),
        memory=MemoryInfo(62 * GIB, 41 * GIB, 21 * GIB, "/proc/meminfo"),
        gpus=cards,
        platform="linux",
        recommendations=Recommendations(
            "13B" if gpus else "7B",
            ("Q4_K_M", "Q5_K_M"),
            8,
            99 if gpus else 0,
            "12 GiB of graphics memory hold a 13B model at Q4_K_M with an 8k context."
            if gpus
            else "Without a graphics card, 7B models answer at a readable speed.",
        ),
        detected_at=NOW,
        problems=problems,
    )


def sample(moment: float, gpus: int = 1, phase: float = 0.0) -> TelemetrySample:
    wave = 0.5 + 0.5 * math.sin(moment / 23.0 + phase)
    loaded = 1.0 if moment % 300 > 110 else 0.0
    return TelemetrySample(
        moment,
        ram_used=round((18 + 2.4 * wave + 5.2 * loaded) * GIB),
        ram_total=62 * GIB,
        cpu=0.08 + 0.3 * wave * (0.4 + loaded),
        gpus=tuple(
            GpuSample(
                index,
                round((1.1 + 0.4 * wave + 6.3 * loaded) * GIB),
                12 * GIB,
                0.05 + 0.85 * loaded * wave,
                54 + 12 * wave,
                60 + 90 * wave * loaded,
                vram_ours=round(6.3 * loaded * GIB),
            )
            for index in range(gpus)
        ),
        ram_ours=(("llama", round(5.2 * loaded * GIB)), ("diffusion", 0)),
    )


def history(seconds: float = 300.0, points: int = 300, gpus: int = 1) -> tuple[TelemetrySample, ...]:
    step = seconds / points
    return tuple(sample(NOW - seconds + index * step, gpus) for index in range(points + 1))


def markers() -> tuple[EventMarker, ...]:
    return (
        EventMarker(NOW - 3000, "started", "LLM server started with Qwen3 4B"),
        EventMarker(NOW - 260, "crashed", "LLM server was killed by signal 9"),
        EventMarker(NOW - 190, "started", "LLM server started with Qwen3 4B"),
        EventMarker(NOW - 120, "suspended", "LLM stepped aside for an image"),
        EventMarker(NOW - 118, "image-started", "Image started: a lighthouse at dusk"),
        EventMarker(NOW - 60, "image-finished", "Image finished in 58 s"),
        EventMarker(NOW - 52, "resumed", "LLM came back, 1,204 tokens restored"),
    )


def engines() -> tuple[EngineBuild, ...]:
    return (
        EngineBuild(
            "llama.cpp",
            "embedded",
            "b11549",
            "",
            "in-use",
            tests=(
                EngineTest("--version", True, 0.1, "version: 11549"),
                EngineTest("feature probe", True, 0.2, "143 flags"),
                EngineTest("first token", True, 0.9, "41.8 tok/s with the Guide model"),
            ),
            backends=("CPU",),
        ),
        EngineBuild(
            "llama.cpp",
            "own",
            "b9967",
            "/opt/llama/llama-server",
            "refused",
            reason="The program ended by signal 4: it was built for a newer processor.",
            tests=(EngineTest("--version", False, 0.1, "signal 4 (SIGILL)"),),
        ),
        EngineBuild("stable-diffusion.cpp", "embedded", "master-596", "", "untested", backends=("CPU",)),
    )


def llama_running() -> ServerInfo:
    return ServerInfo(
        "llama",
        "running",
        "ok",
        pid=48213,
        port=38117,
        url="http://127.0.0.1:38117",
        model_id="qwen3-4b",
        model_name="Qwen3 4B Instruct",
        started_at=time.time() - 4021,
        generation=2,
        command_line=(
            "llama-server", "-m", "/home/someone/models/Qwen3-4B-Instruct-Q4_K_M.gguf", "--port", "38117",
            "-c", "16384", "-ngl", "37", "-np", "1", "--jinja",
        ),
        engine="embedded b11549",
        requested={"n_ctx": 32768},
        effective={"n_ctx": 16384, "n_gpu_layers": 37},
    )  # fmt: skip


def llama_starting() -> ServerInfo:
    return ServerInfo(
        "llama", "starting", "loading", pid=48213, port=38117, model_name="Qwen3 4B Instruct",
        load_progress=0.43, generation=2,
        command_line=("llama-server", "-m", "/models/q.gguf"), engine="embedded b11549",
    )  # fmt: skip


def llama_crashed() -> ServerInfo:
    return ServerInfo(
        "llama",
        "crashed",
        model_name="Qwen3 4B Instruct",
        generation=3,
        restarts=3,
        command_line=("llama-server", "-m", "/models/q.gguf", "-c", "131072"),
        engine="embedded b11549",
        error_code="SERVER_ERROR",
        error_message="The model needs more memory than is free: 19.4 GiB for a context of 131,072.",
        error_remedy="Choose a smaller context or a smaller quantization, then start again.",
        log_tail=("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 18432.00 MiB failed",),
    )


def log_entries(count: int = 400) -> tuple[LogEntry, ...]:
    levels = ("info", "info", "info", "debug", "info", "warn", "info", "error")
    texts = (
        "srv  update_slots: all slots are idle",
        "slot launch_slot_: id 0 | task 12 | processing task",
        "prompt eval time = 91.20 ms / 204 tokens (2236.8 tokens per second)",
        "ggml_cuda_init: found 1 CUDA devices",
        "llama_model_load: loaded meta data with 31 key-value pairs and 398 tensors",
        "llama_context: n_ctx_per_seq (16384) < n_ctx_train (262144)",
        "eval time = 4820.11 ms / 204 tokens (42.3 tokens per second)",
        "srv  log_server_r: request: POST /v1/chat/completions 500",
    )
    return tuple(
        LogEntry(NOW - count + index, levels[index % 8], f"{texts[index % 8]}") for index in range(count)
    )


def model(name: str = "Qwen3 4B Instruct", kind: str = "llm", size: float = 2.4, **more: object) -> ModelInfo:
    identifier = name.lower().replace(" ", "-")
    path = f"/home/someone/models/{name.replace(' ', '-')}.gguf"
    values: dict[str, object] = {
        "id": identifier,
        "name": name,
        "type": kind,
        "path": path,
        "size": round(size * GIB),
        "files": (ModelFile(path, round(size * GIB)),),
        "architecture": "qwen3",
        "quantization": "Q4_K_M",
        "parameter_count": 4_020_000_000,
        "context_length": 262_144,
        "family": "Qwen3",
        "license": "apache-2.0",
        "added_at": NOW - 86_400 * 3,
        "last_used_at": NOW - 7200,
        "capabilities": Capabilities(reasoning=True, tools=True),
    }
    values.update(more)
    return ModelInfo(**values)  # type: ignore[arg-type]


def guide() -> ModelInfo:
    return model(
        "Guide (demo)", size=0.0045, id="guide", source="builtin", family="Guide", quantization="Q8_0",
        parameter_count=4_300_000, context_length=2048, license="MIT", architecture="llama",
        last_used_at=None, capabilities=Capabilities(),
    )  # fmt: skip


def models() -> tuple[ModelInfo, ...]:
    return (
        guide(),
        model(),
        model(
            "Gemma 3 12B", size=7.3, family="Gemma 3", parameter_count=11_800_000_000, license="gemma",
            context_length=131_072, last_used_at=NOW - 86_400 * 5, architecture="gemma3",
        ),
        model(
            "Llama 3.3 70B Instruct", size=39.6, family="Llama 3.3", parameter_count=70_600_000_000,
            license="llama3.3", context_length=131_072, last_used_at=None, architecture="llama",
        ),
        model(
            "Flux 2 Klein", kind="diffusion", size=5.1, family="Flux 2", quantization="Q4_0",
            parameter_count=None, context_length=None, license="apache-2.0", architecture="flux",
            files=(
                ModelFile("/home/me/models/flux/flux-2-klein-Q4_0.gguf", round(2.5 * GIB), "diffusion_model"),
                ModelFile("/home/me/models/flux/Qwen3-4B-Q4_0.gguf", round(2.3 * GIB), "llm"),
                ModelFile("/home/me/models/flux/ae.safetensors", round(0.33 * GIB), "vae"),
            ),
        ),
        model("Old finetune", size=4.1, missing=True, family="Mistral", license="", architecture="llama"),
    )  # fmt: skip


def fits() -> dict[str, FitBadge]:
    return {
        "guide": FitBadge("gpu", "fits the GPU", "Needs 0.1 GiB of 9.4 GiB free graphics memory."),
        "qwen3-4b-instruct": FitBadge("gpu", "fits the GPU", "Needs 4.1 of 9.4 GiB free graphics memory."),
        "gemma-3-12b": FitBadge("partial", "partly on GPU", "31 of 48 layers fit the graphics card."),
        "llama-3.3-70b-instruct": FitBadge("no", "does not fit", "Needs 44.1 GiB; 41.0 GiB are free."),
        "flux-2-klein": FitBadge("tight", "tight", "Needs 8.9 GiB of 9.4 GiB free graphics memory."),
    }


def details(chosen: ModelInfo | None = None) -> ModelDetails:
    return ModelDetails(
        chosen or model(),
        metadata=(
            ("general.architecture", "qwen3"),
            ("general.name", "Qwen3 4B Instruct 2507"),
            ("general.license", "apache-2.0"),
            ("qwen3.block_count", "36"),
            ("qwen3.context_length", "262144"),
            ("qwen3.attention.head_count", "32"),
            ("qwen3.attention.head_count_kv", "8"),
            ("tokenizer.ggml.model", "gpt2"),
            ("tokenizer.ggml.tokens", "151,936 strings: !, \", #, $, %, &, ' …"),
        ),
        footprint={
            "weights": round(2.3 * GIB),
            "kv_cache": round(1.1 * GIB),
            "compute": round(0.4 * GIB),
            "output": round(0.1 * GIB),
            "projector": 0,
            "total": round(3.9 * GIB),
        },
        placement={"n_ctx": 16384, "n_gpu_layers": 37, "cache_type_k": "f16", "fits": True},
        fit=FitBadge("gpu", "fits the GPU", "Needs 3.9 GiB of 9.4 GiB free graphics memory."),
        memory_free=round(9.4 * GIB),
    )


def jobs() -> tuple[JobInfo, ...]:
    return (
        JobInfo(
            "j1", "download", "Qwen3-8B-Q4_K_M.gguf", "running",
            Progress(1.9 * GIB, 4.7 * GIB, "bytes", "downloading", 48e6, 62.0), created_at=NOW - 40,
        ),
        JobInfo("j2", "verify", "Check Gemma 3 12B", "running", Progress(), created_at=NOW - 5),
        JobInfo("j3", "download", "flux-2-klein-Q4_0.gguf", "queued", created_at=NOW - 3),
        JobInfo(
            "j4", "download", "mistral-7b.gguf", "failed", Progress(0.4 * GIB, 4.1 * GIB, "bytes"),
            "DOWNLOAD_FAILED", "The connection broke off after 0.4 of 4.1 GiB.",
            "What arrived is kept; Retry goes on from there.", NOW - 600,
        ),
        JobInfo("j5", "download", "Guide-2.gguf", "done", Progress(5 * MIB, 5 * MIB, "bytes")),
    )  # fmt: skip


def failure(action: str = "start-server") -> Failure:
    return Failure(
        action,
        "MODEL_NOT_FOUND",
        "There is no model to start: none is installed and none was used before.",
        "Import or download one in the Models tab.",
    )
