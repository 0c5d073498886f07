"""Parts that all vehicles have: windscreen, lamps, doors and side windows, wheels."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.scene_canvas import (
    GLASS,
    GRILLE,
    HOLLOW,
    LINE,
    PLASTIC,
    RUBBER,
    Canvas,
    Material,
    Point,
)
from benchmarks.scene_mesh import SWATCH_PX

LENS = Material((84, 86, 86), 1.0, 0.10)
REFLECTOR = Material((205, 206, 204), 0.9, 0.30)
AMBER = Material((36, 96, 190), 0.8, 0.08)


def windscreen(canvas: Canvas, low: tuple[float, float], high: tuple[float, float]) -> None:
    """Glass between (t, s) at its lower and upper corner, with what shows dimly behind it."""
    (t0, s0), (t1, s1) = low, high
    rise = s1 - s0

    def frame(inset: float) -> list[Point]:
        a, b = inset, inset * 2 * rise
        right = [
            (t0 - a, s0 + b + 0.10 * rise),
            (t1 - a, s1 - b - 0.12 * rise),
            (t1 - a - 0.04, s1 - b - 0.02 * rise),
            (t1 - a - 0.22, s1 - b),
        ]
        corner = [(t0 - a - 0.03, s0 + b + 0.01 * rise), (0.0, s0 + b - 0.015)]
        left = [(-t, s) for t, s in reversed(right)]
        return [*corner[::-1], *right, *left, (-corner[0][0], corner[0][1])]

    canvas.fill(frame(0.0), Material((18, 18, 18), 0.6, 0.05))
    canvas.fill(frame(0.028), GLASS)
    dim = Material((40, 38, 35), 1.0, 0.075)
    canvas.fill(
        [
            (-t0 * 0.88, s0 + 0.05 * rise),
            (t0 * 0.88, s0 + 0.05 * rise),
            (t0 * 0.84, s0 + 0.20 * rise),
            (-t0 * 0.84, s0 + 0.20 * rise),
        ],
        dim,
    )
    wheel = Material((12, 12, 12), 1.0, 0.075)
    ring = np.linspace(0, 2 * np.pi, 25)
    canvas.line(
        [
            (0.42 * t0 + 0.17 * float(np.cos(a)), s0 + (0.22 + 0.13 * float(np.sin(a))) * rise)
            for a in ring
        ],
        0.022,
        wheel,
    )
    canvas.fill(
        [
            (-0.09, s1 - 0.17 * rise),
            (0.09, s1 - 0.17 * rise),
            (0.10, s1 - 0.09 * rise),
            (-0.10, s1 - 0.09 * rise),
        ],
        Material((14, 13, 13), 1.0, 0.06),
    )
    for start, end in ((-0.62, 0.02), (-0.02, 0.70)):  # wipers
        canvas.line(
            [(start * t0, s0 + 0.015), (end * t0, s0 + 0.10 * rise)],
            0.016,
            Material((10, 10, 10), 0.3, 0.03),
        )
    sticker = Material((150, 158, 150), 0.9, 0.06)
    canvas.fill(
        [
            (-t1 * 0.80, s1 - 0.20 * rise),
            (-t1 * 0.80 + 0.07, s1 - 0.20 * rise),
            (-t1 * 0.80 + 0.07, s1 - 0.11 * rise),
            (-t1 * 0.80, s1 - 0.11 * rise),
        ],
        sticker,
    )


def headlamp(canvas: Canvas, outline: list[Point], lamp: Material, cells: int) -> None:
    """A lamp behind clear glass: dark housing, reflectors, an amber corner."""
    outline_s = [(t, canvas.s(y)) for t, y in outline]
    canvas.both([(t + 0.008 * np.sign(t), s) for t, s in outline_s], LINE)
    canvas.both(outline_s, LENS)
    t0, t1 = min(t for t, _ in outline), max(t for t, _ in outline)
    y0, y1 = min(y for _, y in outline), max(y for _, y in outline)
    step = (t1 - t0) / (cells + 1)
    for side in (-1, 1):
        for cell in range(cells):
            at = t0 + step * (cell + 0.85)
            middle = canvas.s(y0 + (y1 - y0) * (0.44 + 0.05 * cell))
            radius = min(0.40 * (y1 - y0), step * canvas.shape.width / 2 * 0.50)
            canvas.disc(side * at, middle, (radius * 1.1, radius * 1.1), Material((52, 52, 52)))
            canvas.disc(side * at, middle, (radius, radius), REFLECTOR)
            core = lamp if cell == 0 else REFLECTOR
            canvas.disc(side * at, middle, (radius * 0.62, radius * 0.62), core)
        corner = [
            (t1 - 0.055, y0 + 0.45 * (y1 - y0)),
            (t1 - 0.01, y0 + 0.6 * (y1 - y0)),
            (t1 - 0.015, y0 + 0.85 * (y1 - y0)),
            (t1 - 0.06, y0 + 0.75 * (y1 - y0)),
        ]
        canvas.fill([(side * t, canvas.s(y)) for t, y in corner], AMBER)


def darker(paint: Material, share: float) -> Material:
    """The colour of a seam or crease: paint darkened to ``share`` of its value."""
    blue, green, red = paint.colour
    return Material((int(blue * share), int(green * share), int(red * share)), 0.5, 0.03)


def plate_holder(canvas: Canvas) -> None:
    """The dark tray behind the plate."""
    half = 0.255 / (canvas.shape.width / 2)
    y = canvas.shape.plate_y
    canvas.rect((-half, half), (y - 0.085, y + 0.085), PLASTIC)


def hub(canvas: Canvas) -> None:
    """A wheel's outer side: tyre, rim and five holes."""
    place = canvas.swatch("hub", RUBBER)
    tile = np.ascontiguousarray(canvas.colour[place])
    middle = SWATCH_PX // 2
    cv2.circle(tile, (middle, middle), 27, (128, 128, 126), -1, cv2.LINE_AA)
    for angle in np.arange(5) * 2 * np.pi / 5:
        at = (round(middle + 17 * np.cos(angle)), round(middle + 17 * np.sin(angle)))
        cv2.circle(tile, at, 6, (50, 50, 50), -1, cv2.LINE_AA)
    canvas.colour[place] = tile


def sides(canvas: Canvas, bands: bool) -> None:
    """Doors, glass and wheel arches; ``bands`` draws a coach's long window band."""
    shape, profile = canvas.shape, canvas.profile
    cowl_d = shape.profile[shape.cowl][0]
    start = cowl_d + (0.30 if shape.height < 2.2 else 0.22)
    end = shape.length - (0.55 if shape.height < 2.2 else 0.35)
    belt = shape.belt + 0.02
    depths = np.linspace(start, end, 24)
    roof = [
        (float(d), profile.height_at_depth(float(d)) - (0.40 if bands else 0.12)) for d in depths
    ]
    lower = [(end, belt), (start, belt)]
    window = [(d, max(y, belt + 0.02)) for d, y in roof]
    canvas.fill([*window, *lower], GLASS, front=False)
    gaps = np.arange(start + 1.4, end, 1.5) if bands else (start + 1.0, start + 1.95)
    for d in gaps:
        canvas.line([(float(d), belt - 0.02), (float(d), shape.height)], 0.07, GRILLE, front=False)
    for d in (start - 0.1, start + 1.0, start + 1.95):
        canvas.line([(d, shape.sill + 0.08), (d, belt)], 0.008, LINE, front=False)
    canvas.line([(start, belt - 0.12), (end, belt - 0.10)], 0.010, LINE, front=False)
    canvas.fill(
        [
            (0.2, shape.sill + 0.09),
            (shape.length, shape.sill + 0.09),
            (shape.length, shape.sill - 0.05),
            (0.2, shape.sill - 0.05),
        ],
        PLASTIC,
        front=False,
    )
    for axle in shape.axles:
        angle = np.linspace(0, 2 * np.pi, 33)
        reach = shape.wheel_radius * 1.17
        canvas.fill(
            [
                (axle + reach * float(np.cos(a)), shape.wheel_radius + reach * float(np.sin(a)))
                for a in angle
            ],
            HOLLOW,
            front=False,
        )
