"""Whether a process's memory grows without bound, from samples taken over a long run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Final

_LEAST: Final = 6
_SETTLED_SHARE: Final = 1 / 3  # of a run: until then caches, pools and queues still fill


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory over a run, MiB: medians of its first and last third, and the straight line through
    what came after the first third, MiB an hour. What grows without bound has a slope that stays
    in a longer run."""

    first_third_mib: float
    last_third_mib: float
    slope_mib_h: float
    peak_mib: float


def slope_mib_h(samples: Sequence[tuple[float, float]]) -> float:
    """The straight line through ``samples``, (seconds, MiB): MiB an hour."""
    return (
        3600 * linear_regression([at_s for at_s, _ in samples], [mib for _, mib in samples]).slope
    )


def growth(samples: Sequence[tuple[float, float]]) -> Growth | None:
    """``samples``: (seconds, MiB), in order of time; None for too few to tell."""
    third = round(len(samples) * _SETTLED_SHARE)
    if len(samples) < _LEAST:
        return None
    sizes = [mib for _, mib in samples]
    slope = slope_mib_h(samples[third:])
    return Growth(median(sizes[:third]), median(sizes[-third:]), slope, max(sizes))
