"""Which character is taken for which. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Confusion:
    """``truth`` was read as ``read``, ``count`` times; an empty one stands for no character."""

    truth: str
    read: str
    count: int


def align(truth: str, read: str) -> list[tuple[str, str]]:
    """Pairs (character of the plate, character read), in order; ``""`` where one has none.

    Texts of equal length are compared place by place, as a reader with slots makes its
    mistakes; others by the fewest insertions, deletions and substitutions.
    """
    if len(truth) == len(read):
        return list(zip(truth, read, strict=True))
    cost = [[0] * (len(read) + 1) for _ in range(len(truth) + 1)]
    for i in range(len(truth) + 1):
        for j in range(len(read) + 1):
            if not i or not j:
                cost[i][j] = i + j
                continue
            swap = cost[i - 1][j - 1] + (truth[i - 1] != read[j - 1])
            cost[i][j] = min(swap, cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    pairs: list[tuple[str, str]] = []
    i, j = len(truth), len(read)
    while i or j:
        differs = bool(i and j and truth[i - 1] != read[j - 1])
        if i and j and cost[i][j] == cost[i - 1][j - 1] + differs:
            i, j = i - 1, j - 1
            pairs.append((truth[i], read[j]))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((truth[i], ""))
        else:
            j -= 1
            pairs.append(("", read[j]))
    return pairs[::-1]


def distance(truth: str, read: str) -> int:
    """How many characters are wrong, missing or too many, as :func:`align` pairs them."""
    return sum(a != b for a, b in align(truth, read))


def confusions(texts: Iterable[tuple[str, str]]) -> tuple[Confusion, ...]:
    """What was confused in pairs (truth, read) of texts, most frequent first.

    Texts of which more than half differs are left out: they are two different plates, or a
    wrong label, and tell nothing of which characters look alike.
    """
    alike = [(a, b) for a, b in texts if 2 * distance(a, b) <= max(len(a), len(b))]
    counts = Counter(pair for truth, read in alike for pair in align(truth, read))
    wrong = [Confusion(a, b, count) for (a, b), count in counts.items() if a != b]
    return tuple(sorted(wrong, key=lambda c: (-c.count, c.truth, c.read)))
