"""Real PostgreSQL servers for tests, each a private cluster that can be killed at any moment."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from tests.conftest import require
from tests.support.ports import free_port

_UNPRIVILEGED = ("postgres", "nobody")
"""Who runs the server where we are root: it refuses to."""


def programs() -> Path:
    """The folder of initdb and postgres; skips where no server is installed, CI fails."""
    found = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found += sorted(
        (path.parent for path in versions),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)],
    )
    require(found, "no PostgreSQL is installed: apt-get install postgresql")
    return found[-1]


class PostgresServer:
    """A cluster on a Unix socket and a loopback port, on the disk as in use: fsync is on."""

    def __init__(self, *options: str) -> None:
        self._programs = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._options = options
        user = _unprivileged()
        self._as_user: tuple[str, ...] = ()
        if user is not None:
            shutil.chown(self.folder, user.pw_name)
            # Not Popen's own way: it forks, which gRPC's threads in this process may not survive.
            who = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
            self._as_user = ("setpriv", *who, "--")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Over the socket, as the superuser."""
        return f"postgresql://checkpoint@/postgres?host={self.folder}&port={self.port}"

    @property
    def address(self) -> str:
        """Over loopback."""
        return f"127.0.0.1:{self.port}"

    def create(self) -> None:
        """Make an empty cluster."""
        self._run("initdb", "-D", str(self.data), "-U", "checkpoint", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip

    def copy_of(self, primary: PostgresServer) -> None:
        """Make a standby of a running primary, which follows it by the name ``standby``."""
        said = f"host=127.0.0.1 port={primary.port} user=checkpoint application_name=standby"
        self._run("pg_basebackup", "-D", str(self.data), "-d", said, "-R", "--no-sync",
                  "--checkpoint=fast")  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *self._as_user,
            str(self._programs / "postgres"),
            "-D",
            str(self.data),
            "-p",
            str(self.port),
        ]
        settings = {"unix_socket_directories": self.folder, "listen_addresses": "127.0.0.1"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options, *self._options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        for _ in range(1500):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.02)
        raise AssertionError("postgres does not answer: " + (self.folder / "log").read_text())

    def kill(self) -> None:
        """kill -9: the server and every process of it at once."""
        assert self._process is not None
        ended = self.signal(signal.SIGKILL)
        self._process.wait()
        self._process = None
        psutil.wait_procs(ended, timeout=90)

    def signal(self, number: int) -> list[psutil.Process]:
        """Send a signal to the server and every process of it; those processes."""
        assert self._process is not None
        found: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            found = [server, *server.children(recursive=True)]
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        return found

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def execute(self, text: str) -> list[tuple[object, ...]]:
        """Run one statement as the superuser; its rows."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(text.encode())
            return done.fetchall() if done.description else []

    def close(self) -> None:
        """End it and remove its files."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as_user, str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """A running server of our own, ended on leaving."""
    server = PostgresServer(*options)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.close()


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    found = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(found[name] for name in _UNPRIVILEGED if name in found)
