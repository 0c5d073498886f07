"""Counts of the alerts of a period. Pure, but for the pages it is given."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import StoredAlert
from pipeline.convert_values import match_kind_from_pb, timestamp_from_us
from pipeline.types import ReviewState

MOST_COUNTED: Final = 20_000
_PAGE: Final = 500


def count(
    latest: Callable[[int | None, int], Sequence[StoredAlert]],
    since_us: int,
    until_us: int,
    checkpoints: Collection[str] = (),
    most: int = MOST_COUNTED,
) -> pb.GetStatsResponse:
    """Count the alerts that were stored from ``since_us`` to ``until_us``, at most ``most``.

    Args:
        latest: pages of alerts, the most recent first: from below a sequence number, so many.
        since_us, until_us: microseconds since 1970, UTC.
        checkpoints: names; empty: all.
        most: how many are looked at.
    """
    answer = pb.GetStatsResponse(
        since=timestamp_from_us(since_us), until=timestamp_from_us(until_us), complete=True
    )
    reviewed_after_s: list[float] = []
    states: Counter[str] = Counter()
    oldest_us: int | None = None
    before: int | None = None
    looked_at = 0
    while page := latest(before, _PAGE):
        for stored in page:
            before = stored.sequence
            if stored.received_us < since_us:
                return _finished(answer, states, reviewed_after_s, oldest_us)
            if looked_at == most:
                answer.complete = False
                return _finished(answer, states, reviewed_after_s, oldest_us)
            looked_at += 1
            hit = pb.Hit.FromString(stored.hit)
            if checkpoints and hit.checkpoint not in checkpoints:
                continue
            _add(answer, stored, hit)
            if stored.review is None:
                states[ReviewState.UNVERIFIED.value] += 1
                oldest_us = min(oldest_us or stored.received_us, stored.received_us)
            else:
                states[stored.review.state] += 1
                waited_us = stored.review.reviewed_us - stored.received_us
                reviewed_after_s.append(max(0.0, waited_us / 1e6))
    return _finished(answer, states, reviewed_after_s, oldest_us)


def _add(answer: pb.GetStatsResponse, stored: StoredAlert, hit: pb.Hit) -> None:
    kind = match_kind_from_pb(hit.kind)
    answer.alerts += 1
    answer.retracted += hit.retracted
    answer.escalated += stored.escalation is not None
    answer.by_category[hit.entry.category] += 1
    answer.by_kind[kind.value if kind else "unknown"] += 1
    answer.by_checkpoint[hit.checkpoint] += 1
    answer.by_priority[hit.entry.priority] += 1
    if stored.review is not None and stored.review.outcome:
        answer.by_outcome[stored.review.outcome] += 1


def _finished(
    answer: pb.GetStatsResponse,
    states: Counter[str],
    reviewed_after_s: Sequence[float],
    oldest_us: int | None,
) -> pb.GetStatsResponse:
    answer.unverified = states[ReviewState.UNVERIFIED.value]
    answer.confirmed = states[ReviewState.CONFIRMED.value]
    answer.rejected = states[ReviewState.REJECTED.value]
    if reviewed_after_s:
        answer.median_review_s = statistics.median(reviewed_after_s)
    if oldest_us is not None:
        until_us = answer.until.ToMicroseconds()
        answer.oldest_unverified_s = max(0.0, (until_us - oldest_us) / 1e6)
    return answer
