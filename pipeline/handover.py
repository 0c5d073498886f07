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

    ``at``: it has told what ended by then, and no other vehicle was in view. ``media_s``: the same
    for a file that is read once, and now again from its beginning. ``plates``: told last; on a road
    that is never empty, and where the earlier node was lost, such a vehicle may still be in view.
    It is the same passage where it is seen again up to ``plates_until``.
    """

    at: datetime | None = None
    media_s: float | None = None
    plates: tuple[str, ...] = ()
    plates_until: datetime | None = None

    def is_beyond(self, passage: Passage) -> bool:
        """Whether a passage is the later node's to tell."""
        if self.media_s is not None and passage.end_s <= self.media_s:
            return False
        if self.at is not None and passage.ended_at <= self.at:
            return False
        until = self.plates_until
        again = until is not None and passage.started_at <= until
        return not (again and passage.plate in self.plates)


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
