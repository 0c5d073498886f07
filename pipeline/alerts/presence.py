"""Which checkpoints are heard of, and which have gone silent. Pure: the time is a parameter.

A checkpoint is heard of by its reports and its hits. One that was heard of is online; one that was
not for ``silent_after_s`` is silent, counted at the earliest from the begin of this watch: a
service that was down itself has not listened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import StoredCheckpoint
from pipeline.clock import Clock
from pipeline.convert_status import state_to_pb
from pipeline.convert_values import timestamp_from_us
from pipeline.status import CheckpointState

MOST_CHECKPOINTS: Final = 10_000
"""That are kept in mind, whatever names are reported."""


@dataclass(slots=True)
class _Known:
    """One checkpoint. ``heard_s``: by the monotonic clock, None: not in this watch."""

    status: pb.CheckpointStatus
    seen_us: int = 0
    heard_s: float | None = None
    state: CheckpointState = CheckpointState.EXPECTED
    unsaved: bool = field(default=False)


class Presence:
    """What is known of every checkpoint.

    Args:
        expected: names of those that are configured; one that never reports goes silent too.
        silent_after_s: so long unheard is silent.
    """

    def __init__(self, expected: Iterable[str], silent_after_s: float, clock: Clock) -> None:
        self._clock = clock
        self._silent_after_s = silent_after_s
        self._began_s = clock.monotonic()
        self._known: dict[str, _Known] = {}
        self._restored = False
        for name in expected:
            self._of(name)

    def restore(self, stored: Iterable[StoredCheckpoint]) -> None:
        """Take up what the store knows; what it does not know counts as not told yet."""
        by_name = {one.name: one for one in stored}
        for name in {*by_name, *self._known}:
            known, found = self._of(name), by_name.get(name)
            if found is None:
                known.state, known.unsaved = CheckpointState.EXPECTED, False
                known.status.state = _number(known.state)
                continue
            known.state = CheckpointState(found.state)
            if found.seen_us > known.seen_us:
                known.status.ParseFromString(found.status)
                known.seen_us = found.seen_us
                if self._restored:  # another service has heard of it while we watched
                    ago_s = max(0.0, (self._now_us() - found.seen_us) / 1e6)
                    known.heard_s = self._clock.monotonic() - ago_s
            known.status.state = _number(known.state)
        self._restored = True

    def has_room(self, name: str) -> bool:
        """Whether this checkpoint is known, or may become so."""
        return name in self._known or len(self._known) < MOST_CHECKPOINTS

    def report(self, report: pb.CheckpointReport) -> None:
        """A checkpoint has said how it is."""
        known = self._heard(report.checkpoint)
        known.status.report.CopyFrom(report)
        said_us = report.reported_at.ToMicroseconds()
        known.status.clock_ahead_s = round((said_us - known.seen_us) / 1e6, 3)

    def hit(self, hit: pb.Hit) -> None:
        """A hit of a checkpoint was stored just now; of one that is known, it is heard of.

        One that has never reported, and is not expected, is not watched over either.
        """
        if hit.checkpoint not in self._known:
            return
        known = self._heard(hit.checkpoint)
        under_way_s = (known.seen_us - hit.occurred_at.ToMicroseconds()) / 1e6
        known.status.lag_s = round(max(0.0, under_way_s + known.status.clock_ahead_s), 3)

    def changes(self) -> list[StoredCheckpoint]:
        """Checkpoints whose state is now another than was told, as they are to be told."""
        now_s, changes = self._clock.monotonic(), []
        for name, known in self._known.items():
            state = self._state(known, now_s)
            if state is not known.state:
                status = pb.CheckpointStatus()
                status.CopyFrom(known.status)
                status.state = _number(state)
                status.since.CopyFrom(timestamp_from_us(self._now_us()))
                changes.append(
                    StoredCheckpoint(name, state.value, known.seen_us, status.SerializeToString())
                )
        return changes

    def told(self, change: StoredCheckpoint) -> None:
        """A change was put into the feed, by whomever."""
        known = self._of(change.name)
        known.state = CheckpointState(change.state)
        since = pb.CheckpointStatus.FromString(change.status).since
        known.status.since.CopyFrom(since)
        known.status.state = _number(known.state)

    def unsaved(self) -> list[StoredCheckpoint]:
        """What was heard since the last call and is not told as a change."""
        found = []
        for name, known in self._known.items():
            if known.unsaved:
                known.unsaved = False
                found.append(
                    StoredCheckpoint(
                        name, known.state.value, known.seen_us, known.status.SerializeToString()
                    )
                )
        return found

    def statuses(self) -> list[pb.CheckpointStatus]:
        """Every checkpoint, by name."""
        return [self._known[name].status for name in sorted(self._known)]

    def _state(self, known: _Known, now_s: float) -> CheckpointState:
        since_s = self._began_s if known.heard_s is None else known.heard_s
        if now_s - since_s >= self._silent_after_s:
            return CheckpointState.SILENT
        return known.state if known.heard_s is None else CheckpointState.ONLINE

    def _heard(self, name: str) -> _Known:
        known = self._of(name)
        known.heard_s = self._clock.monotonic()
        known.seen_us = self._now_us()
        known.status.last_seen_at.CopyFrom(timestamp_from_us(known.seen_us))
        known.unsaved = True
        return known

    def _of(self, name: str) -> _Known:
        known = self._known.get(name)
        if known is None:
            status = pb.CheckpointStatus(
                checkpoint=name,
                state=state_to_pb(CheckpointState.EXPECTED),
                since=timestamp_from_us(self._now_us()),
            )
            known = self._known[name] = _Known(status)
        return known

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _number(state: CheckpointState) -> Any:
    return pb.CheckpointState.Value(state_to_pb(state))
