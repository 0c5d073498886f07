"""What Redis holds, as records of the alert store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.alerts.records import (
    STANDING_FIELDS,
    Act,
    StoredAct,
    StoredAlert,
    StoredEscalation,
    StoredReview,
)
from pipeline.types import NamedBy

ALERT_FIELDS: Final = ("sequence", "hit", "received_us", *STANDING_FIELDS)
"""Of the hash of an alert; what ``alert_of`` takes."""


def sequence_of(entry_id: bytes) -> int:
    """The sequence number in an entry id of the feed."""
    return int(entry_id.partition(b"-")[0])


def review_of(values: Sequence[bytes | None]) -> StoredReview | None:
    """The decision in the standing fields of an alert, if there is one."""
    state, reviewer, note, reviewed_us, named_by, outcome, *_ = values
    if state is None:
        return None
    return StoredReview(
        state.decode(),
        (reviewer or b"").decode(),
        (note or b"").decode() or None,
        int(reviewed_us or 0),
        named_by=NamedBy(named_by.decode()) if named_by else None,
        outcome=(outcome or b"").decode() or None,
    )


def act_of(values: Mapping[bytes, bytes]) -> StoredAct:
    """One entry of an alert's history."""
    named_by = values.get(b"named_by", b"").decode()
    return StoredAct(
        act=Act(values.get(b"act", b"review").decode()),
        person=values[b"reviewer"].decode(),
        named_by=NamedBy(named_by) if named_by else None,
        at_us=int(values[b"reviewed_us"]),
        revision=int(values[b"revision"]),
        sequence=int(values.get(b"sequence", 0)),
        state=values[b"state"].decode() or None,
        note=values[b"note"].decode() or None,
        outcome=values.get(b"outcome", b"").decode() or None,
    )


def escalation_of(values: Sequence[bytes | None]) -> StoredEscalation | None:
    """The escalation in the standing fields of an alert, if there is one."""
    *_, person, note, escalated_us, named_by = values
    if person is None:
        return None
    return StoredEscalation(
        person.decode(),
        (note or b"").decode() or None,
        int(escalated_us or 0),
        NamedBy(named_by.decode()) if named_by else None,
    )


def alert_of(alert_id: str, values: Sequence[bytes | None]) -> StoredAlert | None:
    """One alert, from ``ALERT_FIELDS``; None where there is none."""
    sequence, hit, received_us, *standing = values
    if sequence is None or hit is None or received_us is None:
        return None
    return StoredAlert(
        int(sequence),
        alert_id,
        hit,
        int(received_us),
        review_of(standing),
        escalation=escalation_of(standing),
    )
