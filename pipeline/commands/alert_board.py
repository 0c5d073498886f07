"""The alerts that an operator's screen shows, in the console's order; no terminal in here.

As on the page: urgent alerts stay on top until somebody decides, the most urgent first; below them
is everything else, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.alerts.client import LinkState
from pipeline.status import CheckpointState, CheckpointStatus
from pipeline.types import Alert, ReviewState

PINNED_PRIORITY: Final = 2
"""Alerts this urgent stay on top until somebody decides; as in the console's ``feed.js``."""

_MOST: Final = 2_000
"""Alerts that are kept beside the pinned ones; older ones are asked for with ``alerts list``."""


def is_pinned(alert: Alert) -> bool:
    """Whether an alert stays on top: urgent, not decided, not taken back."""
    return (
        alert.hit.entry.priority <= PINNED_PRIORITY
        and alert.review is ReviewState.UNVERIFIED
        and not alert.hit.retracted
    )


@dataclass(frozen=True, slots=True)
class Link:
    """How the connection stands; ``lost_at`` and ``problem`` are None while it is there."""

    lost_at: datetime | None = None
    problem: str | None = None
    replaced_at: datetime | None = None
    """When the service came back with another store."""


class Board:
    """What is known of alerts, checkpoints and the connection. One thread owns it."""

    def __init__(self, alerts: Iterable[Alert] = ()) -> None:
        self._alerts = {alert.id: alert for alert in alerts}
        self._silent: dict[str, CheckpointStatus] = {}
        self.link = Link()

    def take(self, alert: Alert) -> None:
        """An alert, or what has become of one: the feed tells it in order."""
        self._alerts[alert.id] = alert
        if len(self._alerts) > 2 * _MOST:
            for old in self.others()[_MOST:]:
                del self._alerts[old.id]

    def checkpoint(self, status: CheckpointStatus) -> None:
        """A checkpoint has gone silent or is back."""
        self._silent.pop(status.checkpoint, None)
        if status.state is CheckpointState.SILENT:
            self._silent[status.checkpoint] = status

    def link_is(self, state: LinkState, problem: str, now: datetime) -> None:
        """How the connection stands from ``now`` on; a replaced feed empties the board."""
        before = self.link
        if state is LinkState.LIVE:
            self.link = Link(replaced_at=before.replaced_at)
        elif state is LinkState.LOST:
            self.link = Link(before.lost_at or now, problem, before.replaced_at)
        else:
            self._alerts.clear()
            self._silent.clear()
            self.link = Link(before.lost_at, before.problem, now)

    def pinned(self) -> list[Alert]:
        """What waits for a decision, the most urgent first, then the newest."""
        found = self._newest_first(filter(is_pinned, self._alerts.values()))
        return sorted(found, key=lambda alert: alert.hit.entry.priority)

    def others(self) -> list[Alert]:
        """Everything else, the newest first; a decision moves nothing."""
        return self._newest_first(one for one in self._alerts.values() if not is_pinned(one))

    def silent(self) -> list[CheckpointStatus]:
        """Checkpoints that are not heard of, by name."""
        return [self._silent[name] for name in sorted(self._silent)]

    @staticmethod
    def _newest_first(alerts: Iterable[Alert]) -> list[Alert]:
        return sorted(alerts, key=lambda alert: alert.received_at, reverse=True)
