"""The list for people: searched, sorted, counted and paged, a million entries too.

Redis holds the list as lookups need it, in no order. So a small SQLite file, in the data folder but
without a name there (it is gone with the process), has for each entry what is searched and sorted
by; it is built at the first question and then follows the list version by version. What is shown of
an entry always comes from Redis.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import CheckpointError, StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.entry import iso, to_json
from watchlist.grammar import normalise
from watchlist.records import Cancellation
from watchlist.store import Watchlist

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 2000
_LATEST_S: Final = timedelta(hours=12).total_seconds()
"""What is deleted because its time is over makes no version: so it is built anew so often."""
_WORDS: Final = ("plate", "id", "category", "case_number", "authoriser", "requester", "source")
_SCHEMA: Final = """
CREATE TABLE entries (
    id TEXT NOT NULL, cancelled INTEGER NOT NULL, plate TEXT NOT NULL, valid_from TEXT NOT NULL,
    expires_at TEXT NOT NULL, words TEXT NOT NULL, PRIMARY KEY (id, cancelled)
) WITHOUT ROWID;
CREATE INDEX by_plate ON entries (plate);
CREATE INDEX by_state ON entries (cancelled, expires_at, valid_from);
"""
_joined = " || ' ' || ".join(f"ifnull(json_extract(?1, '$.{name}'), '')" for name in _WORDS)
_PUT: Final = f"""
INSERT OR REPLACE INTO entries SELECT json_extract(?1, '$.id'), ?2, json_extract(?1, '$.plate'),
    json_extract(?1, '$.valid_from'), json_extract(?1, '$.expires_at'), lower({_joined})
WHERE json_valid(?1) AND json_extract(?1, '$.id') IS NOT NULL
"""
_STATE: Final = """CASE WHEN cancelled THEN 'cancelled' WHEN expires_at <= :now THEN 'expired'
    WHEN valid_from > :now THEN 'pending' ELSE 'active' END"""


class ListedState(StrEnum):
    """Where an entry stands."""

    ACTIVE = "active"
    PENDING = "pending"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, the newest first, and how many there are of each state.

    ``after``: what to ask the next page with; None for the last.
    """

    version: int
    entries: tuple[WatchlistEntry | Cancellation, ...]
    counts: dict[ListedState, int]
    after: str | None


class StillReading(Exception):
    """The list is being read for the first time: ask again. ``done`` of about ``total``."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} entries")
        self.done = done
        self.total = total


class Directory:
    """The directory of one list. Any thread may call.

    Args:
        folder: where the file without a name lies.
    """

    def __init__(self, watchlist: Watchlist, folder: Path, clock: Clock) -> None:
        self._watchlist = watchlist
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._index: sqlite3.Connection | None = None
        self._version = -1
        self._built_s = 0.0
        self._building: threading.Thread | None = None
        self._failure: CheckpointError | None = None
        self._done = self._total = 0

    def page(
        self,
        query: str = "",
        state: ListedState | None = None,
        *,
        after: str | None = None,
        limit: int = 50,
        wait_s: float = 2.0,
    ) -> Page:
        """Entries that fit, the newest first.

        Args:
            query: part of a plate, id, category, case number or name; or a plate with ``?`` for one
                character and ``*`` for any number.
            state: only those that stand so now.
            after: of the page before.
            wait_s: how long to wait for the list being read.

        Raises:
            StillReading: that takes longer.
            StoreUnavailable: Redis is away, or the file cannot be written.
        """
        self._refresh(wait_s)
        where, values = _condition(query)
        values["now"] = iso(self._clock.now())
        with self._lock, _explained(self._folder):
            index = self._index
            if index is None:  # it was closed meanwhile
                raise StillReading(self._done, self._total)
            counted = index.execute(
                f"SELECT {_STATE}, count(*) FROM entries WHERE {where} GROUP BY 1",  # noqa: S608
                values,
            ).fetchall()
            chosen = where
            if state is not None:
                chosen += f" AND {_STATE} = :state"
                values["state"] = state.value
            if after is not None:
                chosen += " AND (id, cancelled) < (:after_id, :after_cancelled)"
                values["after_id"], _, cancelled = after.partition(".")
                values["after_cancelled"] = int(cancelled == "1")
            rows = index.execute(
                f"SELECT id, cancelled, plate FROM entries WHERE {chosen} "  # noqa: S608
                "ORDER BY id DESC, cancelled DESC LIMIT :limit",
                values | {"limit": limit + 1},
            ).fetchall()
            version = self._version
        following = rows[:limit]
        more = f"{following[-1][0]}.{following[-1][1]}" if len(rows) > limit else None
        counts = dict.fromkeys(ListedState, 0) | {ListedState(s): n for s, n in counted}
        return Page(version, tuple(self._fetched(following)), counts, more)

    def close(self) -> None:
        """Forget everything; the next question begins anew."""
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index, self._version = None, -1

    def _fetched(
        self, rows: Sequence[tuple[str, int, str]]
    ) -> Iterator[WatchlistEntry | Cancellation]:
        """The entries as Redis has them; those that are gone there are taken out here."""
        stored = self._watchlist.stored(list({plate for _, gone, plate in rows if not gone}))
        listed = {entry.id: entry for found in stored.values() for entry in found}
        cancelled = self._watchlist.cancellations_of([name for name, gone, _ in rows if gone])
        for name, gone, _ in rows:
            found = cancelled.get(name) if gone else listed.get(name)
            if found is not None:
                yield found
                continue
            with self._lock:
                if self._index is not None:
                    self._index.execute(
                        "DELETE FROM entries WHERE id = ? AND cancelled = ?", (name, gone)
                    )

    def _refresh(self, wait_s: float) -> None:
        """Bring the index to the list's version, or wait for it to be built."""
        state = self._watchlist.state()
        with self._lock:
            old = self._clock.monotonic() - self._built_s > _LATEST_S
            if self._index is not None and not old and self._followed(state.version):
                return
            building = self._building
            if building is None or not building.is_alive():
                self._done, self._total = 0, state.entries
                building = threading.Thread(target=self._build, name="directory", daemon=True)
                self._building = building
                building.start()
        building.join(wait_s)
        with self._lock:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._index is None or self._version > state.version:  # else: as it was a moment ago
                raise StillReading(self._done, self._total)

    def _followed(self, version: int) -> bool:
        """Take over what changed up to ``version``; False where only reading all of it helps."""
        if version == self._version:
            return True
        if version < self._version or self._index is None:
            return False
        try:
            plates, gone = _touched(self._watchlist, self._version)
        except WatchlistError:
            return False
        if len(plates) + len(gone) > _AT_ONCE * 10:
            return False
        _take_over(self._index, self._watchlist, plates, gone)
        self._version = version
        return True

    def _build(self) -> None:
        try:
            with _explained(self._folder):
                index, version = self._read_all()
        except Exception as error:
            if not isinstance(error, CheckpointError):
                log.exception("watchlist.directory_failed")
                error = StoreUnavailable(f"the list cannot be read: {error}")
            with self._lock:
                self._failure = error
            return
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index, self._version = index, version
            self._built_s = self._clock.monotonic()

    def _read_all(self) -> tuple[sqlite3.Connection, int]:
        version = self._watchlist.state().version
        index = _unnamed(self._folder)
        try:
            lines = (
                (line.partition(b" ")[2].decode("utf-8", "replace"), 0)
                for _, row in self._watchlist.rows()
                for line in row.split(b"\n")
            )
            for page in _pages(lines):
                _put(index, page)
                self._done += len(page)
            gone = ((to_json(one.entry), 1) for one in self._watchlist.cancellations())
            for page in _pages(gone):
                _put(index, page)
            while (now := self._watchlist.state().version) != version:
                plates, cancelled = _touched(self._watchlist, version)
                _take_over(index, self._watchlist, plates, cancelled)
                version = now
        except BaseException:
            index.close()
            raise
        return index, version


def _condition(query: str) -> tuple[str, dict[str, object]]:
    query = query.strip()
    if not query:
        return "1", {}
    try:
        plate = normalise(query)
    except WatchlistError:
        plate = ""
    if plate and ("?" in plate or "*" in plate):
        # patterns stand in the list with the same signs: as a query they stand for characters
        return "plate GLOB :glob", {"glob": plate.replace("[", "[[]")}
    values: dict[str, object] = {"words": f"%{_escaped(query.lower())}%"}
    where = "words LIKE :words ESCAPE '\\'"
    if plate:
        values["plate"] = f"%{_escaped(plate)}%"
        where = f"({where} OR plate LIKE :plate ESCAPE '\\')"
    return where, values


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _unnamed(folder: Path) -> sqlite3.Connection:
    """A database whose file has no name: nobody else can open it, and it goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="directory-", suffix=".sqlite", dir=folder)
    os.close(handle)
    try:
        index = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
        index.execute("PRAGMA journal_mode=OFF")
        index.execute("PRAGMA synchronous=OFF")
        index.execute("PRAGMA cache_size=-32768")
        index.executescript(_SCHEMA)
    finally:
        Path(name).unlink(missing_ok=True)
    return index


def _put(index: sqlite3.Connection, lines: Iterable[tuple[str, int]]) -> None:
    index.execute("BEGIN")
    index.executemany(_PUT, lines)
    index.execute("COMMIT")


def _pages(lines: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    while page := list(islice(lines, _AT_ONCE)):
        yield page


def _touched(watchlist: Watchlist, since: int) -> tuple[list[str], list[str]]:
    """Plates and cancelled ids that changed after a version.

    Raises:
        WatchlistError: the history does not go back so far.
    """
    found: dict[tuple[str, str], None] = {}
    for change in watchlist.history.undone_by(since):
        for images in watchlist.history.images(change.number):
            found.update(dict.fromkeys(images))
    plates = [name for kind, name in found if kind == "p" and not name.startswith("@")]
    return plates, [name for kind, name in found if kind == "c"]


def _take_over(
    index: sqlite3.Connection, watchlist: Watchlist, plates: Sequence[str], gone: Sequence[str]
) -> None:
    for at in range(0, len(plates), _AT_ONCE):
        part = plates[at : at + _AT_ONCE]
        stored = watchlist.stored(part)
        index.executemany(
            "DELETE FROM entries WHERE plate = ? AND cancelled = 0", [(plate,) for plate in part]
        )
        _put(index, [(to_json(entry), 0) for found in stored.values() for entry in found])
    for at in range(0, len(gone), _AT_ONCE):
        names = gone[at : at + _AT_ONCE]
        cancelled = watchlist.cancellations_of(names)
        index.executemany(
            "DELETE FROM entries WHERE id = ? AND cancelled = 1", [(name,) for name in names]
        )
        _put(index, [(to_json(one.entry), 1) for one in cancelled.values()])


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(
            f"{folder}: the list cannot be sorted there: {error}; free space on that disk"
        ) from error
