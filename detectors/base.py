"""The seams of recognition: what detects, what reads, what tells colours.

Implementations take and return whole batches and keep the order of their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.types import (
    Corners,
    ImageBgr,
    PlateDetection,
    PlateRead,
    VehicleColour,
    VehicleDetection,
)

FloatArray: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, int]
"""Width and height in pixels, as in OpenCV."""
Margin: TypeAlias = tuple[float, float]
"""Shares of a plate's width and height that are kept around its corners."""
View: TypeAlias = tuple[ImageBgr, Corners, Margin]
"""A plate where it lies in a picture, and how much of its surroundings is looked at."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one picture, in its pixels, surest first."""

    plates: tuple[PlateDetection, ...] = ()
    vehicles: tuple[VehicleDetection, ...] = ()


class SceneDetector(Protocol):
    """Finds plates and vehicles."""

    def detect(self, images: Sequence[ImageBgr]) -> list[Detections]:
        """One :class:`Detections` for each picture; pictures may differ in size."""
        ...


class PlateReader(Protocol):
    """Reads plates that have been cut out and straightened."""

    def read(self, plates: Sequence[ImageBgr]) -> list[PlateRead]:
        """One :class:`PlateRead` for each plate picture, any size."""
        ...


@runtime_checkable
class ViewReader(Protocol):
    """A :class:`PlateReader` that cuts plates out by itself, where their pictures lie."""

    def read_views(self, views: Sequence[View]) -> list[PlateRead]:
        """One :class:`PlateRead` for each view."""
        ...


class ColourClassifier(Protocol):
    """Tells the body colour of vehicles."""

    def colours(self, vehicles: Sequence[ImageBgr]) -> list[VehicleColour | None]:
        """One colour for each vehicle picture, any size; None where it is not sure."""
        ...


class Network(Protocol):
    """A network with its weights: one batch in, one array out for each output."""

    def __call__(self, batch: NDArray[np.uint8]) -> list[FloatArray]:
        """``batch`` is (B, H, W, 3) uint8 BGR; the outputs start with B too."""
        ...


Details: TypeAlias = dict[str, Any]
"""Free-form facts about a model, from its manifest entry."""
