"""Where one node's passages of a camera end and the next node's begin.

While a camera moves, two nodes read it for a moment. The earlier one lets go when, for as long as
a vehicle must be unseen to have left, both have looked and it has seen nobody. The border lies in
the middle of that quiet, and tells the later one which passages are its own:

    earlier  ──▭──▭▭──┬─────┐ the last frame that it looks at
    later         ──▭▭┴──┊──┴──▭──▭──    holds its passages back, then tells those beyond the border
                    quiet    border ┊

So nothing depends on when a passage is decided, only on when its vehicle was in view. The two may
date the same moment differently, and see a vehicle a little sooner or later, by up to half of the
quiet. On a road that is never empty the border is cut through traffic: the later node is told who
was in view, and whoever is in the earlier one's last frame and was not told yet is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.types import Passage

_SAME_START_S = 1.0
"""By so much one node may see a vehicle come into view before another does."""


@dataclass(frozen=True, slots=True)
class InView:
    """A vehicle that was told by the earlier node, and was in view until then or just before."""

    plate: str | None
    started_at: datetime
    start_s: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """What the earlier node has told of a camera.

    ``at``: the border; it has told what was in view last by then. ``media_s``: the same for a file
    that is read once, and now again from its beginning. ``in_view``: told, and seen at the border
    or shortly before. ``plates``: told last, whatever the clocks say; such a vehicle is the same
    passage where it is seen again up to ``plates_until``.
    """

    at: datetime | None = None
    media_s: float | None = None
    plates: tuple[str, ...] = ()
    plates_until: datetime | None = None
    in_view: tuple[InView, ...] = ()

    def is_beyond(self, passage: Passage) -> bool:
        """Whether a passage was in view beyond the border, and was not told by its plate."""
        if self.media_s is not None and passage.end_s <= self.media_s:
            return False
        if self.at is not None and passage.ended_at <= self.at:
            return False
        until = self.plates_until
        again = until is not None and passage.started_at <= until
        return not (again and passage.plate in self.plates)

    def concerns(self, passage: Passage) -> bool:
        """Whether the vehicle may be one that the earlier node told; of later ones none is."""
        until = self.plates_until
        if until is not None and passage.started_at <= until:
            return True
        return any(self.began_by(told, passage) for told in self.in_view)

    def began_by(self, told: InView, passage: Passage) -> bool:
        """Whether a passage began when this vehicle did, or later but before the border."""
        if self.media_s is not None:
            first_s, last_s = told.start_s, max(self.media_s, told.start_s + _SAME_START_S)
            return first_s - _SAME_START_S <= passage.start_s <= last_s
        same = timedelta(seconds=_SAME_START_S)
        first, last = told.started_at, told.started_at + same
        return first - same <= passage.started_at <= max(self.at or last, last)


def later(one: Boundary | None, other: Boundary | None) -> Boundary | None:
    """The border that lies further on, with everything that either of them has told."""
    if one is None or other is None:
        return one or other
    ats = [border.at for border in (one, other) if border.at is not None]
    medias = [border.media_s for border in (one, other) if border.media_s is not None]
    untils = [border.plates_until for border in (one, other) if border.plates_until is not None]
    return Boundary(
        at=max(ats, default=None),
        media_s=max(medias, default=None),
        plates=tuple(dict.fromkeys(one.plates + other.plates)),
        plates_until=max(untils, default=None),
        in_view=tuple(dict.fromkeys(one.in_view + other.in_view)),
    )


class Gate:
    """Holds a camera's passages back until it is known which of them are ours to tell.

    Owned by the recognition thread. Open from the start unless ``holding``.
    """

    def __init__(self, *, holding: bool = False, boundary: Boundary | None = None) -> None:
        self._held: list[Passage] | None = [] if holding else None
        self._set(boundary)

    def let_through(self, passages: Sequence[Passage]) -> list[Passage]:
        """Those of ``passages`` that are told now."""
        if self._held is not None:
            self._held += passages
            return []
        return [passage for passage in passages if self._is_ours(passage)]

    def open(self, boundary: Boundary | None) -> list[Passage]:
        """Hold nothing back from now on; what was held and is ours. Opened twice: the first counts.

        ``boundary``: None where the earlier node told nothing of its end; then all of it is ours.
        """
        if self._held is None:
            return []
        held, self._held = self._held, None
        self._set(boundary)
        return self.let_through(held)

    def _set(self, boundary: Boundary | None) -> None:
        self._boundary = boundary or Boundary()
        self._in_view: dict[InView, str | None] = dict.fromkeys(self._boundary.in_view)
        self._ours: set[str] = set()

    def _is_ours(self, passage: Passage) -> bool:
        """Once one revision of a passage is told here, all are."""
        if passage.id in self._ours:
            return True
        if self._is_known(passage) or not self._boundary.is_beyond(passage):
            return False
        if self._boundary.concerns(passage):  # of later ones there is no doubt to remember
            self._ours.add(passage.id)
        return True

    def _is_known(self, passage: Passage) -> bool:
        """Whether this is a vehicle that the earlier node told, in view at the border.

        By its plate; what could not be read here is, of those not seen here yet that came into
        view no later, the latest. A plate read otherwise is told: of two readings of one vehicle
        none is left out.
        """
        fitting = [told for told in self._in_view if self._boundary.began_by(told, passage)]
        for told in fitting:
            by = self._in_view[told]
            if told.plate == passage.plate if passage.plate else by == passage.id:
                self._in_view[told] = passage.id
                return True
        missing = [told for told in fitting if self._in_view[told] is None]
        if passage.plate or not missing or not self._boundary.is_beyond(passage):
            return False
        self._in_view[max(missing, key=lambda told: (told.started_at, told.start_s))] = passage.id
        return True
