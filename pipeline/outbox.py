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

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.errors import CheckpointError
from pipeline.outbox_file import (
    LEAST_URGENT,
    PUT,
    Recovery,
    Reserve,
    advice,
    fold,
    forget,
    is_damage,
    is_full,
    move_aside,
    open_file,
    rescue,
    set_aside,
)
from pipeline.outbox_file import HitKey as HitKey
from pipeline.outbox_file import WaitingHit as WaitingHit

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_WAITING: Final = "SELECT row, hit_id, revision, payload FROM waiting"
_MANY_PAGES: Final = 256
_DELETED_BYTES: Final = 8 * 1024  # in the log, for a hit that is forgotten
_FOLD_BYTES: Final = 4 * 1024 * 1024
"""Written since the log was last folded into the file: ``done`` does it then. ``put`` does it after
twice that, where nobody calls ``done``: the link is down."""


class OutboxError(CheckpointError):
    """The outbox cannot keep a hit: the caller still holds it and must not forget it."""


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
        self._reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        self._arrival = threading.Condition()
        self._arrivals = 0
        self._unfolded = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutboxError(f"{path}: the outbox's folder cannot be made: {error}") from error
        self._begin()
        self._fold(0)  # what an earlier run left in the log

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
                return sum(connection.execute(PUT, row).rowcount == 1 for row in rows)

        with self._lock:
            new = self._write(insert)
            self._depth += new
            self._unfolded += sum(len(row[-1]) for row in rows)
        if new:
            with self._arrival:
                self._arrivals += new
                self._arrival.notify_all()
        self._fold(2 * _FOLD_BYTES)
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

        with self._lock:
            self._depth -= self._write(partial(forget, keys=gone), frees=True)
            self._unfolded += _DELETED_BYTES * len(gone)
        self._fold(_FOLD_BYTES)

    def refuse(self, key: HitKey, reason: str) -> None:
        """Set a hit aside that the service can never take, so that it holds up no other.

        It stays in the file, in the table ``refused``, with the reason.

        Raises:
            OutboxError: the file cannot be written.
        """
        with self._lock:
            self._depth -= self._write(partial(set_aside, key=key, reason=reason), frees=True)

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
        self._connection = open_file(self.path)
        try:
            self._reader = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False)
            self._depth = int(
                self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
            )
        except BaseException:
            self._connection.close()
            raise

    def _begin(self) -> None:
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._start_anew(error)
            elif is_full(error) and self._reserve.give():  # what waits can still be sent
                self._begin()
            else:  # locked, read-only: the file is sound
                raise self._explain(error) from error

    def _write(self, work: Callable[[sqlite3.Connection], T], *, frees: bool = False) -> T:
        """Run ``work``, under the lock; where the file turns out damaged, on a new one.

        On a full disk the log may be what fills it, or what is free in the file: their space is
        used again. ``frees``: the work makes room in the file; only for such there is the reserve.
        """
        last_resort = self._reserve.give if frees else self._shrink
        remedies: list[Callable[[], bool]] = [last_resort, partial(self._fold, 0, make_room=True)]
        anew = False
        while True:
            try:
                if not frees and not self._has_reserve():
                    raise sqlite3.OperationalError("database or disk is full")
                return work(self._connection)
            except sqlite3.Error as error:
                if is_damage(error) and not anew:
                    anew = True
                    with self._read_lock:
                        self._start_anew(error)
                elif is_full(error) and remedies:
                    remedies.pop()()
                else:
                    raise self._explain(error) from error

    def _has_reserve(self) -> bool:
        """Have the reserve, if need be from what is free in the file; False without room."""
        return self._reserve.take() or (self._shrink() and self._reserve.take())

    def _shrink(self) -> bool:
        """Give what is free in the file back to the disk; False where that is not much."""
        try:
            free = int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])
            if free < _MANY_PAGES:
                return False
            self._reserve.give()  # shrinking is writing, too
            self._connection.execute(f"PRAGMA incremental_vacuum({free})").fetchall()
        except sqlite3.Error as error:
            _log.debug("outbox: its file could not be made smaller", reason=str(error))
            return False
        return self._fold(0, make_room=True)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``; where the file turns out damaged, on a new one."""
        with self._read_lock:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                if not is_damage(error):
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

    def _fold(self, beyond_bytes: int, *, make_room: bool = False) -> bool:
        """Fold the log into the file where it has grown, mostly while others may write.

        Without it the log would grow; SQLite would do it in the middle of somebody's ``put``.
        ``make_room``: give its space back to the disk. False where there was nothing to do or it
        could not be done: whoever writes next says so.
        """
        if self._unfolded < beyond_bytes or not self._folding.acquire(blocking=False):
            return False
        try:
            fold(self.path)
            with self._lock, self._read_lock:  # the little that came since: then all is done
                done = fold(self.path, make_room=make_room)
                if done:
                    self._unfolded = 0
                return done
        except sqlite3.Error as error:
            _log.debug("outbox: its log could not be folded", reason=str(error))
            return False
        finally:
            self._folding.release()

    def _explain(self, error: sqlite3.Error) -> OutboxError:
        return OutboxError(f"{self.path}: the outbox cannot be used: {error}; {advice(error)}")

    def _start_anew(self, error: sqlite3.Error) -> None:
        for name in ("_connection", "_reader"):
            if connection := getattr(self, name, None):
                connection.close()
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
        try:
            move_aside(self.path, aside)
            self._connect()
            rescued = rescue(aside, self._connection)
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
