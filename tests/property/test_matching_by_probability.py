"""Matching by probability, over a real Redis, against a search of the whole list."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.decode import decode
from pipeline.clock import ManualClock
from pipeline.config import MatchingSettings, WatchlistSettings
from pipeline.matching import Match, Matcher, hit_id, match_entries
from pipeline.types import (
    CharProbs,
    Hit,
    MatchKind,
    Passage,
    PlateClass,
    VehicleColour,
    WatchlistEntry,
)
from tests.support.readings import by_brute_force, doubtful, legal_plates, patterns, sharp
from tests.support.watchlists import NOW, entry, passage
from watchlist.embedded import open_redis
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis

_prefixes = (f"probable-{number}" for number in count())
_with_redis = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=60,
)


@pytest.fixture(scope="module")
def client() -> Iterator[redis.Redis]:
    with (
        tempfile.TemporaryDirectory() as folder,
        open_redis(WatchlistSettings(), Path(folder)) as opened,
    ):
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watchlist(client: redis.Redis, clock: ManualClock) -> Watchlist:
    return Watchlist(client, next(_prefixes), clock)


def voted(table: CharProbs, **fields: object) -> Passage:
    """A passage whose plate is the likeliest text of a distribution, if it is likely enough."""
    read = decode(table)
    plate = read.text if read.probability >= 0.3 else None
    made = passage(plate, probability=read.probability, **fields)  # type: ignore[arg-type]
    return replace(made, char_probs=table)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Passage], list[WatchlistEntry]]:
    """Passages in doubt, and a list in which many of their readings are wanted."""
    passages = [
        voted(table, passage_id=f"p-{number}")
        for number, table in enumerate(draw(st.lists(doubtful(), min_size=1, max_size=3)))
    ]
    readings = [text for one in passages if one.char_probs is not None
                for text in by_brute_force(one.char_probs)]  # fmt: skip
    near = st.sampled_from(readings) if readings else legal_plates()
    plates = draw(st.lists(near | legal_plates() | patterns(near) | patterns(), max_size=10))
    audiences = st.sampled_from([(), (), ("north",), ("south", "west")])
    colours = st.sampled_from([None, "white", "black"])
    return passages, [
        entry(plate, audience=draw(audiences), vehicle_colour=draw(colours)) for plate in plates
    ]


def by_hand(
    passages: Sequence[Passage], listed: Sequence[WatchlistEntry], floor: float
) -> dict[tuple[str, str], tuple[MatchKind, float]]:
    """What ``north`` should say: every legal text against every entry of the list."""
    found = {}
    for one in passages:
        assert one.char_probs is not None
        likely = {t: p for t, p in by_brute_force(one.char_probs).items() if p >= floor}
        if one.plate is not None:
            assert one.probability is not None
            likely[one.plate] = one.probability
        for wanted in listed:
            if wanted.audience and "north" not in wanted.audience:
                continue
            fitting = [p for text, p in likely.items() if fnmatchcase(text, wanted.plate)]
            if not fitting:
                continue
            if "?" in wanted.plate or "*" in wanted.plate:
                kind = MatchKind.PARTIAL
            elif wanted.plate == one.plate:
                kind = MatchKind.EXACT
            else:
                kind = MatchKind.POSSIBLE
            found[one.id, wanted.id] = (kind, pytest.approx(min(1.0, sum(fitting))))
    return found


@given(scenes(), st.sampled_from([0.001, 0.05, 0.3]))
@_with_redis
def test_hits_are_exactly_those_of_the_whole_list(
    client: redis.Redis, scene: tuple[list[Passage], list[WatchlistEntry]], floor: float
) -> None:
    passages, listed = scene
    watchlist = Watchlist(client, next(_prefixes), ManualClock())
    watchlist.add(listed)
    chosen = MatchingSettings(possible_floor=floor, most_readings=1000)
    hits = Matcher(watchlist, "north", ManualClock(), chosen).match(passages)
    expected = by_hand(passages, listed, floor)
    said = {(hit.passage.id, hit.entry.id): (hit.kind, hit.probability) for hit in hits}
    assert said == expected
    assert len(said) == len(hits)
    for hit in hits:
        assert hit.reading is not None
        assert fnmatchcase(hit.reading, hit.entry.plate)
        assert hit.list_version == (1 if listed else 0)
    again = match_entries(passages, listed, chosen, checkpoint="north", now=NOW)
    assert _pairs(passages, again) == expected


def _pairs(
    passages: Sequence[Passage], found: Sequence[tuple[Match, ...]]
) -> dict[tuple[str, str], tuple[MatchKind, float]]:
    return {
        (one.id, match.entry.id): (match.kind, match.probability)
        for one, matches in zip(passages, found, strict=True)
        for match in matches
    }


@given(scenes(), st.lists(st.sampled_from(["add", "cancel", "revise", "close"]), max_size=8))
@_with_redis
def test_a_subscriber_ends_with_what_the_last_revision_meets(
    client: redis.Redis, scene: tuple[list[Passage], list[WatchlistEntry]], steps: list[str]
) -> None:
    """Whatever becomes of passage and list: revisions rise, and the last hits stand."""
    versions, listed = scene
    watchlist = Watchlist(client, next(_prefixes), ManualClock())
    matcher = Matcher(watchlist, "north", ManualClock())
    standing: dict[str, Hit] = {}
    revisions: dict[str, int] = {}
    waiting, on_list = list(listed), []
    now, revision = replace(versions[0], id="p"), 0
    for step in ["revise", *steps, "add", "revise", "close"]:
        match step:
            case "add" if waiting:
                on_list.append(waiting.pop())
                watchlist.add(on_list[-1:])
            case "cancel" if on_list:
                watchlist.cancel(on_list.pop().id, reason="found", by="Li")
            case "revise":
                revision += 1
                now = replace(versions[revision % len(versions)], id="p", revision=revision)
        hits = matcher.match([replace(now, closed=step == "close")])
        for hit in hits:
            assert hit.revision > revisions.get(hit.id, -1)
            assert hit.revision >= now.revision
            revisions[hit.id] = hit.revision
            if hit.retracted:
                assert standing.pop(hit.id).entry == hit.entry
            else:
                standing[hit.id] = hit
    told = {(hit.passage.id, hit.entry.id): hit.kind for hit in standing.values()}
    expected = by_hand([now], on_list, 0.05)
    assert told == {pair: kind for pair, (kind, _) in expected.items()}


DOUBTED = sharp("辽A12345", s6={"6": 0.3})
SURE, OTHER = sharp("辽A12345"), sharp("辽A12346")


def test_a_possible_hit_becomes_exact_as_the_same_hit(watchlist: Watchlist) -> None:
    listed = entry("辽A12346")
    watchlist.add([listed])
    matcher = Matcher(watchlist, "north", ManualClock())
    (possible,) = matcher.match([voted(DOUBTED)])
    assert (possible.kind, possible.reading) == (MatchKind.POSSIBLE, "辽A12346")
    assert possible.probability == pytest.approx(0.3)
    (exact,) = matcher.match([replace(voted(OTHER), revision=1)])
    assert (exact.id, exact.revision) == (possible.id, 1)
    assert (exact.kind, exact.probability) == (MatchKind.EXACT, 1.0)
    (gone,) = matcher.match([replace(voted(SURE), revision=2)])
    assert (gone.id, gone.retracted, gone.kind) == (possible.id, True, MatchKind.EXACT)


def test_what_changes_without_a_revision_of_the_passage_is_a_revision_of_the_hit(
    watchlist: Watchlist,
) -> None:
    """A passage that closes with the same plate and fewer doubts keeps its revision."""
    listed = entry("辽A12346")
    watchlist.add([listed])
    matcher = Matcher(watchlist, "north", ManualClock())
    (possible,) = matcher.match([voted(DOUBTED)])
    (gone,) = matcher.match([replace(voted(SURE), closed=True)])
    assert (gone.id, gone.revision, gone.retracted) == (possible.id, 1, True)
    # the vehicle comes back at once, with the doubt
    (again,) = matcher.match([replace(voted(DOUBTED), revision=1)])
    assert (again.id, again.revision, again.retracted) == (possible.id, 2, False)
    assert matcher.remembered == 1


def test_one_hit_of_an_entry_however_many_readings_fit(watchlist: Watchlist) -> None:
    listed = entry("辽A1234?")
    watchlist.add([listed, entry("辽B*")])
    (hit,) = Matcher(watchlist, "north", ManualClock()).match([voted(DOUBTED)])
    assert (hit.id, hit.kind) == (hit_id("p-1", listed.id), MatchKind.PARTIAL)
    assert (hit.probability, hit.reading) == (pytest.approx(1.0), "辽A12345")


def test_patterns_are_read_once_and_again_when_one_changes(
    client: redis.Redis, watchlist: Watchlist
) -> None:
    gone = entry("辽A?2345")
    watchlist.add([gone, entry("辽A?23??", case_number="C-2")])
    matcher = Matcher(watchlist, "north", ManualClock())
    assert len(matcher.match([passage("辽A12345", passage_id="a")])) == 2
    before = client.info("commandstats")["cmdstat_smembers"]["calls"]
    for number in range(5):
        watchlist.add([entry(f"京A0000{number}")])  # no pattern
        matcher.match([passage("辽A12345", passage_id=f"b-{number}")])
    assert client.info("commandstats")["cmdstat_smembers"]["calls"] == before
    watchlist.cancel(gone.id, reason="found", by="Li")
    hits = matcher.match([passage("辽A12345", passage_id="c")])
    assert [hit.entry.plate for hit in hits] == ["辽A?23??"]
    assert hits[0].list_version == 7
    assert client.info("commandstats")["cmdstat_smembers"]["calls"] == before + 1


def test_patterns_end_begin_and_have_an_audience(watchlist: Watchlist, clock: ManualClock) -> None:
    begins, ends = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    watchlist.add(
        [
            entry("辽A?2345", valid_from=begins, expires_at=ends),
            entry("辽A1?345", audience=("south",)),
        ]
    )
    matcher = Matcher(watchlist, "north", clock)

    def met() -> list[str]:
        numbers.append(None)
        hits = matcher.match([passage("辽A12345", passage_id=f"p-{len(numbers)}")])
        return [hit.entry.plate for hit in hits]

    numbers: list[None] = []
    assert met() == []
    clock.advance(3600)
    assert met() == ["辽A?2345"]
    clock.advance(3599)
    assert met() == ["辽A?2345"]
    clock.advance(2)  # stops within two seconds
    assert met() == []


@pytest.mark.parametrize("lowers", [False, True])
def test_a_mismatch_is_told_and_lowers_where_it_shall(watchlist: Watchlist, lowers: bool) -> None:
    wanted = ["辽A12345", "辽A12346", "辽A1234?"]
    watchlist.add([entry(plate, vehicle_colour="white", plate_class="blue") for plate in wanted])
    chosen = MatchingSettings(mismatch_lowers=lowers)

    def kinds(colour: VehicleColour) -> list[tuple[MatchKind, tuple[str, ...]]]:
        one = replace(voted(DOUBTED), vehicle_colour=colour, plate_class=PlateClass.BLUE)
        hits = Matcher(watchlist, "north", ManualClock(), chosen).match([one])
        return [(hit.kind, hit.mismatches) for hit in hits]

    differs = ("vehicle_colour",)
    assert kinds(VehicleColour.BLACK) == [
        (MatchKind.POSSIBLE if lowers else MatchKind.EXACT, differs),
        (MatchKind.POSSIBLE, differs),
        (MatchKind.PARTIAL, differs),
    ]
    assert kinds(VehicleColour.WHITE)[0] == (MatchKind.EXACT, ())


def test_a_floor_of_one_leaves_the_voted_plate_alone(watchlist: Watchlist) -> None:
    watchlist.add([entry("辽A12345"), entry("辽A12346")])
    chosen = MatchingSettings(possible_floor=1)
    hits = Matcher(watchlist, "north", ManualClock(), chosen).match([voted(DOUBTED)])
    assert [(hit.kind, hit.entry.plate) for hit in hits] == [(MatchKind.EXACT, "辽A12345")]


def test_an_unread_plate_has_possible_hits_of_any_province(watchlist: Watchlist) -> None:
    """An unknown province is a doubt like any other."""
    table = sharp("辽A12345", s0={"皖": 0.3, "苏": 0.25})
    watchlist.add([entry("皖A12345"), entry("沪A12345")])
    one = replace(passage(None), char_probs=table)
    (hit,) = Matcher(watchlist, "north", ManualClock()).match([one])
    assert (hit.kind, hit.entry.plate) == (MatchKind.POSSIBLE, "皖A12345")
    assert hit.probability == pytest.approx(0.3)
