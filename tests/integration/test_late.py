"""New entries against passages that are kept, on a real Redis and real files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.clock import SystemClock
from pipeline.config import MatchingSettings
from pipeline.convert import hit_from_pb, parse_publish_request
from pipeline.delivery import Delivery
from pipeline.errors import ArchiveError, StoreUnavailable
from pipeline.health import Health
from pipeline.late import LATE_FILE, LateMatching, LateQueue
from pipeline.matching import Matcher, hit_id
from pipeline.outbox import Outbox
from pipeline.types import Hit, MatchKind, Passage, WatchlistEntry
from tests.support import watchlists
from tests.support.redis_servers import bundled, running
from tests.support.waiting import PATIENCE_S, wait_until
from watchlist.history import HistoryLimits
from watchlist.records import Note
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
WANTED, OTHER, THIRD = "辽A12345", "京A12345", "沪A12345"
JPEG = b"a picture"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(bundled(), tmp_path_factory.mktemp("redis")) as (_, port):
        yield port


@pytest.fixture
def client(port: int) -> Iterator[redis.Redis]:
    made = redis.Redis(port=port)
    made.flushall()
    yield made
    made.close()
    made.connection_pool.disconnect()


class Moody(Watchlist):
    """A list whose Redis goes away after so many more questions."""

    answers = 10**9

    def stored(self, plates: Sequence[str]) -> dict[str, tuple[WatchlistEntry, ...]]:
        self._ask()
        return super().stored(plates)

    def get(self, entry_id: str) -> WatchlistEntry | None:
        self._ask()
        return super().get(entry_id)

    def _ask(self) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise StoreUnavailable("redis is away")


class Bench:
    """What late matching works on, and a way to start it anew as after a crash."""

    def __init__(self, folder: Path, client: redis.Redis, limits: HistoryLimits) -> None:
        self.folder = folder
        self.watchlist = Moody(client, "test", SystemClock(), limits=limits)
        self.archive = PassageArchive(folder / ARCHIVE_FILE)
        self.hits: list[Hit] = []
        self.start()

    def start(self) -> None:
        self.queue = LateQueue(self.folder / LATE_FILE, SystemClock())
        self.late = LateMatching(
            self.queue,
            self.archive,
            self.watchlist,
            "north",
            MatchingSettings(),
            self.folder / "evidence",
            SystemClock(),
        )

    def work(self) -> list[Hit]:
        """All there is to do; the hits of it."""
        before = len(self.hits)
        while self.late.step(self.hits.extend):
            pass
        return self.hits[before:]

    def add(self, *entries: WatchlistEntry) -> None:
        self.watchlist.add(entries, Note("Wang"))

    def close(self) -> None:
        self.queue.close()
        self.archive.close()


@pytest.fixture
def bench(tmp_path: Path, client: redis.Redis) -> Iterator[Bench]:
    made = Bench(tmp_path, client, HistoryLimits())
    made.work()
    yield made
    made.close()


def entry(plate: str = WANTED, **fields: object) -> WatchlistEntry:
    return watchlists.entry(plate, now=datetime.now(UTC), **fields)


def passed(name: str, plate: str | None = WANTED, *, hours: float = 1, **fields: object) -> Passage:
    ended = datetime.now(UTC) - timedelta(hours=hours)
    made = watchlists.passage(plate, passage_id=name, closed=True, evidence=None)
    return replace(made, started_at=ended, ended_at=ended, **fields)


def test_an_entry_added_now_meets_what_has_passed(bench: Bench) -> None:
    bench.archive.keep([passed("p1"), passed("p2", OTHER), passed("p3")])
    one = entry()
    bench.add(one)
    hits = bench.work()
    assert [(hit.passage.id, hit.entry.id) for hit in hits] == [("p1", one.id), ("p3", one.id)]
    assert all(hit.late for hit in hits)
    assert [hit.id for hit in hits] == [hit_id("p1", one.id), hit_id("p3", one.id)]
    assert {hit.list_version for hit in hits} == {bench.watchlist.state().version}
    assert hits[0].kind is MatchKind.EXACT
    assert bench.work() == []


def test_what_was_a_hit_before_is_not_found_again(bench: Bench) -> None:
    bench.add(entry(OTHER))
    live = Matcher(bench.watchlist, "north", SystemClock())
    one = entry()
    bench.add(one)
    hits = live.match([passed("p1")])
    bench.archive.keep([passed("p1"), passed("p2")], hits)
    assert [hit.passage.id for hit in bench.work()] == ["p2"]
    bench.add(replace(one, reason="another reason"))
    assert bench.work() == []


def test_a_pattern_meets_what_has_passed(bench: Bench) -> None:
    bench.archive.keep([passed("p1"), passed("p2", "辽A12399"), passed("p3", OTHER)])
    bench.add(entry("辽A123??"))
    hits = bench.work()
    assert [(hit.passage.id, hit.kind) for hit in hits] == [
        ("p1", MatchKind.PARTIAL),
        ("p2", MatchKind.PARTIAL),
    ]


def test_entries_for_others_pending_cancelled_and_expired_meet_nothing(bench: Bench) -> None:
    bench.archive.keep([passed("p1"), passed("p2", OTHER), passed("p3", THIRD)])
    now = datetime.now(UTC)
    gone = entry(THIRD)
    bench.add(
        entry(WANTED, audience=("south",)),
        entry(OTHER, valid_from=now + timedelta(hours=1)),
        gone,
    )
    bench.watchlist.cancel(gone.id, reason="found", by="Li")
    assert bench.work() == []


def test_a_pending_entry_meets_once_it_is_valid(bench: Bench) -> None:
    bench.archive.keep([passed("p1")])
    begin = datetime.now(UTC) + timedelta(seconds=1.5)
    bench.add(entry(valid_from=begin))
    assert bench.work() == []
    time.sleep(max((begin - datetime.now(UTC)).total_seconds(), 0) + 0.1)
    assert [hit.passage.id for hit in bench.work()] == ["p1"]


def test_a_vehicle_still_in_view_is_left_to_the_live_matcher(bench: Bench) -> None:
    here = replace(passed("p1", hours=0), closed=False)
    left = replace(passed("p2"), closed=False)  # its process was killed
    bench.archive.keep([here, left])
    bench.add(entry())
    assert [hit.passage.id for hit in bench.work()] == ["p2"]


def test_entries_added_while_nobody_watched_are_found_at_the_start(bench: Bench) -> None:
    bench.archive.keep([passed("p1"), passed("p2", OTHER)])
    bench.queue.close()
    bench.add(entry())
    bench.add(entry(OTHER))
    bench.start()
    assert [hit.passage.id for hit in bench.work()] == ["p1", "p2"]


def test_a_rollback_brings_back_an_entry_that_then_meets(bench: Bench) -> None:
    one = entry()
    bench.add(one)
    version = bench.watchlist.state().version
    bench.watchlist.cancel(one.id, reason="found", by="Li")
    bench.work()
    bench.archive.keep([passed("p1")])
    bench.watchlist.rollback(version, Note("Wang"))
    assert [hit.entry.id for hit in bench.work()] == [one.id]


def test_without_its_history_the_whole_list_is_matched(tmp_path: Path, client: redis.Redis) -> None:
    bench = Bench(tmp_path, client, HistoryLimits(versions=1))
    bench.work()
    bench.archive.keep([passed("p1"), passed("p2", OTHER)])
    for plate in (WANTED, OTHER, THIRD):
        bench.add(entry(plate))
    assert [hit.passage.id for hit in bench.work()] == ["p1", "p2"]
    bench.close()


def test_a_lost_queue_costs_one_more_pass_and_no_hit_twice(bench: Bench) -> None:
    bench.archive.keep([passed("p1"), passed("p2", OTHER)])
    bench.add(entry())
    assert len(bench.work()) == 1
    bench.queue.close()
    for file in bench.folder.glob(f"{LATE_FILE}*"):
        file.unlink()
    bench.add(entry(OTHER))
    bench.start()
    assert [hit.passage.id for hit in bench.work()] == ["p2"]


@pytest.mark.parametrize("answers", range(6))
def test_redis_away_at_any_moment_loses_no_hit(bench: Bench, answers: int) -> None:
    bench.archive.keep([passed("p1"), passed("p2", OTHER)])
    bench.add(entry(), entry(OTHER))
    bench.watchlist.answers = answers
    try:
        bench.work()
    except StoreUnavailable:
        bench.watchlist.answers = 10**9
        bench.work()
    assert sorted({hit.passage.id for hit in bench.hits}) == ["p1", "p2"]
    assert len({hit.id for hit in bench.hits}) == 2


def test_a_pass_that_was_broken_off_goes_on_where_it_was(bench: Bench) -> None:
    bench.archive.keep(passed(f"p{number}") for number in range(1200))
    bench.add(entry())
    while len(bench.hits) < 500:
        assert bench.late.step(bench.hits.extend)
    bench.queue.close()
    bench.start()
    bench.work()
    ids = [hit.passage.id for hit in bench.hits]
    assert len(ids) == len(set(ids)) == 1200


def test_many_patterns_take_several_passes(bench: Bench) -> None:
    bench.archive.keep([passed(f"p{number}", f"京A{number:03}45") for number in range(300)])
    bench.add(*(entry(f"京A{number:03}4?") for number in range(300)))
    assert len({hit.passage.id for hit in bench.work()}) == 300


def test_the_disk_refuses_the_hits(bench: Bench) -> None:
    """A hit that could not be handed on is found again."""
    bench.archive.keep([passed("p1")])
    bench.add(entry())

    def refuse(hits: Sequence[Hit]) -> None:
        raise ArchiveError("no space left")

    steps = iter(lambda: bench.late.step(refuse), False)
    with pytest.raises(ArchiveError):
        list(steps)
    assert [hit.passage.id for hit in bench.work()] == ["p1"]


def test_the_picture_travels_with_the_hit_unless_it_was_changed(bench: Bench) -> None:
    folder = bench.folder / "evidence" / "2026-01-01"
    folder.mkdir(parents=True)
    made = watchlists.passage(passage_id="p1")
    assert made.evidence is not None
    digest = hashlib.sha256(JPEG).hexdigest()
    passages = []
    for name, content in (("whole", JPEG), ("changed", b"another"), ("missing", None)):
        if content is not None:
            (folder / f"{name}.jpg").write_bytes(content)
        path = f"2026-01-01/{name}.jpg"
        evidence = replace(made.evidence, path=path, sha256=digest)
        passages.append(passed(name, evidence=evidence))
    bench.archive.keep(passages)
    bench.add(entry())
    pictures = {
        hit.passage.id: hit.passage.evidence.jpeg for hit in bench.work() if hit.passage.evidence
    }
    assert pictures == {"whole": JPEG, "changed": b"", "missing": b""}


def test_delivery_keeps_passages_and_finds_late_hits(bench: Bench) -> None:
    spool, outbox = Outbox(bench.folder / "spool.sqlite"), Outbox(bench.folder / "outbox.sqlite")
    told: list[Hit] = []
    matcher = Matcher(bench.watchlist, "north", SystemClock())
    delivery = Delivery(spool, outbox, matcher, Health(), told.append, bench.archive, bench.late)
    bench.add(entry(OTHER))
    delivery.start()
    delivery.submit([passed("p1"), passed("p2", OTHER)])
    wait_until(lambda: bench.archive.count() == 2)
    one = entry()
    bench.add(one)
    wait_until(lambda: len(told) == 2)
    assert delivery.stop(PATIENCE_S) == 0
    assert [(hit.passage.id, hit.late) for hit in told] == [("p2", False), ("p1", True)]
    sent = [hit_from_pb(parse_publish_request(row.payload).hit) for row in outbox.pending()]
    assert [(hit.id, hit.late) for hit in sent] == [
        (told[0].id, False),
        (hit_id("p1", one.id), True),
    ]
    spool.close()
    outbox.close()


class FullArchive(PassageArchive):
    """An archive on a disk that is full until it is told otherwise."""

    full = True

    def keep(self, passages: object, hits: object = ()) -> None:
        if self.full:
            raise ArchiveError("no space left")
        super().keep(passages, hits)  # type: ignore[arg-type]


def test_an_archive_that_refuses_stops_no_alert_and_gets_all_later(
    bench: Bench, tmp_path: Path
) -> None:
    spool, outbox = Outbox(bench.folder / "spool.sqlite"), Outbox(bench.folder / "outbox.sqlite")
    archive, health, told = FullArchive(tmp_path / "full.sqlite"), Health(), list[Hit]()
    matcher = Matcher(bench.watchlist, "north", SystemClock())
    delivery = Delivery(spool, outbox, matcher, health, told.append, archive)
    bench.add(entry())
    delivery.start()
    for number in range(5):
        delivery.submit([passed(f"p{number}")])
    wait_until(lambda: len(told) == 5)
    assert outbox.depth() == 5
    assert "no space left" in health.problems()["archive"]
    archive.full = False
    wait_until(lambda: archive.count() == 5)
    assert all(one.has_hit for one in archive.search())
    assert delivery.stop(PATIENCE_S) == 0
    assert "archive" not in health.problems()
    for one in (spool, outbox, archive):
        one.close()
