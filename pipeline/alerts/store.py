r"""Alerts, reviews and evidence in Redis, and the feed that subscribers follow.

Keys, below ``<prefix>:alerts:``

==================  =======  =================================================================
``feed_id``         string   made once; a store that was replaced has another
``sequence``        string   the last sequence number given out
``feed``            stream   one entry for each event; its id is ``<sequence>-0``
``by_sequence``     zset     alert ids by the sequence number of their latest revision
``alert:ID``        hash     latest hit, every revision's sequence number, the decision
``evidence:ID:N``   string   the JPEG of revision N
``reviews:ID``      stream   the decisions
``repeats``         string   how often something known was sent again
==================  =======  =================================================================

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
from collections.abc import Iterator, Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from pipeline.alerts import scripts
from pipeline.alerts.records import (
    Durability,
    EventKind,
    Feed,
    NewHit,
    Published,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAlert,
    StoredReview,
)
from pipeline.errors import ConfigError, StoreUnavailable

_WAITAOF_MS: Final = 5_000
_REVIEW_FIELDS: Final = ("review", "reviewer", "review_note", "reviewed_us")
_ALERT_FIELDS: Final = ("sequence", "hit", "received_us", *_REVIEW_FIELDS)


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
        """Store ``hits`` in order, in one round trip; they are on the disk on return."""
        with _unavailable(), self._redis.pipeline(transaction=False) as batch:
            batch.script_load(scripts.PUBLISH)
            sha = _sha(scripts.PUBLISH)
            for hit in hits:
                batch.evalsha(
                    sha,
                    6,
                    self._key("sequence"),
                    self._key("feed"),
                    self._key("alert", hit.id),
                    self._key("evidence", hit.id, str(hit.revision)),
                    self._key("by_sequence"),
                    self._key("repeats"),
                    hit.id,
                    str(hit.revision),
                    hit.hit,
                    str(hit.received_us),
                    hit.jpeg,
                )
            answers = self._execute_durably(batch)
        return [Published(int(sequence), bool(known)) for sequence, known in answers[1:]]

    def review(
        self,
        alert_id: str,
        state: str,
        reviewer: str,
        note: str,
        reviewed_us: int,
        seen_revision: int | None = None,
    ) -> None:
        """Take a decision; it is on the disk on return. Repeating one's own decision is harmless.

        Raises:
            ReviewRefusedError: no such alert, decided already, or amended since ``seen_revision``.
        """
        with _unavailable(), self._redis.pipeline(transaction=False) as batch:
            batch.script_load(scripts.REVIEW)
            batch.evalsha(
                _sha(scripts.REVIEW),
                5,
                self._key("sequence"),
                self._key("feed"),
                self._key("alert", alert_id),
                self._key("reviews", alert_id),
                self._key("repeats"),
                alert_id,
                state,
                reviewer,
                note,
                str(reviewed_us),
                "" if seen_revision is None else str(seen_revision),
            )
            _, (outcome, standing, who, when, revision) = self._execute_durably(batch)
        if outcome == b"done":
            return
        raise ReviewRefusedError(
            ReviewRefusal(outcome.decode()),
            StoredReview(standing.decode(), who.decode(), None, int(when)) if standing else None,
            int(revision) if revision else None,
        )

    def wait(self, after: int, timeout_s: float) -> bool:
        """Wait for an event beyond ``after``; False if none came within ``timeout_s``.

        It waits at most half of the client's own time-out for an answer.
        """
        block_ms = max(1, int(min(timeout_s, self._longest_wait_s) * 1000))
        with _unavailable():
            found = self._redis.xread({self._key("feed"): f"{after}-0"}, count=1, block=block_ms)
        return bool(found)

    def events(self, after: int, limit: int) -> list[StoredAlert]:
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
            _, latest, received, *decision = alert
            events.append(
                StoredAlert(
                    sequence=int(entry_id.split(b"-")[0]),
                    id=values[b"id"].decode(),
                    hit=values[b"hit"] if kind is EventKind.HIT else latest,
                    received_us=int(values.get(b"received_us", received)),
                    review=_review(decision),
                    kind=kind,
                )
            )
        return events

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

    def reviews(self, alert_id: str) -> list[StoredReview]:
        """The decisions on one alert, oldest first."""
        with _unavailable():
            entries = self._redis.xrange(self._key("reviews", alert_id))
        return [
            StoredReview(
                state=values[b"state"].decode(),
                reviewer=values[b"reviewer"].decode(),
                note=values[b"note"].decode() or None,
                reviewed_us=int(values[b"reviewed_us"]),
                revision=int(values[b"revision"]),
            )
            for _, values in entries
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


def _sha(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _review(values: Sequence[bytes | None]) -> StoredReview | None:
    state, reviewer, note, reviewed_us = values
    if state is None:
        return None
    return StoredReview(
        state.decode(),
        (reviewer or b"").decode(),
        (note or b"").decode() or None,
        int(reviewed_us or 0),
    )


def _alert(alert_id: str, values: Sequence[bytes | None]) -> StoredAlert | None:
    sequence, hit, received_us, *decision = values
    if sequence is None or hit is None or received_us is None:
        return None
    return StoredAlert(int(sequence), alert_id, hit, int(received_us), _review(decision))
