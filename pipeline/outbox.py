"""The checkpoint's outbox: hits on disk until the alert service has acknowledged them.

A hit is ``put`` before anything else happens to it; once ``put`` returns, it survives a crash and
a power cut (SQLite, write-ahead log, ``synchronous=FULL``). The payload is opaque bytes. Rows are
handed out in the order in which they were put, by a row number that never goes back; the wall
clock serves only to say how old the oldest is.

What waits for the disk is kept short: many hits are put with one wait (``put_all``), and folding
the write-ahead log into the file, which takes several, is left to whoever calls ``done``.

Thread safety: any thread may call any method. One connection writes and one reads, each behind a
lock of its own, so that reading does not wait for the disk.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.errors import CheckpointError

_log = structlog.get_logger(__name__)

T = TypeVar("T")

LEAST_URGENT: Final = 4
"""The priority of what has none: the watchlist's lowest."""

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
_PUT: Final = (
    "INSERT INTO waiting (hit_id, revision, priority, put_at, checksum, payload) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hit_id, revision) DO NOTHING"
)
_WAITING: Final = "SELECT row, hit_id, revision, payload FROM waiting"
_KEPT_PAGES: Final = 4_096  # of 4 KiB: left free in the file for the next hits
_SEARCHED_ROWS: Final = 1_000_000  # of a damaged file whose first row cannot be told
_SIDE_FILES: Final = ("", "-wal", "-shm")
_FOLD_BYTES: Final = 4 * 1024 * 1024
"""Written since the log was last folded into the file: ``done`` does it then …"""
_MOST_LOG_BYTES: Final = 8 * _FOLD_BYTES
"""… and ``put``, where nobody calls ``done``: the link is down."""

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

    def __str__(self) -> str:
        return (
            f"the file was damaged ({self.reason}); {self.rescued} hits were rescued, what else "
            f"waited was not delivered: see whether the disk is sound, keep {self.moved_to} for "
            "whoever can read more from it, and take it away"
        )


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
        """The latest damage; None where there was none since the start."""
        self.generation = 0
        """Rises when the file was made anew: its rows are numbered anew."""
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._read_lock = threading.RLock()
        self._folding = threading.Lock()
        self._arrival = threading.Condition()
        self._arrivals = 0
        self._unfolded = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutboxError(f"{path}: the outbox's folder cannot be made: {error}") from error
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):  # locked, read-only, no space: the file is sound
                raise self._explain(error) from error
            self._start_anew(error)

    def put(self, hit_id: str, revision: int, payload: bytes, priority: int = LEAST_URGENT) -> bool:
        """Keep a hit; True if it is new, False if this (id, revision) already waits.

        On return the hit is on the disk.

        Raises:
            OutboxError: it could not be written (disk full, file damaged, permissions); the
                caller keeps the hit and tries again.
        """
        return self.put_all([(hit_id, revision, payload, priority)]) == 1

    def put_all(self, hits: Iterable[tuple[str, int, bytes, int]]) -> int:
        """Keep hits as ``put`` does, all or none, with one wait for the disk; how many are new.

        Each is (hit id, revision, payload, priority from 1, act now, to 4).

        Raises:
            OutboxError: as ``put``; none of them was written.
        """
        now = self._clock.now().timestamp()
        rows = [
            (hit_id, revision, priority, now, zlib.crc32(payload), payload)
            for hit_id, revision, payload, priority in hits
        ]

        def insert(connection: sqlite3.Connection) -> int:
            with connection:
                return sum(connection.execute(_PUT, row).rowcount == 1 for row in rows)

        with self._lock:
            new = self._write(insert)
            self._depth += new
            self._unfolded += sum(len(row[-1]) for row in rows)
        if new:
            with self._arrival:
                self._arrivals += new
                self._arrival.notify_all()
        self._fold(_MOST_LOG_BYTES)
        return new

    @property
    def arrivals(self) -> int:
        """How many new hits this object has taken; for ``wait``."""
        return self._arrivals

    def wait(self, arrivals: int, timeout_s: float) -> bool:
        """Wait until more than ``arrivals`` hits were put; False if the time ran out."""
        with self._arrival:
            return self._arrival.wait_for(lambda: self._arrivals > arrivals, timeout_s)

    def pending(
        self, limit: int = 100, after_row: int = 0, above_priority: int = 0
    ) -> list[WaitingHit]:
        """The oldest hits that wait, in order, at most ``limit``, from beyond ``after_row``.

        ``above_priority``: only those that are less urgent than that; 0: all.

        Raises:
            OutboxError: the file cannot be read.
        """
        question = f"{_WAITING} WHERE row > ? AND priority > ? ORDER BY row LIMIT ?"
        return self._waiting(question, (after_row, above_priority, limit))

    def urgent(self, priority: int, after_row: int = 0) -> list[tuple[int, str]]:
        """Row and hit id of what waits beyond ``after_row`` and is as urgent as ``priority``.

        Raises:
            OutboxError: the file cannot be read.
        """
        return self._read(
            lambda connection: connection.execute(
                "SELECT row, hit_id FROM waiting WHERE priority <= ? AND row > ? ORDER BY row",
                (priority, after_row),
            ).fetchall()
        )

    def rows(self, rows: Sequence[int]) -> list[WaitingHit]:
        """What waits in these rows, in their order; those that wait no more are left out.

        Raises:
            OutboxError: the file cannot be read.
        """
        places = ",".join("?" * len(rows))
        found = self._waiting(f"{_WAITING} WHERE row IN ({places})", tuple(rows))
        by_row = {waiting.row: waiting for waiting in found}
        return [by_row[row] for row in rows if row in by_row]

    def done(self, keys: Iterable[HitKey]) -> None:
        """Forget hits that are durable elsewhere; unknown keys are ignored.

        Not forced to the disk: a forgotten "done" costs one repetition, which the alert service
        recognises.

        Raises:
            OutboxError: the file cannot be written.
        """
        gone = list(keys)

        def delete(connection: sqlite3.Connection) -> int:
            connection.execute("PRAGMA synchronous=NORMAL")
            try:
                with connection:
                    deleted = connection.executemany(
                        "DELETE FROM waiting WHERE hit_id = ? AND revision = ?", gone
                    ).rowcount
                free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
                if free > _KEPT_PAGES:  # give the disk back after a long time without a link
                    connection.execute("PRAGMA incremental_vacuum(500)").fetchall()
            finally:
                connection.execute("PRAGMA synchronous=FULL")
            return deleted

        with self._lock:
            self._depth -= self._write(delete)
        self._fold(_FOLD_BYTES)

    def refuse(self, key: HitKey, reason: str) -> None:
        """Set a hit aside that the service can never take, so that it holds up no other.

        It stays in the file, in the table ``refused``, with the reason.

        Raises:
            OutboxError: the file cannot be written.
        """

        def move(connection: sqlite3.Connection) -> int:
            with connection:
                connection.execute(
                    "INSERT OR REPLACE INTO refused SELECT hit_id, revision, put_at, ?, payload "
                    "FROM waiting WHERE hit_id = ? AND revision = ?",
                    (reason, *key),
                )
                return connection.execute(
                    "DELETE FROM waiting WHERE hit_id = ? AND revision = ?", key
                ).rowcount

        with self._lock:
            self._depth -= self._write(move)

    def depth(self) -> int:
        """How many hits wait."""
        return self._depth

    def refused(self) -> list[tuple[HitKey, str]]:
        """Hits that the service refused, each with the reason.

        Raises:
            OutboxError: the file cannot be read.
        """
        rows = self._read(
            lambda connection: connection.execute(
                "SELECT hit_id, revision, reason FROM refused"
            ).fetchall()
        )
        return [((hit_id, revision), reason) for hit_id, revision, reason in rows]

    def oldest_age_s(self) -> float | None:
        """Seconds since the oldest waiting hit was put; None if none waits.

        Never negative: a wall clock that was set back makes it 0.

        Raises:
            OutboxError: the file cannot be read.
        """
        row = self._read(
            lambda connection: connection.execute(
                "SELECT put_at FROM waiting ORDER BY row LIMIT 1"
            ).fetchone()
        )
        return None if row is None else max(0.0, self._clock.now().timestamp() - float(row[0]))

    def damaged(self) -> list[Path]:
        """Files that were moved aside and still lie there, whenever that was."""
        return sorted(
            one
            for one in self.path.parent.glob(f"{self.path.name}.damaged-*")
            if not one.name.endswith(("-wal", "-shm"))
        )

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        with self._folding, self._lock, self._read_lock:
            self._reader.close()
            self._connection.close()

    def _connect(self) -> None:
        """Open or make the file; raises sqlite3.DatabaseError where it is damaged."""
        self._connection = _open(self.path)
        try:
            self._reader = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False)
            self._depth = int(
                self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
            )
        except BaseException:
            self._connection.close()
            raise

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``; where the file turns out damaged, on a new one. Under the lock."""
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            if not _is_damage(error):
                raise self._explain(error) from error
            with self._read_lock:
                self._start_anew(error)
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``; where the file turns out damaged, on a new one."""
        with self._read_lock:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise self._explain(error) from error
                failure, generation = error, self.generation
        with self._lock, self._read_lock:
            if generation == self.generation:
                self._start_anew(failure)
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise self._explain(error) from error

    def _waiting(self, question: str, values: tuple[int, ...]) -> list[WaitingHit]:
        found = self._read(lambda connection: connection.execute(question, values).fetchall())
        return [WaitingHit(*row) for row in found]

    def _fold(self, beyond_bytes: int) -> None:
        """Fold the log into the file where it has grown, mostly while others may write.

        Without it the log would grow; SQLite would do it in the middle of somebody's ``put``.
        """
        if self._unfolded < beyond_bytes or not self._folding.acquire(blocking=False):
            return
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=5.0)) as folder:
                folder.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                with self._lock:  # the little that came since: now all of it is in the file
                    folder.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                    self._unfolded = 0
        except sqlite3.Error as error:  # a full disk, damage: whoever writes next says it
            _log.warning("outbox: its log could not be folded", reason=str(error))
        finally:
            self._folding.release()

    def _explain(self, error: sqlite3.Error) -> OutboxError:
        advice = "keep the hit and try again"
        if "full" in str(error):
            advice = "free space on that disk; " + advice
        elif "readonly" in str(error) or "unable to open" in str(error):
            advice = "make the file and its folder writable"
        elif "locked" in str(error):
            advice = "another process holds it: give each process a data_dir of its own"
        elif _is_damage(error):
            advice = "the damaged file was moved aside and a new one is begun"
        return OutboxError(f"{self.path}: the outbox cannot be used: {error}; {advice}")

    def _start_anew(self, error: sqlite3.Error) -> None:
        for name in ("_connection", "_reader"):
            if connection := getattr(self, name, None):
                connection.close()
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            for ending in _SIDE_FILES:
                side = self.path.with_name(self.path.name + ending)
                if side.exists():
                    side.rename(aside.with_name(aside.name + ending))
            self._connect()
            rescued = _rescue(aside, self._connection)
        except (OSError, sqlite3.Error) as second:
            raise OutboxError(
                f"{self.path}: the outbox is damaged ({error}) and no new one can be made: {second}"
            ) from error
        self._depth += rescued
        self.generation += 1
        self.recovery = Recovery(aside, rescued, str(error))
        _log.error(
            "outbox damaged: moved aside, a new one started; hits in it that could not be rescued "
            "were not delivered",
            path=str(self.path),
            moved_to=str(aside),
            rescued=rescued,
            reason=str(error),
        )


def _open(path: Path) -> sqlite3.Connection:
    """Open or make the file; raises sqlite3.DatabaseError where it is damaged."""
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        connection.execute(f"PRAGMA journal_size_limit={_MOST_LOG_BYTES}").fetchall()
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
        connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _rescue(damaged: Path, connection: sqlite3.Connection) -> int:
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
                    rescued += connection.execute(_PUT, row).rowcount
            except (sqlite3.DatabaseError, TypeError):
                continue
    return rescued


def _number(connection: sqlite3.Connection, question: str) -> int:
    """The one number that is asked for; 0 where there is none or it cannot be read."""
    try:
        row = connection.execute(question).fetchone()
        return int(row[0] or 0) if row else 0
    except (sqlite3.DatabaseError, TypeError, ValueError):
        return 0


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return "malformed" in str(error)
