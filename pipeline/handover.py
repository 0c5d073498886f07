"""Where one node's passages of a camera end and the next node's begin.

While a camera moves, two nodes read it for a moment. The earlier one lets go when no vehicle is
in view; the boundary that it leaves behind tells the later one which passages are its own:

    earlier  ──▭──▭▭──────┐ at: the last frame that it looked at
    later        ──▭▭─────┴──▭──▭──    holds its passages back, then tells those beyond ``at``

A vehicle is seen for longer than frames lie apart, and the earlier node has seen none for some
time when it lets go, so neither clocks that differ a little nor other frames make a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.types import Passage


@dataclass(frozen=True, slots=True)
class Boundary:
    """What the earlier node has told of a camera.

    ``at``: when the last frame was taken that it looked at. ``media_s``: a file read once is read
    again from its beginning, and what ended up to here was told. ``plates``: told lately; on a road
    that is never empty a vehicle may be in view at ``at``, and the plate says whose it is.
    """

    at: datetime | None = None
    media_s: float | None = None
    plates: tuple[str, ...] = ()

    def is_beyond(self, passage: Passage) -> bool:
        """Whether a passage is the later node's to tell."""
        if self.media_s is not None and passage.end_s <= self.media_s:
            return False
        if self.at is None:
            return True
        if passage.ended_at <= self.at:
            return False
        return passage.started_at > self.at or passage.plate not in self.plates


class Gate:
    """Holds a camera's passages back until it is known which of them are ours to tell.

    Owned by the recognition thread. Open from the start unless ``holding``.
    """

    def __init__(self, *, holding: bool = False, boundary: Boundary | None = None) -> None:
        self._held: list[Passage] | None = [] if holding else None
        self._boundary = boundary or Boundary()

    def let_through(self, passages: Sequence[Passage]) -> list[Passage]:
        """Those of ``passages`` that are told now."""
        if self._held is not None:
            self._held += passages
            return []
        return [passage for passage in passages if self._boundary.is_beyond(passage)]

    def open(self, boundary: Boundary | None) -> list[Passage]:
        """Hold nothing back from now on; what was held and is ours. Opened twice: the first counts.

        ``boundary``: None where the earlier node told nothing of its end; then all of it is ours.
        """
        if self._held is None:
            return []
        held, self._held = self._held, None
        self._boundary = boundary or Boundary()
        return self.let_through(held)
