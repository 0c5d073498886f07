"""Alerts whose time is over: what the sweeper asks the alert store to delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipeline.alerts.store import AlertStore
from pipeline.clock import microseconds_of


class ReviewedAlerts:
    """The reviewed alerts of one store. One that nobody has reviewed is never deleted.

    Every method raises StoreUnavailable when the store is away or refuses.
    """

    def __init__(self, store: AlertStore) -> None:
        self._store = store

    def due(self, before: datetime) -> list[tuple[str, int]]:
        """Those that were reviewed before that time: id and time of the decision."""
        return list(self._store.reviewed_before(microseconds_of(before)))

    def delete(self, due: Sequence[tuple[str, int]]) -> int:
        """Delete them with their pictures and decisions; how many those were."""
        return sum(self._store.forget(alert_id, reviewed_us) for alert_id, reviewed_us in due)
