"""Which detection meets which annotation. Pure; numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.postprocess import overlaps
from pipeline.types import Box

LEAST_OVERLAP = 0.5
"""Intersection over union from which a detection counts as the annotated object."""


def match(
    annotated: Sequence[Box], found: Sequence[Box], least: float = LEAST_OVERLAP
) -> list[int | None]:
    """For each annotated box the index of the found box that meets it, or None.

    One to one; the pair that overlaps most is taken first, then the next of those left, as long
    as their intersection over union reaches ``least``.
    """
    chosen: list[int | None] = [None] * len(annotated)
    if not annotated or not found:
        return chosen
    union, _ = overlaps(np.asarray(annotated, np.float32), np.asarray(found, np.float32))
    while union.max() >= least:
        row, column = np.unravel_index(int(union.argmax()), union.shape)
        chosen[int(row)] = int(column)
        union[row], union[:, column] = -1, -1
    return chosen
