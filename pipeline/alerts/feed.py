"""The feed inside the alert service: one follower of the store, read by every subscriber.

One task waits for new events, reads each once and keeps the latest few in memory; it owns this
object's state. What this service stores itself is added at once, without reading it back
(``extend``). Subscribers hold a cursor only and ask for what lies beyond it: those near the end
are served from memory, those behind from the store, each at its own pace. An event is made into
bytes once, whoever reads it. So neither work nor memory depends on how many subscribers there are
or how slow they are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.messages import alert_message
from pipeline.alerts.pictures import Pictures
from pipeline.alerts.records import EventKind, StoredAlert, StoredChange
from pipeline.alerts.store import AlertStore
from pipeline.errors import ConfigError, StoreUnavailable

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_KEPT_EVENTS: Final = 512
_READ_EVENTS: Final = 128
_WAIT_S: Final = 0.25
_REST_S: Final = 0.05
"""While our own hits flow, how often others' events are looked for."""
_RETRY_S: Final = (0.1, 2.0)
_TOLD_AS: Final = {
    EventKind.HIT: "alert",
    EventKind.REVIEW: "reviewed",
    EventKind.ESCALATION: "escalated",
}


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event, its message and its bytes made once for all subscribers; without the JPEG."""

    sequence: int
    kind: EventKind
    response: pb.SubscribeResponse = field(repr=False)
    wire: bytes = field(repr=False)

    @classmethod
    def of(cls, sequence: int, kind: EventKind, response: pb.SubscribeResponse) -> FeedEvent:
        """The event that ``response`` tells."""
        return cls(sequence, kind, response, response.SerializeToString())

    @property
    def alert(self) -> pb.Alert:
        """The alert that it tells of; an empty one where it tells of a checkpoint."""
        alert: pb.Alert = getattr(self.response, _TOLD_AS.get(self.kind, "alert"))
        return alert


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and the sequence number up to which they are all that there is."""

    events: Sequence[FeedEvent]
    upto: int


def feed_event(stored: StoredAlert | StoredChange) -> FeedEvent:
    """The event for what the store holds."""
    response = pb.SubscribeResponse()
    if isinstance(stored, StoredChange):
        response.checkpoint.sequence = stored.sequence
        response.checkpoint.status.ParseFromString(stored.status)
        return FeedEvent.of(stored.sequence, EventKind.CHECKPOINT, response)
    getattr(response, _TOLD_AS[stored.kind]).CopyFrom(alert_message(stored))
    return FeedEvent.of(stored.sequence, stored.kind, response)


class AlertFeed:
    """Follows the store, wakes subscribers, and knows whether the store is there.

    Args:
        store: read from ``executor``'s threads.
        executor: where blocking calls run.
        on_state: called with None when the store is there, or with what is wrong.
    """

    def __init__(
        self, store: AlertStore, executor: Executor, on_state: Callable[[str | None], None]
    ) -> None:
        self._store = store
        self._executor = executor
        self._on_state = on_state
        self._kept: deque[FeedEvent] = deque(maxlen=_KEPT_EVENTS)
        self._changed = asyncio.Event()
        self.pictures = Pictures(lambda *key: self.call(store.evidence, *key))
        self.storing = asyncio.Lock()
        """Held by who stores events and then adds them with ``extend``."""
        self.id = ""
        self.end = 0
        """The last sequence number that subscribers may see."""
        self.problem: str | None = "the alert store has not answered yet"

    async def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run one blocking call of the store in a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(function, *arguments, **named))

    async def connect(self) -> None:
        """Find out which feed this is and where it ends.

        Raises:
            ConfigError: the store may lose what it has acknowledged.
            StoreUnavailable: the store is away.
        """
        feed = await self.call(self._store.connect)
        if feed.id != self.id or feed.last < self.end:
            self._kept.clear()
            self.pictures.clear()
            self.end = feed.last
        self.id = feed.id
        self._set_problem(None)

    async def follow(self) -> None:
        """Follow the store until cancelled, through every loss of the connection."""
        pause_s = _RETRY_S[0]
        while True:
            try:
                if self.problem is not None:
                    await self.connect()
                await self._step()
                pause_s = _RETRY_S[0]
            except (StoreUnavailable, ConfigError) as error:
                self._set_problem(str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _RETRY_S[1])
            except Exception as error:  # a broken event must not end the feed unseen
                _log.exception("alert feed failed; it is tried again")
                self._set_problem(f"the alert store holds something unreadable: {error}")
                await asyncio.sleep(_RETRY_S[1])

    def extend(self, events: Sequence[FeedEvent]) -> None:
        """Add events that were just stored, and are durable, where they are the next ones.

        Where another service has stored something between, the follower reads them all.
        """
        if events and self.problem is None and events[0].sequence == self.end + 1:
            self._add(events)

    async def read(self, after: int, limit: int) -> Page:
        """Up to ``limit`` events beyond ``after``, in order, none beyond ``end``.

        Raises:
            StoreUnavailable: they had to come from the store, and it is away.
        """
        end, kept = self.end, self._kept
        if kept and kept[0].sequence <= after + 1:
            start = len(kept)  # from the end: most readers are near it
            while start and kept[start - 1].sequence > after:
                start -= 1
            events = [kept[place] for place in range(start, min(start + limit, len(kept)))]
            return Page(events, events[-1].sequence if len(events) == limit else end)
        page = await self.call(self._store.page, after, limit)
        events = [feed_event(one) for one in page.events if one.sequence <= end]
        return Page(events, min(page.last, end) if page.more else end)

    async def wait(self, after: int, timeout_s: float) -> None:
        """Return when there is more beyond ``after``, the state has changed, or time is up."""
        if self.end > after or self.problem is not None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    def wake(self) -> None:
        """Wake every subscriber that waits."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _step(self) -> None:
        found = await self.call(self._store.wait, self.end, _WAIT_S)
        if not found:
            await self._check_same()
            return
        async with self.storing:  # what is being stored here may be what was found
            pass
        if self.end >= found:
            await asyncio.sleep(_REST_S)
            return
        page = await self.call(self._store.page, self.end, _READ_EVENTS)
        await self.call(self._store.settle)
        await self._check_same()
        self._add([feed_event(one) for one in page.events if one.sequence > self.end])
        self.end = max(self.end, page.last)

    async def _check_same(self) -> None:
        end = self.end  # as of now: while the store answers, more may be stored and added here
        feed = await self.call(self._store.feed)
        if feed.id != self.id or feed.last < end:
            raise StoreUnavailable("the alert store was replaced; reading its feed anew")

    def _add(self, events: Sequence[FeedEvent]) -> None:
        for event in events:
            if event.kind in (EventKind.REVIEW, EventKind.ESCALATION):
                self._carry(event)
            self._kept.append(event)
            self.end = event.sequence
        self.wake()

    def _carry(self, change: FeedEvent) -> None:
        """Give the kept events of an alert the decision or escalation that now stands."""
        for place, event in enumerate(self._kept):
            if event.kind is not EventKind.HIT or event.alert.hit.id != change.alert.hit.id:
                continue
            response = pb.SubscribeResponse()
            response.alert.CopyFrom(change.alert)
            response.alert.sequence = event.sequence
            response.alert.hit.CopyFrom(event.alert.hit)
            response.alert.received_at.CopyFrom(event.alert.received_at)
            self._kept[place] = FeedEvent.of(event.sequence, event.kind, response)

    def _set_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._on_state(problem)
            self.wake()
