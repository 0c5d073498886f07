"""Passages as the page and an exported file show them: masked unless told otherwise. Pure.

A masked plate keeps the character of its province and its last two: enough to find one's way in
a list, not enough to know a vehicle by it. Whoever knows a plate already may ask for it; what was
asked for stands in the audit log.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

from pipeline.archive import KeptPassage, Place
from pipeline.clock import microseconds_of, moment_of
from watchlist.sheets import guard

MASK: Final = "•"
_KEPT_AT_END: Final = 2
_SHORTEST_MASKED: Final = 5  # of a shorter text the last two would be half of it

COLUMNS: Final = (
    "passage",
    "revision",
    "started_at",
    "ended_at",
    "camera",
    "lane",
    "direction",
    "plate",
    "plate_class",
    "probability",
    "reads",
    "vehicle_class",
    "vehicle_colour",
    "with_hit",
    "evidence_sha256",
)
"""Columns of an exported file."""


def masked(plate: str) -> str:
    """``辽A12345`` as ``辽••••45``."""
    if len(plate) < _SHORTEST_MASKED:
        return MASK * len(plate)
    hidden = len(plate) - 1 - _KEPT_AT_END
    return plate[0] + MASK * hidden + plate[-_KEPT_AT_END:]


def passage_json(kept: KeptPassage, *, unmasked: bool) -> dict[str, Any]:
    """One passage as the page gets it; unknown values are null."""
    one = kept.passage
    plate = one.plate if unmasked or one.plate is None else masked(one.plate)
    return {
        "id": one.id,
        "revision": one.revision,
        "camera": one.camera,
        "lane": one.lane,
        "direction": one.direction.value if one.direction else None,
        "started_at": one.started_at.isoformat(),
        "ended_at": one.ended_at.isoformat(),
        "plate": plate,
        "masked": plate != one.plate,
        "plate_class": one.plate_class.value if one.plate_class else None,
        "probability": None if one.probability is None else round(one.probability, 4),
        "char_probabilities": [round(value, 4) for value in one.text_probabilities],
        "reads": one.reads,
        "vehicle_class": one.vehicle_class.value if one.vehicle_class else None,
        "vehicle_colour": one.vehicle_colour.value if one.vehicle_colour else None,
        "has_hit": kept.has_hit,
        "has_picture": one.evidence is not None,
    }


def passages_csv(found: Iterable[KeptPassage], *, unmasked: bool) -> tuple[bytes, int]:
    """An exported file, which no spreadsheet takes for formulas, and its number of passages.

    UTF-8 with a mark, so that a spreadsheet on Windows shows Chinese.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for kept in found:
        shown, evidence = passage_json(kept, unmasked=unmasked), kept.passage.evidence
        values = {
            **shown,
            "passage": shown["id"],
            "with_hit": "yes" if kept.has_hit else "no",
            "evidence_sha256": evidence.sha256 if evidence else None,
        }
        cells = (values[name] for name in COLUMNS)
        writer.writerow(["" if cell is None else guard(str(cell)) for cell in cells])
        count += 1
    return out.getvalue().encode("utf-8-sig"), count


def place_text(place: Place) -> str:
    """A place as the page sends it back for the next page."""
    return f"{microseconds_of(place.ended_at)}.{place.row}"


def place_of(text: str) -> Place:
    """The inverse of ``place_text``.

    Raises:
        ValueError: this is none.
    """
    microseconds, dot, row = text.partition(".")
    if not dot or len(text) > _LONGEST_PLACE:
        raise ValueError("it must be what the page before gave as next")
    try:
        place = Place(moment_of(int(microseconds)), int(row))
    except (ValueError, OverflowError):
        place = None
    if place is None or not 0 <= place.row < 2**63:
        raise ValueError("it must be what the page before gave as next")
    return place


_LONGEST_PLACE: Final = 40
