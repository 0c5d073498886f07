"""Shares with their intervals, and how far probabilities hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

CONFIDENCE = 0.95
BINS = 15
BIN_READS = 20
"""Calibration has at most :data:`BINS` bins, and fewer where they would hold fewer reads than
this: in small bins chance alone looks like a calibration error."""
SURE = 0.95
"""Reads from this probability on are what an alert would be raised on without a second look."""


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``of``."""

    count: int
    of: int

    @classmethod
    def among(cls, verdicts: Iterable[bool]) -> Share:
        """The share of True."""
        listed = list(verdicts)
        return cls(sum(listed), len(listed))

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; None of nothing."""
        return self.count / self.of if self.of else None

    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson score interval; everything from 0 to 1 where there is nothing."""
        if not self.of:
            return 0.0, 1.0
        ci = binomtest(self.count, self.of).proportion_ci(CONFIDENCE, method="wilson")
        return float(ci.low), float(ci.high)

    def __add__(self, other: Share) -> Share:
        return Share(self.count + other.count, self.of + other.of)

    def percent(self) -> str:
        """For people: ``98.5 %``."""
        return "–" if self.value is None else f"{100 * self.value:.1f} %"

    def range(self) -> str:
        """The interval for people: ``95.7–99.3``."""
        low, high = self.interval()
        return "–" if not self.of else f"{100 * low:.1f}–{100 * high:.1f}"


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Reads of similar probability: the mean of it, and the share that is right."""

    mean_probability: float
    right: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the probabilities of reads hold.

    ``error`` is the expected calibration error over ``bins`` (of equal mass, equal probabilities
    kept together): the mean distance between probability and share right, weighted by reads.
    ``sure`` is the share right among reads of at least :data:`SURE`. None of no reads.
    """

    mean_probability: float | None
    right: Share
    error: float | None
    bins: tuple[CalibrationBin, ...]
    sure: Share


def calibrate(probabilities: Sequence[float], rights: Sequence[bool]) -> Calibration:
    """Compare the probabilities of reads with the share of them that is right."""
    p, right = np.asarray(probabilities, np.float64), np.asarray(rights, np.bool_)
    everything, sure = Share.among(right.tolist()), Share.among(right[p >= SURE].tolist())
    if not len(p):
        return Calibration(None, everything, None, (), sure)
    bins = min(BINS, max(1, len(p) // BIN_READS))
    inner = np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])
    places = np.searchsorted(inner, p, side="right")
    found = tuple(
        CalibrationBin(float(p[members].mean()), Share.among(right[members].tolist()))
        for place in np.unique(places)
        if (members := places == place).any()
    )
    error = sum(
        b.right.of * abs(b.mean_probability - b.right.count / b.right.of) for b in found
    ) / len(p)
    return Calibration(float(p.mean()), everything, float(error), found, sure)
