"""Delivery on real disks and a real Redis: whatever is away, nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from pipeline.clock import SystemClock
from pipeline.convert import parse_publish_request
from pipeline.delivery import Delivery
from pipeline.errors import StoreUnavailable
from pipeline.health import Health
from pipeline.matching import Matcher
from pipeline.outbox import Outbox, OutboxError
from pipeline.types import Hit, Passage
from tests.support import watchlists
from tests.support.redis_servers import bundled, running
from tests.support.waiting import PATIENCE_S, wait_until
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
LISTED = "辽A12345"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(bundled(), tmp_path_factory.mktemp("redis")) as (_, port):
        yield port


@pytest.fixture
def watchlist(port: int) -> Iterator[Watchlist]:
    client = redis.Redis(port=port)
    client.flushall()
    made = Watchlist(client, "test", SystemClock())
    made.add([watchlists.entry(LISTED, now=datetime.now(UTC))])
    yield made
    client.close()
    client.connection_pool.disconnect()


class Moody(Matcher):
    """A matcher whose Redis is away as often as it is told."""

    absences = 0

    def match(self, passages: Sequence[Passage]) -> list[Hit]:
        if self.absences:
            self.absences -= 1
            raise StoreUnavailable("redis is away")
        return super().match(passages)


class FullDisk(Outbox):
    """An outbox on a disk that is full now and then."""

    refusals = 0

    def put_all(self, hits: Iterable[tuple[str, int, bytes, int]]) -> int:
        if self.refusals:
            self.refusals -= 1
            raise OutboxError("no space left")
        return super().put_all(hits)


class Bench:
    """A delivery with everything around it."""

    def __init__(self, folder: Path, watchlist: Watchlist) -> None:
        self.spool = FullDisk(folder / "spool.sqlite")
        self.outbox = FullDisk(folder / "outbox.sqlite")
        self.matcher = Moody(watchlist, "north", SystemClock())
        self.health = Health()
        self.hits: list[Hit] = []
        self.delivery = Delivery(
            self.spool, self.outbox, self.matcher, self.health, self.hits.append
        )

    def close(self) -> None:
        self.spool.close()
        self.outbox.close()

    def published(self) -> list[str]:
        return [parse_publish_request(row.payload).hit.passage.id for row in self.outbox.pending()]


@pytest.fixture
def bench(tmp_path: Path, watchlist: Watchlist) -> Iterator[Bench]:
    made = Bench(tmp_path, watchlist)
    yield made
    made.close()


def passages(count: int) -> list[Passage]:
    return [watchlists.passage(LISTED, passage_id=f"p{index}") for index in range(count)]


def test_hits_lie_in_the_outbox_in_order(bench: Bench) -> None:
    bench.delivery.start()
    for passage in passages(5):
        bench.delivery.submit([passage])
    assert bench.delivery.stop(PATIENCE_S) == 0
    assert bench.published() == [f"p{index}" for index in range(5)]
    assert [hit.passage.id for hit in bench.hits] == bench.published()
    assert bench.spool.depth() == 0


def test_redis_away_for_a_while(bench: Bench) -> None:
    bench.matcher.absences = 3
    bench.delivery.start()
    bench.delivery.submit(passages(3))
    wait_until(lambda: "watchlist" in bench.health.problems())
    wait_until(lambda: len(bench.hits) == 3)
    assert bench.delivery.stop(PATIENCE_S) == 0
    assert bench.health.problems() == {}
    assert bench.published() == ["p0", "p1", "p2"]


def test_redis_away_until_the_next_start(
    bench: Bench, tmp_path: Path, watchlist: Watchlist
) -> None:
    bench.matcher.absences = 10**6
    bench.delivery.start()
    bench.delivery.submit(passages(3))
    assert bench.delivery.stop(0.5) == 3
    bench.close()
    again = Bench(tmp_path, watchlist)
    again.delivery.start()
    wait_until(lambda: len(again.hits) == 3)
    assert again.delivery.stop(PATIENCE_S) == 0
    assert again.published() == ["p0", "p1", "p2"]
    again.close()


def test_an_outbox_that_is_full_takes_a_batch_later_and_whole(bench: Bench) -> None:
    bench.delivery.submit(passages(4))
    bench.outbox.refusals = 2
    bench.delivery.start()
    wait_until(lambda: "outbox" in bench.health.problems())
    assert bench.hits == []
    wait_until(lambda: len(bench.hits) == 4)
    assert bench.delivery.stop(PATIENCE_S) == 0
    assert bench.published() == [f"p{index}" for index in range(4)]


def test_a_spool_that_is_full_holds_passages_in_memory(bench: Bench) -> None:
    bench.spool.refusals = 2
    bench.delivery.submit(passages(2))
    assert bench.delivery.held() == 2
    assert "disk" in bench.health.problems()
    bench.delivery.start()
    wait_until(lambda: len(bench.hits) == 2)
    assert bench.delivery.held() == 0
    assert bench.delivery.stop(PATIENCE_S) == 0
    assert bench.health.problems() == {}


def test_many_submitters(bench: Bench) -> None:
    bench.delivery.start()
    groups = [passages(40)[index::4] for index in range(4)]
    threads = [threading.Thread(target=bench.delivery.submit, args=(group,)) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.delivery.stop(PATIENCE_S) == 0
    assert sorted(bench.published()) == sorted(f"p{index}" for index in range(40))
