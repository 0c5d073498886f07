"""Vehicles of the rendered demonstration clip, as hits: pictures that show nobody's car."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from pipeline.types import (
    ALPHABET,
    SLOTS,
    CharProbs,
    Corners,
    Direction,
    Evidence,
    Hit,
    MatchKind,
    Passage,
    PlateClass,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)

CLIP = Path(__file__).parents[2] / "pipeline" / "demo_assets" / "demo.mp4"


@dataclass(frozen=True)
class Vehicle:
    """One vehicle of the clip: a frame that shows it, and where its plate is in that."""

    frame: int
    corners: tuple[tuple[int, int], ...]
    plate: str
    plate_class: PlateClass
    vehicle_class: VehicleClass
    colour: VehicleColour


_P, _V, _C = PlateClass, VehicleClass, VehicleColour
_FRAMES: Sequence[tuple[int, str, PlateClass, VehicleClass, VehicleColour]] = (
    (341, "辽K57H93", _P.BLUE, _V.CAR, _C.RED),
    (60, "辽A6K582", _P.BLUE, _V.CAR, _C.WHITE),
    (103, "辽BT4827", _P.BLUE, _V.CAR, _C.BLUE),
    (156, "辽AD61375", _P.GREEN_SMALL, _V.CAR, _C.SILVER),
    (218, "辽C05316", _P.YELLOW_SINGLE, _V.BUS, _C.GREEN),
    (256, "京N48R53", _P.BLUE, _V.CAR, _C.BLACK),
    (390, "冀F2J816", _P.BLUE, _V.VAN, _C.SILVER),
    (444, "黑E58A20", _P.BLUE, _V.CAR, _C.BROWN),
    (503, "吉C72934", _P.YELLOW_SINGLE, _V.TRUCK, _C.BLUE),
    (554, "辽F3E619", _P.BLUE, _V.CAR, _C.YELLOW),
    (630, "辽M90X47", _P.BLUE, _V.CAR, _C.BLACK),
)
_CORNERS: Sequence[tuple[tuple[int, int], ...]] = (
    ((198, 484), (321, 483), (321, 523), (198, 524)),
    ((185, 480), (308, 480), (308, 517), (185, 517)),
    ((975, 496), (1097, 496), (1096, 533), (975, 532)),
    ((169, 488), (298, 489), (298, 525), (169, 524)),
    ((1050, 456), (1173, 455), (1174, 493), (1050, 493)),
    ((147, 459), (263, 457), (263, 492), (148, 493)),
    ((1016, 489), (1139, 487), (1139, 525), (1017, 526)),
    ((138, 462), (262, 463), (262, 500), (138, 499)),
    ((1041, 450), (1169, 448), (1169, 488), (1042, 489)),
    ((192, 475), (316, 474), (316, 515), (192, 515)),
    ((984, 462), (1104, 461), (1104, 497), (984, 498)),
)
VEHICLES: Sequence[Vehicle] = tuple(
    Vehicle(frame, corners, *rest)
    for (frame, *rest), corners in zip(_FRAMES, _CORNERS, strict=True)
)


@lru_cache(maxsize=16)
def picture(vehicle: Vehicle) -> tuple[bytes, Corners]:
    """The vehicle cut out of the clip's frame, as evidence is: the JPEG, and the plate in it."""
    clip = cv2.VideoCapture(str(CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, vehicle.frame)
    found, image = clip.read()
    clip.release()
    assert found, f"{CLIP} has no frame {vehicle.frame}"
    corners = np.asarray(vehicle.corners, np.float32)
    (x, y), width = corners.mean(0), float(np.ptp(corners[:, 0]))
    left, right = max(0, int(x - 2.2 * width)), min(image.shape[1], int(x + 2.2 * width))
    top, bottom = max(0, int(y - 2.5 * width)), min(image.shape[0], int(y + 0.9 * width))
    cut = image[top:bottom, left:right]
    encoded, jpeg = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert encoded
    return jpeg.tobytes(), corners - np.float32((left, top))


def distribution(text: str, doubts: dict[int, tuple[str, float]] | None = None) -> CharProbs:
    """What the reader would give for ``text``; ``doubts``: at a place, another character and its
    probability."""
    probs = np.full((SLOTS, len(ALPHABET)), 1e-6, np.float32)
    for slot in range(SLOTS):
        probs[slot, ALPHABET.index(text[slot]) if slot < len(text) else 0] = 1.0
        if doubts and slot in doubts:
            other, share = doubts[slot]
            probs[slot, ALPHABET.index(text[slot])] = 1.0 - share
            probs[slot, ALPHABET.index(other)] = share
    return probs / probs.sum(1, keepdims=True)


def hit(
    number: int,
    *,
    vehicle: Vehicle | None = None,
    at: datetime | None = None,
    wanted: str | None = None,
    kind: MatchKind = MatchKind.EXACT,
    priority: int = 1,
    category: str = "stolen",
    disposition: str = "拦停，核对号牌与车辆后上报",
    doubts: dict[int, tuple[str, float]] | None = None,
    with_picture: bool = True,
    checkpoint: str = "辽宁 G1 山海关",
    camera: str = "东向1",
    entry_colour: VehicleColour | None = None,
    late_s: float = 0.0,
    **changes: object,
) -> Hit:
    """A hit of a vehicle of the clip; the same number is the same hit."""
    vehicle = vehicle or VEHICLES[number % len(VEHICLES)]
    at = at or datetime.now(UTC)
    passed = at - timedelta(seconds=late_s)
    probs = distribution(vehicle.plate, doubts)
    likely = tuple(
        float(probs[slot, ALPHABET.index(character)])
        for slot, character in enumerate(vehicle.plate)
    )
    jpeg, corners = picture(vehicle) if with_picture else (b"", None)
    passage = Passage(
        id=f"passage-{number}",
        revision=0,
        camera=camera,
        lane="1",
        direction=Direction.APPROACHING,
        started_at=passed - timedelta(seconds=2),
        ended_at=passed,
        start_s=1.0,
        end_s=3.0,
        plate=vehicle.plate,
        plate_class=vehicle.plate_class,
        probability=float(np.prod(likely)),
        text_probabilities=likely,
        char_probs=probs,
        reads=6,
        vehicle_class=vehicle.vehicle_class,
        vehicle_colour=vehicle.colour,
        evidence=Evidence(
            f"{at:%Y-%m-%d}/passage-{number}-0.jpg",
            hashlib.sha256(jpeg).hexdigest(),
            3.0,
            jpeg,
            corners,
        )
        if jpeg
        else None,
        closed=True,
        latency_s=0.3,
    )
    entry = WatchlistEntry(
        id=f"entry-{number}",
        plate=wanted or vehicle.plate,
        plate_class=vehicle.plate_class if kind is MatchKind.EXACT else None,
        vehicle_class=vehicle.vehicle_class,
        vehicle_colour=entry_colour or vehicle.colour,
        category=category,
        priority=priority,
        disposition=disposition,
        reason="车主报案，车辆于昨夜被盗",
        case_number="沈公刑字〔2026〕117号",
        authoriser="李审批",
        requester="王布控",
        valid_from=at - timedelta(days=1),
        expires_at=at + timedelta(days=30),
        source="省级名单",
    )
    made = Hit(
        id=f"hit-{number}",
        revision=0,
        checkpoint=checkpoint,
        passage=passage,
        entry=entry,
        kind=kind,
        probability=float(np.prod(likely)),
        list_version=41,
        list_age_s=12.0,
        occurred_at=at,
        mismatches=("vehicle_colour",) if entry_colour and entry_colour != vehicle.colour else (),
        reading=vehicle.plate,
        late=late_s > 0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]
