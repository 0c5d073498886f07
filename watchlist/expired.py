"""Entries whose time is over, taken out of Redis: what the list says does not change by it.

An entry that has long expired matches nothing, nor does one that was cancelled. So they go without
a new version, and without a before-image in the history, which would keep them. Of the history
itself go the versions that are as old; the newest stays. A rollback that brings an expired entry
back is no harm: it is taken out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from pipeline.errors import WatchlistError
from watchlist.connection import redis_errors
from watchlist.entry import from_json
from watchlist.rows import Keys
from watchlist.store import Watchlist

_AT_ONCE = 100

_TAKE_OUT = r"""
-- KEYS: plates, ids, patterns    ARGV: id, plate, line as it was seen; for each entry
-- A field that a large change has another side of is left for the next time.
local gone = 0
for at = 1, #ARGV, 3 do
  local id, plate, line = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local row = redis.call('HGET', KEYS[1], plate)
  if row and redis.call('HGET', KEYS[2], id) == plate and not string.find(row, '\29', 1, true) then
    local kept, found = {}, false
    for one in string.gmatch(row, '[^\n]+') do
      if one == line then found = true else kept[#kept + 1] = one end
    end
    if found then
      redis.call('HDEL', KEYS[2], id)
      if #kept > 0 then
        redis.call('HSET', KEYS[1], plate, table.concat(kept, '\n'))
      else
        redis.call('HDEL', KEYS[1], plate)
        redis.call('SREM', KEYS[3], plate)
      end
      gone = gone + 1
    end
  end
end
if gone > 0 and redis.call('HEXISTS', KEYS[1], '@entries') == 1 then
  redis.call('HINCRBY', KEYS[1], '@entries', -gone)
end
return gone
"""


@dataclass(frozen=True, slots=True)
class OldEntry:
    """An entry that expired, by its line in its plate's row, or was cancelled: then without."""

    id: str
    plate: str = ""
    line: bytes = b""


class OldEntries:
    """The entries of one list that are to be deleted. Methods may be called from any thread.

    Every method raises StoreUnavailable when Redis is away or refuses.
    """

    def __init__(self, client: redis.Redis, prefix: str, watchlist: Watchlist) -> None:
        self._client: Any = client
        self._keys = Keys(prefix)
        self._watchlist = watchlist
        self._take_out = client.register_script(_TAKE_OUT)

    def due(self, before: datetime) -> list[OldEntry]:
        """Entries that expired or were cancelled before that time. Reads the whole list."""
        self._watchlist.history.trim(before)
        found = {one.id: one for one in self._expired(before)}
        gone = (one for one in self._watchlist.cancellations() if one.at < before)
        return [*found.values(), *(OldEntry(one.entry.id) for one in gone)]

    def delete(self, due: Sequence[OldEntry]) -> int:
        """Delete them; how many those were. One that was changed meanwhile stays."""
        expired = [one for one in due if one.line]
        cancelled = [one.id for one in due if not one.line]
        count = 0
        for at in range(0, len(expired), _AT_ONCE):
            part = expired[at : at + _AT_ONCE]
            words = [word for one in part for word in (one.id, one.plate, one.line)]
            with redis_errors(self._client):
                count += int(
                    self._take_out(
                        keys=[self._keys.plates, self._keys.ids, self._keys.patterns], args=words
                    )
                )
        for at in range(0, len(cancelled), _AT_ONCE):
            with redis_errors(self._client):
                count += int(
                    self._client.hdel(self._keys.cancelled, *cancelled[at : at + _AT_ONCE])
                )
        return count

    def _expired(self, before: datetime) -> Iterator[OldEntry]:
        for plate, row in self._watchlist.rows():
            for line in row.split(b"\n"):
                try:
                    entry = from_json(line.partition(b" ")[2])
                except WatchlistError:
                    continue  # said wherever it is matched
                if entry.expires_at < before:
                    yield OldEntry(entry.id, plate, line)
