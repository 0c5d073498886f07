"""The matcher against a plain model of it, over a real Redis."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import ManualClock
from pipeline.config import WatchlistSettings
from pipeline.errors import StoreUnavailable
from pipeline.matching import Matcher, hit_id, mismatches
from pipeline.types import Hit, Passage, PlateClass, VehicleClass, VehicleColour
from tests.support.watchlists import entry, passage
from watchlist.embedded import open_redis
from watchlist.records import LookupResult
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis

LISTED, TWICE, ELSEWHERE, UNLISTED = "辽A12345", "辽A11111", "辽A22222", "辽A33333"
PLATES = (None, LISTED, TWICE, ELSEWHERE, UNLISTED)


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_redis(WatchlistSettings(), Path(folder)) as opened,
    ):
        yield opened


class Unsteady(Watchlist):
    """A real list whose Redis is away whenever a test says so."""

    away = False
    lookups = 0

    def lookup(self, plates: Sequence[str]) -> LookupResult:
        self.lookups += 1
        if self.away:
            raise StoreUnavailable("away")
        return super().lookup(plates)


@pytest.fixture(scope="module")
def watchlist(client: redis.Redis) -> Unsteady:
    made = Unsteady(client, "matching", ManualClock())
    made.add(
        [
            entry(LISTED, vehicle_colour="white"),
            entry(TWICE),
            entry(TWICE, case_number="C-2"),
            entry(ELSEWHERE, audience=("south",)),
        ]
    )
    return made


@pytest.fixture
def matcher(watchlist: Unsteady) -> Matcher:
    watchlist.away, watchlist.lookups = False, 0
    return Matcher(watchlist, "north", ManualClock())


passages = st.builds(
    passage,
    st.sampled_from(PLATES),
    passage_id=st.sampled_from(["p-1", "p-2", "p-3"]),
    probability=st.sampled_from([0.9, 0.905, 0.99]),
    evidence=st.sampled_from([None, "one", "two"]),
    vehicle_colour=st.sampled_from([None, VehicleColour.WHITE, VehicleColour.BLACK]),
    closed=st.booleans(),
)


def numbered(drawn: list[Passage]) -> list[Passage]:
    """The passages with revisions that count up."""
    counts: dict[str, int] = {}
    out = []
    for one in drawn:
        revision = counts[one.id] = counts.get(one.id, -1) + 1
        out.append(
            passage(
                one.plate,
                passage_id=one.id,
                revision=revision,
                probability=one.probability,
                evidence=one.evidence.sha256 if one.evidence else None,
                vehicle_colour=one.vehicle_colour,
                closed=one.closed,
            )
        )
    return out


def seen(hits: list[Hit]) -> list[tuple[object, ...]]:
    return [
        (hit.id, hit.revision, hit.retracted, hit.probability, hit.mismatches, hit.entry.id)
        for hit in hits
    ]


@given(st.lists(passages, max_size=12), st.lists(st.booleans(), max_size=12), st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_absence_of_redis_loses_and_repeats_nothing(
    watchlist: Unsteady, drawn: list[Passage], absences: list[bool], size: int
) -> None:
    batches = numbered(drawn)
    steady = Matcher(watchlist, "north", ManualClock())
    tried = Matcher(watchlist, "north", ManualClock())
    watchlist.away = False
    for start in range(0, len(batches), size):
        batch = batches[start : start + size]
        if start < len(absences) and absences[start]:
            watchlist.away = True
            before = tried.remembered
            try:
                assert tried.match(batch) == []  # nothing to look up
            except StoreUnavailable:
                assert tried.remembered == before
            watchlist.away = False
        assert seen(tried.match(batch)) == seen(steady.match(batch))


@given(st.lists(passages.filter(lambda one: not one.closed), max_size=12), st.integers(1, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_subscriber_knows_which_entries_a_passage_meets(
    watchlist: Unsteady, drawn: list[Passage], size: int
) -> None:
    """Whoever applies the hits in order ends with what the last revision meets."""
    watchlist.away = False
    batches = numbered(drawn)
    matcher = Matcher(watchlist, "north", ManualClock())
    standing: dict[str, Hit] = {}
    for start in range(0, len(batches), size):
        for hit in matcher.match(batches[start : start + size]):
            assert hit.id == hit_id(hit.passage.id, hit.entry.id)
            if hit.retracted:
                assert standing.pop(hit.id).entry == hit.entry
            else:
                assert hit.passage.plate == hit.entry.plate
                standing[hit.id] = hit
    last = {one.id: one for one in batches}
    for passage_id, one in last.items():
        told = {hit.entry.id for hit in standing.values() if hit.passage.id == passage_id}
        assert told == _met(watchlist, one)


def _met(watchlist: Watchlist, one: Passage) -> set[str]:
    if one.plate is None:
        return set()
    found = watchlist.lookup([one.plate]).entries.get(one.plate, ())
    return {e.id for e in found if not e.audience or "north" in e.audience}


def test_a_batch_costs_one_lookup(watchlist: Unsteady, matcher: Matcher) -> None:
    hits = matcher.match(
        [
            passage(LISTED, passage_id="a"),
            passage(TWICE, passage_id="b"),
            passage(None, passage_id="c"),
        ]
    )
    assert [hit.passage.id for hit in hits] == ["a", "b", "b"]
    assert watchlist.lookups == 1
    assert all(hit.list_version == 1 and hit.list_age_s == 0.0 for hit in hits)
    assert matcher.match([passage(None, passage_id="d"), passage(None, passage_id="c")]) == []
    assert watchlist.lookups == 1  # nothing to look up, nothing to take back


def test_another_checkpoints_entry_is_not_met(watchlist: Unsteady, matcher: Matcher) -> None:
    assert matcher.match([passage(ELSEWHERE)]) == []
    south = Matcher(watchlist, "south", ManualClock())
    assert len(south.match([passage(ELSEWHERE)])) == 1


def test_revisions_say_only_what_is_new(matcher: Matcher) -> None:
    (first,) = matcher.match([passage(LISTED, probability=0.80)])
    assert matcher.match([passage(LISTED, revision=1, probability=0.88)]) == []
    # small steps add up: what counts is what was last said
    (second,) = matcher.match([passage(LISTED, revision=2, probability=0.95)])
    assert (second.id, second.revision, second.retracted) == (first.id, 2, False)
    (third,) = matcher.match([passage(LISTED, revision=3, probability=0.95, evidence="better")])
    assert third.id == first.id
    (taken_back,) = matcher.match([passage(UNLISTED, revision=4)])
    assert (taken_back.id, taken_back.retracted) == (first.id, True)
    assert taken_back.passage.plate == UNLISTED
    assert matcher.match([passage(UNLISTED, revision=5)]) == []
    (again,) = matcher.match([passage(LISTED, revision=6)])
    assert (again.id, again.retracted) == (first.id, False)


def test_an_overtaken_revision_says_nothing(matcher: Matcher) -> None:
    assert matcher.match([passage(LISTED, revision=2)])
    assert matcher.match([passage(UNLISTED, revision=1)]) == []
    assert matcher.remembered == 1


def test_a_closed_passage_is_forgotten(matcher: Matcher) -> None:
    assert matcher.match([passage(LISTED)])
    assert matcher.remembered == 1
    assert matcher.match([passage(LISTED, revision=1, closed=True)]) == []
    assert matcher.remembered == 0


def test_a_cancelled_entry_is_taken_back(client: redis.Redis) -> None:
    watchlist = Watchlist(client, "cancelling", ManualClock())
    listed = entry(LISTED)
    watchlist.add([listed])
    matcher = Matcher(watchlist, "north", ManualClock())
    assert matcher.match([passage(LISTED)])
    watchlist.cancel(listed.id, reason="found", by="Li")
    (hit,) = matcher.match([passage(LISTED, revision=1)])
    assert hit.retracted
    assert hit.list_version == 2


def test_memory_is_bounded(watchlist: Unsteady) -> None:
    matcher = Matcher(watchlist, "north", ManualClock(), remember=3)
    matcher.match([passage(LISTED, passage_id=f"p-{number}") for number in range(10)])
    assert matcher.remembered == 3


def test_mismatches_name_what_both_know() -> None:
    listed = entry(LISTED, vehicle_colour="white", vehicle_class="car", plate_class="blue")
    assert mismatches(passage(LISTED, vehicle_colour=VehicleColour.WHITE), listed) == ()
    assert mismatches(passage(LISTED), listed) == ()
    differing = passage(
        LISTED,
        plate_class=PlateClass.YELLOW_SINGLE,
        vehicle_class=VehicleClass.TRUCK,
        vehicle_colour=VehicleColour.BLACK,
    )
    assert mismatches(differing, listed) == ("plate_class", "vehicle_class", "vehicle_colour")
    assert mismatches(differing, entry(LISTED)) == ()
