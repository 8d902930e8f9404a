"""Asking binaries who they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.builds import EngineName
from genai_desktop.core.errors import EngineError
from genai_desktop.engines.candidates import embedded_candidate, own_candidate
from genai_desktop.engines.probe import (
    Device,
    EngineProbe,
    ProbePatience,
    Steps,
    mismatch,
    parse_devices,
    parse_flags,
    parse_version,
)
from genai_desktop.engines.process import AsyncioLauncher
from tests.aio import run
from tests.fakes.fake_engine import HELP, write_engine

LLAMA: EngineName = "llama.cpp"
SD: EngineName = "stable-diffusion.cpp"


def probe(path: Path, engine: EngineName = LLAMA, **seconds: float) -> EngineProbe:
    return EngineProbe(AsyncioLauncher(), engine, [str(path)], patience=ProbePatience(**seconds))


class TestParsers:
    def test_flags_of_llama_server(self) -> None:
        flags = parse_flags(HELP[LLAMA].read_text("utf-8"))
        assert {"-c", "--ctx-size", "-ngl", "--gpu-layers", "--n-gpu-layers", "-h", "--usage"} <= flags
        assert {"--load-mode", "--slot-save-path", "--no-webui", "--cache-ram", "-ctxcp"} <= flags
        assert not any(flag in flags for flag in ("-1", "--mlock", "--no-mmap", "N", "-"))

    def test_flags_of_sd_cli(self) -> None:
        flags = parse_flags(HELP[SD].read_text("utf-8"))
        assert {
            "-m",
            "--model",
            "--diffusion-model",
            "--clip_l",
            "--t5xxl",
            "--vae",
            "-W",
            "--width",
        } <= flags
        assert {"--list-devices", "--offload-to-cpu", "--diffusion-fa"} <= flags

    def test_old_sd_cli_lacks_what_it_lacks(self) -> None:
        assert "--list-devices" not in parse_flags(
            "  -m, --model <string>   complete model\n  --steps <int>  n\n"
        )

    @pytest.mark.parametrize(
        ("engine", "text", "expected"),
        [
            (LLAMA, "version: 0.5.0-dev (build 1, commit 0c1e570)\nbuilt with GNU", "0.5.0-dev"),
            (LLAMA, "version: 7370 (594696fb)\nbuilt with", "b7370"),
            (LLAMA, "version: xllamacpp-2026.10.11549 (build 11549, commit unknown)\n", "b11549"),
            (LLAMA, "load_backend: loaded CPU backend\nversion: 0.6.0 (build 12000, commit aa)\n", "b12000"),
            (LLAMA, "hello", ""),
            (SD, "stable-diffusion.cpp version master-596-90e87bc, commit 90e87bc", "master-596-90e87bc"),
            (SD, "stable-diffusion.cpp version unknown, commit 97d2990", "97d2990"),
            (SD, "stable-diffusion.cpp version unknown, commit unknown", ""),
        ],
    )
    def test_versions(self, engine: EngineName, text: str, expected: str) -> None:
        assert parse_version(engine, text) == expected

    def test_devices(self) -> None:
        text = (
            "Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)\n"
            "  Vulkan0: llvmpipe (LLVM 15.0.6, 256 bits) (23000 MiB, 23000 MiB free)\n"
        )
        cuda, software = parse_devices(LLAMA, text)
        assert cuda == Device("CUDA0", "NVIDIA H200")
        assert cuda.is_gpu
        assert not software.is_gpu
        assert parse_devices(LLAMA, "Available devices:\n  (none)\n") == ()
        (processor, card) = parse_devices(SD, "CPU\tIntel(R) Xeon(R)\nVulkan0\tRadeon RX 7900\n")
        assert not processor.is_gpu
        assert card.is_gpu

    def test_other_programs(self) -> None:
        llama, sd = (parse_flags(HELP[name].read_text("utf-8")) for name in (LLAMA, SD))
        assert mismatch(LLAMA, llama) == ""
        assert mismatch(SD, sd) == ""
        assert mismatch(LLAMA, sd)
        assert mismatch(SD, llama)
        assert "sd-server" in mismatch(SD, sd | {"--listen-port"})
        assert mismatch(LLAMA, frozenset())


class TestBinaries:
    def test_all_answers(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "mein ordner ü" / "llama-server", LLAMA)
        steps = Steps()
        probed = run(probe(path).all(steps))
        assert probed.version == "b11700"
        assert "--ctx-size" in probed.flags
        assert [(t.name, t.passed) for t in steps.done] == [
            ("help", True), ("version", True), ("devices", True),
        ]  # fmt: skip
        assert all(t.seconds > 0 and t.detail for t in steps.done)

    def test_devices_only_where_the_build_can_list_them(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "sd-cli", SD, devices="CUDA0\tNVIDIA H200\n")
        steps = Steps()
        probed = run(probe(path, SD).all(steps))
        assert [t.name for t in steps.done] == ["help", "version", "devices"]
        assert [str(d) for d in probed.devices] == ["CUDA0: NVIDIA H200"]

    def test_sd_cli_without_a_version(self, tmp_path: Path) -> None:
        path = write_engine(
            tmp_path / "sd-cli", SD, version="error: unknown argument: --version\n", version_code=1
        )
        assert run(probe(path, SD).version()) == ""

    @pytest.mark.parametrize(
        ("plan", "code", "words"),
        [
            ({"help": "Usage: true [ignored]\n"}, "WRONG_PROGRAM", "not llama-server"),
            ({"help": HELP[SD].read_text("utf-8")}, "WRONG_PROGRAM", "does not know"),
            ({"help": "", "help_code": 3}, "ENGINE_BROKEN", "exit code 3"),
            ({"die": "--help"}, "ILLEGAL_INSTRUCTION", "instructions"),
            ({"hang": "--help"}, "TIMEOUT", "did not answer --help"),
        ],
    )
    def test_what_is_no_llama_server(
        self, tmp_path: Path, plan: dict[str, Any], code: str, words: str
    ) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA, **plan)
        with pytest.raises(EngineError, match=words) as caught:
            run(probe(path, help=1.0 if "hang" in plan else 10.0).flags())
        assert caught.value.code == code
        assert caught.value.remedy

    def test_missing_library_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "llama-server"
        path.write_text(
            '#!/bin/sh\necho "$0: error while loading shared libraries: libcudart.so.12: cannot open shared '
            'object file: No such file or directory" >&2\nexit 127\n'
        )
        path.chmod(0o755)
        with pytest.raises(EngineError, match=r"libcudart\.so\.12"):
            run(probe(path).flags())

    def test_first_failure_ends_it(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA, version_code=1, version="boom\n")
        steps = Steps()
        run(probe(path).all(steps))
        assert [(t.name, t.passed) for t in steps.done] == [("help", True), ("version", False)]
        assert "boom" in steps.done[1].detail

    def test_not_a_program_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "llama-server"
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
        with pytest.raises(EngineError):
            run(probe(path).flags())


class TestCandidates:
    def test_own_binary(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "llama-server", LLAMA)
        found = own_candidate(LLAMA, str(path))
        assert (found.variant, found.path, found.argv) == ("own", str(path), (str(path),))
        assert found.is_there
        path.write_text(path.read_text() + "\n# newer\n")
        assert own_candidate(LLAMA, str(path)).key != found.key

    def test_folder_of_a_binary(self, tmp_path: Path) -> None:
        path = write_engine(tmp_path / "llama.cpp" / "build" / "bin" / "llama-server", LLAMA)
        assert own_candidate(LLAMA, str(tmp_path / "llama.cpp")).path == str(path)

    def test_absent_ones_say_why(self, tmp_path: Path) -> None:
        plain = tmp_path / "plain"
        plain.write_text("#!/bin/sh\n")
        plain.chmod(0o644)
        for path, words in (
            (tmp_path / "none", "no file"),
            (plain, "execute permission"),
            (tmp_path, "no file"),
        ):
            found = own_candidate(LLAMA, str(path))
            assert not found.is_there
            assert words in found.reason

    def test_embedded_ones(self) -> None:
        found = embedded_candidate(LLAMA)
        assert found.is_there
        assert found.path == sys.executable
        assert found.argv[-1] == "llama-server"
