"""One SQLite file in the data folder: opened, guarded, and explained in plain words.

For what may be lost with the disk but not with a crash: write-ahead log, ``synchronous=FULL``.
What is deleted is overwritten. A damaged file is moved aside, never deleted, and a new one begun.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import CheckpointError

_log = structlog.get_logger(__name__)

SIDE_FILES: Final = ("", "-wal", "-shm")
"""Endings of the files that make up one database."""
DAMAGED: Final = ".damaged-"
"""Stands in the name of a file that was moved aside, before the time."""


class Database:
    """One file and its one connection, opened at the first use. Any thread may use it; one lock
    guards it.

    Args:
        path: the file; made when missing, with mode 600.
        what: what it holds, for messages: "passages".
        schema: SQL that makes its tables where they are missing.
        version: of the schema; a file of a later one is refused.
        error: what every failure is raised as.
        clock: names the file that a damaged one is moved to.
        patience_s: how long to wait for another process that writes.
        upgrades: for each earlier version the SQL that makes the next one of it.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        schema: str,
        version: int,
        error: type[CheckpointError],
        clock: Clock,
        patience_s: float = 2.0,
        upgrades: Mapping[int, str] | None = None,
    ) -> None:
        self.path = path
        self._upgrades = upgrades or {}
        self._what = what
        self._schema = schema
        self._version = version
        self._error = error
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Hold the file.

        Raises:
            ``error``: it cannot be opened, made or read; or, in ``writing``, written.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                if _is_damage(error):
                    self.close()
                    self._move_aside(error)
                raise self._explained(error) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk on leaving, or nothing where it raises."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._move_aside(error)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._patience_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found > self._version:
                raise self._error(f"{self.path}: was written by a later Checkpoint; upgrade this")
            steps = [self._upgrades.get(one, "") for one in range(found, self._version) if found]
            script = "\n".join([*steps, self._schema, f"PRAGMA user_version={self._version};"])
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nCOMMIT;")
        except BaseException:
            connection.close()
            raise
        return connection

    def _move_aside(self, error: BaseException) -> None:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.name + DAMAGED + stamp
        for ending in SIDE_FILES:
            side = self.path.with_name(self.path.name + ending)
            if side.exists():
                side.rename(self.path.with_name(aside + ending))
        _log.error(
            f"{self._what}: the file is damaged; moved aside, a new one is begun",
            path=str(self.path),
            moved_to=aside,
            reason=str(error),
        )

    def _explained(self, error: sqlite3.Error | OSError) -> CheckpointError:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if "full" in said or "No space" in said or "quota" in said:
            remedy = "free space on that disk"
        elif any(word in said for word in ("readonly", "unable to open", "denied", "Read-only")):
            remedy = "make the file and its folder writable for this user"
        elif "locked" in said:
            remedy = "another process writes for too long; see which"
        elif _is_damage(error):
            remedy = "the damaged file was moved aside and a new one is begun"
        else:
            remedy = "see whether the disk is sound"
        return self._error(f"{self.path}: {self._what} cannot be used: {said}; {remedy}")


def _is_damage(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return "malformed" in str(error)
