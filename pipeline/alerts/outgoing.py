"""What a publisher sends next.

In the order in which the hits were put, unless the most urgent ones shall go first: then, of what
waits after a time without a link, hits of that priority are sent before all others and the newest
of them before the older. Revisions of one hit keep their order among themselves.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from pipeline.outbox import Outbox, WaitingHit

_READ_HITS: Final = 32


class Outgoing:
    """The waiting hits of one outbox, each once, for one connection.

    Args:
        outbox: read in small portions, so that a long queue stays on the disk.
        urgent_priority: hits of this priority, or more urgent, go first; 0: none does.
    """

    def __init__(self, outbox: Outbox, urgent_priority: int = 0) -> None:
        self._outbox = outbox
        self._urgent_priority = urgent_priority
        self._begin()

    def _begin(self) -> None:
        self._generation = self._outbox.generation
        self._row = 0
        self._urgent_row = 0
        self._urgent: OrderedDict[str, list[int]] = OrderedDict()  # rows by hit, newest hit last
        self._first: deque[WaitingHit] = deque()  # of the newest urgent hit
        self._ready: deque[WaitingHit] = deque()

    def next(self) -> WaitingHit | None:
        """The next hit to send; None while there is none that was not given out before.

        Raises:
            OutboxError: the outbox cannot be read.
        """
        if self._generation != self._outbox.generation:  # made anew: its rows have other numbers
            self._begin()
        if self._urgent_priority:
            self._look_for_urgent()
        while self._urgent and not self._first:
            _, rows = self._urgent.popitem()
            self._first.extend(self._outbox.rows(rows))
        if self._first:
            return self._first.popleft()
        if not self._ready:
            found = self._outbox.pending(_READ_HITS, self._row, self._urgent_priority)
            self._ready.extend(found)
            if found:
                self._row = found[-1].row
        return self._ready.popleft() if self._ready else None

    def _look_for_urgent(self) -> None:
        for row, hit_id in self._outbox.urgent(self._urgent_priority, self._urgent_row):
            self._urgent.setdefault(hit_id, []).append(row)
            self._urgent.move_to_end(hit_id)
            self._urgent_row = row
