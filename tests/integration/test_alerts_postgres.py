"""The alert store in PostgreSQL, beyond what every store promises: real servers, real faults."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from pipeline.alerts import CheckpointClient
from pipeline.alerts.postgres_schema import migrations
from pipeline.alerts.postgres_store import PostgresAlertStore
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.records import NewHit
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.reviewed import ReviewedAlerts
from pipeline.alerts.service import AlertService
from pipeline.alerts.stores import open_stores
from pipeline.config import AlertSettings, CheckpointSettings, Role, SinksSettings, WebhookSettings
from pipeline.convert import hit_to_pb
from pipeline.errors import AlertServiceError, ConfigError, StoreUnavailable
from pipeline.outbox import Outbox
from pipeline.runtime import Runtime
from pipeline.types import ReviewState
from tests.integration.alerts_support import make_hit, submit
from tests.support.postgres_server import PostgresServer, postgres_server
from tests.support.receivers import web_receiver
from tests.support.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.grpc


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def store(server: PostgresServer) -> Iterator[PostgresAlertStore]:
    server.execute("DROP SCHEMA IF EXISTS checkpoint CASCADE")
    store = PostgresAlertStore(server.url)
    yield store
    store.close()


@contextlib.contextmanager
def opened(url: str) -> Iterator[PostgresAlertStore]:
    store = PostgresAlertStore(url)
    try:
        yield store
    finally:
        store.close()


def hit(number: int) -> NewHit:
    return NewHit(f"hit-{number}", 0, b"hit", b"", 1000 + number)


def nowhere() -> redis.Redis:
    """A Redis that is not there: alerts in PostgreSQL need none."""
    return redis.Redis(unix_socket_path="/nonexistent/r.sock")


def test_a_service_over_postgres_needs_no_redis(server: PostgresServer, tmp_path: Path) -> None:
    server.execute("DROP SCHEMA IF EXISTS checkpoint CASCADE")
    settings = AlertSettings(listen="127.0.0.1:0", postgres_url=server.url)
    service = AlertService(settings, nowhere(), heartbeat_s=0.2)
    with CheckpointClient(service.start()) as client:
        outbox = Outbox(tmp_path / "outbox.sqlite")
        publisher = Publisher(outbox, service.local_target)
        publisher.start()
        for number in range(3):
            submit(publisher, make_hit(number))
        assert publisher.flush(PATIENCE_S) == 0
        alerts = list(itertools.islice(client.subscribe(0, evidence=True, reviews=True), 3))
        assert [one.sequence for one in alerts] == [1, 2, 3]
        client.review("hit-1", ReviewState.CONFIRMED, "Wang", "same car", outcome="stopped")
        client.withdraw("hit-1", "Wang")
        client.review("hit-1", ReviewState.REJECTED, "Li")
        client.escalate("hit-2", "Wang")
        assert client.evidence("hit-1") == make_hit(1).passage.evidence.jpeg  # type: ignore[union-attr]
        assert [one.kind.value for one in client.history("hit-1")] == [
            "hit",
            "review",
            "withdrawal",
            "review",
        ]
        stats = client.stats()
        assert (stats.alerts, stats.rejected, stats.escalated) == (3, 1, 1)
        server.kill()
        wait_until(lambda: service.problem is not None)
        with pytest.raises(AlertServiceError, match=r"PostgreSQL.* is away"):
            client.list()
        submit(publisher, make_hit(9))
        server.start()
        assert publisher.flush(PATIENCE_S) == 0
        assert client.list()[0].id == "hit-9"
        publisher.stop()
        outbox.close()
    assert service.stop(90)


def test_a_process_serves_and_sends_on_from_where_the_configuration_says(
    server: PostgresServer, tmp_path: Path
) -> None:
    server.execute("DROP SCHEMA IF EXISTS checkpoint CASCADE")
    with web_receiver() as receiver:

        def told() -> list[tuple[str, str | None]]:
            bodies = [json.loads(one.body) for one in list(receiver.posted)]
            return [(body["event"], body.get("review")) for body in bodies]

        url = f"http://127.0.0.1:{receiver.port}/hook"
        settings = CheckpointSettings(
            data_dir=tmp_path / "var",
            roles=(Role.ALERTS,),
            alerts=AlertSettings(listen="127.0.0.1:0", postgres_url=server.url),
            sinks=SinksSettings(
                webhooks=(WebhookSettings(name="desk", url=url, secret="s3cret" * 8, begin="all"),)
            ),
        )
        with Runtime(settings) as runtime, opened(server.url) as store:
            assert runtime.alert_address is not None
            message = hit_to_pb(make_hit(1, jpeg=b""))
            store.publish([NewHit("hit-1", 0, message.SerializeToString(), b"", 10**15)])
            with CheckpointClient(runtime.alert_address) as client:
                wait_until(lambda: client.list())
                client.review("hit-1", ReviewState.CONFIRMED, "Wang")
            wait_until(lambda: ("review", "confirmed") in told())
            assert len(ReviewedAlerts(store).due(datetime.now(UTC) + timedelta(days=1))) == 1


def test_of_many_first_starts_one_makes_the_tables(
    server: PostgresServer, store: PostgresAlertStore
) -> None:
    stores = [PostgresAlertStore(server.url) for _ in range(6)]
    together = threading.Barrier(6)

    def connect(one: PostgresAlertStore) -> str:
        together.wait()
        return one.connect().id

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(connect, stores))) == 1
    for one in stores:
        one.close()
    found = server.execute("SELECT number FROM checkpoint.migrations ORDER BY number")
    assert [number for (number,) in found] == sorted(migrations())


def test_tables_of_a_later_version_are_left_alone(
    server: PostgresServer, store: PostgresAlertStore
) -> None:
    store.connect()
    server.execute("INSERT INTO checkpoint.migrations (number) VALUES (9999)")
    with pytest.raises(ConfigError, match=r"made by a later version .*update this one"):
        store.connect()


def test_a_server_that_may_lose_commits_is_refused() -> None:
    with postgres_server("--fsync=off") as careless:
        store = PostgresAlertStore(careless.url)
        with pytest.raises(ConfigError, match="fsync = on"):
            store.connect()
        assert store.connect(require_durable=False).last == 0
        store.close()


def test_commits_wait_for_the_disk_whatever_the_server_says(
    server: PostgresServer, store: PostgresAlertStore
) -> None:
    server.execute("ALTER ROLE checkpoint SET synchronous_commit = off")
    server.execute("ALTER ROLE checkpoint SET statement_timeout = '1s'")
    server.execute("ALTER ROLE checkpoint SET default_transaction_isolation = 'serializable'")
    try:
        for name, value in (
            ("synchronous_commit", "on"),
            ("statement_timeout", "0"),
            ("transaction_isolation", "read committed"),
        ):
            said = store.ask(lambda one, name=name: one.execute(f"SHOW {name}").fetchone())
            assert said == (value,)
    finally:
        server.execute("ALTER ROLE checkpoint RESET ALL")


def test_another_encoding_is_refused(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    store = PostgresAlertStore(server.url.replace("/postgres?", "/ascii?"))
    with pytest.raises(ConfigError, match="encoded in SQL_ASCII"):
        store.connect()
    store.close()


def test_passwords_are_never_shown(server: PostgresServer) -> None:
    for url, password in (
        ("postgresql://nobody:s3cret@127.0.0.1:1/alerts", None),
        (f"postgresql://nobody:s3cret@127.0.0.1:{server.port}/alerts", None),
        ("postgresql://nobody@127.0.0.1:1/alerts", "s3cret"),
        ("postgresql://nobody:s3cret@db.invalid/alerts", None),
    ):
        store = PostgresAlertStore(url, password=password)
        with pytest.raises(StoreUnavailable, match="away or refuses") as caught:
            store.feed()
        assert "s3cret" not in f"{caught.value}{store!r}{vars(store).keys()}"
        settings = AlertSettings(postgres_url=url, postgres_password=password)
        assert "s3cret" not in repr(settings)
    with pytest.raises(ConfigError, match="postgres_url") as refused:
        PostgresAlertStore("postgresql://nobody:s3cret@host:port/alerts?nosuch=1")
    assert "s3cret" not in str(refused.value)


def test_beyond_this_machine_the_certificate_is_verified() -> None:
    def said(url: str) -> dict[str, object]:
        return psycopg.conninfo.conninfo_to_dict(PostgresAlertStore(url)._conninfo)

    assert said("postgresql://db.example/a")["sslmode"] == "verify-full"
    assert said("postgresql://127.0.0.1,db.example/a")["sslmode"] == "verify-full"
    assert "sslmode" not in said("postgresql://localhost/a")
    assert "sslmode" not in said("postgresql:///a?host=/run/postgresql")
    assert said("postgresql://db.example/a?sslmode=require")["sslmode"] == "require"
    assert said("postgresql://one,two/a")["target_session_attrs"] == "read-write"


def test_the_configuration_chooses_the_store(server: PostgresServer) -> None:
    in_redis = open_stores(AlertSettings(), nowhere(), "north")
    assert isinstance(in_redis.alerts, RedisAlertStore)
    in_postgres = open_stores(AlertSettings(postgres_url=server.url), nowhere(), "north")
    assert isinstance(in_postgres.alerts, PostgresAlertStore)
    assert in_postgres.alerts.connect().last == 0
    assert server.execute("SELECT last FROM north.feed") == [(0,)]
    in_postgres.close()
    with pytest.raises(ValueError, match="postgres_url"):
        AlertSettings(postgres_url="mysql://host/alerts")
    with pytest.raises(ConfigError, match="at most 63"):
        open_stores(AlertSettings(postgres_url=server.url), nowhere(), "n" * 64)


def test_a_server_that_hangs_is_away(server: PostgresServer, store: PostgresAlertStore) -> None:
    store.connect()
    server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="away or refuses"):
            store.publish([hit(1)])
    finally:
        server.signal(signal.SIGCONT)
    assert store.publish([hit(1), hit(2)])[1].sequence == 2
    assert [one.sequence for one in store.page(0, 10).events] == [1, 2]


def test_who_waits_longest_holds_up_nobody(
    server: PostgresServer, store: PostgresAlertStore
) -> None:
    """A transaction of someone else that holds the feed: a clear failure, then all goes on."""
    store.connect()
    with psycopg.connect(server.url) as other:
        other.execute("SELECT * FROM checkpoint.feed FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            store.publish([hit(1)])
        assert store.page(0, 10).events == []
    assert store.publish([hit(1)])[0].sequence == 1


def test_many_wait_and_all_are_woken(store: PostgresAlertStore) -> None:
    store.connect()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(store.wait, 0, PATIENCE_S) for _ in range(6)]
        time.sleep(0.3)
        began = time.monotonic()
        store.publish([hit(1)])
        assert [one.result(PATIENCE_S) for one in waiting] == [1] * 6
        assert time.monotonic() - began < PATIENCE_S


@contextlib.contextmanager
def replicated(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A standby that every commit of the primary waits for."""
    standby = PostgresServer()
    try:
        standby.copy_of(primary)
        standby.start()
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        primary.execute("SELECT pg_reload_conf()")
        sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: primary.execute(sync) == [(1,)])
        yield standby
    finally:
        standby.close()


@pytest.mark.slow
def test_nothing_is_acknowledged_without_the_standby() -> None:
    """It hangs, and the wait for it ends in two ways: nothing is promised then."""
    with postgres_server("--wal_level=replica") as primary, replicated(primary) as standby:
        store = PostgresAlertStore(primary.url)
        store.connect()
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename IS NOT NULL"
        )
        standby.signal(signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            published = pool.submit(store.publish, [hit(1)])
            wait_until(lambda: primary.execute(waiting))
            primary.execute(f"SELECT pg_cancel_backend(pid) FROM ({waiting}) AS backend")
            with pytest.raises(StoreUnavailable, match="PostgreSQL"):
                published.result(PATIENCE_S)
            with pytest.raises(StoreUnavailable, match="PostgreSQL"):
                pool.submit(store.publish, [hit(2)]).result(PATIENCE_S)
        standby.signal(signal.SIGCONT)
        wait_until(lambda: not primary.execute(waiting))
        assert [one.duplicate for one in store.publish([hit(1), hit(3)])] == [True, False]
        store.close()


@pytest.mark.slow
def test_a_fail_over_loses_nothing_that_was_acknowledged() -> None:
    """A primary that waits for its standby dies under load; the standby goes on."""
    with postgres_server("--wal_level=replica") as primary, replicated(primary) as standby:
        store = PostgresAlertStore(
            f"postgresql://checkpoint@{primary.address},{standby.address}/postgres"
        )
        feed = store.connect()
        acknowledged: dict[str, int] = {}
        refused: list[str] = []
        stop = threading.Event()

        def load() -> None:
            for number in itertools.count():
                while not stop.is_set():
                    try:
                        (published,) = store.publish([hit(number)])
                    except StoreUnavailable as error:
                        refused.append(str(error))
                        stop.wait(0.05)
                        continue
                    acknowledged[f"hit-{number}"] = published.sequence
                    break
                if stop.is_set():
                    return

        thread = threading.Thread(target=load)
        thread.start()
        wait_until(lambda: len(acknowledged) > 50)
        primary.kill()
        wait_until(lambda: refused)
        before = len(acknowledged)
        standby.execute("SELECT pg_promote()")
        wait_until(lambda: len(acknowledged) > before + 20)
        stop.set()
        thread.join()
        assert store.connect().id == feed.id
        kept = {}
        after = 0
        while True:
            page = store.page(after, 500)
            kept |= {one.id: one.sequence for one in page.events}  # type: ignore[union-attr]
            after = page.last
            if not page.more:
                break
        assert acknowledged.items() <= kept.items()
        assert sorted(kept.values()) == list(range(1, len(kept) + 1))
        assert any("PostgreSQL" in one for one in refused)
        store.close()
