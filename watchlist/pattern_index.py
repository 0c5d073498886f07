"""Which patterns a plate fits, without looking at each: patterns are indexed by their masks.

A mask says which of a plate's characters are fixed. There are a few hundred masks however many
patterns there are, so a plate is looked up once for each mask, under the sum of the random
numbers that stand for its fixed characters and its length. A table of bits turns nearly all of
these away; what is left is compared in earnest, so that two sums that are equal by chance never
make a hit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.plate_forms import columns
from pipeline.types import ALPHABET, BLANK, SLOTS, WatchlistEntry
from watchlist.patterns import matches, shapes

_HALF = SLOTS // 2
_SUBSETS = np.array(
    [[mask >> slot & 1 for slot in range(_HALF)] for mask in range(1 << _HALF)], np.uint64
)
_SLOT = np.arange(SLOTS)
_BIT = 1 << _SLOT
_random = np.random.default_rng(20_18_05_01)
_CHARACTER = _random.integers(0, 1 << 64, (SLOTS, len(ALPHABET)), np.uint64)
_LENGTH = _random.integers(0, 1 << 64, SLOTS + 1, np.uint64)
_BITS_FOR_EACH = 64  # shape: so few plates get past the table by chance
_LOG_BITS = (12, 24)  # fewest and most
_AT_ONCE = 1024


class PatternIndex:
    """The patterns of one version of the list. It never changes: any thread may use it.

    Args:
        entries: for each pattern its entries.
    """

    def __init__(self, entries: Mapping[str, tuple[WatchlistEntry, ...]]) -> None:
        self.entries = entries
        of_shapes = [(shape, pattern) for pattern in entries for shape in shapes(pattern)]
        texts = [shape for shape, _ in of_shapes]
        places = columns(texts)  # the wildcard is in no alphabet, so it is BLANK
        fixed = places != BLANK
        masks = np.unique(fixed @ _BIT)
        self.masks = len(masks)
        self._low, self._high = masks & ((1 << _HALF) - 1), masks >> _HALF
        values = np.where(fixed, _CHARACTER[_SLOT, places], np.uint64(0))
        sums = values.sum(axis=1, dtype=np.uint64) + _LENGTH[[len(text) for text in texts]]
        size = math.ceil(math.log2(_BITS_FOR_EACH * max(len(texts), 1)))
        self._shift = np.uint64(64 - min(max(size, _LOG_BITS[0]), _LOG_BITS[1]))
        self._taken = np.zeros(1 << (64 - int(self._shift)), np.bool_)
        self._taken[sums >> self._shift] = True
        patterns = defaultdict(list)
        for key, (_, pattern) in zip(sums.tolist(), of_shapes, strict=True):
            patterns[key].append(pattern)
        self._patterns = dict(patterns)

    def fitting(self, plates: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The patterns that legal plates fit; plates that fit none are left out."""
        if not self.masks:
            return {}
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for start in range(0, len(plates), _AT_ONCE):
            page = plates[start : start + _AT_ONCE]
            sums = self._sums(page).ravel()
            likely = np.flatnonzero(self._taken[(sums >> self._shift).view(np.int64)])
            rows = (likely % len(page)).tolist()
            for row, key in zip(rows, sums[likely].tolist(), strict=True):
                for pattern in self._patterns.get(key, ()):
                    if matches(pattern, page[row]):
                        found[page[row]][pattern] = None
        return {plate: tuple(patterns) for plate, patterns in found.items()}

    def _sums(self, plates: Sequence[str]) -> NDArray[np.uint64]:
        """What each plate is looked up under, (masks, plates). Sums wrap around at 64 bits."""
        values = _CHARACTER[_SLOT, columns(plates)]
        low = _SUBSETS @ values[:, :_HALF].T
        high = _SUBSETS @ values[:, _HALF:].T + _LENGTH[[min(len(p), SLOTS) for p in plates]]
        sums: NDArray[np.uint64] = low[self._low] + high[self._high]
        return sums
