"""Counts that stay when passages and alerts are deleted: by camera and hour, without any plate.

Passages are counted in the archive's own file by triggers, in the very transaction that keeps
them: a passage counts in the hour of its end from when it is closed, whatever its later revisions
say, and its deletion changes nothing. Alerts, which come from many checkpoints, have one small
row each in ``DATA_DIR/figures.sqlite``, fed by ``pipeline/sinks/figures.py``: no plate, person or
entry, only where, when, of what kind, what was decided and how long it took.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pipeline.clock import EPOCH, Clock, SystemClock, microseconds_of
from pipeline.database import Database
from pipeline.errors import CheckpointError

FIGURES_FILE: Final = "figures.sqlite"
"""Name of the alerts' counts in the data folder."""

_HOUR: Final = timedelta(hours=1)
_HOUR_US: Final = 3_600_000_000

_HOURLY: Final = """
CREATE TABLE IF NOT EXISTS hourly (
    camera TEXT NOT NULL, hour INTEGER NOT NULL,
    passages INTEGER NOT NULL, found INTEGER NOT NULL, read INTEGER NOT NULL,
    PRIMARY KEY (hour, camera)
) WITHOUT ROWID;
"""


def _counted(row: str, sign: str) -> str:
    """SQL that adds what a row of ``passages`` counts for, or takes it away."""
    return f"""
INSERT INTO hourly SELECT {row}.camera, {row}.ended_us / {_HOUR_US},
    {sign}1, {sign}({row}.reads > 0 OR {row}.plate IS NOT NULL), {sign}({row}.plate IS NOT NULL)
WHERE {row}.closed ON CONFLICT (hour, camera) DO UPDATE SET
    passages = passages + excluded.passages, found = found + excluded.found,
    read = read + excluded.read;
"""


HOURLY_SCHEMA: Final = f"""
{_HOURLY}
CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON passages BEGIN
{_counted("NEW", "+")} END;
CREATE TRIGGER IF NOT EXISTS counted_again
AFTER UPDATE OF camera, ended_us, plate, closed, reads ON passages BEGIN
{_counted("OLD", "-")} {_counted("NEW", "+")} END;
"""
"""For the file that holds ``passages``; ``hour`` counts hours since 1970, UTC."""

HOURLY_UPGRADE: Final = f"""
ALTER TABLE passages ADD COLUMN reads INTEGER NOT NULL DEFAULT 0;
{_HOURLY}
INSERT INTO hourly SELECT camera, ended_us / {_HOUR_US}, count(*), count(plate), count(plate)
FROM passages WHERE closed GROUP BY 1, 2;
"""  # noqa: S608
"""For an archive of before: of its unread passages nobody knows whether a plate was found."""

_ALERTS: Final = """
CREATE TABLE IF NOT EXISTS alerts (
    id TEXT PRIMARY KEY, checkpoint TEXT NOT NULL, camera TEXT NOT NULL, at_us INTEGER NOT NULL,
    kind TEXT NOT NULL, category TEXT NOT NULL, state TEXT NOT NULL,
    late INTEGER NOT NULL, retracted INTEGER NOT NULL, latency_us INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON alerts (at_us);
"""
_ALERT_HOURS: Final = f"""
SELECT checkpoint, camera, at_us / {_HOUR_US}, count(*), sum(state = 'confirmed'),
    sum(state = 'rejected'), ifnull(group_concat(latency_us), '')
FROM alerts WHERE at_us >= ? AND at_us < ? GROUP BY 1, 2, 3 ORDER BY 3, 1, 2
"""  # noqa: S608
_NOTE: Final = """
INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, category = excluded.category,
    state = excluded.state, retracted = excluded.retracted
"""


@dataclass(frozen=True, slots=True)
class PassageHour:
    """Closed passages of one camera that ended in the hour from ``hour`` on.

    ``found`` had a plate that was seen, ``read`` one that was read: read <= found <= passages.
    """

    camera: str
    hour: datetime
    passages: int
    found: int
    read: int


@dataclass(frozen=True, slots=True)
class AlertHour:
    """Alerts of one camera that the service first took in the hour from ``hour`` on.

    ``confirmed`` and ``rejected`` as they stand now. ``latencies_s``: those that are known, in
    ascending order; see ``CountedAlert``.
    """

    checkpoint: str
    camera: str
    hour: datetime
    alerts: int
    confirmed: int
    rejected: int
    latencies_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CountedAlert:
    """What is kept of an alert, at its latest revision.

    ``at``: when the service first took it. ``latency_s``: from the last frame that its first
    revision rests on until then; None for a late match, where it says nothing.
    """

    id: str
    checkpoint: str
    camera: str
    at: datetime
    kind: str
    category: str
    state: str
    late: bool
    retracted: bool
    latency_s: float | None


class RollupError(CheckpointError):
    """The counts cannot be written or read."""


class Rollup:
    """The counts of alerts of one data folder. Any thread may call; methods raise RollupError."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._database = Database(
            path, "the figures", _ALERTS, 1, RollupError, clock or SystemClock()
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def note(self, alerts: Iterable[CountedAlert]) -> list[CountedAlert]:
        """Count alerts; of one that is known only what may change is taken over.

        Returns those that were not known.
        """
        new = []
        with self._database.writing() as connection:
            for alert in alerts:
                known = "SELECT 1 FROM alerts WHERE id = ?"
                if connection.execute(known, (alert.id,)).fetchone() is None:
                    new.append(alert)
                connection.execute(_NOTE, _row(alert))
        return new

    def hours(self, since: datetime, until: datetime) -> list[AlertHour]:
        """What was counted in the hours that begin from ``since`` on and before ``until``."""
        low, high = (hour * _HOUR_US for hour in _hours(since, until))
        with self._database.reading() as connection:
            rows = connection.execute(_ALERT_HOURS, (low, high)).fetchall()
        return [
            AlertHour(place, camera, EPOCH + hour * _HOUR, made, yes, no, _seconds(latencies))
            for place, camera, hour, made, yes, no, latencies in rows
        ]

    def states(self) -> dict[str, int]:
        """How many alerts stand in each state of review, of all that were ever counted."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT state, count(*) FROM alerts GROUP BY state"))


def read_hours(
    connection: sqlite3.Connection, since: datetime, until: datetime
) -> list[PassageHour]:
    """The rows of ``hourly`` for the hours that begin from ``since`` on and before ``until``."""
    rows = connection.execute(
        "SELECT camera, hour, passages, found, read FROM hourly "
        "WHERE hour >= ? AND hour < ? AND passages > 0 ORDER BY hour, camera",
        _hours(since, until),
    )
    return [PassageHour(camera, EPOCH + hour * _HOUR, *counts) for camera, hour, *counts in rows]


def _row(alert: CountedAlert) -> tuple[object, ...]:
    return (
        alert.id,
        alert.checkpoint,
        alert.camera,
        microseconds_of(alert.at),
        alert.kind,
        alert.category,
        alert.state,
        alert.late,
        alert.retracted,
        None if alert.latency_s is None else round(alert.latency_s * 1e6),
    )


def _hours(since: datetime, until: datetime) -> tuple[int, int]:
    """The first hour that begins then or later, for both, as ``hour`` counts them."""
    return -(-microseconds_of(since) // _HOUR_US), -(-microseconds_of(until) // _HOUR_US)


def _seconds(latencies: str) -> tuple[float, ...]:
    return tuple(sorted(int(one) / 1e6 for one in latencies.split(",") if one))
