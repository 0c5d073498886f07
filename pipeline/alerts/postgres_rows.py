"""What PostgreSQL holds, as records of the alert store; the columns stand in ``migrations/``."""

from __future__ import annotations

from typing import Any, Final

from pipeline.alerts.records import (
    STANDING_FIELDS,
    Act,
    EventKind,
    StoredAct,
    StoredAlert,
    StoredChange,
    StoredEscalation,
    StoredReview,
)
from pipeline.types import NamedBy

STANDING: Final = ", ".join(f"alerts.{name}" for name in STANDING_FIELDS)
"""The columns that hold the decision and the escalation that stand."""
ALERT: Final = f"""
SELECT alerts.sequence, 'hit' AS kind, alerts.id AS alert_id, events.hit, events.received_us,
    {STANDING}
FROM alerts JOIN events ON events.sequence = alerts.sequence
"""  # noqa: S608 (columns of ours)
"""Alerts at their latest revision; what ``alert_of`` takes."""


def review_of(row: Any) -> StoredReview | None:
    """The decision in the ``STANDING`` columns, if there is one."""
    if row.review is None:
        return None
    return StoredReview(
        row.review,
        row.reviewer,
        row.review_note,
        row.reviewed_us,
        named_by=_named_by(row.reviewer_named_by),
        outcome=row.outcome,
    )


def escalation_of(row: Any) -> StoredEscalation | None:
    """The escalation in the ``STANDING`` columns, if there is one."""
    if row.escalated_by is None:
        return None
    return StoredEscalation(
        row.escalated_by,
        row.escalation_note,
        row.escalated_us,
        _named_by(row.escalation_named_by),
    )


def alert_of(row: Any) -> StoredAlert:
    """One alert, or one event about it."""
    return StoredAlert(
        row.sequence,
        row.alert_id,
        row.hit,
        row.received_us,
        review_of(row),
        EventKind(row.kind),
        escalation_of(row),
    )


def event_of(row: Any) -> StoredAlert | StoredChange:
    """One event of the feed."""
    if row.kind == EventKind.CHECKPOINT:
        return StoredChange(row.sequence, row.checkpoint, row.status)
    return alert_of(row)


def act_of(row: Any) -> StoredAct:
    """One entry of an alert's history."""
    return StoredAct(
        Act(row.act),
        row.person,
        _named_by(row.named_by),
        row.at_us,
        row.revision,
        row.sequence,
        row.state,
        row.note,
        row.outcome,
    )


def _named_by(value: str | None) -> NamedBy | None:
    return NamedBy(value) if value else None
