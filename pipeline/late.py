"""Late matching: an entry that is new is held against the passages that are still kept.

The list's version says that something was added, its history what. New entries wait in a queue
on disk (``DATA_DIR/late.sqlite``, ids and plates alone) until they are valid; then one pass over
the archive matches all of them at once. The work is done in slices, so that the thread that
matches live passages can do it in between; a slice that failed is done again, and a pass that
was broken off goes on where it was.

A hit found late has the id that a live one would have; what has been a hit before is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from pipeline.archive import PassageArchive
from pipeline.clock import Clock, microseconds_of
from pipeline.config import MatchingSettings
from pipeline.database import Database
from pipeline.errors import ArchiveError, WatchlistError
from pipeline.matching import Match, hit_of, match_entries
from pipeline.types import Hit, Passage, WatchlistEntry
from watchlist.store import Watchlist

_log = structlog.get_logger(__name__)

LATE_FILE: Final = "late.sqlite"
"""Name of the queue in its data folder."""

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    entry TEXT PRIMARY KEY, plate TEXT NOT NULL, due_us INTEGER NOT NULL,
    begun INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_due ON waiting (begun, due_us);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_ADD: Final = (
    "INSERT INTO waiting (entry, plate, due_us) VALUES (?, ?, ?) ON CONFLICT (entry) DO UPDATE "
    "SET plate = excluded.plate, due_us = excluded.due_us, begun = 0"
)
_MARK: Final = "INSERT OR REPLACE INTO marks VALUES (?, ?)"
_MOST_ENTRIES: Final = 50_000  # in one pass: they are held in memory
_MOST_PATTERNS: Final = 200  # in one pass: their index is made anew for each slice
_HITS_AT_ONCE: Final = 10  # each is written to the disk
_PLATES_AT_ONCE: Final = 500
_PASSAGES_AT_ONCE: Final = 200
_LEFT_AFTER: Final = timedelta(seconds=60)  # one that was never closed: its process was killed


class LateQueue:
    """Entries that wait to be matched late, and how far that has come.

    Any thread may call any method. Each raises ArchiveError where the disk or file refuses.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._database = Database(
            path, "the queue of new entries", _SCHEMA, _SCHEMA_VERSION, ArchiveError, clock
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def mark(self, name: str) -> int | None:
        """A number that was kept: ``version``, ``row`` or ``until``."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def set_mark(self, name: str, value: int) -> None:
        """Keep a number."""
        with self._database.writing() as connection:
            connection.execute(_MARK, (name, value))

    def add(self, entries: Iterable[WatchlistEntry]) -> None:
        """Let entries wait until they are valid; one that waits already begins anew."""
        rows = [(one.id, one.plate, microseconds_of(one.valid_from)) for one in entries]
        with self._database.writing() as connection:
            connection.executemany(_ADD, rows)

    def begin(self, row: int, until: int) -> None:
        """Begin a pass over the rows beyond ``row`` with entries that are due."""
        with self._database.writing() as connection:
            now = microseconds_of(self._clock.now())
            connection.executemany(
                "UPDATE waiting SET begun = 1 WHERE entry IN (SELECT entry FROM waiting "
                "WHERE begun = 0 AND due_us <= ? AND (plate GLOB '*[?*]*') = ? LIMIT ?)",
                [(now, 0, _MOST_ENTRIES), (now, 1, _MOST_PATTERNS)],
            )
            connection.executemany(_MARK, [("row", row), ("until", until)])

    def begun(self) -> list[tuple[str, str]]:
        """The entries of the pass that was begun: id and plate."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT entry, plate FROM waiting WHERE begun = 1")
            return [(str(entry), str(plate)) for entry, plate in rows]

    def has_due(self) -> bool:
        """Whether entries wait whose time has come."""
        with self._database.reading() as connection:
            query = "SELECT 1 FROM waiting WHERE begun = 0 AND due_us <= ? LIMIT 1"
            now = microseconds_of(self._clock.now())
            return connection.execute(query, (now,)).fetchone() is not None

    def end(self) -> None:
        """Forget the entries of the pass that was begun."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM waiting WHERE begun = 1")


class LateMatching:
    """Matches new entries against the passages kept. One thread owns it.

    Args:
        queue, archive: on disk.
        watchlist: asked for its version, its history and its entries.
        checkpoint: entries for other checkpoints are left out.
        settings: what counts as a match.
        evidence: the folder of the pictures, which travel with the hits.
    """

    def __init__(
        self,
        queue: LateQueue,
        archive: PassageArchive,
        watchlist: Watchlist,
        checkpoint: str,
        settings: MatchingSettings,
        evidence: Path,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._archive = archive
        self._watchlist = watchlist
        self._checkpoint = checkpoint
        self._settings = settings
        self._evidence = evidence
        self._clock = clock
        self._work: Iterator[None] | None = None

    def step(self, deliver: Callable[[Sequence[Hit]], None]) -> bool:
        """Do one slice; False when there was nothing left to do. What it raises may be tried
        again: nothing is lost, and what was said is not said under another id.

        ``deliver`` takes the hits of a slice; on return they are safe.

        Raises:
            StoreUnavailable: Redis is away.
            ArchiveError: the disk refuses.
        """
        work = self._work if self._work is not None else self._slices(deliver)
        self._work = None  # a generator that raised is done for
        for _ in work:
            self._work = work
            return True
        return False

    def _slices(self, deliver: Callable[[Sequence[Hit]], None]) -> Iterator[None]:
        """All there is to do now, with a yield wherever live passages may go first."""
        yield from self._notice()
        while self._queue.begun() or self._begin():
            yield from self._match(deliver)

    def _begin(self) -> bool:
        """Begin a pass; False when no entry is due."""
        if not self._queue.has_due():
            return False
        first, last = self._archive.rows()
        self._queue.begin(first - 1, last)
        return True

    def _notice(self) -> Iterator[None]:
        """Let the entries wait that are new since the version that was seen last."""
        version, seen = self._watchlist.state().version, self._queue.mark("version")
        if version == seen or self._watchlist.loss is not None:
            return
        if seen is None and not self._archive.count():
            self._queue.set_mark("version", version)
            return
        changed = self._changed(seen, version)
        while page := list(islice(changed, _PLATES_AT_ONCE)):
            self._queue.add(page)
            yield
        self._queue.set_mark("version", version)

    def _changed(self, seen: int | None, version: int) -> Iterator[WatchlistEntry]:
        """Entries of all plates that were touched since ``seen``; of all where nobody knows."""
        touched: Iterator[str] | None = None
        if seen is not None and seen < version:
            try:
                changes = self._watchlist.history.undone_by(seen)
                touched = (
                    plate
                    for change in changes
                    for page in self._watchlist.history.images(change.number)
                    for kind, plate in page
                    if kind == "p"
                )
            except WatchlistError as error:
                _log.info("late.everything", reason=str(error))
        if touched is None:
            yield from self._watchlist.entries()
            return
        while plates := list(islice(touched, _PLATES_AT_ONCE)):
            for entries in self._watchlist.stored(plates).values():
                yield from entries

    def _match(self, deliver: Callable[[Sequence[Hit]], None]) -> Iterator[None]:
        """The pass that was begun, from the row that it has come to."""
        entries: dict[str, WatchlistEntry] = {}
        begun = iter(self._queue.begun())
        while part := dict(islice(begun, _PLATES_AT_ONCE)):
            for stored in self._watchlist.stored(sorted(set(part.values()))).values():
                entries |= {entry.id: entry for entry in stored if entry.id in part}
            yield
        row, until = self._queue.mark("row") or 0, self._queue.mark("until") or 0
        _log.info("late.begun", entries=len(entries), passages=max(until - row, 0))
        hits = 0
        while row < until:
            end = min(row + _PASSAGES_AT_ONCE, until)
            kept = [one.passage for one in self._archive.in_rows(row, end)]
            met = iter(self._met(kept, entries))
            while some := list(islice(met, _HITS_AT_ONCE)):
                if found := self._hits(some):
                    deliver(found)
                    self._archive.keep((), found)
                hits += len(found)
                yield
            self._queue.set_mark("row", end)
            row = end
            yield
        self._queue.end()
        _log.info("late.ended", entries=len(entries), hits=hits)

    def _met(
        self, passages: list[Passage], entries: dict[str, WatchlistEntry]
    ) -> list[tuple[Passage, Match]]:
        now = self._clock.now()
        passages = [one for one in passages if one.closed or one.ended_at < now - _LEFT_AFTER]
        found = match_entries(
            passages, entries.values(), self._settings, checkpoint=self._checkpoint, now=now
        )
        return [
            (passage, match)
            for passage, matches in zip(passages, found, strict=True)
            for match in matches
        ]

    def _hits(self, met: list[tuple[Passage, Match]]) -> list[Hit]:
        """What is new of that, as hits."""
        known = self._archive.met(sorted({passage.id for passage, _ in met}))
        state = self._watchlist.state()
        return [
            replace(
                hit_of(
                    self._pictured(passage),
                    match,
                    checkpoint=self._checkpoint,
                    list_version=state.version,
                    list_age_s=state.age_s,
                    at=self._clock.now(),
                ),
                late=True,
            )
            for passage, match in met
            if (passage.id, match.entry.id) not in known and self._stands(match)
        ]

    def _stands(self, match: Match) -> bool:
        """Whether the list still says so: what has changed meanwhile waits for the next pass."""
        return self._watchlist.get(match.entry.id) == match.entry

    def _pictured(self, passage: Passage) -> Passage:
        """With its picture, if that lies there unchanged."""
        if passage.evidence is None:
            return passage
        try:
            jpeg = (self._evidence / passage.evidence.path).read_bytes()
        except OSError:
            return passage
        if hashlib.sha256(jpeg).hexdigest() != passage.evidence.sha256:
            _log.error("evidence was changed", picture=passage.evidence.path)
            return passage
        return replace(passage, evidence=replace(passage.evidence, jpeg=jpeg))
