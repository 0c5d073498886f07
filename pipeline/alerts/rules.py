"""What the alert service takes, and what a subscriber or a list asks for. Pure functions."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.feed import FeedEvent
from pipeline.alerts.records import EventKind
from pipeline.convert import MAX_EVIDENCE_BYTES, match_kind_from_pb

LONGEST_ID: Final = 200


def fault(hit: pb.Hit) -> pb.Refusal | None:
    """What makes ``hit`` impossible to store, if anything."""
    evidence = hit.passage.evidence
    checks = (
        ("hit.id", 0 < len(hit.id) <= LONGEST_ID, f"must have 1 to {LONGEST_ID} characters"),
        ("hit.checkpoint", bool(hit.checkpoint), "must name the checkpoint"),
        ("hit.passage.id", bool(hit.passage.id), "is missing"),
        ("hit.passage.camera", bool(hit.passage.camera), "is missing"),
        ("hit.entry.id", bool(hit.entry.id), "is missing"),
        ("hit.kind", match_kind_from_pb(hit.kind) is not None, "is missing or unknown"),
        ("hit.probability", 0 <= hit.probability <= 1, "must lie between 0 and 1"),
        ("hit.list_age_s", math.isfinite(hit.list_age_s), "must be a number of seconds"),
        ("hit.occurred_at", hit.HasField("occurred_at"), "is missing"),
        (
            "hit.passage.evidence.jpeg",
            len(evidence.jpeg) <= MAX_EVIDENCE_BYTES,
            f"must have at most {MAX_EVIDENCE_BYTES} bytes",
        ),
        (
            "hit.passage.evidence.sha256",
            not evidence.jpeg or hashlib.sha256(evidence.jpeg).hexdigest() == evidence.sha256,
            "is not that of the JPEG",
        ),
    )
    for name, right, message in checks:
        if not right:
            return pb.Refusal(field=name, message=message)
    return None


def wanted_event(request: pb.SubscribeRequest, event: FeedEvent) -> bool:
    """Whether a subscriber asked for ``event``."""
    if event.kind is EventKind.REVIEW and not request.include_reviews:
        return False
    if event.kind is EventKind.ESCALATION and not request.include_escalations:
        return False
    hit = event.alert.hit
    return (
        _among(hit.checkpoint, request.checkpoints)
        and _among(hit.passage.camera, request.cameras)
        and _among(hit.kind, request.kinds)
        and _among(hit.entry.category, request.categories)
        and (not request.max_priority or hit.entry.priority <= request.max_priority)
    )


def listed(request: pb.ListAlertsRequest, alert: pb.Alert) -> bool:
    """Whether a list shall hold ``alert``."""
    return (
        _among(alert.hit.checkpoint, request.checkpoints)
        and _among(alert.hit.passage.camera, request.cameras)
        and _among(alert.hit.kind, request.kinds)
        and _among(alert.review, request.reviews)
        and _among(alert.hit.entry.category, request.categories)
        and (not request.max_priority or alert.hit.entry.priority <= request.max_priority)
        and (not request.escalated_only or alert.HasField("escalated_at"))
    )


def _among(value: Any, wanted: Any) -> bool:
    return not wanted or value in wanted
