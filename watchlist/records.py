"""What the list answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.types import WatchlistEntry


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What the list says of some plates, all at one version.

    ``entries`` holds only plates that have an active entry, ``patterns`` only those that fit
    an active pattern. ``age_s`` is the time since the list last changed, seconds; 0 for a list
    that never held anything (version 0).
    """

    entries: Mapping[str, tuple[WatchlistEntry, ...]]
    version: int
    age_s: float
    patterns: Mapping[str, tuple[WatchlistEntry, ...]] = field(default_factory=dict)


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
class Note:
    """Who makes a change, and why; it stands in the list's history."""

    by: str
    action: str = "add"
    reason: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One change of the list as its history keeps it.

    ``before`` is the version that it was made on; ``changed`` counts the entries that became
    different, for a rollback the plates.
    """

    number: int
    before: int
    at: datetime
    note: Note
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
        went_back = self.found_version < self.seen_version
        found = f"version {self.found_version}" if went_back else "the beginning of another list"
        return (
            f"the watchlist went back from version {self.seen_version} to {found}: "
            "Redis lost data; restore it, or import the list again and say so: checkpoint "
            "watchlist acknowledge --reason …"
        )
