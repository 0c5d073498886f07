"""The JSON that machines read from stdout: one object a line, unknown values null."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.status import CheckpointStatus
from pipeline.types import (
    Alert,
    Box,
    Hit,
    ImageBgr,
    MatchKind,
    Passage,
    PlateRead,
    ReadPlate,
    VehicleDetection,
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run amounted to.

    ``dropped`` counts frames that were lost, ``skipped`` those that were left out because nothing
    was to be seen, by cause. ``overlooked_s``: for how long, all cameras together, a vehicle could
    come and go unseen because frames were lost.
    """

    decoded: int
    recognised: int
    dropped: Mapping[str, int]
    passages: int
    hits: int
    wall_s: float
    skipped: Mapping[str, int] = field(default_factory=dict)
    overlooked_s: float = 0.0


def line(event: Json) -> str:
    """One event as a line of JSON, without its line end."""
    return json.dumps(event, ensure_ascii=False, separators=(", ", ": "))


def picture(name: str, plates: Sequence[ReadPlate], vehicles: Sequence[VehicleDetection]) -> Json:
    """What was recognised in one picture."""
    return {
        "image": name,
        "plates": [
            {
                **_read(plate.read),
                "box": _rounded(plate.detection.box),
                "corners": [_rounded(corner) for corner in plate.detection.corners.tolist()],
            }
            for plate in plates
        ],
        "vehicles": [
            {
                "class": vehicle.vehicle_class.value,
                "colour": vehicle.colour.value if vehicle.colour else None,
                "box": _rounded(vehicle.box),
                "confidence": round(vehicle.confidence, 4),
            }
            for vehicle in vehicles
        ],
    }


def plate_picture(name: str, image: ImageBgr, read: PlateRead) -> Json:
    """What was read on a picture that is one plate."""
    height, width = image.shape[:2]
    corners = [[0, 0], [width, 0], [width, height], [0, height]]
    plate = {**_read(read), "box": [0, 0, width, height], "corners": corners}
    return {"image": name, "plates": [plate], "vehicles": []}


def failed_picture(name: str, error: str) -> Json:
    """A picture that could not be read."""
    return {"image": name, "error": error}


def passage(record: Passage) -> Json:
    """One revision of a passage."""
    return {
        "event": "passage",
        "id": record.id,
        "revision": record.revision,
        "camera": record.camera,
        "lane": record.lane,
        "start_s": round(record.start_s, 3),
        "end_s": round(record.end_s, 3),
        "plate": record.plate,
        "class": record.plate_class.value if record.plate_class else None,
        "probability": None if record.probability is None else round(record.probability, 4),
        "reads": record.reads,
        "vehicle": {
            "class": record.vehicle_class.value if record.vehicle_class else None,
            "colour": record.vehicle_colour.value if record.vehicle_colour else None,
        },
        "evidence": record.evidence.path if record.evidence else None,
    }


def hit(record: Hit) -> Json:
    """A hit; one that a later revision took back, or that was found late, says so.

    One that is not exact says which reading met the entry, and each what contradicts the entry.
    """
    event: Json = {
        "event": "hit",
        "id": record.id,
        "passage": record.passage.id,
        "entry": record.entry.id,
        "kind": record.kind.value,
        "probability": round(record.probability, 4),
        "list_version": record.list_version,
        "list_age_s": round(record.list_age_s, 1),
    }
    if record.kind is not MatchKind.EXACT:
        event["reading"] = record.reading
    if record.mismatches:
        event["mismatches"] = list(record.mismatches)
    flags = {"retracted": record.retracted, "late": record.late}
    return {**event, **{name: True for name, said in flags.items() if said}}


def alert(record: Alert) -> Json:
    """One alert as a JSON object; unknown values are null."""
    hit, passage, entry = record.hit, record.hit.passage, record.hit.entry
    return {
        "event": "alert",
        "sequence": record.sequence,
        "id": record.id,
        "revision": hit.revision,
        "occurred_at": hit.occurred_at.isoformat(),
        "received_at": record.received_at.isoformat(),
        "checkpoint": hit.checkpoint,
        "camera": passage.camera,
        "lane": passage.lane,
        "passage": passage.id,
        "plate": passage.plate,
        "class": passage.plate_class.value if passage.plate_class else None,
        "vehicle": {
            "class": passage.vehicle_class.value if passage.vehicle_class else None,
            "colour": passage.vehicle_colour.value if passage.vehicle_colour else None,
        },
        "kind": hit.kind.value,
        "probability": round(hit.probability, 4),
        "reading": hit.reading,
        "retracted": hit.retracted,
        "late": hit.late,
        "passed_at": passage.ended_at.isoformat(),
        "mismatches": list(hit.mismatches),
        "entry": entry.id,
        "entry_plate": entry.plate,
        "category": entry.category,
        "priority": entry.priority,
        "disposition": entry.disposition,
        "list_version": hit.list_version,
        "list_age_s": round(hit.list_age_s, 1),
        "review": record.review.value,
        "reviewer": record.reviewer,
        "reviewed_at": record.reviewed_at.isoformat() if record.reviewed_at else None,
        "named_by": record.reviewer_named_by.value if record.reviewer_named_by else None,
        "note": record.review_note,
        "outcome": record.outcome,
        "escalated_at": record.escalated_at.isoformat() if record.escalated_at else None,
        "escalated_by": record.escalated_by,
        "escalation_note": record.escalation_note,
        "evidence": passage.evidence.path if passage.evidence else None,
        "evidence_sha256": passage.evidence.sha256 if passage.evidence else None,
    }


def checkpoint(record: CheckpointStatus) -> Json:
    """What is known of a checkpoint; unknown values are null."""
    report = record.report
    return {
        "event": "checkpoint",
        "checkpoint": record.checkpoint,
        "state": record.state.value,
        "since": record.since.isoformat(),
        "last_seen_at": record.last_seen_at.isoformat() if record.last_seen_at else None,
        "lag_s": record.lag_s,
        "clock_ahead_s": record.clock_ahead_s,
        "version": report.version if report else None,
        "started_at": report.started_at.isoformat() if report else None,
        "waiting_hits": report.waiting_hits if report else None,
        "oldest_waiting_s": report.oldest_waiting_s if report else None,
        "list_version": report.list_version if report else None,
        "list_age_s": report.list_age_s if report else None,
        "problems": dict(report.problems) if report else None,
    }


def summary(record: Summary) -> Json:
    """The last line of a run."""
    return {
        "event": "summary",
        "frames": {
            "decoded": record.decoded,
            "recognised": record.recognised,
            "dropped": dict(record.dropped),
            "skipped": dict(record.skipped),
        },
        "overlooked_s": round(record.overlooked_s, 1),
        "passages": record.passages,
        "hits": record.hits,
        "wall_s": round(record.wall_s, 2),
    }


def _read(read: PlateRead) -> Json:
    return {
        "text": read.text,
        "class": read.plate_class.value,
        "probability": round(read.probability, 4),
        "char_probabilities": [round(value, 4) for value in read.text_probabilities],
    }


def _rounded(values: Box | Sequence[float]) -> list[float]:
    return [round(float(value), 1) for value in values]
