"""Painting each kind of vehicle: lamps, grille, glass, seams, wheels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.scene_canvas import (
    CHROME,
    GRILLE,
    HOLLOW,
    LINE,
    PLASTIC,
    RUBBER,
    Bgr,
    Canvas,
    Material,
    paint_of,
)
from benchmarks.scene_mesh import SWATCH_MARGIN_PX, SWATCH_PX, Sheet
from benchmarks.scene_parts import (
    AMBER,
    LENS,
    REFLECTOR,
    darker,
    headlamp,
    hub,
    plate_holder,
    sides,
    windscreen,
)
from benchmarks.scene_shade import Skin
from benchmarks.scene_shapes import BODY_BGR, Kind, Profile, Shape, f32
from pipeline.types import VehicleColour


@dataclass(frozen=True, slots=True)
class _Face:
    """What tells car fronts apart.

    ``grille``, ``intake`` and ``lamp`` are the half widths of grille and lower intake and where
    the lamps begin (as ``t``); ``grille_share`` how much of the height above the plate the grille
    takes; ``lamp_low`` the lamps' lower edge above the plate's middle, metres.
    """

    grille: float = 0.46
    taper: float = 0.84
    grille_share: float = 1.0
    bars: int = 3
    posts: int = 0
    chrome: bool = True
    intake: float = 0.60
    lamp: float = 0.52
    lamp_low: float = 0.075


_FACES = {
    Kind.SALOON: _Face(),
    Kind.TAXI: _Face(grille=0.44, taper=1.0, bars=4, lamp=0.50),
    Kind.HATCHBACK: _Face(
        grille=0.50,
        grille_share=0.42,
        bars=1,
        chrome=False,
        intake=0.72,
        taper=0.92,
        lamp=0.57,
        lamp_low=0.06,
    ),
    Kind.ELECTRIC: _Face(lamp=0.58, lamp_low=0.12),
    Kind.SUV: _Face(
        grille=0.42, taper=0.80, grille_share=0.8, bars=0, posts=7, lamp=0.47, lamp_low=0.14
    ),
    Kind.VAN: _Face(
        grille=0.40, taper=0.9, grille_share=0.5, bars=2, intake=0.5, lamp=0.55, lamp_low=0.05
    ),
}


def paint_vehicle(
    kind: Kind,
    colour: VehicleColour,
    shape: Shape,
    profile: Profile,
    sheet: Sheet,
    lights: bool,
    rng: np.random.Generator,
) -> Skin:
    """The sheet of one vehicle. ``lights`` lights its lamps; ``rng`` varies paint and dirt."""
    body = np.clip(f32(BODY_BGR[colour]) * rng.uniform(0.93, 1.06), 0, 255)
    base: Bgr = (int(body[0]), int(body[1]), int(body[2]))
    paint = paint_of(base)
    canvas = Canvas(shape, profile, sheet, paint)
    lamp = Material((238, 240, 240), 1.0, 0.1, 0.9 if lights else 0.0)
    canvas.swatch("tyre", RUBBER)
    canvas.swatch("mirror", PLASTIC if kind in (Kind.BUS, Kind.TRUCK) else paint)
    hub(canvas)
    if kind is Kind.BUS:
        sides(canvas, bands=True)
        _bus_front(canvas, lamp, paint)
    elif kind is Kind.TRUCK:
        sides(canvas, bands=False)
        _truck_front(canvas, lamp, paint)
        _cargo(canvas, rng)
    else:
        sides(canvas, bands=False)
        _car_front(canvas, kind, lamp, paint)
    if kind is Kind.TAXI:
        _taxi(canvas)
    return canvas.skin(rng, dirt=float(rng.uniform(0.15, 0.6)) + 0.3 * (kind is Kind.TRUCK))


def _car_front(canvas: Canvas, kind: Kind, lamp: Material, paint: Material) -> None:
    shape, s, face = canvas.shape, canvas.s, _FACES[kind]
    lip, plate = shape.profile[0][1], shape.plate_y
    nose_y = shape.profile[shape.nose][1]
    rise = nose_y - lip
    crease, seam = darker(paint, 0.78), darker(paint, 0.30)
    canvas.rect((-0.9, 0.9), (lip, lip + 0.09 * rise), PLASTIC)
    if kind in (Kind.SUV, Kind.VAN):
        canvas.rect((-0.97, 0.97), (lip, lip + 0.24 * rise), PLASTIC)

    low0, low1 = lip + 0.12 * rise, plate - 0.085
    wide = face.intake
    canvas.fill(
        [(-wide, s(low1)), (wide, s(low1)), (wide * 0.86, s(low0)), (-wide * 0.86, s(low0))], GRILLE
    )
    for share in (0.3, 0.6, 0.85):
        y = low0 + (low1 - low0) * share
        canvas.line([(-wide * 0.9, s(y)), (wide * 0.9, s(y))], 0.012, PLASTIC)
    fog = [(0.66, low1), (0.86, low1 + 0.01), (0.84, low0 + 0.02), (0.70, low0 + 0.01)]
    canvas.both([(t, s(y)) for t, y in fog], PLASTIC)
    for side in (-1, 1):
        canvas.disc(side * 0.765, s((low0 + low1) / 2), (0.045, 0.042), LENS)
        canvas.disc(side * 0.765, s((low0 + low1) / 2), (0.026, 0.026), REFLECTOR)

    top = nose_y - 0.05 * rise
    grille0, grille1 = plate + 0.095, top - 0.02
    if kind is Kind.ELECTRIC:  # a closed front with a thin line between the lamps
        canvas.line([(-0.6, s(grille1 - 0.05)), (0.6, s(grille1 - 0.05))], 0.012, crease)
        canvas.line(
            [(-0.55, s(grille1 - 0.015)), (0.55, s(grille1 - 0.015))],
            0.016,
            Material((220, 222, 222), 0.9, 0.1, 0.35),
        )
    else:
        grille0 = grille1 - face.grille_share * (grille1 - grille0)
        span, narrow = face.grille, face.grille * face.taper
        border = [
            (-span, s(grille1)),
            (span, s(grille1)),
            (narrow, s(grille0)),
            (-narrow, s(grille0)),
        ]
        canvas.fill([(t * 1.04, q) for t, q in border], CHROME if face.chrome else LINE)
        inner = [(t * 0.98, q + (0.012 if q < s(grille1 - 0.02) else -0.012)) for t, q in border]
        canvas.fill(inner, GRILLE)
        for bar in range(face.bars):
            y = grille0 + (grille1 - grille0) * (bar + 0.7) / (face.bars + 0.4)
            canvas.line(
                [(-narrow, s(y)), (narrow, s(y))], 0.011, CHROME if face.chrome else PLASTIC
            )
        for index in range(face.posts):
            t = narrow * (2 * (index + 1) / (face.posts + 1) - 1)
            canvas.line(
                [(t * 1.05, s(grille1 - 0.02)), (t * 0.95, s(grille0 + 0.02))], 0.014, CHROME
            )
    emblem = s((grille0 + grille1) / 2 + 0.01)
    canvas.disc(0, emblem, (0.055, 0.045), CHROME)
    canvas.disc(0, emblem, (0.040, 0.031), GRILLE)
    canvas.disc(0, emblem, (0.022, 0.018), CHROME)

    inner_t, under = face.lamp, plate + face.lamp_low
    outline = [
        (inner_t, top - 0.05 * rise),
        (0.80, top + 0.035 * rise),
        (0.93, top),
        (0.955, under + 0.4 * (top - under)),
        (0.86, under + 0.08 * (top - under)),
        (inner_t + 0.04, under),
    ]
    headlamp(canvas, outline, lamp, 2)

    canvas.line(
        [(-0.90, s(top)), (-0.45, canvas.nose - 0.01), (0.45, canvas.nose - 0.01), (0.90, s(top))],
        0.007,
        seam,
    )
    canvas.line([(-0.97, s(plate + 0.085)), (0.97, s(plate + 0.085))], 0.006, crease)
    for side in (-1, 1):
        canvas.line(
            [
                (side * 0.90, s(top)),
                (side * 0.87, canvas.nose + 0.15),
                (side * 0.86, canvas.cowl - 0.05),
            ],
            0.007,
            seam,
        )
    canvas.fill(
        [
            (-0.90, canvas.cowl - 0.07),
            (0.90, canvas.cowl - 0.07),
            (0.93, canvas.cowl + 0.07),
            (-0.93, canvas.cowl + 0.07),
        ],
        PLASTIC,
    )
    windscreen(canvas, (0.93, canvas.cowl + 0.02), (0.90, canvas.screen_top + 0.01))
    plate_holder(canvas)


def _bus_front(canvas: Canvas, lamp: Material, paint: Material) -> None:
    s, plate = canvas.s, canvas.shape.plate_y
    stripe = Material((150, 118, 60), 0.8, 0.045)
    canvas.rect((-0.98, 0.98), (0.30, 0.46), PLASTIC)
    canvas.fill([(-1, s(0.52)), (1, s(0.52)), (1, s(0.47)), (-1, s(0.47))], stripe)
    canvas.rect((-0.50, 0.50), (plate + 0.17, 1.06), GRILLE, 0.25)
    for bar in range(5):
        y = plate + 0.21 + bar * 0.048
        canvas.line([(-0.47, s(y)), (0.47, s(y))], 0.014, CHROME)
    canvas.disc(0, s(0.98), (0.10, 0.06), CHROME)
    canvas.disc(0, s(0.98), (0.08, 0.045), paint)
    outline = [(0.62, 0.98), (0.90, 1.03), (0.965, 0.98), (0.965, 0.78), (0.88, 0.74), (0.64, 0.78)]
    headlamp(canvas, outline, lamp, 3)
    for side in (-1, 1):
        canvas.disc(side * 0.78, s(0.60), (0.07, 0.065), PLASTIC)
        canvas.disc(side * 0.78, s(0.60), (0.05, 0.048), REFLECTOR)
    canvas.line([(-0.99, s(0.70)), (0.99, s(0.70))], 0.008, LINE)
    canvas.line([(-0.99, s(1.10)), (0.99, s(1.10))], 0.010, LINE)
    windscreen(canvas, (0.96, canvas.cowl + 0.02), (0.95, canvas.screen_top))
    canvas.line([(0, canvas.cowl + 0.05), (0, canvas.screen_top)], 0.02, LINE)
    above = canvas.screen_top
    canvas.fill(
        [(-0.72, above + 0.05), (0.72, above + 0.05), (0.70, above + 0.26), (-0.70, above + 0.26)],
        Material((16, 16, 18), 0.9, 0.06),
    )
    for index in range(9):  # the unlit dots of the destination board
        t = -0.56 + 0.14 * index
        canvas.line([(t, above + 0.10), (t + 0.06, above + 0.20)], 0.014, Material((40, 74, 120)))
    plate_holder(canvas)


def _truck_front(canvas: Canvas, lamp: Material, paint: Material) -> None:
    s = canvas.s
    grey = Material((84, 84, 82), 0.3, 0.03)
    canvas.rect((-0.99, 0.99), (0.36, 0.92), grey, 0.05)
    canvas.rect((-0.62, 0.62), (0.36, 0.45), HOLLOW)
    canvas.line([(-0.98, s(0.93)), (0.98, s(0.93))], 0.02, LINE)
    outline = [(0.64, 0.82), (0.93, 0.84), (0.95, 0.60), (0.66, 0.60)]
    headlamp(canvas, outline, lamp, 2)
    canvas.rect((-0.74, 0.74), (1.00, 1.40), GRILLE, 0.12)
    for bar in range(4):
        y = 1.06 + bar * 0.095
        canvas.fill(
            [(-0.71, s(y + 0.05)), (0.71, s(y + 0.05)), (0.71, s(y)), (-0.71, s(y))],
            paint if bar % 2 else PLASTIC,
        )
    canvas.disc(0, s(1.48), (0.13, 0.05), CHROME)
    for side in (-1, 1):
        canvas.fill(
            [
                (side * 0.80, s(1.36)),
                (side * 0.94, s(1.36)),
                (side * 0.94, s(1.06)),
                (side * 0.80, s(1.06)),
            ],
            PLASTIC,
        )
        canvas.fill(
            [
                (side * 0.95, s(1.32)),
                (side * 0.99, s(1.32)),
                (side * 0.99, s(1.14)),
                (side * 0.95, s(1.14)),
            ],
            AMBER,
        )
    windscreen(canvas, (0.94, canvas.cowl + 0.02), (0.93, canvas.screen_top))
    canvas.fill(
        [
            (-0.96, canvas.screen_top + 0.02),
            (0.96, canvas.screen_top + 0.02),
            (0.96, canvas.screen_top + 0.16),
            (-0.96, canvas.screen_top + 0.16),
        ],
        PLASTIC,
    )
    plate_holder(canvas)


def _cargo(canvas: Canvas, rng: np.random.Generator) -> None:
    """The load's box: a plain front wall and ribbed sides with a painted band."""
    metal = Material((128, 120, 106), 0.15, 0.02)
    place = canvas.swatch("cargo", metal)
    grain = rng.normal(size=(SWATCH_PX, SWATCH_PX, 1))
    canvas.colour[place] = np.clip(canvas.colour[place] * (1 + 0.02 * grain), 0, 255)
    place = canvas.swatch("cargo_side", metal)
    at = np.arange(SWATCH_PX)
    ribs = 1 + 0.16 * np.sign(np.sin(at * 2 * np.pi / 8))[None, :, None]
    ribs[:, at % 32 < 2] = 0.45
    wall = canvas.colour[place] * (ribs + 0.03 * grain)
    wall[34:46] = f32([150, 104, 52]) * ribs[:, :]
    wall[:11] *= 0.6
    wall[-12:] *= 0.45
    canvas.colour[place] = np.clip(wall, 0, 255)


def _taxi(canvas: Canvas) -> None:
    """Two-tone paint and the sign on the roof."""
    second = paint_of((58, 150, 186))
    s, plate = canvas.s, canvas.shape.plate_y
    low = canvas.shape.profile[0][1]
    canvas.fill(
        [
            (-1, s(plate - 0.07)),
            (-0.62, s(plate - 0.09)),
            (-0.72, s(low + 0.02)),
            (-1, s(low + 0.02)),
        ],
        second,
    )
    canvas.fill(
        [(1, s(plate - 0.07)), (0.62, s(plate - 0.09)), (0.72, s(low + 0.02)), (1, s(low + 0.02))],
        second,
    )
    rows, columns = canvas.swatch("sign", Material((206, 212, 214), 0.5, 0.05, 0.06))
    tile = np.full((128, 128, 3), (206, 212, 214), np.uint8)
    (wide, high), _ = cv2.getTextSize("TAXI", cv2.FONT_HERSHEY_SIMPLEX, 1.3, 3)
    cv2.putText(
        tile,
        "TAXI",
        (64 - wide // 2, 64 + high // 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        1.3,
        (40, 36, 150),
        3,
        cv2.LINE_AA,
    )
    inner = SWATCH_PX - 2 * SWATCH_MARGIN_PX
    text = cv2.resize(tile[46:82], (inner, inner), interpolation=cv2.INTER_AREA)
    canvas.colour[rows, columns][
        SWATCH_MARGIN_PX:-SWATCH_MARGIN_PX, SWATCH_MARGIN_PX:-SWATCH_MARGIN_PX
    ] = text
