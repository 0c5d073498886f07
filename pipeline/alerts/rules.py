"""What the alert service takes, and what a subscriber or a list asks for. Pure functions."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.feed import FeedEvent
from pipeline.alerts.records import LONGEST_ID, EventKind
from pipeline.convert import MAX_EVIDENCE_BYTES
from pipeline.convert_values import match_kind_from_pb

LARGEST_HIT: Final = 128 * 1024
"""Bytes of a hit without its JPEG; one of ours has about three thousand."""
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999


def fault(hit: pb.Hit) -> pb.Refusal | None:
    """What makes ``hit`` impossible to store, if anything."""
    evidence = hit.passage.evidence
    checks = (
        ("hit.id", 0 < len(hit.id) <= LONGEST_ID, f"must have 1 to {LONGEST_ID} characters"),
        ("hit.id", "\0" not in hit.id, "must not hold the character NUL"),
        (
            "hit.checkpoint",
            0 < len(hit.checkpoint) <= LONGEST_ID,
            f"must name the checkpoint in 1 to {LONGEST_ID} characters",
        ),
        ("hit.checkpoint", "\0" not in hit.checkpoint, "must not hold the character NUL"),
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
    return _unreadable(hit)


def _unreadable(hit: pb.Hit) -> pb.Refusal | None:
    """What no subscriber could read. One such hit would stop them all."""
    passage, entry = hit.passage, hit.entry
    for name, stamp in (
        ("hit.occurred_at", hit.occurred_at),
        ("hit.passage.started_at", passage.started_at),
        ("hit.passage.ended_at", passage.ended_at),
        ("hit.entry.valid_from", entry.valid_from),
        ("hit.entry.expires_at", entry.expires_at),
    ):
        if not (_FIRST_S <= stamp.seconds <= _LAST_S and 0 <= stamp.nanos < 1_000_000_000):
            return pb.Refusal(field=name, message="must be a time in the years 1 to 9999")
    if passage.HasField("char_probs"):
        probs = passage.char_probs
        if (
            len(probs.values) != 4 * probs.slots * probs.characters
            or len(probs.alphabet) != probs.characters - 1
        ):
            return pb.Refusal(
                field="hit.passage.char_probs", message="size, shape and alphabet must agree"
            )
    if hit.ByteSize() - len(passage.evidence.jpeg) > LARGEST_HIT:
        return pb.Refusal(
            field="hit", message=f"must have at most {LARGEST_HIT} bytes without the JPEG"
        )
    return None


def wanted_event(request: pb.SubscribeRequest, event: FeedEvent) -> bool:
    """Whether a subscriber asked for ``event``."""
    if event.kind is EventKind.REVIEW and not request.include_reviews:
        return False
    if event.kind is EventKind.ESCALATION and not request.include_escalations:
        return False
    if event.kind is EventKind.CHECKPOINT:
        name = event.response.checkpoint.status.checkpoint
        return request.include_checkpoints and _among(name, request.checkpoints)
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
