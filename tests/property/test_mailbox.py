"""Mailboxes: nothing is lost uncounted, nothing overtakes within a camera, nobody starves."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.clock import ManualClock
from pipeline.mailbox import MAILBOX, STALE, Mailboxes
from pipeline.types import Frame

CAMERAS = ("east", "north", "west")
PICTURE = np.zeros((2, 2, 3), np.uint8)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
CAPACITY, STALENESS_S = 3, 2.0


def frame(camera: str, sequence: int, *, arrived_s: float = 0.0, live: bool = True) -> Frame:
    return Frame(camera, sequence, MOMENT, sequence * 0.2, arrived_s, PICTURE, live)


class MailboxMachine(RuleBasedStateMachine):
    """Any order of puts, takes, waits and closings, against plain books kept beside."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.boxes = Mailboxes(
            CAMERAS, capacity=CAPACITY, staleness_s=STALENESS_S, clock=self.clock
        )
        self.put: dict[str, list[int]] = defaultdict(list)
        self.taken: dict[str, list[int]] = defaultdict(list)
        self.closed: set[str] = set()
        self.sequence = 0

    @rule(camera=st.sampled_from(CAMERAS), live=st.booleans())
    def put_one(self, camera: str, live: bool) -> None:
        full = self.boxes.depth(camera) >= CAPACITY
        if full and not live and camera not in self.closed:
            return  # it would wait
        self.sequence += 1
        arrived_s = self.clock.monotonic()
        accepted = self.boxes.put(frame(camera, self.sequence, arrived_s=arrived_s, live=live))
        assert accepted == (camera not in self.closed)
        if accepted:
            self.put[camera].append(self.sequence)

    @rule(count=st.integers(1, 10))
    def take(self, count: int) -> None:
        waiting = self.boxes.depth()
        frames = self.boxes.take(count, 0.0, wait_s=0.0)
        assert len(frames) <= count
        counts = self.boxes.counts()
        assert len(frames) == count or counts.inside == 0
        assert len(frames) <= waiting
        for one in frames:
            self.taken[one.camera].append(one.sequence)
            if one.live:
                assert self.clock.monotonic() - one.arrived_s <= STALENESS_S

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0)))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: len(self.closed) < len(CAMERAS))
    @rule(camera=st.sampled_from(CAMERAS))
    def close(self, camera: str) -> None:
        self.boxes.close(camera)
        self.closed.add(camera)

    @invariant()
    def the_books_balance(self) -> None:
        for camera in CAMERAS:
            counts = self.boxes.counts(camera)
            assert counts.put == len(self.put[camera])
            assert counts.taken == len(self.taken[camera])
            assert counts.put == counts.taken + counts.inside + sum(counts.dropped.values())
            assert counts.inside == self.boxes.depth(camera) <= CAPACITY
        total = self.boxes.counts()
        assert total.put == sum(len(put) for put in self.put.values())
        assert total.inside == self.boxes.depth()

    @invariant()
    def order_is_kept_and_nothing_comes_twice(self) -> None:
        for camera in CAMERAS:
            assert all(a < b for a, b in pairwise(self.taken[camera]))
            assert set(self.taken[camera]) <= set(self.put[camera])

    @invariant()
    def drained_is_closed_and_empty(self) -> None:
        empty = self.boxes.depth() == 0
        assert self.boxes.drained == (empty and len(self.closed) == len(CAMERAS))
        assert empty or self.boxes.oldest_age_s() >= 0


TestMailboxMachine = MailboxMachine.TestCase
TestMailboxMachine.settings = settings(deadline=None)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 6))
def test_the_newest_live_frames_win(count: int, capacity: int) -> None:
    boxes = Mailboxes(["east"], capacity=capacity, staleness_s=1e9)
    for sequence in range(count):
        assert boxes.put(frame("east", sequence))
    expected = list(range(count))[-capacity:]
    assert [one.sequence for one in boxes.take(100, 0)] == expected
    assert boxes.counts("east").dropped == {MAILBOX: count - len(expected), STALE: 0}


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=5), st.integers(1, 8))
def test_cameras_are_served_in_turns(waiting: list[int], size: int) -> None:
    names = [f"camera{number}" for number in range(len(waiting))]
    boxes = Mailboxes(names, capacity=10, staleness_s=1e9)
    for name, count in zip(names, waiting, strict=True):
        for sequence in range(count):
            boxes.put(frame(name, sequence))
    served: dict[str, int] = dict.fromkeys(names, 0)
    left = dict(zip(names, waiting, strict=True))
    while batch := boxes.take(size, 0, wait_s=0):
        for one in batch:
            served[one.camera] += 1
            left[one.camera] -= 1
        unserved = [served[name] for name in names if left[name]]
        if unserved:  # a camera with frames left is at most one turn behind any other
            assert min(unserved) >= max(served.values()) - 1


def test_a_stale_live_frame_is_dropped_and_a_files_is_not() -> None:
    clock = ManualClock()
    boxes = Mailboxes(["east", "west"], staleness_s=2.0, clock=clock)
    boxes.put(frame("east", 0, arrived_s=clock.monotonic()))
    boxes.put(frame("west", 0, arrived_s=clock.monotonic(), live=False))
    clock.advance(1.5)
    boxes.put(frame("east", 1, arrived_s=clock.monotonic()))
    clock.advance(1.0)
    assert boxes.oldest_age_s() == pytest.approx(2.5)
    taken = [(one.camera, one.sequence) for one in boxes.take(10, 0)]
    assert sorted(taken) == [("east", 1), ("west", 0)]
    assert boxes.counts("east").dropped[STALE] == 1


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(0, 60), st.integers(1, 16))
def test_files_wait_and_lose_nothing(capacity: int, count: int, size: int) -> None:
    boxes = Mailboxes(CAMERAS, capacity=capacity)

    def feed(camera: str) -> None:
        for sequence in range(count):
            assert boxes.put(frame(camera, sequence, live=False))
        boxes.close(camera)

    feeders = [threading.Thread(target=feed, args=(camera,)) for camera in CAMERAS]
    for feeder in feeders:
        feeder.start()
    got: dict[str, list[int]] = defaultdict(list)
    while frames := boxes.take(size, 0.05):
        assert len(frames) <= size
        for one in frames:
            got[one.camera].append(one.sequence)
    for feeder in feeders:
        feeder.join(90)
    assert boxes.drained
    assert all(got[camera] == list(range(count)) for camera in CAMERAS)


def test_a_batch_larger_than_the_mailbox_fills_without_waiting_for_the_deadline() -> None:
    boxes = Mailboxes(["east"], capacity=2)
    feeder = threading.Thread(
        target=lambda: [boxes.put(frame("east", number, live=False)) for number in range(8)]
    )
    feeder.start()
    started = time.monotonic()
    assert len(boxes.take(8, 60.0)) == 8
    assert time.monotonic() - started < 50
    feeder.join(90)


def test_a_batch_closes_at_its_deadline() -> None:
    boxes = Mailboxes(["east"])
    boxes.put(frame("east", 0, live=False))
    started = time.monotonic()
    assert len(boxes.take(8, 0.1)) == 1
    assert 0.09 <= time.monotonic() - started < 90


def test_nothing_comes_within_the_wait() -> None:
    assert Mailboxes(["east"]).take(8, 0.0, wait_s=0.05) == []


@pytest.mark.parametrize("close_all", [False, True])
def test_closing_wakes_a_waiting_file(close_all: bool) -> None:
    boxes = Mailboxes(["east"], capacity=1)
    boxes.put(frame("east", 0, live=False))
    answers: list[bool] = []
    waiter = threading.Thread(
        target=lambda: answers.append(boxes.put(frame("east", 1, live=False)))
    )
    waiter.start()
    time.sleep(0.05)
    if close_all:
        boxes.close_all()
    else:
        boxes.close("east")
    waiter.join(90)
    assert answers == [False]
    assert [one.sequence for one in boxes.take(8, 0)] == [0]
    assert boxes.take(8, 60.0) == []
    assert boxes.drained


def test_closing_wakes_a_waiting_batcher() -> None:
    boxes = Mailboxes(["east"])
    threading.Timer(0.05, boxes.close_all).start()
    assert boxes.take(8, 60.0) == []


def test_an_unknown_camera_and_an_empty_mailbox_are_refused() -> None:
    with pytest.raises(KeyError):
        Mailboxes(["east"]).put(frame("south", 0))
    with pytest.raises(ValueError, match="at least one"):
        Mailboxes(["east"], capacity=0)
