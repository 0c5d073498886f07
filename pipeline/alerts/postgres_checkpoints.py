"""What is known of checkpoints, in PostgreSQL, beside the feed that tells their changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.alerts.postgres_link import Connection, PostgresLink
from pipeline.alerts.postgres_writes import lock, next_event
from pipeline.alerts.records import StoredCheckpoint

_KEPT_CHANGES: Final = 200
"""Events of one checkpoint in the feed: one whose link comes and goes must not fill it."""

_PUT: Final = """
INSERT INTO checkpoints (name, state, seen_us, status) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET state = excluded.state, seen_us = excluded.seen_us,
    status = excluded.status
"""
_FORGET_OLDEST: Final = """
DELETE FROM events WHERE sequence IN (
    SELECT sequence FROM events WHERE checkpoint = %s AND kind = 'checkpoint'
    ORDER BY sequence DESC OFFSET %s)
"""


class PostgresCheckpoints:
    """Checkpoints in the database of an alert store; a ``CheckpointStore``, see ``store.py``."""

    def __init__(self, link: PostgresLink) -> None:
        self._link = link

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Every checkpoint that was ever heard of."""
        query = 'SELECT name, state, seen_us, status FROM checkpoints ORDER BY name COLLATE "C"'
        found = self._link.ask(lambda connection: connection.execute(query).fetchall())
        return [StoredCheckpoint(*row) for row in found]

    def note(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Keep what is known of checkpoints whose state stays as it is."""
        change = (
            "UPDATE checkpoints AS kept SET seen_us = given.seen_us, status = given.status"
            " FROM unnest(%b::text[], %b::bigint[], %b::bytea[]) AS given (name, seen_us, status)"
            " WHERE kept.name = given.name"
        )
        names = [one.name for one in checkpoints]
        values = names, [one.seen_us for one in checkpoints], [one.status for one in checkpoints]
        if names:
            self._link.ask(lambda connection: connection.execute(change, values))

    def change(self, checkpoint: StoredCheckpoint) -> int | None:
        """Put the change of a checkpoint's state into the feed; its number there."""
        name, state = checkpoint.name, checkpoint.state
        known = "SELECT state, seen_us FROM checkpoints WHERE name = %s"

        def tell(connection: Connection) -> int | None:
            lock(connection)
            found = connection.execute(known, (name,)).fetchone()
            if found is not None and found.state == state:
                return None
            if found is not None and state == "silent" and found.seen_us > checkpoint.seen_us:
                return None
            connection.execute(_PUT, (name, state, checkpoint.seen_us, checkpoint.status))
            sequence = next_event(connection)
            connection.execute(
                "INSERT INTO events (sequence, kind, checkpoint, status)"
                " VALUES (%s, 'checkpoint', %s, %s)",
                (sequence, name, checkpoint.status),
            )
            connection.execute(_FORGET_OLDEST, (name, _KEPT_CHANGES))
            return sequence

        return self._link.write(tell)
