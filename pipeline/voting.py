"""Voting: many reads of one plate become one distribution.

Evidence multiplies: each read is a likelihood for every character in every slot, so the fused
distribution is the normalised product. Two guards keep it honest. A single read can never say
less than ``READ_FLOOR`` for a character, so that one confident misread can be outvoted. And
reads of one vehicle share their causes of error (the same dirt, the same blur), so the vote's
probability never claims that doubt fell faster than in proportion to the agreeing reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.types import ALPHABET, SLOTS, CharProbs, PlateClass, PlateRead

READ_FLOOR = 1e-5
"""The least probability that one read gives to any character."""
SURE = 0.8
"""From this probability on, a character counts as seen rather than guessed."""

_CLASSES = tuple(PlateClass)


@dataclass(frozen=True, slots=True, eq=False)
class Vote:
    """The evidence gathered so far for one plate; adding one gives a new vote.

    ``log_evidence``: (SLOTS, len(ALPHABET)) float64, sum of the reads' log-likelihoods.
    ``class_evidence``: (len(PlateClass),) float64, likewise.
    ``best_reads``: for each text that was read, how many reads said it and the best one's
    probability.
    """

    log_evidence: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((SLOTS, len(ALPHABET)))
    )
    class_evidence: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_CLASSES)))
    best_reads: dict[str, tuple[int, float]] = field(default_factory=dict)
    reads: int = 0

    @classmethod
    def of(cls, read: PlateRead) -> Vote:
        """The vote of a single read."""
        return cls(
            np.log(np.maximum(read.char_probs, READ_FLOOR).astype(np.float64)),
            np.log(np.maximum(read.class_probs, READ_FLOOR).astype(np.float64)),
            {} if read.text is None else {read.text: (1, read.probability)},
            1,
        )

    def __add__(self, other: Vote) -> Vote:
        """Both votes' reads together; the order does not matter."""
        best = dict(self.best_reads)
        for text, (count, probability) in other.best_reads.items():
            before, better = best.get(text, (0, 0.0))
            best[text] = (before + count, max(better, probability))
        return Vote(
            self.log_evidence + other.log_evidence,
            self.class_evidence + other.class_evidence,
            best,
            self.reads + other.reads,
        )

    @property
    def char_probs(self) -> CharProbs:
        """The fused distribution, (SLOTS, len(ALPHABET)) float32, rows summing to 1."""
        shifted = np.exp(self.log_evidence - self.log_evidence.max(axis=1, keepdims=True))
        fused: CharProbs = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
        return fused

    @property
    def class_probs(self) -> NDArray[np.float32]:
        """The fused distribution over classes, (len(PlateClass),) float32."""
        fused = np.exp(self.class_evidence - self.class_evidence.max())
        return np.asarray(fused / fused.sum(), np.float32)

    @property
    def plate_class(self) -> PlateClass:
        """The class that the reads' evidence favours."""
        return _CLASSES[int(self.class_evidence.argmax())]

    def honest(self, text: str, probability: float) -> float:
        """Cap a fused ``probability`` of ``text`` by what its agreeing reads can bear."""
        count, best = self.best_reads.get(text, (0, 0.0))
        if count == 0:
            return probability
        return min(probability, 1.0 - (1.0 - best) / count)


def agreement(one: CharProbs, other: CharProbs) -> tuple[int, float]:
    """How well two distributions can be of the same plate.

    Returns:
        The number of slots in which both are sure, of different characters, and the mean
        overlap over the slots, 0 to 1.
    """
    sure = (one.max(axis=1) >= SURE) & (other.max(axis=1) >= SURE)
    conflicts = sure & (one.argmax(axis=1) != other.argmax(axis=1))
    return int(conflicts.sum()), float(np.minimum(one, other).sum(axis=1).mean())
