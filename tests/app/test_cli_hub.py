"""`models search|files|fit` as a script meets them, against a hub on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_cli import ROOT, last
from tests.fakes.hub import FakeHub
from tests.services import sample_models as samples

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("cli")]
REPO = "acme/tiny-GGUF"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        tiny = samples.language_model(tmp_path / "hub" / "tiny-Q8_0.gguf", layers=3)
        fake.add(REPO, "tiny-Q8_0.gguf", tiny)
        fake.cards[REPO] = {"tags": ["gguf", "license:mit"], "downloads": 5}
        yield fake


def run(hub: FakeHub, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "genai_desktop", *arguments],
        cwd=ROOT,
        env={**os.environ, "GENAI_DESKTOP_HOME": str(home), "HF_ENDPOINT": hub.url, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_search_and_files(hub: FakeHub, home: Path) -> None:
    (result,) = last(run(hub, home, "models", "search", "tiny", "--type", "llm", "--limit", "3", "--json"))[
        "results"
    ]
    assert (result["repo"], result["downloads"], result["license"]) == (REPO, 5, "mit")
    (file,) = last(run(hub, home, "models", "files", REPO, "--json"))["files"]
    stored = hub.repos[REPO]["tiny-Q8_0.gguf"]
    assert set(file) >= {"file", "size", "quantization", "sha256", "fits"}
    assert (file["file"], file["size"], file["quantization"]) == ("tiny-Q8_0.gguf", stored.size, "Q8_0")
    assert (file["sha256"], file["fits"]) == (stored.digest, True)
    words = run(hub, home, "models", "files", REPO, "--revision", hub.commits[REPO])
    assert words.returncode == 0
    assert "Q8_0" in words.stdout
    assert words.stderr == ""
    nothing = run(hub, home, "models", "search", "no such thing")
    assert nothing.returncode == 0
    assert "nothing" in nothing.stdout


def test_fit_prints_what_is_promised(hub: FakeHub, home: Path, tmp_path: Path) -> None:
    def fit(target: str, *more: str) -> dict[str, Any]:
        report = last(run(hub, home, "models", "fit", target, *more, "--json"))
        assert list(report) == ["footprint", "placement", "fits", "reason", "bytes_read"]
        assert set(report["placement"]) == {"n_gpu_layers", "n_ctx", "gpu_bytes", "host_bytes"}
        assert set(report["footprint"]) == {
            "weights", "kv_cache", "recurrent_state", "compute", "output", "projector", "total",
        }  # fmt: skip
        return report

    options = (
        "--context", "2048", "--parallel", "2", "--kv-type", "q8_0,f16", "--flash-attention", "on",
        "--gpu-layers", "0",
    )  # fmt: skip
    here = fit(str(tmp_path / "hub" / "tiny-Q8_0.gguf"), *options)
    there = fit(f"{REPO}:tiny-Q8_0.gguf", *options)
    assert there == fit(hub.resolve_url(REPO, "tiny-Q8_0.gguf"), *options)
    assert there["footprint"] == here["footprint"]
    assert there["placement"] == here["placement"]
    assert there["placement"]["n_ctx"] == 2048
    assert there["placement"]["n_gpu_layers"] == 0
    assert there["fits"] is True
    assert 0 < there["bytes_read"] <= 2 << 20
    assert fit("guide")["footprint"]["weights"] > 0
    words = run(hub, home, "models", "fit", "guide")
    assert words.stdout.startswith("It fits.")
    assert words.stderr == ""


def test_offline_and_mistakes(hub: FakeHub, home: Path) -> None:
    for command in (
        ("models", "search", "tiny"),
        ("models", "files", REPO),
        ("models", "fit", f"{REPO}:tiny-Q8_0.gguf"),
    ):
        error = last(run(hub, home, "--offline", *command, "--json"), 1)
        assert error["code"] == "OFFLINE"
        assert error["remedy"]
    assert hub.requests == []
    assert last(run(hub, home, "--offline", "models", "fit", "guide", "--json"))["fits"] is True
    assert last(run(hub, home, "models", "files", "acme/none", "--json"), 1)["code"] == "NOT_FOUND"
    assert last(run(hub, home, "models", "fit", "nothing", "--json"), 1)["code"] == "MODEL_NOT_FOUND"
    for wrong in (("--kv-type", "q9"), ("--parallel", "0"), ("--flash-attention", "maybe")):
        done = run(hub, home, "models", "fit", "guide", *wrong)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
    nobody = run(hub, home, "models", "search", "tiny", "--json", HF_ENDPOINT="http://127.0.0.1:9")
    error = json.loads(nobody.stdout.splitlines()[-1])
    assert (nobody.returncode, error["code"]) == (1, "HUB_UNREACHABLE")
