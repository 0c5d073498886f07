"""The feed inside the alert service: one follower of the store, read by every subscriber.

One task waits for new events, reads each once and keeps the latest few in memory; it owns this
object's state. Subscribers hold a cursor only and ask for what lies beyond it: those near the end
are served from memory, those behind from the store, each at its own pace. So memory does not
depend on how many there are or how slow they are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import EventKind, StoredAlert
from pipeline.alerts.store import AlertStore
from pipeline.convert import review_state_to_pb, timestamp_from_us
from pipeline.errors import ConfigError, StoreUnavailable
from pipeline.types import ReviewState

_log = structlog.get_logger(__name__)

T = TypeVar("T")

_KEPT_EVENTS: Final = 512
_READ_EVENTS: Final = 128
_WAIT_S: Final = 0.25
_RETRY_S: Final = (0.1, 2.0)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event, its message made once for all subscribers; ``alert`` holds no JPEG."""

    sequence: int
    kind: EventKind
    alert: pb.Alert = field(repr=False)


def alert_message(stored: StoredAlert) -> pb.Alert:
    """The message for what the store holds."""
    alert = pb.Alert(
        sequence=stored.sequence,
        hit=pb.Hit.FromString(stored.hit),
        received_at=timestamp_from_us(stored.received_us),
        review="REVIEW_STATE_UNVERIFIED",
    )
    if stored.review is not None:
        alert.MergeFrom(pb.Alert(review=review_state_to_pb(ReviewState(stored.review.state))))
        alert.reviewer = stored.review.reviewer
        alert.reviewed_at.CopyFrom(timestamp_from_us(stored.review.reviewed_us))
        if stored.review.note is not None:
            alert.review_note = stored.review.note
    return alert


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
        self.id = ""
        self.end = 0
        """The last sequence number that subscribers may see."""
        self.problem: str | None = "the alert store (Redis) has not answered yet"

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

    async def read(self, after: int, limit: int) -> list[FeedEvent]:
        """Up to ``limit`` events beyond ``after``, in order, none beyond ``end``.

        Raises:
            StoreUnavailable: they had to come from the store, and it is away.
        """
        if self._kept and self._kept[0].sequence <= after + 1:
            start = after + 1 - self._kept[0].sequence
            return [self._kept[i] for i in range(start, min(start + limit, len(self._kept)))]
        end = self.end
        stored = await self.call(self._store.events, after, limit)
        return [_event(one) for one in stored if one.sequence <= end]

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
        if not await self.call(self._store.wait, self.end, _WAIT_S):
            feed = await self.call(self._store.feed)
            if feed.id != self.id or feed.last < self.end:
                raise StoreUnavailable("the alert store was replaced; reading its feed anew")
            return
        events = [
            _event(one) for one in await self.call(self._store.events, self.end, _READ_EVENTS)
        ]
        if not events:
            return
        if events[0].sequence != self.end + 1:
            _log.error("gap in the feed", after=self.end, next=events[0].sequence)
            self._kept.clear()
        for event in events:
            if event.kind is EventKind.REVIEW:
                self._carry_review(event)
        self._kept.extend(events)
        self.end = events[-1].sequence
        self.wake()

    def _carry_review(self, review: FeedEvent) -> None:
        """Give the kept events of a reviewed alert the decision that now stands."""
        for place, event in enumerate(self._kept):
            if event.alert.hit.id == review.alert.hit.id:
                alert = pb.Alert()
                alert.CopyFrom(review.alert)
                alert.sequence = event.sequence
                alert.hit.CopyFrom(event.alert.hit)
                alert.received_at.CopyFrom(event.alert.received_at)
                self._kept[place] = FeedEvent(event.sequence, event.kind, alert)

    def _set_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._on_state(problem)
            self.wake()


def _event(stored: StoredAlert) -> FeedEvent:
    return FeedEvent(stored.sequence, stored.kind, alert_message(stored))
