"""Which checkpoints are online and which are silent, with a clock that is moved by hand."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.presence import MOST_CHECKPOINTS, Presence
from pipeline.alerts.records import StoredCheckpoint
from pipeline.clock import ManualClock
from pipeline.convert_status import status_from_pb
from pipeline.status import CheckpointState, CheckpointStatus


def presence(clock: ManualClock, *expected: str) -> Presence:
    made = Presence(expected, 60, clock)
    made.restore([])
    return made


def report(name: str, clock: ManualClock, ahead_s: float = 0) -> pb.CheckpointReport:
    stamp = Timestamp()
    stamp.FromDatetime(clock.now() + timedelta(seconds=ahead_s))
    return pb.CheckpointReport(checkpoint=name, reported_at=stamp, waiting_hits=3)


def hit(name: str, clock: ManualClock, ago_s: float) -> pb.Hit:
    stamp = Timestamp()
    stamp.FromDatetime(clock.now() - timedelta(seconds=ago_s))
    return pb.Hit(checkpoint=name, occurred_at=stamp)


def tell(watched: Presence) -> list[tuple[str, str]]:
    """Put all changes into a feed, as the watch does."""
    changes = watched.changes()
    for change in changes:
        watched.told(change)
    return [(change.name, change.state) for change in changes]


def of(watched: Presence, name: str) -> CheckpointStatus:
    found = {status.checkpoint: status_from_pb(status) for status in watched.statuses()}
    return found[name]


def test_a_checkpoint_is_online_once_heard_of_and_silent_when_it_is_not() -> None:
    clock = ManualClock()
    watched = presence(clock)
    watched.report(report("north", clock))
    assert tell(watched) == [("north", "online")]
    assert tell(watched) == []
    for _ in range(5):
        clock.advance(50)
        watched.report(report("north", clock))
        assert tell(watched) == []
    last_seen = clock.now()
    clock.advance(59)
    assert tell(watched) == []
    clock.advance(1)
    assert tell(watched) == [("north", "silent")]
    status = of(watched, "north")
    assert status.state is CheckpointState.SILENT
    assert status.last_seen_at == last_seen
    assert status.since == clock.now()
    assert tell(watched) == []
    clock.advance(1000)
    watched.report(report("north", clock))
    assert tell(watched) == [("north", "online")]


def test_an_expected_one_that_never_reports_goes_silent_too() -> None:
    clock = ManualClock()
    watched = presence(clock, "north", "south")
    watched.report(report("south", clock))
    assert of(watched, "north").state is CheckpointState.EXPECTED
    assert tell(watched) == [("south", "online")]
    clock.advance(60)
    watched.report(report("south", clock))
    assert tell(watched) == [("north", "silent")]
    assert of(watched, "north").last_seen_at is None


def test_hits_count_as_being_heard_of_and_tell_the_lag() -> None:
    clock = ManualClock()
    watched = presence(clock, "north")
    watched.hit(hit("north", clock, ago_s=3))
    watched.hit(hit("stranger", clock, ago_s=3))
    assert tell(watched) == [("north", "online")]
    assert of(watched, "north").lag_s == 3
    assert [status.checkpoint for status in watched.statuses()] == ["north"]


def test_a_wrong_clock_is_told_and_taken_out_of_the_lag() -> None:
    clock = ManualClock()
    watched = presence(clock)
    watched.report(report("north", clock, ahead_s=100))
    assert of(watched, "north").clock_ahead_s == 100
    watched.hit(hit("north", clock, ago_s=-98))  # two seconds ago, by a clock 100 s ahead
    assert of(watched, "north").lag_s == 2


def test_after_a_restart_nobody_is_silent_before_there_was_time_to_report() -> None:
    clock = ManualClock()
    before = presence(clock)
    before.report(report("north", clock))
    before.report(report("south", clock))
    tell(before)
    stored = [
        StoredCheckpoint(status.checkpoint, "online", 1, status.SerializeToString())
        for status in before.statuses()
    ]
    clock.advance(7200)  # the service was down
    after = Presence((), 60, clock)
    after.restore(stored)
    assert tell(after) == []
    assert of(after, "north").report is not None
    clock.advance(30)
    after.report(report("north", clock))
    assert tell(after) == []
    clock.advance(30)
    assert tell(after) == [("south", "silent")]


def test_what_another_service_hears_counts_here() -> None:
    clock = ManualClock()
    watched = presence(clock)
    watched.report(report("north", clock))
    tell(watched)
    clock.advance(60)
    (change,) = watched.changes()
    seen_us = int(clock.now().timestamp() * 1e6)
    status = pb.CheckpointStatus.FromString(change.status).SerializeToString()
    watched.restore([StoredCheckpoint("north", "online", seen_us, status)])
    assert tell(watched) == []
    clock.advance(60)
    assert tell(watched) == [("north", "silent")]


def test_a_feed_that_was_replaced_is_told_everything_again() -> None:
    clock = ManualClock()
    watched = presence(clock)
    watched.report(report("north", clock))
    tell(watched)
    watched.restore([])
    assert tell(watched) == [("north", "online")]


def test_what_was_heard_is_saved_once() -> None:
    clock = ManualClock()
    watched = presence(clock, "north")
    assert watched.unsaved() == []
    watched.report(report("north", clock))
    (saved,) = watched.unsaved()
    assert saved.seen_us == int(clock.now().timestamp() * 1e6)
    assert pb.CheckpointStatus.FromString(saved.status).report.waiting_hits == 3
    assert watched.unsaved() == []


def test_names_without_end_find_an_end() -> None:
    clock = ManualClock()
    watched = presence(clock)
    for number in range(MOST_CHECKPOINTS):
        watched.report(report(f"n{number}", clock))
    assert not watched.has_room("one more")
    assert watched.has_room("n7")
