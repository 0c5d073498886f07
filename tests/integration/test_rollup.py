"""Counts on real files: an archive of an earlier version, a damaged file, repeated events."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.alerts.records import EventKind, StoredAlert, StoredReview
from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.convert import hit_to_pb
from pipeline.rollup import FIGURES_FILE, AlertHour, CountedAlert, Rollup
from pipeline.sinks.base import Event, SinkError
from pipeline.sinks.figures import FiguresSink
from tests.integration.alerts_support import NOON, make_hit
from tests.support import watchlists
from tests.support.watchlists import NOW

DAY = timedelta(days=1)


def test_an_archive_of_before_is_taken_over_with_its_counts(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE_FILE
    passages = [
        replace(watchlists.passage(plate, passage_id=f"p{n}"), closed=closed)
        for n, (plate, closed) in enumerate(
            [("辽A12345", True), (None, True), ("辽A12346", False), ("辽A12347", True)]
        )
    ]
    with closing(PassageArchive(path)) as archive:
        archive.keep(passages)
    with closing(sqlite3.connect(path)) as before, before:  # what an earlier version left behind
        for name in ("counted", "counted_again"):
            before.execute(f"DROP TRIGGER {name}")
        before.execute("DROP TABLE hourly")
        before.execute("ALTER TABLE passages DROP COLUMN reads")
        before.execute("PRAGMA user_version = 1")
    with closing(PassageArchive(path)) as archive:
        (hour,) = archive.hours(NOW - DAY, NOW + DAY)
        assert (hour.passages, hour.found, hour.read) == (3, 2, 2)
        archive.keep([replace(passages[2], closed=True)])
        (hour,) = archive.hours(NOW - DAY, NOW + DAY)
        assert (hour.passages, hour.found, hour.read) == (4, 3, 3)
        assert archive.get("p0") is not None


def test_hours_of_a_million_passages_are_found(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE_FILE
    with closing(PassageArchive(path)) as archive:
        archive.keep([watchlists.passage(closed=True)])
        with closing(sqlite3.connect(path)) as filling, filling:  # of 600 days, by 8 cameras
            filling.execute(
                "WITH RECURSIVE h(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM h WHERE n < 14400) "
                "INSERT INTO hourly SELECT 'c' || value, 480000 + n, 9, 8, 7 "
                "FROM h, json_each('[1,2,3,4,5,6,7,8]')"
            )
        assert len(archive.hours(NOW - 40 * DAY, NOW + 40 * DAY)) > 10_000


def stored(number: int, **fields: object) -> StoredAlert:
    hit = make_hit(number, checkpoint="north", retracted=bool(fields.pop("retracted", False)))
    message = hit_to_pb(hit)
    message.late = bool(fields.pop("late", False))
    received_us = int((NOON + timedelta(seconds=3)).timestamp() * 1e6)
    made = StoredAlert(number, hit.id, message.SerializeToString(), received_us, None)
    return replace(made, **fields)  # type: ignore[arg-type]


def test_events_that_come_again_count_once(tmp_path: Path) -> None:
    with closing(Rollup(tmp_path / FIGURES_FILE)) as rollup:
        sink = FiguresSink(rollup)
        confirmed = StoredReview("confirmed", "Wang", None, 1)
        for _ in range(2):
            sink.deliver([Event("f", stored(1)), Event("f", stored(2, late=True))])
            sink.deliver([Event("f", stored(1, review=confirmed, kind=EventKind.REVIEW))])
        (hour,) = rollup.hours(NOON - DAY, NOON + DAY)
        assert isinstance(hour, AlertHour)
        assert (hour.alerts, hour.confirmed, hour.rejected) == (2, 1, 0)
        assert hour.latencies_s == (2.0,)  # from the passage's last frame; none for a late match
        assert sum(sink.hits().values()) == 2
        sink.deliver([Event("f", stored(1, kind=EventKind.REVIEW))])  # taken back
        assert rollup.states() == {"unverified": 2}


def test_what_cannot_be_written_is_delivered_again(tmp_path: Path) -> None:
    with closing(Rollup(tmp_path / "no" / FIGURES_FILE)) as rollup:
        (tmp_path / "no").write_text("a file where a folder must be")
        with pytest.raises(SinkError, match="figures"):
            FiguresSink(rollup).deliver([Event("f", stored(1))])
        (tmp_path / "no").unlink()
        FiguresSink(rollup).deliver([Event("f", stored(1))])
        assert rollup.states() == {"unverified": 1}


def test_a_damaged_file_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / FIGURES_FILE
    path.write_bytes(b"no database" * 1000)
    with closing(Rollup(path)) as rollup:
        alert = CountedAlert(
            "a", "north", "gate", NOW, "exact", "stolen", "unverified", False, False, None
        )
        assert rollup.note([alert]) == [alert]
    assert list(tmp_path.glob(f"{FIGURES_FILE}.damaged-*"))
