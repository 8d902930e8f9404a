"""AMD and Intel by sysfs, Apple, Windows, the processor, containers: each against a tree made for the
test.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from genai_desktop.core.hardware import GpuInfo
from genai_desktop.core.telemetry import GpuSample
from genai_desktop.engines.telemetry.bounded import Bounded, StuckError
from genai_desktop.engines.telemetry.cgroup import Cgroup
from genai_desktop.engines.telemetry.cpu import architecture, read_cpu
from genai_desktop.engines.telemetry.gpus import Gpus
from genai_desktop.engines.telemetry.host import Host, ProcessWatcher
from genai_desktop.engines.telemetry.macos import AppleReader
from genai_desktop.engines.telemetry.sysfs import SysfsReader
from genai_desktop.engines.telemetry.vulkan import VulkanProbe
from genai_desktop.engines.telemetry.windows import WindowsReader

GIB = 1 << 30


def put(root: Path, files: Mapping[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def vulkan(root: Path) -> VulkanProbe:
    return VulkanProbe(root, load=lambda name: True, environment={})


# sysfs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def amd(tmp_path: Path) -> Path:
    device = "sys/devices/pci0000:00/0000:03:00.0"
    put(
        tmp_path,
        {
            f"{device}/vendor": "0x1002",
            f"{device}/device": "0x744c",
            f"{device}/mem_info_vram_total": 24 * GIB,
            f"{device}/mem_info_vram_used": 2 * GIB,
            f"{device}/gpu_busy_percent": 37,
            f"{device}/hwmon/hwmon4/temp1_input": 52_000,
            f"{device}/hwmon/hwmon4/power1_average": 95_000_000,
            "sys/module/amdgpu/version": "6.10.5",
            "usr/share/misc/pci.ids": (
                "8086  Intel\n\t744c  Wrong\n1002  AMD\n\t744c  Navi 31 [RX 7900 XTX]\n1003  X"
            ),
            "usr/share/vulkan/icd.d/radeon_icd.x86_64.json": "{}",
            "sys/class/drm/version": "drm 1.1.0",
        },
    )
    card = tmp_path / "sys/class/drm/card1"
    card.mkdir(parents=True)
    (card / "device").symlink_to(tmp_path / device)
    (tmp_path / device / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/amdgpu")
    (tmp_path / "sys/class/drm/card1-DP-1").mkdir()
    return tmp_path


def test_an_amd_card(amd: Path) -> None:
    source = SysfsReader(amd, vulkan(amd))
    (gpu,) = source.detect()
    assert gpu == GpuInfo(
        index=0,
        type="amd",
        name="AMD Navi 31 [RX 7900 XTX]",
        vram_total=24 * GIB,
        vram_free=22 * GIB,
        driver="amdgpu 6.10.5",
        backends=("vulkan",),
        source="sysfs",
    )
    (sample,) = source.sample()
    assert sample == GpuSample(0, 2 * GIB, 24 * GIB, load=0.37, temperature=52.0, power=95.0)


def test_rocm_needs_its_device_and_its_library(amd: Path) -> None:
    put(amd, {"dev/kfd": ""})
    assert not SysfsReader(amd, vulkan(amd)).detect()[0].rocm
    put(amd, {"opt/rocm/lib/libamdhip64.so.6": ""})
    assert SysfsReader(amd, vulkan(amd)).detect()[0].backends == ("rocm", "vulkan")


def test_values_that_cannot_be_are_not_told(amd: Path) -> None:
    device = "sys/devices/pci0000:00/0000:03:00.0"
    put(
        amd,
        {
            f"{device}/mem_info_vram_used": 99 * GIB,
            f"{device}/gpu_busy_percent": "n/a",
            f"{device}/hwmon/hwmon4/temp1_input": -1,
            f"{device}/hwmon/hwmon4/power1_average": "",
            f"{device}/hwmon/hwmon4/power1_input": 12_000_000,
        },
    )
    source = SysfsReader(amd, vulkan(amd))
    assert source.detect()[0].vram_free is None
    (sample,) = source.sample()
    assert (sample.vram_used, sample.load, sample.temperature, sample.power) == (None, None, None, 12.0)


def test_a_card_that_vanishes(amd: Path) -> None:
    gpus = Gpus([SysfsReader(amd, vulkan(amd))])
    assert len(gpus.detect()) == 1
    (amd / "sys/class/drm/card1/device").unlink()
    (sample,) = gpus.sample()
    assert (sample.present, sample.vram_total) == (False, 24 * GIB)


def test_an_intel_gpu_shares_the_memory(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"sys/class/drm/card0/device/vendor": "0x8086", "sys/class/drm/card0/device/device": "0x46a6"},
    )
    put(tmp_path, {"sys/class/drm/card2/device/vendor": "0x10de"})  # NVML's business
    source = SysfsReader(tmp_path, vulkan(tmp_path))
    (gpu,) = source.detect()
    assert (gpu.type, gpu.name, gpu.vram_total, gpu.is_unified, gpu.backends) == (
        "intel",
        "Intel GPU 46a6",
        None,
        True,
        (),
    )
    (sample,) = source.sample()
    assert (sample.vram_used, sample.load, sample.present) == (None, None, True)


def test_no_graphics_at_all(tmp_path: Path) -> None:
    source = SysfsReader(tmp_path)
    assert (source.detect(), source.sample(), dict(source.memory_of({1}))) == ((), (), {})


def test_what_processes_hold(amd: Path) -> None:
    folder = amd / "proc/77"
    (folder / "fd").mkdir(parents=True)
    for number, target in ((3, "/dev/dri/renderD128"), (4, "/dev/dri/renderD128"), (5, "/tmp/x")):
        (folder / f"fd/{number}").symlink_to(target)
        text = "drm-pdev:\t0000:03:00.0\ndrm-client-id:\t9\ndrm-memory-vram:\t2048 KiB\nodd line"
        put(amd, {f"proc/77/fdinfo/{number}": text})
    source = SysfsReader(amd, vulkan(amd))
    source.detect()
    assert source.memory_of({77, 78}) == {0: {77: 2048 * 1024}}  # the same client twice is one


# several sources ------------------------------------------------------------------------------------------


class Fixed:
    """A source with two GPUs, which may fail."""

    def __init__(self, name: str, count: int, fails: bool = False) -> None:
        self.name, self.count, self.fails = name, count, fails

    def detect(self) -> tuple[GpuInfo, ...]:
        if self.fails:
            raise RuntimeError("broken")
        make = GpuInfo
        return tuple(
            make(i, "amd", f"{self.name} {i}", GIB, GIB, None, (), self.name) for i in range(self.count)
        )

    def sample(self) -> tuple[GpuSample, ...]:
        if self.fails:
            raise RuntimeError("broken")
        return tuple(GpuSample(i, 0, GIB) for i in range(self.count))

    def memory_of(self, pids: Any) -> dict[int, dict[int, int]]:
        return {0: dict.fromkeys(pids, 5)}


def test_numbers_go_through_all_sources_and_stay() -> None:
    first, second = Fixed("a", 2), Fixed("b", 1)
    gpus = Gpus([first, second])
    assert [(gpu.index, gpu.name) for gpu in gpus.detect()] == [(0, "a 0"), (1, "a 1"), (2, "b 0")]
    samples, held = gpus.read({11, 12})
    assert [(s.index, s.vram_ours) for s in samples] == [(0, 10), (1, 0), (2, 10)]
    assert held[2] == {11: 5, 12: 5}
    first.fails = True
    assert [(s.index, s.present) for s in gpus.sample()] == [(0, False), (1, False), (2, True)]
    assert [gpu.index for gpu in gpus.detect()] == [2]
    assert "broken" in gpus.complaints[0]


def test_a_bounded_call_hands_over_values_and_errors() -> None:
    bounded = Bounded("test", timeout=5)
    assert bounded.call(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        bounded.call(lambda: 1 // 0)
    assert bounded.call(lambda: 8) == 8
    gate = threading.Event()
    slow = Bounded("slow", timeout=0.05)
    with pytest.raises(StuckError):
        slow.call(lambda: gate.wait(10))
    with pytest.raises(StuckError):
        slow.call(lambda: True)
    gate.set()


# Apple and Windows, from recorded facts -------------------------------------------------------------------


def test_apple_silicon_shares_the_memory() -> None:
    facts = {"machdep.cpu.brand_string": "Apple M3 Max"}
    reader = AppleReader("arm64", text=lambda name: facts.get(name, ""), number=lambda name: 0)
    (gpu,) = reader.detect()
    total = psutil.virtual_memory().total
    assert (gpu.type, gpu.name, gpu.backends, gpu.is_unified) == ("apple", "Apple M3 Max", ("metal",), True)
    assert gpu.vram_total == (total * 3 // 4 if total > 36 * GIB else total * 2 // 3)
    assert gpu.vram_free is not None
    assert gpu.vram_free <= gpu.vram_total
    limited = AppleReader("arm64", text=lambda name: "", number=lambda name: 2_048).detect()[0]
    assert limited.vram_total == 2 * GIB
    assert reader.sample()[0].vram_total == gpu.vram_total
    assert dict(reader.memory_of({1})) == {}
    assert AppleReader("x86_64").detect() == ()
    assert AppleReader("x86_64").sample() == ()


def test_windows_reads_64_bit_sizes_from_the_registry() -> None:
    drivers: list[tuple[str, Mapping[str, Any]]] = [
        ("0000", {"DriverDesc": "AMD Radeon RX 7900 XTX", "MatchingDeviceId": r"PCI\VEN_1002&DEV_744C",
                  "HardwareInformation.qwMemorySize": 24 * GIB, "DriverVersion": "32.0.1"}),
        ("0001", {"DriverDesc": "NVIDIA GeForce", "MatchingDeviceId": r"PCI\VEN_10DE&DEV_2684"}),
        ("0002", {"DriverDesc": "Intel(R) UHD", "MatchingDeviceId": r"PCI\VEN_8086&DEV_46A6",
                  "HardwareInformation.qwMemorySize": (128 << 20).to_bytes(8, "little")}),
        ("0003", {"DriverDesc": "Remote Display"}),
        ("0004", {"MatchingDeviceId": r"pci\ven_1002", "HardwareInformation.qwMemorySize": "?"}),
    ]  # fmt: skip

    def registry(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        assert "4d36e968" in path
        yield from drivers

    reader = WindowsReader(registry, load=lambda name: True)
    radeon, uhd, nameless = reader.detect()
    assert (radeon.type, radeon.vram_total, radeon.is_unified) == ("amd", 24 * GIB, False)
    assert (radeon.driver, radeon.backends, radeon.source) == ("32.0.1", ("vulkan",), "registry")
    assert (uhd.vram_total, uhd.is_unified) == (128 << 20, True)
    assert (nameless.name, nameless.vram_total) == ("amd GPU", None)
    assert [sample.vram_total for sample in reader.sample()] == [24 * GIB, 128 << 20, None]
    assert WindowsReader(load=lambda name: False).detect() == ()  # not on Windows: no registry


# processor and memory -------------------------------------------------------------------------------------


def cpu_tree(root: Path, pairs: list[tuple[int, int]]) -> Path:
    for number, (package, core) in enumerate(pairs):
        put(
            root,
            {
                f"sys/devices/system/cpu/cpu{number}/topology/physical_package_id": package,
                f"sys/devices/system/cpu/cpu{number}/topology/core_id": core,
            },
        )
    return root


def test_cores_are_physical_and_allowed(tmp_path: Path) -> None:
    cpu_tree(tmp_path, [(0, 0), (0, 1), (0, 0), (0, 1), (1, 0), (1, 1)])
    put(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD  Ryzen 9   7950X\n"})
    cpu = read_cpu(tmp_path, frozenset(range(6)), "x86_64")
    assert (cpu.cores, cpu.threads, cpu.model, cpu.architecture) == (4, 6, "AMD Ryzen 9 7950X", "x64")
    assert read_cpu(tmp_path, frozenset({0, 2}), "x86_64").cores == 1


def test_a_quota_counts(tmp_path: Path) -> None:
    cpu_tree(tmp_path, [(0, i) for i in range(8)])
    put(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"})
    cpu = read_cpu(tmp_path, frozenset(range(8)), "aarch64")
    assert (cpu.cores, cpu.threads, cpu.architecture) == (3, 3, "arm64")
    assert "quota" in cpu.source


def test_an_arm_board_describes_itself(tmp_path: Path) -> None:
    put(tmp_path, {"proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108\nHardware\t: BCM2835\n"})
    assert read_cpu(tmp_path, frozenset({0}), "aarch64").model == "BCM2835"
    put(tmp_path, {"proc/cpuinfo": "processor\t: 0\n", "proc/device-tree/model": "Raspberry Pi 5\0"})
    assert read_cpu(tmp_path, frozenset({0}), "aarch64").model == "Raspberry Pi 5"


def test_this_processor() -> None:
    cpu = read_cpu()
    assert 1 <= cpu.cores <= cpu.threads <= (os.cpu_count() or 1)
    assert cpu.model
    assert [architecture(name) for name in ("AMD64", "arm64", "aarch64", "armv8l")] == ["x64"] + ["arm64"] * 3


def test_cgroup_v2_limits_up_to_the_top(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app",
            "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            "sys/fs/cgroup/user.slice/memory.max": 4 * GIB,
            "sys/fs/cgroup/user.slice/memory.current": 3 * GIB,
            "sys/fs/cgroup/user.slice/memory.stat": f"anon 5\ninactive_file {GIB}\nfile 9",
            "sys/fs/cgroup/user.slice/app/memory.max": "max",
        },
    )
    limit = Cgroup(tmp_path).memory()
    assert limit is not None
    assert (limit.limit, limit.used) == (4 * GIB, 2 * GIB)
    assert Cgroup(tmp_path).cpus() is None
    memory = Host(tmp_path).memory()
    if psutil.virtual_memory().total > 4 * GIB:
        assert memory.total == 4 * GIB
        assert memory.available <= 2 * GIB
        assert "cgroup v2" in memory.source
    assert memory.used == memory.total - memory.available


def test_cgroup_v1_limits(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc",
            "proc/self/mountinfo": (
                "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "32 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct"
            ),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 2 * GIB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": GIB,
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 1024",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": 150_000,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100_000,
        },
    )
    limit = Cgroup(tmp_path).memory()
    assert limit is not None
    assert (limit.limit, limit.used) == (2 * GIB, GIB - 1024)
    assert Cgroup(tmp_path).cpus() == 1.5


@pytest.mark.parametrize("text", ["", "garbage", "0::/", "0::/../../etc", ":::", "4:memory:"])
def test_without_a_limit_there_is_none(tmp_path: Path, text: str) -> None:
    put(
        tmp_path,
        {"proc/self/cgroup": text, "sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/cpu.max": "max 100000"},
    )
    assert Cgroup(tmp_path).memory() is None
    assert Cgroup(tmp_path).cpus() is None


def test_an_unlimited_v1_group_is_no_limit(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"proc/self/cgroup": "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": 2**63 - 4096},
    )
    assert Cgroup(tmp_path).memory() is None


def test_this_memory_and_load() -> None:
    host = Host()
    memory = host.memory()
    assert 0 < memory.available <= memory.total
    assert 0 <= host.cpu_load() <= 1
    watcher = ProcessWatcher()
    held = watcher.read({"me": os.getpid(), "gone": 2**22 - 1})
    assert set(held) == {"me"}
    assert held["me"].resident >= held["me"].private > 0
    assert os.getpid() in held["me"].pids
