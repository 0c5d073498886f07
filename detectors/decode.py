"""A distribution over characters → the likeliest legal plate text. Pure; numpy only.

Plates follow a grammar (GA 36-2018 and its neighbours). Each rule is a union of *templates*: one
set of allowed characters for each slot. The likeliest text of a template is the likeliest
character of each slot, so the likeliest legal text is the best of all templates: exact, without
a search. Nothing is repaired: a legal text is worth what the distribution gives its characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.types import ALPHABET, BLANK, DIGITS, PROVINCES, SLOTS, CharProbs

ISSUERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
SERIAL_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
SERIAL = DIGITS + SERIAL_LETTERS
ENERGY = "ABCDEFGHJK"
TEXT_FLOOR = 0.05
"""A legal text less likely than this is no read. Set on the val fold and on false plates."""

Template = tuple[str, ...]


def _templates() -> Iterator[Template]:
    p, d, s = PROVINCES, DIGITS, SERIAL
    letters = SERIAL_LETTERS
    for count in range(3):  # ordinary: 0, 1 or 2 letters among the five
        for places in combinations(range(5), count):
            serial = tuple(letters if i in places else d for i in range(5))
            yield (p, ISSUERS, *serial)
    yield (p, letters, ENERGY, s, d, d, d, d)  # new energy, small
    yield (p, letters, d, d, d, d, d, ENERGY)  # new energy, large
    yield (p, ISSUERS, s, s, s, s, "学警挂")
    yield ("粤", "Z", s, s, s, s, "港澳")
    yield (d, d, d, d, d, d, "使")
    yield ("使", d, d, d, d, d, d)
    yield (p, d, d, d, d, d, "领")
    yield (p, letters, d, d, d, d, "领")
    yield ("W", "J", d, d, d, d, s)
    yield ("W", "J", p, d, d, d, d, s)
    yield (ISSUERS, ISSUERS, d, d, d, d, d)  # army
    yield (p, "XS", d, d, d, d, "应", "急")
    yield ("京", d, d, d, d, d, "应", "急")
    yield ("应", "急", p, d, d, d, "XS")


TEMPLATES: tuple[Template, ...] = tuple(_templates())


def _mask() -> NDArray[np.bool_]:
    column = {character: index for index, character in enumerate(ALPHABET)}
    mask = np.zeros((len(TEMPLATES), SLOTS, len(ALPHABET)), np.bool_)
    for row, template in enumerate(TEMPLATES):
        for slot in range(SLOTS):
            allowed = template[slot] if slot < len(template) else ""
            mask[row, slot, [column[c] for c in allowed] if allowed else [BLANK]] = True
    return mask


_ALLOWED = _mask()


def is_legal(text: str) -> bool:
    """Whether a bare text (no dot, no spaces) follows the grammar."""
    return any(
        len(text) == len(template)
        and all(c in allowed for c, allowed in zip(text, template, strict=True))
        for template in TEMPLATES
    )


@dataclass(frozen=True, slots=True)
class Decoded:
    """The likeliest legal text; ``text`` is None where it is too unlikely to be a read."""

    text: str | None
    probability: float
    text_probabilities: tuple[float, ...]


def decode(char_probs: CharProbs, floor: float = TEXT_FLOOR) -> Decoded:
    """The likeliest legal text of a (SLOTS, len(ALPHABET)) distribution.

    Texts are ranked by the product over all slots, blank ones included; ``floor`` applies to
    that product. ``probability`` is the product of the text's characters.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(char_probs, np.float64))
    masked = np.where(_ALLOWED, logs[None], -np.inf)
    best = masked.max(axis=2)  # (templates, slots)
    totals = best.sum(axis=1)
    row = int(totals.argmax())
    if not totals[row] >= np.log(max(floor, 1e-300)):
        return Decoded(None, 0.0, ())
    length = len(TEMPLATES[row])
    columns = masked[row, :length].argmax(axis=1)
    text = "".join(ALPHABET[column] for column in columns)
    each = np.exp(best[row, :length])
    return Decoded(text, float(each.prod()), tuple(float(value) for value in each))
