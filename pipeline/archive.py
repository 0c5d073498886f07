"""The archive: the passages that are still kept, to be searched and to be matched late.

A passage stands in it once, at its newest revision and without its picture, which lies in the
evidence folder; with it stand the paths of all its pictures and the entries that it met. How
long it stays is decided in ``pipeline/retention.py``; what is counted of it, in
``pipeline/rollup.py``.

Any thread may call any method. Every method raises ``ArchiveError`` where the disk or the file
refuses; then nothing has changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog

from pipeline.clock import Clock, SystemClock, microseconds_of, moment_of
from pipeline.convert import parse_passage, serialise_passage
from pipeline.database import Database
from pipeline.errors import ArchiveError
from pipeline.rollup import HOURLY_SCHEMA, HOURLY_UPGRADE, PassageHour, read_hours
from pipeline.types import Hit, Passage, PlateClass, VehicleClass, VehicleColour

_log = structlog.get_logger(__name__)

ARCHIVE_FILE: Final = "passages.sqlite"
"""Name of the archive in its data folder."""

_VERSION: Final = 2
_SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS passages (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, camera TEXT NOT NULL,
    ended_us INTEGER NOT NULL, plate TEXT, plate_class TEXT, vehicle_class TEXT,
    vehicle_colour TEXT, closed INTEGER NOT NULL, has_hit INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL, reads INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_plate ON passages (plate, ended_us);
CREATE INDEX IF NOT EXISTS by_camera ON passages (camera, ended_us);
CREATE INDEX IF NOT EXISTS by_time ON passages (ended_us);
CREATE INDEX IF NOT EXISTS by_hit ON passages (has_hit, ended_us);
CREATE TABLE IF NOT EXISTS pictures (path TEXT PRIMARY KEY, passage TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pictures_of ON pictures (passage);
CREATE TABLE IF NOT EXISTS met (
    passage TEXT NOT NULL, entry TEXT NOT NULL, hit TEXT NOT NULL, category TEXT NOT NULL,
    PRIMARY KEY (passage, entry)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS forgotten AFTER DELETE ON passages
BEGIN DELETE FROM met WHERE passage = OLD.id; END;
{HOURLY_SCHEMA}
"""  # noqa: S608
_KEEP: Final = """
INSERT INTO passages (id, revision, camera, ended_us, plate, plate_class, vehicle_class,
                      vehicle_colour, closed, payload, reads)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    revision = excluded.revision, camera = excluded.camera, ended_us = excluded.ended_us,
    plate = excluded.plate, plate_class = excluded.plate_class,
    vehicle_class = excluded.vehicle_class, vehicle_colour = excluded.vehicle_colour,
    closed = excluded.closed, payload = excluded.payload, reads = excluded.reads
WHERE excluded.revision > revision OR (excluded.revision = revision AND excluded.closed >= closed)
"""
_KEPT_PAGES: Final = 4_096  # of 4 KiB: left free in the file for the next passages
_FEW: Final = 5_000  # passages that a pattern fits
_GLOB_CLASS: Final = str.maketrans({"[": "[[]"})


@dataclass(frozen=True, slots=True)
class PassageFilter:
    """What passages are looked for; None and empty: any.

    Attributes:
        plate: a normalised plate, or a pattern: ``?`` is one character, ``*`` any number.
        since, until: ended from ``since`` on, and before ``until``.
    """

    plate: str | None = None
    cameras: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    plate_class: PlateClass | None = None
    vehicle_class: VehicleClass | None = None
    vehicle_colour: VehicleColour | None = None
    with_hit: bool | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether the plate is one."""
        return self.plate is not None and ("?" in self.plate or "*" in self.plate)

    def conditions(self) -> tuple[list[str], list[object]]:
        """As SQL conditions, that of the plate first, with their values."""
        wanted: list[tuple[str, object]] = []
        if self.plate is not None and self.is_pattern:
            wanted.append(("plate GLOB ?", self.plate.translate(_GLOB_CLASS)))
        elif self.plate is not None:
            wanted.append(("plate = ?", self.plate))
        if self.since is not None:
            wanted.append(("ended_us >= ?", microseconds_of(self.since)))
        if self.until is not None:
            wanted.append(("ended_us < ?", microseconds_of(self.until)))
        columns = {
            "plate_class": self.plate_class,
            "vehicle_class": self.vehicle_class,
            "vehicle_colour": self.vehicle_colour,
        }
        wanted += [(f"{name} = ?", value.value) for name, value in columns.items() if value]
        if self.with_hit is not None:
            wanted.append(("has_hit = ?", int(self.with_hit)))
        conditions = [condition for condition, _ in wanted]
        values = [value for _, value in wanted]
        if self.cameras:
            conditions.append(f"camera IN ({', '.join('?' * len(self.cameras))})")
            values += self.cameras
        return conditions, values


ANY: Final = PassageFilter()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage stands in the order of their ends: a page goes on behind it."""

    ended_at: datetime
    row: int


@dataclass(frozen=True, slots=True, eq=False)
class KeptPassage:
    """A passage in the archive; ``row`` is its place in the order of first arrival."""

    row: int
    passage: Passage
    has_hit: bool

    @property
    def place(self) -> Place:
        """Its place in the order of their ends."""
        return Place(self.passage.ended_at, self.row)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that may have to go: when it ended, and the categories of the entries it met."""

    row: int
    ended_at: datetime
    has_hit: bool
    categories: tuple[str, ...]


class PassageArchive:
    """The passages of one data folder."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._database = Database(
            path,
            "the archive of passages",
            _SCHEMA,
            _VERSION,
            ArchiveError,
            clock or SystemClock(),
            upgrades={1: HOURLY_UPGRADE},
        )

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def keep(self, passages: Iterable[Passage], hits: Iterable[Hit] = ()) -> None:
        """Keep passages, each at its newest revision, and note hits of passages that are kept."""
        passages, hits = list(passages), list(hits)
        pictures = [(p.evidence.path, p.id) for p in passages if p.evidence is not None]
        met = [(h.passage.id, h.entry.id, h.id, h.entry.category) for h in hits]
        with self._database.writing() as connection:
            connection.executemany(_KEEP, map(_row, passages))
            connection.executemany("INSERT OR IGNORE INTO pictures VALUES (?, ?)", pictures)
            connection.executemany(
                "INSERT OR IGNORE INTO met SELECT ?1, ?2, ?3, ?4 "
                "WHERE EXISTS (SELECT 1 FROM passages WHERE id = ?1)",
                met,
            )
            connection.executemany(
                "UPDATE passages SET has_hit = 1 WHERE id = ? AND has_hit = 0 "
                "AND EXISTS (SELECT 1 FROM met WHERE passage = id)",
                {(one,) for one in [*(p.id for p in passages), *(row[0] for row in met)]},
            )

    def search(
        self, wanted: PassageFilter = ANY, *, before: Place | None = None, limit: int = 100
    ) -> list[KeptPassage]:
        """Passages that fit everything asked for, the latest first.

        ``before``: place of the last one of the page before: go on behind it.
        """
        conditions, values = wanted.conditions()
        if wanted.is_pattern and self.count(PassageFilter(wanted.plate)) <= _FEW:
            # Few fit: find them in the index of plates instead of reading every passage.
            conditions[0] = f"row IN (SELECT row FROM passages WHERE {conditions[0]})"  # noqa: S608
        if before is not None:
            conditions.append("(ended_us, row) < (?, ?)")
            values += (microseconds_of(before.ended_at), before.row)
        where = " AND ".join(conditions) or "1"
        return self._kept(f"{where} ORDER BY ended_us DESC, row DESC LIMIT ?", (*values, limit))

    def count(self, wanted: PassageFilter = ANY) -> int:
        """How many passages are kept, of those that fit everything asked for."""
        conditions, values = wanted.conditions()
        where = " AND ".join(conditions) or "1"
        query = f"SELECT count(*) FROM passages WHERE {where}"  # noqa: S608
        with self._database.reading() as connection:
            return int(connection.execute(query, values).fetchone()[0])

    def get(self, passage_id: str) -> KeptPassage | None:
        """One passage by its id, or None."""
        return next(iter(self._kept("id = ?", (passage_id,))), None)

    def in_rows(self, after_row: int, until_row: int) -> list[KeptPassage]:
        """Passages by their place, from beyond ``after_row`` up to ``until_row``."""
        return self._kept("row > ? AND row <= ? ORDER BY row", (after_row, until_row))

    def rows(self) -> tuple[int, int]:
        """Places of the first and last passage kept; 1 and 0 if there is none."""
        with self._database.reading() as connection:
            query = "SELECT ifnull(min(row), 1), ifnull(max(row), 0) FROM passages"
            first, last = connection.execute(query).fetchone()
        return int(first), int(last)

    def hours(self, since: datetime, until: datetime) -> list[PassageHour]:
        """What was counted in the hours that begin from ``since`` on and before ``until``."""
        with self._database.reading() as connection:
            return read_hours(connection, since, until)

    def met(self, passage_ids: Sequence[str]) -> set[tuple[str, str]]:
        """Which (passage, entry) of some passages are a hit already."""
        marks = ", ".join("?" * len(passage_ids))
        with self._database.reading() as connection:
            query = f"SELECT passage, entry FROM met WHERE passage IN ({marks})"  # noqa: S608
            return {(str(one), str(other)) for one, other in connection.execute(query, passage_ids)}

    def ended_before(
        self, moment: datetime, *, has_hit: bool, page: int
    ) -> Iterator[list[Candidate]]:
        """Passages that ended before ``moment``, those first that ended first, in pages."""
        after = (-(2**63), 0)
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(
                    "SELECT row, ended_us, (SELECT group_concat(category, char(31)) FROM met "
                    "WHERE passage = id) FROM passages WHERE has_hit = ? AND ended_us < ? "
                    "AND (ended_us, row) > (?, ?) ORDER BY ended_us, row LIMIT ?",
                    (int(has_hit), microseconds_of(moment), *after, page),
                ).fetchall()
            if not rows:
                return
            after = rows[-1][1], rows[-1][0]
            yield [
                Candidate(row, moment_of(ended_us), has_hit, tuple((said or "").split("\x1f")))
                for row, ended_us, said in rows
            ]

    def pictures(self, rows: Sequence[int]) -> list[str]:
        """Paths of all pictures of the passages at some places."""
        marks = ", ".join("?" * len(rows))
        ids = f"SELECT id FROM passages WHERE row IN ({marks})"  # noqa: S608
        query = f"SELECT path FROM pictures WHERE passage IN ({ids})"  # noqa: S608
        with self._database.reading() as connection:
            return [str(path) for (path,) in connection.execute(query, rows)]

    def knows(self, paths: Sequence[str]) -> set[str]:
        """Which of some pictures belong to a passage that is kept."""
        marks = ", ".join("?" * len(paths))
        with self._database.reading() as connection:
            query = f"SELECT path FROM pictures WHERE path IN ({marks})"  # noqa: S608
            return {str(path) for (path,) in connection.execute(query, paths)}

    def pictured(self, page: int = 500) -> Iterator[list[tuple[KeptPassage, list[str]]]]:
        """All passages with the paths of all their pictures, in pages."""
        after = 0
        while kept := self._kept("row > ? ORDER BY row LIMIT ?", (after, page)):
            after = kept[-1].row
            marks = ", ".join("?" * len(kept))
            query = f"SELECT passage, path FROM pictures WHERE passage IN ({marks}) ORDER BY path"  # noqa: S608
            paths: dict[str, list[str]] = {one.passage.id: [] for one in kept}
            with self._database.reading() as connection:
                for passage, path in connection.execute(query, [*paths]):
                    paths[str(passage)].append(str(path))
            yield [(one, paths[one.passage.id]) for one in kept]

    def forget(self, passages: Sequence[Candidate], pictures: Sequence[str] = ()) -> int:
        """Forget ``pictures`` that are gone from the disk, then passages; how many those were.

        A passage stays that has a picture left or has got its first hit meanwhile: no picture
        outlives what is known of it.
        """
        values = [(one.row, int(one.has_hit)) for one in passages]
        pictured = "EXISTS (SELECT 1 FROM pictures WHERE passage = passages.id)"
        with self._database.writing() as connection:
            connection.executemany(
                "DELETE FROM pictures WHERE path = ?", [(path,) for path in pictures]
            )
            gone = connection.executemany(
                f"DELETE FROM passages WHERE row = ? AND has_hit = ? AND NOT {pictured}",  # noqa: S608
                values,
            ).rowcount
        with self._database.reading() as connection:
            free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
            if free > _KEPT_PAGES:
                connection.execute("PRAGMA incremental_vacuum(500)").fetchall()
        return int(gone)

    def _kept(self, where: str, values: Sequence[object]) -> list[KeptPassage]:
        query = f"SELECT row, payload, has_hit FROM passages WHERE {where}"  # noqa: S608
        with self._database.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return list(_parsed(rows, self.path))


def _parsed(rows: Iterable[tuple[int, bytes, int]], path: Path) -> Iterator[KeptPassage]:
    """A damaged passage is said and left out, so that it does not hide the others."""
    for row, payload, has_hit in rows:
        try:
            passage = parse_passage(zlib.decompress(payload))
        except (zlib.error, ValueError) as error:
            _log.error("a passage is damaged", file=str(path), row=row, reason=str(error))
            continue
        yield KeptPassage(row, passage, bool(has_hit))


def _row(passage: Passage) -> tuple[Any, ...]:
    bare = passage
    if passage.evidence is not None and passage.evidence.jpeg:
        bare = replace(passage, evidence=replace(passage.evidence, jpeg=b""))
    return (
        passage.id,
        passage.revision,
        passage.camera,
        microseconds_of(passage.ended_at),
        passage.plate,
        passage.plate_class,
        passage.vehicle_class,
        passage.vehicle_colour,
        int(passage.closed),
        zlib.compress(serialise_passage(bare), 1),
        passage.reads,
    )
