"""What the alert service needs of the store that keeps its alerts.

``RedisAlertStore`` in ``redis_store.py`` is one. ``tests/integration/test_alert_store_contract.py``
says the same as this module in tests, and runs over every store that there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline.alerts.records import (
    Feed,
    NewHit,
    Published,
    StoredAct,
    StoredAlert,
    StoredCheckpoint,
    StoredPage,
    StoredRevision,
)
from pipeline.types import NamedBy


class AlertStore(Protocol):
    """Alerts with their evidence and history, and the feed of everything that happens to them.

    Each event gets the next sequence number: 1, 2, 3, … in the order in which the store took them.
    A number is never given out twice; those of alerts that were deleted are missing from then on.

    What writes returns when it is on the disk: nothing that was returned, or read and then
    ``settle``d, is undone by a crash or a power cut. Any thread may call any method. Every method
    raises ``StoreUnavailable`` when the store is away or refuses; then nothing is promised to be
    stored, and doing it again is harmless.
    """

    def connect(self, *, require_durable: bool = True) -> Feed:
        """Find out whether the store keeps what it takes, and where the feed stands.

        Call it again after every loss of the connection: another server may have come back.

        Raises:
            ConfigError: the store may lose what it has acknowledged.
            StoreUnavailable: it is away.
        """
        ...

    def feed(self) -> Feed:
        """Which feed this is, and its last sequence number."""
        ...

    def publish(self, hits: Sequence[NewHit]) -> list[Published]:
        """Store ``hits`` in order, all or none, with one wait for the disk.

        A (hit id, revision) that is known keeps the number that it got at first. The latest
        revision of a hit is the alert; an older one that comes late is an event and no more.
        """
        ...

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
        """Take a decision; the first stands. Repeating one's own is harmless: another note or
        outcome stands from then on.

        Raises:
            ReviewRefusedError: no such alert, decided already, or amended since ``seen_revision``.
        """
        ...

    def withdraw(
        self,
        alert_id: str,
        reviewer: str,
        note: str,
        withdrawn_us: int,
        within_us: int,
        named_by: NamedBy = NamedBy.REQUEST,
    ) -> None:
        """Take one's own decision back, at most ``within_us`` after it: nobody has decided then.

        It is an event like a decision. Where there is no decision nothing happens.

        Raises:
            ReviewRefusedError: no such alert, or a decision that is another's or older than that.
        """
        ...

    def escalate(
        self, alert_id: str, person: str, note: str, escalated_us: int, named_by: NamedBy
    ) -> None:
        """Send an alert up. Repeating one's own is harmless.

        Raises:
            ReviewRefusedError: no such alert, decided already, or escalated by someone else.
        """
        ...

    def escalation_place(self, feed_id: str) -> int:
        """The place in that feed up to which no alert waits to be escalated."""
        ...

    def note_escalation_place(self, feed_id: str, place: int) -> None:
        """Keep it for the next start; an older one does no harm."""
        ...

    def wait(self, after: int, timeout_s: float) -> int | None:
        """Wait for an event beyond ``after``; its number, or None if none came in time.

        It may return earlier than that.
        """
        ...

    def page(self, after: int, limit: int) -> StoredPage:
        """Up to ``limit`` events beyond ``after``, in order, each with what now stands."""
        ...

    def settle(self) -> None:
        """Return when everything that was read before, by whomever written, is on the disk."""
        ...

    def alert(self, alert_id: str) -> StoredAlert | None:
        """One alert at its latest revision, or None."""
        ...

    def acts(self, alert_id: str) -> list[StoredAct]:
        """What persons, or time, have done to one alert, oldest first."""
        ...

    def revisions(self, alert_id: str) -> list[StoredRevision]:
        """Every revision of one alert's hit, in the order in which they were stored."""
        ...

    def latest(self, before: int | None, limit: int) -> list[StoredAlert]:
        """Up to ``limit`` alerts, the most recent first, from below sequence ``before``."""
        ...

    def evidence(self, alert_id: str, revision: int | None = None) -> bytes | None:
        """The JPEG of one revision (None: the latest that has one), or None."""
        ...

    def reviewed_before(self, moment_us: int) -> Iterator[tuple[str, int]]:
        """Alerts whose decision is older than that, with its time, those stored first first."""
        ...

    def forget(self, alert_id: str, reviewed_us: int) -> bool:
        """Delete an alert with all its revisions, pictures and decisions; False if it is not
        there, or was decided at another time than that."""
        ...


class CheckpointStore(Protocol):
    """What is known of checkpoints; their changes are events of the alert store's feed.

    Several services may share one store, and each hears of some checkpoints only. Methods raise
    as those of ``AlertStore``.
    """

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Every checkpoint that was ever heard of, by name."""
        ...

    def note(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Keep what is known of checkpoints whose state stays as it is."""
        ...

    def change(self, checkpoint: StoredCheckpoint) -> int | None:
        """Put the change of a checkpoint's state into the feed; its number there.

        None where another service did that already or, where it would be silent, has heard of it
        since: then there is no event. On return it is on the disk.
        """
        ...
