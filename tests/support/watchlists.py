"""Entries and passages made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.types import (
    Evidence,
    Passage,
    PlateClass,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)
from watchlist.entry import make_entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""Where a ManualClock begins."""


def entry(plate: str = "辽A12345", now: datetime = NOW, **fields: Any) -> WatchlistEntry:
    return make_entry(
        {
            "plate": plate,
            "category": "stolen",
            "disposition": "stop and identify",
            "reason": "reported stolen",
            "case_number": "C-2026-17",
            "authoriser": "Wang",
            "expires_at": now + timedelta(days=30),
            **fields,
        },
        now,
    )


def passage(
    plate: str | None = "辽A12345",
    *,
    passage_id: str = "p-1",
    revision: int = 0,
    probability: float | None = 0.98,
    closed: bool = False,
    plate_class: PlateClass | None = PlateClass.BLUE,
    vehicle_class: VehicleClass | None = VehicleClass.CAR,
    vehicle_colour: VehicleColour | None = None,
    evidence: str | None = "picture-1",
) -> Passage:
    return Passage(
        id=passage_id,
        revision=revision,
        camera="gate",
        lane=None,
        direction=None,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=1),
        start_s=0.0,
        end_s=1.0,
        plate=plate,
        plate_class=plate_class if plate else None,
        probability=probability if plate else None,
        text_probabilities=(),
        char_probs=None,
        reads=5,
        vehicle_class=vehicle_class,
        vehicle_colour=vehicle_colour,
        evidence=Evidence("x.jpg", evidence, 0.5, b"jpeg") if evidence else None,
        closed=closed,
    )
