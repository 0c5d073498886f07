"""Where a node lets a camera go: in the middle of a quiet, or through traffic.

What the border means for the next node is in ``pipeline/handover.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from pipeline.handover import Boundary, InView
from pipeline.types import Passage, Recognition

_COVERED = 2.5
"""Frames within so many quiets of each other leave no gap: of an empty lane few are looked at."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a camera is let go.

    ``heir_since``: another node looks since then; who is in view at the end and was not told yet is
    left to it. None: no other does, and everything is told here. ``through_traffic``: not only in a
    quiet; but not before both have looked: a node that is late has frames waiting from before the
    next one began. ``at_once``: whatever is lost by it.
    """

    heir_since: datetime | None = None
    through_traffic: bool = False
    at_once: bool = False


class OpenPassages(Protocol):
    """A camera's passages: see :class:`pipeline.passage.PassageBuilder`."""

    @property
    def idle(self) -> bool:
        """Whether no vehicle is in view, or was a moment ago."""
        ...

    def close(self, *, but_untold_at: datetime | None = None) -> list[Passage]:
        """Close every passage, except those never told that were still seen at a moment."""
        ...


class Lookout:
    """Since when a camera is looked at here, and where it can be let go.

    Owned by the recognition thread; what it says may be read in any.

    Args:
        quiet_s: a vehicle unseen for so long has left.
    """

    def __init__(self, quiet_s: float) -> None:
        self._quiet = timedelta(seconds=quiet_s)
        self._seen: tuple[datetime, float] | None = None
        self._empty_since: datetime | None = None
        self._closed: list[Passage] = []
        self.since: datetime | None = None
        """From then on it was looked at without a gap; None before the first frame."""

    def saw(self, scene: Recognition) -> None:
        """A frame was looked at."""
        self.note(
            scene.frame.captured_at, scene.frame.media_s, not (scene.plates or scene.vehicles)
        )

    def note(self, at: datetime, media_s: float, empty: bool) -> None:
        """The same; ``empty``: it showed nobody."""
        gap = self._seen is None or at - self._seen[0] > _COVERED * self._quiet
        if gap or self.since is None:
            self.since = at
        if not empty:
            self._empty_since = None
        elif gap or self._empty_since is None:
            self._empty_since = at
        self._seen = at, media_s

    def let_go(self, open_: OpenPassages, terms: Terms) -> tuple[list[Passage], Boundary] | None:
        """Close a camera's passages: those that are told here, and where they end.

        Returns:
            None where there is no such moment yet.
        """
        both_look = self._both_look(terms.heir_since)
        quiet = open_.idle and self.is_quiet(terms.heir_since)
        if not (quiet or (terms.through_traffic and both_look) or terms.at_once):
            return None
        if self._seen is None:
            return open_.close(), Boundary()
        now, media_s = self._seen
        half_s = self._quiet.total_seconds() / 2
        border = Boundary(now - self._quiet / 2, media_s - half_s)
        left = terms.heir_since is not None and both_look
        told = open_.close(but_untold_at=now if left else None)
        in_view = {
            one.id: InView(one.plate, one.started_at, one.start_s)
            for one in (*self._closed, *told)
            if one.ended_at > now - self._quiet
        }
        return told, replace(border, in_view=tuple(in_view.values()))

    def closed(self, passages: Iterable[Passage]) -> None:
        """Passages were told; of vehicles that ceased to be seen with the frames, for one."""
        told = [one for one in (*self._closed, *passages) if one.closed]
        horizon = self._seen[0] - self._quiet if self._seen else None
        self._closed = [one for one in told if horizon is None or one.ended_at >= horizon]

    def _both_look(self, heir_since: datetime | None) -> bool:
        """Whether the next node has looked since the border, if one is to look at all."""
        if heir_since is None or self._seen is None:
            return True
        return heir_since <= self._seen[0] - self._quiet / 2

    def is_quiet(self, heir_since: datetime | None) -> bool:
        """Whether nobody has been in view for long enough, while the next node looked too."""
        if self._seen is None:
            return True
        if self._empty_since is None:
            return False
        since = max(self._empty_since, heir_since or self._empty_since)
        return self._seen[0] - since >= self._quiet
