"""Passages against the watchlist: which passage meets which entry.

Exact matching: an entry is met when the passage's voted plate is the entry's plate. The
matcher remembers what each open passage has met, so that a revision updates or retracts its
hits instead of repeating them.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from pipeline.clock import Clock
from pipeline.types import Hit, MatchKind, Passage, WatchlistEntry
from watchlist.records import LookupResult
from watchlist.store import Watchlist

log = structlog.get_logger(__name__)

_HIT_IDS = uuid.UUID("0f2f5b3e-7a56-4f0a-9a5c-3c1b6f3d8e21")
_SAME_PROBABILITY = 0.1
"""An officer sees no difference between probabilities this close."""


@dataclass(frozen=True, slots=True)
class _Met:
    """What was last said of one passage and one entry; holds no pictures."""

    entry: WatchlistEntry
    plate: str | None
    kind: MatchKind
    probability: float
    mismatches: tuple[str, ...]
    evidence: str | None

    def looks_like(self, other: _Met) -> bool:
        """True if an officer who saw one learns nothing from the other."""
        return (
            self.entry == other.entry
            and self.plate == other.plate
            and self.kind is other.kind
            and self.mismatches == other.mismatches
            and self.evidence == other.evidence
            and abs(self.probability - other.probability) <= _SAME_PROBABILITY
        )


@dataclass(slots=True)
class _Open:
    revision: int
    met: dict[str, _Met]


class Matcher:
    """Matches the passages of one checkpoint. One thread owns it.

    ``remember`` bounds the memory: of so many open passages with a hit, the one that was
    heard of longest ago is forgotten first, and can then no longer be retracted.
    """

    def __init__(
        self, watchlist: Watchlist, checkpoint: str, clock: Clock, *, remember: int = 10_000
    ) -> None:
        self._watchlist = watchlist
        self._checkpoint = checkpoint
        self._clock = clock
        self._remember = remember
        self._open: OrderedDict[str, _Open] = OrderedDict()

    @property
    def remembered(self) -> int:
        """Open passages that have a hit."""
        return len(self._open)

    def match(self, passages: Sequence[Passage]) -> list[Hit]:
        """The hits of a batch of passages, after one lookup, in the passages' order.

        An entry that a passage meets gives one hit; a later revision gives it again only if
        an officer would see a difference, and as ``retracted`` if it no longer meets the
        entry. What is returned is said once: the caller keeps it until it is delivered.

        Raises:
            StoreUnavailable: Redis is away. Nothing has changed: call again with the same
                batch.
        """
        plates = list(dict.fromkeys(p.plate for p in passages if p.plate is not None))
        if not plates and not any(p.id in self._open for p in passages):
            return []
        found = self._watchlist.lookup(plates)  # before anything is remembered or forgotten
        return [hit for passage in passages for hit in self._match_one(passage, found)]

    def _match_one(self, passage: Passage, found: LookupResult) -> list[Hit]:
        before = self._open.get(passage.id)
        if before is not None and passage.revision < before.revision:
            return []  # overtaken by a later revision
        entries = found.entries.get(passage.plate, ()) if passage.plate is not None else ()
        met = {e.id: _meet(passage, e) for e in entries if self._concerns(e)}
        said = before.met if before is not None else {}
        hits = [
            self._hit(passage, said[entry_id], found, retracted=True)
            for entry_id in said
            if entry_id not in met
        ]
        for entry_id, now in met.items():
            if entry_id in said and said[entry_id].looks_like(now):
                met[entry_id] = said[entry_id]  # small steps must not add up unseen
            else:
                hits.append(self._hit(passage, now, found, retracted=False))
        self._keep(passage, met)
        return hits

    def _keep(self, passage: Passage, met: dict[str, _Met]) -> None:
        self._open.pop(passage.id, None)
        if passage.closed or not met:
            return
        self._open[passage.id] = _Open(passage.revision, met)
        if len(self._open) > self._remember:
            forgotten, _ = self._open.popitem(last=False)
            log.warning("matching.forgotten", passage=forgotten, remembered=self._remember)

    def _concerns(self, entry: WatchlistEntry) -> bool:
        return not entry.audience or self._checkpoint in entry.audience

    def _hit(self, passage: Passage, met: _Met, found: LookupResult, *, retracted: bool) -> Hit:
        return Hit(
            id=hit_id(passage.id, met.entry.id),
            revision=passage.revision,
            checkpoint=self._checkpoint,
            passage=passage,
            entry=met.entry,
            kind=met.kind,
            probability=met.probability,
            list_version=found.version,
            list_age_s=found.age_s,
            occurred_at=self._clock.now(),
            mismatches=met.mismatches,
            retracted=retracted,
        )


def hit_id(passage_id: str, entry_id: str) -> str:
    """The identifier of the hit between a passage and an entry, whatever the revision."""
    return str(uuid.uuid5(_HIT_IDS, f"{passage_id}\n{entry_id}"))


def _meet(passage: Passage, entry: WatchlistEntry) -> _Met:
    return _Met(
        entry=entry,
        plate=passage.plate,
        kind=MatchKind.EXACT,
        probability=passage.probability or 0.0,
        mismatches=mismatches(passage, entry),
        evidence=passage.evidence.sha256 if passage.evidence else None,
    )


def mismatches(passage: Passage, entry: WatchlistEntry) -> tuple[str, ...]:
    """Names of the attributes that both know and that differ."""
    pairs = (
        ("plate_class", passage.plate_class, entry.plate_class),
        ("vehicle_class", passage.vehicle_class, entry.vehicle_class),
        ("vehicle_colour", passage.vehicle_colour, entry.vehicle_colour),
    )
    return tuple(name for name, seen, listed in pairs if seen and listed and seen is not listed)
