"""The shelf, its records, and what is read from files before they get one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.errors import InvalidInputError, ModelFileError, ModelNotFoundError
from genai_desktop.core.models import Capabilities, ModelFile, ModelInfo
from genai_desktop.library.database import Database
from genai_desktop.library.folders import scan_folder
from genai_desktop.library.identity import checked_name, model_id, safe_file_name, slug, tidy_name
from genai_desktop.library.inspection import inspect_components, inspect_file
from genai_desktop.library.models import ModelShelf
from genai_desktop.library.paths import DataPaths
from tests.aio import run
from tests.services import sample_models as samples


def with_shelf(root: Path, work: Callable[[ModelShelf], Awaitable[Any]]) -> Any:
    paths = DataPaths(root).ensure()
    database = Database(paths.database)
    database.open()
    try:
        return run(work(ModelShelf(database, paths)))
    finally:
        database.close()


def a_model(path: Path, name: str = "M", **changes: Any) -> ModelInfo:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x" * 10)
    file = ModelFile(str(path), 10, "", None, path.stat().st_mtime)
    return ModelInfo("", name, "llm", str(path), 10, **{"files": (file,), "added_at": 1.0, **changes})


class TestShelf:
    def test_everything_survives(self, tmp_path: Path) -> None:
        model = a_model(
            tmp_path / "m.gguf", "名前 🦙", architecture="llama", quantization="Q4_K_M", parameter_count=7,
            context_length=4096, family="llama", license="mit", source="huggingface", origin="a/b:c@d",
            capabilities=Capabilities(reasoning=True, vision=True, languages=("en", "de")),
            recommended={"steps": 4, "cfg_scale": 1.0},
        )  # fmt: skip

        async def work(shelf: ModelShelf) -> None:
            stored = await shelf.add(model, "identity")
            assert stored.id.startswith("model-")
            assert await shelf.get(stored.id) == stored
            assert await shelf.list() == (stored,)
            assert await shelf.list("diffusion") == ()

        with_shelf(tmp_path / "data", work)

    def test_same_name_twice_is_two_models(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            one = await shelf.add(a_model(tmp_path / "a", "Same"), "a")
            two = await shelf.add(a_model(tmp_path / "b", "Same"), "b")
            assert one.id != two.id
            assert {m.path for m in await shelf.list()} == {one.path, two.path}

        with_shelf(tmp_path / "data", work)

    def test_same_identity_of_other_files_never_overwrites(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            stored = [await shelf.add(a_model(tmp_path / str(n), "N"), "one identity") for n in range(5)]
            assert len({m.id for m in stored}) == 5
            assert len(await shelf.list()) == 5

        with_shelf(tmp_path / "data", work)

    def test_same_files_again_renew_the_record(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            first = await shelf.add(a_model(tmp_path / "a", "First"), "a")
            await shelf.touch(first.id, 77.0)
            await shelf.set_digest(first.id, ModelFile(first.path, 10, "", "ab" * 32, first.files[0].mtime))
            again = await shelf.add(a_model(tmp_path / "a", "Second", license="mit", added_at=9.0), "a")
            assert (again.id, again.name, again.license) == (first.id, "Second", "mit")
            assert (again.added_at, again.last_used_at) == (1.0, 77.0)
            assert again.files[0].sha256 == "ab" * 32
            os.utime(tmp_path / "a", (5, 5))
            changed = await shelf.add(a_model(tmp_path / "a", "Third"), "a", keep_name=True)
            assert changed.name == "Second"
            assert changed.files[0].sha256 is None
            assert len(await shelf.list()) == 1

        with_shelf(tmp_path / "data", work)

    def test_missing_file_shows(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            stored = await shelf.add(a_model(tmp_path / "a"), "a")
            (tmp_path / "a").unlink()
            assert (await shelf.get(stored.id)).missing
            (tmp_path / "a").mkdir()
            assert (await shelf.get(stored.id)).missing

        with_shelf(tmp_path / "data", work)

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE models SET record = '{{{' WHERE id = ?",
            "UPDATE models SET record = '[1]' WHERE id = ?",
            'UPDATE models SET record = \'{"capabilities": 3, "license": {}}\' WHERE id = ?',
            "UPDATE models SET record = x'ff00', size = 'many' WHERE id = ?",
            "UPDATE models SET added_at = 'yesterday', last_used_at = 'never' WHERE id = ?",
            "UPDATE model_files SET size = 'x', path = 5 WHERE model_id = ?",
            "DELETE FROM model_files WHERE model_id = ?",
        ],
    )
    def test_damaged_record_never_hides_the_others(self, tmp_path: Path, damage: str) -> None:
        async def work(shelf: ModelShelf) -> None:
            bad = await shelf.add(a_model(tmp_path / "a"), "a")
            good = await shelf.add(a_model(tmp_path / "b"), "b")
            with sqlite3.connect(tmp_path / "data" / "genai.sqlite3") as connection:
                connection.execute(damage, (bad.id,))
            connection.close()
            assert good in await shelf.list()
            await shelf.remove(bad.id) if await shelf.find(bad.id) else None

        with_shelf(tmp_path / "data", work)

    def test_shared_files_survive_until_their_last_user_goes(self, tmp_path: Path) -> None:
        def model(name: str, *paths: Path) -> ModelInfo:
            files = []
            for path in paths:
                path.write_bytes(b"x")
                files.append(ModelFile(str(path), 1))
            return ModelInfo("", name, "diffusion", str(paths[0]), len(files), tuple(files))

        async def work(shelf: ModelShelf) -> None:
            a, b, vae = (tmp_path / name for name in ("a", "b", "vae"))
            one = await shelf.add(model("one", a, vae), "1", owned=[str(a), str(vae)])
            two = await shelf.add(model("two", b, vae), "2", owned=[str(b)])
            assert [f.path for f in (await shelf.remove(one.id)).orphans] == [str(a)]
            assert await shelf.users_of(str(vae)) == (two.id,)
            assert {f.path for f in (await shelf.remove(two.id)).orphans} == {str(b), str(vae)}

        with_shelf(tmp_path / "data", work)

    def test_files_imported_in_place_are_nobodys_to_delete(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            one = await shelf.add(a_model(tmp_path / "a", "one"), "1")
            assert (await shelf.remove(one.id)).orphans == ()

        with_shelf(tmp_path / "data", work)

    def test_unknown_ids(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            assert await shelf.find("x") is None
            for call in (shelf.get("x"), shelf.rename("x", "y"), shelf.touch("x", 1.0), shelf.remove("x")):
                with pytest.raises(ModelNotFoundError):
                    await call

        with_shelf(tmp_path / "data", work)

    def test_file_by_digest_only_while_unchanged(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            stored = await shelf.add(a_model(tmp_path / "a"), "a")
            await shelf.set_digest(stored.id, replace(stored.files[0], sha256="cd" * 32))
            found = await shelf.file_with_digest("cd" * 32)
            assert found is not None
            assert found.path == stored.path
            (tmp_path / "a").write_bytes(b"other")
            assert await shelf.file_with_digest("cd" * 32) is None

        with_shelf(tmp_path / "data", work)

    def test_two_processes_add_at_once(self, tmp_path: Path) -> None:
        program = """
import asyncio, sys
from pathlib import Path
from genai_desktop.core.models import ModelInfo, ModelFile
from genai_desktop.library.database import Database
from genai_desktop.library.models import ModelShelf
from genai_desktop.library.paths import DataPaths
paths = DataPaths(Path(sys.argv[1])).ensure()
database = Database(paths.database); database.open()
async def work():
    shelf = ModelShelf(database, paths)
    for n in range(20):
        path = f"/m/{sys.argv[2]}{n}"
        await shelf.add(ModelInfo("", "Same", "llm", path, 1, (ModelFile(path, 1),)), path)
asyncio.run(work()); database.close()
"""
        data = str(tmp_path / "data")
        children = [subprocess.Popen([sys.executable, "-c", program, data, key]) for key in "abc"]
        assert [child.wait(60) for child in children] == [0, 0, 0]

        async def work(shelf: ModelShelf) -> None:
            assert len({m.id for m in await shelf.list()}) == 60

        with_shelf(tmp_path / "data", work)

    def test_ten_thousand_models(self, tmp_path: Path) -> None:
        async def work(shelf: ModelShelf) -> None:
            def fill(connection: sqlite3.Connection) -> None:
                connection.executemany(
                    "INSERT INTO models VALUES (?, 'n', 'llm', '/x', 1, '{}', 0, NULL)",
                    [(f"m{n}",) for n in range(10_000)],
                )

            await shelf._database.write(fill)
            assert len(await shelf.list()) == 10_000

        with_shelf(tmp_path / "data", work)


class TestNames:
    @given(st.text(max_size=60), st.text())
    def test_ids_are_plain_and_stable(self, name: str, identity: str) -> None:
        made = model_id(name, identity)
        assert made == model_id(name, identity)
        assert made.isascii()
        assert all(c.isalnum() or c == "-" for c in made)
        assert made != model_id(name, identity + "x")

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("Qwen3 4B (Q4_K_M)", "qwen3-4b-q4-k-m"), ("Übung", "ubung"), ("模型", ""), ("🦙", ""), ("--", "")],
    )
    def test_slug(self, name: str, expected: str) -> None:
        assert slug(name) == expected

    @pytest.mark.parametrize("name", ["", "  ", "\n", "a\nb", "\0", "x" * 201, "a\u2028b", "\ud800"])
    def test_names_nobody_could_read(self, name: str) -> None:
        with pytest.raises(InvalidInputError):
            checked_name(name)

    @given(st.text(max_size=300))
    def test_tidy_names_are_never_refused(self, text: str) -> None:
        assert checked_name(tidy_name(text))

    @given(st.text(min_size=1, max_size=400))
    def test_file_names_are_safe(self, name: str) -> None:
        safe = safe_file_name(name)
        assert safe not in ("", ".", "..")
        assert len(os.fsencode(safe)) <= 220
        assert not set(safe) & set('<>:"/\\|?*\0\n')
        assert safe_file_name(safe) == safe

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("../../etc/passwd", "passwd"), ("C:\\x\\y.gguf", "y.gguf"), ("con.gguf", "_con.gguf"),
            ("a:b?.gguf", "a_b_.gguf"), (" .hidden. ", "hidden"), ("模型.gguf", "模型.gguf"),
        ],
    )  # fmt: skip
    def test_file_names(self, name: str, expected: str) -> None:
        assert safe_file_name(name) == expected


class TestInspection:
    def test_language_model(self, tmp_path: Path) -> None:
        path = samples.language_model(tmp_path / "Qwen3 4B-Q8_0.gguf")
        info = inspect_file(path).info
        assert (info.type, info.architecture, info.quantization) == ("llm", "llama", "Q8_0")
        assert (info.name, info.path, info.size) == ("Qwen3 4B-Q8_0", str(path), path.stat().st_size)
        assert info.context_length == 8192

    def test_any_part_of_a_split_model_stands_for_all(self, tmp_path: Path) -> None:
        parts = samples.split_model(tmp_path)
        for given_part in parts:
            info = inspect_file(given_part).info
            assert info.path == str(parts[0])
            assert [f.path for f in info.files] == [str(p) for p in parts]
            assert info.size == sum(p.stat().st_size for p in parts)
            assert info.name == "Big-Q8_0"

    def test_split_model_with_a_gap(self, tmp_path: Path) -> None:
        parts = samples.split_model(tmp_path)
        parts[1].unlink()
        with pytest.raises(ModelFileError, match="Part 2 of 3 of the model is missing"):
            inspect_file(parts[0])

    def test_projector_beside_the_model(self, tmp_path: Path) -> None:
        model = samples.language_model(tmp_path / "Gemma-3-4B-Q4.gguf", width=96)
        samples.projector(tmp_path / "mmproj-other-7B.gguf", width=96)
        samples.projector(tmp_path / "mmproj-gemma-3-12b.gguf", width=128)
        right = samples.projector(tmp_path / "mmproj-Gemma-3-4B-F16.gguf", width=96)
        info = inspect_file(model).info
        assert info.components["mmproj"].path == str(right)
        assert info.capabilities.vision
        assert info.size == model.stat().st_size + right.stat().st_size

    def test_no_projector_of_strangers(self, tmp_path: Path) -> None:
        model = samples.language_model(tmp_path / "Mistral-7B.gguf", width=96)
        samples.projector(tmp_path / "mmproj-gemma.gguf", width=96)
        assert inspect_file(model).info.components == {}

    def test_checkpoint(self, tmp_path: Path) -> None:
        info = inspect_file(samples.checkpoint(tmp_path / "dreamy.safetensors")).info
        assert (info.type, info.family, info.name) == ("diffusion", "sd1", "dreamy")
        assert info.recommended["width"] == 512

    def test_image_model_of_parts(self, tmp_path: Path) -> None:
        files = samples.klein(tmp_path)
        info = inspect_components(files).info
        assert list(info.components) == ["diffusion_model", "llm", "vae"]
        assert info.path == info.components["diffusion_model"].path
        assert info.size == sum(p.stat().st_size for p in files.values())
        assert info.family == "flux2-klein"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
            (b"\x80\x02}q\x00." + b"\0" * 100, "pickle|Python"),
            (b"PK\x03\x04" + b"\0" * 100, "zip|archive|ZIP"),
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "LFS|pointer"),
            (b"\0\1\2\3" * 50, "not a|neither|no model|unknown"),
        ],
    )
    def test_what_is_no_model(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=words) as caught:
            inspect_file(path)
        assert caught.value.remedy

    def test_cut_short(self, tmp_path: Path) -> None:
        path = samples.language_model(tmp_path / "m.gguf")
        os.truncate(path, path.stat().st_size - 1000)
        with pytest.raises(ModelFileError, match="incomplete"):
            inspect_file(path)

    def test_part_given_as_a_model(self, tmp_path: Path) -> None:
        files = samples.klein(tmp_path)
        with pytest.raises(ModelFileError, match="a part of a model"):
            inspect_file(files["vae"])
        with pytest.raises(ModelFileError, match=r"bare FLUX\.2 klein"):
            inspect_file(files["diffusion_model"])

    def test_wrong_kind(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="a language model, not an image model"):
            inspect_file(samples.language_model(tmp_path / "a.gguf"), type="diffusion")
        with pytest.raises(ModelFileError, match="an image model, not a language model"):
            inspect_file(samples.checkpoint(tmp_path / "b.safetensors"), type="llm")

    def test_wrong_roles(self, tmp_path: Path) -> None:
        files = samples.klein(tmp_path)
        with pytest.raises(ModelFileError, match="something else"):
            inspect_components({**files, "vae": files["llm"]})
        with pytest.raises(ModelFileError, match="VAE does not belong"):
            inspect_components({**files, "vae": samples.wrong_vae(tmp_path / "ae.safetensors")})
        with pytest.raises(ModelFileError, match="needs a VAE"):
            inspect_components({k: v for k, v in files.items() if k != "vae"})
        with pytest.raises(InvalidInputError, match="no role 'soul'"):
            inspect_components({**files, "soul": files["vae"]})

    def test_broken_part_is_named(self, tmp_path: Path) -> None:
        files = samples.klein(tmp_path)
        files["llm"].write_bytes(b"<html>")
        with pytest.raises(ModelFileError, match=r"language model \(text encoder\) cannot be used"):
            inspect_components(files)

    def test_architecture_nobody_knows_is_stored(self, tmp_path: Path) -> None:
        info = inspect_file(samples.language_model(tmp_path / "m.gguf", architecture="brandnew9")).info
        assert (info.type, info.architecture) == ("llm", "brandnew9")

    def test_gone(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError):
            inspect_file(tmp_path / "none.gguf")


class TestFolders:
    def names(self, root: Path) -> set[str]:
        return {found.info.name for found in scan_folder(root).models}

    def test_flat_and_nested(self, tmp_path: Path) -> None:
        samples.language_model(tmp_path / "one.gguf")
        samples.language_model(tmp_path / "deep" / "deeper" / "two.gguf")
        samples.checkpoint(tmp_path / "sd" / "three.safetensors")
        samples.split_model(tmp_path / "split")
        (tmp_path / "notes.txt").write_text("hello")
        (tmp_path / "config.json").write_text("{}")
        assert self.names(tmp_path) == {"one", "two", "three", "Big-Q8_0"}

    def test_hub_cache(self, tmp_path: Path) -> None:
        blob = samples.language_model(tmp_path / "blobs" / ("ab" * 32))
        for revision in ("r1", "r2"):
            link = tmp_path / "snapshots" / revision / "tiny.gguf"
            link.parent.mkdir(parents=True)
            link.symlink_to(blob)
        (tmp_path / "snapshots" / "r1" / "gone.gguf").symlink_to(tmp_path / "nowhere")
        assert self.names(tmp_path) == {"tiny"}
        assert len(scan_folder(tmp_path).models) == 1

    def test_ollama_store(self, tmp_path: Path) -> None:
        samples.language_model(tmp_path / "blobs" / f"sha256-{'cd' * 32}", name="Llama 3.2")
        (tmp_path / "blobs" / f"sha256-{'ef' * 32}").write_text("{}")
        assert self.names(tmp_path) == {"Llama 3.2"}

    def test_image_model_in_its_own_folder(self, tmp_path: Path) -> None:
        samples.klein(tmp_path / "flux-2-klein")
        (found,) = scan_folder(tmp_path).models
        assert set(found.info.components) == {"diffusion_model", "llm", "vae"}

    def test_image_model_over_sibling_folders(self, tmp_path: Path) -> None:
        """ComfyUI's layout; the text encoder is a language model in its own right there."""
        names = ("diffusion_models/klein.safetensors", "text_encoders/qwen3.gguf", "vae/flux2.safetensors")
        samples.klein(tmp_path, names=names)
        samples.wrong_vae(tmp_path / "vae" / "ae.safetensors")
        scan = scan_folder(tmp_path)
        assert {(f.info.name, f.info.type) for f in scan.models} == {("klein", "diffusion"), ("qwen3", "llm")}
        klein = next(f.info for f in scan.models if f.info.type == "diffusion")
        assert klein.components["vae"].path.endswith("flux2.safetensors")

    def test_what_cannot_be_used_is_told(self, tmp_path: Path) -> None:
        samples.language_model(tmp_path / "good.gguf")
        (tmp_path / "bad.gguf").write_bytes(b"<html></html>")
        with (tmp_path / "old.ckpt").open("wb") as file:
            file.truncate(20 * 1024**2)
        files = samples.klein(tmp_path / "k")
        files["vae"].unlink()
        scan = scan_folder(tmp_path)
        told = {Path(path).name: reason for path, reason in scan.skipped}
        assert set(told) == {"bad.gguf", "old.ckpt", "klein-Q8_0.safetensors"}
        assert "web page" in told["bad.gguf"]

    def test_stop(self, tmp_path: Path) -> None:
        samples.language_model(tmp_path / "a.gguf")

        def on_file(_: int) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            scan_folder(tmp_path, on_file)

    def test_circle_of_links(self, tmp_path: Path) -> None:
        samples.language_model(tmp_path / "a" / "m.gguf")
        (tmp_path / "a" / "loop").symlink_to(tmp_path)
        assert self.names(tmp_path) == {"m"}
