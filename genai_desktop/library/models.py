"""The shelf: records of models in the database, and what is true about their files."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from genai_desktop.core.errors import ModelNotFoundError
from genai_desktop.core.models import Capabilities, ModelFile, ModelInfo, ModelType
from genai_desktop.library.database import Database
from genai_desktop.library.identity import model_id
from genai_desktop.library.paths import DataPaths

_log = logging.getLogger(__name__)
_HASH_DIGITS = (6, 12, 64)


@dataclass(frozen=True)
class Removed:
    """A record that is gone. orphans: files we had downloaded that no other model uses."""

    model: ModelInfo
    orphans: tuple[ModelFile, ...]


class ModelShelf:
    """Models by id. Two processes may use one shelf: every change is one transaction."""

    def __init__(self, database: Database, paths: DataPaths) -> None:
        self._database = database
        self.paths = paths

    async def list(self, type: ModelType | None = None) -> tuple[ModelInfo, ...]:
        """All models, the oldest first; `missing` is as of now. A damaged record is logged and left out."""

        def read(connection: sqlite3.Connection) -> list[ModelInfo]:
            rows = connection.execute("SELECT * FROM models ORDER BY added_at, id").fetchall()
            files: dict[str, list[sqlite3.Row]] = {}
            for row in connection.execute("SELECT * FROM model_files ORDER BY model_id, position"):
                files.setdefault(row["model_id"], []).append(row)
            found = [_decoded(row, files.get(row["id"], [])) for row in rows]
            return [model for model in found if model is not None and type in (None, model.type)]

        return await _with_presence(await self._database.read(read))

    async def find(self, model_id: str) -> ModelInfo | None:
        """One model, or None."""

        def read(connection: sqlite3.Connection) -> ModelInfo | None:
            return _one(connection, model_id)

        found = await self._database.read(read)
        return None if found is None else (await _with_presence([found]))[0]

    async def get(self, model_id: str) -> ModelInfo:
        """Raises ModelNotFoundError."""
        model = await self.find(model_id)
        if model is None:
            raise unknown_model(model_id)
        return model

    async def add(
        self,
        model: ModelInfo,
        identity: str,
        *,
        owned: Collection[str] = (),
        provenance: Mapping[str, Mapping[str, Any]] | None = None,
        keep_name: bool = False,
    ) -> ModelInfo:
        """Store a model under a fresh id made from its name and identity; as it is stored.

        The same set of files is one model: if it is there already, its facts are renewed; id, dates and (with
        keep_name) the name stay. owned: paths that go when their last user goes.
        """

        def write(connection: sqlite3.Connection) -> ModelInfo:
            existing = _same_files(connection, model)
            if existing is not None:
                stored = _renewed(existing, model, keep_name=keep_name)
            else:
                stored = replace(model, id=_free_id(connection, model.name, identity))
            kept = _kept_columns(connection, stored.id)
            connection.execute("DELETE FROM models WHERE id = ?", (stored.id,))
            _insert(connection, stored, frozenset(owned), provenance or {}, kept)
            return stored

        return await self._database.write(write)

    async def put_fixed(self, model: ModelInfo) -> None:
        """Store a model under the id it has, replacing what was there."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM models WHERE id = ?", (model.id,))
            _insert(connection, model, frozenset(), {}, {})

        await self._database.write(write)

    async def rename(self, model_id: str, name: str) -> ModelInfo:
        """Raises ModelNotFoundError."""
        await self._update("UPDATE models SET name = ? WHERE id = ?", (name, model_id), model_id)
        return await self.get(model_id)

    async def touch(self, model_id: str, when: float) -> None:
        """Note the last use. Raises ModelNotFoundError."""
        await self._update("UPDATE models SET last_used_at = ? WHERE id = ?", (when, model_id), model_id)

    async def set_digest(self, model_id: str, file: ModelFile) -> None:
        """Store what a file is: digest, size and time of change. Raises ModelNotFoundError."""
        await self._update(
            "UPDATE model_files SET sha256 = ?, size = ?, mtime = ? WHERE model_id = ? AND path = ?",
            (file.sha256, file.size, file.mtime, model_id, file.path),
            model_id,
        )

    async def remove(self, model_id: str) -> Removed:
        """Remove the record; deleting the orphaned files is the caller's. Raises ModelNotFoundError."""

        def write(connection: sqlite3.Connection) -> Removed:
            model = _one(connection, model_id)
            if model is None:
                raise unknown_model(model_id)
            rows = connection.execute(
                "SELECT path FROM model_files WHERE model_id = ? AND owned = 1", (model_id,)
            ).fetchall()
            connection.execute("DELETE FROM models WHERE id = ?", (model_id,))
            orphans = set()
            for (path,) in rows:
                # a file that outlives this model with another one is that one's to delete
                cursor = connection.execute("UPDATE model_files SET owned = 1 WHERE path = ?", (path,))
                if cursor.rowcount == 0:
                    orphans.add(path)
            return Removed(model, tuple(file for file in model.files if file.path in orphans))

        return await self._database.write(write)

    async def users_of(self, path: str) -> tuple[str, ...]:
        """Ids of the models that use a file."""
        rows = await self._database.read(
            lambda c: c.execute(
                "SELECT DISTINCT model_id FROM model_files WHERE path = ?", (path,)
            ).fetchall()
        )
        return tuple(row["model_id"] for row in rows)

    async def file_with_digest(self, sha256: str) -> ModelFile | None:
        """A file of these very bytes that is on the shelf and on the disk, unchanged since it was checked."""
        rows = await self._database.read(
            lambda c: c.execute("SELECT * FROM model_files WHERE sha256 = ?", (sha256,)).fetchall()
        )

        def unchanged() -> ModelFile | None:
            for row in rows:
                file = _file(row)
                if file is not None and current_state(file) == "same":
                    return file
            return None

        return await asyncio.to_thread(unchanged)

    async def _update(self, statement: str, values: tuple[Any, ...], model_id: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            if connection.execute(statement, values).rowcount == 0:
                raise unknown_model(model_id)

        await self._database.write(write)


def unknown_model(model_id: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"There is no model {model_id!r}.", remedy="`models list` (or the Models tab) shows what is there."
    )


def current_state(file: ModelFile) -> str:
    """What happened to a file since it was recorded: "same", "changed" or "missing"."""
    try:
        found = Path(file.path).stat()
    except (OSError, ValueError):
        return "missing"
    is_same = found.st_size == file.size and (file.mtime is None or found.st_mtime == file.mtime)
    return "same" if is_same else "changed"


async def _with_presence(models: list[ModelInfo]) -> tuple[ModelInfo, ...]:
    def look() -> tuple[ModelInfo, ...]:
        seen: dict[str, bool] = {}

        def is_there(path: str) -> bool:
            if path not in seen:
                try:
                    seen[path] = Path(path).is_file()
                except (OSError, ValueError):
                    seen[path] = False
            return seen[path]

        return tuple(replace(m, missing=not all(is_there(f.path) for f in m.files)) for m in models)

    return await asyncio.to_thread(look)


def _one(connection: sqlite3.Connection, model_id: str) -> ModelInfo | None:
    row = connection.execute("SELECT * FROM models WHERE id = ?", (model_id,)).fetchone()
    if row is None:
        return None
    files = connection.execute(
        "SELECT * FROM model_files WHERE model_id = ? ORDER BY position", (model_id,)
    ).fetchall()
    return _decoded(row, files)


def _same_files(connection: sqlite3.Connection, model: ModelInfo) -> ModelInfo | None:
    wanted = {(file.role, file.path) for file in model.files}
    for row in connection.execute("SELECT id FROM models WHERE path = ?", (model.path,)).fetchall():
        found = _one(connection, row["id"])
        if found is not None and {(file.role, file.path) for file in found.files} == wanted:
            return found
    return None


def _renewed(existing: ModelInfo, model: ModelInfo, *, keep_name: bool) -> ModelInfo:
    """New facts, old identity. A digest stays known as long as the file has not been touched."""
    known = {file.path: file for file in existing.files}

    def with_digest(file: ModelFile) -> ModelFile:
        old = known[file.path]
        is_untouched = (old.size, old.mtime) == (file.size, file.mtime)
        return replace(file, sha256=file.sha256 or old.sha256) if is_untouched else file

    return replace(
        model,
        id=existing.id,
        name=existing.name if keep_name else model.name,
        files=tuple(with_digest(file) for file in model.files),
        source=existing.source if model.source == "import" else model.source,
        origin=model.origin or existing.origin,
        added_at=existing.added_at,
        last_used_at=existing.last_used_at,
    )


def _free_id(connection: sqlite3.Connection, name: str, identity: str) -> str:
    for digits in _HASH_DIGITS:
        candidate = model_id(name, identity, digits=digits)
        if connection.execute("SELECT 1 FROM models WHERE id = ?", (candidate,)).fetchone() is None:
            return candidate
    return model_id(name, f"{identity}\n{connection.total_changes}", digits=64)


def _kept_columns(connection: sqlite3.Connection, model_id: str) -> dict[str, tuple[int, str]]:
    """Ownership and provenance of the files of a record that is about to be written anew."""
    rows = connection.execute("SELECT * FROM model_files WHERE model_id = ?", (model_id,)).fetchall()
    return {row["path"]: (row["owned"], row["provenance"]) for row in rows}


def _insert(
    connection: sqlite3.Connection,
    model: ModelInfo,
    owned: frozenset[str],
    provenance: Mapping[str, Mapping[str, Any]],
    kept: Mapping[str, tuple[int, str]],
) -> None:
    record = {
        "architecture": model.architecture,
        "quantization": model.quantization,
        "parameter_count": model.parameter_count,
        "context_length": model.context_length,
        "family": model.family,
        "capabilities": {
            **dict.fromkeys(model.capabilities.names(), True),
            "languages": list(model.capabilities.languages),
        },
        "license": model.license,
        "source": model.source,
        "origin": model.origin,
        "recommended": dict(model.recommended),
    }
    connection.execute(
        "INSERT INTO models (id, name, type, path, size, record, added_at, last_used_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            model.id, model.name, model.type, model.path, model.size, json.dumps(record, ensure_ascii=False),
            model.added_at, model.last_used_at,
        ),
    )  # fmt: skip
    for position, file in enumerate(model.files):
        was_owned, told = kept.get(file.path, (0, "{}"))
        if file.path in provenance:
            told = json.dumps(dict(provenance[file.path]), ensure_ascii=False)
        connection.execute(
            "INSERT INTO model_files (model_id, position, path, role, size, mtime, sha256, owned, provenance)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                model.id, position, file.path, file.role, file.size, file.mtime, file.sha256,
                int(file.path in owned or was_owned), told,
            ),
        )  # fmt: skip


def _decoded(row: sqlite3.Row, file_rows: list[sqlite3.Row]) -> ModelInfo | None:
    """A record as a value; None, and a line in the log, when it makes no sense."""
    files = tuple(file for file in map(_file, file_rows) if file is not None)
    size, name, path = row["size"], row["name"], row["path"]
    if not isinstance(size, int) or not isinstance(name, str) or not isinstance(path, str):
        _log.warning("the record of the model %r is damaged and left out", row["id"])
        return None
    try:
        record = json.loads(row["record"])
    except (ValueError, TypeError, RecursionError):
        record = None
    if not isinstance(record, dict):
        _log.warning("the details of the model %r are damaged; import it again to renew them", row["id"])
        record = {}
    capabilities = record.get("capabilities")
    capabilities = capabilities if isinstance(capabilities, dict) else {}
    recommended = record.get("recommended")
    return ModelInfo(
        id=row["id"],
        name=name,
        type=row["type"] if row["type"] in get_args(ModelType) else "llm",
        path=path,
        size=size,
        files=files or (ModelFile(path, size),),
        architecture=_text(record, "architecture"),
        quantization=_text(record, "quantization"),
        parameter_count=_number(record, "parameter_count"),
        context_length=_number(record, "context_length"),
        family=_text(record, "family"),
        capabilities=Capabilities(
            **{
                name: capabilities.get(name) is True
                for name in ("reasoning", "tools", "vision", "embedding", "code")
            },
            languages=tuple(x for x in capabilities.get("languages") or () if isinstance(x, str)),
        ),
        license=_text(record, "license"),
        source=_text(record, "source") or "import",
        origin=_text(record, "origin"),
        added_at=row["added_at"] if isinstance(row["added_at"], int | float) else 0.0,
        last_used_at=row["last_used_at"] if isinstance(row["last_used_at"], int | float) else None,
        recommended=recommended if isinstance(recommended, dict) else {},
    )


def _file(row: sqlite3.Row) -> ModelFile | None:
    if not isinstance(row["path"], str) or not isinstance(row["size"], int):
        _log.warning("the record of a file of the model %r is damaged and left out", row["model_id"])
        return None
    mtime = row["mtime"] if isinstance(row["mtime"], int | float) else None
    sha256 = row["sha256"] if isinstance(row["sha256"], str) else None
    return ModelFile(row["path"], row["size"], str(row["role"] or ""), sha256, mtime)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _number(record: Mapping[str, Any], key: str) -> int | None:
    value = record.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
