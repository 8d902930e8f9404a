"""What was found out about an engine's binary, kept as long as the file stays the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from genai_desktop.core.builds import EngineName, EngineTest
from genai_desktop.library.database import Database


@dataclass(frozen=True)
class Verdict:
    """path: of a person's own binary, else empty. devices: as the engine lists them."""

    engine: EngineName
    path: str
    version: str
    flags: frozenset[str]
    devices: tuple[str, ...] = ()
    tests: tuple[EngineTest, ...] = ()
    tested_at: float = 0.0


class VerdictStore:
    """Verdicts by key; the key names file, size and time of change, so a changed binary has none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, key: str) -> Verdict | None:
        """None when nothing (or nothing readable) is known."""
        query = "SELECT value FROM verdicts WHERE key = ?"
        row = await self._database.read(lambda c: c.execute(query, (key,)).fetchone())
        return _decoded(row["value"]) if row is not None else None

    async def save(self, key: str, verdict: Verdict) -> None:
        """Replaces what was known about this file, and about earlier versions of it."""
        value = json.dumps({**asdict(verdict), "flags": sorted(verdict.flags)}, ensure_ascii=False)
        prefix = key.rsplit("|", 2)[0] + "|"

        def write(connection: Any) -> None:
            connection.execute("DELETE FROM verdicts WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
            connection.execute(
                "INSERT OR REPLACE INTO verdicts (key, value, updated_at) VALUES (?, ?, ?)",
                (key, value, verdict.tested_at),
            )

        await self._database.write(write)

    async def paths(self, engine: EngineName) -> tuple[str, ...]:
        """Own binaries that were used or tested before, the latest first."""
        query = "SELECT value FROM verdicts WHERE substr(key, 1, ?) = ? ORDER BY updated_at DESC"
        prefix = f"{engine}|"
        rows = await self._database.read(lambda c: c.execute(query, (len(prefix), prefix)).fetchall())
        verdicts = [_decoded(row["value"]) for row in rows]
        return tuple(verdict.path for verdict in verdicts if verdict is not None and verdict.path)


def _decoded(text: str) -> Verdict | None:
    try:
        raw = json.loads(text)
        names = {field.name for field in fields(Verdict)}
        values = {name: raw[name] for name in names}
        return Verdict(
            **{
                **values,
                "flags": frozenset(map(str, values["flags"])),
                "devices": tuple(map(str, values["devices"])),
                "tests": tuple(EngineTest(**test) for test in values["tests"]),
            }
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # it is asked again
