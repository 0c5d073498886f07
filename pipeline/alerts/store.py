r"""Alerts, reviews and evidence in Redis, and the feed that subscribers follow.

Keys, below ``<prefix>:alerts:``

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
that it has seen could be given to another hit after a power cut. Two ways, told apart
by ``connect``: with ``appendfsync always`` (the embedded server; any version) Redis sends no reply
before the disk has what was written; with another policy, Redis 7.2 or later is asked by
``WAITAOF`` (up to a second slower under ``everysec``). A server with neither is refused.

Thread safety: any thread may call any method; redis-py's connection pool sees to it. The alert
service calls from a few worker threads, so that the client of the embedded server, which starts a
server that has gone, is used as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from pipeline.alerts import scripts
from pipeline.alerts.records import (
    STANDING_FIELDS,
    Act,
    Durability,
    EventKind,
    Feed,
    NamedBy,
    NewHit,
    Published,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAct,
    StoredAlert,
    StoredEscalation,
    StoredPage,
    StoredReview,
    StoredRevision,
)
from pipeline.errors import ConfigError, StoreUnavailable

_WAITAOF_MS: Final = 5_000
_PAGE: Final = 500
_ALERT_FIELDS: Final = ("sequence", "hit", "received_us", *STANDING_FIELDS)


class AlertStore:
    """Alerts in one Redis database.

    ``redis`` answers in bytes (``decode_responses=False``). ``own_server`` says that the server is
    ours alone (the embedded one), so that it may be switched to ``appendfsync always``. Every
    method raises ``StoreUnavailable`` when Redis is away or refuses; then nothing is promised to
    be stored.
    """

    def __init__(
        self, redis: Redis, prefix: str = "checkpoint", *, own_server: bool = False
    ) -> None:
        self._redis: Any = redis  # its answers are typed for every protocol and decoding at once
        self._base = f"{prefix}:alerts"
        self._own_server = own_server
        patience_s = redis.connection_pool.connection_kwargs.get("socket_timeout") or 2.0
        self._longest_wait_s = float(patience_s) / 2
        self.durability = Durability.NONE

    def connect(self, *, require_durable: bool = True) -> Feed:
        """Find out how this server makes things durable, and where the feed stands.

        Call it again after every loss of the connection: another server may have come back.

        Raises:
            ConfigError: the server may lose what it has acknowledged.
            StoreUnavailable: Redis is away.
        """
        with _unavailable():
            self.durability = self._find_durability()
        if self.durability is Durability.NONE and require_durable:
            raise ConfigError(
                "Redis may lose an acknowledged alert: set 'appendonly yes' and "
                "'appendfsync always' in its configuration, or use Redis 7.2 or later with "
                "'appendonly yes'"
            )
        with _unavailable():
            self._redis.set(self._key("feed_id"), uuid.uuid4().hex, nx=True)
            feed = self.feed()
        self.settle()
        return feed

    def feed(self) -> Feed:
        """Which feed this is, and its last sequence number."""
        with _unavailable():
            feed_id, last = self._redis.mget(self._key("feed_id"), self._key("sequence"))
        return Feed((feed_id or b"").decode(), int(last or 0))

    def publish(self, hits: Sequence[NewHit]) -> list[Published]:
        """Store ``hits`` in order, all or none, in one step; they are on the disk on return.

        However many there are, Redis writes them to its file, and has it written to the disk, once.
        """
        keys = [self._key(name) for name in ("sequence", "feed", "by_sequence", "repeats")]
        words: list[str | bytes] = []
        for hit in hits:
            keys += [self._key("alert", hit.id), self._key("evidence", hit.id, str(hit.revision))]
            words += [hit.id, str(hit.revision), hit.hit, str(hit.received_us), hit.jpeg]
        answers = self._run(scripts.PUBLISH, keys, words)
        return [
            Published(int(sequence), bool(known), _review(standing), _escalation(standing))
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
        with _unavailable():
            found = (self._redis.get(self._key("escalation_place")) or b"").decode()
        of_feed, _, place = found.partition(":")
        return int(place) if of_feed == feed_id and place else 0

    def note_escalation_place(self, feed_id: str, place: int) -> None:
        """Keep it for the next start; an older one does no harm."""
        with _unavailable():
            self._redis.set(self._key("escalation_place"), f"{feed_id}:{place}")

    def _act(self, script: str, alert_id: str, words: Sequence[str]) -> None:
        keys = [self._key(name) for name in ("sequence", "feed")]
        keys += [self._key("alert", alert_id), self._key("reviews", alert_id)]
        result, state, who, when, revision = self._run(script, [*keys, self._key("repeats")], words)
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
        with _unavailable():
            found = self._redis.xread({self._key("feed"): f"{after}-0"}, count=1, block=block_ms)
        return _sequence(found[0][1][0][0]) if found else None

    def page(self, after: int, limit: int) -> StoredPage:
        """Up to ``limit`` events beyond ``after``, in order, each with the decision that stands."""
        with _unavailable():
            entries = self._redis.xrange(
                self._key("feed"), min=f"{after + 1}-0", max="+", count=limit
            )
            with self._redis.pipeline(transaction=False) as batch:
                for _, values in entries:
                    batch.hmget(self._key("alert", values[b"id"].decode()), list(_ALERT_FIELDS))
                alerts = batch.execute()
        events = []
        for (entry_id, values), alert in zip(entries, alerts, strict=True):
            kind = EventKind(values[b"kind"].decode())
            _, latest, received, *standing = alert
            if latest is None:
                continue  # forgotten between the two questions
            events.append(
                StoredAlert(
                    sequence=_sequence(entry_id),
                    id=values[b"id"].decode(),
                    hit=values[b"hit"] if kind is EventKind.HIT else latest,
                    received_us=int(values.get(b"received_us", received)),
                    review=_review(standing),
                    kind=kind,
                    escalation=_escalation(standing),
                )
            )
        last = _sequence(entries[-1][0]) if entries else after
        return StoredPage(events, last, more=len(entries) == limit)

    def settle(self) -> None:
        """Return when everything that was read before, by whomever written, is on the disk."""
        if self.durability is Durability.WAITAOF:
            with _unavailable(), self._redis.pipeline(transaction=False) as batch:
                batch.incr(self._key("repeats"), 0)  # WAITAOF speaks of a connection's writes
                self._execute_durably(batch)

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert at its latest revision, or None."""
        with _unavailable():
            values = self._redis.hmget(self._key("alert", alert_id), list(_ALERT_FIELDS))
        return _alert(alert_id, values)

    def acts(self, alert_id: str) -> list[StoredAct]:
        """What persons, or time, have done to one alert, oldest first."""
        with _unavailable():
            entries = self._redis.xrange(self._key("reviews", alert_id))
        return [_act(values) for _, values in entries]

    def revisions(self, alert_id: str) -> list[StoredRevision]:
        """Every revision of one alert's hit, in the order in which they were stored."""
        with _unavailable():
            fields = self._redis.hgetall(self._key("alert", alert_id))
            numbers = sorted(
                (int(value), int(name.partition(b":")[2]))
                for name, value in fields.items()
                if name.startswith(b"sequence:")
            )
            with self._redis.pipeline(transaction=False) as batch:
                for sequence, _ in numbers:
                    batch.xrange(self._key("feed"), f"{sequence}-0", f"{sequence}-0")
                entries = batch.execute()
        return [
            StoredRevision(revision, sequence, values[b"hit"], int(values[b"received_us"]))
            for (sequence, revision), found in zip(numbers, entries, strict=True)
            for _, values in found
        ]

    def latest(self, before: int | None, limit: int) -> list[StoredAlert]:
        """Up to ``limit`` alerts, the most recent first, from below sequence ``before``."""
        with _unavailable():
            ids = self._redis.zrevrangebyscore(
                self._key("by_sequence"),
                "+inf" if before is None else f"({before}",
                "-inf",
                start=0,
                num=limit,
            )
            with self._redis.pipeline(transaction=False) as batch:
                for alert_id in ids:
                    batch.hmget(self._key("alert", alert_id.decode()), list(_ALERT_FIELDS))
                found = batch.execute()
        alerts = (
            _alert(alert_id.decode(), values) for alert_id, values in zip(ids, found, strict=True)
        )
        return [alert for alert in alerts if alert is not None]

    def evidence(self, alert_id: str, revision: int | None = None) -> bytes | None:
        """The JPEG of one revision (None: the latest that has one), or None."""
        with _unavailable():
            if revision is None:
                latest = self._redis.hget(self._key("alert", alert_id), "pictured")
                if latest is None:
                    return None
                revision = int(latest)
            jpeg = self._redis.get(self._key("evidence", alert_id, str(revision)))
        return None if jpeg is None else bytes(jpeg)

    def reviewed_before(self, moment_us: int) -> Iterator[tuple[str, int]]:
        """Alerts whose decision is older than that, with its time, those stored first first."""
        start = 0
        while True:
            with _unavailable():
                ids = self._redis.zrange(self._key("by_sequence"), start, start + _PAGE - 1)
                with self._redis.pipeline(transaction=False) as batch:
                    for one in ids:
                        batch.hmget(self._key("alert", one.decode()), "received_us", "reviewed_us")
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
        with _unavailable():
            fields = self._redis.hkeys(self._key("alert", alert_id))
            names = (_text(field) for field in fields)
            revisions = [name.partition(":")[2] for name in names if name.startswith("sequence:")]
            return bool(
                self._redis.eval(
                    scripts.FORGET,
                    4 + len(revisions),
                    self._key("alert", alert_id),
                    self._key("by_sequence"),
                    self._key("feed"),
                    self._key("reviews", alert_id),
                    *(self._key("evidence", alert_id, revision) for revision in revisions),
                    alert_id,
                    str(reviewed_us),
                )
            )

    def _key(self, *parts: str) -> str:
        return ":".join((self._base, *parts))

    def _find_durability(self) -> Durability:
        try:
            found = self._redis.config_get("append*")
            settings = {_text(name): _text(value) for name, value in found.items()}
        except ResponseError:  # a managed server forbids CONFIG
            settings = {"appendonly": "yes"}
        if settings.get("appendonly") != "yes":
            return Durability.NONE
        if settings.get("appendfsync") == "always":
            return Durability.ALWAYS
        if self._own_server:
            self._redis.config_set("appendfsync", "always")
            return Durability.ALWAYS
        version = str((self._redis.info("server")).get("redis_version", "0.0"))
        major, minor = (int(part) for part in version.split(".")[:2])
        return Durability.WAITAOF if (major, minor) >= (7, 2) else Durability.NONE

    def _run(self, script: str, keys: Sequence[str], words: Sequence[str | bytes]) -> Any:
        """Run a script that writes; its writes are on the disk on return."""
        sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        with _unavailable():
            try:
                return self._evaluate(sha, keys, words)
            except NoScriptError:  # a server that we have not met, or that was restarted
                self._redis.script_load(script)
                return self._evaluate(sha, keys, words)

    def _evaluate(self, sha: str, keys: Sequence[str], words: Sequence[str | bytes]) -> Any:
        with self._redis.pipeline(transaction=False) as batch:
            batch.evalsha(sha, len(keys), *keys, *words)
            return self._execute_durably(batch)[0]

    def _execute_durably(self, batch: Any) -> list[Any]:
        """Run ``batch``; returns its answers once its writes are on the disk."""
        if self.durability is not Durability.WAITAOF:
            answers: list[Any] = batch.execute()
            return answers
        batch.execute_command("WAITAOF", 1, 0, _WAITAOF_MS)
        *answers, (local, _) = batch.execute()
        if not local:
            raise StoreUnavailable("Redis did not write to its disk in time: try again")
        return answers


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """Turn every failure to reach Redis into ``StoreUnavailable``."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(
            f"the alert store (Redis) is away or refuses: {error}; it is tried again"
        ) from error


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _sequence(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


def _review(values: Sequence[bytes | None]) -> StoredReview | None:
    state, reviewer, note, reviewed_us, named_by, outcome, *_ = values
    if state is None:
        return None
    return StoredReview(
        state.decode(),
        (reviewer or b"").decode(),
        (note or b"").decode() or None,
        int(reviewed_us or 0),
        named_by=NamedBy(named_by.decode()) if named_by else None,
        outcome=(outcome or b"").decode() or None,
    )


def _act(values: Mapping[bytes, bytes]) -> StoredAct:
    named_by = values.get(b"named_by", b"").decode()
    return StoredAct(
        act=Act(values.get(b"act", b"review").decode()),
        person=values[b"reviewer"].decode(),
        named_by=NamedBy(named_by) if named_by else None,
        at_us=int(values[b"reviewed_us"]),
        revision=int(values[b"revision"]),
        sequence=int(values.get(b"sequence", 0)),
        state=values[b"state"].decode() or None,
        note=values[b"note"].decode() or None,
        outcome=values.get(b"outcome", b"").decode() or None,
    )


def _escalation(values: Sequence[bytes | None]) -> StoredEscalation | None:
    *_, person, note, escalated_us, named_by = values
    if person is None:
        return None
    return StoredEscalation(
        person.decode(),
        (note or b"").decode() or None,
        int(escalated_us or 0),
        NamedBy(named_by.decode()) if named_by else None,
    )


def _alert(alert_id: str, values: Sequence[bytes | None]) -> StoredAlert | None:
    sequence, hit, received_us, *standing = values
    if sequence is None or hit is None or received_us is None:
        return None
    return StoredAlert(
        int(sequence),
        alert_id,
        hit,
        int(received_us),
        _review(standing),
        escalation=_escalation(standing),
    )
