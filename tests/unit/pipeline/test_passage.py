"""From recognitions to passages: one for each vehicle, amended rather than repeated."""

import hashlib
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.clock import ManualClock
from pipeline.config import CameraSettings, LaneSettings, PassageSettings
from pipeline.evidence import EvidenceStore
from pipeline.health import Health
from pipeline.passage import PassageBuilder
from pipeline.types import Direction, Passage, Recognition, VehicleClass, VehicleColour
from tests.support import scenes


@pytest.fixture
def builder(tmp_path: Path) -> PassageBuilder:
    return make_builder(tmp_path)


def make_builder(root: Path, camera: CameraSettings | None = None) -> PassageBuilder:
    numbers = count(1)
    return PassageBuilder(
        camera or CameraSettings(name="gate", source="x.mp4"),
        PassageSettings(),
        EvidenceStore(root / "evidence", Health()),
        ManualClock(),
        new_id=lambda: f"p{next(numbers)}",
    )


def run(builder: PassageBuilder, stream: list[Recognition]) -> list[Passage]:
    passages = [passage for one in stream for passage in builder.update(one)]
    return passages + builder.close()


def revisions(passages: list[Passage]) -> list[tuple[str | None, int]]:
    """What a consumer sees: each (id, revision) once."""
    seen = {(passage.id, passage.revision): passage for passage in passages}
    return [(passage.plate, passage.revision) for passage in seen.values()]


def test_one_vehicle_is_one_passage(builder: PassageBuilder) -> None:
    passages = run(builder, scenes.drive_past("辽A12345", 0.0))
    assert revisions(passages) == [("辽A12345", 0)]
    assert [passage.closed for passage in passages] == [False, True]
    assert passages[-1].reads == 5
    assert passages[-1].vehicle_class is VehicleClass.CAR


def test_it_is_emitted_before_the_vehicle_leaves(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0)
    assert builder.update(stream[0]) == []
    (passage,) = builder.update(stream[1])
    assert (passage.plate, passage.reads, passage.closed) == ("辽A12345", 2, False)


def test_a_plate_alone_opens_a_passage(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0, with_vehicle=False)
    assert revisions(run(builder, stream)) == [("辽A12345", 0)]


def test_the_next_vehicle_at_the_same_place_is_another_passage(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0) + scenes.drive_past("皖G98765", 1.2)
    assert revisions(run(builder, stream)) == [("辽A12345", 0), ("皖G98765", 0)]


@pytest.mark.parametrize("second", ["辽A12346", "辽A13344", "辽AT2345"])
def test_the_next_of_a_fleet_with_almost_the_same_plate(
    builder: PassageBuilder, second: str
) -> None:
    stream = scenes.drive_past("辽A12345", 0.0) + scenes.drive_past(second, 1.4)
    assert revisions(run(builder, stream)) == [("辽A12345", 0), (second, 0)]


def test_two_vehicles_at_once_where_one_stood(builder: PassageBuilder) -> None:
    first = scenes.drive_past("辽A12345", 0.0)
    (old,) = first[-1].vehicles
    at_s = first[-1].frame.media_s + 0.2
    plates = [
        scenes.plate(x, old.box[3] - 80, 50, scenes.read(text))
        for x, text in ((old.box[0] + 40, "皖G98765"), (old.box[2] - 120, "苏E24680"))
    ]
    pair = Recognition(scenes.frame(at_s), tuple(plates), (old, replace(old, confidence=0.7)))
    passages = run(builder, [*first, pair])
    assert [p.plate for p in passages if p.closed] == ["辽A12345", "皖G98765", "苏E24680"]


def test_two_lanes_at_once(builder: PassageBuilder) -> None:
    stream = scenes.merge(
        scenes.drive_past("辽A12345", 0.0, x=80), scenes.drive_past("辽B67890", 0.0, x=450)
    )
    assert sorted(revisions(run(builder, stream))) == [("辽A12345", 0), ("辽B67890", 0)]


def test_a_plate_hidden_for_a_moment_is_the_same_passage(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0, seconds=2.0)
    hidden = [Recognition(one.frame, (), one.vehicles) for one in stream[3:6]]
    assert revisions(run(builder, stream[:3] + hidden + stream[6:])) == [("辽A12345", 0)]


def test_a_vehicle_that_comes_back_at_once_is_the_same_passage(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0) + scenes.drive_past("辽A12345", 4.0)
    passages = run(builder, stream)
    assert len({passage.id for passage in passages}) == 1
    assert passages[-1].reads == 10


def test_a_glimpse_of_a_vehicle_that_has_just_left_is_no_second_passage(
    builder: PassageBuilder,
) -> None:
    (glimpse,) = scenes.drive_past("辽A12345", 4.0)[:1]
    sure = scenes.ReadPlate(glimpse.plates[0].detection, scenes.read("辽A12345", 0.9999))
    glimpse = Recognition(glimpse.frame, (sure,), glimpse.vehicles)
    passages = run(builder, [*scenes.drive_past("辽A12345", 0.0), glimpse])
    assert revisions(passages) == [("辽A12345", 0)]
    assert passages[-1].reads == 6
    assert passages[-1].end_s == glimpse.frame.media_s


def test_a_vehicle_that_comes_back_later_is_a_new_passage(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0) + scenes.drive_past("辽A12345", 60.0)
    assert len({passage.id for passage in run(builder, stream)}) == 2


def test_a_later_frame_amends_the_reading(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0, seconds=2.0)
    wrong = scenes.read("辽A12345", 0.97, char_errors={6: "6"})
    for index in (0, 1):
        corners = stream[index].plates[0].detection
        misread = scenes.ReadPlate(corners, wrong)
        stream[index] = Recognition(stream[index].frame, (misread,), stream[index].vehicles)
    passages = run(builder, stream)
    assert revisions(passages) == [("辽A12346", 0), ("辽A12345", 1)]
    assert len({passage.id for passage in passages}) == 1


def test_a_single_misread_never_shows(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0, seconds=2.0)
    wrong = scenes.ReadPlate(
        stream[0].plates[0].detection, scenes.read("辽A12345", 0.9, char_errors={6: "6"})
    )
    stream[0] = Recognition(stream[0].frame, (wrong,), stream[0].vehicles)
    assert revisions(run(builder, stream)) == [("辽A12345", 0)]


def test_an_unreadable_plate_is_a_passage_too(builder: PassageBuilder) -> None:
    stream = [
        Recognition(one.frame, (scenes.ReadPlate(one.plates[0].detection, scenes.read(None)),), ())
        for one in scenes.drive_past("辽A12345", 0.0)
    ]
    (passage,) = run(builder, stream)
    assert (passage.plate, passage.probability, passage.closed) == (None, None, True)
    assert passage.evidence is not None


def test_a_vehicle_without_a_plate_is_a_passage_too(builder: PassageBuilder) -> None:
    stream = [
        Recognition(scenes.frame(index / 5), (), (scenes.car(250, 200, 60 + index),))
        for index in range(5)
    ]
    (passage,) = run(builder, stream)
    assert passage.plate is None
    assert passage.vehicle_class is VehicleClass.CAR


def test_a_glimpse_at_the_border_is_no_passage(builder: PassageBuilder) -> None:
    stream = [
        Recognition(scenes.frame(index / 5), (), (scenes.car(5, 5, 60),)) for index in range(5)
    ]
    assert run(builder, stream) == []


def test_lettering_on_a_vehicle_is_no_second_vehicle(builder: PassageBuilder) -> None:
    stream = []
    for one in scenes.drive_past("辽A12345", 0.0):
        x1, y1, _, _ = one.vehicles[0].box
        banner = scenes.plate(x1 + 60, y1 + 30, 50, scenes.read(None))
        stream.append(Recognition(one.frame, (banner, *one.plates), one.vehicles))
    assert revisions(run(builder, stream)) == [("辽A12345", 0)]


def test_a_colour_is_told_when_most_sightings_agree(builder: PassageBuilder) -> None:
    stream = scenes.drive_past("辽A12345", 0.0, seconds=1.4)
    seen = [VehicleColour.BLACK, *[VehicleColour.WHITE] * 4, None, None]
    for index, colour in enumerate(seen):
        car = replace(stream[index].vehicles[0], colour=colour)
        stream[index] = Recognition(stream[index].frame, stream[index].plates, (car,))
    passages = run(builder, stream)
    assert [p.vehicle_colour for p in passages] == [None, VehicleColour.WHITE]


@pytest.mark.parametrize(("sure", "plates"), [(0.995, ["辽A12345"]), (0.95, [])])
def test_a_single_glimpse_counts_if_it_is_sure(
    builder: PassageBuilder, sure: float, plates: list[str]
) -> None:
    passages = run(builder, scenes.drive_past("辽A12345", 0.0, sure=sure)[:1])
    assert [passage.plate for passage in passages] == plates


def test_lane_and_direction_come_from_the_configuration(tmp_path: Path) -> None:
    left = LaneSettings(
        name="left", polygon=((0, 0), (0.5, 0), (0.5, 1), (0, 1)), direction=Direction.LEAVING
    )
    right = LaneSettings(name="right", polygon=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    camera = CameraSettings(
        name="gate", source="x.mp4", lanes=(left, right), direction=Direction.APPROACHING
    )
    stream = scenes.merge(
        scenes.drive_past("辽A12345", 0.0, x=80), scenes.drive_past("辽B67890", 0.0, x=450)
    )
    passages = run(make_builder(tmp_path, camera), stream)
    ways = {passage.plate: (passage.lane, passage.direction) for passage in passages}
    assert ways == {
        "辽A12345": ("left", Direction.LEAVING),
        "辽B67890": ("right", Direction.APPROACHING),
    }


def test_evidence_is_cut_from_the_frame_that_carried_the_vote(tmp_path: Path) -> None:
    stream = scenes.drive_past("辽A12345", 0.0)
    best = 3  # the surest read, in a frame of its own shade
    sure = scenes.ReadPlate(stream[best].plates[0].detection, scenes.read("辽A12345", 0.999))
    bright = scenes.frame(stream[best].frame.media_s, shade=200)
    stream[best] = Recognition(bright, (sure,), stream[best].vehicles)
    builder = make_builder(tmp_path)
    first = [p for one in stream[:best] for p in builder.update(one)]
    assert [p.plate for p in first] == ["辽A12345"]
    assert first[0].evidence is not None
    assert first[0].evidence.media_s < bright.media_s
    other = make_builder(tmp_path)
    passages = run(other, [stream[best], *stream[best + 1 :]])
    evidence = passages[0].evidence
    assert evidence is not None
    assert evidence.media_s == bright.media_s
    jpeg = (tmp_path / "evidence" / evidence.path).read_bytes()
    assert hashlib.sha256(jpeg).hexdigest() == evidence.sha256
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert abs(float(picture.mean()) - 200) < 3
