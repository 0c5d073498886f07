"""Escalation by time: an alert of high priority that nobody reviews goes up by itself.

The escalator follows the feed like a subscriber and remembers, in memory, which alerts wait. What
is kept in the store is only the place in the feed before which none waits, so that a new start
finds them all again. Two services on one store do no harm: an alert is escalated once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

import structlog

from pipeline.alerts.feed import AlertFeed, FeedEvent
from pipeline.alerts.records import EventKind, ReviewRefusedError
from pipeline.alerts.store import AlertStore
from pipeline.clock import Clock
from pipeline.errors import StoreUnavailable
from pipeline.types import NamedBy

_log = structlog.get_logger(__name__)

SERVICE_PERSON: Final = "checkpoint"
"""In whose name the service escalates."""
_READ_EVENTS: Final = 128
_LONGEST_WAIT_S: Final = 5.0
_NOTE_PLACE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """An alert that nobody has reviewed."""

    sequence: int
    received_us: int


class WaitingAlerts:
    """Which alerts of high priority wait for a review, by the feed's events. Pure.

    Args:
        priority: the least urgent that is escalated, 1 to 4.
    """

    def __init__(self, priority: int) -> None:
        self._priority = priority
        self._waiting: dict[str, Waiting] = {}
        self._last_us = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: FeedEvent) -> None:
        """Take note of one event; they come in order."""
        if event.kind is EventKind.CHECKPOINT:
            return
        alert = event.alert
        alert_id = alert.hit.id
        if (
            alert.hit.retracted
            or alert.hit.entry.priority > self._priority
            or alert.HasField("reviewed_at")
            or alert.HasField("escalated_at")
        ):
            self._waiting.pop(alert_id, None)
        elif alert_id not in self._waiting:
            received_us = alert.received_at.ToMicroseconds()
            if event.kind is EventKind.REVIEW:  # taken back: it waits behind those that wait now
                received_us = max(received_us, self._last_us)
            self._waiting[alert_id] = Waiting(event.sequence, received_us)
            self._last_us = received_us

    def due(self, before_us: int) -> list[str]:
        """Those that were stored at or before that time, the oldest first."""
        waiting = self._waiting.items()  # in the feed's order, as they were added
        return [one for one, _ in takewhile(lambda item: item[1].received_us <= before_us, waiting)]

    def drop(self, alert_id: str) -> None:
        """It waits no more."""
        self._waiting.pop(alert_id, None)

    def first_us(self) -> int | None:
        """When the one that waits longest was stored, microseconds since 1970."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.received_us

    def place(self, cursor: int) -> int:
        """The place in the feed at or before which none waits; ``cursor``: how far it was read."""
        first = next(iter(self._waiting.values()), None)
        return cursor if first is None else first.sequence - 1


class Escalator:
    """Escalates what waits too long; lives in the service's event loop.

    Args:
        after_s: how long an alert may wait.
        priority: the least urgent that is escalated, 1 to 4.
    """

    def __init__(
        self, store: AlertStore, feed: AlertFeed, clock: Clock, after_s: float, priority: int
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._after_us = round(after_s * 1_000_000)
        self._priority = priority

    async def run(self) -> None:
        """Follow the feed until cancelled, through every loss of the store."""
        while True:
            try:
                await self._follow()
            except StoreUnavailable:  # the feed itself tells of it
                await asyncio.sleep(_LONGEST_WAIT_S)
            except Exception:
                _log.exception("escalation failed; it is tried again")
                await asyncio.sleep(_LONGEST_WAIT_S)

    async def _follow(self) -> None:
        """Follow one feed; returns where it was replaced by another."""
        feed, waiting = self._feed, WaitingAlerts(self._priority)
        if feed.problem is not None:
            raise StoreUnavailable(feed.problem)
        feed_id = feed.id
        cursor = noted = await feed.call(self._store.escalation_place, feed_id)
        noted_s = self._clock.monotonic()
        while feed.id == feed_id:
            if feed.problem is not None:
                raise StoreUnavailable(feed.problem)
            while cursor < feed.end:
                page = await feed.read(cursor, _READ_EVENTS)
                for event in page.events:
                    waiting.add(event)
                cursor = max(cursor, page.upto)
            for alert_id in waiting.due(self._now_us() - self._after_us):
                await self._escalate(alert_id)
                waiting.drop(alert_id)
            place = waiting.place(cursor)
            if place > noted and self._clock.monotonic() - noted_s >= _NOTE_PLACE_S:
                await feed.call(self._store.note_escalation_place, feed_id, place)
                noted, noted_s = place, self._clock.monotonic()
            await feed.wait(cursor, self._pause_s(waiting))

    def _pause_s(self, waiting: WaitingAlerts) -> float:
        first_us = waiting.first_us()
        if first_us is None:
            return _LONGEST_WAIT_S
        left_s = (first_us + self._after_us - self._now_us()) / 1_000_000
        return min(max(left_s, 0.05), _LONGEST_WAIT_S)

    async def _escalate(self, alert_id: str) -> None:
        try:
            await self._feed.call(
                self._store.escalate,
                alert_id,
                SERVICE_PERSON,
                "",
                self._now_us(),
                NamedBy.SERVICE,
            )
        except ReviewRefusedError:  # someone was faster, or it was deleted
            return
        _log.warning("alert escalated: nobody has reviewed it in time", alert=alert_id)

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)
