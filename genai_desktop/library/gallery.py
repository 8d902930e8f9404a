"""The gallery: pictures in a folder anyone can open, their recipe inside, a searchable record beside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import sqlite3
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genai_desktop.core.errors import GenaiError, InvalidInputError, NotFoundError, StorageError
from genai_desktop.core.events import Emitter
from genai_desktop.core.images import GalleryItem, GeneratedImage
from genai_desktop.core.recipe import full_recipe, read_texts, recipe_texts
from genai_desktop.library.atomic import write_atomic
from genai_desktop.library.database import Database
from genai_desktop.library.disk import storage_error
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.png_text import read_text, with_text

_log = logging.getLogger(__name__)

THUMBNAIL_PIXELS = 320
TRASH = ".trash"
KEEP_DELETED = 7 * 86_400.0  # seconds a deleted picture can be brought back
_SETTLED = 60.0  # seconds after which a picture without a record is a stray
_ANNOUNCED = 500  # newest pictures in a "changed" event


def read_recipe(path: Path) -> dict[str, Any]:
    """ImageGenerationConfig values stored in a picture; empty when it holds none.

    Raises InvalidInputError when it is no PNG, StorageError when it cannot be read.
    """
    try:
        return read_texts(read_text(path))
    except OSError as error:
        raise storage_error(error, "read the picture", path) from error


class Gallery:
    """Pictures, newest first. events: "changed" with the newest items after every change."""

    def __init__(
        self, database: Database, paths: DataPaths, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._paths = paths
        self._clock = clock
        self.events = Emitter()

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    async def add(
        self, image: GeneratedImage, recipe: Mapping[str, Any], *, folder: Path | None = None
    ) -> GalleryItem:
        """Move a finished PNG into the gallery with its recipe inside. Once this returns, nothing loses it.

        folder: where to keep it, default the gallery of the data folder. Raises StorageError; the source
        file is then still there.
        """
        item = await asyncio.to_thread(self._store, image, recipe, folder or self._paths.gallery)
        await self._database.write(lambda c: _insert(c, item))
        await self._announce()
        return item

    async def list(
        self, query: str = "", limit: int = _ANNOUNCED, offset: int = 0
    ) -> tuple[GalleryItem, ...]:
        """Pictures whose prompt, model or seed holds every word of `query`, newest first."""
        where, values = _search(query)
        sql = (
            f"SELECT * FROM gallery WHERE deleted_at IS NULL{where}"  # noqa: S608 - placeholders only
            " ORDER BY created_at DESC, id LIMIT ? OFFSET ?"
        )
        rows = await self._database.read(lambda c: c.execute(sql, (*values, limit, offset)).fetchall())
        return await asyncio.to_thread(lambda: tuple(_item(row) for row in rows))

    async def get(self, item_id: str) -> GalleryItem:
        """Raises NotFoundError."""
        return await asyncio.to_thread(_item, await self._row(item_id))

    async def delete(self, item_id: str) -> None:
        """Into the bin; `undo_delete` brings it back. A picture whose file is gone can be deleted too."""
        row = await self._row(item_id)
        path = Path(row["path"])
        moved = await asyncio.to_thread(_move, path, _trashed(path))
        try:
            await self._database.write(
                lambda c: c.execute(
                    "UPDATE gallery SET deleted_at = ? WHERE id = ?", (self._clock(), item_id)
                )
            )
        except GenaiError:
            if moved:
                await asyncio.to_thread(_move, _trashed(path), path)
            raise
        await self._announce()

    async def undo_delete(self, item_id: str) -> GalleryItem:
        """Bring it back from the bin. Raises NotFoundError when it was never there or is gone for good."""
        row = await self._row(item_id)
        path = Path(row["path"])
        await asyncio.to_thread(_move, _trashed(path), path)
        await self._database.write(
            lambda c: c.execute("UPDATE gallery SET deleted_at = NULL WHERE id = ?", (item_id,))
        )
        await self._announce()
        return await self.get(item_id)

    async def purge(self, older_than: float = KEEP_DELETED) -> int:
        """Remove for good what was deleted more than `older_than` seconds ago; how many pictures."""
        before = self._clock() - older_than
        rows = await self._database.read(
            lambda c: c.execute("SELECT * FROM gallery WHERE deleted_at <= ?", (before,)).fetchall()
        )

        def remove() -> None:
            for row in rows:
                with contextlib.suppress(OSError):  # gone already, or on a disk that is away: the record goes
                    _trashed(Path(row["path"])).unlink(missing_ok=True)
                    if row["thumbnail"]:
                        Path(row["thumbnail"]).unlink(missing_ok=True)

        await asyncio.to_thread(remove)
        ids = [(row["id"],) for row in rows]
        await self._database.write(lambda c: c.executemany("DELETE FROM gallery WHERE id = ?", ids))
        return len(ids)

    async def adopt(self, folder: Path | None = None) -> int:
        """Record pictures of ours that lie in the folder without a record (we were killed in between)."""
        place = folder or self._paths.gallery
        known = {
            row["path"]
            for row in await self._database.read(lambda c: c.execute("SELECT path FROM gallery").fetchall())
        }
        found = await asyncio.to_thread(self._strays, place, known)
        if found:

            def insert(connection: sqlite3.Connection) -> None:
                for item in found:
                    _insert(connection, item)

            await self._database.write(insert)
            await self._announce()
        return len(found)

    # in a worker thread -------------------------------------------------------------------------------------

    def _store(self, image: GeneratedImage, recipe: Mapping[str, Any], folder: Path) -> GalleryItem:
        item_id = secrets.token_hex(8)
        now = self._clock()
        source = Path(image.path)
        target = folder / _file_name(str(recipe.get("prompt", "")), image.seed, now, item_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            data = with_text(source.read_bytes(), recipe_texts(recipe))
        except OSError as error:
            raise storage_error(error, "keep the picture in", folder) from error
        write_atomic(target, data, mode=0o644, doing="keep the picture")
        with contextlib.suppress(OSError):  # a leftover in a temporary folder, removed with it
            source.unlink()
        return GalleryItem(
            id=item_id,
            path=str(target),
            thumbnail=self._thumbnail(target, item_id),
            created_at=now,
            width=image.width,
            height=image.height,
            seed=image.seed,
            prompt=str(recipe.get("prompt", "")),
            model_name=str(recipe.get("model", {}).get("name", "")),
            recipe=dict(recipe),
        )

    def _thumbnail(self, path: Path, item_id: str) -> str:
        """Path of a small version; empty when it cannot be made (the picture itself is what counts)."""
        from PIL import Image

        target = self._paths.thumbnails / f"{item_id}.png"
        try:
            self._paths.thumbnails.mkdir(parents=True, exist_ok=True)
            with Image.open(path, formats=("PNG",)) as picture:
                picture.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
                picture.convert("RGB").save(target, "PNG", compress_level=1)
        except (OSError, ValueError, SyntaxError) as error:
            _log.warning("no thumbnail for %s: %s", path.name, error)
            return ""
        return str(target)

    def _strays(self, folder: Path, known: set[str]) -> tuple[GalleryItem, ...]:
        found = []
        for path in sorted(folder.glob("*.png")):
            if str(path) in known:
                continue
            try:
                created = path.stat().st_mtime
                if self._clock() - created < _SETTLED:
                    continue  # another process of ours may be about to record it
                texts = read_text(path)
            except (OSError, InvalidInputError):
                continue
            recipe = full_recipe(texts)
            if not recipe:
                continue
            values = read_texts(texts)
            item_id = secrets.token_hex(8)
            model = recipe.get("model")
            found.append(
                GalleryItem(
                    id=item_id,
                    path=str(path),
                    thumbnail=self._thumbnail(path, item_id),
                    created_at=created,
                    width=int(values.get("width", 0)),
                    height=int(values.get("height", 0)),
                    seed=int(values.get("seed", 0)),
                    prompt=str(values.get("prompt", "")),
                    model_name=str(model.get("name", "")) if isinstance(model, dict) else "",
                    recipe=recipe,
                )
            )
        return tuple(found)

    # -------------------------------------------------------------------------------------------------------

    async def _row(self, item_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = await self._database.read(
            lambda c: c.execute("SELECT * FROM gallery WHERE id = ?", (item_id,)).fetchone()
        )
        if row is None:
            raise NotFoundError("This picture is no longer in the gallery.")
        return row

    async def _announce(self) -> None:
        self.events.emit("changed", await self.list())


def _insert(connection: sqlite3.Connection, item: GalleryItem) -> None:
    connection.execute(
        "INSERT INTO gallery"
        " (id, path, thumbnail, width, height, seed, prompt, model_name, recipe, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            item.id, item.path, item.thumbnail, item.width, item.height, item.seed, item.prompt,
            item.model_name, json.dumps(item.recipe), item.created_at,
        ),
    )  # fmt: skip


def _item(row: sqlite3.Row) -> GalleryItem:
    try:
        recipe = json.loads(row["recipe"])
    except ValueError:
        recipe = {}
    return GalleryItem(
        id=row["id"],
        path=row["path"],
        thumbnail=row["thumbnail"],
        created_at=row["created_at"],
        width=row["width"],
        height=row["height"],
        seed=row["seed"],
        prompt=row["prompt"],
        model_name=row["model_name"],
        recipe=recipe if isinstance(recipe, dict) else {},
        is_missing=not Path(row["path"]).is_file(),
    )


def _search(query: str) -> tuple[str, list[str]]:
    """An SQL condition and its values: every word somewhere, read literally."""
    words = query.split()[:32]
    escaped = [re.sub(r"([\\%_])", r"\\\1", word) for word in words]
    clause = " AND (prompt || ' ' || model_name || ' ' || seed) LIKE '%' || ? || '%' ESCAPE '\\'"
    return clause * len(words), escaped


def _file_name(prompt: str, seed: int, created_at: float, item_id: str) -> str:
    """Tells a person what it is; ASCII and short, so that every disk and every tool takes it; never twice."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode()
    slug = "-".join(re.findall(r"[a-z0-9]+", plain.lower()))[:48].strip("-")
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(created_at))
    return "-".join(part for part in (stamp, slug, str(seed), item_id[:6]) if part) + ".png"


def _trashed(path: Path) -> Path:
    return path.parent / TRASH / path.name


def _move(source: Path, target: Path) -> bool:
    """False when the source is gone: a record can be deleted and brought back without its file."""
    if not source.is_file():
        return False
    if target.exists():
        raise StorageError(
            f"'{target}' is in the way.", remedy="Move that file to another folder and try again."
        )
    try:
        target.parent.mkdir(exist_ok=True)
        source.rename(target)
    except OSError as error:
        raise storage_error(error, "move the picture to", target) from error
    return True
