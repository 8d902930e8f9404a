"""NVIDIA GPUs, against a recorded NVML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from genai_desktop.engines.telemetry.gpus import Gpus
from genai_desktop.engines.telemetry.nvml import NvmlReader
from genai_desktop.engines.telemetry.vulkan import VulkanProbe
from tests.engines.nvml_replay import ReplayNvml, record

GIB = 1 << 30


def reader(nvml: ReplayNvml, root: Path = Path("/nowhere")) -> NvmlReader:
    return NvmlReader(nvml, VulkanProbe(root, load=lambda name: True, environment={}))


def test_two_gpus_one_of_which_says_little() -> None:
    source = reader(ReplayNvml("two_gpus"))
    first, second = source.detect()
    assert (first.name, first.type, first.vram_total) == ("NVIDIA GeForce RTX 4090", "nvidia", 25_757_220_864)
    assert first.vram_free == 25_757_220_864 - 20 * GIB
    assert (first.driver, first.cuda_version, first.compute_capability) == ("580.95.05", "13.0", "8.9")
    assert (first.cuda, first.vulkan, first.source) == (True, False, "NVML")
    assert second.compute_capability == "6.1"
    busy, quiet = source.sample()
    assert (busy.load, busy.temperature, busy.power) == (0.97, 71, pytest.approx(412.53))
    assert busy.vram_used == 20 * GIB
    assert (quiet.load, quiet.temperature, quiet.power) == (None, None, None)
    assert quiet.present
    assert source.memory_of({4242}) == {0: {4242: 19 * GIB}}  # "[N/A]" on the second is not a number
    assert source.memory_of({1}) == {}


def test_vulkan_is_claimed_only_with_a_driver_file(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/vulkan/icd.d"
    folder.mkdir(parents=True)
    (folder / "lvp_icd.x86_64.json").write_text("{}")
    assert not reader(ReplayNvml("two_gpus"), tmp_path).detect()[0].vulkan
    (folder / "nvidia_icd.json").write_text("{}")
    assert reader(ReplayNvml("two_gpus"), tmp_path).detect()[0].vulkan


def test_a_gpu_that_is_pulled_out_shows_as_gone_and_comes_back() -> None:
    nvml = ReplayNvml("gpu_lost")
    gpus = Gpus([reader(nvml)])
    assert len(gpus.detect()) == 2
    assert [s.present for s in gpus.sample()] == [True, True]
    nvml.advance()
    first, second = gpus.sample()
    assert (first.present, second.present, second.index) == (True, False, 1)
    assert second.vram_used is None
    assert second.vram_total == 12 * GIB  # remembered, so a chart keeps its scale
    assert len(gpus.detect()) == 1
    assert [s.present for s in gpus.sample()] == [True, False]
    nvml.advance()
    assert len(gpus.detect()) == 2
    back = gpus.sample()[1]
    assert (back.present, back.vram_used) == (True, 2 * GIB)


def test_nonsense_counts_as_not_told() -> None:
    source = reader(ReplayNvml("nonsense"))
    first, second, third = source.detect()
    assert (first.vram_total, first.vram_free) == (10 * GIB, None)
    assert first.cuda_version is None
    assert first.backends == ()  # a driver that names no CUDA version has not shown that it has one
    assert (second.name, second.vram_total, second.compute_capability) == ("NVIDIA GPU 1", None, None)
    assert third.vram_total is None
    assert len(third.name) <= 120
    for sample in source.sample():
        assert sample.vram_used is None
        assert sample.load is None or 0 <= sample.load <= 1
        assert sample.temperature is None or 0 < sample.temperature < 150
        assert sample.power is None or sample.power >= 0
    assert source.memory_of({4242}) == {}


def test_a_gpu_without_memory_of_its_own() -> None:
    (gpu,) = reader(ReplayNvml("unified")).detect()
    assert (gpu.vram_total, gpu.vram_free, gpu.cuda) == (None, None, True)


def test_no_driver_is_absence() -> None:
    source = reader(ReplayNvml("no_driver"))
    assert source.detect() == ()
    assert source.sample() == ()
    assert source.memory_of({1}) == {}


def test_without_the_module_or_the_library_there_is_nothing() -> None:
    # the machine that runs the tests may have a GPU; then there is at least a name
    for gpu in NvmlReader().detect():
        assert gpu.name


@pytest.mark.parametrize("name", ["hanging", "hanging_from_the_start"])
def test_a_driver_that_hangs_costs_a_moment_once(name: str) -> None:
    nvml = ReplayNvml(name)
    gpus = Gpus([reader(nvml)], timeout=0.2)
    try:
        if name == "hanging":
            assert len(gpus.detect()) == 1
            nvml.advance()
        started = time.monotonic()
        gpus.sample()
        assert gpus.detect() == ()
        first = time.monotonic() - started
        for _ in range(50):  # an answer that never comes is not waited for again
            samples = gpus.sample()
        again = time.monotonic() - started - first
        assert first < 2.0
        assert again < 1.0
        assert all(not sample.present for sample in samples)
        assert gpus.complaints
    finally:
        nvml.release.set()


def test_after_the_hang_it_is_asked_again() -> None:
    nvml = ReplayNvml("hanging")
    gpus = Gpus([reader(nvml)], timeout=0.2)
    gpus.detect()
    nvml.advance()
    assert not gpus.sample()[0].present
    nvml.release.set()
    nvml._answers["nvmlDeviceGetMemoryInfo(0)"] = {"value": {"total": 8 * GIB, "free": GIB, "used": 7 * GIB}}
    deadline = time.monotonic() + 5
    while not gpus.sample()[0].present:
        assert time.monotonic() < deadline
    assert gpus.sample()[0].vram_used == 7 * GIB


def test_the_recorder_and_the_replay_agree() -> None:
    frame = record(ReplayNvml("two_gpus"))
    assert frame["nvmlDeviceGetName(0)"] == {"value": "NVIDIA GeForce RTX 4090"}
    assert frame["nvmlDeviceGetPowerUsage(1)"] == {"error": "NVMLError_NotSupported"}
    assert frame["nvmlDeviceGetMemoryInfo(0)"]["value"]["total"] == 25_757_220_864
