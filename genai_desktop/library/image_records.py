"""Image jobs and what they took, in the database."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import psutil

from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import ImageGenerationConfig, ImageJob
from genai_desktop.library.database import Database

_ESTIMATES = "image|"
_UNFINISHED = ("queued", "running")


class ImageRecords:
    """Unfinished and failed image jobs, by the process whose queue they are in; and measured times."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = _identity(os.getpid())

    async def save_job(self, job: ImageJob, position: float) -> None:
        """Insert or replace."""
        error = {"code": job.error_code, "message": job.error_message, "remedy": job.error_remedy}
        row = (
            job.id, position, json.dumps(asdict(job.config)), job.state, json.dumps(error), self._owner,
            job.created_at,
        )  # fmt: skip
        await self._database.write(
            lambda c: c.execute(
                "INSERT OR REPLACE INTO image_jobs (id, position, config, state, error, owner, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        )

    async def delete_job(self, job_id: str) -> None:
        await self._database.write(lambda c: c.execute("DELETE FROM image_jobs WHERE id = ?", (job_id,)))

    async def take_over(self) -> tuple[ImageJob, ...]:
        """What processes that are gone left, oldest first; it is ours from now on.

        Jobs of a process that still runs are left alone; unreadable rows are removed.
        """

        def take(connection: sqlite3.Connection) -> list[ImageJob]:
            found = []
            for row in connection.execute(
                "SELECT * FROM image_jobs ORDER BY position, created_at"
            ).fetchall():
                if row["owner"] != self._owner and _is_alive(row["owner"]):
                    continue
                job = _job(row)
                if job is None:
                    connection.execute("DELETE FROM image_jobs WHERE id = ?", (row["id"],))
                    continue
                connection.execute("UPDATE image_jobs SET owner = ? WHERE id = ?", (self._owner, row["id"]))
                found.append(job)
            return found

        return tuple(await self._database.write(take))

    async def load_estimates(self) -> dict[str, Mapping[str, Any]]:
        """Measured times by key; damaged values are left out."""

        def load(connection: sqlite3.Connection) -> dict[str, Mapping[str, Any]]:
            found: dict[str, Mapping[str, Any]] = {}
            query = "SELECT key, value FROM estimates WHERE key LIKE ? || '%'"
            for row in connection.execute(query, (_ESTIMATES,)).fetchall():
                try:
                    value = json.loads(row["value"])
                except ValueError:
                    continue
                if isinstance(value, dict):
                    found[row["key"].removeprefix(_ESTIMATES)] = value
            return found

        return await self._database.read(load)

    async def save_estimate(self, key: str, value: Mapping[str, Any], now: float) -> None:
        row = (_ESTIMATES + key, json.dumps(value), now)
        await self._database.write(
            lambda c: c.execute(
                "INSERT OR REPLACE INTO estimates (key, value, updated_at) VALUES (?, ?, ?)", row
            )
        )


def _job(row: sqlite3.Row) -> ImageJob | None:
    """A row as a job; what was under way when its process ended is failed and can be retried."""
    try:
        config = ImageGenerationConfig.from_mapping(json.loads(row["config"]))
        error = json.loads(row["error"])
        if row["state"] in _UNFINISHED:
            return ImageJob(
                row["id"],
                config,
                "failed",
                row["created_at"],
                error_code="INTERRUPTED",
                error_message="GenAI Desktop ended before this picture was painted.",
                error_remedy="Press Retry to paint it now.",
            )
        return ImageJob(
            row["id"],
            config,
            "failed",
            row["created_at"],
            error_code=str(error.get("code", "")),
            error_message=str(error.get("message", "")),
            error_remedy=str(error.get("remedy", "")),
        )
    except (GenaiError, ValueError, TypeError, AttributeError):
        return None


def _identity(pid: int) -> str:
    """A process, so that a reused number is another one."""
    try:
        return f"{pid}:{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return f"{pid}:0"


def _is_alive(owner: str) -> bool:
    pid, _, _created = owner.partition(":")
    return pid.isdecimal() and psutil.pid_exists(int(pid)) and _identity(int(pid)) == owner
