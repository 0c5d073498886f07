from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.camera import LEGAL_CHANGES, Backoff, CameraState, Freeze


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
