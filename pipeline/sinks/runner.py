"""The thread of one sink: from the feed, in order, to the receiver, and a durable place behind.

The place is kept after the receiver has an event, so that nothing is lost; what was under way when
the process died is sent again with the same key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.channel import Backoff
from pipeline.alerts.records import EventKind, StoredAlert, StoredChange
from pipeline.alerts.store import AlertStore
from pipeline.errors import CheckpointError
from pipeline.sinks.base import Event, Sink, SinkError, SinkRefusedError, name_of
from pipeline.sinks.cursors import Cursors, Place

_log = structlog.get_logger(__name__)

_PAGE: Final = 32
_WAIT_S: Final = 0.5
_BACKOFF_S: Final = (0.2, 30.0)


class SinkRunner:
    """Feeds one sink for as long as it runs.

    Args:
        store: one of this runner's own; read from the runner's thread.
        report: called with what keeps events from being delivered, or with None.
    """

    def __init__(
        self,
        sink: Sink,
        store: AlertStore,
        cursors: Cursors,
        report: Callable[[str | None], None] | None = None,
        backoff_s: tuple[float, float] = _BACKOFF_S,
    ) -> None:
        self.name = sink.name
        self.delivered = 0
        """Events that the receiver has taken since the start."""
        self._sink = sink
        self._store = store
        self._cursors = cursors
        self._report = report or (lambda problem: None)
        self._backoff = Backoff(*backoff_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{sink.name}", daemon=True)

    def start(self) -> None:
        """Begin where an earlier run ended."""
        self._thread.start()

    def request_stop(self) -> None:
        """Have the thread end soon."""
        self._stopping.set()

    def stop(self, deadline_s: float = 2.0) -> None:
        """End the thread; what was not delivered is at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            pause_s = 0.0
            try:
                self._follow()
            except CheckpointError as error:
                problem = str(error)
                pause_s = error.retry_s if isinstance(error, SinkError) else 0.0
            except Exception as error:  # never stop delivering unseen
                _log.exception("sink failed; it goes on", sink=self.name)
                problem = f"failed: {error}"
            else:
                continue
            self._report(problem)
            self._stopping.wait(max(pause_s, self._backoff.next_s()))
        self._sink.close()

    def _follow(self) -> None:
        """Deliver from the kept place on, until stopped or something is in the way."""
        place = self._begin()
        while not self._stopping.is_set():
            if not self._store.wait(place.sequence, _WAIT_S):
                self._check_feed(place)
                self._fine()
                continue
            page = self._store.page(place.sequence, _PAGE)
            self._store.settle()
            self._check_feed(place)  # the page is of the feed that we follow
            events = [
                Event(place.feed_id, stored, self._picture(stored))
                for stored in page.events
                if name_of(stored) in self._sink.events
            ]
            self._deliver(events)
            place = Place(place.feed_id, max(page.last, place.sequence))
            self._cursors.keep(self.name, place)
            self._fine()

    def _begin(self) -> Place:
        feed = self._store.connect()
        place = self._cursors.place(self.name)
        if place is None:
            place = Place(feed.id, feed.last if self._sink.begin == "now" else 0)
            self._cursors.keep(self.name, place)
        elif place.feed_id != feed.id or place.sequence > feed.last:
            _log.warning(
                "the alert store was replaced or restored: sending its whole feed",
                sink=self.name,
                feed=feed.id,
            )
            place = Place(feed.id, 0)
            self._cursors.keep(self.name, place)
        return place

    def _check_feed(self, place: Place) -> None:
        feed = self._store.feed()
        if feed.id != place.feed_id or feed.last < place.sequence:
            raise SinkError("the alert store was replaced; beginning anew")

    def _deliver(self, events: Sequence[Event]) -> None:
        """Deliver events; what was taken before a failure is kept as done."""
        while events:
            try:
                self._sink.deliver(events)
                taken = len(events)
            except SinkRefusedError as refused:
                event = events[refused.done]
                _log.error(
                    "event refused for good", sink=self.name, key=event.key, reason=str(refused)
                )
                self._cursors.refuse(self.name, event.key, str(refused))
                self.delivered += refused.done
                events = events[refused.done + 1 :]
                continue
            except SinkError as error:
                if error.done:
                    self.delivered += error.done
                    last = events[error.done - 1]
                    self._cursors.keep(self.name, Place(last.feed_id, last.stored.sequence))
                raise
            self.delivered += taken
            return

    def _picture(self, stored: StoredAlert | StoredChange) -> bytes:
        if isinstance(stored, StoredChange) or stored.kind is not EventKind.HIT:
            return b""
        if not self._sink.evidence:
            return b""
        revision = pb.Hit.FromString(stored.hit).revision
        return self._store.evidence(stored.id, revision) or b""

    def _fine(self) -> None:
        self._backoff.reset()
        self._report(None)
