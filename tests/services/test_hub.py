"""The hub service: cache, offline switch, and exact fits of what is here and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai_desktop.core.errors import (
    DownloadError,
    GenaiError,
    InvalidInputError,
    ModelFileError,
    ModelNotFoundError,
    NotFoundError,
    OfflineError,
)
from genai_desktop.core.footprint import llm_footprint
from genai_desktop.core.placement import Wishes
from genai_desktop.library.headers import read_header_file
from genai_desktop.library.hub import HubClient
from genai_desktop.library.hub_transport import HubPolicy
from genai_desktop.services.hub import CACHE_SECONDS, HubService
from tests.aio import run
from tests.fakes.hub import FakeHub, Fault
from tests.services import sample_models as samples
from tests.services.test_model_manager import a_manager

GIB = 1 << 30
REPO = "acme/tiny-GGUF"
QUICK = HubPolicy(connect_timeout=2.0, read_timeout=1.0, total=10.0, attempts=2, backoff=0.01)


class Computer:
    """What SystemInfo tells of memory, made to order."""

    def __init__(self, ram: int = 16 * GIB, *vram: int) -> None:
        self.ram, self.vram = ram, vram

    async def free_memory(self) -> dict[str, Any]:
        return {"ram": self.ram, "vram": self.vram}

    async def detect(self) -> Any:
        gpus = tuple(SimpleNamespace(backends=("cuda",), is_unified=False) for _ in self.vram)
        return SimpleNamespace(gpus=gpus)


class World:
    """A hub service with everything around it."""

    def __init__(self, models: Any, hub: FakeHub, computer: Computer, **environment: str) -> None:
        self.models, self.computer, self.now, self.is_offline = models, computer, 0.0, False
        self.environment = {"HF_ENDPOINT": hub.url, **environment}
        self.service = HubService(
            models=models,
            system=computer,  # type: ignore[arg-type]
            is_offline=lambda: self.is_offline,
            client=HubClient(self.environment, policy=QUICK),
            clock=lambda: self.now,
        )


@asynccontextmanager
async def a_world(
    tmp_path: Path, hub: FakeHub, computer: Computer | None = None, **environment: str
) -> AsyncIterator[World]:
    async with a_manager(tmp_path / "data") as models:
        yield World(models, hub, computer or Computer(), **environment)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        tiny = samples.language_model(tmp_path / "hub" / "tiny-Q8_0.gguf", layers=3)
        fake.add(REPO, "Q8/tiny-Q8_0.gguf", tiny)
        fake.add(REPO, "mmproj-F16.gguf", samples.projector(tmp_path / "hub" / "mmproj-F16.gguf"))
        for path in samples.split_model(tmp_path / "hub"):
            fake.add("acme/big-GGUF", f"split/{path.name}", path)
        fake.add("sd/one", "sd.safetensors", samples.checkpoint(tmp_path / "hub" / "sd.safetensors"))
        fake.cards[REPO] = {"tags": ["gguf"], "downloads": 5}
        fake.cards["sd/one"] = {"tags": ["diffusers"], "pipeline_tag": "text-to-image", "downloads": 9}
        yield fake


def test_both_kinds_are_searched_and_kept_for_a_while(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            found = await world.service.search("")
            assert [(m.repo, m.type) for m in found.models] == [("sd/one", "diffusion"), (REPO, "llm")]
            assert len(hub.requests) == 2
            assert [m.repo for m in (await world.service.search("", "llm")).models] == [REPO]
            assert len(hub.requests) == 2
            world.now = CACHE_SECONDS + 1
            await world.service.search("", "llm")
            assert len(hub.requests) == 3
            world.environment["HF_TOKEN"] = "hf_new"  # another person may see another list
            await world.service.search("", "llm")
            assert len(hub.requests) == 4
            assert not any("hf_new" in str(key) for key in world.service._cache)
            with pytest.raises(InvalidInputError):
                await world.service.search("", sort="size")  # type: ignore[arg-type]

    run(work())


def test_a_failure_is_not_kept(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            hub.fail(Fault(status=500), on="api", times=2)
            with pytest.raises(DownloadError):
                await world.service.files(REPO)
            assert (await world.service.files(REPO)).files

    run(work())


def test_files_say_whether_they_fit_the_memory_of_now(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            repo = await world.service.files(REPO)
            assert [(f.role, f.fits, f.fit.level) for f in repo.files] == [
                ("model", True, "cpu"),
                ("projector", None, "unknown"),
            ]
            world.computer.ram = 1000
            asked = len(hub.requests)
            assert (await world.service.files(REPO)).files[0].fits is False
            assert len(hub.requests) == asked
            (split,) = (await world.service.files("acme/big-GGUF")).files
            assert len(split.parts) == 3
            with pytest.raises(NotFoundError):
                await world.service.files("acme/none")

    run(work())


def test_offline_asks_nobody_and_invents_nothing(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            await world.service.search("", "llm")
            await world.service.fit(f"{REPO}:Q8/tiny-Q8_0.gguf")
            asked = len(hub.requests)
            world.is_offline = True
            url = hub.resolve_url(REPO, "Q8/tiny-Q8_0.gguf")
            for ask in (
                world.service.search("", "llm"),
                world.service.files(REPO),
                world.service.fit(f"{REPO}:Q8/tiny-Q8_0.gguf"),
                world.service.fit(url),
            ):
                with pytest.raises(OfflineError) as caught:
                    await ask
                assert caught.value.remedy
            assert len(hub.requests) == asked
            local = await world.service.fit(str(tmp_path / "hub" / "tiny-Q8_0.gguf"))
            assert local.fits

    run(work())


def test_one_answer_wherever_the_model_is(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub, Computer(16 * GIB, 8 * GIB)) as world:
            path = tmp_path / "hub" / "alone" / "tiny-Q8_0.gguf"
            samples.language_model(path, layers=3)
            model = await world.models.import_model(path)
            url = hub.resolve_url(REPO, "Q8/tiny-Q8_0.gguf")
            targets = (model.id, str(path), f"{REPO}:Q8/tiny-Q8_0.gguf", url)
            wishes = Wishes(n_ctx=4096, n_parallel=2, cache_type_k="q8_0", cache_type_v="q8_0")
            reports = [await world.service.fit(target, wishes) for target in targets]
            assert all(r.footprint == reports[0].footprint for r in reports)
            assert all(r.placement == reports[0].placement for r in reports)
            assert all(r.fits and r.reason and 0 < r.bytes_read <= 2 << 20 for r in reports)
            footprint = llm_footprint(
                read_header_file(path),  # type: ignore[arg-type]
                n_ctx=4096, n_gpu_layers=4, n_parallel=2, cache_type_k="q8_0", cache_type_v="q8_0",
            )  # fmt: skip
            assert reports[0].footprint == footprint.to_dict()
            assert set(reports[0].footprint) == {
                "weights", "kv_cache", "recurrent_state", "compute", "output", "projector", "total",
            }  # fmt: skip
            assert reports[0].placement["n_ctx"] == 4096
            assert reports[0].placement["n_gpu_layers"] == 4
            asked = len(hub.requests)
            await world.service.fit(url)
            assert len(hub.requests) == asked, "the header is kept"

    run(work())


def test_split_and_image_models(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            name = "split/Big-Q8_0-00002-of-00003.gguf"  # any part will do
            remote = await world.service.fit(f"acme/big-GGUF:{name}")
            local = await world.service.fit(str(tmp_path / "hub" / "Big-Q8_0-00001-of-00003.gguf"))
            assert remote.footprint == local.footprint
            image = await world.service.fit("sd/one:sd.safetensors")
            assert image.footprint["weights"] > 0
            assert image.footprint["total"] >= image.footprint["weights"]
            assert image.fits
            world.computer.ram = 1000
            refused = await world.service.fit("sd/one:sd.safetensors")
            assert not refused.fits
            assert refused.suggestion

    run(work())


def test_what_the_shelf_knows_of_an_image_model(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            files = samples.klein(tmp_path / "klein")
            model = await world.models.import_model(
                files["diffusion_model"], type="diffusion", components=files
            )
            report = await world.service.fit(model.id)
            assert report.footprint["weights"] > 0
            assert report.bytes_read > 0
            (tmp_path / "klein").rename(tmp_path / "moved")
            with pytest.raises(ModelNotFoundError):
                await world.service.fit(model.id)

    run(work())


def test_a_projector_counts(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            report = await world.service.fit(str(tmp_path / "hub" / "tiny-Q8_0.gguf"))
            assert report.footprint["projector"] == 0
            eyes = samples.projector(tmp_path / "eyes" / "mmproj-seeing-F16.gguf")
            seeing = samples.language_model(eyes.with_name("seeing-Q8_0.gguf"))
            assert (await world.service.fit(str(seeing))).footprint["projector"] > 0

    run(work())


def test_what_cannot_be_answered_is_said(tmp_path: Path, hub: FakeHub) -> None:
    hub.add("sd/one", "ae.safetensors", samples.wrong_vae(tmp_path / "hub" / "ae"))
    hub.add("acme/torch", "model.bin", b"\x80\x02}q\x00.")
    good = f"{REPO}:Q8/tiny-Q8_0.gguf"

    async def work() -> None:
        async with a_world(tmp_path, hub) as world:

            async def fails(expected: type[GenaiError], target: str, wishes: Wishes | None = None) -> None:
                with pytest.raises(expected) as caught:
                    await world.service.fit(target, wishes)
                assert caught.value.message
                assert caught.value.remedy

            await fails(ModelNotFoundError, "no-such-model")
            await fails(ModelNotFoundError, "")
            await fails(ModelNotFoundError, "nul\0byte")
            await fails(ModelNotFoundError, "x" * 5000)
            await fails(GenaiError, str(tmp_path))
            await fails(DownloadError, f"{REPO}:absent.gguf")
            await fails(DownloadError, "acme/none:a.gguf")
            await fails(InvalidInputError, f"{REPO}:../../x.gguf")
            await fails(InvalidInputError, "http://example.org/a.gguf")
            await fails(ModelFileError, "sd/one:ae.safetensors")
            await fails(ModelFileError, f"{REPO}:mmproj-F16.gguf")
            await fails(ModelFileError, "acme/torch:model.bin")
            await fails(InvalidInputError, good, Wishes(cache_type_k="q9"))
            await fails(InvalidInputError, good, Wishes(cache_type_v="q8_0", flash_attention=False))

    run(work())


def test_one_failing_part_stops_the_others(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        async with a_world(tmp_path, hub) as world:
            del hub.repos["acme/big-GGUF"]["split/Big-Q8_0-00003-of-00003.gguf"]
            before = asyncio.all_tasks()
            with pytest.raises(DownloadError):
                await world.service.fit("acme/big-GGUF:split/Big-Q8_0-00001-of-00003.gguf")
            assert asyncio.all_tasks() == before

    run(work())


def test_a_private_file_is_read_with_the_token(tmp_path: Path, hub: FakeHub) -> None:
    async def work() -> None:
        hub.gated[REPO] = "hf_right"
        async with a_world(tmp_path, hub) as world:
            with pytest.raises(DownloadError) as caught:
                await world.service.fit(f"{REPO}:Q8/tiny-Q8_0.gguf")
            assert caught.value.code == "GATED"
            world.environment["HF_TOKEN"] = "hf_right"
            assert (await world.service.fit(f"{REPO}:Q8/tiny-Q8_0.gguf")).fits
            assert all("authorization" not in seen.headers for seen in hub.seen("cdn"))

    run(work())
