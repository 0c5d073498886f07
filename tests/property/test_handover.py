"""Which passages are whose while a camera moves from one node to another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.handover import Boundary, Gate, InView, later
from pipeline.lookout import Lookout
from pipeline.types import Passage
from tests.support.scenes import START

CLOSE_S = 1.2
SECONDS = st.integers(0, 300).map(lambda tick: tick / 5)


def passage(start_s: float, end_s: float, plate: str | None = "京A12345") -> Passage:
    return Passage(
        id=f"{start_s}-{plate}",
        revision=0,
        camera="gate",
        lane=None,
        direction=None,
        started_at=START + timedelta(seconds=start_s),
        ended_at=START + timedelta(seconds=end_s),
        start_s=start_s,
        end_s=end_s,
        plate=plate,
        plate_class=None,
        probability=None,
        text_probabilities=(),
        char_probs=None,
        reads=0,
        vehicle_class=None,
        vehicle_colour=None,
        evidence=None,
        closed=True,
    )


def at(seconds: float) -> Boundary:
    return Boundary(at=START + timedelta(seconds=seconds))


@given(
    st.lists(st.tuples(SECONDS, st.floats(0.4, 6)), max_size=20),
    SECONDS,
    st.floats(-0.2, 0.2),
    st.floats(-0.2, 0.2),
)
def test_each_vehicle_is_told_once_where_the_lane_was_empty(
    vehicles: list[tuple[float, float]], let_go_s: float, skew_s: float, jitter_s: float
) -> None:
    """The earlier node lets go at a moment before which it has seen nobody for CLOSE_S.

    The later one sees each vehicle a little earlier or later, by another clock.
    """
    vehicles = [
        (start, start + long)
        for start, long in vehicles
        if not (start <= let_go_s and start + long > let_go_s - CLOSE_S)
    ]
    told = sum(end <= let_go_s for _, end in vehicles)
    gate = Gate(holding=True)
    seen = [passage(s + skew_s + jitter_s, e + skew_s - jitter_s) for s, e in vehicles]
    early = [one for one in seen if one.end_s <= let_go_s + 0.5]
    late = [one for one in seen if one.end_s > let_go_s + 0.5]
    assert gate.let_through(early) == []
    ours = gate.open(at(let_go_s)) + gate.let_through(late)
    assert told + len(ours) == len(vehicles)


@given(st.lists(st.tuples(SECONDS, st.floats(0.4, 6)), max_size=20), SECONDS)
def test_a_gate_loses_and_repeats_nothing(
    vehicles: list[tuple[float, float]], opened_s: float
) -> None:
    passages = [passage(start, start + long) for start, long in vehicles]
    half = len(passages) // 2
    gate = Gate(holding=True)
    assert gate.let_through(passages[:half]) == []
    given_out = gate.open(None) + gate.let_through(passages[half:])
    assert given_out == passages
    assert gate.open(at(opened_s)) == []  # the first opening counts
    assert gate.let_through(passages) == passages


@given(st.lists(st.floats(0, 60), unique=True, max_size=20), st.floats(0, 60))
def test_of_a_file_that_is_read_again_what_was_told_is_left_out(
    ends: list[float], told_s: float
) -> None:
    gate = Gate(boundary=Boundary(media_s=told_s))
    passages = [passage(max(end - 2, 0), end) for end in sorted(ends)]
    assert [p.end_s for p in gate.let_through(passages)] == [e for e in sorted(ends) if e > told_s]


def test_on_a_busy_road_the_plate_says_whose_a_vehicle_is() -> None:
    told = Boundary(
        at=START + timedelta(seconds=10),
        plates=("京A11111",),
        plates_until=START + timedelta(seconds=18),
    )
    assert not told.is_beyond(passage(9.0, 11.0, "京A11111"))  # in view when the other let go
    assert told.is_beyond(passage(9.0, 11.0, "京A22222"))  # too short in view for the other
    assert told.is_beyond(passage(9.0, 11.0, None))
    assert not told.is_beyond(passage(12.0, 13.0, "京A11111"))  # back at once: the same passage
    assert told.is_beyond(passage(19.0, 20.0, "京A11111"))


def in_view(plate: str | None, start_s: float) -> InView:
    return InView(plate, START + timedelta(seconds=start_s), start_s)


def test_who_was_told_in_view_is_known_by_plate_or_by_when_it_came() -> None:
    border = replace(at(10), in_view=(in_view("京A11111", 8.0), in_view("京A22222", 9.5)))
    gate = Gate(boundary=border)
    assert gate.let_through([passage(8.2, 12.0, "京A11111")]) == []
    assert gate.let_through([passage(9.4, 12.0, None)]) == []  # who can only be the other
    further = passage(9.6, 13.0, None)
    assert gate.let_through([further]) == [further]  # nobody is left whom it could be
    read = replace(passage(9.6, 13.0, "京A33333"), id="read otherwise")
    assert gate.let_through([read]) == [read]
    later_one = passage(20.0, 21.0, None)
    assert gate.let_through([later_one]) == [later_one]


def test_a_passage_that_is_told_stays_told_whatever_it_turns_out_to_be() -> None:
    border = replace(at(10), plates=("京A11111",), plates_until=START + timedelta(seconds=18))
    gate = Gate(boundary=border)
    first = replace(passage(9.0, 12.0, "京A77777"), closed=False)
    amended = replace(first, plate="京A11111", revision=1)
    assert gate.let_through([first, amended]) == [first, amended]


def test_of_a_file_who_was_told_in_view_is_known_by_its_place_in_it() -> None:
    gate = Gate(boundary=Boundary(media_s=10.0, in_view=(in_view("京A11111", 8.0),)))
    assert gate.let_through([passage(8.0, 12.0, "京A11111")]) == []
    again = passage(30.0, 32.0, "京A11111")  # the same vehicle drives past once more
    assert gate.let_through([again]) == [again]


@given(st.lists(SECONDS, min_size=1), st.lists(SECONDS, min_size=1))
def test_the_later_of_two_borders_forgets_nothing(some: list[float], others: list[float]) -> None:
    one = replace(at(max(some)), in_view=tuple(in_view(None, start) for start in some))
    other = Boundary(media_s=3.0, in_view=tuple(in_view(None, start) for start in others))
    both = later(one, other)
    assert both == later(both, one) == later(both, None)
    assert (both.at, both.media_s) == (one.at, 3.0)
    assert {*one.in_view, *other.in_view} == set(both.in_view)


def test_a_look_out_wants_a_quiet_in_which_both_have_looked() -> None:
    lookout = Lookout(CLOSE_S)
    heir_since = START + timedelta(seconds=3)
    for tick in range(30):
        at_s = tick / 5
        lookout.note(START + timedelta(seconds=at_s), at_s, not 1.0 <= at_s <= 1.6)
        # 1.8 s is the first empty frame; alone it would do from 3.0 s on, with the other from 4.2 s
        alone = at_s >= 3.0 - 1e-9
        assert lookout.is_quiet(None) == alone
        assert lookout.is_quiet(heir_since) == (at_s >= 4.2 - 1e-9)
    lookout.note(START + timedelta(seconds=60), 60.0, True)  # nobody looked for long
    assert not lookout.is_quiet(None)
    assert lookout.since == START + timedelta(seconds=60)
