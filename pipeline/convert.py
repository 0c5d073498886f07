"""Domain records to protobuf messages and back; the identity both ways.

The one module beside the service's and the client's stubs that touches ``alerts_pb2``. What a
newer sender knows and this version does not is mapped to the nearest known value: a class to
OTHER, a colour or direction to None. A message without what every record must have raises
``ValueError``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.convert_values import (
    direction_from_pb,
    enum_name,
    match_kind_from_pb,
    moment_from_pb,
    moment_to_pb,
    named_by_from_pb,
    plate_class_from_pb,
    review_state_from_pb,
    review_state_to_pb,
    vehicle_class_from_pb,
    vehicle_colour_from_pb,
)
from pipeline.types import (
    ALPHABET,
    Alert,
    CharProbs,
    Evidence,
    Hit,
    Passage,
    ReviewState,
    WatchlistEntry,
)

MAX_EVIDENCE_BYTES: Final = 4 * 1024 * 1024
"""Largest JPEG that travels with a hit."""

_LETTERS = "".join(ALPHABET[1:])
_COLUMNS = {character: column for column, character in enumerate(ALPHABET)}
_CORNERS = 8  # of a plate: x and y of four


class OutgoingHit(NamedTuple):
    """A hit as it waits in the outbox."""

    hit_id: str
    revision: int
    payload: bytes
    """A serialised ``PublishRequest``."""
    priority: int
    """Of the entry: from 1 (act now) to 4 (note)."""


def publish_request(hit: Hit) -> OutgoingHit:
    """Serialise ``hit`` with its JPEG for the outbox.

    A JPEG above ``MAX_EVIDENCE_BYTES`` stays at the checkpoint; its path and SHA-256 travel.
    """
    message = hit_to_pb(hit)
    evidence = message.passage.evidence
    if len(evidence.jpeg) > MAX_EVIDENCE_BYTES:
        evidence.ClearField("jpeg")
    payload = pb.PublishRequest(hit=message).SerializeToString(deterministic=True)
    return OutgoingHit(hit.id, hit.revision, payload, hit.entry.priority)


def parse_publish_request(payload: bytes) -> pb.PublishRequest:
    """Parse what ``publish_request`` made.

    Raises:
        ValueError: the payload is no such message.
    """
    try:
        return pb.PublishRequest.FromString(payload)
    except DecodeError as error:
        raise ValueError(f"no PublishRequest: {error}") from None


def serialise_passage(passage: Passage) -> bytes:
    """Serialise ``passage`` with its JPEG, for a queue on the disk."""
    return passage_to_pb(passage).SerializeToString(deterministic=True)


def parse_passage(payload: bytes) -> Passage:
    """Parse what ``serialise_passage`` made.

    Raises:
        ValueError: the payload is no passage.
    """
    try:
        return passage_from_pb(pb.Passage.FromString(payload))
    except DecodeError as error:
        raise ValueError(f"no Passage: {error}") from None


def evidence_to_pb(evidence: Evidence) -> pb.Evidence:
    """Convert one evidence record with its JPEG."""
    corners = evidence.plate_corners
    return pb.Evidence(
        path=evidence.path,
        sha256=evidence.sha256,
        media_s=evidence.media_s,
        jpeg=evidence.jpeg,
        plate_corners=() if corners is None else corners.ravel().tolist(),
    )


def evidence_from_pb(message: pb.Evidence) -> Evidence:
    """Convert one evidence message; ``jpeg`` is empty where it did not travel.

    Corners that are not four points are left out: the picture is worth more than they.
    """
    values = np.array(message.plate_corners, np.float32)
    corners = values.reshape(4, 2) if values.size == _CORNERS else None
    return Evidence(message.path, message.sha256, message.media_s, message.jpeg, corners)


def char_probs_to_pb(values: CharProbs) -> pb.CharacterProbabilities:
    """Pack a distribution ``(slots, characters) float32``."""
    slots, characters = values.shape
    return pb.CharacterProbabilities(
        slots=slots,
        characters=characters,
        values=np.ascontiguousarray(values, dtype="<f4").tobytes(),
        alphabet=_LETTERS,
    )


def char_probs_from_pb(message: pb.CharacterProbabilities) -> CharProbs:
    """Unpack a distribution into our alphabet's columns.

    Raises:
        ValueError: size and shape disagree.
    """
    shape = message.slots, message.characters
    if len(message.values) != 4 * shape[0] * shape[1]:
        raise ValueError(f"char_probs.values: {len(message.values)} bytes for a shape of {shape}")
    values = np.frombuffer(message.values, dtype="<f4").reshape(shape).astype(np.float32)
    if message.alphabet == _LETTERS:
        return values
    if len(message.alphabet) != message.characters - 1:
        raise ValueError("char_probs.alphabet: its length does not fit the number of columns")
    ours: CharProbs = np.zeros((shape[0], len(ALPHABET)), np.float32)
    for column, character in enumerate(("", *message.alphabet)):
        if character in _COLUMNS:
            ours[:, _COLUMNS[character]] = values[:, column]
    return ours


def passage_to_pb(passage: Passage) -> pb.Passage:
    """Convert one passage."""
    return pb.Passage(
        id=passage.id,
        revision=passage.revision,
        camera=passage.camera,
        lane=passage.lane,
        direction=enum_name("DIRECTION", passage.direction),
        started_at=moment_to_pb(passage.started_at),
        ended_at=moment_to_pb(passage.ended_at),
        start_s=passage.start_s,
        end_s=passage.end_s,
        plate=passage.plate,
        plate_class=enum_name("PLATE_CLASS", passage.plate_class),
        probability=passage.probability,
        text_probabilities=passage.text_probabilities,
        char_probs=None if passage.char_probs is None else char_probs_to_pb(passage.char_probs),
        reads=passage.reads,
        vehicle_class=enum_name("VEHICLE_CLASS", passage.vehicle_class),
        vehicle_colour=enum_name("VEHICLE_COLOUR", passage.vehicle_colour),
        evidence=None if passage.evidence is None else evidence_to_pb(passage.evidence),
        closed=passage.closed,
        latency_s=passage.latency_s,
    )


def passage_from_pb(message: pb.Passage) -> Passage:
    """Convert one passage message.

    Raises:
        ValueError: a distribution's size and shape disagree.
    """
    return Passage(
        id=message.id,
        revision=message.revision,
        camera=message.camera,
        lane=message.lane if message.HasField("lane") else None,
        direction=direction_from_pb(message.direction),
        started_at=moment_from_pb(message.started_at),
        ended_at=moment_from_pb(message.ended_at),
        start_s=message.start_s,
        end_s=message.end_s,
        plate=message.plate if message.HasField("plate") else None,
        plate_class=plate_class_from_pb(message.plate_class),
        probability=message.probability if message.HasField("probability") else None,
        text_probabilities=tuple(message.text_probabilities),
        char_probs=(
            char_probs_from_pb(message.char_probs) if message.HasField("char_probs") else None
        ),
        reads=message.reads,
        vehicle_class=vehicle_class_from_pb(message.vehicle_class),
        vehicle_colour=vehicle_colour_from_pb(message.vehicle_colour),
        evidence=evidence_from_pb(message.evidence) if message.HasField("evidence") else None,
        closed=message.closed,
        latency_s=message.latency_s if message.HasField("latency_s") else None,
    )


def entry_to_pb(entry: WatchlistEntry) -> pb.WatchlistEntry:
    """Convert one watchlist entry."""
    return pb.WatchlistEntry(
        id=entry.id,
        plate=entry.plate,
        plate_class=enum_name("PLATE_CLASS", entry.plate_class),
        vehicle_class=enum_name("VEHICLE_CLASS", entry.vehicle_class),
        vehicle_colour=enum_name("VEHICLE_COLOUR", entry.vehicle_colour),
        category=entry.category,
        priority=entry.priority,
        disposition=entry.disposition,
        reason=entry.reason,
        case_number=entry.case_number,
        authoriser=entry.authoriser,
        requester=entry.requester,
        valid_from=moment_to_pb(entry.valid_from),
        expires_at=moment_to_pb(entry.expires_at),
        audience=entry.audience,
        source=entry.source,
    )


def entry_from_pb(message: pb.WatchlistEntry) -> WatchlistEntry:
    """Convert one watchlist entry message."""
    return WatchlistEntry(
        id=message.id,
        plate=message.plate,
        plate_class=plate_class_from_pb(message.plate_class),
        vehicle_class=vehicle_class_from_pb(message.vehicle_class),
        vehicle_colour=vehicle_colour_from_pb(message.vehicle_colour),
        category=message.category,
        priority=message.priority,
        disposition=message.disposition,
        reason=message.reason,
        case_number=message.case_number,
        authoriser=message.authoriser,
        requester=message.requester if message.HasField("requester") else None,
        valid_from=moment_from_pb(message.valid_from),
        expires_at=moment_from_pb(message.expires_at),
        audience=tuple(message.audience),
        source=message.source if message.HasField("source") else None,
    )


def hit_to_pb(hit: Hit) -> pb.Hit:
    """Convert one hit with its JPEG."""
    return pb.Hit(
        id=hit.id,
        revision=hit.revision,
        checkpoint=hit.checkpoint,
        passage=passage_to_pb(hit.passage),
        entry=entry_to_pb(hit.entry),
        kind=enum_name("MATCH_KIND", hit.kind),
        probability=hit.probability,
        list_version=hit.list_version,
        list_age_s=hit.list_age_s,
        occurred_at=moment_to_pb(hit.occurred_at),
        mismatches=hit.mismatches,
        retracted=hit.retracted,
        reading=hit.reading,
        late=hit.late,
    )


def hit_from_pb(message: pb.Hit) -> Hit:
    """Convert one hit message.

    Raises:
        ValueError: the kind is missing or unknown, or the passage is broken.
    """
    kind = match_kind_from_pb(message.kind)
    if kind is None:
        raise ValueError(f"hit {message.id}: kind {message.kind} is unknown; update this client")
    return Hit(
        id=message.id,
        revision=message.revision,
        checkpoint=message.checkpoint,
        passage=passage_from_pb(message.passage),
        entry=entry_from_pb(message.entry),
        kind=kind,
        probability=message.probability,
        list_version=message.list_version,
        list_age_s=message.list_age_s,
        occurred_at=moment_from_pb(message.occurred_at),
        mismatches=tuple(message.mismatches),
        retracted=message.retracted,
        reading=message.reading if message.HasField("reading") else None,
        late=message.late,
    )


def alert_to_pb(alert: Alert) -> pb.Alert:
    """Convert one alert."""
    return pb.Alert(
        sequence=alert.sequence,
        hit=hit_to_pb(alert.hit),
        received_at=moment_to_pb(alert.received_at),
        review=review_state_to_pb(alert.review),
        reviewer=alert.reviewer,
        review_note=alert.review_note,
        reviewed_at=None if alert.reviewed_at is None else moment_to_pb(alert.reviewed_at),
        reviewer_named_by=enum_name("NAMED_BY", alert.reviewer_named_by),
        outcome=alert.outcome,
        escalated_at=None if alert.escalated_at is None else moment_to_pb(alert.escalated_at),
        escalated_by=alert.escalated_by,
        escalation_note=alert.escalation_note,
        escalation_named_by=enum_name("NAMED_BY", alert.escalation_named_by),
    )


def alert_from_pb(message: pb.Alert) -> Alert:
    """Convert one alert message.

    Raises:
        ValueError: see ``hit_from_pb``.
    """
    return Alert(
        sequence=message.sequence,
        hit=hit_from_pb(message.hit),
        received_at=moment_from_pb(message.received_at),
        review=review_state_from_pb(message.review) or ReviewState.UNVERIFIED,
        reviewer=message.reviewer if message.HasField("reviewer") else None,
        review_note=message.review_note if message.HasField("review_note") else None,
        reviewed_at=(
            moment_from_pb(message.reviewed_at) if message.HasField("reviewed_at") else None
        ),
        reviewer_named_by=named_by_from_pb(message.reviewer_named_by),
        outcome=message.outcome if message.HasField("outcome") else None,
        escalated_at=(
            moment_from_pb(message.escalated_at) if message.HasField("escalated_at") else None
        ),
        escalated_by=message.escalated_by if message.HasField("escalated_by") else None,
        escalation_note=message.escalation_note if message.HasField("escalation_note") else None,
        escalation_named_by=named_by_from_pb(message.escalation_named_by),
    )
