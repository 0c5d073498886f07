"""The forms that a legal number plate can have: the one source for reader, watchlist and matching.

After GA 36-2018 and its neighbours. A form says for each slot which characters may stand there
(so a text is legal if one form allows all its characters) and which plate classes it belongs
to. Pure; knows nothing but the records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.types import ALPHABET, BLANK, DIGITS, LETTERS, PROVINCES, SLOTS, PlateClass

ISSUERS = LETTERS
"""Letters of an issuing authority: O stands for provincial organs."""
SERIAL_LETTERS = LETTERS.replace("O", "")
SERIAL = DIGITS + SERIAL_LETTERS
ENERGY = "ABCDEFGHJK"
"""Letters that mark new energy: A to E pure electric, F to K other."""

_ORDINARY = (
    PlateClass.BLUE,
    PlateClass.YELLOW_SINGLE,
    PlateClass.YELLOW_DOUBLE,
    PlateClass.MOTORCYCLE,
    PlateClass.TEMPORARY,
    PlateClass.TRACTOR,
    PlateClass.OTHER,
)


@dataclass(frozen=True, slots=True)
class PlateForm:
    """One form: the characters allowed in each slot, and the classes of such plates.

    A double-row plate is read top row first; the form says nothing of rows.
    """

    slots: tuple[str, ...]
    classes: frozenset[PlateClass]


def _forms() -> Iterator[tuple[tuple[str, ...], tuple[PlateClass, ...]]]:
    p, d, s = PROVINCES, DIGITS, SERIAL
    for letters in range(3):  # an ordinary serial holds at most two letters
        for places in combinations(range(5), letters):
            serial = tuple(SERIAL_LETTERS if place in places else d for place in range(5))
            yield (p, ISSUERS, *serial), _ORDINARY
    yield (p, SERIAL_LETTERS, ENERGY, s, d, d, d, d), (PlateClass.GREEN_SMALL,)
    yield (p, SERIAL_LETTERS, d, d, d, d, d, ENERGY), (PlateClass.GREEN_LARGE,)
    yield (p, ISSUERS, s, s, s, s, "警"), (PlateClass.POLICE, PlateClass.MOTORCYCLE)
    yield (p, ISSUERS, s, s, s, s, "学"), (PlateClass.COACH, PlateClass.MOTORCYCLE)
    yield (p, ISSUERS, s, s, s, s, "挂"), (PlateClass.TRAILER,)
    yield ("粤", "Z", s, s, s, s, "港澳"), (PlateClass.HK_MACAU,)
    yield (d, d, d, d, d, d, "使"), (PlateClass.EMBASSY,)
    yield ("使", d, d, d, d, d, d), (PlateClass.EMBASSY,)
    yield (p, d, d, d, d, d, "领"), (PlateClass.CONSULATE,)
    yield (p, SERIAL_LETTERS, d, d, d, d, "领"), (PlateClass.CONSULATE,)
    yield ("W", "J", d, d, d, d, s), (PlateClass.WJ,)
    yield ("W", "J", p, d, d, d, d, s), (PlateClass.WJ,)
    yield (ISSUERS, ISSUERS, d, d, d, d, d), (PlateClass.ARMY,)
    yield (p, "XS", d, d, d, d, "应", "急"), (PlateClass.EMERGENCY,)
    yield ("京", d, d, d, d, d, "应", "急"), (PlateClass.EMERGENCY,)
    yield ("应", "急", p, d, d, d, "XS"), (PlateClass.EMERGENCY,)


FORMS: tuple[PlateForm, ...] = tuple(
    PlateForm(slots, frozenset(classes)) for slots, classes in _forms()
)
LENGTHS: tuple[int, ...] = tuple(sorted({len(form.slots) for form in FORMS}))
"""How many characters a legal plate can have."""


def _pattern(forms: Iterable[PlateForm]) -> re.Pattern[str]:
    return re.compile("|".join("".join(f"[{slot}]" for slot in form.slots) for form in forms))


_COLUMN_OF = np.full(0x10000, BLANK, np.intp)  # by code point
_COLUMN_OF[[ord(character) for character in ALPHABET[1:]]] = np.arange(1, len(ALPHABET))
_LEGAL = _pattern(FORMS)
_OF_CLASSES = tuple(
    (_pattern(form for form in FORMS if form.classes == classes), classes)
    for classes in dict.fromkeys(form.classes for form in FORMS)
)


def is_legal(text: str) -> bool:
    """Whether a bare text (no dot, no spaces) has the form of a plate of any class."""
    return _LEGAL.fullmatch(text) is not None


def classes_of(text: str) -> frozenset[PlateClass]:
    """The plate classes that a bare text can belong to; empty: no legal plate."""
    classes: frozenset[PlateClass] = frozenset()
    for pattern, of_pattern in _OF_CLASSES:
        if pattern.fullmatch(text):
            classes |= of_pattern
    return classes


def columns(texts: Sequence[str]) -> NDArray[np.intp]:
    """Where the characters of some texts stand in ``ALPHABET``.

    Returns:
        (len(texts), SLOTS); BLANK past a text's end and for what is not in the alphabet. What a
        text has beyond SLOTS characters is left out.
    """
    padded = "".join([text[:SLOTS].ljust(SLOTS) for text in texts])
    points = np.frombuffer(padded.encode("utf-32-le", "replace"), "<u4")
    found: NDArray[np.intp] = _COLUMN_OF[np.minimum(points, 0xFFFF)]
    return found.reshape(len(texts), SLOTS)
