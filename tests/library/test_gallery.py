"""The gallery: nothing is lost, everything is found again, and pictures carry their recipe."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from genai_desktop.core.errors import InvalidInputError, NotFoundError, StorageError
from genai_desktop.core.images import GalleryItem, GeneratedImage, ImageGenerationConfig
from genai_desktop.core.models import ModelFile, ModelInfo
from genai_desktop.core.recipe import common_text, make_recipe, read_texts, recipe_texts
from genai_desktop.library.database import Database
from genai_desktop.library.gallery import Gallery, read_recipe
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.png_text import read_text, with_text
from tests.aio import run
from tests.fakes.fake_sd_cli import png

MODEL = ModelInfo(
    "m1", "Tiny Flux", "diffusion", "/secret/home/m.gguf", 9, (ModelFile("/secret/home/m.gguf", 9),)
)
CONFIG = ImageGenerationConfig(
    prompt="a cat, 猫\nwith: colons, and \"quotes\"", negative_prompt="dog", steps=4, cfg_scale=1.5, seed=-1,
    sampler="euler_a", scheduler="karras", model_id="m1", width=64, height=64,
)  # fmt: skip


def recipe(config: ImageGenerationConfig = CONFIG, seed: int = 0, **more: Any) -> dict[str, Any]:
    image = GeneratedImage("x.png", seed, 64, 64)
    return {
        **make_recipe(
            config,
            image,
            MODEL,
            engine="embedded b1",
            options={"vae_tiling": True},
            seconds=1.5,
            created_at=7.0,
        ),
        **more,
    }


class Home:
    """A data folder with an open gallery."""

    def __init__(self, root: Path) -> None:
        self.paths = DataPaths(root).ensure()
        self.database = Database(self.paths.database)
        self.database.open()
        self.now = 1_000_000.0
        self.gallery = Gallery(self.database, self.paths, clock=lambda: self.now)
        self.changes: list[tuple[GalleryItem, ...]] = []
        self.gallery.on("changed", self.changes.append)

    async def add(self, prompt: str = "a cat", seed: int = 1, folder: Path | None = None) -> GalleryItem:
        source = self.paths.temp / f"{seed}.png"
        source.write_bytes(png(64, 64, seed, "from the engine"))
        self.now += 1
        wanted = recipe(ImageGenerationConfig(prompt=prompt, width=64, height=64), seed)
        return await self.gallery.add(GeneratedImage(str(source), seed, 64, 64), wanted, folder=folder)


@pytest.fixture
def home(tmp_path: Path) -> Any:
    made = Home(tmp_path / "data")
    yield made
    made.database.close()


def test_a_picture_is_kept_with_its_recipe(home: Home) -> None:
    item = run(home.add("Der Bär & 猫", 42))
    assert Path(item.path).parent == home.paths.gallery
    assert "der-bar" in Path(item.path).name
    assert list(home.paths.temp.glob("*.png")) == []
    with Image.open(item.path) as picture:
        picture.load()
        assert picture.size == (64, 64)
        assert picture.text["parameters"].startswith("Der Bär & 猫\n")
        assert "from the engine" not in picture.text["parameters"]
        assert json.loads(picture.text["genai_desktop"])["seed"] == 42
    with Image.open(item.thumbnail) as small:
        assert small.size == (64, 64)
    assert [i.id for i in home.changes[-1]] == [item.id]
    assert read_recipe(Path(item.path))["prompt"] == "Der Bär & 猫"


def test_pixels_are_untouched(home: Home) -> None:
    item = run(home.add(seed=7))
    source = home.paths.temp / "again.png"
    source.write_bytes(png(64, 64, 7))
    with Image.open(item.path) as kept, Image.open(source) as made:
        assert kept.tobytes() == made.tobytes()


def test_newest_first_paged_and_searched(home: Home) -> None:
    async def main() -> None:
        for number, prompt in enumerate(("a red cat", "a blue cat", "50% of_a dog")):
            await home.add(prompt, 100 + number)

        async def found(query: str = "", **more: int) -> list[str]:
            return [item.prompt for item in await home.gallery.list(query, **more)]

        assert await found() == ["50% of_a dog", "a blue cat", "a red cat"]
        assert await found(limit=1, offset=1) == ["a blue cat"]
        assert await found("cat") == ["a blue cat", "a red cat"]
        assert await found("CAT red") == ["a red cat"]
        assert await found("101") == ["a blue cat"]
        assert await found("tiny flux") == ["50% of_a dog", "a blue cat", "a red cat"]
        assert await found("50%") == ["50% of_a dog"]
        assert await found("_a") == ["50% of_a dog"]
        assert await found("%") == ["50% of_a dog"]
        assert await found("' OR 1=1 --") == []

    run(main())


def test_delete_and_undo(home: Home) -> None:
    async def main() -> None:
        item = await home.add()
        await home.gallery.delete(item.id)
        assert await home.gallery.list() == ()
        assert not Path(item.path).exists()
        back = await home.gallery.undo_delete(item.id)
        assert back == item
        assert Path(item.path).exists()
        assert [i.id for i in await home.gallery.list()] == [item.id]

    run(main())


def test_the_bin_is_emptied_later_and_only_of_what_is_old(home: Home) -> None:
    async def main() -> None:
        old, new = await home.add(seed=1), await home.add(seed=2)
        await home.gallery.delete(old.id)
        home.now += 8 * 86_400
        await home.gallery.delete(new.id)
        assert await home.gallery.purge() == 1
        assert not Path(old.thumbnail).exists()
        assert len(list((home.paths.gallery / ".trash").iterdir())) == 1
        with pytest.raises(NotFoundError):
            await home.gallery.undo_delete(old.id)
        await home.gallery.undo_delete(new.id)

    run(main())


def test_a_picture_whose_file_is_gone_is_shown_as_such_and_can_be_deleted(home: Home) -> None:
    async def main() -> None:
        item = await home.add()
        Path(item.path).unlink()
        assert (await home.gallery.list())[0].is_missing
        await home.gallery.delete(item.id)
        assert await home.gallery.list() == ()

    run(main())


def test_undo_does_not_overwrite(home: Home) -> None:
    async def main() -> None:
        item = await home.add()
        await home.gallery.delete(item.id)
        Path(item.path).write_bytes(b"mine")
        with pytest.raises(StorageError, match="in the way"):
            await home.gallery.undo_delete(item.id)
        assert Path(item.path).read_bytes() == b"mine"

    run(main())


def test_a_folder_of_the_person(home: Home, tmp_path: Path) -> None:
    item = run(home.add(folder=tmp_path / "My Pictures" / "ai"))
    assert Path(item.path).parent == tmp_path / "My Pictures" / "ai"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(home: Home, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StorageError):
        run(home.add(folder=closed))
    assert list(home.paths.temp.glob("*.png"))


def test_a_folder_that_is_a_file(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        run(home.add(folder=tmp_path / "file"))
    assert list(home.paths.temp.glob("*.png"))


def test_a_picture_written_before_a_crash_is_adopted(home: Home) -> None:
    async def main() -> None:
        stray = home.paths.gallery / "stray.png"
        stray.write_bytes(with_text(png(64, 64, 3), recipe_texts(recipe(seed=3))))
        (home.paths.gallery / "foreign.png").write_bytes(png(8, 8, 1))
        (home.paths.gallery / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
        home.now = stray.stat().st_mtime + 5
        assert await home.gallery.adopt() == 0
        home.now += 3600
        assert await home.gallery.adopt() == 1
        assert await home.gallery.adopt() == 0
        found = await home.gallery.list()
        assert [(i.seed, i.prompt, i.model_name) for i in found] == [(3, CONFIG.prompt, "Tiny Flux")]

    run(main())


def test_no_path_of_this_computer_is_in_the_picture(home: Home, tmp_path: Path) -> None:
    text = json.dumps(recipe_texts(recipe(ImageGenerationConfig("x", init_image="/secret/home/i.png"))))
    assert "secret" not in text
    assert "i.png" in text


# recipes ------------------------------------------------------------------------------------------------


def test_a_recipe_survives_the_picture() -> None:
    data = with_text(png(64, 64, 1, "old parameters"), recipe_texts(recipe(seed=0)))
    path_texts = read_back(data)
    values = read_texts(path_texts)
    assert values["prompt"] == CONFIG.prompt
    assert (values["seed"], values["cfg_scale"], values["sampler"], values["scheduler"]) == (
        0,
        1.5,
        "euler_a",
        "karras",
    )
    assert ImageGenerationConfig(**values).validated()
    assert data.count(b"parameters\0") == 1


def read_back(data: bytes, folder: Path | None = None) -> dict[str, str]:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "p.png"
        path.write_bytes(data)
        return read_text(path)


def test_the_common_text_is_read_by_ourselves_and_has_the_common_names() -> None:
    text = common_text(recipe(ImageGenerationConfig("a cat", "dog", sampler="dpm++2m", steps=9), seed=5))
    assert text.splitlines()[0] == "a cat"
    assert "Negative prompt: dog" in text
    assert "Sampler: DPM++ 2M" in text
    values = read_texts({"parameters": text})
    assert (values["steps"], values["seed"], values["sampler"], values["negative_prompt"]) == (
        9,
        5,
        "dpm++2m",
        "dog",
    )


def test_pictures_of_others_are_read() -> None:
    foreign = (
        "masterpiece, a (cat:1.2),\nsecond line\nNegative prompt: bad hands,\nworse\n"
        "Steps: 28, Sampler: DPM++ 2S a, Schedule type: Karras, CFG scale: 5.5, Seed: 3141592653, "
        'Size: 832x1216, Model hash: 1234, Model: "x, y: z", Denoising strength: 0.4, '
        'Lora hashes: "a: 1, b: 2", Version: v1.10'
    )
    values = read_texts({"parameters": foreign})
    assert values["prompt"] == "masterpiece, a (cat:1.2),\nsecond line"
    assert values["negative_prompt"] == "bad hands,\nworse"
    assert (values["steps"], values["width"], values["height"]) == (28, 832, 1216)
    assert (values["sampler"], values["scheduler"], values["strength"]) == ("dpm++2s_a", "karras", 0.4)
    assert "seed" not in values  # too large for us: left out, not an error


def test_a_prompt_alone_is_a_recipe() -> None:
    assert read_texts({"parameters": "just a cat"})["prompt"] == "just a cat"
    assert read_texts({}) == {}
    assert read_texts({"parameters": "Negative prompt: x\nSteps: 3"})["negative_prompt"] == "x"


@pytest.mark.parametrize(
    "own",
    [
        "[]", "null", "{", "[" * 100_000,
        '{"prompt": 3, "steps": "x", "width": 1e9, "seed": -5, "count": 99}',
        '{"prompt": "ok", "sampler": "evil", "init_image": "/etc/passwd", "cfg_scale": NaN, "model_id": []}',
    ],
    ids=lambda s: s[:12],
)  # fmt: skip
def test_a_hostile_recipe_gives_only_valid_values(own: str) -> None:
    values = read_texts({"genai_desktop": own})
    assert set(values) <= {"prompt"}
    assert values.get("prompt", "ok") == "ok"


@given(st.text(max_size=200), st.text(max_size=100), st.integers(0, 2**31 - 1))
def test_any_prompt_goes_through(prompt: str, negative: str, seed: int) -> None:
    prompt, negative = prompt.replace("\0", ""), negative.replace("\0", "")
    try:
        config = ImageGenerationConfig(prompt, negative).validated()
    except InvalidInputError:
        return
    values = read_texts(read_back(with_text(png(8, 8, 1), recipe_texts(recipe(config, seed)))))
    assert (values["prompt"], values["negative_prompt"], values["seed"]) == (prompt, negative, seed)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(kind: bytes, body: bytes) -> bytes:
    data = png(8, 8, 1)
    return data[:33] + chunk(kind, body) + data[33:]


def test_texts_of_every_kind() -> None:
    assert read_back(with_chunk(b"tEXt", b"k\0gr\xfcn")) == {"k": "grün"}
    assert read_back(with_chunk(b"tEXt", "k\0grün".encode())) == {"k": "grün"}
    assert read_back(with_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"packed"))) == {"k": "packed"}
    assert read_back(with_chunk(b"iTXt", b"k\0\1\0en\0k\0" + zlib.compress("猫".encode()))) == {"k": "猫"}


@pytest.mark.parametrize(
    "data",
    [
        with_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 50_000_000)),
        with_chunk(b"zTXt", b"k\0\0not packed"),
        with_chunk(b"iTXt", b"k"),
        with_chunk(b"tEXt", b""),
        png(8, 8, 1)[:40],
        png(8, 8, 1)[:33] + b"\xff\xff\xff\xfftEXt",
    ],
    ids=["bomb", "unpackable", "short", "empty", "cut", "lying-size"],
)
def test_hostile_pictures_are_survived(data: bytes) -> None:
    texts = read_back(data)
    assert all(len(text) < 5_000_000 for text in texts.values())


def test_no_png_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(InvalidInputError, match="not a PNG"):
        read_recipe(tmp_path / "a.png")
    with pytest.raises(StorageError):
        read_recipe(tmp_path / "none.png")


def test_what_pillow_writes_is_read(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "猫\nSteps: 3, Seed: 9", zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png", pnginfo=info)
    assert read_recipe(tmp_path / "p.png")["seed"] == 9
