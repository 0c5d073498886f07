"""What the calls of the alert service share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import grpc

from pipeline.alerts.feed import AlertFeed
from pipeline.alerts.intake import Intake
from pipeline.alerts.presence import Presence
from pipeline.alerts.records import LONGEST_ID, StoredAlert
from pipeline.alerts.status import CallRefused, Reason
from pipeline.alerts.store import AlertStore
from pipeline.clock import Clock

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]

RETRY_S: Final = 1.0
_PICTURES_AT_ONCE: Final = 64
"""However slowly they are read: each has up to 4 MiB."""


class Calls:
    """The parts that the calls work with; lives in the service's event loop.

    Args:
        store: read and written through ``feed.call``.
        feed: what subscribers read.
        intake: takes what publishers send.
        presence: which checkpoints are heard of.
        clock: for the times of arrival and review.
        stopping: set once the service has begun to stop; endless calls end then.
        heartbeat_s: how often a quiet subscriber is told where the feed stands.
        undo_s: how long a reviewer can take a decision back.
    """

    def __init__(
        self,
        store: AlertStore,
        feed: AlertFeed,
        intake: Intake,
        presence: Presence,
        clock: Clock,
        stopping: asyncio.Event,
        heartbeat_s: float,
        undo_s: float = 10.0,
    ) -> None:
        self.store = store
        self.feed = feed
        self.intake = intake
        self.presence = presence
        self.clock = clock
        self.stopping = stopping
        self.heartbeat_s = heartbeat_s
        self.undo_us = round(undo_s * 1_000_000)
        self.counting = asyncio.Lock()
        """Held by who counts alerts: that is work for a whole core."""
        self.sending_pictures = asyncio.Semaphore(_PICTURES_AT_ONCE)
        self.subscribers = 0
        self.publishers = 0

    async def ask(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run one call of the store in a worker thread.

        Raises:
            StoreUnavailable: the store is away.
        """
        return await self.feed.call(function, *arguments, **named)

    async def alert(self, alert_id: str) -> StoredAlert:
        """One alert.

        Raises:
            CallRefused: there is none.
        """
        stored = await self.ask(self.store.alert, checked_id(alert_id))
        if stored is None:
            raise unknown(alert_id)
        return stored

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return int(self.clock.now().timestamp() * 1_000_000)


def checked_id(alert_id: str) -> str:
    """An id that one of our alerts may have.

    Raises:
        CallRefused: it is none.
    """
    if not 0 < len(alert_id) <= LONGEST_ID:
        raise invalid("id", f"must have 1 to {LONGEST_ID} characters")
    if "\0" in alert_id:  # no store can have it
        raise invalid("id", "must not hold the character NUL")
    return alert_id


def unknown(alert_id: str) -> CallRefused:
    """There is no such alert."""
    return CallRefused(
        Reason.ALERT_UNKNOWN, f"alert {alert_id}: there is none", metadata={"id": alert_id}
    )


def invalid(field: str, message: str) -> CallRefused:
    """A field of the request cannot be used."""
    return CallRefused(Reason.FIELD_INVALID, f"{field}: {message}", field=field)


def stopping() -> CallRefused:
    """The service ends."""
    return CallRefused(
        Reason.STOPPING, "the alert service is stopping; connect again", retry_s=RETRY_S
    )
