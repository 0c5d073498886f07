"""The watchlist in Redis: looked up, read and changed. ``watchlist.rows`` describes its keys.

``@version`` counts every change by one and never goes back. ``@lineage`` is drawn when a list
begins: another one, or a lower version, means that Redis came back without its data. What was
seen last is kept on disk too, so that a restart does not forget it.

The age of the list is the time since its last change or heartbeat. Who can write to the list's
master beats once a minute (``watchlist.keeper``); a replica that lost its master gets no beats,
so its age grows, while a list that nobody needs to change stays young.

An entry stays on the list when it expires; it just no longer matches.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import redis
import structlog

from pipeline.clock import Clock, SystemClock
from pipeline.config import WatchlistSettings
from pipeline.errors import StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.about import ABOUT, About
from watchlist.changes import Changes, Operation, Refused
from watchlist.connection import address, redis_errors
from watchlist.drafts import Drafts
from watchlist.embedded import open_redis
from watchlist.entry import EntryStatus, is_id, iso, status_of, to_json
from watchlist.grammar import is_legal
from watchlist.history import History, HistoryLimits
from watchlist.pattern_cache import PatternCache
from watchlist.patterns import is_legal_pattern
from watchlist.records import Cancellation, Change, ListLoss, ListState, LookupResult, Note
from watchlist.rows import Keys, parse_cancellation, parse_row, visible
from watchlist.seen import LossWatch, Seen, SeenFile

log = structlog.get_logger(__name__)

_SCAN_COUNT = 500
_TRIES = 10


class Watchlist:
    """The list of one deployment. Methods may be called from any thread.

    Args:
        client: answers in bytes; see ``watchlist.connection``.
        prefix: of the keys, one for each deployment.
        clock: the time.
        limits: how much history is kept.
        seen: where it is kept which version was seen last; None: in memory alone.

    Every method raises StoreUnavailable when Redis is away or refuses.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        clock: Clock,
        *,
        limits: HistoryLimits | None = None,
        seen: SeenFile | None = None,
    ) -> None:
        self._client: Any = client
        self._clock = clock
        self._keys = Keys(prefix)
        self.history = History(client, self._keys, limits or HistoryLimits())
        self.drafts = Drafts(client, self._keys)
        self._changes = Changes(client, self._keys, clock, self.history)
        self._watch = LossWatch(seen, clock, address(client))
        self._patterns = PatternCache(self._pattern_texts, self._read)

    @property
    def loss(self) -> ListLoss | None:
        """Set once Redis came back with less than was seen before; None while all is well.

        It goes away when the data come back, or by ``acknowledge_loss``. Health is degraded
        as long as it is set: an empty list must never look like a quiet road.
        """
        return self._watch.loss

    def acknowledge_loss(self) -> None:
        """A person says that what Redis holds now is the list; every process that shares this
        data folder takes that over."""
        meta = self._about()
        self._watch.acknowledge(Seen(meta.version, meta.lineage))

    def lookup(self, plates: Sequence[str]) -> LookupResult:
        """The active entries of some plates, and the patterns they fit, all at one version.

        One round trip; some more when a pattern has changed since the last, for all patterns
        are kept in memory. Expired, not yet valid and cancelled entries are left out, by the
        clock of now.
        """
        for _ in range(_TRIES):
            meta, rows = self._read(plates)
            patterns = self._patterns.at(meta)
            if patterns is not None:
                break
        else:
            raise StoreUnavailable(
                f"Redis at {address(self._client)}: patterns of the watchlist change faster "
                "than they can be read; it is tried again"
            )
        now = self._clock.now()
        entries, fitting = {}, {}
        for plate, row in zip(plates, rows, strict=True):
            if row is not None and (active := _active(parse_row(row), now)):
                entries[plate] = active
        for plate, of_plate in patterns.fitting(plates).items():
            if active := _active((e for p in of_plate for e in patterns.entries[p]), now):
                fitting[plate] = active
        return LookupResult(entries, meta.version, meta.age_s(self._clock.now()), fitting)

    def stored(self, plates: Sequence[str]) -> dict[str, tuple[WatchlistEntry, ...]]:
        """All entries of some plates, whether active, pending or expired."""
        _, rows = self._read(plates)
        return {
            plate: tuple(parse_row(row))
            for plate, row in zip(plates, rows, strict=True)
            if row is not None
        }

    @property
    def seen_version(self) -> int | None:
        """The list's version as it was seen last, without asking Redis; None: never seen."""
        return self._watch.seen.version or None

    def state(self) -> ListState:
        """Version, age and size of the list."""
        before = self._watch.seen
        with redis_errors(self._client), self._client.pipeline(transaction=False) as pipe:
            pipe.hmget(self._keys.plates, [*ABOUT, "@entries"])
            pipe.hlen(self._keys.ids)
            values, count = pipe.execute()
        meta = self._checked(values[: len(ABOUT)], before)
        size = int(values[-1] or count)  # an earlier version of Checkpoint did not count
        return ListState(meta.version, meta.updated_at, meta.age_s(self._clock.now()), size)

    def get(self, entry_id: str) -> WatchlistEntry | None:
        """One entry by its id, unless it was cancelled or never was."""
        plate = None
        while (now := self.plates_of([entry_id]).get(entry_id)) != plate:
            plate = now
            for entry in self.stored([plate]).get(plate, ()) if plate else ():
                if entry.id == entry_id:
                    return entry
        return None  # it is not on the list; what was moved meanwhile is looked for again

    def cancellation(self, entry_id: str) -> Cancellation | None:
        """How an entry was taken off the list, or None if it was not."""
        return self.cancellations_of([entry_id]).get(entry_id)

    def cancellations_of(self, entry_ids: Sequence[str]) -> dict[str, Cancellation]:
        """How some entries were taken off the list; those that were not are left out."""
        if not entry_ids:
            return {}
        bulk, rows = self._steadily(lambda pipe: pipe.hmget(self._keys.cancelled, list(entry_ids)))
        return {
            entry_id: parse_cancellation(row)
            for entry_id, value in zip(entry_ids, rows, strict=True)
            if (row := visible(value, bulk)) is not None
        }

    def plates_of(self, entry_ids: Sequence[str]) -> dict[str, str]:
        """The plates of some entries; those that are not on the list are left out."""
        if not entry_ids:
            return {}
        bulk, values = self._steadily(lambda pipe: pipe.hmget(self._keys.ids, list(entry_ids)))
        found = zip(entry_ids, (visible(value, bulk) for value in values), strict=True)
        return {entry_id: plate.decode() for entry_id, plate in found if plate is not None}

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """The plates that have entries, with their entries' lines, in no order, in pages.

        A plate may come twice; one that is added or taken off meanwhile may come or not.
        """
        return ((p, row) for p, row in self._scan(self._keys.plates) if not p.startswith("@"))

    def rows_of(self, plates: Sequence[str]) -> tuple[int, dict[str, bytes]]:
        """The version of the list, and the lines of those plates that have entries."""
        meta, rows = self._read(plates)
        return meta.version, {p: row for p, row in zip(plates, rows, strict=True) if row}

    def entries(self) -> Iterator[WatchlistEntry]:
        """All entries that were not cancelled, in no order, read in pages.

        Each that is on the list throughout comes once; one that is added or cancelled
        meanwhile may come or not. ``watchlist.snapshot`` gives the list at one version.
        """
        seen: set[str] = set()
        for _, row in self.rows():
            for entry in parse_row(row):
                if entry.id not in seen:
                    seen.add(entry.id)
                    yield entry

    def cancellations(self) -> Iterator[Cancellation]:
        """All entries that were cancelled, in no order, read in pages."""
        seen: set[str] = set()
        for entry_id, row in self._scan(self._keys.cancelled):
            if entry_id not in seen:
                seen.add(entry_id)
                yield parse_cancellation(row)

    def add(
        self,
        entries: Iterable[WatchlistEntry],
        note: Note | None = None,
        *,
        planned_on: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Change:
        """Put entries on the list as one version; an entry of a known id replaces it.

        Nothing is seen by readers before all of it is, and Redis serves them all the while.
        ``note`` says who adds and why. ``planned_on``: refuse if what is added was changed
        after that version. ``progress`` is told how many entries have been sent.

        Raises:
            WatchlistError: an entry is malformed or was cancelled, the list has changed since
                ``planned_on``, or another large change is on its way; nothing was changed.
        """
        return self._make(
            map(_put, entries), note or Note(""), planned_on=planned_on, progress=progress
        )

    def cancel(self, entry_id: str, *, reason: str, by: str, case: str = "") -> Cancellation:
        """Take an entry off the list; it no longer matches once this returns.

        Raises:
            WatchlistError: no reason or name is given, there is no such entry, or it was
                cancelled before.
        """
        reason, by = reason.strip(), by.strip()
        if not reason or not by:
            raise WatchlistError(f"{'reason' if not reason else 'by'}: must not be empty")
        said = {"reason": reason, "by": by, "at": iso(self._clock.now())}
        record = json.dumps(said, ensure_ascii=False)
        try:
            self._make([("cancel", entry_id, record)], Note(by, "cancel", reason, case))
        except Refused:
            gone = self.cancellation(entry_id)
            if gone is None:
                raise
            if {"reason": gone.reason, "by": gone.by, "at": iso(gone.at)} == said:
                return gone  # sent twice
            raise WatchlistError(
                f"entry {entry_id}: was cancelled on {iso(gone.at)} by {gone.by}"
            ) from None
        gone = self.cancellation(entry_id)
        if gone is None:
            raise WatchlistError(f"entry {entry_id}: came back meanwhile; cancel it again")
        return gone

    def rollback(
        self, version: int, note: Note, progress: Callable[[int], None] | None = None
    ) -> Change:
        """Bring back what the list said at ``version``, as a new version.

        Entries that were cancelled since match again; those added since are off the list.

        Raises:
            WatchlistError: that version is no longer kept or never was, or somebody changes
                the list meanwhile; nothing was changed.
        """
        current = self.state().version
        if version > current:
            raise WatchlistError(f"the list is only at version {current}")
        return self._make(
            self.history.undoing(version),
            replace(note, action="rollback"),
            planned_on=current,
            exactly=True,
            progress=progress,
        )

    def beat(self) -> None:
        """Say that the list's master lives: its age begins anew. For ``watchlist.keeper``."""
        with redis_errors(self._client):
            self._client.hset(self._keys.plates, "@heartbeat", iso(self._clock.now()))

    def recover(self) -> bool:
        """Take away or finish what a killed large change has left; False if there was nothing."""
        return self._changes.recover()

    def _make(self, operations: Iterable[Operation], note: Note, **how: Any) -> Change:
        floor = self._watch.seen.version
        change = self._changes.make(operations, note, floor=floor, **how)
        with contextlib.suppress(StoreUnavailable):  # it is made; what it led to is seen later
            self._about()
        return change

    def _about(self) -> About:
        return self._read(())[0]

    def _read(self, plates: Sequence[str]) -> tuple[About, list[bytes | None]]:
        before = self._watch.seen
        with redis_errors(self._client):
            values = self._client.hmget(self._keys.plates, [*ABOUT, *plates])
        meta = self._checked(values[: len(ABOUT)], before)
        return meta, [visible(value, meta.bulk) for value in values[len(ABOUT) :]]

    def _checked(self, values: list[bytes | None], before: Seen) -> About:
        """Understand what the list says of itself, and notice when that is less than before."""
        about = About.of(values, address(self._client))
        self._watch.check(Seen(about.version, about.lineage), before)
        return about

    def _pattern_texts(self) -> list[str]:
        with redis_errors(self._client):
            return [text.decode() for text in self._client.smembers(self._keys.patterns)]

    def _steadily(self, command: Callable[[Any], Any]) -> tuple[bytes | None, Any]:
        """The answer of one read, with ``@bulk`` as it was throughout."""
        while True:
            with redis_errors(self._client), self._client.pipeline(transaction=False) as pipe:
                pipe.hget(self._keys.plates, "@bulk")
                command(pipe)
                pipe.hget(self._keys.plates, "@bulk")
                bulk, answer, after = pipe.execute()
            if bulk == after:
                return bulk, answer

    def _scan(self, key: str) -> Iterator[tuple[str, bytes]]:
        cursor = 0
        while True:
            scan = partial(_scan_page, key, cursor)
            bulk, (following, page) = self._steadily(scan)
            for name, value in page.items():
                row = visible(value, bulk)
                if row is not None:
                    yield name.decode(), row
            cursor = int(following)
            if not cursor:
                return


def _scan_page(key: str, cursor: int, pipe: Any) -> None:
    pipe.hscan(key, cursor, count=_SCAN_COUNT)


def _put(entry: WatchlistEntry) -> Operation:
    if not is_id(entry.id) or not (is_legal(entry.plate) or is_legal_pattern(entry.plate)):
        raise WatchlistError(f"entry {entry.id!r}: malformed id or plate")
    return "put", entry.plate, f"{entry.id} {to_json(entry)}"


def _active(entries: Iterable[WatchlistEntry], now: datetime) -> tuple[WatchlistEntry, ...]:
    return tuple(entry for entry in entries if status_of(entry, now) is EntryStatus.ACTIVE)


@contextmanager
def open_watchlist(
    settings: WatchlistSettings, data_dir: Path, clock: Clock | None = None
) -> Iterator[Watchlist]:
    """The list of the configured Redis, or of the embedded one: see ``open_redis``."""
    with open_redis(settings, data_dir) as client:
        yield watchlist_of(client, settings, data_dir, clock or SystemClock())


def watchlist_of(
    client: redis.Redis, settings: WatchlistSettings, data_dir: Path, clock: Clock
) -> Watchlist:
    """The list that ``settings`` name, over a client that is open."""
    return Watchlist(
        client,
        settings.key_prefix,
        clock,
        limits=HistoryLimits(settings.history_versions, settings.history_mib << 20),
        seen=SeenFile.of(settings, data_dir),
    )
