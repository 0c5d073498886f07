"""What the store holds, as messages of alerts.proto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import (
    Act,
    StoredAct,
    StoredAlert,
    StoredRevision,
)
from pipeline.convert_values import review_state_to_pb, timestamp_from_us
from pipeline.types import NamedBy, ReviewState

_KINDS: Final = {
    Act.REVIEW: pb.HISTORY_KIND_REVIEW,
    Act.DOCUMENT: pb.HISTORY_KIND_DOCUMENT,
    Act.ESCALATION: pb.HISTORY_KIND_ESCALATION,
    Act.WITHDRAWAL: pb.HISTORY_KIND_WITHDRAWAL,
}


def alert_message(stored: StoredAlert) -> pb.Alert:
    """One alert, or one event of the feed about it."""
    review, escalation = stored.review, stored.escalation
    alert = pb.Alert(
        sequence=stored.sequence,
        received_at=timestamp_from_us(stored.received_us),
        review="REVIEW_STATE_UNVERIFIED",
    )
    alert.hit.MergeFromString(stored.hit)
    if review is not None:
        alert.MergeFrom(
            pb.Alert(
                review=_decision(review.state),
                reviewer=review.reviewer,
                reviewer_named_by=_named_by(review.named_by),
                reviewed_at=timestamp_from_us(review.reviewed_us),
                review_note=review.note,
                outcome=review.outcome,
            )
        )
    if escalation is not None:
        alert.MergeFrom(
            pb.Alert(
                escalated_by=escalation.person,
                escalation_named_by=_named_by(escalation.named_by),
                escalated_at=timestamp_from_us(escalation.escalated_us),
                escalation_note=escalation.note,
            )
        )
    return alert


def review_messages(acts: Sequence[StoredAct]) -> list[pb.Review]:
    """The decisions among what was done to an alert."""
    return [
        pb.Review(
            state=_decision(act.state),
            reviewer=act.person,
            note=act.note,
            reviewed_at=timestamp_from_us(act.at_us),
            revision=act.revision,
            named_by=_named_by(act.named_by),
            outcome=act.outcome,
        )
        for act in acts
        if act.state is not None
    ]


def history_messages(
    revisions: Sequence[StoredRevision], acts: Sequence[StoredAct]
) -> list[pb.HistoryEvent]:
    """Everything that happened to an alert, in the feed's order."""
    events = [
        pb.HistoryEvent(
            at=timestamp_from_us(one.received_us),
            kind=pb.HISTORY_KIND_HIT,
            revision=one.revision,
            sequence=one.sequence,
            hit=pb.Hit.FromString(one.hit),
        )
        for one in revisions
    ]
    events += [
        pb.HistoryEvent(
            at=timestamp_from_us(act.at_us),
            kind=_KINDS[act.act],
            revision=act.revision,
            sequence=act.sequence,
            person=act.person,
            named_by=_named_by(act.named_by),
            decision=_decision(act.state) if act.state is not None else None,
            note=act.note,
            outcome=act.outcome,
        )
        for act in acts
    ]
    return sorted(events, key=lambda event: event.sequence)


def _decision(state: str) -> str:
    return review_state_to_pb(ReviewState(state))


def _named_by(named_by: NamedBy | None) -> str:
    return "NAMED_BY_UNSPECIFIED" if named_by is None else f"NAMED_BY_{named_by.name}"
