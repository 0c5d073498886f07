"""What a CTC reader saw, step by step → a distribution for each character slot. Pure; numpy only.

A CTC network looks along a line of text in steps and gives each step a distribution over blank,
the characters of its own dictionary and a space. Equal neighbours are one character; a blank
between them makes two. The slots that voting and matching work with are the steps at which the
likeliest path is surest of each of its characters, in our alphabet. Nothing is repaired, and no
distribution is scaled up: doubt stays doubt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.base import FloatArray
from pipeline.types import ALPHABET, BLANK, SLOTS, CharProbs

CTC_BLANK = 0
"""Column of CTC's blank in a network's output."""


def spread_of(characters: Sequence[str]) -> FloatArray:
    """Where the probability of each class of a model goes in our alphabet.

    ``characters`` is the model's dictionary; its classes are CTC's blank, these, and a space.
    Blank, space and punctuation say that no character of a plate stands there: blank. What is a
    character, but none of a plate's (I, a small letter), says only that something stands there:
    it is spread evenly over all our characters.

    Returns:
        (len(characters) + 2, len(ALPHABET)) float32; each row sums to 1.
    """
    column = {character: index for index, character in enumerate(ALPHABET) if character}
    spread = np.zeros((len(characters) + 2, len(ALPHABET)), np.float32)
    for row, character in enumerate(("", *characters, " ")):
        if character in column:
            spread[row, column[character]] = 1.0
        elif any(part.isalnum() for part in character):
            spread[row] = _something()
        else:
            spread[row, BLANK] = 1.0
    return spread


def slots_of(steps: FloatArray, spread: FloatArray) -> CharProbs:
    """The slots of one picture's steps.

    Each character of the likeliest path takes the next slot, with the distribution of the step
    at which it is likeliest. The slot after the last has what there is of one more character,
    those after it are blank. More characters than a plate has leave every slot open.

    Args:
        steps: (T, C), each row a distribution; column 0 is CTC's blank.
        spread: of the model's dictionary, see :func:`spread_of`.
    """
    silent = spread[:, BLANK] == 1.0
    heard = np.where(silent, np.float32(0), steps)
    heard[:, CTC_BLANK] = steps[:, silent].sum(axis=1)
    path = heard.argmax(axis=1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    slots = np.zeros((SLOTS, len(ALPHABET)), np.float32)
    slots[:, BLANK] = 1.0
    count, end = 0, 0
    for start, stop in zip(starts, [*starts[1:], len(path)], strict=True):
        label = path[start]
        if label == CTC_BLANK:
            continue
        if count == SLOTS:
            slots[:] = _something()
            return slots
        strongest = start + heard[start:stop, label].argmax()
        slots[count] = heard[strongest] @ spread
        count, end = count + 1, stop
    rest = heard[end:].copy()
    if count < SLOTS and len(rest):
        if end:  # what is left of the last character is no other one
            last = path[end - 1]
            rest[:, CTC_BLANK] += rest[:, last]
            rest[:, last] = 0.0
        slots[count] = rest[rest[:, CTC_BLANK].argmin()] @ spread
    return slots


def _something() -> FloatArray:
    """The distribution that knows of a character, but not of which."""
    even = np.full(len(ALPHABET), 1.0 / (len(ALPHABET) - 1), np.float32)
    even[BLANK] = 0.0
    return even
