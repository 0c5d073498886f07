"""A sheet that can be painted in a vehicle's own coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.scene_mesh import SHEET_PX_PER_M, SWATCH_MARGIN_PX, SWATCH_PX, Sheet
from benchmarks.scene_shade import Skin
from benchmarks.scene_shapes import F32, Profile, Shape, f32

Bgr = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Material:
    """Colour BGR 0-255, gloss, mirror strength at right angles and own light, each 0-1."""

    colour: Bgr
    gloss: float = 0.25
    mirror: float = 0.03
    own: float = 0.0

    @property
    def finish(self) -> Bgr:
        """The three shares as picture values."""
        return round(self.gloss * 255), round(self.mirror * 255), round(self.own * 255)


PLASTIC = Material((38, 37, 36), 0.22, 0.03)
RUBBER = Material((30, 30, 30), 0.08, 0.02)
GRILLE = Material((24, 23, 22), 0.35, 0.04)
HOLLOW = Material((14, 14, 14), 0.05, 0.01)
CHROME = Material((150, 150, 148), 0.9, 0.45)
GLASS = Material((22, 20, 17), 1.0, 0.075)
LINE = Material((20, 20, 20), 0.1, 0.02)


def paint_of(colour: Bgr) -> Material:
    """Lacquered body paint."""
    return Material(colour, 0.85, 0.045)


class Canvas:
    """Paints shapes given in (t, s) on the front and top and in (d, y) on the side."""

    def __init__(self, shape: Shape, profile: Profile, sheet: Sheet, body: Material) -> None:
        self.shape, self.profile, self.sheet = shape, profile, sheet
        self.colour = np.empty((sheet.height, sheet.width, 3), np.uint8)
        self.finish = np.empty_like(self.colour)
        self.colour[:], self.finish[:] = body.colour, body.finish
        self.nose = float(profile.knots[shape.nose])
        self.cowl = float(profile.knots[shape.cowl])
        self.screen_top = float(profile.knots[shape.screen_top])

    def s(self, y: float) -> float:
        """Arc position of height ``y`` on the front."""
        return self.profile.s_at_height(y, self.nose)

    def _pixels(self, points: Sequence[Point], front: bool) -> F32:
        first, second = f32(points).T
        return (self.sheet.front if front else self.sheet.side)(first, second)

    def fill(self, points: Sequence[Point], material: Material, front: bool = True) -> None:
        """Fill a polygon."""
        pixels = np.round(self._pixels(points, front) * 16).astype(np.int32)
        cv2.fillPoly(self.colour, [pixels], material.colour, cv2.LINE_AA, 4)
        cv2.fillPoly(self.finish, [pixels], material.finish, cv2.LINE_AA, 4)

    def both(self, points: Sequence[Point], material: Material) -> None:
        """Fill a polygon on the front and its mirror image."""
        self.fill(points, material)
        self.fill([(-t, s) for t, s in points], material)

    def line(
        self, points: Sequence[Point], width_m: float, material: Material, front: bool = True
    ) -> None:
        """Draw an open line."""
        pixels = np.round(self._pixels(points, front) * 16).astype(np.int32)
        thickness = max(1, round(width_m * SHEET_PX_PER_M))
        for picture, value in ((self.colour, material.colour), (self.finish, material.finish)):
            cv2.polylines(picture, [pixels], False, value, thickness, cv2.LINE_AA, 4)

    def rect(self, t: Point, y: Point, material: Material, corner: float = 0.15) -> None:
        """A rectangle on the front from heights ``y`` and shares ``t``, corners cut a little."""
        (t0, t1), (y0, y1) = t, y
        cut_y = corner * (y1 - y0)
        cut_t = cut_y / (self.shape.width / 2)
        outline = [
            (t0 + cut_t, y0),
            (t1 - cut_t, y0),
            (t1, y0 + cut_y),
            (t1, y1 - cut_y),
            (t1 - cut_t, y1),
            (t0 + cut_t, y1),
            (t0, y1 - cut_y),
            (t0, y0 + cut_y),
        ]
        self.fill([(t, self.s(y)) for t, y in outline], material)

    def disc(self, t: float, s: float, radius_m: Point, material: Material) -> None:
        """An ellipse on the front, half axes in metres across and along."""
        angle = np.linspace(0, 2 * np.pi, 29)
        across = radius_m[0] / (self.shape.width / 2)
        self.fill(
            [(t + across * float(np.cos(a)), s + radius_m[1] * float(np.sin(a))) for a in angle],
            material,
        )

    def swatch(self, name: str, material: Material) -> tuple[slice, slice]:
        """Fill a swatch and its margin; returns its rows and columns."""
        x, y = self.sheet.swatch(name, f32(0), f32(0)) - SWATCH_MARGIN_PX
        rows, columns = slice(int(y), int(y) + SWATCH_PX), slice(int(x), int(x) + SWATCH_PX)
        self.colour[rows, columns], self.finish[rows, columns] = material.colour, material.finish
        return rows, columns

    def skin(self, rng: np.random.Generator, dirt: float) -> Skin:
        """The finished sheet, with a little dirt and unevenness (``dirt`` 0-1)."""
        small = rng.normal(size=(self.sheet.height // 24 + 2, self.sheet.width // 24 + 2))
        size = (self.sheet.width, self.sheet.height)
        field = f32(cv2.resize(f32(small), size, interpolation=cv2.INTER_CUBIC))
        colour = self.colour.astype(np.float32)
        grain = rng.normal(size=field.shape).astype(np.float32)
        colour *= (1 + 0.010 * field + 0.012 * grain)[..., None]
        low = np.zeros(self.sheet.height, np.float32)
        rows = np.arange(self.sheet.height) / SHEET_PX_PER_M
        low[:] = np.clip(1 - rows / 0.45, 0, 1)
        share = np.zeros_like(field)
        share[:, : self.sheet.front_width] = low[:, None]
        height = self.sheet.top_y - rows
        side = slice(self.sheet.side_left, None)
        side_low = np.clip(1 - (height - 0.15) / 0.6, 0, 1) * (rows < self.sheet.top_y)
        share[:, side] = side_low[:, None]
        dust = f32(np.clip(share * (0.8 + 0.5 * field), 0, 1) * 0.6 * dirt)[..., None]
        colour += (f32([92, 100, 104]) - colour) * dust
        soft = cv2.GaussianBlur(np.clip(colour, 0, 255), (0, 0), 0.8)
        finish = np.asarray(cv2.GaussianBlur(self.finish, (0, 0), 0.8), np.uint8)
        return Skin.build(np.clip(soft, 0, 255).astype(np.uint8), finish)
