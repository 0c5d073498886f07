"""Every kind of address against real servers: TLS with ACL, Sentinel, a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from pipeline.clock import ManualClock
from pipeline.config import WatchlistSettings
from pipeline.errors import ConfigError, StoreUnavailable
from tests.integration.alerts_support import make_certificates
from tests.support.ports import free_port
from tests.support.redis_servers import (
    bundled,
    cluster,
    installed,
    running,
    sentinel,
)
from tests.support.waiting import wait_until
from tests.support.watchlists import entry
from watchlist.connection import address, connect
from watchlist.embedded import open_redis
from watchlist.store import Watchlist, open_watchlist

pytestmark = pytest.mark.redis
PLATE = "辽A12345"
ACL = "user keeper on >s3cret/@ ~{checkpoint}:watchlist:* +@all"


@contextlib.contextmanager
def client_at(port: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=port, socket_timeout=20) as client:
        try:
            yield client
        finally:
            client.connection_pool.disconnect()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def guarded(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The TLS port of a server that wants a client certificate and an ACL user."""
    executable = installed()
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    files = {
        "--tls-cert-file": certificates / "server.pem",
        "--tls-key-file": certificates / "server.key",
        "--tls-ca-cert-file": certificates / "ca.pem",
    }
    options = ["--tls-port", str(port), *(str(word) for pair in files.items() for word in pair)]
    with contextlib.ExitStack() as stack:
        try:
            _, plain = stack.enter_context(running(executable, folder, *options))
        except RuntimeError:
            pytest.skip(f"{executable} was built without TLS")
        admin = stack.enter_context(client_at(plain))
        admin.execute_command("ACL", "SETUSER", *ACL.split()[1:])
        admin.execute_command("ACL", "SETUSER", "default", "off")
        yield port


def tls_settings(port: int, certificates: Path, **more: Any) -> WatchlistSettings:
    files = {
        "tls_ca": certificates / "ca.pem",
        "tls_certificate": certificates / "client.pem",
        "tls_key": certificates / "client.key",
    }
    return WatchlistSettings(**{"redis_url": f"rediss://localhost:{port}/0", **files, **more})


def test_tls_with_an_acl_user(guarded: int, certificates: Path, tmp_path: Path) -> None:
    settings = tls_settings(guarded, certificates, user="keeper", password="s3cret/@")
    with open_watchlist(settings, tmp_path, ManualClock()) as watchlist:
        watchlist.add([entry(PLATE)])
        assert PLATE in watchlist.lookup([PLATE]).entries
    url = f"rediss://keeper:s3cret%2F%40@localhost:{guarded}/0"
    settings = tls_settings(guarded, certificates, redis_url=url)
    with open_redis(settings, tmp_path) as client:
        assert client.ping()
        assert address(client) == f"rediss://localhost:{guarded}"


def test_tls_refusals_are_explained(guarded: int, certificates: Path, tmp_path: Path) -> None:
    def said(settings: WatchlistSettings) -> str:
        with pytest.raises(StoreUnavailable) as caught, open_redis(settings, tmp_path):
            pass
        assert "s3cret" not in str(caught.value)
        return str(caught.value)

    assert "refuses the user or password" in said(
        tls_settings(guarded, certificates, user="keeper", password="wrong")
    )
    no_user = tls_settings(guarded, certificates)
    assert "refuses the user or password" in said(no_user)
    unknown_ca = no_user.model_copy(update={"tls_ca": None})
    assert "certificate verify failed" in said(unknown_ca)
    nobody = no_user.model_copy(update={"tls_certificate": None, "tls_key": None})
    assert "cannot be reached" in said(nobody)


def test_tls_files_are_named_when_they_are_wrong(certificates: Path, tmp_path: Path) -> None:
    right = tls_settings(1, certificates)
    for wrong in (
        {"tls_ca": tmp_path / "absent.pem"},
        {"tls_key": certificates / "server.key"},
        {"tls_certificate": certificates / "ca.key"},
    ):
        name = str(next(iter(wrong.values())))
        with pytest.raises(ConfigError, match=r"watchlist\.tls_") as caught:
            connect(right.model_copy(update=wrong))
        assert name in str(caught.value)
    with pytest.raises(ConfigError, match="begins with rediss"):
        connect(right.model_copy(update={"redis_url": "redis://localhost"}))
    with pytest.raises(ValueError, match="go together"):
        WatchlistSettings(tls_certificate=certificates / "client.pem")


def test_sentinels_lead_to_the_master_and_to_the_next_one(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "sentinel")]
    for folder in folders:
        folder.mkdir()
    executable = bundled()
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(executable, folders[0]))
        follow = ("--replicaof", first[0], str(first[1]), "--repl-diskless-sync-delay", "0")
        second = stack.enter_context(running(executable, folders[1], *follow))
        port = stack.enter_context(sentinel(executable, folders[2], "lists", first[1]))
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/lists/0"
        settings = WatchlistSettings(redis_url=url, timeout_s=1.0)
        watchlist = stack.enter_context(open_watchlist(settings, tmp_path, ManualClock()))
        watchlist.add([entry(PLATE)])
        with client_at(second[1]) as replica, client_at(port) as asked:
            wait_until(lambda: replica.exists("{checkpoint}:watchlist:plates"))
            wait_until(lambda: asked.execute_command("SENTINEL", "REPLICAS", "lists"))
            reading = settings.model_copy(update={"redis_url": f"{url}?role=replica"})
            with open_watchlist(reading, tmp_path, ManualClock()) as reader:
                assert PLATE in reader.lookup([PLATE]).entries
                with pytest.raises(StoreUnavailable, match="read-only replica"):
                    reader.add([entry("辽A00001")])
            with client_at(first[1]) as old, contextlib.suppress(redis.ConnectionError):
                old.shutdown(nosave=True)

            def goes_on() -> bool:
                try:
                    watchlist.add([entry("辽A00001")])
                except StoreUnavailable as error:
                    assert "lists" in str(error)  # noqa: PT017
                    return False
                return True

            wait_until(goes_on)
            assert replica.info("replication")["role"] == "master"
        assert watchlist.lookup([PLATE, "辽A00001"]).entries.keys() == {PLATE, "辽A00001"}
        assert watchlist.loss is None
    with (
        pytest.raises(StoreUnavailable, match=r"redis\+sentinel://…/lists"),
        open_redis(settings, tmp_path),
    ):
        pass


@pytest.mark.slow
def test_in_a_cluster_the_list_is_found_where_it_is(tmp_path: Path) -> None:
    slot = key_slot(b"{checkpoint}:watchlist:plates")
    with cluster(bundled(), tmp_path) as servers, contextlib.ExitStack() as stack:
        one, two = servers.nodes
        settings = WatchlistSettings(redis_url=servers.url, timeout_s=1.0)
        watchlist = stack.enter_context(open_watchlist(settings, tmp_path, ManualClock()))
        assert watchlist.add([entry(f"辽A{n:05}") for n in range(1200)]).version == 1
        assert one.dbsize() > 0
        assert two.dbsize() == 0
        servers.move(slot)
        assert watchlist.add([entry(PLATE)]).version == 2
        assert watchlist.lookup([PLATE, "辽A00007"]).entries.keys() == {PLATE, "辽A00007"}
        assert one.dbsize() == 0
    with (
        pytest.raises(StoreUnavailable, match="cannot be reached") as caught,
        open_redis(settings, tmp_path),
    ):
        pass
    assert "redis+cluster://127.0.0.1:1,127.0.0.1:" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://host:26379", "name the service"),
        ("redis+sentinel://host/a/b/c", "name the service"),
        ("redis+sentinel://host/a/x", "invalid literal"),
        ("redis+sentinel:///service", "a host is missing"),
        ("redis+sentinel://host/a?role=none", "role=replica"),
        ("redis+sentinel://host/a?db=1", "role=replica"),
        ("redis+cluster://host/1", "database 0"),
        ("redis+cluster://host:port", "[Pp]ort"),
        ("redis+cluster://", "a host is missing"),
        ("http+sentinel://host/a", "no such kind of address"),
        ("mailto:x", "no such kind of address"),
    ],
)
def test_a_url_that_makes_no_sense(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        connect(WatchlistSettings(redis_url=url))


def test_a_watchlist_with_another_prefix_has_another_slot() -> None:
    url = "redis+cluster://user:s3cret@host:7000,[::1]:7001"
    client = connect(WatchlistSettings(redis_url=url, key_prefix="north"))
    assert address(client) == "redis+cluster://host:7000,::1:7001"
    assert Watchlist(client, "north", ManualClock()).loss is None  # nothing was sent
