"""A sink that counts alerts: the figures outlive what they were counted from."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import EventKind, StoredAlert
from pipeline.convert_values import match_kind_from_pb, moment_from_pb, timestamp_from_us
from pipeline.histogram import Distribution, Histogram
from pipeline.rollup import CountedAlert, Rollup, RollupError
from pipeline.sinks.base import NAMES, Event, SinkError
from pipeline.types import ReviewState

_MOST_CAMERAS: Final = 1000
_OTHERS: Final = ("other", "other")


class FiguresSink:
    """Notes each alert of the feed in a rollup; the same event twice counts once."""

    name = "figures"
    events: Sequence[str] = tuple(NAMES[kind] for kind in EventKind if kind != EventKind.CHECKPOINT)
    evidence = False
    begin = "all"

    def __init__(self, rollup: Rollup) -> None:
        self._rollup = rollup
        self._lock = threading.Lock()
        self._hits: Counter[tuple[str, str]] = Counter()
        self._latencies: dict[tuple[str, str], Histogram] = {}

    def deliver(self, events: Sequence[Event]) -> None:
        """Count them, all or none."""
        stored = (event.stored for event in events)
        counted = [counted_alert(one) for one in stored if isinstance(one, StoredAlert)]
        try:
            new = self._rollup.note(counted)
        except RollupError as error:
            raise SinkError(str(error)) from error
        with self._lock:
            for alert in new:
                self._hits[alert.kind, alert.category] += 1
                if alert.latency_s is not None:
                    self._measure(alert, alert.latency_s)

    def hits(self) -> Mapping[tuple[str, str], int]:
        """New alerts since the start, by kind and category of their first revision."""
        with self._lock:
            return dict(self._hits)

    def latencies(self) -> Mapping[tuple[str, str], Distribution]:
        """Latencies of new alerts since the start, seconds, by checkpoint and camera."""
        with self._lock:
            return {key: histogram.read() for key, histogram in self._latencies.items()}

    def close(self) -> None:
        """The rollup belongs to whoever made it."""

    def _measure(self, alert: CountedAlert, latency_s: float) -> None:
        key = alert.checkpoint, alert.camera
        if key not in self._latencies and len(self._latencies) >= _MOST_CAMERAS:
            key = _OTHERS
        self._latencies.setdefault(key, Histogram()).observe(latency_s)


def counted_alert(stored: StoredAlert) -> CountedAlert:
    """What is counted of an alert, or of one event about it."""
    hit = pb.Hit.FromString(stored.hit)
    kind = match_kind_from_pb(hit.kind)
    received_at = moment_from_pb(timestamp_from_us(stored.received_us))
    return CountedAlert(
        id=stored.id,
        checkpoint=hit.checkpoint,
        camera=hit.passage.camera,
        at=received_at,
        kind=kind.value if kind else "unknown",
        category=hit.entry.category,
        state=stored.review.state if stored.review else ReviewState.UNVERIFIED.value,
        late=hit.late,
        retracted=hit.retracted,
        latency_s=None if hit.late else _latency_s(hit, received_at),
    )


def _latency_s(hit: pb.Hit, received_at: datetime) -> float | None:
    """From the last frame that this revision rests on; None where the clocks do not agree, or
    for a file that is read faster than it was recorded."""
    ended_at = moment_from_pb(hit.passage.ended_at)
    latency_s = (received_at - ended_at).total_seconds()
    return latency_s if latency_s >= 0 else None
