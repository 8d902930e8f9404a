"""The model manager: import, verify, delete, rename, details."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_desktop.core.errors import (
    CancelledError,
    InvalidInputError,
    ModelFileError,
    ModelNotFoundError,
    StorageError,
)
from genai_desktop.core.models import ModelInfo
from genai_desktop.library.database import Database
from genai_desktop.library.models import ModelShelf
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.settings import SettingsStore
from genai_desktop.library.transfer import TransferEngine, TransferPolicy
from genai_desktop.services.jobs import JobBoard
from genai_desktop.services.model_manager import ModelManager
from tests.aio import run
from tests.services import sample_models as samples

GIB = 2**30
QUICK = TransferPolicy(backoff=0.001, stall_timeout=10, journal_seconds=0.05, progress_seconds=0)


@asynccontextmanager
async def a_manager(root: Path, *, guide: Path | None = None, **options: Any) -> AsyncIterator[ModelManager]:
    paths = DataPaths(root).ensure()
    database = Database(paths.database)
    database.open()
    jobs = JobBoard()
    moments = iter(range(1, 10_000))
    manager = ModelManager(
        shelf=ModelShelf(database, paths),
        paths=paths,
        settings=SettingsStore(paths.settings),
        transfers=options.pop("transfers", TransferEngine(policy=QUICK)),
        jobs=jobs,
        clock=lambda: float(next(moments)),
        environment=options.pop("environment", {}),
        guide=guide or root / "no guide.gguf",
    )
    manager.board = jobs  # type: ignore[attr-defined] - for the tests
    try:
        yield manager
    finally:
        await jobs.close()
        database.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_import_in_place(tmp_path: Path, root: Path) -> None:
    path = samples.language_model(tmp_path / "my models" / "Qwen3-4B.gguf")

    async def work() -> None:
        async with a_manager(root) as models:
            seen: list[tuple[ModelInfo, ...]] = []
            models.on("changed", seen.append)
            model = await models.import_model(str(path), name="Mein Modell 🦙")
            assert (model.name, model.path, model.source) == ("Mein Modell 🦙", str(path), "import")
            assert seen[-1] == (model,)
            assert await models.list_models("llm") == (model,)
            assert await models.list_models("diffusion") == ()
            assert await models.get_model_info(model.id) == model
            assert not any(p.suffix == ".gguf" for p in root.rglob("*"))
        async with a_manager(root) as models:  # after a restart
            assert await models.list_models() == (model,)

    run(work())


def test_importing_again_is_the_same_model(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = samples.language_model(tmp_path / "a.gguf")

    async def work() -> None:
        async with a_manager(root) as models:
            one = await models.import_model(path, name="Mine")
            monkeypatch.chdir(tmp_path)
            two = await models.import_model("./a.gguf")
            assert (one.id, two.name) == (two.id, "Mine")
            assert len(await models.list_models()) == 1

    run(work())


def test_two_models_of_one_name(tmp_path: Path, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root) as models:
            for folder in ("x", "y"):
                await models.import_model(
                    samples.language_model(tmp_path / folder / "model.gguf"), name="Same"
                )
            assert len({m.id for m in await models.list_models()}) == 2

    run(work())


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 500])
def test_names_nobody_could_read(tmp_path: Path, root: Path, name: str) -> None:
    path = samples.language_model(tmp_path / "a.gguf")

    async def work() -> None:
        async with a_manager(root) as models:
            with pytest.raises(InvalidInputError):
                await models.import_model(path, name=name)
            assert await models.list_models() == ()

    run(work())


@pytest.mark.parametrize(
    "name", ["x" * 250 + ".gguf", "🦙" * 62 + ".gguf", "new\nline.gguf", "'; DROP TABLE models;--.gguf"]
)
def test_awkward_file_names(tmp_path: Path, root: Path, name: str) -> None:
    path = samples.language_model(tmp_path / name)

    async def work() -> None:
        async with a_manager(root) as models:
            model = await models.import_model(path)
            assert (await models.get_model_info(model.id)).path == str(path)
            assert not model.missing

    run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="only there names are bytes")
def test_file_name_that_is_no_text(tmp_path: Path, root: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.gguf"))
    samples.language_model(path)

    async def work() -> None:
        async with a_manager(root) as models:
            with pytest.raises(ModelFileError, match="not valid text"):
                await models.import_model(path)
            assert await models.list_models() == ()

    run(work())


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_no_path_at_all(root: Path, path: str) -> None:
    async def work() -> None:
        async with a_manager(root) as models:
            with pytest.raises(InvalidInputError):
                await models.import_model(path)

    run(work())


def test_nothing_there(tmp_path: Path, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root) as models:
            with pytest.raises(ModelNotFoundError):
                await models.import_model(tmp_path / "none.gguf")
            with pytest.raises(StorageError, match="gone"):
                await models.import_folder(tmp_path / "none")
            with pytest.raises(ModelNotFoundError):
                await models.get_model_info("none")

    run(work())


def test_image_model_of_parts(tmp_path: Path, root: Path) -> None:
    files = samples.klein(tmp_path)

    async def work() -> None:
        async with a_manager(root) as models:
            parts = {role: str(path) for role, path in files.items()}
            model = await models.import_model(parts["diffusion_model"], name="Klein", components=parts)
            assert model.type == "diffusion"
            assert {r: f.path for r, f in model.components.items()} == parts
            with pytest.raises(ModelFileError, match="something else"):
                await models.import_model(files["diffusion_model"], components={**parts, "vae": parts["llm"]})
            with pytest.raises(InvalidInputError):
                await models.import_model(files["diffusion_model"], components=parts, type="llm")
            assert len(await models.list_models()) == 1

    run(work())


def test_folder(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "shelf"
    samples.language_model(folder / "a" / "one.gguf")
    samples.split_model(folder / "b")
    samples.checkpoint(folder / "c.safetensors")
    (folder / "bad.gguf").write_bytes(b"<html></html>")

    async def work() -> None:
        async with a_manager(root) as models:
            problems: list[Any] = []
            models.on("import_problems", problems.extend)
            found = await models.import_folder(folder)
            assert {m.name for m in found} == {"one", "Big-Q8_0", "c"}
            assert [Path(path).name for path, _ in problems] == ["bad.gguf"]
            assert await models.import_folder(folder) == found
            assert await models.import_model(folder) in found

    run(work())


def test_folder_with_one_model_takes_the_name(tmp_path: Path, root: Path) -> None:
    samples.klein(tmp_path / "k")

    async def work() -> None:
        async with a_manager(root) as models:
            model = await models.import_model(tmp_path / "k", name="Mein Klein")
            assert (model.name, model.type) == ("Mein Klein", "diffusion")

    run(work())


def test_folder_without_models(tmp_path: Path, root: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "readme.txt").write_text("hello")
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "bad.gguf").write_bytes(b"<html></html>")

    async def work() -> None:
        async with a_manager(root) as models:
            with pytest.raises(ModelFileError, match="no model in"):
                await models.import_folder(tmp_path / "f")
            with pytest.raises(ModelFileError, match=r"bad\.gguf.*web page"):
                await models.import_folder(tmp_path / "g")

    run(work())


def test_file_that_goes_and_comes_back(tmp_path: Path, root: Path) -> None:
    path = samples.language_model(tmp_path / "a.gguf")

    async def work() -> None:
        async with a_manager(root) as models:
            model = await models.import_model(path)
            path.rename(tmp_path / "elsewhere")
            (listed,) = await models.list_models()
            assert listed.missing
            details = await models.details(model.id, free_ram=GIB)
            assert details.fit.level == "unknown"
            assert any("missing" in p for p in details.problems)
            with pytest.raises(ModelNotFoundError):
                await models.verify_model(model.id)
            (tmp_path / "elsewhere").rename(path)
            assert not (await models.get_model_info(model.id)).missing

    run(work())


class TestVerify:
    def test_no_digest_is_not_a_failure(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                result = await models.verify_model(model.id)
                assert (result.result, result.files) == ("unverifiable", ((str(path), "unverifiable"),))

        run(work())

    def test_a_recorded_digest_tells_later(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")
        seen: list[Any] = []

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                assert (await models.verify_model(model.id, record=True)).result == "unverifiable"
                assert (await models.verify_model(model.id, seen.append)).result == "ok"
                with path.open("r+b") as file:
                    file.seek(-10, os.SEEK_END)
                    file.write(b"flip")
                assert (await models.verify_model(model.id)).result == "mismatch"

        run(work())
        assert seen[-1].done == seen[-1].total == path.stat().st_size

    def test_a_file_cut_short_shows_without_a_digest(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                os.truncate(path, path.stat().st_size - 5)
                assert (await models.verify_model(model.id)).result == "mismatch"

        run(work())

    def test_a_file_replaced_by_a_web_page_of_the_same_size(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                path.write_bytes(b"<html>".ljust(path.stat().st_size))
                assert (await models.verify_model(model.id)).result == "mismatch"
                assert any("changed" in p for p in (await models.details(model.id)).problems)

        run(work())

    def test_every_file_is_named(self, tmp_path: Path, root: Path) -> None:
        parts = samples.split_model(tmp_path)

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(parts[0])
                await models.verify_model(model.id, record=True)
                with parts[1].open("r+b") as file:
                    file.seek(-1, os.SEEK_END)
                    file.write(b"!")
                result = await models.verify_model(model.id)
                assert [outcome for _, outcome in result.files] == ["ok", "mismatch", "ok"]
                assert result.result == "mismatch"

        run(work())

    def test_cancel(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")
        with path.open("r+b") as file:
            file.truncate(3 * GIB)  # a hole: long to hash, nothing to store

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                begun = asyncio.Event()
                task = asyncio.create_task(models.verify_model(model.id, lambda _: begun.set(), record=True))
                await begun.wait()
                (job,) = models.board.list()  # type: ignore[attr-defined]
                assert models.board.cancel(job.id)  # type: ignore[attr-defined]
                with pytest.raises(CancelledError):
                    await task

        run(work())


class TestDelete:
    def test_imported_files_stay(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                assert await models.delete_model(model.id) == 0
                assert path.exists()
                assert await models.list_models() == ()
                with pytest.raises(ModelNotFoundError):
                    await models.delete_model(model.id)

        run(work())

    def test_imported_files_go_when_asked_for(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")
        size = path.stat().st_size

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                assert await models.delete_model(model.id, delete_files=True) == size
                assert not path.exists()

        run(work())

    def test_asked_for_files_of_others_stay(self, tmp_path: Path, root: Path) -> None:
        files = samples.klein(tmp_path)
        second = samples.klein(tmp_path / "two")["diffusion_model"]

        async def work() -> None:
            async with a_manager(root) as models:
                one = await models.import_model(files["diffusion_model"], components=files)
                await models.import_model(second, components={**files, "diffusion_model": second})
                await models.delete_model(one.id, delete_files=True)
                assert not files["diffusion_model"].exists()
                assert files["vae"].exists()

        run(work())

    def test_gone_already(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                path.unlink()
                assert await models.delete_model(model.id, delete_files=True) == 0

        run(work())


def test_rename_and_touch(tmp_path: Path, root: Path) -> None:
    path = samples.language_model(tmp_path / "a.gguf")

    async def work() -> None:
        async with a_manager(root) as models:
            model = await models.import_model(path)
            renamed = await models.rename_model(model.id, "  Neuer Name 模型 ")
            assert (renamed.id, renamed.name) == (model.id, "Neuer Name 模型")
            assert renamed.last_used_at is None
            await models.touch(model.id)
            assert (await models.get_model_info(model.id)).last_used_at is not None
            with pytest.raises(InvalidInputError):
                await models.rename_model(model.id, "\n")
            with pytest.raises(ModelNotFoundError):
                await models.rename_model("none", "x")

    run(work())


def test_guide_is_always_there(tmp_path: Path, root: Path) -> None:
    guide = samples.language_model(tmp_path / "program" / "guide.gguf")

    async def work() -> None:
        async with a_manager(root, guide=guide) as models:
            mine = await models.import_model(samples.language_model(tmp_path / "mine.gguf"))
            listed = await models.list_models()
            assert [m.id for m in listed] == ["guide", mine.id]
            assert (listed[0].name, listed[0].source, listed[0].path) == (
                "Guide (demo)",
                "builtin",
                str(guide),
            )
            for call in (models.delete_model("guide"), models.rename_model("guide", "x")):
                with pytest.raises(InvalidInputError, match="comes with the program"):
                    await call
            await models.touch("guide")
            await models.verify_model("guide")
        async with a_manager(root, guide=guide) as models:
            assert (await models.get_model_info("guide")).last_used_at is not None
            assert [m.id for m in await models.list_models()] == ["guide", mine.id]

    run(work())


def test_guide_that_is_missing_hides_nothing(tmp_path: Path, root: Path) -> None:
    async def work() -> None:
        async with a_manager(root) as models:
            mine = await models.import_model(samples.language_model(tmp_path / "mine.gguf"))
            assert await models.list_models() == (mine,)

    run(work())


class TestDetails:
    def test_language_model(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf", layers=4)

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                details = await models.details(model.id, n_ctx=4096, free_ram=8 * GIB)
                assert dict(details.metadata)["general.architecture"] == "llama"
                assert details.footprint["weights"] > 0
                assert details.footprint["kv_cache"] > 0
                assert details.placement["n_ctx"] == 4096
                assert (details.fit.level, details.memory_free) == ("cpu", 8 * GIB)
                assert details.problems == ()
                on_gpu = await models.details(model.id, free_ram=8 * GIB, free_vram=(24 * GIB,))
                assert (on_gpu.fit.level, on_gpu.memory_free) == ("gpu", 24 * GIB)
                badge = await models.fit_badge(model, free_ram=1, free_vram=())
                assert badge.level == "no"
                assert badge.reason

        run(work())

    def test_longer_context_needs_more(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf", layers=4)

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                short, long = [
                    (await models.details(model.id, n_ctx=n, free_ram=8 * GIB)).footprint["kv_cache"]
                    for n in (1024, 8192)
                ]
                assert long == 8 * short

        run(work())

    def test_image_model(self, tmp_path: Path, root: Path) -> None:
        files = samples.klein(tmp_path)

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(files["diffusion_model"], components=files)
                details = await models.details(model.id, free_ram=64 * GIB, free_vram=(24 * GIB,))
                assert details.fit.level == "gpu"
                assert details.footprint["total"] >= model.size
                assert (await models.fit_badge(model, free_ram=1)).level == "no"

        run(work())

    def test_unknown_architecture_is_a_word_of_warning(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf", architecture="brandnew9")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                details = await models.details(model.id, free_ram=8 * GIB)
                assert any("brandnew9" in problem for problem in details.problems)

        run(work())

    def test_header_that_became_garbage(self, tmp_path: Path, root: Path) -> None:
        path = samples.language_model(tmp_path / "a.gguf")

        async def work() -> None:
            async with a_manager(root) as models:
                model = await models.import_model(path)
                path.write_bytes(b"garbage" * 100)
                details = await models.details(model.id, free_ram=8 * GIB)
                assert details.problems
                assert details.fit.level == "unknown"
                assert (await models.fit_badge(model, free_ram=8 * GIB)).level == "unknown"

        run(work())
