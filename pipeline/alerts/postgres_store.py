"""Alerts, reviews and evidence in PostgreSQL, and the feed that subscribers follow.

The tables stand in ``migrations/``. Whoever writes an event first locks the one row of ``feed``
and lets go of it with the commit: numbers have no gaps and follow the order of the commits, and
nobody can see one before those below it. Hits come in steps of many, so that they share one
commit, which is one wait for the disk.

Nobody sees a commit before it is on the disk; so what was read is ``settle``d.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.alerts.postgres_link import Connection, PostgresLink
from pipeline.alerts.postgres_rows import (
    ALERT,
    STANDING,
    act_of,
    alert_of,
    escalation_of,
    event_of,
    review_of,
)
from pipeline.alerts.postgres_schema import migrate
from pipeline.alerts.postgres_writes import decided, lock, locked, one, publish, tell
from pipeline.alerts.records import (
    Act,
    Durability,
    Feed,
    NewHit,
    Published,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAct,
    StoredAlert,
    StoredEscalation,
    StoredPage,
    StoredRevision,
)
from pipeline.errors import ConfigError
from pipeline.types import NamedBy, ReviewState

_PAGE: Final = 500

_PAGE_OF_EVENTS: Final = f"""
SELECT events.sequence, events.kind, events.checkpoint, events.status, alerts.id AS alert_id,
    coalesce(events.hit, latest.hit) AS hit,
    coalesce(events.received_us, latest.received_us) AS received_us, {STANDING}
FROM events
LEFT JOIN alerts ON alerts.id = events.alert_id
LEFT JOIN events AS latest ON latest.sequence = alerts.sequence AND events.kind <> 'hit'
WHERE events.sequence > %s ORDER BY events.sequence LIMIT %s
"""  # noqa: S608 (columns of ours)


class PostgresAlertStore(PostgresLink):
    """Alerts in one PostgreSQL database; an ``AlertStore``, whose methods are described there."""

    durability = Durability.NONE

    def connect(self, *, require_durable: bool = True) -> Feed:
        """Make or update the tables, and find out whether commits are durable.

        Raises:
            ConfigError: the server may lose what it has acknowledged, or cannot keep our texts.
            StoreUnavailable: it is away.
        """

        def check(connection: Connection) -> tuple[str, str]:
            migrate(connection, self.schema)
            found = one(
                connection,
                "SELECT current_setting('fsync') AS fsync, current_setting('server_encoding') AS"
                " encoding",
            )
            return found.fsync, found.encoding

        fsync, encoding = self.ask(check)
        if encoding != "UTF8":
            raise ConfigError(
                f"alerts.postgres_url: the database is encoded in {encoding}; make one with "
                "'createdb --encoding UTF8 --template template0'"
            )
        self.durability = Durability.ALWAYS if fsync == "on" else Durability.NONE
        if self.durability is Durability.NONE and require_durable:
            raise ConfigError(
                "PostgreSQL may lose an acknowledged alert: set 'fsync = on' in its configuration"
            )
        return self.feed()

    def feed(self) -> Feed:
        """Which feed this is, and its last sequence number."""
        found = self.ask(lambda connection: one(connection, "SELECT id, last FROM feed"))
        return Feed(found.id, found.last)

    def publish(self, hits: Sequence[NewHit]) -> list[Published]:
        """Store ``hits`` in order, all or none, with one commit."""
        return self.write(lambda connection: publish(connection, hits)) if hits else []

    def review(
        self,
        alert_id: str,
        state: str,
        reviewer: str,
        note: str,
        reviewed_us: int,
        seen_revision: int | None = None,
        outcome: str = "",
        named_by: NamedBy = NamedBy.REQUEST,
    ) -> None:
        """Take a decision; repeating one's own is harmless, see ``AlertStore``.

        Raises:
            ReviewRefusedError: no such alert, decided already, or amended since ``seen_revision``.
        """

        def decide(connection: Connection) -> None:
            alert = locked(connection, alert_id)
            standing = review_of(alert)
            act = Act.REVIEW
            if standing is not None:
                mine = standing.named_by or named_by
                if (standing.state, standing.reviewer, mine) != (state, reviewer, named_by):
                    raise decided(standing, alert.revision)
                if note in ("", standing.note) and outcome in ("", standing.outcome):
                    return
                act = Act.DOCUMENT
            elif seen_revision is not None and seen_revision != alert.revision:
                raise ReviewRefusedError(ReviewRefusal.AMENDED, revision=alert.revision)
            connection.execute(
                "UPDATE alerts SET review_note = coalesce(%s, review_note),"
                " outcome = coalesce(%s, outcome) WHERE id = %s",
                (note or None, outcome or None, alert_id),
            )
            if act is Act.REVIEW:
                connection.execute(
                    "UPDATE alerts SET review = %s, reviewer = %s, reviewed_us = %s,"
                    " reviewer_named_by = %s WHERE id = %s",
                    (state, reviewer, reviewed_us, named_by.value, alert_id),
                )
            did = StoredAct(
                act, reviewer, named_by, reviewed_us, alert.revision, 0, state, note, outcome
            )
            tell(connection, alert_id, did)

        self.write(decide)

    def withdraw(
        self,
        alert_id: str,
        reviewer: str,
        note: str,
        withdrawn_us: int,
        within_us: int,
        named_by: NamedBy = NamedBy.REQUEST,
    ) -> None:
        """Take one's own decision back, at most ``within_us`` after it.

        Raises:
            ReviewRefusedError: no such alert, or a decision that is another's or older than that.
        """

        def take_back(connection: Connection) -> None:
            alert = locked(connection, alert_id)
            standing = review_of(alert)
            if standing is None:
                return
            mine = (standing.reviewer, standing.named_by or named_by) == (reviewer, named_by)
            if not mine or withdrawn_us - standing.reviewed_us > within_us:
                raise decided(standing, alert.revision)
            connection.execute(
                "UPDATE alerts SET review = NULL, reviewer = NULL, review_note = NULL,"
                " reviewed_us = NULL, reviewer_named_by = NULL, outcome = NULL WHERE id = %s",
                (alert_id,),
            )
            did = StoredAct(
                Act.WITHDRAWAL,
                reviewer,
                named_by,
                withdrawn_us,
                alert.revision,
                0,
                ReviewState.UNVERIFIED.value,
                note,
            )
            tell(connection, alert_id, did)

        self.write(take_back)

    def escalate(
        self, alert_id: str, person: str, note: str, escalated_us: int, named_by: NamedBy
    ) -> None:
        """Send an alert up; repeating one's own is harmless.

        Raises:
            ReviewRefusedError: no such alert, decided already, or escalated by someone else.
        """

        def send_up(connection: Connection) -> None:
            alert = locked(connection, alert_id)
            first, standing = escalation_of(alert), review_of(alert)
            if first is not None:
                if (first.person, first.named_by) == (person, named_by):
                    return
                came_first = StoredEscalation(first.person, None, first.escalated_us)
                raise ReviewRefusedError(ReviewRefusal.ESCALATED, came_first, alert.revision)
            if standing is not None:
                raise decided(standing, alert.revision)
            connection.execute(
                "UPDATE alerts SET escalated_by = %s, escalation_note = %s, escalated_us = %s,"
                " escalation_named_by = %s WHERE id = %s",
                (person, note or None, escalated_us, named_by.value, alert_id),
            )
            revision = alert.revision
            did = StoredAct(Act.ESCALATION, person, named_by, escalated_us, revision, 0, note=note)
            tell(connection, alert_id, did)

        self.write(send_up)

    def escalation_place(self, feed_id: str) -> int:
        """The place in that feed up to which no alert waits to be escalated."""
        query = "SELECT coalesce(max(escalation_place), 0) AS place FROM feed WHERE id = %s"
        return int(self.ask(lambda connection: one(connection, query, feed_id)).place)

    def note_escalation_place(self, feed_id: str, place: int) -> None:
        """Keep it for the next start; an older one does no harm."""
        change = "UPDATE feed SET escalation_place = %s WHERE id = %s"
        self.ask(lambda connection: connection.execute(change, (place, feed_id)))

    def wait(self, after: int, timeout_s: float) -> int | None:
        """Wait for an event beyond ``after``; its number, or None if none came in time."""
        query = "SELECT min(sequence) AS next FROM events WHERE sequence > %s"

        def look(connection: Connection) -> int | None:
            found: int | None = one(connection, query, after).next
            return found

        return self.listen(look, timeout_s)

    def page(self, after: int, limit: int) -> StoredPage:
        """Up to ``limit`` events beyond ``after``, in order, each with what now stands."""
        found = self._all(_PAGE_OF_EVENTS, after, limit)
        last = found[-1].sequence if found else after
        return StoredPage([event_of(row) for row in found], last, more=len(found) == limit)

    def settle(self) -> None:
        """Nothing to wait for: nobody sees a commit before it is on the disk."""

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert at its latest revision, or None."""
        found = self._all(f"{ALERT} WHERE alerts.id = %s", alert_id)
        return alert_of(found[0]) if found else None

    def acts(self, alert_id: str) -> list[StoredAct]:
        """What persons, or time, have done to one alert, oldest first."""
        query = "SELECT * FROM events WHERE alert_id = %s AND kind <> 'hit' ORDER BY sequence"
        return [act_of(row) for row in self._all(query, alert_id)]

    def revisions(self, alert_id: str) -> list[StoredRevision]:
        """Every revision of one alert's hit, in the order in which they were stored."""
        query = "SELECT * FROM events WHERE alert_id = %s AND kind = 'hit' ORDER BY sequence"
        return [
            StoredRevision(row.revision, row.sequence, row.hit, row.received_us)
            for row in self._all(query, alert_id)
        ]

    def latest(self, before: int | None, limit: int) -> list[StoredAlert]:
        """Up to ``limit`` alerts, the most recent first, from below sequence ``before``."""
        below = 2**63 - 1 if before is None else min(before, 2**63 - 1)
        query = f"{ALERT} WHERE alerts.sequence < %s ORDER BY alerts.sequence DESC LIMIT %s"
        return [alert_of(row) for row in self._all(query, below, limit)]

    def evidence(self, alert_id: str, revision: int | None = None) -> bytes | None:
        """The JPEG of one revision (None: the latest that has one), or None."""
        query = (
            "SELECT jpeg FROM pictures WHERE alert_id = %s AND revision = coalesce(%s, revision)"
            " ORDER BY revision DESC LIMIT 1"
        )
        found = self._all(query, alert_id, revision)
        return bytes(found[0].jpeg) if found else None

    def reviewed_before(self, moment_us: int) -> Iterator[tuple[str, int]]:
        """Alerts whose decision is older than that, with its time, those stored first first."""
        query = (
            "SELECT id, reviewed_us, sequence FROM alerts WHERE reviewed_us < %s AND sequence > %s"
            " ORDER BY sequence LIMIT %s"
        )
        after = 0
        while found := self._all(query, moment_us, after, _PAGE):
            for row in found:
                yield row.id, row.reviewed_us
            after = found[-1].sequence

    def forget(self, alert_id: str, reviewed_us: int) -> bool:
        """Delete an alert with all its revisions, pictures and decisions; False if it is not
        there, or was decided at another time than that."""
        delete = "DELETE FROM alerts WHERE id = %s AND reviewed_us = %s RETURNING id"

        def remove(connection: Connection) -> bool:
            lock(connection)
            return connection.execute(delete, (alert_id, reviewed_us)).fetchone() is not None

        return self.write(remove)

    def _all(self, query: str, *values: object) -> list[Any]:
        return self.ask(lambda connection: connection.execute(query, values).fetchall())
