"""What the computer is and what it can run."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.engine_devices import apply_devices, parse_devices
from genai_desktop.core.errors import ModelFileError, ModelNotFoundError
from genai_desktop.core.hardware import CpuInfo, GpuInfo, MemoryInfo
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.recommend import BALANCED, COMPACT, QUALITY, free_vram, recommend
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.gpus import Gpus
from genai_desktop.engines.telemetry.host import Host
from genai_desktop.engines.telemetry.nvml import NvmlReader
from genai_desktop.engines.telemetry.vulkan import VulkanProbe
from genai_desktop.services.system_info import SystemInfo
from tests.aio import run
from tests.core.synthetic_gguf import llama_like, write_gguf, write_safetensors
from tests.core.test_components import CLIP_L, FLUX, T5, VAE16
from tests.engines.nvml_replay import ReplayNvml

GIB = 1 << 30
CPU = CpuInfo(8, 16, "Test CPU", "x64", "test")


class FakeHost(Host):
    """Memory as told."""

    def __init__(self, total: int = 32 * GIB, available: int = 24 * GIB, source: str = "test") -> None:
        super().__init__()
        self.total, self.available, self.source, self.readings = total, available, source, 0

    def memory(self) -> MemoryInfo:
        self.readings += 1
        return MemoryInfo(self.total, self.available, self.total - self.available, self.source)


class FakeSource:
    """GPUs as told; `used` may change between readings."""

    name = "fake"

    def __init__(self, *gpus: GpuInfo) -> None:
        self.gpus, self.used, self.detections = gpus, {gpu.index: 0 for gpu in gpus}, 0

    def detect(self) -> tuple[GpuInfo, ...]:
        self.detections += 1
        return self.gpus

    def sample(self) -> tuple[GpuSample, ...]:
        return tuple(GpuSample(gpu.index, self.used[gpu.index], gpu.vram_total) for gpu in self.gpus)

    def memory_of(self, pids: Any) -> dict[int, dict[int, int]]:
        return {}


def gpu(size: int = 24 * GIB, index: int = 0, **changes: Any) -> GpuInfo:
    values: dict[str, Any] = {
        "index": index, "type": "nvidia", "name": "NVIDIA GeForce RTX 4090", "vram_total": size,
        "vram_free": size, "driver": "580", "backends": ("cuda",), "source": "test",
    }  # fmt: skip
    return GpuInfo(**{**values, **changes})


def system(*gpus: GpuInfo, host: FakeHost | None = None, **options: Any) -> SystemInfo:
    return SystemInfo(gpus=Gpus([FakeSource(*gpus)]), host=host or FakeHost(), cpu=lambda: CPU, **options)


@pytest.fixture
def model(tmp_path: Path) -> ModelInfo:
    """About 1.9 GiB of weights."""
    path = write_gguf(
        tmp_path / "m.gguf",
        *llama_like(layers=16, width=2048, heads=32, kv_heads=32, feed_forward=12_288, vocabulary=32_000,
                    context=32_768),
    )  # fmt: skip
    return ModelInfo("m", "Test model", "llm", str(path), path.stat().st_size)


# detect ---------------------------------------------------------------------------------------------------


def test_everything_in_one_answer() -> None:
    async def scenario() -> None:
        caps = await system(gpu(), system="linux").detect()
        assert caps.cpu == CPU
        assert caps.memory.total == 32 * GIB
        assert caps.gpus[0].cuda
        assert caps.platform == "linux"
        assert caps.problems == ()
        assert caps.recommendations.threads == 8

    run(scenario())


def test_this_machine_is_detected_without_help() -> None:
    async def scenario() -> None:
        info = SystemInfo()
        caps = await info.detect()
        assert caps.cpu.cores >= 1
        assert caps.memory.total > GIB // 4
        assert caps.platform in ("linux", "windows", "macos")
        assert info.get_memory_info().total == caps.memory.total

    run(scenario())


def test_the_answer_is_kept_for_a_minute_but_memory_is_not() -> None:
    async def scenario() -> None:
        now = 1_000.0
        host = FakeHost()
        source = FakeSource(gpu())
        info = SystemInfo(gpus=Gpus([source]), host=host, cpu=lambda: CPU, clock=lambda: now)
        first = await info.detect()
        host.available = 5 * GIB
        assert await info.detect() is first
        assert info.get_memory_info().available == 5 * GIB
        assert (await info.free_memory())["ram"] == 5 * GIB
        now += 61
        second = await info.detect()
        assert second is not first
        assert source.detections == 2
        assert (await info.detect(refresh=True)) is not second

    run(scenario())


def test_callers_at_once_share_one_detection() -> None:
    async def scenario() -> None:
        source = FakeSource(gpu())
        info = SystemInfo(gpus=Gpus([source]), host=FakeHost(), cpu=lambda: CPU)
        answers = await asyncio.gather(*(info.detect() for _ in range(10)))
        assert len({id(answer) for answer in answers}) == 1
        assert source.detections == 1
        task = asyncio.ensure_future(info.detect(refresh=True))
        await asyncio.sleep(0)
        task.cancel()  # one caller that goes away does not spoil it for the others
        assert (await info.detect(refresh=True)).gpus

    run(scenario())


def test_a_hanging_driver_does_not_hold_up_the_rest() -> None:
    async def scenario() -> None:
        nvml = ReplayNvml("hanging_from_the_start")
        gpus = Gpus(
            [NvmlReader(nvml), FakeSource(gpu(index=0, type="amd", backends=("vulkan",)))], timeout=0.2
        )
        caps = await SystemInfo(gpus=gpus, host=FakeHost(), cpu=lambda: CPU).detect()
        assert [found.type for found in caps.gpus] == ["amd"]
        assert [problem.code for problem in caps.problems] == ["GPU_NOT_ANSWERING"]
        nvml.release.set()

    run(scenario())


def test_all_recorded_gpus_are_there() -> None:
    async def scenario() -> None:
        probe = VulkanProbe(Path("/nowhere"), load=lambda name: True, environment={})
        gpus = Gpus([NvmlReader(ReplayNvml("two_gpus"), probe)])
        caps = await SystemInfo(gpus=gpus, host=FakeHost(), cpu=lambda: CPU).detect()
        assert [found.name for found in caps.gpus] == ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce GTX 1050"]

    run(scenario())


@pytest.mark.parametrize(
    ("host", "gpus", "codes"),
    [
        (FakeHost(), (), []),  # no GPU is no problem
        (FakeHost(available=GIB), (), ["LOW_MEMORY"]),
        (FakeHost(source="cgroup v2 limit, psutil"), (), ["MEMORY_LIMIT"]),
        (FakeHost(), (gpu(backends=()),), ["GPU_NOT_USABLE"]),
    ],
)
def test_problems_for_doctor(host: FakeHost, gpus: tuple[GpuInfo, ...], codes: list[str]) -> None:
    caps = run(system(*gpus, host=host).detect())
    assert [problem.code for problem in caps.problems] == codes
    for problem in caps.problems:
        assert problem.message.endswith(".")
        assert problem.remedy.endswith(".")


# what the engine lists ------------------------------------------------------------------------------------


def test_the_engine_settles_what_is_usable(model: ModelInfo) -> None:
    async def scenario() -> None:
        info = system(gpu())
        assert (await info.get_optimal_config(model))["gpu_layers"] == 17
        info.use_engine_devices([])  # a processor-only build
        assert (await info.detect()).gpus[0].backends == ()
        assert (await info.free_memory())["vram"] == ()
        assert (await info.get_optimal_config(model))["gpu_layers"] == 0
        info.use_engine_devices(["  Vulkan0: NVIDIA GeForce RTX 4090 (24564 MiB, 23000 MiB free)"])
        assert (await info.detect()).gpus[0].backends == ("vulkan",)
        info.use_engine_devices(None)
        assert (await info.detect()).gpus[0].backends == ("cuda",)

    run(scenario())


def test_device_lists_are_read() -> None:
    devices = parse_devices(
        [
            "Available devices:",
            "  CUDA0: NVIDIA GeForce RTX 4090 (24077 MiB, 23000 MiB free)",
            "  Vulkan1: llvmpipe (LLVM 19, 256 bits) (15000 MiB, 15000 MiB free)",
            "MTL0\tApple M3 Max",
            "CPU\tIntel Xeon",
            "ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24000 MiB free)",
            "",
        ]
    )
    assert [(device.backend, device.total >> 20) for device in devices] == [
        ("cuda", 24_077),
        ("metal", 0),
        ("rocm", 24_560),
    ]
    known = gpu(24_564 << 20)
    (first, second, third) = apply_devices([known], devices)
    assert (first.backends, first.source) == (("cuda",), "test, engine")
    assert (second.type, second.name, second.vram_total) == ("apple", "Apple M3 Max", None)
    assert (third.type, third.vram_free) == ("amd", 24_000 << 20)
    assert [found.index for found in (first, second, third)] == [0, 1, 2]


def test_the_engine_knows_sizes_nobody_else_tells() -> None:
    blind = gpu(
        index=0, type="intel", name="Intel Arc B580", backends=("vulkan",), vram_total=None, vram_free=None
    )
    devices = parse_devices(["Vulkan0: Intel(R) Arc(tm) B580 Graphics (BMG G21) (12216 MiB, 11000 MiB free)"])
    (found,) = apply_devices([blind], devices)
    assert (found.vram_total, found.vram_free, found.backends) == (12_216 << 20, 11_000 << 20, ("vulkan",))


# what runs ------------------------------------------------------------------------------------------------


def test_a_model_that_fits_the_gpu_is_not_refused_for_low_ram(model: ModelInfo) -> None:
    async def scenario() -> None:
        info = system(gpu(), host=FakeHost(available=GIB))
        possible, reason, suggestion = await info.can_run_model(model)
        assert (possible, suggestion) == (True, "")
        assert "Fits on the GPU" in reason
        assert (await info.fit(model)).level == "gpu"

    run(scenario())


def test_a_model_that_fits_nowhere(model: ModelInfo) -> None:
    async def scenario() -> None:
        info = system(host=FakeHost(available=GIB))
        check = await info.can_run_model(model)
        assert not check.possible
        assert "1.0 GB are free" in check.reason
        assert check.suggestion
        assert (await info.fit(model)).level == "no"

    run(scenario())


def test_free_gpu_memory_is_read_now_not_remembered(model: ModelInfo) -> None:
    async def scenario() -> None:
        source = FakeSource(gpu())
        info = SystemInfo(gpus=Gpus([source]), host=FakeHost(), cpu=lambda: CPU)
        assert (await info.get_optimal_config(model))["gpu_layers"] == 17
        source.used[0] = 24 * GIB - GIB // 2  # someone else took it meanwhile
        config = await info.get_optimal_config(model)
        assert config["gpu_layers"] == 0
        assert (await info.free_memory())["vram"] == (GIB // 2,)

    run(scenario())


def test_the_best_configuration(model: ModelInfo) -> None:
    async def scenario() -> None:
        config = await system(gpu()).get_optimal_config(model)
        assert config == {
            "threads": 8,
            "gpu_layers": 17,
            "context_size": 8192,
            "parallel_requests": 1,
            "flash_attention": "auto",
            "cache_type_k": "f16",
            "cache_type_v": "f16",
            "reason": config["reason"],
        }
        small = await system(gpu(int(3.1 * GIB))).get_optimal_config(model, n_ctx=8192)
        assert (small["cache_type_v"], small["flash_attention"]) == ("q8_0", "on")
        chosen = await system(gpu()).get_optimal_config(model, n_ctx=2048, n_gpu_layers=3)
        assert (chosen["context_size"], chosen["gpu_layers"]) == (2048, 3)

    run(scenario())


def test_experts_in_ram_are_part_of_the_configuration(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = write_gguf(
            tmp_path / "moe.gguf",
            *llama_like("qwen3moe", layers=16, width=2048, heads=32, kv_heads=8, feed_forward=512,
                        experts=(32, 4, 512)),
        )  # fmt: skip
        moe = ModelInfo("moe", "Mixture", "llm", str(path), path.stat().st_size)
        config = await system(gpu(int(1.8 * GIB))).get_optimal_config(moe)
        assert config["gpu_layers"] == 17
        assert config["n_cpu_moe"] > 0

    run(scenario())


def test_files_that_are_wrong(tmp_path: Path, model: ModelInfo) -> None:
    async def scenario() -> None:
        info = system()
        gone = ModelInfo("g", "Gone", "llm", str(tmp_path / "gone.gguf"), 5)
        assert not (await info.can_run_model(gone)).possible
        with pytest.raises(ModelNotFoundError):
            await info.get_optimal_config(gone)
        missing = ModelInfo("g", "Gone", "llm", model.path, 5, missing=True)
        assert "missing" in (await info.can_run_model(missing)).reason
        assert (await info.fit(missing)).level == "unknown"
        tensors = write_safetensors(tmp_path / "t.safetensors", {"a": ("F32", (2,))})
        wrong = ModelInfo("w", "Wrong", "llm", str(tensors), 5)
        with pytest.raises(ModelFileError, match="GGUF"):
            await info.get_optimal_config(wrong)
        assert (await info.fit(gone)).level == "unknown"

    run(scenario())


def test_a_projector_is_counted_and_a_broken_one_is_not_fatal(tmp_path: Path, model: ModelInfo) -> None:
    async def scenario() -> None:
        eyes = write_gguf(
            tmp_path / "eyes.gguf", {"general.architecture": "clip"}, [("v.blk.0.w", (4096, 4096), "F16")]
        )
        files = (ModelFile(model.path, 1), ModelFile(str(eyes), 1, role="llm_vision"))
        seeing = ModelInfo("s", "Seeing", "llm", model.path, 1, files=files)
        info = system(gpu())
        plain, with_eyes = await info.place(model), await info.place(seeing)
        assert with_eyes.gpu_bytes > plain.gpu_bytes + 2 * 4096 * 4096
        eyes.write_bytes(b"broken")
        assert (await info.place(seeing)).gpu_bytes == plain.gpu_bytes

    run(scenario())


def test_image_models_by_their_parts(tmp_path: Path) -> None:
    async def scenario() -> None:
        parts = {"diffusion_model": FLUX, "clip_l": CLIP_L, "t5xxl": T5, "vae": VAE16}
        files = []
        for role, shapes in parts.items():
            path = write_safetensors(
                tmp_path / f"{role}.safetensors", {n: ("F16", s) for n, s in shapes.items()}
            )
            files.append(ModelFile(str(path), path.stat().st_size, role=role))
        image = ModelInfo("i", "Flux", "diffusion", files[0].path, 5, files=tuple(files))
        assert (await system(gpu()).can_run_model(image)).possible
        assert (await system(gpu()).fit(image)).level == "gpu"
        on_cpu = await system(host=FakeHost(available=8 * GIB)).can_run_model(image)
        assert on_cpu.possible
        assert "minutes" in on_cpu.suggestion
        assert not (await system(host=FakeHost(available=GIB)).can_run_model(image)).possible
        Path(files[1].path).unlink()
        assert not (await system(gpu()).can_run_model(image)).possible
        assert (await system(gpu()).fit(image)).level == "no"

    run(scenario())


# recommendations ------------------------------------------------------------------------------------------


def memory(gib: float, free: float | None = None) -> MemoryInfo:
    total = int(gib * GIB)
    available = int((free if free is not None else gib / 4) * GIB)
    return MemoryInfo(total, available, total - available, "test")


@pytest.mark.parametrize(
    ("vram", "ram", "size", "quantizations"),
    [
        (24, 32, "70B", BALANCED),
        (16, 32, "34B", BALANCED),
        (0, 32, "34B", COMPACT),
        (0, 16, "13B", BALANCED),
        (0, 15.4, "13B", BALANCED),  # what is left of 16 after firmware
        (0, 8, "7B", BALANCED),
        (0, 4, "7B", COMPACT),
    ],
)
def test_the_floor_of_the_reference(vram: int, ram: float, size: str, quantizations: tuple[str, ...]) -> None:
    gpus = [gpu(vram * GIB, vram_free=GIB)] if vram else []
    found = recommend(CPU, memory(ram), gpus)
    assert (found.max_model_size, found.quantizations) == (size, quantizations)
    assert found.threads == 8
    assert (found.gpu_layers > 0) == bool(vram)
    assert found.reason.endswith(".")


def test_free_memory_raises_the_floor() -> None:
    assert recommend(CPU, memory(128, free=120), []).max_model_size == "120B"
    huge = recommend(CPU, memory(64), [gpu(140 * GIB)])
    assert huge.max_model_size in ("120B", "235B")
    assert recommend(CPU, memory(32), [gpu(96 * GIB, vram_free=97 * GIB)]).quantizations != QUALITY
    assert recommend(CPU, memory(4, free=64), []).max_model_size == "70B"


def test_unusable_gpus_do_not_count() -> None:
    assert recommend(CPU, memory(8), [gpu(backends=())]).max_model_size == "7B"
    assert recommend(CPU, memory(8), [gpu(vram_total=None)]).gpu_layers == 0
    assert free_vram(gpu(8 * GIB, vram_free=None)) == 7 * GIB


def test_no_thread_stays_behind() -> None:
    before = set(threading.enumerate())
    run(system(gpu()).detect())
    assert not [t for t in set(threading.enumerate()) - before if t.is_alive() and not t.daemon]
