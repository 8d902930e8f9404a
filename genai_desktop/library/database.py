"""One SQLite database for all records: one worker thread, and every write is one transaction."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from genai_desktop.core.errors import StorageError
from genai_desktop.library.schema import MIGRATIONS, SCHEMA_VERSION

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Database:
    """The program's database. Two processes may have it open: WAL, and a busy time-out of 10 s.

    `read` and `write` run a function with the connection in the database's own thread. `write` wraps it in a
    transaction that is on disk when it returns: what was saved survives a power cut.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._closed = False

    def open(self) -> None:
        """Open and migrate. Raises StorageError: newer version, damaged, read-only, disk full."""
        self._executor.submit(self._open).result()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` without a transaction of its own."""
        return await self._submit(work, is_write=False)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction: all of it is stored, or nothing."""
        return await self._submit(work, is_write=True)

    def close(self) -> None:
        """Idempotent; waits for what is under way."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._executor.submit(self._close).result()
        self._executor.shutdown(wait=True)

    # in the database thread -------------------------------------------------------------------------------

    async def _submit(self, work: Callable[[sqlite3.Connection], T], *, is_write: bool) -> T:
        if self._closed:
            raise StorageError("The database is closed.", code="DATABASE_CLOSED")
        future = self._executor.submit(self._run, work, is_write)
        # shielded: a cancelled caller must not leave a half-run transaction behind the next one
        return await asyncio.shield(asyncio.wrap_future(future))

    def _run(self, work: Callable[[sqlite3.Connection], T], is_write: bool) -> T:
        connection = self._connection
        if connection is None:
            raise StorageError("The database is not open.", code="DATABASE_CLOSED")
        try:
            if not is_write:
                return work(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            self.path.chmod(0o600)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(connection)
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except OSError as error:
            raise StorageError(
                f"The data folder {self.path.parent} cannot be written: {error.strerror or error}.",
                remedy="Free space or fix the permissions, or choose another folder with --data-dir.",
            ) from error
        self._connection = connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            connection.close()
            raise StorageError(
                f"The database was written by a newer version of this program (format {version}).",
                code="DATABASE_TOO_NEW",
                remedy="Update GenAI Desktop, or start with another --data-dir.",
            )
        if version == SCHEMA_VERSION:
            return
        if version:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copyfile(self.path, self.path.with_suffix(f".v{version}.bak"))
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            # one transaction per step, re-checked inside it: two processes may start at the same moment
            connection.execute("BEGIN IMMEDIATE")
            current = connection.execute("PRAGMA user_version").fetchone()[0]
            if current < number:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _explain(self, error: sqlite3.Error) -> StorageError:
        text = str(error)
        name = getattr(error, "sqlite_errorname", "")
        if "FULL" in name:
            return StorageError(
                "The disk is full; nothing was changed.",
                code="DISK_FULL",
                remedy="Free some space and try again.",
            )
        if name.startswith("SQLITE_READONLY") or name.startswith("SQLITE_CANTOPEN") or "PERM" in name:
            return StorageError(
                f"The database {self.path} cannot be written ({text}).",
                code="READ_ONLY",
                remedy="Fix the permissions of the data folder, or choose another one with --data-dir.",
            )
        if name.startswith("SQLITE_CORRUPT") or name.startswith("SQLITE_NOTADB"):
            return StorageError(
                f"The database {self.path} is damaged ({text}).",
                code="DATABASE_DAMAGED",
                remedy="Move it away to start afresh (models and pictures stay), or restore its .bak.",
            )
        if name.startswith("SQLITE_BUSY"):
            return StorageError(
                "Another GenAI Desktop is writing to the database and did not finish within 10 s.",
                code="DATABASE_BUSY",
                remedy="Close the other one, or try again.",
            )
        if name.startswith("SQLITE_IOERR"):
            return StorageError(
                f"The database {self.path} could not be read or written ({text}); nothing was changed.",
                remedy="Check the disk it is on: it may be full, unplugged or failing. Then try again.",
                details={"sqlite": name},
            )
        return StorageError(
            f"The database refused a request ({text}).",
            remedy="Try again; if it happens again, copy the diagnostics in the System tab and report it.",
            details={"sqlite": name},
        )


def _statements(script: str) -> list[str]:
    """Split a script at complete statements (triggers hold semicolons of their own)."""
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            if pending.strip():
                statements.append(pending.strip())
            pending = ""
    return statements
