"""The embedded default: a real redis-server as a child process, used when no URL is configured.

Everything after the connection is the code path of a remote Redis. The server listens on a
Unix socket in ``DATA_DIR/redis`` alone (folder and socket are for this user only), keeps an
append-only file there, and is shared by all Checkpoint processes of that data folder.

Who runs it: ``DATA_DIR/redis/server.lock`` is locked (flock) by whoever starts the server, and
the server inherits that lock. So the lock is held exactly as long as a redis-server works on
these files: two can never write them at once, whatever is killed in which order. A process that
finds no answer takes the lock and starts the server; one that finds an answer connects to it.

When its owner ends, the server ends too: gracefully on ``close``, and through Linux's
PR_SET_PDEATHSIG if the owner is killed. Another process that still uses it sees its connection
drop; its client reconnects, finds no server, and starts (and from then on owns) a new one on the
same files. Only a command that was under way at that moment may fail with StoreUnavailable.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Literal, cast

import redis
import structlog

from pipeline.config import WatchlistSettings, child_environment
from pipeline.errors import StoreUnavailable
from watchlist.connection import connect, connection_options, redis_errors
from watchlist.server import OLDEST, find_server

log = structlog.get_logger(__name__)

Fsync = Literal["everysec", "always"]

_SOCKET, _LOCK, _LOG, _VERSION = "redis.sock", "server.lock", "redis.log", "redis-version"
_LONGEST_SOCKET_PATH = 107  # sun_path holds 108 bytes, the last one is NUL
_ANSWER_DEADLINE_S = 10.0
_STOP_DEADLINE_S = 2.0
_LOG_BYTES = 1 << 20
_STARTS, _STARTS_WITHIN_S = 5, 60.0

# The server dies with its owner. Setting that in the child needs no preexec_fn (unsafe with
# threads): a bare interpreter sets it on itself and becomes the server.
_DIE_WITH_OWNER = (
    "import ctypes,os,sys;"
    f"ctypes.CDLL(None).prctl(1,{int(signal.SIGTERM)},0,0,0);"
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


class _Answer(Enum):
    """What a PING over the socket brought."""

    NONE = "none"
    LOADING = "loading"
    READY = "ready"


class EmbeddedRedis:
    """The redis-server of one data folder, as one process sees it. Safe to share by threads."""

    def __init__(self, data_dir: Path, fsync: Fsync = "everysec") -> None:
        self.folder = data_dir.absolute() / "redis"
        self._fsync: Fsync = fsync
        self._lock = threading.RLock()
        self._child: subprocess.Popen[bytes] | None = None
        self._folder_fd: int | None = None
        self._starts: deque[float] = deque(maxlen=_STARTS)
        self._closed = False

    @property
    def owned(self) -> bool:
        """True while the server is a child of this process."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id of the server if this process owns it."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    @property
    def socket_path(self) -> str:
        """Path to connect to. A data folder too deep for a socket's 107 bytes is reached
        through this process's open descriptor of it."""
        path = str(self.folder / _SOCKET)
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        if self._folder_fd is None:
            self._make_folder()
            self._folder_fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder_fd}/{_SOCKET}"

    def ensure(self, loading_s: float | None = None) -> None:
        """Return once a server answers: the one that runs, or one started here.

        A server that loads its data is waited for, at most ``loading_s`` seconds if given.

        Raises:
            StoreUnavailable: none can be started, or the one that runs does not answer.
        """
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"embedded Redis in {self.folder}: is closed")
            began = time.monotonic()
            deadline = began + _ANSWER_DEADLINE_S
            started: subprocess.Popen[bytes] | None = None
            pause_s = 0.005
            while (answer := self._ask()) is not _Answer.READY:
                if answer is _Answer.LOADING:
                    deadline = time.monotonic() + _ANSWER_DEADLINE_S
                    if loading_s is not None and time.monotonic() > began + loading_s:
                        raise StoreUnavailable(
                            f"embedded Redis in {self.folder}: is still loading its data"
                        )
                elif started is not None and started.poll() is not None:
                    raise StoreUnavailable(self._failure("ended at once"))
                elif (lock := self._take_lock()) is not None:
                    try:
                        started = self._start(lock)
                    finally:
                        os.close(lock)  # the server holds its own copy
                elif time.monotonic() > deadline:
                    raise StoreUnavailable(
                        self._failure(f"a server holds {_LOCK} but does not answer; end it")
                    )
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, 0.1)

    def close(self) -> None:
        """Stop the server if this process owns it: gracefully, within 2 s, then by force.

        The append-only file is complete in either case. Others that use the server start
        their own when they next reconnect.
        """
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
            if child is not None:
                child.terminate()  # to Redis the same as SHUTDOWN: flush, fsync, leave
                try:
                    child.wait(_STOP_DEADLINE_S)
                except subprocess.TimeoutExpired:
                    log.warning("redis.killed", folder=str(self.folder), after_s=_STOP_DEADLINE_S)
                    child.kill()
                    child.wait()
            if self._folder_fd is not None:
                os.close(self._folder_fd)
                self._folder_fd = None

    def _ask(self) -> _Answer:
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
            link.settimeout(1.0)
            try:
                link.connect(self.socket_path)
                link.sendall(b"PING\r\n")
                said = link.recv(64)
            except PermissionError:
                raise StoreUnavailable(
                    f"embedded Redis in {self.folder}: belongs to another user; run this "
                    "command as the user that runs Checkpoint"
                ) from None
            except OSError:
                return _Answer.NONE
        if said.startswith(b"+PONG"):
            return _Answer.READY
        return _Answer.LOADING if said.startswith(b"-LOADING") else _Answer.NONE

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise StoreUnavailable(
                f"embedded Redis: {self.folder} cannot be made: {error.strerror}; "
                "set data_dir to a folder that this user may write"
            ) from error

    def _take_lock(self) -> int | None:
        """The locked descriptor, or None while a server (or one that starts it) holds it."""
        self._make_folder()
        try:
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"embedded Redis: {self.folder / _LOCK} cannot be opened: {error.strerror}; "
                "run this command as the user that runs Checkpoint"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _start(self, lock: int) -> subprocess.Popen[bytes]:
        """Start a server that holds ``lock``. The caller waits until it answers."""
        now = time.monotonic()
        if len(self._starts) == _STARTS and now - self._starts[0] < _STARTS_WITHIN_S:
            raise StoreUnavailable(self._failure(f"was started {_STARTS} times within a minute"))
        self._starts.append(now)
        written_by = self._written_by()
        path, version = find_server(max(OLDEST, written_by))
        (self.folder / _SOCKET).unlink(missing_ok=True)
        self._turn_log()
        (self.folder / _VERSION).write_text(".".join(map(str, version)) + "\n", encoding="ascii")
        if written_by and version != written_by:
            log.info("redis.upgraded", folder=str(self.folder), version=version)
        command = [path, *self._options()]
        started = threading.Event()
        failure: list[OSError] = []

        def keep() -> None:
            # PR_SET_PDEATHSIG speaks of the *thread* that forked. This one lives as long as
            # the server does, so that the end of some worker thread does not stop Redis.
            try:
                child = self._child = self._spawn(command, lock)
            except OSError as error:
                failure.append(error)
                return
            finally:
                started.set()
            status = child.wait()
            if self._child is child and not self._closed:
                log.warning("redis.ended", folder=str(self.folder), status=status)

        threading.Thread(target=keep, name="redis-keeper", daemon=True).start()
        started.wait()
        if failure or self._child is None:
            raise StoreUnavailable(f"embedded Redis: {path} does not start: {failure}")
        log.debug("redis.started", folder=str(self.folder), server=path, pid=self._child.pid)
        return self._child

    def _spawn(self, command: list[str], lock: int) -> subprocess.Popen[bytes]:
        if sys.platform == "linux":
            wrapper = [sys.executable, "-I", "-S", "-c", _DIE_WITH_OWNER, str(os.getpid())]
            command = [*wrapper, *command]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C reaches the pipeline, which stops Redis last
        )

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": _SOCKET,  # relative to the folder: never too long
            "unixsocketperm": "700",
            "dir": ".",
            "logfile": _LOG,
            "loglevel": "warning",
            "daemonize": "no",
            "databases": "1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "maxmemory-policy": "noeviction",
        }
        return [word for key, value in options.items() for word in (f"--{key}", value)]

    def _written_by(self) -> tuple[int, ...]:
        """Version of the server that wrote the files: an older one would not see the data of
        a later one, and start empty."""
        try:
            text = (self.folder / _VERSION).read_text(encoding="ascii")
            return tuple(int(part) for part in text.strip().split("."))
        except (OSError, ValueError):
            return ()

    def _turn_log(self) -> None:
        current = self.folder / _LOG
        if current.exists() and current.stat().st_size > _LOG_BYTES:
            current.replace(current.with_suffix(".log.1"))

    def _failure(self, what: str) -> str:
        try:
            last = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace")
        except OSError:
            last = ""
        said = " | ".join(line.strip() for line in last.splitlines()[-3:] if line.strip())
        return f"embedded Redis in {self.folder}: {what}; its log ends: {said or '(nothing)'}"


class EmbeddedConnection(redis.UnixDomainSocketConnection):
    """A connection that starts the embedded server again if it is gone."""

    def __init__(self, *, server: EmbeddedRedis, shown_as: str, **options: Any) -> None:
        super().__init__(path="", **options)  # type: ignore[no-untyped-call]
        self.host, self.port = shown_as, 0
        self._server = server

    def _connect(self) -> socket.socket:
        self.path = self._server.socket_path
        try:
            return cast(socket.socket, super()._connect())  # type: ignore[no-untyped-call]
        except OSError:
            self._server.ensure(loading_s=self.socket_timeout)
            return cast(socket.socket, super()._connect())  # type: ignore[no-untyped-call]


def connect_embedded(server: EmbeddedRedis, timeout_s: float) -> redis.Redis:
    """A client of the embedded server; it re-ensures the server whenever it reconnects."""
    pool = redis.ConnectionPool(
        connection_class=EmbeddedConnection,
        server=server,
        shown_as=f"{server.folder} (embedded)",
        **connection_options(timeout_s),
    )
    return redis.Redis(connection_pool=pool)


@contextmanager
def open_redis(
    settings: WatchlistSettings,
    data_dir: Path,
    *,
    fsync: Fsync = "everysec",
    check: bool = True,
) -> Iterator[redis.Redis]:
    """A client (values are bytes) of the configured Redis, or of the embedded one.

    Both the watchlist and the alert service use it: open it once in a process and share it
    between threads. On leaving, an embedded server that this process started is stopped.

    ``check=False`` leaves it to the first command to find that a configured Redis is away, for
    a checkpoint that begins its work without one; the embedded one is always started here.
    ``fsync="always"`` makes the embedded server confirm nothing before it is on the disk; with
    a configured Redis that is the server's own business.

    Raises:
        ConfigError: the URL cannot be understood.
        StoreUnavailable: Redis is away, refuses us, or cannot be started.
    """
    if settings.redis_url:
        client = connect(settings)
        try:
            if check:
                with redis_errors(client):
                    client.ping()
            yield client
        finally:
            client.close()
            client.connection_pool.disconnect()
        return
    server = EmbeddedRedis(data_dir, fsync)
    try:
        server.ensure()
        client = connect_embedded(server, settings.timeout_s)
        try:
            with redis_errors(client):
                client.ping()
                if fsync == "always" and not server.owned:
                    client.config_set("appendfsync", "always")
            yield client
        finally:
            client.close()
            client.connection_pool.disconnect()
    finally:
        server.close()
