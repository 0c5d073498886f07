"""What the list answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.types import WatchlistEntry


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What the list says of some plates, all at one version.

    ``entries`` holds only plates that have an active entry. ``age_s`` is the time since the
    list last changed, seconds; 0 for a list that never held anything (version 0).
    """

    entries: Mapping[str, tuple[WatchlistEntry, ...]]
    version: int
    age_s: float


@dataclass(frozen=True, slots=True)
class ListState:
    """The list as a whole; ``entries`` counts the expired ones too, the cancelled not."""

    version: int
    updated_at: datetime | None
    age_s: float
    entries: int


@dataclass(frozen=True, slots=True)
class Change:
    """What one change did: the version it made, and how many entries are new or different.
    ``changed`` 0 means that the list said all that already, and the version stands."""

    version: int
    changed: int


@dataclass(frozen=True, slots=True)
class Cancellation:
    """An entry that was taken off the list, with who did it and why."""

    entry: WatchlistEntry
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ListLoss:
    """Redis came back with less than this process has seen."""

    seen_version: int
    found_version: int
    noticed_at: datetime

    @property
    def message(self) -> str:
        """What happened and what to do, for health and people."""
        return (
            f"the watchlist went back from version {self.seen_version} to {self.found_version}: "
            "Redis lost data; restore it or import the list again, then restart Checkpoint"
        )
