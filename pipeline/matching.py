"""Passages against the watchlist: which passage meets which entry, how, and how likely.

A plate that was read is a distribution over texts. All its likely readings (``pipeline.readings``)
are looked up at once: an entry of the voted plate is met exactly, one of another reading possibly,
and a pattern partially, with the probability of all readings that fit it. The matcher remembers
what was said of each passage, so that a revision updates or retracts its hits instead of
repeating them.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from pipeline.clock import Clock
from pipeline.config import MatchingSettings
from pipeline.readings import Reading, readings_of
from pipeline.types import Hit, MatchKind, Passage, WatchlistEntry
from watchlist.entry import EntryStatus, status_of
from watchlist.pattern_index import PatternIndex
from watchlist.patterns import is_pattern
from watchlist.records import LookupResult
from watchlist.store import Watchlist

log = structlog.get_logger(__name__)

_HIT_IDS = uuid.UUID("0f2f5b3e-7a56-4f0a-9a5c-3c1b6f3d8e21")
_SAME_PROBABILITY = 0.1
"""An officer sees no difference between probabilities this close."""
_LEFT = 1_000
"""So many closed passages with a hit are remembered: a vehicle may come back at once."""

Entries = Mapping[str, tuple[WatchlistEntry, ...]]


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that a passage meets.

    ``reading`` is the reading that does; of several that fit a pattern the likeliest.
    ``probability`` is at most 1.
    """

    entry: WatchlistEntry
    kind: MatchKind
    probability: float
    reading: str
    mismatches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Told:
    """What was last said of one passage and one entry; holds no pictures."""

    revision: int
    match: Match
    plate: str | None
    evidence: str | None
    retracted: bool = False

    def looks_like(self, other: _Told) -> bool:
        """True if an officer who saw one learns nothing from the other."""
        one, two = self.match, other.match
        return (
            one.entry == two.entry
            and one.kind is two.kind
            and one.reading == two.reading
            and one.mismatches == two.mismatches
            and abs(one.probability - two.probability) <= _SAME_PROBABILITY
            and self.plate == other.plate
            and self.evidence == other.evidence
            and self.retracted == other.retracted
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """What was said of one passage up to a revision, by entry."""

    revision: int
    told: Mapping[str, _Told]


class Matcher:
    """Matches the passages of one checkpoint. One thread owns it.

    ``remember`` bounds the memory: of so many open passages with a hit, the one that was
    heard of longest ago is forgotten first, and can then no longer be retracted.
    """

    def __init__(
        self,
        watchlist: Watchlist,
        checkpoint: str,
        clock: Clock,
        settings: MatchingSettings | None = None,
        *,
        remember: int = 10_000,
    ) -> None:
        self._watchlist = watchlist
        self._checkpoint = checkpoint
        self._clock = clock
        self._settings = settings or MatchingSettings()
        self._remember = remember
        self._open: OrderedDict[str, _Known] = OrderedDict()
        self._left: OrderedDict[str, _Known] = OrderedDict()

    @property
    def remembered(self) -> int:
        """Open passages that have, or had, a hit."""
        return len(self._open)

    def match(self, passages: Sequence[Passage]) -> list[Hit]:
        """The hits of a batch of passages, after one lookup, in the passages' order.

        An entry that a passage meets gives one hit; a later revision gives it again only if
        an officer would see a difference, and as ``retracted`` if it no longer meets the
        entry. A hit's revision is the passage's, or higher where more than one thing is to be
        said at one revision of the passage. What is returned is said once: the caller keeps it
        until it is delivered.

        Raises:
            StoreUnavailable: Redis is away. Nothing has changed: call again with the same
                batch.
        """
        likely = _likely(passages, self._settings)
        texts = _texts(likely)
        if not texts and not any(self._known(passage.id) for passage in passages):
            return []
        found = self._watchlist.lookup(texts)  # before anything is remembered or forgotten
        return [
            hit
            for passage, readings in zip(passages, likely, strict=True)
            for hit in self._match_one(passage, readings, found)
        ]

    def _match_one(
        self, passage: Passage, readings: tuple[Reading, ...], found: LookupResult
    ) -> list[Hit]:
        before = self._known(passage.id)
        if before is not None and passage.revision < before.revision:
            return []  # overtaken by a later revision
        met = _met(passage, readings, found.entries, found.patterns, self._settings)
        if before is None and not met:
            return []
        said: dict[str, _Told] = dict(before.told) if before else {}
        now = {
            entry_id: replace(last, retracted=True, plate=passage.plate)
            for entry_id, last in said.items()
            if not last.retracted
        }
        evidence = passage.evidence.sha256 if passage.evidence else None
        for match in met:
            if not match.entry.audience or self._checkpoint in match.entry.audience:
                now[match.entry.id] = _Told(0, match, passage.plate, evidence)
        hits = []
        for entry_id, told in now.items():
            last = said.get(entry_id)
            if last is not None and told.looks_like(last):
                continue  # and the earlier stays: small steps must not add up unseen
            revision = (
                passage.revision if last is None else max(passage.revision, last.revision + 1)
            )
            said[entry_id] = replace(told, revision=revision)
            hits.append(
                hit_of(
                    passage,
                    told.match,
                    checkpoint=self._checkpoint,
                    list_version=found.version,
                    list_age_s=found.age_s,
                    at=self._clock.now(),
                    revision=revision,
                    retracted=told.retracted,
                )
            )
        self._keep(passage, said)
        return hits

    def _known(self, passage_id: str) -> _Known | None:
        return self._open.get(passage_id) or self._left.get(passage_id)

    def _keep(self, passage: Passage, said: Mapping[str, _Told]) -> None:
        self._open.pop(passage.id, None)
        self._left.pop(passage.id, None)
        if not said:
            return
        kept, most = (self._left, _LEFT) if passage.closed else (self._open, self._remember)
        kept[passage.id] = _Known(passage.revision, said)
        if len(kept) > most:
            forgotten, _ = kept.popitem(last=False)
            if kept is self._open:
                log.warning("matching.forgotten", passage=forgotten, remembered=self._remember)


def match_entries(
    passages: Sequence[Passage],
    entries: Iterable[WatchlistEntry],
    settings: MatchingSettings | None = None,
    *,
    checkpoint: str | None = None,
    now: datetime | None = None,
) -> list[tuple[Match, ...]]:
    """What each passage meets among the given entries, just as ``Matcher`` would say it.

    Asks nobody and remembers nothing. The entries are gone through once; of the plates only
    those that are met are kept, so there may be millions.

    Args:
        passages: what has passed.
        entries: plates and patterns.
        settings: what counts as a match.
        checkpoint: leaves out entries for other checkpoints; None: whatever their audience.
        now: leaves out entries that are not active then; None: whatever their status.
    """
    settings = settings or MatchingSettings()
    likely = _likely(passages, settings)
    texts = _texts(likely)
    wanted = set(texts)
    plates: dict[str, tuple[WatchlistEntry, ...]] = {}
    patterns: dict[str, tuple[WatchlistEntry, ...]] = {}
    for entry in entries:
        if checkpoint is not None and entry.audience and checkpoint not in entry.audience:
            continue
        if now is not None and status_of(entry, now) is not EntryStatus.ACTIVE:
            continue
        listed = patterns if is_pattern(entry.plate) else plates
        if listed is patterns or entry.plate in wanted:
            listed[entry.plate] = (*listed.get(entry.plate, ()), entry)
    fitting = {
        text: tuple(entry for pattern in of_text for entry in patterns[pattern])
        for text, of_text in PatternIndex(patterns).fitting(texts).items()
    }
    return [
        tuple(_met(passage, readings, plates, fitting, settings))
        for passage, readings in zip(passages, likely, strict=True)
    ]


def hit_of(
    passage: Passage,
    match: Match,
    *,
    checkpoint: str,
    list_version: int,
    list_age_s: float,
    at: datetime,
    revision: int | None = None,
    retracted: bool = False,
) -> Hit:
    """The hit that says ``match`` of a passage. ``revision``: the hit's; None: the passage's."""
    return Hit(
        id=hit_id(passage.id, match.entry.id),
        revision=passage.revision if revision is None else revision,
        checkpoint=checkpoint,
        passage=passage,
        entry=match.entry,
        kind=match.kind,
        probability=match.probability,
        list_version=list_version,
        list_age_s=list_age_s,
        occurred_at=at,
        mismatches=match.mismatches,
        retracted=retracted,
        reading=match.reading,
    )


def hit_id(passage_id: str, entry_id: str) -> str:
    """The identifier of the hit between a passage and an entry, whatever the revision."""
    return str(uuid.uuid5(_HIT_IDS, f"{passage_id}\n{entry_id}"))


def mismatches(passage: Passage, entry: WatchlistEntry) -> tuple[str, ...]:
    """Names of the attributes that both know and that differ."""
    pairs = (
        ("plate_class", passage.plate_class, entry.plate_class),
        ("vehicle_class", passage.vehicle_class, entry.vehicle_class),
        ("vehicle_colour", passage.vehicle_colour, entry.vehicle_colour),
    )
    return tuple(name for name, seen, listed in pairs if seen and listed and seen is not listed)


def _likely(passages: Sequence[Passage], settings: MatchingSettings) -> list[tuple[Reading, ...]]:
    return readings_of(passages, settings.possible_floor, settings.most_readings)


def _texts(likely: list[tuple[Reading, ...]]) -> list[str]:
    return list(dict.fromkeys(reading.text for readings in likely for reading in readings))


def _met(
    passage: Passage,
    readings: tuple[Reading, ...],
    entries: Entries,
    patterns: Entries,
    settings: MatchingSettings,
) -> list[Match]:
    """What a passage meets: the entries of its readings, the likeliest first, then patterns."""
    met = []
    fitting: dict[str, list[Reading]] = defaultdict(list)
    by_id: dict[str, WatchlistEntry] = {}
    for reading in readings:
        for entry in entries.get(reading.text, ()):
            differs = mismatches(passage, entry)
            lowered = bool(differs) and settings.mismatch_lowers
            exact = reading.text == passage.plate and not lowered
            kind = MatchKind.EXACT if exact else MatchKind.POSSIBLE
            met.append(Match(entry, kind, reading.probability, reading.text, differs))
        for entry in patterns.get(reading.text, ()):
            fitting[entry.id].append(reading)
            by_id[entry.id] = entry
    for entry_id, several in fitting.items():
        entry = by_id[entry_id]
        likeliest = max(several, key=lambda reading: reading.probability)
        probability = min(1.0, sum(reading.probability for reading in several))
        differs = mismatches(passage, entry)
        met.append(Match(entry, MatchKind.PARTIAL, probability, likeliest.text, differs))
    return met
