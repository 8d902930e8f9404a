"""Downloading whole models from a hub that misbehaves."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import (
    BusyError,
    CancelledError,
    ChecksumError,
    DownloadError,
    InvalidInputError,
    ModelFileError,
    OfflineError,
)
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import ComponentDownload, DownloadConfig
from genai_desktop.library.transfer import TransferEngine
from genai_desktop.services.model_downloads import RECEIPT
from tests.aio import run, until
from tests.fakes.hub import FakeHub, Fault
from tests.services import sample_models as samples
from tests.services.test_model_manager import QUICK, a_manager

TINY = DownloadConfig(repo="acme/tiny-GGUF", file="Q8/tiny-Q8_0.gguf")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        tiny = samples.language_model(tmp_path / "hub" / "tiny.gguf", layers=3)
        fake.add("acme/tiny-GGUF", "Q8/tiny-Q8_0.gguf", tiny.read_bytes())
        for path in samples.split_model(tmp_path / "hub"):
            fake.add("acme/big-GGUF", f"split/{path.name}", path.read_bytes())
        files = samples.klein(tmp_path / "hub")
        fake.add("bfl/klein", "klein-Q8_0.safetensors", files["diffusion_model"].read_bytes())
        fake.add("qwen/Qwen3-4B", "Qwen3-4B.gguf", files["llm"].read_bytes())
        fake.add("comfy/flux2", "split_files/vae/vae.safetensors", files["vae"].read_bytes())
        fake.add("comfy/flux1", "ae.safetensors", samples.wrong_vae(tmp_path / "hub" / "ae").read_bytes())
        yield fake


def klein_config(hub: FakeHub, **changes: Any) -> DownloadConfig:
    values: dict[str, Any] = {
        "name": "FLUX.2 Klein",
        "type": "diffusion",
        "repo": "bfl/klein",
        "file": "klein-Q8_0.safetensors",
        "components": (
            ComponentDownload("llm", repo="qwen/Qwen3-4B", file="Qwen3-4B.gguf"),
            ComponentDownload("vae", url=hub.resolve_url("comfy/flux2", "split_files/vae/vae.safetensors")),
        ),
    }
    return DownloadConfig(**{**values, **changes})


def environment(hub: FakeHub, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, **more}


def model_files(root: Path) -> set[str]:
    return {p.name for p in (root / "models").rglob("*") if p.is_file()}


def test_one_file(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            seen: list[Progress] = []
            model = await models.download_model(TINY, seen.append)
            assert (model.name, model.type, model.source) == ("tiny-Q8_0", "llm", "huggingface")
            assert model.origin == "acme/tiny-GGUF:Q8/tiny-Q8_0.gguf@main"
            assert Path(model.path).parent == root / "models" / "llm" / model.id
            assert model.files[0].sha256 == hashlib.sha256(Path(model.path).read_bytes()).hexdigest()
            assert model_files(root) == {"tiny-Q8_0.gguf"}
            assert await models.list_models() == (model,)
            assert (await models.verify_model(model.id)).result == "ok"
            assert seen[-1].done == model.size
            (job, _) = models.board.list()  # type: ignore[attr-defined]
            assert (job.kind, job.state, job.title) == ("download", "done", "Download tiny-Q8_0")

    run(work())


def test_provenance_is_recorded(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            await models.download_model(TINY)
            query = "SELECT owned, provenance FROM model_files"
            ((owned, text),) = await models._shelf._database.read(lambda c: c.execute(query).fetchall())
            assert owned == 1
            told = json.loads(text)
            assert told["origin"] == "acme/tiny-GGUF:Q8/tiny-Q8_0.gguf@main"
            assert told["commit"] == hub.commits["acme/tiny-GGUF"]

    run(work())


def test_again_costs_nothing(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            one = await models.download_model(TINY)
            fetched = len(hub.seen("cdn"))
            assert (await models.download_model(TINY)).id == one.id
            assert len(hub.seen("cdn")) == fetched

    run(work())


def test_plain_address_with_checksum(hub: FakeHub, root: Path) -> None:
    content = hub.repos["acme/tiny-GGUF"]["Q8/tiny-Q8_0.gguf"].content
    hub.add_plain("ключ 🔑.gguf", content)
    digest = hashlib.sha256(content).hexdigest()  # type: ignore[arg-type]

    async def work() -> None:
        async with a_manager(root) as models:
            url = hub.file_url("ключ 🔑.gguf") + "?token=secret"
            config = DownloadConfig(url=url, name="Ключ", checksum=f"sha256:{digest.upper()}")
            model = await models.download_model(config)
            assert (model.name, model.source) == ("Ключ", "url")
            assert "secret" not in model.origin
            assert Path(model.path).name == "ключ 🔑.gguf"

    run(work())


def test_new_revision_of_the_same_file_is_another_model(hub: FakeHub, root: Path, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            old = await models.download_model(TINY)
            newer = samples.language_model(tmp_path / "newer.gguf", layers=2)
            hub.add("acme/tiny-GGUF", "Q8/tiny-Q8_0.gguf", newer.read_bytes())
            new = await models.download_model(TINY)
            assert new.id != old.id
            assert new.path != old.path
            assert {m.id for m in await models.list_models()} == {old.id, new.id}
            assert not any(m.missing for m in await models.list_models())

    run(work())


def test_file_deleted_by_hand_comes_back_under_its_id(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            old = await models.download_model(TINY)
            Path(old.path).unlink()
            new = await models.download_model(TINY)
            assert (new.id, new.path) == (old.id, old.path)
            assert (await models.list_models()) == (new,)

    run(work())


@pytest.mark.parametrize("part", [1, 3])
def test_split_model_from_any_part(hub: FakeHub, root: Path, part: int) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            started: list[Any] = []
            model = await models.download_model(
                DownloadConfig(repo="acme/big-GGUF", file=f"split/Big-Q8_0-{part:05d}-of-00003.gguf"),
                on_component_start=lambda *told: started.append(told),
            )
            assert len(model.files) == 3
            assert model.name == "Big-Q8_0"
            assert model.path.endswith("-00001-of-00003.gguf")
            assert all(f.sha256 for f in model.files)
            assert [(number, count) for _, _, number, count in started] == [(1, 3), (2, 3), (3, 3)]
            assert (await models.verify_model(model.id)).result == "ok"

    run(work())


class TestComponents:
    def test_all_parts(self, hub: FakeHub, root: Path) -> None:
        seen: list[Progress] = []

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                started: list[Any] = []
                model = await models.download_model(
                    klein_config(hub), seen.append, on_component_start=lambda *told: started.append(told)
                )
                assert list(model.components) == ["diffusion_model", "llm", "vae"]
                assert model.path == model.components["diffusion_model"].path
                assert model.size == sum(f.size for f in model.files)
                assert {Path(f.path).parent for f in model.files} == {
                    root / "models" / "diffusion" / model.id
                }
                assert [role for role, *_ in started] == ["diffusion_model", "llm", "vae"]
                downloading = [p for p in seen if p.phase == "downloading"]
                assert [p.done for p in downloading] == sorted(p.done for p in downloading)
                assert {p.total for p in downloading} == {model.size}
                assert {p.component for p in downloading} <= {"diffusion_model", "llm", "vae"}
                assert seen[-1].done == model.size

        run(work())

    def test_failing_part_is_named_and_the_rest_is_kept(self, hub: FakeHub, root: Path) -> None:
        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                hub.fail(Fault(status=503), times=99, when=lambda s: "Qwen3" in s.path and not s.is_probe)
                with pytest.raises(DownloadError, match=r"language model \(text encoder\): .*503") as caught:
                    await models.download_model(klein_config(hub))
                assert caught.value.details["component"] == "llm"
                assert await models.list_models() == ()
                hub.heal()
                before = len(hub.seen("cdn"))
                model = await models.download_model(klein_config(hub))
                assert [s.path.split("?")[0] for s in hub.seen("cdn")[before:]] == [
                    "/qwen/Qwen3-4B/Qwen3-4B.gguf",
                    "/comfy/flux2/split_files/vae/vae.safetensors",
                ]
                assert model_files(root) == {"klein-Q8_0.safetensors", "Qwen3-4B.gguf", "vae.safetensors"}
                assert not model.missing

        run(work())

    def test_part_that_does_not_exist_costs_nothing(self, hub: FakeHub, root: Path) -> None:
        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                config = klein_config(
                    hub, components=(ComponentDownload("vae", repo="comfy/flux2", file="no.safetensors"),)
                )
                with pytest.raises(DownloadError, match="VAE: The repository has no such file"):
                    await models.download_model(config)
                assert hub.seen("cdn") == []
                assert model_files(root) == set()

        run(work())

    def test_wrong_part_can_be_exchanged(self, hub: FakeHub, root: Path) -> None:
        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                llm = ComponentDownload("llm", repo="qwen/Qwen3-4B", file="Qwen3-4B.gguf")
                wrong = ComponentDownload("vae", repo="comfy/flux1", file="ae.safetensors")
                with pytest.raises(ModelFileError, match="VAE does not belong"):
                    await models.download_model(klein_config(hub, components=(llm, wrong)))
                assert await models.list_models() == ()
                before = len(hub.seen("cdn"))
                await models.download_model(klein_config(hub))
                assert [s.path.split("?")[0] for s in hub.seen("cdn")[before:]] == [
                    "/comfy/flux2/split_files/vae/vae.safetensors"
                ]
                assert model_files(root) == {"klein-Q8_0.safetensors", "Qwen3-4B.gguf", "vae.safetensors"}

        run(work())

    def test_shared_parts_are_stored_once_and_live_as_long_as_needed(self, hub: FakeHub, root: Path) -> None:
        main = bytearray(hub.repos["bfl/klein"]["klein-Q8_0.safetensors"].content)  # type: ignore[arg-type]
        main[-1] ^= 1
        hub.add("bfl/klein", "klein-Q4.safetensors", bytes(main))

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                one = await models.download_model(klein_config(hub))
                two = await models.download_model(klein_config(hub, name="Q4", file="klein-Q4.safetensors"))
                assert two.components["vae"].path == one.components["vae"].path
                main_size = one.components["diffusion_model"].size
                assert await models.delete_model(one.id) == main_size
                assert not (await models.get_model_info(two.id)).missing
                assert await models.delete_model(two.id) == two.size
                assert model_files(root) == set()
                assert list((root / "models" / "diffusion").iterdir()) == []

        run(work())

    def test_shared_with_an_imported_file_leaves_it_alone(
        self, hub: FakeHub, root: Path, tmp_path: Path
    ) -> None:
        mine = samples.language_model(tmp_path / "mine" / "encoder.gguf", width=samples.KLEIN_WIDTH)

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                imported = await models.import_model(mine)
                await models.verify_model(imported.id, record=True)
                model = await models.download_model(klein_config(hub))
                assert model.components["llm"].path == str(mine)
                await models.delete_model(model.id)
                await models.delete_model(imported.id)
                assert mine.exists()

        run(work())

    def test_two_files_of_one_name(self, hub: FakeHub, root: Path) -> None:
        vae = hub.repos["comfy/flux2"]["split_files/vae/vae.safetensors"].content
        hub.add("comfy/flux2", "vae/KLEIN-Q8_0.safetensors", vae)

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                parts = (
                    ComponentDownload("llm", repo="qwen/Qwen3-4B", file="Qwen3-4B.gguf"),
                    ComponentDownload("vae", repo="comfy/flux2", file="vae/KLEIN-Q8_0.safetensors"),
                )
                model = await models.download_model(klein_config(hub, components=parts))
                assert Path(model.components["vae"].path).name == "vae_KLEIN-Q8_0.safetensors"

        run(work())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"repo": "", "file": ""}, "either an address, or a repository"),
        ({"url": "https://x/y.gguf"}, "either an address, or a repository"),
        ({"repo": "a b/c"}, "not the name of a repository"),
        ({"repo": "../x"}, "not the name of a repository"),
        ({"file": "../../x.gguf"}, "not the name of a file"),
        ({"file": "/x.gguf"}, "not the name of a file"),
        ({"revision": ""}, "revision is empty"),
        ({"checksum": "md5:abc"}, "not a SHA-256"),
        ({"type": "sound"}, "no type 'sound'"),
        ({"name": "a\nb"}, "control character"),
        ({"components": (ComponentDownload("vae", url="https://x/y.safetensors"),)}, "Only image models"),
        (
            {"type": "diffusion", "components": (ComponentDownload("soul", url="https://x/y"),)},
            "no role 'soul'",
        ),
        (
            {"type": "diffusion", "components": (ComponentDownload("diffusion_model", url="https://x/y"),)},
            "main file",
        ),
        (
            {"type": "diffusion", "components": (ComponentDownload("vae", url="https://x/y"),) * 2},
            "given twice",
        ),
        ({"repo": "acme/big-GGUF", "file": "b-00001-of-00002.gguf", "checksum": "0" * 64}, "2 parts"),
    ],
)
def test_requests_that_make_no_sense(hub: FakeHub, root: Path, changes: dict[str, Any], words: str) -> None:
    values = {"repo": "acme/tiny-GGUF", "file": "Q8/tiny-Q8_0.gguf", **changes}

    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            with pytest.raises(InvalidInputError, match=words):
                await models.download_model(DownloadConfig(**values))

    run(work())
    assert hub.requests == []


@pytest.mark.parametrize("name", ["model.ckpt", "weights.pt", "pytorch_model.bin"])
def test_pickles_are_refused_by_their_name(hub: FakeHub, root: Path, name: str) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            with pytest.raises(ModelFileError):
                await models.download_model(DownloadConfig(repo="acme/tiny-GGUF", file=name))

    run(work())
    assert hub.requests == []


@pytest.mark.parametrize(
    "content",
    [b"\x80\x02}q\x00." * 2000, b"<html>" * 2000, b'{"error": "x"}' * 1000, b"PK\x03\x04" * 2000, b""],
)
def test_what_is_no_model_is_refused_by_its_first_bytes(hub: FakeHub, root: Path, content: bytes) -> None:
    hub.add("acme/bad", "model.gguf", content)

    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            with pytest.raises(ModelFileError):
                await models.download_model(DownloadConfig(repo="acme/bad", file="model.gguf"))
            assert model_files(root) == set()
            assert await models.list_models() == ()

    run(work())
    assert hub.seen("cdn") == []


def test_complete_file_that_is_no_model_after_all(hub: FakeHub, root: Path, tmp_path: Path) -> None:
    content = samples.language_model(tmp_path / "x.gguf").read_bytes()
    hub.add("acme/cut", "model.gguf", content[:-100])

    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            with pytest.raises(ModelFileError, match="incomplete"):
                await models.download_model(DownloadConfig(repo="acme/cut", file="model.gguf"))
            assert model_files(root) == set()
            assert list((root / "models" / "llm").iterdir()) == []

    run(work())


def test_wrong_type_is_told(hub: FakeHub, root: Path, tmp_path: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            config = DownloadConfig(repo="acme/tiny-GGUF", file="Q8/tiny-Q8_0.gguf", type="diffusion")
            with pytest.raises(ModelFileError, match="a language model, not an image model"):
                await models.download_model(config)

    run(work())


def test_checksum_of_the_caller(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            config = DownloadConfig(repo="acme/tiny-GGUF", file="Q8/tiny-Q8_0.gguf", checksum="0" * 64)
            with pytest.raises(ChecksumError):
                await models.download_model(config)
            assert model_files(root) == set()

    run(work())


class TestToken:
    def test_for_the_hub_only(self, hub: FakeHub, root: Path) -> None:
        hub.gated["acme/tiny-GGUF"] = "hf_secret"

        async def work() -> None:
            async with a_manager(root, environment=environment(hub, HF_TOKEN="hf_secret")) as models:
                await models.download_model(TINY)

        run(work())
        assert all("authorization" in s.headers for s in hub.seen("hub", with_probes=True))
        assert not any("authorization" in s.headers for s in hub.seen("cdn", with_probes=True))
        database = (root / "genai.sqlite3").read_bytes()
        assert b"hf_secret" not in database

    def test_not_for_other_addresses(self, hub: FakeHub, root: Path) -> None:
        hub.add_plain("x.gguf", hub.repos["acme/tiny-GGUF"]["Q8/tiny-Q8_0.gguf"].content)

        async def work() -> None:
            env = {"HF_ENDPOINT": "https://hub.example", "HF_TOKEN": "hf_secret"}
            async with a_manager(root, environment=env) as models:
                await models.download_model(DownloadConfig(url=hub.file_url("x.gguf")))

        run(work())
        assert not any("authorization" in s.headers for s in hub.requests)

    def test_gated_is_explained(self, hub: FakeHub, root: Path) -> None:
        hub.gated["acme/tiny-GGUF"] = "hf_secret"

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                with pytest.raises(DownloadError, match="gated") as caught:
                    await models.download_model(TINY)
                assert "HF_TOKEN" in caught.value.remedy

        run(work())


def test_offline_by_setting_and_by_argument(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        engine = TransferEngine(policy=QUICK, is_offline=lambda: True)
        async with a_manager(root, environment=environment(hub), transfers=engine) as models:
            with pytest.raises(OfflineError):
                await models.download_model(TINY)
        async with a_manager(root, environment=environment(hub)) as models:
            models._settings.update(offline=True)
            with pytest.raises(OfflineError):
                await models.download_model(TINY)

    run(work())
    assert hub.requests == []


class TestCancel:
    def test_keeps_what_arrived(self, hub: FakeHub, root: Path) -> None:
        size = hub.repos["acme/tiny-GGUF"]["Q8/tiny-Q8_0.gguf"].size
        half = size // 2

        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                hub.fail(Fault(hang_after=half))
                seen: list[Progress] = []
                task = asyncio.create_task(models.download_model(TINY, seen.append))
                await until(lambda: any(p.done >= half for p in seen))
                assert models.cancel_download()
                with pytest.raises(CancelledError):
                    await task
                assert not models.cancel_download()
                assert await models.list_models() == ()
                assert models.board.list()[0].state == "cancelled"  # type: ignore[attr-defined]
                hub.heal()
                hub.release.set()
                before = len(hub.seen("cdn"))
                await models.download_model(TINY)
                assert [s.range for s in hub.seen("cdn")[before:]] == [f"bytes={half}-{size - 1}"]
                assert model_files(root) == {"tiny-Q8_0.gguf"}

        run(work())

    def test_one_of_two(self, hub: FakeHub, root: Path) -> None:
        async def work() -> None:
            async with a_manager(root, environment=environment(hub)) as models:
                hub.fail(Fault(hang_after=100), times=2)
                one = asyncio.create_task(models.download_model(TINY))
                two = asyncio.create_task(models.download_model(klein_config(hub)))
                await until(lambda: len(hub.seen("cdn")) == 2)
                jobs = {job.title: job.id for job in models.board.list()}  # type: ignore[attr-defined]
                assert models.cancel_download(jobs["Download tiny-Q8_0"])
                assert not models.cancel_download("nobody")
                with pytest.raises(CancelledError):
                    await one
                hub.release.set()
                assert (await two).name == "FLUX.2 Klein"

        run(work())


def test_unfinished_downloads_can_be_thrown_away(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            kept = await models.download_model(TINY)
            hub.fail(Fault(status=503), times=99, when=lambda s: "Qwen3" in s.path and not s.is_probe)
            with pytest.raises(DownloadError):
                await models.download_model(klein_config(hub))
            hub.heal()
            hub.fail(Fault(hang_after=100))
            running = asyncio.create_task(
                models.download_model(
                    DownloadConfig(repo="acme/big-GGUF", file="split/Big-Q8_0-00001-of-00003.gguf")
                )
            )
            await until(lambda: "big-GGUF" in hub.seen("cdn")[-1].path)
            assert await models.discard_unfinished_downloads() > 0
            hub.release.set()
            finished = await running
            assert {m.id for m in await models.list_models()} == {kept.id, finished.id}
            assert not any(m.missing for m in await models.list_models())
            assert list((root / "models" / "diffusion").iterdir()) == []
            assert await models.discard_unfinished_downloads() == 0

    run(work())


def test_same_download_twice_at_once(hub: FakeHub, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            hub.fail(Fault(hang_after=100))
            first = asyncio.create_task(models.download_model(TINY))
            await until(lambda: hub.seen("cdn"))
            with pytest.raises(BusyError, match="under way already"):
                await models.download_model(TINY)
            hub.release.set()
            await first
            assert len(await models.list_models()) == 1

    run(work())


def test_leftover_without_a_receipt_is_not_trusted(hub: FakeHub, root: Path) -> None:
    """A file of the right name from who knows where, in a folder of ours."""

    async def work() -> None:
        async with a_manager(root, environment=environment(hub)) as models:
            model = await models.download_model(TINY)
            await models._shelf.remove(model.id)
            Path(model.path).write_bytes(b"GGUF of a stranger")
            (Path(model.path).parent / RECEIPT).write_text("[")
            again = await models.download_model(TINY)
            assert (await models.verify_model(again.id)).result == "ok"

    run(work())
