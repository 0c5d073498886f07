"""Distributions over plates, and the plainest possible search of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from hypothesis import strategies as st

from detectors.decode import TEMPLATES
from pipeline.plate_forms import is_legal
from pipeline.types import ALPHABET, BLANK, SLOTS, CharProbs
from watchlist.patterns import is_legal_pattern, one_spelling

Choices = Sequence[dict[str, float]]
"""For each slot what may stand there, ``""`` for nothing, with its weight."""


def distribution(choices: Choices) -> CharProbs:
    """(SLOTS, len(ALPHABET)) with the given weights, each row normalised; the rest is blank."""
    table = np.zeros((SLOTS, len(ALPHABET)), np.float32)
    table[len(choices) :, BLANK] = 1.0
    for slot, options in enumerate(choices):
        for character, weight in options.items():
            table[slot, ALPHABET.index(character)] = weight
    return table / table.sum(axis=1, keepdims=True)


def sharp(text: str, **doubts: dict[str, float]) -> CharProbs:
    """A sure distribution of ``text``; ``s6={"8": 0.3}``: slot 6 is perhaps an 8 instead."""
    choices = [{character: 1.0} for character in text.ljust(SLOTS)[:SLOTS]]
    choices = [{"" if c == " " else c: w for c, w in slot.items()} for slot in choices]
    for name, others in doubts.items():
        slot = int(name[1:])
        own = next(iter(choices[slot]))
        choices[slot] = {own: 1 - sum(others.values()), **others}
    return distribution(choices)


def by_brute_force(table: CharProbs) -> dict[str, float]:
    """Every legal text that the distribution gives any probability at all."""
    columns = [np.flatnonzero(row).tolist() for row in table]
    found = {}
    for combination in product(*columns):
        length = next((i for i, c in enumerate(combination) if c == BLANK), SLOTS)
        if any(combination[length:]):
            continue  # a character behind a blank
        text = "".join(ALPHABET[c] for c in combination[:length])
        if is_legal(text):
            worth = 1.0
            for slot, column in enumerate(combination):
                worth *= float(table[slot, column])
            found[text] = worth
    return found


_LIKE = [
    "0DOQ",
    "1LT7",
    "2Z7",
    "5S",
    "8B3",
    "6G",
    "辽京苏皖粤",
    "警学挂港澳领使",
    "WVN",
    "JU",
    "应急",
]
_characters = st.sampled_from([*ALPHABET])
_weights = st.floats(0.01, 1.0)


@st.composite
def doubtful(draw: st.DrawFn) -> CharProbs:
    """A distribution around a legal text, in which some slots are in doubt."""
    template = draw(st.sampled_from(TEMPLATES))
    unsure = draw(st.sets(st.integers(0, SLOTS - 1), max_size=5))
    choices: list[dict[str, float]] = []
    for slot in range(SLOTS):
        own = draw(st.sampled_from(template[slot])) if slot < len(template) else ""
        like = next((group for group in _LIKE if own and own in group), "".join(ALPHABET))
        others = st.dictionaries(st.sampled_from(like) | _characters, _weights, max_size=2)
        choices.append({**(draw(others) if slot in unsure else {}), own: draw(_weights)})
    return distribution(choices)


@st.composite
def legal_plates(draw: st.DrawFn) -> str:
    """A text of one of the legal forms."""
    return "".join(draw(st.sampled_from(slot)) for slot in draw(st.sampled_from(TEMPLATES)))


@st.composite
def patterns(draw: st.DrawFn, plates: st.SearchStrategy[str] | None = None) -> str:
    """A pattern that at least one plate fits, and that the watchlist takes."""
    plate = draw(legal_plates() if plates is None else plates)
    open_slots = draw(st.sets(st.integers(0, len(plate) - 1), min_size=1, max_size=5))
    text = "".join("?" if slot in open_slots else c for slot, c in enumerate(plate))
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + "*" + text[draw(st.integers(start, len(text))) :]
    text = one_spelling(text)
    return text if is_legal_pattern(text) else f"{plate[:-1]}?"
