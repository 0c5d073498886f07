"""What labels say, and what the recogniser made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pipeline.types import Box, Corners, PlateClass


class Light(StrEnum):
    """When a picture was taken, by its brightness."""

    DAY = "day"
    NIGHT = "night"


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPlate:
    """One annotated plate.

    ``box`` and ``corners`` (the plate's own top-left first, clockwise) are in pixels of the
    picture; None where the label does not tell, as for a picture named by its plate. ``kind`` is
    what class text, colour and label leave possible, for grouping; ``plate_class`` is set where
    that is exactly one.
    """

    text: str | None
    box: Box | None = None
    corners: Corners | None = field(default=None, repr=False)
    kind: str | None = None
    plate_class: PlateClass | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPicture:
    """One picture and its plates; ``complete``: a plate that is not listed is not there.

    ``name`` is the picture as its label names it, ``subset`` the camera or collection.
    """

    path: Path
    name: str
    plates: tuple[LabelledPlate, ...]
    complete: bool = False
    subset: str | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """What is to be measured, and which labels could not be used (messages)."""

    source: Path
    form: str
    pictures: tuple[LabelledPicture, ...]
    crops: bool
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PlateOutcome:
    """One annotated plate and what was recognised of it.

    ``found`` is None for a plate that was given cut out. ``corners`` is where the plate lies: as
    labelled, else as found. ``light``, ``width_px`` and ``blur`` are None where they cannot be
    told; see :mod:`benchmarks.accuracy.conditions`.
    """

    picture: LabelledPicture
    plate: LabelledPlate
    found: bool | None
    text: str | None = None
    probability: float = 0.0
    plate_class: PlateClass | None = None
    corners: Corners | None = field(default=None, repr=False)
    light: Light | None = None
    width_px: float | None = None
    blur: float | None = None

    @property
    def right(self) -> bool:
        """Whether the annotated text, and no other, was read."""
        return self.plate.text is not None and self.text == self.plate.text


@dataclass(frozen=True, slots=True, eq=False)
class ExtraPlate:
    """A detection where a complete annotation has no plate."""

    picture: LabelledPicture
    text: str | None
    probability: float
    corners: Corners | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured in one run.

    ``complete`` counts the pictures whose plates are all annotated; ``times_ms`` holds the time
    of ``recognise`` for each single picture, empty unless it was asked for.
    """

    pictures: int
    complete: int
    plates: tuple[PlateOutcome, ...]
    extras: tuple[ExtraPlate, ...]
    failures: tuple[str, ...] = ()
    times_ms: tuple[float, ...] = field(default=(), repr=False)
