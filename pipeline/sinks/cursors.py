"""How far each sink has come, on the disk; and what a receiver refused for good."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.clock import Clock, SystemClock
from pipeline.database import Database
from pipeline.errors import CheckpointError

SINKS_FILE: Final = "sinks.sqlite"
"""In the data folder."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS cursors (
    sink TEXT PRIMARY KEY,
    feed_id TEXT NOT NULL,
    sequence INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS refused (
    sink TEXT NOT NULL,
    key TEXT NOT NULL,
    at TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (sink, key)
);
"""


class CursorError(CheckpointError):
    """The sinks' file cannot be used: they wait until it can."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a feed: everything up to ``sequence`` was sent."""

    feed_id: str
    sequence: int


class Cursors:
    """The places of all sinks of one data folder. Methods raise ``CursorError``."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._database = Database(path, "the sinks' file", _SCHEMA, 1, CursorError, self._clock)

    def place(self, sink: str) -> Place | None:
        """How far a sink has come; None before its very first start."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT feed_id, sequence FROM cursors WHERE sink = ?", (sink,)
            ).fetchone()
        return Place(*row) if row else None

    def keep(self, sink: str, place: Place) -> None:
        """A sink has come so far."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)",
                (sink, place.feed_id, place.sequence),
            )

    def refuse(self, sink: str, key: str, reason: str) -> None:
        """The receiver will never take this event."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?)",
                (sink, key, self._clock.now().isoformat(), reason),
            )

    def refused(self, sink: str) -> list[tuple[str, str]]:
        """Key and reason of what a sink's receiver refused, the oldest first."""
        with self._database.reading() as connection:
            return connection.execute(
                "SELECT key, reason FROM refused WHERE sink = ? ORDER BY at, rowid", (sink,)
            ).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
