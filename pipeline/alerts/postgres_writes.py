"""What changes the alert store in PostgreSQL, each within a transaction that its caller has begun.

The lock on the one row of ``feed`` comes first and is held until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline.alerts.postgres_link import Connection
from pipeline.alerts.postgres_rows import STANDING, escalation_of, review_of
from pipeline.alerts.records import (
    Act,
    EventKind,
    NewHit,
    Published,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAct,
    StoredReview,
)

_KNOWN: Final = f"""
SELECT events.sequence, alerts.revision, {STANDING}
FROM unnest(%b::text[], %b::bigint[]) WITH ORDINALITY AS given (id, revision, place)
LEFT JOIN events ON events.alert_id = given.id AND events.revision = given.revision
    AND events.kind = 'hit'
LEFT JOIN alerts ON alerts.id = given.id
ORDER BY given.place
"""  # noqa: S608 (columns of ours)
_PUT_ALERTS: Final = """
INSERT INTO alerts (id, sequence, revision)
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[])
ON CONFLICT (id) DO UPDATE SET sequence = excluded.sequence, revision = excluded.revision
"""
_PUT_HITS: Final = """
INSERT INTO events (kind, sequence, alert_id, revision, hit, received_us)
SELECT 'hit', * FROM unnest(%b::bigint[], %b::text[], %b::bigint[], %b::bytea[], %b::bigint[])
"""
_PUT_PICTURES: Final = """
INSERT INTO pictures (alert_id, revision, jpeg)
SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bytea[])
"""
_PUT_ACT: Final = """
INSERT INTO events (sequence, kind, alert_id, revision, act, person, named_by, at_us, state, note,
    outcome)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


def next_event(connection: Connection) -> int:
    """Take the number of one event; whoever calls holds the lock of the feed from then on."""
    taken = one(connection, "UPDATE feed SET last = last + 1 RETURNING last")
    return int(taken.last)


def publish(connection: Connection, hits: Sequence[NewHit]) -> list[Published]:
    """Store ``hits`` in order; see ``AlertStore``."""
    last = lock(connection)
    asked = connection.execute(
        _KNOWN, ([hit.id for hit in hits], [hit.revision for hit in hits])
    ).fetchall()
    numbers: dict[tuple[str, int], int] = {}
    latest: dict[str, tuple[int, int]] = {}
    new: list[tuple[int, NewHit]] = []
    answers = []
    for hit, known in zip(hits, asked, strict=True):
        key = hit.id, hit.revision
        sequence = known.sequence or numbers.get(key)
        duplicate = sequence is not None
        if sequence is None:
            sequence = numbers[key] = last + len(new) + 1
            new.append((sequence, hit))
            newest = latest[hit.id][0] if hit.id in latest else known.revision
            if newest is None or newest < hit.revision:
                latest[hit.id] = hit.revision, sequence
        answers.append(Published(sequence, duplicate, review_of(known), escalation_of(known)))
    if latest:
        ids, newest_ones = list(latest), list(latest.values())
        connection.execute(
            _PUT_ALERTS, (ids, [one[1] for one in newest_ones], [one[0] for one in newest_ones])
        )
    if new:
        numbered, added = [one[0] for one in new], [one[1] for one in new]
        connection.execute(
            _PUT_HITS,
            (
                numbered,
                [hit.id for hit in added],
                [hit.revision for hit in added],
                [hit.hit for hit in added],
                [hit.received_us for hit in added],
            ),
        )
        if pictured := [hit for hit in added if hit.jpeg]:
            connection.execute(
                _PUT_PICTURES,
                (
                    [hit.id for hit in pictured],
                    [hit.revision for hit in pictured],
                    [hit.jpeg for hit in pictured],
                ),
            )
    connection.execute(
        "UPDATE feed SET last = last + %s, repeats = repeats + %s",
        (len(new), len(hits) - len(new)),
    )
    return answers


def lock(connection: Connection) -> int:
    """Hold the feed until the commit; its last number."""
    return int(one(connection, "SELECT last FROM feed FOR UPDATE").last)


def locked(connection: Connection, alert_id: str) -> Any:
    """Hold the feed; what stands of an alert.

    Raises:
        ReviewRefusedError: there is none.
    """
    lock(connection)
    query = f"SELECT revision, {STANDING} FROM alerts WHERE id = %s"  # noqa: S608 (columns of ours)
    alert = connection.execute(query, (alert_id,)).fetchone()
    if alert is None:
        raise ReviewRefusedError(ReviewRefusal.UNKNOWN)
    return alert


def tell(connection: Connection, alert_id: str, did: StoredAct) -> None:
    """Put what was done to an alert into the feed, with the next number."""
    kind = EventKind.ESCALATION if did.act is Act.ESCALATION else EventKind.REVIEW
    named_by = did.named_by.value if did.named_by else None
    connection.execute(
        _PUT_ACT,
        (
            next_event(connection),
            kind.value,
            alert_id,
            did.revision,
            did.act.value,
            did.person,
            named_by,
            did.at_us,
            did.state,
            did.note or None,
            did.outcome or None,
        ),
    )


def decided(standing: StoredReview, revision: int) -> ReviewRefusedError:
    """It was decided already."""
    first = StoredReview(standing.state, standing.reviewer, None, standing.reviewed_us)
    return ReviewRefusedError(ReviewRefusal.DECIDED, first, revision)


def one(connection: Connection, query: str, *values: object) -> Any:
    """The one row that a query answers."""
    return connection.execute(query, values).fetchone()
