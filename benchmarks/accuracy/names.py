"""File names that are labels: those of CCPD, and pictures named by their plate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pipeline.errors import WatchlistError
from pipeline.types import Box, Corners
from watchlist.grammar import is_legal, normalise

Point: TypeAlias = tuple[int, int]

CCPD_PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学O"
CCPD_ISSUERS = "ABCDEFGHJKLMNPQRSTUVWXYZO"
CCPD_SERIAL = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789O"
_POINT = r"-?\d+&-?\d+"
_CCPD = re.compile(
    rf"""\d+(?:\.\d+)?                    # share of the picture that is plate
    -(?P<tilt>-?\d+_-?\d+)                # tilt, degrees
    -(?P<box>{_POINT}_{_POINT})           # top-left, bottom-right
    -(?P<corners>{_POINT}(?:_{_POINT}){{3}})  # from the bottom-right, clockwise
    -(?P<plate>\d+(?:_\d+){{6,7}})        # indices into the three tables above
    (?:-\d+(?:-\d+)?)?                    # brightness and blur of the plate
    (?:[ _(].*)?                          # a copy's number""",
    re.VERBOSE,
)
_SEPARATORS = re.compile(r"[\s_()\[\]（）@#+,;=]+|-(?=\d{1,3}$)")


@dataclass(frozen=True, slots=True)
class CcpdName:
    """What a CCPD file name says; points are x, y in pixels, as whole numbers.

    ``corners`` are in this project's order: the plate's own top-left first, clockwise.
    """

    text: str
    box: tuple[Point, Point]
    corners: tuple[Point, Point, Point, Point]

    def box_px(self) -> Box:
        """x1, y1, x2, y2."""
        (x1, y1), (x2, y2) = self.box
        return float(x1), float(y1), float(x2), float(y2)

    def corners_px(self) -> Corners:
        """(4, 2) float32."""
        return np.array(self.corners, np.float32)


def parse_ccpd(stem: str) -> CcpdName | None:
    """The label in a CCPD file name (without its ending), or None where it is no such name."""
    fields = _CCPD.fullmatch(stem)
    if fields is None:
        return None
    province, issuer, *serial = (int(index) for index in fields["plate"].split("_"))
    try:
        text = CCPD_PROVINCES[province] + CCPD_ISSUERS[issuer]
        text += "".join(CCPD_SERIAL[index] for index in serial)
    except IndexError:
        return None
    top_left, bottom_right = _points(fields["box"])
    # CCPD begins with the bottom-right corner: bottom-right, bottom-left, top-left, top-right.
    br, bl, tl, tr = _points(fields["corners"])
    if not (top_left[0] < bottom_right[0] and top_left[1] < bottom_right[1]):
        return None
    return CcpdName(text, (top_left, bottom_right), (tl, tr, br, bl))


def parse_plates(stem: str) -> tuple[str, ...]:
    """The plates that a file name (without its ending) spells out, in their one spelling.

    ``皖A12345``, ``皖A·12345_2`` and ``gate_皖A12345 (3)`` name one plate each; two different
    plates in one name are two plates. Empty where no part of the name is a legal plate.
    """
    plates: dict[str, None] = {}
    for part in _SEPARATORS.split(stem):
        try:
            text = normalise(part)
        except WatchlistError:
            continue
        if is_legal(text):
            plates[text] = None
    return tuple(plates)


def _points(text: str) -> tuple[Point, ...]:
    pairs = (pair.split("&") for pair in text.split("_"))
    return tuple((int(x), int(y)) for x, y in pairs)
