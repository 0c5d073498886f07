"""Entries long expired or cancelled go, and the list says the same as before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from pipeline.clock import ManualClock
from tests.support import watchlists
from tests.support.redis_servers import bundled, running
from watchlist.expired import OldEntries
from watchlist.records import Note
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
DAY = 86_400.0
ONE, TWO, PATTERN = "辽A12345", "京A12345", "辽A123??"


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


class Bench:
    def __init__(self, client: redis.Redis) -> None:
        self.clock = ManualClock()
        self.watchlist = Watchlist(client, "test", self.clock)
        self.old = OldEntries(client, "test", self.watchlist)

    def add(self, plate: str, days: float) -> str:
        now = self.clock.now()
        made = watchlists.entry(plate, now=now, expires_at=now + timedelta(days=days))
        self.watchlist.add([made], Note("Wang"))
        return made.id

    def sweep(self, days: float = 0) -> int:
        return self.old.delete(self.old.due(self.clock.now() - timedelta(days=days)))


@pytest.fixture
def bench(client: redis.Redis) -> Bench:
    return Bench(client)


def test_expired_and_cancelled_entries_go_whole(bench: Bench, client: redis.Redis) -> None:
    short, long = bench.add(ONE, 10), bench.add(ONE, 300)
    alone, pattern = bench.add(TWO, 10), bench.add(PATTERN, 10)
    cancelled = bench.add(TWO, 300)
    bench.watchlist.cancel(cancelled, reason="found", by="Li")
    bench.clock.advance(50 * DAY)
    assert bench.sweep(days=100) == 0
    version = bench.watchlist.state().version
    assert bench.sweep(days=30) == 4
    state = bench.watchlist.state()
    assert (state.version, state.entries) == (version, 1)
    assert [one.id for one in bench.watchlist.entries()] == [long]
    assert [one.id for one in bench.watchlist.lookup([ONE]).entries[ONE]] == [long]
    assert list(bench.watchlist.cancellations()) == []
    for gone in (short, alone, pattern, cancelled):
        assert bench.watchlist.get(gone) is None
    assert client.smembers("{test}:watchlist:patterns") == set()
    assert bench.sweep(days=30) == 0


def test_the_history_goes_with_them_but_for_its_newest_version(
    bench: Bench, client: redis.Redis
) -> None:
    gone = bench.add(ONE, 1)
    bench.clock.advance(100 * DAY)
    bench.add(TWO, 10)
    bench.clock.advance(100 * DAY)
    bench.sweep(days=150)
    assert [one.number for one in bench.watchlist.history.versions()] == [2]
    assert gone not in str(client.xrange("{test}:watchlist:changes"))
    assert gone not in str(client.hgetall("{test}:watchlist:plates"))
    bench.sweep(days=50)
    assert [one.number for one in bench.watchlist.history.versions()] == [2]


def test_one_that_was_prolonged_meanwhile_stays(bench: Bench) -> None:
    gone = bench.add(ONE, 1)
    bench.clock.advance(100 * DAY)
    due = bench.old.due(bench.clock.now())
    assert [one.id for one in due] == [gone]
    now = bench.clock.now()
    found = bench.watchlist.get(gone)
    assert found is not None
    again = replace(found, expires_at=now + timedelta(days=5))
    bench.watchlist.add([again], Note("Wang"))
    assert bench.old.delete(due) == 0
    assert bench.watchlist.get(gone) is not None


def test_a_large_change_on_its_way_is_left_alone(bench: Bench, client: redis.Redis) -> None:
    """A field with two sides stays until the change is through."""
    gone = bench.add(ONE, 1)
    bench.clock.advance(100 * DAY)
    due = bench.old.due(bench.clock.now())
    plates = "{test}:watchlist:plates"
    plain = client.hget(plates, ONE)
    client.hset(plates, ONE, plain + b"\x1dtoken\x1d" + plain)
    assert bench.old.delete(due) == 0
    client.hset(plates, ONE, plain)
    assert bench.old.delete(due) == 1
    assert bench.watchlist.get(gone) is None


def test_many(bench: Bench, tmp_path: Path) -> None:
    now = bench.clock.now()
    soon, later = now + timedelta(days=1), now + timedelta(days=300)
    bench.watchlist.add(
        [
            watchlists.entry(f"辽A{number:05}", now=now, expires_at=later if number % 3 else soon)
            for number in range(900)
        ],
        Note("Wang"),
    )
    bench.clock.advance(100 * DAY)
    assert bench.sweep() == 300
    assert bench.watchlist.state().entries == 600
