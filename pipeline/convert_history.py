"""An alert's history, and counts of alerts, from protobuf messages; see ``convert.py``."""

from __future__ import annotations

from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.convert import hit_from_pb
from pipeline.convert_values import moment_from_pb, named_by_from_pb, review_state_from_pb
from pipeline.types import AlertStats, HistoryEvent, HistoryKind

_KINDS: Final = {
    value.number: value.name.removeprefix("HISTORY_KIND_")
    for value in pb.HistoryKind.DESCRIPTOR.values
    if value.number
}


def history_from_pb(message: pb.HistoryEvent) -> HistoryEvent:
    """Convert one event of an alert's history.

    Raises:
        ValueError: the kind is unknown, or see ``hit_from_pb``.
    """
    name = _KINDS.get(message.kind)
    if name is None:
        raise ValueError(f"history: kind {message.kind} is unknown; update this client")
    return HistoryEvent(
        at=moment_from_pb(message.at),
        kind=HistoryKind[name],
        revision=message.revision,
        sequence=message.sequence,
        person=message.person if message.HasField("person") else None,
        named_by=named_by_from_pb(message.named_by),
        decision=review_state_from_pb(message.decision),
        note=message.note if message.HasField("note") else None,
        outcome=message.outcome if message.HasField("outcome") else None,
        hit=hit_from_pb(message.hit) if message.HasField("hit") else None,
    )


def stats_from_pb(message: pb.GetStatsResponse) -> AlertStats:
    """Convert the counts of a period."""
    return AlertStats(
        since=moment_from_pb(message.since),
        until=moment_from_pb(message.until),
        alerts=message.alerts,
        unverified=message.unverified,
        confirmed=message.confirmed,
        rejected=message.rejected,
        escalated=message.escalated,
        retracted=message.retracted,
        by_category=dict(message.by_category),
        by_kind=dict(message.by_kind),
        by_checkpoint=dict(message.by_checkpoint),
        by_priority=dict(message.by_priority),
        by_outcome=dict(message.by_outcome),
        median_review_s=message.median_review_s if message.HasField("median_review_s") else None,
        oldest_unverified_s=(
            message.oldest_unverified_s if message.HasField("oldest_unverified_s") else None
        ),
        complete=message.complete,
        subscribers=message.subscribers,
        publishers=message.publishers,
    )
