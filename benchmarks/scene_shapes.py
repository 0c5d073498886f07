"""The outlines of the vehicles that a scene can show.

A vehicle is a profile (its centre line seen from the side, from the lower lip of the bumper over
bonnet, windscreen and roof to the tail), swept across its width. Lengths are metres; ``d`` runs
backwards from the front, ``y`` upwards from the road, ``t`` from -1 to 1 across the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from pipeline.types import VehicleClass, VehicleColour

F32 = NDArray[np.float32]


def f32(values: ArrayLike) -> F32:
    """``values`` as float32, of the same shape."""
    return np.asarray(values, np.float32)


class Kind(StrEnum):
    """Vehicles that can be drawn."""

    SALOON = "saloon"
    TAXI = "taxi"
    HATCHBACK = "hatchback"
    ELECTRIC = "electric"
    SUV = "suv"
    VAN = "van"
    BUS = "bus"
    TRUCK = "truck"

    @property
    def vehicle_class(self) -> VehicleClass:
        """The class that a recogniser should report."""
        match self:
            case Kind.VAN:
                return VehicleClass.VAN
            case Kind.BUS:
                return VehicleClass.BUS
            case Kind.TRUCK:
                return VehicleClass.TRUCK
            case _:
                return VehicleClass.CAR


@dataclass(frozen=True, slots=True)
class Shape:
    """One vehicle's outline.

    ``profile`` holds (d, y) in metres; ``nose``, ``cowl`` and ``screen_top`` are the indices of
    the points where the front ends, the windscreen begins and the windscreen ends.
    ``half_widths`` holds (y, share of half the width). ``rounding`` is how far the front corners
    lie behind the middle, metres.
    """

    width: float
    profile: tuple[tuple[float, float], ...]
    nose: int
    cowl: int
    screen_top: int
    half_widths: tuple[tuple[float, float], ...]
    rounding: float
    sill: float
    belt: float
    wheel_radius: float
    axles: tuple[float, ...]
    plate_y: float
    mirror: tuple[float, float, float]  # x beyond the body, y, d
    mirror_size: tuple[float, float, float]  # half axes x, y, d

    @property
    def length(self) -> float:
        """From the bumper to the tail, metres."""
        return max(d for d, _ in self.profile)

    @property
    def height(self) -> float:
        """Highest point of the roof above the road, metres."""
        return max(y for _, y in self.profile)

    def half_width(self, y: F32) -> F32:
        """Half the body's width in metres at heights ``y`` (any shape)."""
        heights, shares = zip(*self.half_widths, strict=True)
        return f32(np.interp(y, heights, shares) * (self.width / 2))


class Profile:
    """A shape's centre line, sampled about every 4 cm.

    Attributes:
        s, d, y: (N,) float32, arc position, depth and height in metres.
        knots: (K,) float32, arc position of each point of ``Shape.profile``.
    """

    def __init__(self, points: tuple[tuple[float, float], ...]) -> None:
        corner = np.asarray(points, np.float64)
        knots = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corner, axis=0).T))])
        span = knots[-1]
        near = np.arange(0.0, min(span, 4.0), 0.04)
        far = np.arange(min(span, 4.0), span, 0.25)
        s = np.unique(np.concatenate([near, far, [span]]))
        self.s: F32 = s.astype(np.float32)
        self.d: F32 = PchipInterpolator(knots, corner[:, 0])(s).astype(np.float32)
        self.y: F32 = PchipInterpolator(knots, corner[:, 1])(s).astype(np.float32)
        self.knots: F32 = knots.astype(np.float32)

    def s_at_height(self, y: float, below: float) -> float:
        """Arc position of height ``y`` on the front, that is before arc position ``below``."""
        front = self.s <= below + 1e-4
        return float(np.interp(y, self.y[front], self.s[front]))

    def height_at_depth(self, d: float) -> float:
        """Height of the profile above depth ``d`` (behind the nose), metres."""
        top = int(np.argmax(self.d >= 0.1))
        return float(np.interp(d, self.d[top:], self.y[top:]))


_CAR_WIDTHS = ((0.15, 0.90), (0.32, 0.98), (0.55, 1.0), (0.80, 0.985), (0.93, 0.95))

SALOON = Shape(
    width=1.80,
    profile=(
        (0.09, 0.18),
        (0.0, 0.29),
        (0.0, 0.50),
        (0.035, 0.63),
        (0.15, 0.735),
        (0.55, 0.86),
        (1.12, 0.965),
        (1.55, 1.20),
        (1.95, 1.375),
        (2.45, 1.46),
        (3.1, 1.44),
        (3.7, 1.26),
        (4.2, 1.08),
        (4.55, 1.03),
    ),
    nose=4,
    cowl=6,
    screen_top=8,
    half_widths=(*_CAR_WIDTHS, (1.05, 0.91), (1.38, 0.70), (1.46, 0.66)),
    rounding=0.36,
    sill=0.20,
    belt=0.95,
    wheel_radius=0.32,
    axles=(0.88, 3.55),
    plate_y=0.45,
    mirror=(0.10, 1.0, 1.42),
    mirror_size=(0.12, 0.075, 0.07),
)

HATCHBACK = Shape(
    width=1.74,
    profile=(
        (0.09, 0.19),
        (0.0, 0.31),
        (0.0, 0.52),
        (0.045, 0.67),
        (0.16, 0.79),
        (0.45, 0.91),
        (0.92, 1.02),
        (1.38, 1.30),
        (1.72, 1.46),
        (2.15, 1.535),
        (3.2, 1.51),
        (3.75, 1.22),
        (3.95, 1.0),
    ),
    nose=4,
    cowl=6,
    screen_top=8,
    half_widths=(*_CAR_WIDTHS, (1.05, 0.92), (1.46, 0.72), (1.54, 0.68)),
    rounding=0.40,
    sill=0.21,
    belt=1.0,
    wheel_radius=0.31,
    axles=(0.80, 3.25),
    plate_y=0.46,
    mirror=(0.10, 1.06, 1.24),
    mirror_size=(0.11, 0.085, 0.07),
)

ELECTRIC = Shape(
    width=1.82,
    profile=(
        (0.10, 0.17),
        (0.0, 0.28),
        (0.0, 0.48),
        (0.05, 0.62),
        (0.20, 0.74),
        (0.55, 0.86),
        (0.98, 0.95),
        (1.55, 1.24),
        (2.0, 1.41),
        (2.5, 1.49),
        (3.2, 1.44),
        (3.9, 1.22),
        (4.6, 1.0),
    ),
    nose=4,
    cowl=6,
    screen_top=8,
    half_widths=(*_CAR_WIDTHS, (1.05, 0.91), (1.40, 0.71), (1.5, 0.66)),
    rounding=0.46,
    sill=0.20,
    belt=0.96,
    wheel_radius=0.34,
    axles=(0.86, 3.7),
    plate_y=0.42,
    mirror=(0.11, 1.0, 1.36),
    mirror_size=(0.12, 0.07, 0.07),
)

SUV = Shape(
    width=1.88,
    profile=(
        (0.10, 0.25),
        (0.0, 0.37),
        (0.0, 0.62),
        (0.03, 0.80),
        (0.13, 0.93),
        (0.55, 1.04),
        (1.10, 1.12),
        (1.55, 1.42),
        (1.85, 1.585),
        (2.35, 1.70),
        (3.8, 1.68),
        (4.3, 1.35),
        (4.6, 1.1),
    ),
    nose=4,
    cowl=6,
    screen_top=8,
    half_widths=(
        (0.2, 0.92),
        (0.4, 0.99),
        (0.7, 1.0),
        (0.95, 0.985),
        (1.1, 0.95),
        (1.25, 0.90),
        (1.6, 0.735),
        (1.72, 0.70),
    ),
    rounding=0.30,
    sill=0.27,
    belt=1.12,
    wheel_radius=0.37,
    axles=(0.92, 3.65),
    plate_y=0.56,
    mirror=(0.12, 1.18, 1.42),
    mirror_size=(0.13, 0.10, 0.08),
)

VAN = Shape(
    width=1.74,
    profile=(
        (0.08, 0.24),
        (0.0, 0.36),
        (0.0, 0.60),
        (0.03, 0.78),
        (0.12, 0.90),
        (0.35, 1.02),
        (0.62, 1.10),
        (1.0, 1.43),
        (1.28, 1.66),
        (1.65, 1.84),
        (2.3, 1.93),
        (4.8, 1.92),
    ),
    nose=4,
    cowl=6,
    screen_top=8,
    half_widths=(
        (0.2, 0.93),
        (0.4, 1.0),
        (0.9, 1.0),
        (1.15, 0.97),
        (1.7, 0.86),
        (1.93, 0.78),
    ),
    rounding=0.22,
    sill=0.26,
    belt=1.10,
    wheel_radius=0.33,
    axles=(0.95, 3.5),
    plate_y=0.50,
    mirror=(0.12, 1.20, 0.95),
    mirror_size=(0.11, 0.12, 0.07),
)

BUS = Shape(
    width=2.5,
    profile=(
        (0.06, 0.30),
        (0.0, 0.42),
        (0.0, 0.80),
        (0.02, 1.22),
        (0.10, 1.9),
        (0.26, 2.62),
        (0.42, 2.93),
        (0.85, 3.06),
        (10.0, 3.06),
    ),
    nose=3,
    cowl=3,
    screen_top=5,
    half_widths=((0.3, 0.97), (0.6, 1.0), (2.3, 0.99), (3.06, 0.93)),
    rounding=0.20,
    sill=0.34,
    belt=1.30,
    wheel_radius=0.48,
    axles=(2.2, 7.2),
    plate_y=0.62,
    mirror=(0.13, 2.25, 0.0),
    mirror_size=(0.10, 0.22, 0.07),
)

TRUCK = Shape(
    width=2.36,
    profile=(
        (0.07, 0.36),
        (0.0, 0.48),
        (0.0, 0.95),
        (0.015, 1.62),
        (0.12, 2.05),
        (0.25, 2.45),
        (0.42, 2.68),
        (0.8, 2.76),
        (1.9, 2.76),
    ),
    nose=3,
    cowl=3,
    screen_top=5,
    half_widths=((0.3, 1.0), (1.0, 1.0), (1.7, 0.99), (2.76, 0.90)),
    rounding=0.16,
    sill=0.40,
    belt=1.72,
    wheel_radius=0.50,
    axles=(1.25, 5.2),
    plate_y=0.66,
    mirror=(0.19, 1.95, 0.12),
    mirror_size=(0.09, 0.22, 0.06),
)

SHAPES: dict[Kind, Shape] = {
    Kind.SALOON: SALOON,
    Kind.TAXI: SALOON,
    Kind.HATCHBACK: HATCHBACK,
    Kind.ELECTRIC: ELECTRIC,
    Kind.SUV: SUV,
    Kind.VAN: VAN,
    Kind.BUS: BUS,
    Kind.TRUCK: TRUCK,
}

BODY_BGR: dict[VehicleColour, tuple[int, int, int]] = {
    VehicleColour.BLACK: (30, 28, 27),
    VehicleColour.WHITE: (198, 201, 202),
    VehicleColour.SILVER: (164, 163, 160),
    VehicleColour.RED: (38, 28, 142),
    VehicleColour.BLUE: (128, 74, 34),
    VehicleColour.GREEN: (98, 128, 74),
    VehicleColour.YELLOW: (38, 158, 204),
    VehicleColour.BROWN: (56, 76, 104),
    VehicleColour.PINK: (158, 138, 202),
}
"""Paint of each colour as a camera would see it in flat light, BGR 0-255."""
