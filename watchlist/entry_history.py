"""What became of one entry: which versions of the list changed it, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import COLUMNS
from watchlist.records import Version
from watchlist.rows import Images, parse_row
from watchlist.store import Watchlist

_MOST_PAGES: Final = 500  # of before-images: some hundred thousand changed entries


@dataclass(frozen=True, slots=True)
class EntryChange:
    """One version that changed an entry. ``before`` None: it was not on the list; ``after`` None:
    it was taken off."""

    version: Version
    before: WatchlistEntry | None
    after: WatchlistEntry | None

    @property
    def fields(self) -> tuple[str, ...]:
        """What differs, where the entry was on the list before and after."""
        if self.before is None or self.after is None:
            return ()
        return tuple(
            name for name in COLUMNS if getattr(self.before, name) != getattr(self.after, name)
        )


@dataclass(frozen=True, slots=True)
class EntryHistory:
    """The changes of one entry, the newest first. Not ``complete``: those before are not kept, or
    lie behind changes too large to be looked through."""

    changes: tuple[EntryChange, ...]
    complete: bool


def history_of(watchlist: Watchlist, entry_id: str, most_pages: int = _MOST_PAGES) -> EntryHistory:
    """Go through the list's versions for what they changed of one entry.

    Raises:
        StoreUnavailable: Redis is away.
    """
    after = watchlist.get(entry_id)
    changes: list[EntryChange] = []
    left = most_pages
    for version, pages in watchlist.history.touched():
        try:
            looked_at = list(islice(pages, left + 1))
        except WatchlistError:  # it was given up a moment ago
            break
        left -= len(looked_at)
        if left < 0:
            break
        touched, before = _before(entry_id, looked_at)
        if not touched or before == after:  # or another entry of the same plate was changed
            continue
        changes.append(EntryChange(version, before, after))
        if before is None:
            return EntryHistory(tuple(changes), complete=True)
        after = before
    return EntryHistory(tuple(changes), complete=False)


def _before(entry_id: str, pages: Iterable[Images]) -> tuple[bool, WatchlistEntry | None]:
    """Whether an entry is named in before-images, and what it said there."""
    touched, wanted = False, entry_id.encode()
    for page in pages:
        touched |= ("i", entry_id) in page
        for (kind, _), row in page.items():
            if kind == "p" and wanted in row:
                for entry in parse_row(row):
                    if entry.id == entry_id:
                        return True, entry
    return touched, None
