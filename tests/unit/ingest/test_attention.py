"""Attention: what is left out is counted, and nothing is left out that somebody waits for."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attention import KNOWN, LIGHT, OVERLOAD, STILL, Attention, Attentions
from pipeline.config import CameraSettings, SavingSettings
from pipeline.mailbox import STALE, MailboxCounts, Mailboxes
from pipeline.motion import Luma
from pipeline.types import Frame, Present

START = datetime(2026, 1, 1, tzinfo=UTC)
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


class Queue:
    """What waits in a camera's mailbox, and what was lost there."""

    def __init__(self, inside: int = 0) -> None:
        self.inside, self.lost = inside, 0

    def __call__(self) -> MailboxCounts:
        return MailboxCounts(0, 0, self.inside, {STALE: self.lost})


def test_no_frame_is_passed_on_while_the_one_before_waits_and_each_is_counted() -> None:
    queue = Queue()
    attention = Attention(OFF, 1.2, mailbox=queue)
    assert attention.wants(ROAD, 0.0)
    queue.inside = 1
    assert not attention.wants(ROAD, 0.2)
    assert not attention.wants(ROAD, 0.4)
    queue.inside = 0  # the machine has taken it
    assert attention.wants(ROAD, 0.6)
    assert attention.dropped[OVERLOAD] == 2


@pytest.mark.parametrize(
    ("sample_fps", "allowed", "most"), [(2, None, 1), (5, None, 1), (25, None, 5), (5, 3, 3)]
)
def test_of_a_camera_a_fifth_of_a_second_may_wait_or_what_is_allowed(
    sample_fps: float, allowed: int | None, most: int
) -> None:
    camera = CameraSettings(name="gate", source="rtsp://gate/1", sample_fps=sample_fps)
    boxes = Mailboxes(["gate"], capacity=10)
    attention = Attentions(OFF, 1.2, None, boxes, allowed).of(camera)
    passed_on = 0
    while attention.wants(ROAD, 0.2 * passed_on):
        boxes.put(Frame("gate", passed_on, START, 0.0, 0.0, ROAD, live=True))
        passed_on += 1
    assert passed_on == most


def test_time_in_which_a_vehicle_could_be_overlooked_is_counted() -> None:
    queue = Queue()
    attention = Attention(OFF, 1.2, mailbox=queue)
    attention.tell(Present(0, 0, 0), 0.0)
    attention.tell(Present(0, 0, 0), 5.0)  # nothing was lost: nothing was there to be looked at
    assert attention.overlooked_s == 0
    attention.missed()
    attention.tell(Present(0, 0, 0), 5.8)  # lost, but too short a time for a vehicle to pass
    assert attention.overlooked_s == 0
    queue.lost = 1  # a frame grew too old while it waited
    attention.tell(Present(0, 0, 0), 7.3)
    assert attention.overlooked_s == 1.5
    attention.tell(Present(0, 0, 0), 9.3)
    assert attention.overlooked_s == 1.5


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=200))
def test_every_frame_is_wanted_or_counted(waiting: list[int]) -> None:
    queue = Queue()
    attention = Attention(SavingSettings(), 1.2, mailbox=queue)
    wanted = 0
    for n, queue.inside in enumerate(waiting):
        wanted += attention.wants(ROAD, 0.2 * n)
    assert wanted + attention.dropped[OVERLOAD] + attention.skipped[STILL] == len(waiting)
    assert wanted >= min(1, waiting.count(0))


def test_a_camera_may_have_savings_of_its_own_and_a_file_read_once_has_no_gate() -> None:
    camera = CameraSettings(name="gate", source="a.mp4", savings=OFF)
    boxes = Mailboxes(["gate"])
    own = Attentions(SavingSettings(), 1.2, 640, boxes).of(camera)
    assert all(play(own, 30))
    other = CameraSettings(name="yard", source="b.mp4")
    once = Attentions(SavingSettings(), 1.2, 640).of(other)
    assert all(play(once, 30))
    assert once.small_side == 640
    coarse = SavingSettings(skip_deblocking=True)
    assert not Attentions(coarse, 1.2, 640, boxes).of(other).deblocks
    assert Attentions(coarse, 1.2, 640).of(other).deblocks
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
