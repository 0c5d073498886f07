"""The watch over checkpoints: keeps what is known of them, and tells the feed of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.feed import AlertFeed, feed_event
from pipeline.alerts.presence import Presence
from pipeline.alerts.records import StoredChange, StoredCheckpoint
from pipeline.alerts.store import CheckpointStore
from pipeline.errors import StoreUnavailable
from pipeline.status import CheckpointState

_log = structlog.get_logger(__name__)

_TICK_S: Final = 1.0
_SAVE_EVERY: Final = 5
"""Ticks from one saving of what was heard to the next."""


class Watch:
    """Watches over checkpoints; lives in the service's event loop.

    Args:
        store: where what is known outlives the service.
        feed: told of changes.
        presence: told of reports and hits by whoever takes them.
        tick_s: how often it is looked who has gone silent.
    """

    def __init__(
        self,
        store: CheckpointStore,
        feed: AlertFeed,
        presence: Presence,
        tick_s: float = _TICK_S,
    ) -> None:
        self.presence = presence
        self._store = store
        self._feed = feed
        self._tick_s = tick_s
        self._restored_from = ""
        self._ticks = 0

    async def run(self) -> None:
        """Watch until cancelled, through every loss of the store."""
        while True:
            try:
                await self._look()
            except StoreUnavailable:  # the feed itself tells of it
                pass
            except Exception:
                _log.exception("the watch over checkpoints failed; it goes on")
            await asyncio.sleep(self._tick_s)

    async def _look(self) -> None:
        feed, presence = self._feed, self.presence
        if feed.problem is not None:
            return
        if self._restored_from != feed.id:
            presence.restore(await feed.call(self._store.checkpoints))
            self._restored_from = feed.id
        changes = presence.changes()
        if changes:
            await self._tell(changes)
        self._ticks += 1
        if self._ticks % _SAVE_EVERY == 0 and (heard := presence.unsaved()):
            await feed.call(self._store.note, heard)

    async def _tell(self, changes: Sequence[StoredCheckpoint]) -> None:
        for change in changes:
            async with self._feed.storing:
                sequence = await self._feed.call(self._store.change, change)
                if sequence is not None:
                    told = StoredChange(sequence, change.name, change.status)
                    self._feed.extend([feed_event(told)])
            if sequence is None:  # another service knows better
                self._restored_from = ""
                continue
            self.presence.told(change)
            if change.state == CheckpointState.SILENT:
                seen = pb.CheckpointStatus.FromString(change.status).last_seen_at
                last = seen.ToJsonString() if change.seen_us else "never"
                _log.warning("checkpoint silent", checkpoint=change.name, last_heard=last)
            else:
                _log.info("checkpoint online", checkpoint=change.name)
