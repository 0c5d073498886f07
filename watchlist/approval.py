"""A draft becomes an entry, when somebody else than its writer answers for it."""

from __future__ import annotations

from datetime import datetime

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.columns import COLUMNS
from watchlist.drafts import Draft
from watchlist.entry import EntryError, EntryPolicy, make_entry, same_person
from watchlist.records import Change, Note
from watchlist.store import Watchlist


def approved(draft: Draft, by: str, now: datetime, policy: EntryPolicy) -> WatchlistEntry:
    """The entry that a draft becomes when ``by`` approves it now.

    Raises:
        EntryError: ``by`` wrote or asked for it, may not answer for entries, or the draft no
            longer keeps to what is demanded, for example because it has expired.
    """
    if same_person(draft.by, by):
        raise EntryError([f"authoriser: {by} wrote this draft; somebody else must approve it"])
    said = {name: getattr(draft.entry, name) for name in COLUMNS if name != "id"}
    return make_entry(said | {"authoriser": by}, now, policy, draft.entry.id)


def approve(watchlist: Watchlist, entry: WatchlistEntry) -> Change:
    """Put an approved draft on the list, once; afterwards it is no draft any more.

    Raises:
        WatchlistError: the draft is gone, or somebody else approved it a moment ago.
    """
    version = watchlist.state().version
    known = watchlist.get(entry.id)
    if known is not None:
        watchlist.drafts.drop(entry.id)
        raise WatchlistError(f"entry {entry.id}: was approved by {known.authoriser} before")
    if watchlist.drafts.get(entry.id) is None:
        raise WatchlistError(f"entry {entry.id}: there is no such draft any more")
    note = Note(entry.authoriser, "approve", entry.reason, entry.case_number)
    change = watchlist.add([entry], note, planned_on=version)
    watchlist.drafts.drop(entry.id)
    return change
