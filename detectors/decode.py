"""A distribution over characters → the likeliest legal plate text. Pure; numpy only.

Plates follow a grammar, see ``pipeline.plate_forms``: a union of *templates*, one set of allowed
characters for each slot. The likeliest text of a template is the likeliest
character of each slot, so the likeliest legal text is the best of all templates: exact, without
a search. Nothing is repaired: a legal text is worth what the distribution gives its characters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.plate_forms import FORMS, is_legal
from pipeline.types import ALPHABET, BLANK, SLOTS, CharProbs

__all__ = ["TEMPLATES", "TEXT_FLOOR", "Decoded", "Template", "decode", "is_legal"]

TEXT_FLOOR = 0.05
"""A legal text less likely than this is no read. Set on the val fold and on false plates."""

Template = tuple[str, ...]
TEMPLATES: tuple[Template, ...] = tuple(form.slots for form in FORMS)


def _mask() -> NDArray[np.bool_]:
    column = {character: index for index, character in enumerate(ALPHABET)}
    mask = np.zeros((len(TEMPLATES), SLOTS, len(ALPHABET)), np.bool_)
    for row, template in enumerate(TEMPLATES):
        for slot in range(SLOTS):
            allowed = template[slot] if slot < len(template) else ""
            mask[row, slot, [column[c] for c in allowed] if allowed else [BLANK]] = True
    return mask


_ALLOWED = _mask()


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
