"""Figures against brute force: whatever happened, in whatever order, they say what one would count
by hand from the list of all passages and alerts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.archive import ARCHIVE_FILE, Candidate, PassageArchive
from pipeline.console.figures import Bucket, Tally, figures, starts_of
from pipeline.rollup import FIGURES_FILE, CountedAlert, Rollup
from pipeline.types import Passage
from tests.support import watchlists

BEGIN = datetime(2026, 3, 27, 21, tzinfo=UTC)
CAMERAS = ("gate", "east")
CHINA = timezone(timedelta(hours=8))
NEPAL = timezone(timedelta(hours=5, minutes=45))

moments = st.timedeltas(timedelta(0), timedelta(days=4)).map(lambda after: BEGIN + after)
zones = st.sampled_from((CHINA, UTC, NEPAL))
buckets = st.sampled_from(Bucket)


@dataclass(frozen=True)
class Told:
    """One revision of a passage, as the pipeline tells it."""

    number: int
    camera: str
    ended_at: datetime
    plate: str | None
    reads: int
    closed: bool


told = st.builds(
    Told,
    number=st.integers(0, 5),
    camera=st.sampled_from(CAMERAS),
    ended_at=moments,
    plate=st.sampled_from((None, "辽A12345")),
    reads=st.integers(0, 2),
    closed=st.booleans(),
)
counted = st.builds(
    CountedAlert,
    id=st.integers(0, 8).map(str),
    checkpoint=st.sampled_from(("north", "south")),
    camera=st.sampled_from(CAMERAS),
    at=moments,
    kind=st.sampled_from(("exact", "possible")),
    category=st.just("stolen"),
    state=st.sampled_from(("unverified", "confirmed", "rejected")),
    late=st.booleans(),
    retracted=st.booleans(),
    latency_s=st.none() | st.integers(0, 90_000_000).map(lambda us: us / 1e6),
)


def place_of(moment: datetime, bucket: Bucket, zone: tzinfo) -> str:
    """What one would write over the column that a moment belongs to."""
    hour = moment.astimezone(UTC).strftime("%Y-%m-%d %H")
    if bucket is Bucket.HOUR:
        return hour
    begun = datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC)
    return begun.astimezone(zone).strftime("%Y-%m-%d")


def rank(values: Sequence[float], share: float) -> float | None:
    """Nearest rank, by its definition: the least value that so many do not exceed."""
    for value in sorted(values):
        if sum(one <= value for one in values) >= share * len(values) - 1e-9:
            return value
    return None


@settings(deadline=None, max_examples=25)
@given(
    st.lists(told, max_size=12),
    st.lists(counted, max_size=14),
    buckets,
    zones,
    moments,
    moments,
    st.booleans(),
)
def test_figures_say_what_one_would_count_by_hand(
    passages: list[Told],
    alerts: list[CountedAlert],
    bucket: Bucket,
    zone: tzinfo,
    one: datetime,
    other: datetime,
    forgotten: bool,
) -> None:
    since, until = min(one, other), max(one, other) + timedelta(seconds=1)
    starts = starts_of(since, until, bucket, zone)
    newest: dict[int, Told] = {}
    first: dict[str, CountedAlert] = {}
    standing: dict[str, CountedAlert] = {}
    with TemporaryDirectory() as folder:
        with closing(PassageArchive(Path(folder) / ARCHIVE_FILE)) as archive:
            for revision, passage in enumerate(passages):
                newest[passage.number] = passage
                archive.keep([kept(passage, revision)])
            if forgotten:
                rows = archive.in_rows(0, 99)
                archive.forget([Candidate(row.row, one, False, ()) for row in rows])
                assert archive.count() == 0
            hours = archive.hours(starts[0], starts[-1])
        with closing(Rollup(Path(folder) / FIGURES_FILE)) as rollup:
            for alert in alerts:
                known = alert.id in first
                assert bool(rollup.note([alert])) is not known
                first.setdefault(alert.id, alert)
                standing[alert.id] = replace(first[alert.id], state=alert.state)
            alert_hours = rollup.hours(starts[0], starts[-1])
    found = figures(hours, alert_hours, starts, bucket, "north", zone)

    closed = [passage for passage in newest.values() if passage.closed]
    names = {"gate", "east", "south / gate", "south / east"}
    assert set(found.cameras) <= names
    for place, start in enumerate(found.starts):
        column = start.astimezone(zone).strftime("%Y-%m-%d")
        if bucket is Bucket.HOUR:
            column = start.strftime("%Y-%m-%d %H")
        all_expected = []
        for name in sorted(names):
            seen = [
                one
                for one in closed
                if one.camera == name and place_of(one.ended_at, bucket, zone) == column
            ]
            met = [
                one
                for one in standing.values()
                if name == (one.camera if one.checkpoint == "north" else f"south / {one.camera}")
                and place_of(one.at, bucket, zone) == column
            ]
            expected = by_hand(seen, met)
            all_expected.append((seen, met))
            assert found.cameras.get(name, (Tally(),) * 5000)[place] == expected
            assert expected.read_rate is None or 0 <= expected.read_rate <= 1
            for share in (0.5, 0.95):
                assert expected.latency_s(share) == rank(expected.latencies_s, share)
        together = by_hand(
            [one for seen, _ in all_expected for one in seen],
            [one for _, met in all_expected for one in met],
        )
        assert found.of_all()[place] == together


def kept(passage: Told, revision: int) -> Passage:
    made = watchlists.passage(passage.plate, passage_id=f"p{passage.number}", evidence=None)
    return replace(
        made,
        revision=revision,
        camera=passage.camera,
        ended_at=passage.ended_at,
        reads=passage.reads,
        closed=passage.closed,
    )


def by_hand(seen: Sequence[Told], met: Sequence[CountedAlert]) -> Tally:
    read = [one for one in seen if one.plate is not None]
    return Tally(
        passages=len(seen),
        found=len([one for one in seen if one.plate is not None or one.reads > 0]),
        read=len(read),
        alerts=len(met),
        confirmed=len([one for one in met if one.state == "confirmed"]),
        rejected=len([one for one in met if one.state == "rejected"]),
        latencies_s=tuple(sorted(one.latency_s for one in met if one.latency_s is not None)),
    )


@given(moments, moments, buckets, zones)
def test_buckets_follow_each_other_and_hold_the_time_asked_for(
    one: datetime, other: datetime, bucket: Bucket, zone: tzinfo
) -> None:
    since, until = min(one, other), max(one, other) + timedelta(seconds=1)
    starts = starts_of(since, until, bucket, zone)
    assert starts[0] <= since
    assert starts[-2] < until <= starts[-1]
    lengths = {(b - a).total_seconds() / 3600 for a, b in pairwise(starts)}
    assert lengths == {1.0 if bucket is Bucket.HOUR else 24.0}
    assert all(math.isclose(start.timestamp() % 900, 0) for start in starts)


def test_days_that_change_the_clocks_have_23_and_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)
    starts = starts_of(begin, begin + timedelta(days=3), Bucket.DAY, berlin)
    hours = [(b - a) / timedelta(hours=1) for a, b in pairwise(starts)]
    assert hours == [24, 23, 24, 24]
