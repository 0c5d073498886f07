"""Attention: what is left out is counted, and nothing is left out that somebody waits for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attention import KNOWN, LIGHT, OVERLOAD, STILL, Attention, Attentions
from pipeline.config import CameraSettings, SavingSettings
from pipeline.motion import Luma
from pipeline.types import Present

ROAD: Luma = np.random.default_rng(1).integers(60, 160, (270, 480)).astype(np.uint8)
OFF = SavingSettings(motion_gate=False, light_decoding=False)


def play(attention: Attention, frames: int, first: int = 0, luma: Luma | None = ROAD) -> list[bool]:
    return [attention.wants(luma, 0.2 * (first + n)) for n in range(frames)]


def test_a_still_road_is_looked_at_once_a_second_and_the_rest_is_counted() -> None:
    attention = Attention(SavingSettings(), 1.2)
    wanted = play(attention, 100)
    assert sum(wanted[10:]) in (17, 18, 19)
    assert attention.skipped == {STILL: wanted.count(False), KNOWN: 0, LIGHT: 0}
    assert attention.dropped[OVERLOAD] == 0


def test_a_vehicle_that_is_not_read_yet_has_every_frame() -> None:
    attention = Attention(SavingSettings(), 1.2)
    play(attention, 20)
    attention.tell(Present(1, 1, 1), 0.0)
    assert all(play(attention, 20, first=20))
    attention.tell(Present(1, 0, 0), 0.0)
    assert not all(play(attention, 20, first=40))


def test_while_all_in_view_are_known_there_are_five_looks_in_two_seconds() -> None:
    attention = Attention(SavingSettings(motion_gate=False), 1.2)
    attention.tell(Present(2, 0, 1), 0.0)
    assert all(play(attention, 10))
    attention.tell(Present(2, 0, 0), 2.0)
    wanted = play(attention, 10, first=10)
    assert wanted == [False, True] * 5
    assert attention.skipped[KNOWN] == 5
    attention.tell(Present(3, 1, 1), 4.0)  # one more has come into view
    assert all(play(attention, 10, first=20))
    attention.tell(Present(), 6.0)
    assert all(play(attention, 10, first=30))


def test_looks_are_not_eased_where_that_is_off_or_time_begins_anew() -> None:
    off = Attention(SavingSettings(motion_gate=False, ease_known=False), 1.2)
    off.tell(Present(1, 0, 0), 0.0)
    assert all(play(off, 10))
    again = Attention(SavingSettings(motion_gate=False), 1.2)
    assert again.wants(None, 100.0)
    again.tell(Present(1, 0, 0), 100.0)
    assert again.wants(None, 0.0)  # the clip plays from its beginning


@settings(deadline=None)
@given(st.floats(0.3, 5.0))
def test_a_standing_vehicle_is_seen_before_it_would_count_as_gone(close_after_s: float) -> None:
    attention = Attention(SavingSettings(), close_after_s)
    play(attention, 20)
    attention.tell(Present(1, 0, 0), 0.0)
    wanted = play(attention, 60, first=20)
    looks = np.flatnonzero(wanted) * 0.2
    assert np.diff(looks).max() < max(close_after_s, 0.2 + 1e-9)


def test_without_the_gate_everything_is_wanted_and_decoded() -> None:
    attention = Attention(OFF, 1.2)
    assert all(play(attention, 50))
    assert not attention.light


def test_pictures_without_a_luma_plane_are_wanted() -> None:
    attention = Attention(SavingSettings(), 1.2)
    assert all(play(attention, 50, luma=None))


def test_decoding_is_light_only_while_the_lane_is_empty() -> None:
    attention = Attention(SavingSettings(), 1.2)
    assert not attention.light
    play(attention, 20)
    assert attention.light
    attention.tell(Present(1, 0, 0), 0.0)
    assert not attention.light
    attention.tell(Present(0, 0, 0), 0.0)
    assert attention.light
    moved = ROAD.copy()
    moved[100:200, 100:250] = 250
    assert attention.wants(moved, 4.2)
    assert not attention.light


def test_decoding_is_never_light_without_the_gate() -> None:
    attention = Attention(SavingSettings(motion_gate=False), 1.2)
    play(attention, 50)
    assert not attention.light


def test_overload_thins_out_evenly_and_is_counted() -> None:
    attention = Attention(OFF, 1.2)
    wanted: list[bool] = []
    for n in range(400):
        wanted.append(attention.wants(ROAD, 0.2 * n))
        if wanted[-1]:
            attention.passed_on(1 if n % 2 else 0, 0)  # every other frame finds one waiting
    assert attention.dropped[OVERLOAD] == wanted.count(False)
    assert 0.2 < attention.share < 0.7
    gaps = np.diff(np.flatnonzero(wanted[200:]))
    assert np.abs(np.diff(gaps)).max() <= 3


def test_the_rate_comes_back_when_the_load_goes() -> None:
    attention = Attention(OFF, 1.2)
    for n in range(200):
        if attention.wants(ROAD, 0.2 * n):
            attention.passed_on(2, 0)
    assert attention.share == 0.05
    for n in range(200, 500):
        if attention.wants(ROAD, 0.2 * n):
            attention.passed_on(0, 0)
    assert attention.share == 1.0


def test_time_in_which_a_vehicle_could_be_overlooked_is_counted() -> None:
    attention = Attention(OFF, 1.2)
    attention.tell(Present(0, 0, 0), 0.0)
    attention.tell(Present(0, 0, 0), 5.0)  # nothing was lost: nothing was there to be looked at
    assert attention.overlooked_s == 0
    attention.missed()
    attention.tell(Present(0, 0, 0), 5.8)  # lost, but too short a time for a vehicle to pass
    assert attention.overlooked_s == 0
    attention.passed_on(2, 1)  # a newer one took a frame's place in the mailbox
    attention.tell(Present(0, 0, 0), 7.3)
    assert attention.overlooked_s == 1.5
    attention.passed_on(2, 1)
    attention.tell(Present(0, 0, 0), 9.3)
    assert attention.overlooked_s == 1.5


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_every_frame_is_wanted_or_counted(waiting: list[int]) -> None:
    attention = Attention(SavingSettings(), 1.2)
    wanted = 0
    for n, depth in enumerate(waiting):
        if attention.wants(ROAD, 0.2 * n):
            wanted += 1
            attention.passed_on(depth, 0)
    assert wanted + attention.dropped[OVERLOAD] + attention.skipped[STILL] == len(waiting)
    assert wanted >= 1


def test_a_camera_may_have_savings_of_its_own_and_a_file_read_once_has_no_gate() -> None:
    camera = CameraSettings(name="gate", source="a.mp4", savings=OFF)
    own = Attentions(SavingSettings(), 1.2, 640).of(camera)
    assert all(play(own, 30))
    other = CameraSettings(name="yard", source="b.mp4")
    once = Attentions(SavingSettings(), 1.2, 640, everything=True).of(other)
    assert all(play(once, 30))
    assert once.small_side == 640
    without = SavingSettings(scale_planes=False)
    assert Attentions(without, 1.2, 640).of(other).small_side is None


def test_a_camera_that_is_gone_can_be_told_of() -> None:
    attentions = Attentions(SavingSettings(), 1.2, None)
    camera = CameraSettings(name="gate", source="a.mp4")
    first = attentions.of(camera)
    assert attentions.of(camera) is first
    attentions.forget("gate")
    attentions.tell("gate", Present(1, 1, 1), 0.0)
    assert attentions.of(camera) is not first
