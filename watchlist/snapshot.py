"""The whole list at one version, although it may change while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.rows import parse_row
from watchlist.store import Watchlist

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The list at ``version``; ``rows`` holds the lines of each plate that has entries."""

    version: int
    rows: Mapping[str, bytes]

    def entries(self) -> Iterator[WatchlistEntry]:
        """All entries that were not cancelled, expired ones too, in no order."""
        for row in self.rows.values():
            yield from parse_row(row)


def take(watchlist: Watchlist) -> Snapshot:
    """Read the whole list, then what was changed meanwhile, until nothing was.

    Raises:
        StoreUnavailable: Redis is away.
    """
    while True:
        version = watchlist.state().version
        rows = dict(watchlist.rows())
        while True:
            now = watchlist.state().version
            if now == version:
                return Snapshot(version, rows)
            try:
                touched = _touched(watchlist, version)
            except WatchlistError:
                break  # more was changed than the history keeps: read all of it again
            for start in range(0, len(touched), _PAGE):
                page = touched[start : start + _PAGE]
                _, fresh = watchlist.rows_of(page)
                for plate in page:
                    rows.pop(plate, None)
                rows.update(fresh)
            version = now


def _touched(watchlist: Watchlist, version: int) -> list[str]:
    found: dict[str, None] = {}
    for change in watchlist.history.undone_by(version):
        for images in watchlist.history.images(change.number):
            found.update((name, None) for kind, name in images if kind == "p")
    return list(found)
