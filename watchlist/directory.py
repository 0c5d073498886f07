"""The list for people: searched, sorted, counted and paged, a million entries too.

Redis holds the list as lookups need it, in no order. So an index (``watchlist.directory_index``)
has for each entry what is searched and sorted by; it is built at the first question and then
follows the list version by version. What is shown of an entry always comes from Redis.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.errors import CheckpointError, StoreUnavailable, WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.directory_index import Condition, Index, Listed, ListedState
from watchlist.entry import to_json
from watchlist.records import Cancellation
from watchlist.store import Watchlist

log = structlog.get_logger(__name__)

__all__ = ["Directory", "ListedState", "Page", "StillReading"]

_AT_ONCE: Final = 2000
_LATEST_S: Final = timedelta(hours=12).total_seconds()
"""What is deleted because its time is over makes no version: so it is built anew so often."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, the newest first, and how many there are of each state.

    ``after``: what to ask the next page with; None for the last.
    """

    version: int
    entries: tuple[WatchlistEntry | Cancellation, ...]
    counts: dict[ListedState, int]
    after: str | None


class StillReading(Exception):
    """The list is being read for the first time: ask again. ``done`` of about ``total``."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"{done} of {total} entries")
        self.done = done
        self.total = total


class Directory:
    """The directory of one list. Any thread may call.

    Args:
        folder: where the file without a name lies.
    """

    def __init__(self, watchlist: Watchlist, folder: Path, clock: Clock) -> None:
        self._watchlist = watchlist
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._index: Index | None = None
        self._version = -1
        self._built_s = 0.0
        self._building: threading.Thread | None = None
        self._failure: CheckpointError | None = None
        self._done = self._total = 0

    def page(
        self,
        query: str = "",
        state: ListedState | None = None,
        *,
        after: str | None = None,
        limit: int = 50,
        wait_s: float = 2.0,
    ) -> Page:
        """Entries that fit, the newest first.

        Args:
            query: part of a plate, id, category, case number or name; or a plate with ``?`` for one
                character and ``*`` for any number.
            state: only those that stand so now.
            after: of the page before.
            wait_s: how long to wait for the list being read.

        Raises:
            StillReading: that takes longer.
            StoreUnavailable: Redis is away, or the file cannot be written.
        """
        self._refresh(wait_s)
        condition, now = Condition.of(query), self._clock.now()
        with self._lock, _explained(self._folder):
            index = self._index
            if index is None:  # it was closed meanwhile
                raise StillReading(self._done, self._total)
            rows, counts = index.page(condition, state, now, after=after, limit=limit + 1)
            version = self._version
        following = rows[:limit]
        more = following[-1].place if len(rows) > limit else None
        return Page(version, tuple(self._fetched(following)), dict(counts), more)

    def close(self) -> None:
        """Forget everything; the next question begins anew."""
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index, self._version = None, -1

    def _fetched(self, rows: Sequence[Listed]) -> Iterator[WatchlistEntry | Cancellation]:
        """The entries as Redis has them; those that are gone there are taken out here."""
        stored = self._watchlist.stored(list({one.plate for one in rows if not one.cancelled}))
        listed = {entry.id: entry for found in stored.values() for entry in found}
        cancelled = self._watchlist.cancellations_of([one.id for one in rows if one.cancelled])
        for one in rows:
            found = cancelled.get(one.id) if one.cancelled else listed.get(one.id)
            if found is not None:
                yield found
                continue
            with self._lock:
                if self._index is not None:
                    self._index.forget([one.id], one.cancelled)

    def _refresh(self, wait_s: float) -> None:
        """Bring the index to the list's version, or wait for it to be built."""
        state = self._watchlist.state()
        with self._lock:
            old = self._clock.monotonic() - self._built_s > _LATEST_S
            if self._index is not None and not old and self._followed(state.version):
                return
            building = self._building
            if building is None or not building.is_alive():
                self._done, self._total = 0, state.entries
                building = threading.Thread(target=self._build, name="directory", daemon=True)
                self._building = building
                building.start()
        building.join(wait_s)
        with self._lock:
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if self._index is None or self._version > state.version:  # else: as it was a moment ago
                raise StillReading(self._done, self._total)

    def _followed(self, version: int) -> bool:
        """Take over what changed up to ``version``; False where only reading all of it helps."""
        if version == self._version:
            return True
        if version < self._version or self._index is None:
            return False
        try:
            plates, gone = _touched(self._watchlist, self._version)
        except WatchlistError:
            return False
        if len(plates) + len(gone) > _AT_ONCE * 10:
            return False
        _take_over(self._index, self._watchlist, plates, gone)
        self._version = version
        return True

    def _build(self) -> None:
        try:
            with _explained(self._folder):
                index, version = self._read_all()
        except Exception as error:
            if not isinstance(error, CheckpointError):
                log.exception("watchlist.directory_failed")
                error = StoreUnavailable(f"the list cannot be read: {error}")
            with self._lock:
                self._failure = error
            return
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index, self._version = index, version
            self._built_s = self._clock.monotonic()

    def _read_all(self) -> tuple[Index, int]:
        version = self._watchlist.state().version
        index = Index(self._folder)
        try:
            listed = (
                (line.partition(b" ")[2], False)
                for _, row in self._watchlist.rows()
                for line in row.split(b"\n")
            )
            gone = ((to_json(one.entry), True) for one in self._watchlist.cancellations())
            for page in _pages(chain(listed, gone)):
                index.fill(page)
                self._done += len(page)
            index.sort()
            while (now := self._watchlist.state().version) != version:
                plates, cancelled = _touched(self._watchlist, version)
                _take_over(index, self._watchlist, plates, cancelled)
                version = now
        except BaseException:
            index.close()
            raise
        return index, version


def _pages(lines: Iterator[tuple[str | bytes, bool]]) -> Iterator[list[tuple[str | bytes, bool]]]:
    while page := list(islice(lines, _AT_ONCE)):
        yield page


def _touched(watchlist: Watchlist, since: int) -> tuple[list[str], list[str]]:
    """Plates and cancelled ids that changed after a version.

    Raises:
        WatchlistError: the history does not go back so far.
    """
    found: dict[tuple[str, str], None] = {}
    for change in watchlist.history.undone_by(since):
        for images in watchlist.history.images(change.number):
            found.update(dict.fromkeys(images))
    plates = [name for kind, name in found if kind == "p" and not name.startswith("@")]
    return plates, [name for kind, name in found if kind == "c"]


def _take_over(
    index: Index, watchlist: Watchlist, plates: Sequence[str], gone: Sequence[str]
) -> None:
    for at in range(0, len(plates), _AT_ONCE):
        part = plates[at : at + _AT_ONCE]
        stored = watchlist.stored(part)
        index.forget_plates(part)
        index.put((to_json(entry), False) for found in stored.values() for entry in found)
    for at in range(0, len(gone), _AT_ONCE):
        names = gone[at : at + _AT_ONCE]
        cancelled = watchlist.cancellations_of(names)
        index.forget(names, True)
        index.put((to_json(one.entry), True) for one in cancelled.values())


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(
            f"{folder}: the list cannot be sorted there: {error}; free space on that disk"
        ) from error
