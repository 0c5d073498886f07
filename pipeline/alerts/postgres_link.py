"""One PostgreSQL database: its connections, what makes commits durable, its failures in our words.

Everything lies in a schema of its own, named by the key prefix. A commit returns when it is on the
disk (``synchronous_commit``), and nobody sees it before; with ``synchronous_standby_names`` that
is the disk of a standby, too, so that a fail-over loses nothing. The URL may name several hosts:
libpq finds the one that takes writes.

Connections are few and are kept idle between calls. None is repaired: one that fails is closed
with all idle ones, and the call is made once more on a new one, which every call may be. So a
server that is away is said at once, in its own words, and one that is back is used at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row

from pipeline.config.base import is_here
from pipeline.errors import ConfigError, StoreUnavailable, redact

T = TypeVar("T")

_ANSWER_S: Final = 5.0
"""A server that has not answered by then is away."""


class Connection(psycopg.Connection[Any]):
    """One whose server must answer in time: it may hang, or its host be cut off, in silence."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._replicated = True
        self.add_notice_handler(self._notice)

    def check_replicated(self) -> None:
        """See that no commit went without the standby that it had to wait for.

        A wait that is cancelled (``pg_cancel_backend``, ``statement_timeout``) ends as if all were
        well, with a warning.

        Raises:
            psycopg.OperationalError: one did; the connection is closed.
        """
        if not self._replicated:
            self.close()
            raise psycopg.OperationalError("a commit was not confirmed by the standby")

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.source_function == "SyncRepWaitForLSN":  # its text is in the server's language
            self._replicated = False

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for an answer, for ``timeout`` or else ``_ANSWER_S``.

        Raises:
            psycopg.OperationalError: none came; without a ``timeout`` the connection is closed.
        """
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        began_s = time.monotonic()
        try:
            return super().wait(gen, interval, _ANSWER_S)
        except psycopg.OperationalError as error:
            if time.monotonic() - began_s < _ANSWER_S:
                raise
            self.close()
            raise psycopg.OperationalError(f"no answer within {_ANSWER_S:g} s") from error


_DEFAULTS: Final = {
    "connect_timeout": "5",
    "target_session_attrs": "read-write",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""Of every connection, unless the URL says otherwise: a host that has gone is noticed."""
_SETTINGS: Final = """
SELECT count(set_config(name, value, false)) FROM (VALUES
    ('search_path', quote_ident(%s)),
    ('lock_timeout', '4s'),
    ('statement_timeout', '0'),
    ('default_transaction_isolation', 'read committed'),
    ('synchronous_commit', CASE current_setting('synchronous_commit')
        WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END)
) AS wanted (name, value)
"""
_LONGEST_SCHEMA: Final = 63
_REFUSED: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)
"""Failures of a connection that is sound."""
_LOST: Final = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
"""Of a server that has gone, or that takes no more writes."""


class PostgresLink:
    """What the stores in one PostgreSQL database share. Any thread may call any method.

    Args:
        url: ``postgresql://user:password@host1,host2/database?sslmode=…``. Beyond this machine
            the server's certificate is verified unless the URL says otherwise.
        schema: of our tables; made where it is missing.
        password: where the URL does not hold it.

    Raises:
        ConfigError: the URL cannot be used.
    """

    def __init__(
        self, url: str, schema: str = "checkpoint", *, password: str | None = None
    ) -> None:
        if len(schema.encode()) > _LONGEST_SCHEMA:
            raise ConfigError(
                f"watchlist.key_prefix: names the schema in PostgreSQL, too: at most "
                f"{_LONGEST_SCHEMA} characters"
            )
        self.schema = schema
        self._conninfo = _conninfo(url, password)
        self._lock = threading.Lock()
        self._idle: dict[bool, list[Connection]] = {True: [], False: []}
        """By whether they listen; the one used last is used next."""
        self._closed = False

    def ask(self, work: Callable[[Connection], T]) -> T:
        """Answer of ``work``, each of whose statements is a transaction of its own."""
        return self._run(work, listens=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Answer of ``work``, done in one transaction whose events subscribers are woken for; it
        is on the disk on return."""

        def whole(connection: Connection) -> T:
            with connection.pipeline(), connection.transaction():
                answer = work(connection)
                # This makes a commit of it even where nothing was changed, so that what another
                # had committed before is on the disk, too.
                connection.execute("SELECT pg_notify(%s, '')", (self.schema,))
            connection.check_replicated()
            return answer

        return self._run(whole, listens=False)

    def listen(self, look: Callable[[Connection], T | None], timeout_s: float) -> T | None:
        """What ``look`` finds now, or after the next event; None where nothing comes in time."""

        def wait(connection: Connection) -> T | None:
            found = look(connection)
            if found is None:
                for _ in connection.notifies(timeout=timeout_s, stop_after=1):
                    pass
                found = look(connection)
            return found

        return self._run(wait, listens=True)

    def close(self) -> None:
        """Close every idle connection, and from now on each that is used as soon as it is idle."""
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            idle = [one for some in self._idle.values() for one in some]
            for some in self._idle.values():
                some.clear()
        for one in idle:
            one.close()

    def _run(self, work: Callable[[Connection], T], *, listens: bool) -> T:
        with unavailable():
            connection, used = self._take(listens)
            try:
                return work(connection)
            except _REFUSED:
                raise
            except _LOST:
                connection.close()
                self._drop_idle()
                if not used:
                    raise
            finally:
                self._give_back(connection, listens)
            connection = self._open(listens)
            try:
                return work(connection)
            finally:
                self._give_back(connection, listens)

    def _give_back(self, connection: Connection, listens: bool) -> None:
        with self._lock:
            sound = connection.info.transaction_status == TransactionStatus.IDLE
            if sound and not connection.closed and not self._closed:
                self._idle[listens].append(connection)
                return
        connection.close()

    def _take(self, listens: bool) -> tuple[Connection, bool]:
        """A connection, and whether it was used before."""
        with self._lock:
            if self._idle[listens]:
                return self._idle[listens].pop(), True
        return self._open(listens), False

    def _open(self, listens: bool) -> Connection:
        connection: Connection = Connection.connect(
            self._conninfo, autocommit=True, row_factory=namedtuple_row
        )
        try:
            connection.execute(_SETTINGS, (self.schema,))
            if listens:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.schema)))
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Turn every failure to reach PostgreSQL into ``StoreUnavailable``."""
    try:
        yield
    except (psycopg.Error, OSError) as error:
        said = " ".join(redact(str(error)).split()) or type(error).__name__
        raise StoreUnavailable(
            f"the alert store (PostgreSQL) is away or refuses: {said}; it is tried again"
        ) from error


def _conninfo(url: str, password: str | None) -> str:
    try:
        said = conninfo_to_dict(url)
        hosts = [
            *str(said.get("host") or "").split(","),
            *str(said.get("hostaddr") or "").split(","),
        ]
        beyond = [host for host in hosts if host and not host.startswith("/") and not is_here(host)]
        if beyond and "sslmode" not in said:
            said["sslmode"] = "verify-full"
            said.setdefault("sslrootcert", "system")
        if password is not None:
            said["password"] = password
        return make_conninfo("", **{**_DEFAULTS, "client_encoding": "UTF8", **said})
    except psycopg.Error as error:
        raise ConfigError(
            f"alerts.postgres_url: {redact(url)!r} cannot be used: {redact(str(error)).strip()}; "
            "write postgresql://user:password@host/database"
        ) from None
