r"""Alerts, reviews and evidence in Redis, and the feed that subscribers follow.

Keys, below ``{<prefix>}:alerts:`` (the braces keep them together in a cluster)

====================  =======  ================================================================
``feed_id``           string   made once; a store that was replaced has another
``sequence``          string   the last sequence number given out
``feed``              stream   one entry for each event; its id is ``<sequence>-0``
``by_sequence``       zset     alert ids by the sequence number of their latest revision
``alert:ID``          hash     latest hit, every event's sequence number, what stands
``evidence:ID:N``     string   the JPEG of revision N
``reviews:ID``        stream   the decisions and escalations
``escalation_place``  string   up to where in the feed no alert waits to be escalated
``repeats``           string   how often something known was sent again
====================  =======  ================================================================

Durability: ``publish`` and ``review`` return only when Redis has synchronised its append-only file
to the disk, and a subscriber is shown only what has been ``settle``\ d: otherwise a sequence number
that it has seen could be given to another hit after a power cut. ``redis_link.py`` says how that
is known; a server that cannot tell is refused by ``connect``.

Thread safety: any thread may call any method; redis-py's connection pool sees to it. The alert
service calls from a few worker threads, so that the client of the embedded server, which starts a
server that has gone, is used as it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from redis import Redis

from pipeline.alerts import scripts
from pipeline.alerts.records import (
    Durability,
    EventKind,
    Feed,
    NewHit,
    Published,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAct,
    StoredAlert,
    StoredChange,
    StoredEscalation,
    StoredPage,
    StoredReview,
    StoredRevision,
)
from pipeline.alerts.redis_link import RedisLink, text_of, unavailable
from pipeline.alerts.redis_rows import (
    ALERT_FIELDS,
    act_of,
    alert_of,
    escalation_of,
    review_of,
    sequence_of,
)
from pipeline.errors import ConfigError
from pipeline.types import NamedBy

_PAGE: Final = 500


class RedisAlertStore(RedisLink):
    """Alerts in one Redis database; an ``AlertStore``, whose methods are described there."""

    def __init__(
        self, redis: Redis, prefix: str = "checkpoint", *, own_server: bool = False
    ) -> None:
        super().__init__(redis, prefix, own_server=own_server)
        patience_s = redis.connection_pool.connection_kwargs.get("socket_timeout") or 2.0
        self._longest_wait_s = float(patience_s) / 2

    def connect(self, *, require_durable: bool = True) -> Feed:
        """Find out how this server makes things durable, and where the feed stands.

        Call it again after every loss of the connection: another server may have come back.

        Raises:
            ConfigError: the server may lose what it has acknowledged.
            StoreUnavailable: Redis is away.
        """
        with unavailable():
            self.durability = self._find_durability()
        if self.durability is Durability.NONE and require_durable:
            raise ConfigError(
                "Redis may lose an acknowledged alert: set 'appendonly yes' and "
                "'appendfsync always' in its configuration, or use Redis 7.2 or later with "
                "'appendonly yes'"
            )
        with unavailable():
            self.redis.set(self.key("feed_id"), uuid.uuid4().hex, nx=True)
            feed = self.feed()
        self.settle()
        return feed

    def feed(self) -> Feed:
        """Which feed this is, and its last sequence number."""
        with unavailable():
            feed_id, last = self.redis.mget(self.key("feed_id"), self.key("sequence"))
        return Feed((feed_id or b"").decode(), int(last or 0))

    def publish(self, hits: Sequence[NewHit]) -> list[Published]:
        """Store ``hits`` in order, all or none, in one step; they are on the disk on return.

        However many there are, Redis writes them to its file, and has it written to the disk, once.
        """
        keys = [self.key(name) for name in ("sequence", "feed", "by_sequence", "repeats")]
        words: list[str | bytes] = []
        for hit in hits:
            keys += [self.key("alert", hit.id), self.key("evidence", hit.id, str(hit.revision))]
            words += [hit.id, str(hit.revision), hit.hit, str(hit.received_us), hit.jpeg]
        answers = self.run(scripts.PUBLISH, keys, words)
        return [
            Published(int(sequence), bool(known), review_of(standing), escalation_of(standing))
            for sequence, known, *standing in answers
        ]

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
        """Take a decision; it is on the disk on return. Repeating one's own decision is harmless:
        another note or outcome stands from then on.

        Raises:
            ReviewRefusedError: no such alert, decided already, or amended since ``seen_revision``.
        """
        seen = "" if seen_revision is None else str(seen_revision)
        words = [alert_id, state, reviewer, note, str(reviewed_us), seen, outcome, named_by.value]
        self._act(scripts.REVIEW, alert_id, words)

    def withdraw(
        self,
        alert_id: str,
        reviewer: str,
        note: str,
        withdrawn_us: int,
        within_us: int,
        named_by: NamedBy = NamedBy.REQUEST,
    ) -> None:
        """Take one's own decision back, at most ``within_us`` after it; on the disk on return.

        Raises:
            ReviewRefusedError: no such alert, or a decision that is another's or older than that.
        """
        words = [alert_id, reviewer, note, str(withdrawn_us), str(within_us), named_by.value]
        self._act(scripts.WITHDRAW, alert_id, words)

    def escalate(
        self, alert_id: str, person: str, note: str, escalated_us: int, named_by: NamedBy
    ) -> None:
        """Send an alert up; it is on the disk on return. Repeating one's own is harmless.

        Raises:
            ReviewRefusedError: no such alert, decided already, or escalated by someone else.
        """
        words = [alert_id, person, note, str(escalated_us), named_by.value]
        self._act(scripts.ESCALATE, alert_id, words)

    def escalation_place(self, feed_id: str) -> int:
        """The place in that feed up to which no alert waits to be escalated."""
        with unavailable():
            found = (self.redis.get(self.key("escalation_place")) or b"").decode()
        of_feed, _, place = found.partition(":")
        return int(place) if of_feed == feed_id and place else 0

    def note_escalation_place(self, feed_id: str, place: int) -> None:
        """Keep it for the next start; an older one does no harm."""
        with unavailable():
            self.redis.set(self.key("escalation_place"), f"{feed_id}:{place}")

    def _act(self, script: str, alert_id: str, words: Sequence[str]) -> None:
        keys = [self.key(name) for name in ("sequence", "feed")]
        keys += [self.key("alert", alert_id), self.key("reviews", alert_id)]
        result, state, who, when, revision = self.run(script, [*keys, self.key("repeats")], words)
        if result == b"done":
            return
        why = ReviewRefusal(result.decode())
        standing: StoredReview | StoredEscalation | None = None
        if why is ReviewRefusal.DECIDED:
            standing = StoredReview(state.decode(), who.decode(), None, int(when))
        elif why is ReviewRefusal.ESCALATED:
            standing = StoredEscalation(who.decode(), None, int(when))
        raise ReviewRefusedError(why, standing, int(revision) if revision else None)

    def wait(self, after: int, timeout_s: float) -> int | None:
        """Wait for an event beyond ``after``; its number, or None if none came in time.

        It waits at most half of the client's own time-out for an answer.
        """
        block_ms = max(1, int(min(timeout_s, self._longest_wait_s) * 1000))
        with unavailable():
            found = self.redis.xread({self.key("feed"): f"{after}-0"}, count=1, block=block_ms)
        return sequence_of(found[0][1][0][0]) if found else None

    def page(self, after: int, limit: int) -> StoredPage:
        """Up to ``limit`` events beyond ``after``, in order, each with the decision that stands."""
        with unavailable():
            entries = self.redis.xrange(
                self.key("feed"), min=f"{after + 1}-0", max="+", count=limit
            )
            with self.redis.pipeline(transaction=False) as batch:
                for _, values in entries:
                    batch.hmget(self.key("alert", values[b"id"].decode()), list(ALERT_FIELDS))
                alerts = batch.execute()
        events: list[StoredAlert | StoredChange] = []
        for (entry_id, values), alert in zip(entries, alerts, strict=True):
            kind = EventKind(values[b"kind"].decode())
            if kind is EventKind.CHECKPOINT:
                name = values[b"id"].decode()
                events.append(StoredChange(sequence_of(entry_id), name, values[b"status"]))
                continue
            _, latest, received, *standing = alert
            if latest is None:
                continue  # forgotten between the two questions
            events.append(
                StoredAlert(
                    sequence=sequence_of(entry_id),
                    id=values[b"id"].decode(),
                    hit=values[b"hit"] if kind is EventKind.HIT else latest,
                    received_us=int(values.get(b"received_us", received)),
                    review=review_of(standing),
                    kind=kind,
                    escalation=escalation_of(standing),
                )
            )
        last = sequence_of(entries[-1][0]) if entries else after
        return StoredPage(events, last, more=len(entries) == limit)

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert at its latest revision, or None."""
        with unavailable():
            values = self.redis.hmget(self.key("alert", alert_id), list(ALERT_FIELDS))
        return alert_of(alert_id, values)

    def acts(self, alert_id: str) -> list[StoredAct]:
        """What persons, or time, have done to one alert, oldest first."""
        with unavailable():
            entries = self.redis.xrange(self.key("reviews", alert_id))
        return [act_of(values) for _, values in entries]

    def revisions(self, alert_id: str) -> list[StoredRevision]:
        """Every revision of one alert's hit, in the order in which they were stored."""
        with unavailable():
            fields = self.redis.hgetall(self.key("alert", alert_id))
            numbers = sorted(
                (int(value), int(name.partition(b":")[2]))
                for name, value in fields.items()
                if name.startswith(b"sequence:")
            )
            with self.redis.pipeline(transaction=False) as batch:
                for sequence, _ in numbers:
                    batch.xrange(self.key("feed"), f"{sequence}-0", f"{sequence}-0")
                entries = batch.execute()
        return [
            StoredRevision(revision, sequence, values[b"hit"], int(values[b"received_us"]))
            for (sequence, revision), found in zip(numbers, entries, strict=True)
            for _, values in found
        ]

    def latest(self, before: int | None, limit: int) -> list[StoredAlert]:
        """Up to ``limit`` alerts, the most recent first, from below sequence ``before``."""
        with unavailable():
            ids = self.redis.zrevrangebyscore(
                self.key("by_sequence"),
                "+inf" if before is None else f"({before}",
                "-inf",
                start=0,
                num=limit,
            )
            with self.redis.pipeline(transaction=False) as batch:
                for alert_id in ids:
                    batch.hmget(self.key("alert", alert_id.decode()), list(ALERT_FIELDS))
                found = batch.execute()
        alerts = (
            alert_of(alert_id.decode(), values) for alert_id, values in zip(ids, found, strict=True)
        )
        return [alert for alert in alerts if alert is not None]

    def evidence(self, alert_id: str, revision: int | None = None) -> bytes | None:
        """The JPEG of one revision (None: the latest that has one), or None."""
        with unavailable():
            if revision is None:
                latest = self.redis.hget(self.key("alert", alert_id), "pictured")
                if latest is None:
                    return None
                revision = int(latest)
            jpeg = self.redis.get(self.key("evidence", alert_id, str(revision)))
        return None if jpeg is None else bytes(jpeg)

    def reviewed_before(self, moment_us: int) -> Iterator[tuple[str, int]]:
        """Alerts whose decision is older than that, with its time, those stored first first."""
        start = 0
        while True:
            with unavailable():
                ids = self.redis.zrange(self.key("by_sequence"), start, start + _PAGE - 1)
                with self.redis.pipeline(transaction=False) as batch:
                    for one in ids:
                        batch.hmget(self.key("alert", one.decode()), "received_us", "reviewed_us")
                    times = batch.execute()
            for one, (received, reviewed) in zip(ids, times, strict=True):
                if received is not None and int(received) >= moment_us:
                    return  # later ones cannot have been reviewed before they came
                if reviewed is not None and int(reviewed) < moment_us:
                    yield one.decode(), int(reviewed)
            if len(ids) < _PAGE:
                return
            start += _PAGE

    def forget(self, alert_id: str, reviewed_us: int) -> bool:
        """Delete an alert with all its revisions, pictures and decisions; False if it is not
        there, or was decided at another time than that."""
        with unavailable():
            fields = self.redis.hkeys(self.key("alert", alert_id))
            names = (text_of(field) for field in fields)
            revisions = [name.partition(":")[2] for name in names if name.startswith("sequence:")]
            return bool(
                self.redis.eval(
                    scripts.FORGET,
                    4 + len(revisions),
                    self.key("alert", alert_id),
                    self.key("by_sequence"),
                    self.key("feed"),
                    self.key("reviews", alert_id),
                    *(self.key("evidence", alert_id, revision) for revision in revisions),
                    alert_id,
                    str(reviewed_us),
                )
            )
