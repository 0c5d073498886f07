"""Where each character of a plate goes: layouts after GA 36-2018, in millimetres."""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment"

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.types import PlateClass

Row = tuple[float, float, float, float, float]
"""x, y, width, height and gap of a row of characters, mm."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One character on the plate: its rectangle in mm, glyph family and ink."""

    character: str
    x: float
    y: float
    width: float
    height: float
    family: str
    ink: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A plate before it is drawn: size in mm, ground, border ink, characters, dots (x, y)."""

    width: float
    height: float
    ground: str
    border: str
    cells: tuple[Cell, ...]
    dots: tuple[tuple[float, float], ...] = ()


def _row(
    text: str,
    inks: list[str],
    x: float,
    y: float,
    w: float,
    h: float,
    gap: float,
    family: str,
    wide_after: int = 0,
    wide: float = 0.0,
    first: float | None = None,
) -> tuple[Cell, ...]:
    cells = []
    for index, (character, ink) in enumerate(zip(text, inks, strict=True)):
        width = first if index == 0 and first is not None else w
        cells.append(Cell(character, x, y, width, h, family, ink))
        x += width + (wide if index + 1 == wide_after else gap)
    return tuple(cells)


def _single(text: str, ground: str, inks: list[str], wide_after: int = 2) -> Layout:
    if len(text) == 7:
        cells = _row(text, inks, 15.5, 25, 45, 90, 12, "140", wide_after, 34)
        last = cells[wide_after - 1]
        dots: tuple[tuple[float, float], ...] = ((last.x + last.width + 17, 70.0),)
    else:  # eight characters on the same 440 mm: narrower cells, no dot
        cells = _row(text, inks, 15.5, 25, 43, 90, 8.8, "140")
        dots = ()
    return Layout(440, 140, ground, inks[-1] if ground != "white" else "ink", cells, dots)


def _double(
    text: str,
    ground: str,
    inks: list[str],
    size: tuple[float, float],
    top: Row,
    bottom: Row,
    border: str,
) -> Layout:
    """``top`` = x, y, w, h, gap of the first two characters; ``bottom`` of the other five."""
    upper = _row(text[:2], inks[:2], *top, "220_up")
    lower = _row(text[2:], inks[2:], *bottom, "220_down")
    dot = (size[0] / 2, top[1] + top[3] / 2)
    return Layout(*size, ground, border, upper + lower, (dot,))


def _yellow_220(text: str) -> Layout:
    inks = ["ink"] * len(text)
    return _double(
        text, "yellow", inks, (440, 220), (110, 15, 80, 60, 60), (27.5, 90, 65, 110, 15), "ink"
    )


def _wj(text: str, variant: int) -> Layout:
    """Red WJ, a small red province (high, low or level with the letters), a dot, five characters.

    The order's drawing is not public; the variants span what photographs show.
    """
    inks = ["red"] * (len(text) - 5) + ["ink"] * 5
    if len(text) == 7:
        return _single(text, "white", inks)
    size, drop = ((30, 60), (36, 72), (43, 90))[variant % 3], (0.0, 1.0, 0.5)[variant // 3 % 3]
    left, wide, gap = 15.5, 43, 8.0 + 2 * (variant % 2)
    cells = []
    for index, (character, colour) in enumerate(zip(text, inks, strict=True)):
        width, height = size if index == 2 else (wide, 90)
        y = 25 + (90 - height) * drop if index == 2 else 25
        cells.append(Cell(character, left, y, width, height, "140", colour))
        left += width + gap + (20 if index == 2 and size[0] < 43 else 0)
    spare = 440 - 15.5 - (left - gap)
    dots = ((cells[2].x + cells[2].width + 14 + gap / 2, 70.0),) if size[0] < 43 else ()
    cells = [replace(cell, x=cell.x + spare / 2) for cell in cells]
    dots = tuple((x + spare / 2, y) for x, y in dots)
    return Layout(440, 140, "white", "ink", tuple(cells), dots)


def layout(text: str, plate_class: PlateClass, variant: int = 0) -> Layout:
    """Where each character of a plate goes. ``variant`` picks among a class's looks."""
    n = len(text)
    ink, white = ["ink"] * n, ["white"] * n
    tail_red = [*ink[:-1], "red"]
    match plate_class:
        case PlateClass.YELLOW_DOUBLE | PlateClass.TRAILER:
            return _yellow_220(text)
        case PlateClass.GREEN_SMALL | PlateClass.GREEN_LARGE:
            cells = _row(text, ink, 15.5, 25, 43, 90, 9, "green", 2, 49, 45)
            return Layout(480, 140, plate_class.value, "ink", cells)
        case PlateClass.YELLOW_SINGLE | PlateClass.COACH:
            return _single(text, "yellow", ink)
        case PlateClass.POLICE:
            return _single(text, "white", tail_red, wide_after=1 + variant % 2)
        case PlateClass.EMERGENCY:
            return _single(text, "white", [*ink[:-2], "red", "red"])
        case PlateClass.HK_MACAU:
            return _single(text, "black", white)
        case PlateClass.EMBASSY:
            red = ["red" if c == "使" and variant % 2 else "white" for c in text]
            return _single(text, "black", red, wide_after=3 if text[-1] == "使" else 4)
        case PlateClass.CONSULATE:
            return _single(text, "black", [*white[:-1], "red" if variant % 2 else "white"], 4)
        case PlateClass.WJ:
            return _wj(text, variant)
        case PlateClass.ARMY:
            return _single(text, "white", ["red"] * (1 + variant % 2) + ink[: 6 - variant % 2])
        case PlateClass.MOTORCYCLE:
            ground = "yellow" if variant % 2 else "blue"
            inks = ink if variant % 2 else white
            top, bottom = (52, 12, 42, 50, 32), (15, 68, 30, 60, 10)
            return _double(text, ground, inks, (220, 140), top, bottom, inks[0])
        case PlateClass.TRACTOR:
            top, bottom = (75, 14, 55, 55, 40), (20, 82, 44, 70, 10)
            return _double(text, "tractor", white, (300, 165), top, bottom, "white")
        case _:
            return _single(text, "blue", white)
