"""The age of the list, what was seen before a restart, and who keeps both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from pipeline.clock import ManualClock
from pipeline.errors import StoreUnavailable
from tests.support.redis_servers import bundled, running
from tests.support.waiting import wait_until
from tests.support.watchlists import entry
from watchlist.connection import connection_options
from watchlist.keeper import Keeper
from watchlist.records import Note
from watchlist.seen import LossWatch, Seen, SeenFile
from watchlist.store import Watchlist

pytestmark = pytest.mark.redis
PLATE = "辽A12345"
HOUR = 3600.0


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(bundled(), tmp_path_factory.mktemp("redis")) as where:
        yield where[1]


@pytest.fixture
def client(port: int) -> Iterator[redis.Redis]:
    made = redis.Redis(port=port, **connection_options(20.0))
    made.flushall()
    yield made
    made.close()
    made.connection_pool.disconnect()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watchlist(client: redis.Redis, clock: ManualClock) -> Watchlist:
    return Watchlist(client, "checkpoint", clock)


class Told:
    def __init__(self) -> None:
        self.all: list[str | None] = []

    def __call__(self, problem: str | None) -> None:
        self.all.append(problem)

    @property
    def last(self) -> str | None:
        return self.all[-1]


def keeper(watchlist: Watchlist, told: Told, every_s: float = 60.0) -> Keeper:
    return Keeper(watchlist, 24 * HOUR, told, every_s)


def test_a_list_that_nobody_changes_is_not_stale(watchlist: Watchlist, clock: ManualClock) -> None:
    told = Told()
    watchlist.add([entry(PLATE)])
    for _ in range(3):
        clock.advance(20 * HOUR)
        assert watchlist.lookup([PLATE]).age_s == pytest.approx(20 * HOUR)
        keeper(watchlist, told).keep()
        assert told.last is None
        assert watchlist.lookup([PLATE]).age_s == 0
    assert watchlist.state().updated_at is not None
    assert (clock.now() - watchlist.state().updated_at).total_seconds() == 60 * HOUR  # type: ignore[operator]


def test_an_empty_list_has_no_age(watchlist: Watchlist, clock: ManualClock) -> None:
    told = Told()
    keeper(watchlist, told).keep()
    clock.advance(100 * HOUR)
    assert watchlist.state().age_s == 0
    assert (watchlist.state().version, watchlist.loss) == (0, None)


def test_a_replica_that_lost_its_master_grows_old(
    port: int, client: redis.Redis, clock: ManualClock, watchlist: Watchlist, tmp_path: Path
) -> None:
    watchlist.add([entry(PLATE)])
    options = ("--replicaof", "127.0.0.1", str(port), "--repl-diskless-sync-delay", "0")
    with running(bundled(), tmp_path, *options) as (_, own_port):
        own = redis.Redis(port=own_port, **connection_options(20.0))
        replica, told = Watchlist(own, "checkpoint", clock), Told()
        wait_until(lambda: own.exists("{checkpoint}:watchlist:plates"))
        clock.advance(23 * HOUR)
        keeper(replica, told).keep()  # cannot beat here
        assert told.last is None
        watchlist.beat()
        wait_until(lambda: replica.state().age_s <= HOUR)
        own.execute_command("REPLICAOF", "127.0.0.1", "1")  # a master that is not there
        clock.advance(25 * HOUR)
        keeper(replica, told).keep()
        assert "(version 1) is 25.0 h old: its master has not been heard of" in (told.last or "")
        assert replica.lookup([PLATE]).age_s == pytest.approx(25 * HOUR)
        own.close()
        own.connection_pool.disconnect()


def test_a_keeper_beats_by_itself_and_ends_at_once(
    watchlist: Watchlist, clock: ManualClock, client: redis.Redis
) -> None:
    told = Told()
    watchlist.add([entry(PLATE)])
    clock.advance(HOUR)
    with keeper(watchlist, told, every_s=0.02):
        wait_until(lambda: len(told.all) >= 3)
    assert watchlist.state().age_s == 0
    assert not [t for t in threading.enumerate() if t.name == "watchlist-keeper"]


def test_a_keeper_survives_that_redis_is_away(clock: ManualClock, tmp_path: Path) -> None:
    told = Told()
    with running(bundled(), tmp_path) as (host, port):
        client = redis.Redis(host=host, port=port, **connection_options(0.5))
        watchlist = Watchlist(client, "checkpoint", clock)
    with pytest.raises(StoreUnavailable):
        keeper(watchlist, told).keep()
    with keeper(watchlist, told, every_s=0.01):
        time.sleep(0.1)
    assert told.all == []
    client.connection_pool.disconnect()


def test_a_loss_is_noticed_after_a_restart_too(
    client: redis.Redis, clock: ManualClock, tmp_path: Path
) -> None:
    file = SeenFile(tmp_path / "seen.json")

    def started() -> Watchlist:
        return Watchlist(client, "checkpoint", clock, seen=file)

    first = started()
    first.add([entry(PLATE)])
    first.add([entry("辽A00001")])
    client.flushall()
    second, third = started(), started()
    second.lookup([])
    assert second.loss is not None
    assert "from version 2 to version 0" in second.loss.message
    assert "watchlist acknowledge" in second.loss.message
    assert second.add([entry(PLATE)]).version == 3  # never a version that was there before
    third.lookup([])
    assert third.loss is not None
    assert "another list" in third.loss.message
    second.acknowledge_loss()
    assert second.loss is None
    third.lookup([])  # takes that over from the file
    assert third.loss is None
    fourth = started()
    fourth.lookup([])
    assert fourth.loss is None
    assert file.read().version == 3


def test_a_file_that_cannot_be_used_is_no_obstacle(
    client: redis.Redis, clock: ManualClock, tmp_path: Path
) -> None:
    (tmp_path / "seen.json").write_text("{broken", encoding="utf-8")
    watchlist = Watchlist(client, "checkpoint", clock, seen=SeenFile(tmp_path / "seen.json"))
    assert watchlist.add([entry(PLATE)]).version == 1
    (tmp_path / "folder").touch()
    watchlist = Watchlist(client, "checkpoint", clock, seen=SeenFile(tmp_path / "folder" / "x"))
    assert watchlist.add([entry("辽A00001")], Note("Li")).version == 2


def test_answers_that_overtake_each_other_are_no_loss(clock: ManualClock) -> None:
    """Two threads ask; the one that got the older answer judges it last."""
    watch = LossWatch(None, clock, "redis://host")
    watch.check(Seen(5, "a"), watch.seen)
    asked = watch.seen
    watch.check(Seen(7, "a"), watch.seen)
    watch.check(Seen(6, "a"), asked)
    assert watch.loss is None
    assert watch.seen == Seen(7, "a")
    watch.check(Seen(6, "a"), watch.seen)
    assert watch.loss is not None
    watch.check(Seen(8, "a"), watch.seen)
    assert watch.loss is None
