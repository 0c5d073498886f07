"""Observations counted in buckets. Imports nothing of ours."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds that suit everything from one frame's recognition to an alert."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """``counts[i]`` observations lay above ``bounds[i - 1]`` and up to ``bounds[i]``; the last
    count is of those above all bounds. ``total``: the sum of all observations."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts observations. Any thread may call.

    Args:
        bounds: upper ends of the buckets, ascending.
    """

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count one."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._total += value

    def read(self) -> Distribution:
        """What was counted until now."""
        with self._lock:
            return Distribution(self._bounds, tuple(self._counts), self._total)
