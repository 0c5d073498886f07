"""What a plate may have said: all its likely legal readings, each with its probability.

A reading's probability is the product of its characters' over all slots, blank ones included;
grammar only says which texts are readings at all, it never repairs one. Texts that are likely
enough are few (at most 1/floor can reach a floor), so they are found exactly: slot by slot,
leaving out at once what cannot reach the floor even with the likeliest rest. Most plates are so
sure that nothing else can reach it, and cost no search. Pure; numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from pipeline.plate_forms import columns, is_legal
from pipeline.types import ALPHABET, SLOTS, CharProbs, Passage

Floats = NDArray[np.float64]

_SLACK = 1e-9
"""Bounds are compared with so much room that rounding leaves nothing out."""
_UNNORMALISED = 1e-4
"""By how much the rows of a float32 distribution may miss a sum of 1."""
_HOLE = " "
_SHOWN = (_HOLE, *ALPHABET[1:])


@dataclass(frozen=True, slots=True)
class Reading:
    """A legal text and how likely it is."""

    text: str
    probability: float


def readings(
    char_probs: NDArray[np.floating], floor: float | Floats, ceiling: int
) -> list[tuple[Reading, ...]]:
    """The legal readings of some plates, the likeliest first (of equals, by their text).

    Args:
        char_probs: (B, SLOTS, len(ALPHABET)), each row summing to 1.
        floor: the least probability of a reading, above 0; one for all, or (B,).
        ceiling: the most readings for one plate.

    Returns:
        For each plate its readings of at least ``floor``, at most ``ceiling`` of them.
    """
    probs = np.asarray(char_probs)
    floors = np.broadcast_to(np.asarray(floor, np.float64), len(probs))
    found: list[tuple[Reading, ...]] = [()] * len(probs)
    best = probs.max(axis=2).astype(np.float64)  # (B, SLOTS)
    total = best.prod(axis=1)
    rows = np.flatnonzero(total >= floors * (1 - _SLACK))
    if not len(rows):
        return found
    best, total, floors = best[rows], total[rows], floors[rows]
    # A character counts if it reaches the floor in the company of the likeliest others.
    least = (floors / total)[:, None] * best * (1 - _SLACK)
    row, slot, column = np.nonzero(probs[rows] >= least[:, :, None])
    values = probs[rows[row], slot, column].astype(np.float64)
    choices: list[list[list[tuple[float, str]]]] = [[[] for _ in range(SLOTS)] for _ in rows]
    for at, place, index, value in zip(
        row.tolist(), slot.tolist(), column.tolist(), values.tolist(), strict=True
    ):
        choices[at][place].append((value, _SHOWN[index]))
    rest = np.ones_like(best)  # the likeliest that the slots after this one can add
    rest[:, :-1] = np.cumprod(best[:, :0:-1], axis=1)[:, ::-1]
    needed = (floors[:, None] * (1 - _SLACK) / rest).tolist()
    for at, plate in enumerate(rows.tolist()):
        found[plate] = _search(choices[at], needed[at], float(floors[at]))[:ceiling]
    return found


def _search(
    choices: list[list[tuple[float, str]]], needed: list[float], floor: float
) -> tuple[Reading, ...]:
    """All legal texts that reach ``floor``.

    ``needed``: for each slot, what a text must be worth after it to reach the floor still.
    """
    texts = choices[0]
    for slot in range(1, SLOTS):
        least = needed[slot]
        texts = [
            (worth, text + character)
            for before, text in texts
            for value, character in choices[slot]
            if (worth := before * value) >= least
        ]
    likely = [
        Reading(text, worth)
        for worth, padded in texts
        if worth >= floor and is_legal(text := padded.rstrip(_HOLE))
    ]
    if len(likely) > 1:
        likely.sort(key=lambda reading: (-reading.probability, reading.text))
    return tuple(likely)


def readings_of(
    passages: Sequence[Passage], floor: float, ceiling: int
) -> list[tuple[Reading, ...]]:
    """What each passage's plate may say: the plate as voted, then the other readings.

    The voted plate keeps the passage's own ``probability``, in which the vote has been capped
    (``Vote.honest``). The doubt that the cap gave back belongs to the other readings, so it is
    shared among them as the distribution divides them: their probabilities are multiplied by
    (1 - the passage's probability) / (1 - the distribution's for the voted plate), unless that
    would make them smaller. Without a voted plate the distribution stands as it is.

    Returns:
        For each passage at most ``ceiling`` readings: the voted plate whatever its probability,
        then those of at least ``floor``, the likeliest first.
    """
    found: list[tuple[Reading, ...]] = [
        () if p.plate is None else (Reading(p.plate, p.probability or 0.0),) for p in passages
    ]
    known = [at for at, p in enumerate(passages) if _is_whole(p.char_probs)]
    if not known:
        return found
    probs = np.stack([p.char_probs for p in passages if _is_whole(p.char_probs)])
    own = columns([passages[at].plate or "" for at in known])
    chars = np.take_along_axis(probs, own[:, :, None], axis=2)[:, :, 0]
    raw = chars.prod(axis=1, dtype=np.float64)
    # An unknown probability, as that of no plate, is not a number, and so neither low nor high.
    said = np.array([passages[at].probability for at in known], np.float64)
    doubtful = np.flatnonzero(~(np.minimum(raw, said) > 1 - floor + _UNNORMALISED))
    if not len(doubtful):
        return found
    probs, own = probs[doubtful], own[doubtful]
    shares = _shares(probs, own, raw[doubtful], said[doubtful])
    others = readings(probs, floor / shares, ceiling + 1)
    for place, share, likely in zip(doubtful.tolist(), shares.tolist(), others, strict=True):
        at = known[place]
        plate = passages[at].plate
        voted = found[at]
        rest = [
            Reading(reading.text, min(1.0, reading.probability * share))
            for reading in likely
            if reading.text != plate
        ]
        found[at] = (*voted, *rest[: ceiling - len(voted)])
    return found


def _shares(probs: CharProbs, own: NDArray[np.intp], raw: Floats, said: Floats) -> Floats:
    """By how much the readings beside the voted plate are likelier than the distribution says."""
    shares = np.ones(len(probs))
    capped = np.flatnonzero(said < raw)
    if len(capped):
        others = probs[capped].astype(np.float64)
        np.put_along_axis(others, own[capped][:, :, None], 0.0, axis=2)
        # summed without the voted characters, of which 1 would leave nothing but rounding
        doubt = -np.expm1(np.log1p(-np.minimum(others.sum(axis=2), 1 - 1e-12)).sum(axis=1))
        shares[capped] = np.maximum(1.0, (1 - said[capped]) / np.maximum(doubt, 1e-300))
    return shares


def _is_whole(probs: CharProbs | None) -> TypeGuard[CharProbs]:
    """A distribution from elsewhere may have fewer slots."""
    return probs is not None and probs.shape == (SLOTS, len(ALPHABET))
