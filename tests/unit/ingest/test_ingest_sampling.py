from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sampling import MediaClock, Sampler


def media_times(pts: list[float | None], step_s: float = 0.04, gap_s: float = 1e9) -> list[float]:
    clock = MediaClock(step_s, gap_s)
    return [clock.at(value) for value in pts]


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        ([0.0, 0.04, 0.08], [0.0, 0.04, 0.08]),
        ([17.5, 17.54, 17.60], [0.0, 0.04, 0.10]),  # does not start at 0
        ([-0.08, -0.04, 0.0], [0.0, 0.04, 0.08]),  # starts before 0
        ([None, 3600.0, 3600.04], [0.0, 0.04, 0.08]),  # the first is missing
        ([None, None, None], [0.0, 0.04, 0.08]),  # all are missing
        ([1.0, None, 1.08], [0.0, 0.04, 0.08]),
        ([5.0, 5.04, 5.02, 5.08], [0.0, 0.04, 0.04, 0.08]),  # a small step back is held
        ([90.0, 90.04, 0.0, 0.04], [0.0, 0.04, 0.08, 0.12]),  # a second file was joined on
        ([0.0, 3.0], [0.0, 3.0]),  # a variable frame rate may pause
    ],
)
def test_media_time_starts_at_zero_and_goes_on(
    pts: list[float | None], expected: list[float]
) -> None:
    assert media_times(pts) == pytest.approx(expected)


def test_a_live_jump_ahead_is_a_new_origin() -> None:
    assert media_times([0.0, 0.04, 5000.0, 5000.04], gap_s=10) == pytest.approx(
        [0.0, 0.04, 0.08, 0.12]
    )


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=60))
def test_media_time_never_goes_back(pts: list[float | None]) -> None:
    times = media_times(pts)
    assert times == sorted(times)
    assert not times or times[0] == 0.0


@pytest.mark.parametrize(("fps", "sample_fps"), [(25, 5), (30, 5), (29.97, 5), (50, 10), (25, 25)])
def test_constant_rates_are_sampled_evenly(fps: float, sample_fps: float) -> None:
    sampler = Sampler(sample_fps)
    taken = [n / fps for n in range(round(fps * 20)) if sampler.takes(round(n / fps, 3))]
    assert len(taken) == pytest.approx(20 * sample_fps, abs=1)
    gaps = [b - a for a, b in pairwise(taken)]
    assert max(gaps) <= 1 / sample_fps + 1.5 / fps


def test_a_slow_camera_gives_every_frame() -> None:
    sampler = Sampler(5)
    assert all(sampler.takes(n * 0.5) for n in range(20))


@settings(deadline=None)
@given(st.lists(st.floats(0, 2), max_size=100), st.floats(0.5, 30))
def test_never_more_than_one_frame_in_a_slot(gaps: list[float], fps: float) -> None:
    sampler, now, taken = Sampler(fps), 0.0, 0
    for gap in gaps:
        now += gap
        taken += sampler.takes(now)
    assert taken <= now * fps + 2
    assert taken >= min(1, len(gaps))
