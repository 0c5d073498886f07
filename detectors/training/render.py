"""Rendered plates of every class, for training and for demonstrations.

Geometry after GA 36-2018 (millimetres): every layout below adds up to the plate's own width and
height. Characters come from a folder of glyph pictures (black on white) that is given at run
time: ``characters/140_*.jpg`` single row, ``green_*`` new energy, ``220_*`` double row with
``up_`` and ``down_`` variants of the letters. Plates themselves (ground, border line, bolt
slots, the new-energy gradient) are drawn, so no other picture is needed.

    glyphs = Glyphs(Path("…/glyphs"))
    text, plate_class = random_plate(rng)                  # a legal text, provinces evenly
    image = render_plate(text, plate_class, glyphs, rng)   # (H, W, 3) uint8 BGR, 2 px per mm

``rng=None`` gives the nominal colours; with a generator, colours, wear and bolts vary a little.
Camera effects live in :mod:`detectors.training.degrade`.
"""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detectors.training.arrays import f32
from detectors.training.layouts import Cell, Layout, layout
from pipeline.types import PROVINCES, ImageBgr, PlateClass

SERIAL = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"
SERIAL_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

CLASS_WEIGHTS: dict[PlateClass, float] = {
    PlateClass.BLUE: 0.26,
    PlateClass.YELLOW_SINGLE: 0.12,
    PlateClass.YELLOW_DOUBLE: 0.13,
    PlateClass.GREEN_SMALL: 0.13,
    PlateClass.GREEN_LARGE: 0.06,
    PlateClass.POLICE: 0.05,
    PlateClass.COACH: 0.05,
    PlateClass.HK_MACAU: 0.03,
    PlateClass.EMBASSY: 0.02,
    PlateClass.CONSULATE: 0.02,
    PlateClass.WJ: 0.03,
    PlateClass.ARMY: 0.03,
    PlateClass.MOTORCYCLE: 0.02,
    PlateClass.TRAILER: 0.03,
    PlateClass.TRACTOR: 0.01,
    PlateClass.EMERGENCY: 0.01,
}
"""How often :func:`random_plate` draws each class when none is asked for."""

_BGR = {
    "blue": (168, 72, 18),
    "yellow": (22, 176, 238),
    "white": (238, 238, 236),
    "black": (28, 26, 26),
    "green": (118, 196, 92),
    "tractor": (84, 122, 20),
    "ink": (22, 20, 20),
    "red": (36, 28, 206),
}


class Glyphs:
    """The glyph pictures of one folder as alpha masks (H, W) uint8, 255 where ink is."""

    def __init__(self, folder: Path, font: Path | None = None) -> None:
        self._masks: dict[str, np.ndarray] = {}
        for path in sorted((folder / "characters").glob("*.jpg")):
            grey = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
            self._masks[path.stem] = 255 - grey
        if not self._masks:
            raise FileNotFoundError(f"no glyph pictures under {folder / 'characters'}")
        if font is not None:
            for character in "应急":
                self._masks[f"140_{character}"] = _from_font(character, font)
            for character in PROVINCES:
                self._masks[f"font_{character}"] = _from_font(character, font)

    def has(self, character: str) -> bool:
        """Whether the character can be drawn at all."""
        return f"140_{'0' if character == 'O' else character}" in self._masks

    def mask(self, character: str, family: str) -> np.ndarray:
        """Mask of a character in the family ``140``, ``green``, ``220_up`` or ``220_down``."""
        character = "0" if character == "O" else character  # drawn alike; O only issues
        for name in (f"{family}_{character}", f"{family[:3]}_{character}", f"140_{character}"):
            if name in self._masks:
                return self._masks[name]
        raise KeyError(character)


def _from_font(character: str, font: Path) -> np.ndarray:
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("L", (200, 200), 0)
    ImageDraw.Draw(canvas).text(
        (20, 10), character, fill=255, font=ImageFont.truetype(str(font), 150), stroke_width=3
    )
    box = canvas.getbbox()
    return np.asarray(canvas.crop(box).resize((77, 150)))


def _ground(plan: Layout, scale: float, tint: Callable[[str], tuple[float, ...]]) -> np.ndarray:
    height, width = round(plan.height * scale), round(plan.width * scale)
    image = np.empty((height, width, 3), np.float32)
    if plan.ground == "green_small":
        ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 0.9
        image[:] = f32(tint("white")) * (1 - ramp) + f32(tint("green")) * ramp
    elif plan.ground == "green_large":
        image[:] = f32(tint("green"))
        image[:, : round(120 * scale)] = f32(tint("yellow"))
    else:
        image[:] = f32(tint(plan.ground))
    return image


def render_plate(
    text: str,
    plate_class: PlateClass,
    glyphs: Glyphs,
    rng: np.random.Generator | None = None,
    scale: float = 2.0,
) -> ImageBgr:
    """A clean plate, seen straight on: (H, W, 3) uint8 BGR at ``scale`` pixels per mm.

    Raises KeyError when the glyph folder lacks a character (应 and 急 need a font, see
    :class:`Glyphs`).
    """
    variant = 0 if rng is None else int(rng.integers(18))
    plan = layout(text, plate_class, variant)
    shift = np.zeros(3) if rng is None else rng.normal(0, 9, 3)

    def tint(name: str) -> tuple[float, ...]:
        wobble = 0.0 if rng is None else rng.normal(0, 10, 3)
        return tuple(np.clip(np.asarray(_BGR[name]) + shift + wobble, 0, 255))

    image = _ground(plan, scale, tint)
    height, width = image.shape[:2]
    ink = {name: f32(tint(name)) for name in ("ink", "white", "red")}

    border = np.zeros((height, width), np.uint8)
    inset, line = round(3.5 * scale), max(1, round(2.0 * scale))
    cv2.rectangle(border, (inset, inset), (width - inset - 1, height - inset - 1), 255, line)
    for x, y in plan.dots:
        cv2.circle(border, (round(x * scale), round(y * scale)), round(5 * scale), 255, -1)
    if rng is not None and rng.random() < 0.1:
        border[:] = 0
    _blend(image, border, ink[plan.border])

    press = None if rng is None else Press.random(rng)
    for cell in plan.cells:
        size = (max(1, round(cell.width * scale)), max(1, round(cell.height * scale)))
        family = press.family(cell) if press else cell.family
        mask = cv2.resize(glyphs.mask(cell.character, family), size, interpolation=3)
        x, y = round(cell.x * scale), round(cell.y * scale)
        if press is not None and rng is not None:
            mask = press.stamp(mask, scale)
            shift_x, shift_y = np.round(rng.normal(0, 0.8 * scale, 2)).astype(int)
            x, y = max(0, x + int(shift_x)), max(0, y + int(shift_y))
        _blend(image[y : y + size[1], x : x + size[0]], mask, ink[cell.ink])
        if press is not None and press.relief:
            _emboss(image[y : y + size[1], x : x + size[0]], mask, press.relief)
    if rng is not None:
        _bolts(image, plan, scale, rng)
    return np.clip(image, 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Press:
    """How one plate was stamped: stroke weight, relief of the edges, a foreign province font."""

    weight: float
    relief: float
    foreign: bool

    @classmethod
    def random(cls, rng: np.random.Generator) -> Press:
        """Mostly close to the drawing."""
        relief = float(rng.normal(0, 45)) if rng.random() < 0.5 else 0.0
        return cls(float(np.clip(rng.normal(0, 0.1), -0.22, 0.22)), relief, rng.random() < 0.06)

    def family(self, cell: Cell) -> str:
        """The glyph family to draw a cell with."""
        return "font" if self.foreign and cell.character in PROVINCES else cell.family

    def stamp(self, mask: np.ndarray, scale: float) -> np.ndarray:
        """The mask with thicker (weight > 0) or thinner strokes."""
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.4, 1.3 * scale)).astype(np.float32) / 255
        edge = (soft - 0.5 + self.weight) * 4 + 0.5
        return (np.clip(edge, 0, 1) * 255).astype(np.uint8)


def _emboss(target: np.ndarray, mask: np.ndarray, relief: float) -> None:
    """Light from above on raised characters: one edge brighter, the other darker."""
    slope = cv2.Sobel(mask[: target.shape[0], : target.shape[1]], cv2.CV_32F, 0, 1) / 1020
    target += (slope * relief)[..., None]


def _blend(target: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> None:
    alpha = (mask[: target.shape[0], : target.shape[1]].astype(np.float32) / 255)[..., None]
    target += (colour - target) * alpha


def _bolts(image: np.ndarray, plan: Layout, scale: float, rng: np.random.Generator) -> None:
    rows = (7.0,) if plan.height > 150 else (8.0, plan.height - 8.0)
    for y in rows:
        if rng.random() < 0.35:
            continue
        for x in (plan.width * 0.25, plan.width * 0.75):
            shade = float(rng.choice([40, 120, 190, 235])) + rng.normal(0, 12)
            at = (round((x + rng.normal(0, 3)) * scale), round((y + rng.normal(0, 1)) * scale))
            cv2.circle(image, at, max(1, round(rng.uniform(3, 8) * scale)), (shade,) * 3, -1)


def _pick(rng: np.random.Generator, characters: str) -> str:
    return characters[int(rng.integers(len(characters)))]


def _ordinary_serial(rng: np.random.Generator, length: int = 5) -> str:
    """0, 1 or 2 letters anywhere, the rest digits."""
    serial = [_pick(rng, DIGITS) for _ in range(length)]
    for index in rng.permutation(length)[: rng.choice(3, p=[0.25, 0.35, 0.4])]:
        serial[index] = _pick(rng, SERIAL_LETTERS)
    return "".join(serial)


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(_pick(rng, DIGITS) for _ in range(count))


def random_plate(
    rng: np.random.Generator, plate_class: PlateClass | None = None
) -> tuple[str, PlateClass]:
    """A legal text and its class; provinces evenly, classes by :data:`CLASS_WEIGHTS`."""
    if plate_class is None:
        names = list(CLASS_WEIGHTS)
        weights = np.array([CLASS_WEIGHTS[name] for name in names])
        plate_class = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    province, issuer = _pick(rng, PROVINCES), _pick(rng, SERIAL_LETTERS)
    head = province + issuer
    match plate_class:
        case PlateClass.GREEN_SMALL:
            energy = _pick(rng, "DDDFFFABCEGHJK")
            text = head + energy + _pick(rng, SERIAL) + _digits(rng, 4)
        case PlateClass.GREEN_LARGE:
            text = head + _digits(rng, 5) + _pick(rng, "DDDFFFABCEGHJK")
        case PlateClass.POLICE:
            text = head + _ordinary_serial(rng, 4) + "警"
        case PlateClass.COACH:
            text = head + _ordinary_serial(rng, 4) + "学"
        case PlateClass.TRAILER:
            text = head + _ordinary_serial(rng, 4) + "挂"
        case PlateClass.HK_MACAU:
            text = "粤Z" + _ordinary_serial(rng, 4) + _pick(rng, "港港澳")
        case PlateClass.EMBASSY:
            number = _digits(rng, 6)
            text = number + "使" if rng.random() < 0.7 else "使" + number
        case PlateClass.CONSULATE:
            first = issuer if rng.random() < 0.3 else _pick(rng, DIGITS)
            text = province + first + _digits(rng, 4) + "领"
        case PlateClass.WJ:
            mid = province if rng.random() < 0.7 else ""
            last = _pick(rng, SERIAL) if rng.random() < 0.5 else _pick(rng, DIGITS)
            text = "WJ" + mid + _digits(rng, 4) + last
        case PlateClass.ARMY:
            text = _pick(rng, SERIAL_LETTERS) + _pick(rng, SERIAL_LETTERS) + _digits(rng, 5)
        case PlateClass.EMERGENCY:
            text = province + _pick(rng, "XS") + _digits(rng, 4) + "应急"
        case PlateClass.BLUE if rng.random() < 0.01:
            text = province + "O" + _ordinary_serial(rng)
        case _:
            text = head + _ordinary_serial(rng)
    return text, plate_class
