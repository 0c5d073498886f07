"""The intake: hits of all publishers go into the store in common steps.

What arrives while one step is on its way to the disk makes up the next one. So the disk is waited
for once for many hits, however many publishers they come from; each publisher's hits keep their
order, and each is answered when its own are durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.alerts.feed import AlertFeed, FeedEvent, feed_event
from pipeline.alerts.records import NewHit, Published, StoredAlert
from pipeline.alerts.store import AlertStore

_STEP_HITS: Final = 256
_STEP_BYTES: Final = 8 * 1024 * 1024


class _Arrival(NamedTuple):
    """Hits of one publisher, and where it waits for what became of them."""

    hits: Sequence[NewHit]
    answer: asyncio.Future[list[Published]]


class Intake:
    """Stores hits and adds them to the feed; lives in the service's event loop."""

    def __init__(self, store: AlertStore, feed: AlertFeed) -> None:
        self._store = store
        self._feed = feed
        self._arrivals: deque[_Arrival] = deque()
        self._arrived = asyncio.Event()

    async def store(self, hits: Sequence[NewHit]) -> list[Published]:
        """Store ``hits`` in order; on return they are durable and in the feed.

        Raises:
            StoreUnavailable: the store is away or refuses; nothing is promised to be stored.
        """
        arrival = _Arrival(hits, asyncio.get_running_loop().create_future())
        self._arrivals.append(arrival)
        self._arrived.set()
        return await arrival.answer

    async def run(self) -> None:
        """Store what arrives until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._arrivals:
                step = self._next_step()
                try:
                    await self._take(step)
                except Exception as error:
                    for arrival in step:
                        if not arrival.answer.done():
                            arrival.answer.set_exception(error)

    def _next_step(self) -> list[_Arrival]:
        step: list[_Arrival] = []
        hits = size = 0
        while self._arrivals and (not step or (hits < _STEP_HITS and size < _STEP_BYTES)):
            arrival = self._arrivals.popleft()
            if arrival.answer.cancelled():  # its publisher has gone and will send again
                continue
            step.append(arrival)
            hits += len(arrival.hits)
            size += sum(len(hit.hit) + len(hit.jpeg) for hit in arrival.hits)
        return step

    async def _take(self, step: Sequence[_Arrival]) -> None:
        hits = [hit for arrival in step for hit in arrival.hits]
        if not hits:
            return
        async with self._feed.storing:
            published = await self._feed.call(self._store.publish, hits)
            self._tell(hits, published)
        answers = iter(published)
        for arrival in step:
            mine = [next(answers) for _ in arrival.hits]
            if not arrival.answer.done():
                arrival.answer.set_result(mine)

    def _tell(self, hits: Sequence[NewHit], published: Sequence[Published]) -> None:
        """Add what is new to the feed, with its picture at hand."""
        events: list[FeedEvent] = []
        for hit, place in zip(hits, published, strict=True):
            if not place.duplicate:
                self._feed.pictures.keep(hit.id, hit.revision, hit.jpeg)
                events.append(
                    feed_event(
                        StoredAlert(
                            place.sequence,
                            hit.id,
                            hit.hit,
                            hit.received_us,
                            place.review,
                            escalation=place.escalation,
                        )
                    )
                )
        self._feed.extend(events)
