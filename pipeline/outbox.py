"""The checkpoint's outbox: hits on disk until the alert service has acknowledged them.

A hit is ``put`` before anything else happens to it; once ``put`` returns, it survives a crash and
a power cut (SQLite, write-ahead log, ``synchronous=FULL``). The payload is opaque bytes. Rows are
handed out in the order in which they were put, by a row number that never goes back; the wall
clock serves only to say how old the oldest is.

Thread safety: any thread may call any method; one lock guards the one connection.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.errors import CheckpointError

_log = structlog.get_logger(__name__)

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    hit_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    put_at REAL NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (hit_id, revision)
);
CREATE TABLE IF NOT EXISTS refused (
    hit_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    put_at REAL NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (hit_id, revision)
);
"""
_PUT: Final = (
    "INSERT INTO waiting (hit_id, revision, put_at, checksum, payload) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (hit_id, revision) DO NOTHING"
)
_KEPT_PAGES: Final = 4_096  # of 4 KiB: left free in the file for the next hits
_SIDE_FILES: Final = ("", "-wal", "-shm")

HitKey = tuple[str, int]
"""(hit id, revision)."""


class OutboxError(CheckpointError):
    """The outbox cannot keep a hit: the caller still holds it and must not forget it."""


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


class Outbox:
    """A durable queue of hits in one SQLite file.

    A damaged file is moved aside, never deleted; whatever can still be read from it goes into the
    new one, and ``recovery`` says so.

    Raises:
        OutboxError: the file cannot be opened or made.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path = path
        self.recovery: Recovery | None = None
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._arrival = threading.Condition()
        self._arrivals = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutboxError(f"{path}: the outbox's folder cannot be made: {error}") from error
        try:
            self._connection = _open(path)
        except sqlite3.OperationalError as error:  # locked, read-only, no space: the file is sound
            raise self._explain(error) from error
        except sqlite3.DatabaseError as error:
            self._connection = self._start_anew(error)

    def put(self, hit_id: str, revision: int, payload: bytes) -> bool:
        """Keep a hit; True if it is new, False if this (id, revision) already waits.

        On return the hit is on the disk.

        Raises:
            OutboxError: it could not be written (disk full, file damaged, permissions); the
                caller keeps the hit and tries again.
        """
        row = (hit_id, revision, self._clock.now().timestamp(), zlib.crc32(payload), payload)
        with self._lock:
            try:
                new = self._insert(row)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise self._explain(error) from error
                self._connection.close()
                self._connection = self._start_anew(error)
                with self._guarded():
                    new = self._insert(row)
        if new:
            with self._arrival:
                self._arrivals += 1
                self._arrival.notify_all()
        return new

    @property
    def arrivals(self) -> int:
        """How many new hits this object has taken; for ``wait``."""
        return self._arrivals

    def wait(self, arrivals: int, timeout_s: float) -> bool:
        """Wait until more than ``arrivals`` hits were put; False if the time ran out."""
        with self._arrival:
            return self._arrival.wait_for(lambda: self._arrivals > arrivals, timeout_s)

    def pending(self, limit: int = 100, after_row: int = 0) -> list[WaitingHit]:
        """The oldest hits that wait, in order, at most ``limit``, from beyond ``after_row``.

        Raises:
            OutboxError: the file cannot be read.
        """
        with self._guarded():
            rows = self._connection.execute(
                "SELECT row, hit_id, revision, payload FROM waiting WHERE row > ? "
                "ORDER BY row LIMIT ?",
                (after_row, limit),
            ).fetchall()
        return [WaitingHit(*row) for row in rows]

    def done(self, keys: Iterable[HitKey]) -> None:
        """Forget hits that are durable elsewhere; unknown keys are ignored.

        Not forced to the disk: a forgotten "done" costs one repetition, which the alert service
        recognises.

        Raises:
            OutboxError: the file cannot be written.
        """
        with self._guarded():
            self._connection.execute("PRAGMA synchronous=NORMAL")
            try:
                with self._connection:
                    self._connection.executemany(
                        "DELETE FROM waiting WHERE hit_id = ? AND revision = ?", list(keys)
                    )
                free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
                if free > _KEPT_PAGES:  # give the disk back after a long time without a link
                    self._connection.execute("PRAGMA incremental_vacuum(500)").fetchall()
            finally:
                self._connection.execute("PRAGMA synchronous=FULL")

    def refuse(self, key: HitKey, reason: str) -> None:
        """Set a hit aside that the service can never take, so that it holds up no other.

        It stays in the file, in the table ``refused``, with the reason.

        Raises:
            OutboxError: the file cannot be written.
        """
        with self._guarded(), self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO refused SELECT hit_id, revision, put_at, ?, payload "
                "FROM waiting WHERE hit_id = ? AND revision = ?",
                (reason, *key),
            )
            self._connection.execute("DELETE FROM waiting WHERE hit_id = ? AND revision = ?", key)

    def depth(self) -> int:
        """How many hits wait."""
        with self._guarded():
            return int(self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0])

    def refused(self) -> list[tuple[HitKey, str]]:
        """Hits that the service refused, each with the reason."""
        with self._guarded():
            rows = self._connection.execute("SELECT hit_id, revision, reason FROM refused")
            return [((hit_id, revision), reason) for hit_id, revision, reason in rows]

    def oldest_age_s(self) -> float | None:
        """Seconds since the oldest waiting hit was put; None if none waits.

        Never negative: a wall clock that was set back makes it 0.
        """
        with self._guarded():
            row = self._connection.execute(
                "SELECT put_at FROM waiting ORDER BY row LIMIT 1"
            ).fetchone()
        return None if row is None else max(0.0, self._clock.now().timestamp() - float(row[0]))

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        with self._lock:
            self._connection.close()

    def _insert(self, row: tuple[str, int, float, int, bytes]) -> bool:
        with self._connection:
            return self._connection.execute(_PUT, row).rowcount == 1

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the lock, and turn SQLite's errors into ours."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> OutboxError:
        advice = "keep the hit and try again"
        if "full" in str(error):
            advice = "free space on that disk; " + advice
        elif "readonly" in str(error) or "unable to open" in str(error):
            advice = "make the file and its folder writable"
        elif "locked" in str(error):
            advice = "another process holds it: give each process a data_dir of its own"
        elif _is_damage(error):
            advice = "the file is damaged; it is moved aside at the next hit or start"
        return OutboxError(f"{self.path}: the outbox cannot be used: {error}; {advice}")

    def _start_anew(self, error: sqlite3.Error) -> sqlite3.Connection:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            for ending in _SIDE_FILES:
                side = self.path.with_name(self.path.name + ending)
                if side.exists():
                    side.rename(aside.with_name(aside.name + ending))
            connection = _open(self.path)
            rescued = _rescue(aside, connection)
        except (OSError, sqlite3.Error) as second:
            raise OutboxError(
                f"{self.path}: the outbox is damaged ({error}) and no new one can be made: {second}"
            ) from error
        self.recovery = Recovery(aside, rescued, str(error))
        _log.error(
            "outbox damaged: moved aside, a new one started; hits in it that could not be rescued "
            "were not delivered",
            path=str(self.path),
            moved_to=str(aside),
            rescued=rescued,
            reason=str(error),
        )
        return connection


def _open(path: Path) -> sqlite3.Connection:
    """Open or make the file; raises sqlite3.DatabaseError where it is damaged."""
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > _SCHEMA_VERSION:
            raise sqlite3.OperationalError(
                f"unable to open: written by a newer Checkpoint (schema {version})"
            )
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _rescue(damaged: Path, connection: sqlite3.Connection) -> int:
    """Copy every waiting hit that can still be read and whose checksum holds; how many."""
    rescued = 0
    with contextlib.closing(sqlite3.connect(damaged)) as old, connection:
        try:
            rows = old.execute(
                "SELECT hit_id, revision, put_at, checksum, payload FROM waiting ORDER BY row"
            )
            for row in rows:
                payload = row[4]
                if isinstance(payload, bytes) and zlib.crc32(payload) == row[3]:
                    rescued += connection.execute(_PUT, row).rowcount
        except (sqlite3.DatabaseError, TypeError) as error:
            _log.warning("rescue from the damaged outbox ended early", reason=str(error))
    return rescued


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return "malformed" in str(error)
