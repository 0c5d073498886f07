"""What is known of checkpoints, in Redis, beside the feed that tells their changes.

Keys, below ``{<prefix>}:alerts:``

=================  ====  ==================================================================
``checkpoints``    set   their names
``checkpoint:NAME``  hash  ``state``, ``seen_us`` and ``status``, all that is known, opaque
``changes:NAME``   list  the sequence numbers of its events, the oldest deleted in time
=================  ====  ==================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.alerts.records import StoredCheckpoint
from pipeline.alerts.redis_link import RedisLink, unavailable

_KEPT_CHANGES: Final = 200
"""Events of one checkpoint in the feed: one whose link comes and goes must not fill it."""

_CHANGE: Final = """
-- KEYS: sequence, feed, checkpoints, checkpoint, changes
-- ARGV: name, state, seen_us, status, how many changes are kept
-- Returns the event's sequence, or '' where it is so already or was heard of meanwhile.
local field = redis.call('HMGET', KEYS[4], 'state', 'seen_us')
if field[1] == ARGV[2] then return '' end
if ARGV[2] == 'silent' and field[2] and tonumber(field[2]) > tonumber(ARGV[3]) then return '' end
local sequence = string.format('%.0f', redis.call('INCR', KEYS[1]))
redis.call('XADD', KEYS[2], sequence .. '-0', 'kind', 'checkpoint', 'id', ARGV[1],
           'status', ARGV[4])
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[4], 'state', ARGV[2], 'seen_us', ARGV[3], 'status', ARGV[4])
redis.call('RPUSH', KEYS[5], sequence)
while redis.call('LLEN', KEYS[5]) > tonumber(ARGV[5]) do
  redis.call('XDEL', KEYS[2], redis.call('LPOP', KEYS[5]) .. '-0')
end
return sequence
"""


class RedisCheckpoints:
    """Checkpoints in the database of an alert store; a ``CheckpointStore``, see ``store.py``."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def checkpoints(self) -> list[StoredCheckpoint]:
        """Every checkpoint that was ever heard of."""
        with unavailable():
            names = sorted(self._link.redis.smembers(self._link.key("checkpoints")))
            with self._link.redis.pipeline(transaction=False) as batch:
                for name in names:
                    batch.hmget(
                        self._link.key("checkpoint", name.decode()), "state", "seen_us", "status"
                    )
                found = batch.execute()
        return [
            StoredCheckpoint(name.decode(), state.decode(), int(seen_us), status)
            for name, (state, seen_us, status) in zip(names, found, strict=True)
            if state is not None
        ]

    def note(self, checkpoints: Sequence[StoredCheckpoint]) -> None:
        """Keep what is known of checkpoints whose state stays as it is."""
        with unavailable(), self._link.redis.pipeline(transaction=False) as batch:
            for one in checkpoints:
                fields = {"seen_us": str(one.seen_us), "status": one.status}
                batch.hset(self._link.key("checkpoint", one.name), mapping=fields)
            batch.execute()

    def change(self, checkpoint: StoredCheckpoint) -> int | None:
        """Put the change of a checkpoint's state into the feed; its number there."""
        keys = [self._link.key(name) for name in ("sequence", "feed", "checkpoints")]
        keys += [
            self._link.key("checkpoint", checkpoint.name),
            self._link.key("changes", checkpoint.name),
        ]
        answer = self._link.run(
            _CHANGE,
            keys,
            [
                checkpoint.name,
                checkpoint.state,
                str(checkpoint.seen_us),
                checkpoint.status,
                str(_KEPT_CHANGES),
            ],
        )
        return int(answer) if answer else None
