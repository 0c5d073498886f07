"""The JSON on stdout keeps the names and shapes that its readers rely on."""

import json

from pipeline import events
from pipeline.recognition import Told
from pipeline.types import Hit, MatchKind, VehicleClass, VehicleColour
from tests.support import scenes, watchlists


def test_a_picture() -> None:
    plate = scenes.plate(10, 20, 88, scenes.read("辽A12345", 0.99))
    vehicle = scenes.car(100, 200, 60, VehicleClass.BUS, VehicleColour.WHITE)
    event = json.loads(events.line(events.picture("a/b.jpg", [plate], [vehicle])))
    assert set(event) == {"image", "plates", "vehicles"}
    (said,) = event["plates"]
    assert set(said) == {
        *("text", "class", "probability", "char_probabilities", "box", "corners"),
    }
    assert said["text"] == "辽A12345"
    assert said["box"] == [10.0, 20.0, 98.0, 48.0]
    assert said["corners"] == [[10.0, 20.0], [98.0, 20.0], [98.0, 48.0], [10.0, 48.0]]
    assert len(said["char_probabilities"]) == 7
    assert event["vehicles"][0]["class"] == "bus"
    assert event["vehicles"][0]["colour"] == "white"


def test_a_passage_without_a_plate() -> None:
    event = events.passage(watchlists.passage(None, vehicle_class=None, evidence=None))
    assert event["plate"] is None
    assert event["probability"] is None
    assert event["vehicle"] == {"class": None, "colour": None}
    assert event["evidence"] is None
    assert list(event) == [
        *("event", "id", "revision", "camera", "lane", "start_s", "end_s", "plate", "class"),
        *("probability", "reads", "vehicle", "evidence"),
    ]


def test_a_hit_and_its_retraction() -> None:
    hit = Hit(
        id="h",
        revision=0,
        checkpoint="north",
        passage=watchlists.passage(),
        entry=watchlists.entry(),
        kind=MatchKind.EXACT,
        probability=0.98765,
        list_version=3,
        list_age_s=1.26,
        occurred_at=watchlists.NOW,
    )
    event = events.hit(hit)
    assert list(event) == [
        *("event", "id", "passage", "entry", "kind", "probability", "list_version", "list_age_s"),
    ]
    assert event["kind"] == "exact"
    assert event["probability"] == 0.9877


def test_told_counts_ids_and_knows_revisions_in_bounded_memory() -> None:
    told = Told()
    assert told.is_new("a", 0)
    assert not told.is_new("a", 0)
    assert told.is_new("a", 1)
    for number in range(3 * Told._REMEMBERED):
        told.is_new(str(number), 0)
    assert told.count == 1 + 3 * Told._REMEMBERED
    assert len(told._revisions) == Told._REMEMBERED
