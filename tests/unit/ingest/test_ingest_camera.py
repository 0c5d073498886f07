from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.camera import (
    LEGAL_CHANGES,
    Backoff,
    CameraRecord,
    CameraState,
    CameraStatus,
    Freeze,
    StopReason,
)
from pipeline.clock import ManualClock


@settings(deadline=None)
@given(st.integers(), st.floats(0.01, 5), st.floats(0.01, 60), st.integers(1, 30))
def test_backoff_stays_in_its_bounds(seed: int, initial: float, cap: float, count: int) -> None:
    backoff = Backoff(initial, cap, random.Random(seed))
    for attempt in range(count):
        step = min(initial * 2**attempt, cap)
        assert step / 2 <= backoff.next_s() <= step
    backoff.reset()
    assert backoff.next_s() <= min(initial, cap)


def test_two_cameras_do_not_knock_in_step() -> None:
    waits = {Backoff(0.5, 4, random.Random(seed)).next_s() for seed in range(20)}
    assert len(waits) == 20


def test_one_bit_of_change_is_no_freeze() -> None:
    freeze, image = Freeze(), np.zeros((64, 64, 3), np.uint8)
    assert freeze.same_for_s(image, 10.0) == 0
    assert freeze.same_for_s(image.copy(), 14.0) == 4
    noisy = image.copy()
    noisy[8, 16, 1] = 1
    assert freeze.same_for_s(noisy, 15.0) == 0
    assert freeze.same_for_s(noisy, 16.0) == 1


def test_every_state_can_stop_and_stopped_is_final() -> None:
    assert set(LEGAL_CHANGES) == set(CameraState)
    assert not LEGAL_CHANGES[CameraState.STOPPED]
    for state in set(CameraState) - {CameraState.STOPPED}:
        assert CameraState.STOPPED in LEGAL_CHANGES[state]
        assert state not in LEGAL_CHANGES[state]


@settings(deadline=None)
@given(st.lists(st.sampled_from(CameraState), max_size=30))
def test_a_record_takes_no_change_that_is_not_legal(states: list[CameraState]) -> None:
    clock = ManualClock()
    record, streams = CameraRecord("gate", "rtsp://gate/1", clock), 0
    for state in states:
        clock.advance(1.0)
        before = record.now()
        if state in LEGAL_CHANGES[before.state]:
            record.enter(state, StopReason.END if state is CameraState.STOPPED else None)
            assert record.now().since == clock.now()
            streams += state is CameraState.STREAMING
        else:
            with pytest.raises(RuntimeError, match=f"camera gate: no way from {before.state}"):
                record.enter(state)
            assert record.now() == before
    now = record.now()
    assert now.reconnects == max(0, streams - 1)
    assert (now.stop_reason is StopReason.END) == (now.state is CameraState.STOPPED)


def test_a_record_counts_what_came() -> None:
    clock = ManualClock()
    record = CameraRecord("gate", "rtsp://gate/1", clock)
    record.came(0, 1)  # broken packets are no stream yet
    assert record.state is CameraState.CONNECTING
    assert record.now().last_frame_age_s is None
    record.came(2, 0)
    record.sampled()
    record.unchanged(3.0)
    record.failed("the camera closed the connection")
    clock.advance(4.0)
    assert record.now() == CameraStatus(
        "gate",
        "rtsp://gate/1",
        CameraState.STREAMING,
        record.now().since,
        decoded=2,
        sampled=1,
        broken=1,
        unchanged_s=3.0,
        last_frame_age_s=4.0,
        last_error="the camera closed the connection",
    )
