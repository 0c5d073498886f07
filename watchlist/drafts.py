"""Drafts: entries that one person wrote and that another one has yet to answer for.

A draft is no part of the list: it matches nothing and makes no version. Whoever approves it becomes
the entry's authoriser; it then goes on the list under the draft's id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import redis
import structlog

from pipeline.errors import WatchlistError
from pipeline.types import WatchlistEntry
from watchlist.connection import redis_errors
from watchlist.entry import EntryError, EntryPolicy, from_json, iso, make_entry, to_json
from watchlist.rows import Keys

log = structlog.get_logger(__name__)

MOST_DRAFTS: Final = 10_000
_NOBODY: Final = "(whoever approves it)"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry without an authoriser, by whom and when it was written."""

    entry: WatchlistEntry
    by: str
    at: datetime


def make_draft(fields: Mapping[str, Any], now: datetime, policy: EntryPolicy, by: str) -> Draft:
    """Check the fields of an entry, but for its authoriser.

    Raises:
        EntryError: it names each field that is missing or wrong, and why.
    """
    if fields.get("authoriser"):
        raise EntryError(["authoriser: is whoever approves the draft; leave it empty"])
    said = {"requester": by, **fields, "authoriser": _NOBODY}
    entry = make_entry(said, now, replace(policy, authorisers=None))
    return Draft(replace(entry, authoriser=""), by, now)


class Drafts:
    """The drafts of one list. Any thread may call.

    Every method raises StoreUnavailable when Redis is away or refuses.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client: Any = client
        self._key = keys.drafts

    def all(self) -> list[Draft]:
        """Every draft, the newest first."""
        with redis_errors(self._client):
            found = self._client.hgetall(self._key)
        drafts = []
        for name, value in found.items():
            try:
                drafts.append(_parsed(value))
            except WatchlistError as error:
                log.error("watchlist.damaged", draft=name.decode(), message=str(error))
        return sorted(drafts, key=lambda draft: draft.entry.id, reverse=True)

    def count(self) -> int:
        """How many there are."""
        with redis_errors(self._client):
            return int(self._client.hlen(self._key))

    def get(self, entry_id: str) -> Draft | None:
        """One draft, or None."""
        with redis_errors(self._client):
            value = self._client.hget(self._key, entry_id)
        return None if value is None else _parsed(value)

    def put(self, draft: Draft) -> None:
        """Keep a draft.

        Raises:
            WatchlistError: there are too many.
        """
        if self.count() >= MOST_DRAFTS:
            raise WatchlistError(
                f"there are {MOST_DRAFTS} drafts already; approve or discard some first"
            )
        said = json.dumps({"by": draft.by, "at": iso(draft.at)}, ensure_ascii=False)
        with redis_errors(self._client):
            self._client.hset(self._key, draft.entry.id, f"{to_json(draft.entry)}\n{said}")

    def drop(self, entry_id: str) -> bool:
        """Forget a draft; False if there was none."""
        with redis_errors(self._client):
            return bool(self._client.hdel(self._key, entry_id))

    def due(self, before: datetime) -> list[str]:
        """Ids of the drafts that were written before that time."""
        return [draft.entry.id for draft in self.all() if draft.at < before]

    def delete(self, due: Sequence[str]) -> int:
        """Forget drafts; how many those were."""
        return sum(self.drop(entry_id) for entry_id in due)


def _parsed(value: bytes) -> Draft:
    record, _, said = value.rpartition(b"\n")
    try:
        words = json.loads(said)
        return Draft(from_json(record), words["by"], datetime.fromisoformat(words["at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise WatchlistError(f"damaged draft {said[:60]!r}: {error}") from error
