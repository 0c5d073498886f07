"""The SQLite file of an outbox: opened, kept short, and rescued from where it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LEAST_URGENT: Final = 4
"""The priority of what has none: the watchlist's lowest."""
MOST_LOG_BYTES: Final = 8 * 1024 * 1024
"""The log beside the file is kept about that short."""
RESERVE_BYTES: Final = 2 * MOST_LOG_BYTES
"""Room for the log, and for folding it into the file."""
SIDE_FILES: Final = ("", "-wal", "-shm")
"""Endings of the files that make up one outbox."""

_SCHEMA_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    hit_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    priority INTEGER NOT NULL DEFAULT 4,
    put_at REAL NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (hit_id, revision)
);
CREATE INDEX IF NOT EXISTS waiting_by_priority ON waiting (priority, row, hit_id);
CREATE TABLE IF NOT EXISTS refused (
    hit_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    put_at REAL NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (hit_id, revision)
);
"""
_TO_VERSION_2: Final = "ALTER TABLE waiting ADD COLUMN priority INTEGER NOT NULL DEFAULT 4"
PUT: Final = (
    "INSERT INTO waiting (hit_id, revision, priority, put_at, checksum, payload) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hit_id, revision) DO NOTHING"
)
_WAITING: Final = "SELECT row, hit_id, revision, payload FROM waiting"
_KEPT_PAGES: Final = 4_096  # of 4 KiB: left free in the file for the next hits
_SEARCHED_ROWS: Final = 1_000_000  # of a damaged file whose first row cannot be told


HitKey = tuple[str, int]
"""(hit id, revision)."""


@dataclass(frozen=True, slots=True)
class WaitingHit:
    """One hit in the outbox; ``row`` is its place in the order."""

    row: int
    hit_id: str
    revision: int
    payload: bytes = field(repr=False)

    @property
    def key(self) -> HitKey:
        """(hit id, revision)."""
        return self.hit_id, self.revision


@dataclass(frozen=True, slots=True)
class Recovery:
    """What happened to a damaged file: where it lies now, and how many hits were rescued."""

    moved_to: Path
    rescued: int
    reason: str

    def __str__(self) -> str:
        return (
            f"the file was damaged ({self.reason}); {self.rescued} hits were rescued, what else "
            f"waited was not delivered: see whether the disk is sound, keep {self.moved_to} for "
            "whoever can read more from it, and take it away"
        )


class Reserve:
    """Room on the disk that is given up where it is full, so that what was sent can be forgotten.

    Without it an outbox that has filled the disk in a long time without a link could never get
    empty again: forgetting is writing, too. Nothing is put while the reserve is not there.
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size
        self._held = False

    def take(self) -> bool:
        """Have the room; False where the disk has none."""
        if self._held:
            return True
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(file, 0, self._size)
            finally:
                os.close(file)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        self._held = True
        return True

    def give(self) -> bool:
        """Give the room up; False where there was none left to give."""
        self._held = False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def fold(path: Path, *, make_room: bool = False) -> bool:
    """Fold the log into the file; True where all of it is, so that the log begins anew.

    ``make_room``: give the log's space back to the disk.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=5.0)) as folder:
        way = "TRUNCATE" if make_room else "PASSIVE"
        busy, written, folded = folder.execute(f"PRAGMA wal_checkpoint({way})").fetchone()
    return not busy and written == folded


def open_file(path: Path) -> sqlite3.Connection:
    """Open or make the file; raises sqlite3.DatabaseError where it is damaged."""
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute("PRAGMA secure_delete=FAST").fetchall()  # ON would write all of it twice
        connection.execute(f"PRAGMA journal_size_limit={MOST_LOG_BYTES}").fetchall()
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > _SCHEMA_VERSION:
            raise sqlite3.OperationalError(
                f"unable to open: written by a newer Checkpoint (schema {version})"
            )
        if version == 1:
            connection.execute(_TO_VERSION_2)
        connection.executescript(_SCHEMA)
        if version != _SCHEMA_VERSION:  # writes: must not be needed on a full disk
            connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def rescue(damaged: Path, connection: sqlite3.Connection) -> int:
    """Copy every waiting hit that can still be read and whose checksum holds; how many.

    Each is asked for by its number: a damaged page hides what lies on it and nothing else.
    """
    rescued = 0
    with contextlib.closing(sqlite3.connect(damaged)) as old, connection:
        last = _number(old, "SELECT max(row) FROM waiting") or _number(
            old, "SELECT seq FROM sqlite_sequence WHERE name = 'waiting'"
        )
        first = _number(old, "SELECT min(row) FROM waiting") or max(1, last - _SEARCHED_ROWS)
        columns = "hit_id, revision, priority, put_at, checksum, payload"
        try:
            old.execute("SELECT priority FROM waiting LIMIT 0")
        except sqlite3.DatabaseError:  # of version 1
            columns = columns.replace("priority", str(LEAST_URGENT))
        for number in range(first, last + 1):
            try:
                row = old.execute(
                    f"SELECT {columns} FROM waiting WHERE row = ?",  # noqa: S608
                    (number,),
                ).fetchone()
                if row is not None and zlib.crc32(row[-1]) == row[-2]:
                    rescued += connection.execute(PUT, row).rowcount
            except (sqlite3.DatabaseError, TypeError):
                continue
    return rescued


def forget(connection: sqlite3.Connection, keys: Sequence[HitKey]) -> int:
    """Delete hits, without waiting for the disk; how many were there."""
    connection.execute("PRAGMA synchronous=NORMAL")
    try:
        with connection:
            deleted = connection.executemany(
                "DELETE FROM waiting WHERE hit_id = ? AND revision = ?", keys
            ).rowcount
        free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
        if free > _KEPT_PAGES:  # give the disk back after a long time without a link
            connection.execute("PRAGMA incremental_vacuum(500)").fetchall()
    finally:
        connection.execute("PRAGMA synchronous=FULL")
    return deleted


def set_aside(connection: sqlite3.Connection, key: HitKey, reason: str) -> int:
    """Move a hit to the refused ones; how many waited under that key."""
    with connection:
        connection.execute(
            "INSERT OR REPLACE INTO refused SELECT hit_id, revision, put_at, ?, payload "
            "FROM waiting WHERE hit_id = ? AND revision = ?",
            (reason, *key),
        )
        return connection.execute(
            "DELETE FROM waiting WHERE hit_id = ? AND revision = ?", key
        ).rowcount


def move_aside(path: Path, aside: Path) -> None:
    """Give the file and what belongs to it the name ``aside``."""
    for ending in SIDE_FILES:
        side = path.with_name(path.name + ending)
        if side.exists():
            side.rename(aside.with_name(aside.name + ending))


def _number(connection: sqlite3.Connection, question: str) -> int:
    """The one number that is asked for; 0 where there is none or it cannot be read."""
    try:
        row = connection.execute(question).fetchone()
        return int(row[0] or 0) if row else 0
    except (sqlite3.DatabaseError, TypeError, ValueError):
        return 0


def advice(error: sqlite3.Error) -> str:
    """What to do about an error."""
    said = str(error)
    if "full" in said:
        return "free space on that disk; keep the hit and try again"
    if "readonly" in said or "unable to open" in said:
        return "make the file and its folder writable"
    if "locked" in said:
        return "another process holds it: give each process a data_dir of its own"
    if is_damage(error):
        return "the damaged file was moved aside and a new one is begun"
    return "keep the hit and try again"


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk may be full."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
    )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return "malformed" in str(error)
