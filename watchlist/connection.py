"""Connecting to Redis, and its errors in this project's words.

One client serves the watchlist and the alert service alike: ``decode_responses`` is off, so
values are bytes. The protocol is RESP2, which every Redis from 6.2 to 8 and Valkey speak.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from pipeline.config import WatchlistSettings
from pipeline.errors import ConfigError, StoreUnavailable, redact
from watchlist.cluster import cluster_pool
from watchlist.rows import Keys

_RETRIES = 2
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 0.2
_SENTINEL_PORT, _REDIS_PORT = 26379, 6379
_HELP = (
    "write redis://host:6379/0, rediss://user:password@host:6380/0, unix:///path/to.sock, "
    "redis+sentinel://host1:26379,host2/service/0 or redis+cluster://host1:6379,host2"
)


def connection_options(timeout_s: float) -> dict[str, Any]:
    """What every connection of ours is opened with.

    A dropped connection is tried again twice within half a second; a time-out is not, it
    has cost ``timeout_s`` already. All our writes may be repeated without harm.
    """
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "protocol": 2,
        "decode_responses": False,
        "retry": Retry(
            ExponentialBackoff(cap=_LONGEST_WAIT_S, base=_FIRST_WAIT_S),
            retries=_RETRIES,
            supported_errors=(redis.ConnectionError,),
        ),
    }


def connect(settings: WatchlistSettings) -> redis.Redis:
    """A client of the Redis that ``settings.redis_url`` names; nothing is sent yet.

    Through Sentinels it follows the service's master (``?role=replica``: one of its replicas), in
    a cluster the node that holds the list's slot: all keys share one.

    Raises:
        ConfigError: the URL or a TLS file cannot be used.
    """
    url = settings.redis_url or ""
    if url.startswith("/"):
        url = f"unix://{quote(url)}"
    options = connection_options(settings.timeout_s)
    if settings.user is not None:
        options["username"] = settings.user
    if settings.password is not None:
        options["password"] = settings.password
    try:
        options |= _tls(url, settings)
        scheme, _, kind = url.partition("://")[0].partition("+")
        match kind:
            case "" if scheme in {"redis", "rediss", "unix"}:
                return redis.Redis.from_url(url, **options)
            case "sentinel" if scheme in {"redis", "rediss"}:
                return _through_sentinels(_Hosts.of(url, _SENTINEL_PORT), settings, options)
            case "cluster" if scheme in {"redis", "rediss"}:
                return _in_cluster(_Hosts.of(url, _REDIS_PORT), settings, options)
        raise ValueError(f"no such kind of address: {url.partition('://')[0][:20]!r}")
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"watchlist.redis_url: {redact(url)!r} cannot be used: {error}; {_HELP}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Hosts:
    """What a URL with several hosts says."""

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None
    path: tuple[str, ...]
    query: dict[str, str]

    @classmethod
    def of(cls, url: str, port: int) -> _Hosts:
        rest = url.partition("://")[2]
        ahead, _, query = rest.partition("?")
        names, *path = ahead.split("/")
        credentials, _, names = names.rpartition("@")
        user, _, password = credentials.partition(":")
        parts = [urlsplit(f"//{name}") for name in names.split(",")]
        if not all(part.hostname for part in parts):
            raise ValueError("a host is missing")
        return cls(
            tuple((part.hostname or "", part.port or port) for part in parts),
            unquote(user) or None,
            unquote(password) or None,
            tuple(unquote(part) for part in path if part),
            dict(parse_qsl(query, strict_parsing=True)) if query else {},
        )

    def credentials(self) -> dict[str, str]:
        return {
            name: value
            for name, value in (("username", self.user), ("password", self.password))
            if value is not None
        }


def _through_sentinels(
    said: _Hosts, settings: WatchlistSettings, options: dict[str, Any]
) -> redis.Redis:
    if not 1 <= len(said.path) <= 2:
        raise ValueError("name the service: redis+sentinel://host/SERVICE or …/SERVICE/DB")
    role = said.query.get("role", "master")
    if role not in {"master", "replica"} or said.query.keys() - {"role"}:
        raise ValueError("after ? only role=master or role=replica can stand")
    database = int(said.path[1]) if len(said.path) > 1 else 0
    options = {**said.credentials(), **options}
    to_sentinels = {k: v for k, v in options.items() if k not in {"username", "password"}}
    if settings.sentinel_user is not None:
        to_sentinels["username"] = settings.sentinel_user
    if settings.sentinel_password is not None:
        to_sentinels["password"] = settings.sentinel_password
    sentinel = Sentinel(said.hosts, sentinel_kwargs=to_sentinels, **options)  # type: ignore[no-untyped-call]
    find = sentinel.master_for if role == "master" else sentinel.slave_for
    client: redis.Redis = find(said.path[0], db=database)  # type: ignore[no-untyped-call]
    return client


def _in_cluster(said: _Hosts, settings: WatchlistSettings, options: dict[str, Any]) -> redis.Redis:
    if said.path not in {(), ("0",)} or said.query:
        raise ValueError("a cluster has database 0 alone, and nothing stands after the hosts")
    options = {**said.credentials(), **options}
    key = Keys(settings.key_prefix).plates
    return redis.Redis(connection_pool=cluster_pool(said.hosts, key, options))


def _tls(url: str, settings: WatchlistSettings) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": settings.tls_ca,
        "ssl_certfile": settings.tls_certificate,
        "ssl_keyfile": settings.tls_key,
    }
    named = {option: str(path) for option, path in files.items() if path is not None}
    if not url.startswith("rediss"):
        if named:
            raise ValueError("tls_… needs a URL that begins with rediss")
        return {}
    try:  # said now, with the file's name, and not as a failed handshake
        context = ssl.create_default_context(cafile=named.get("ssl_ca_certs"))
        if "ssl_certfile" in named:
            context.load_cert_chain(named["ssl_certfile"], named["ssl_keyfile"])
    except OSError as error:  # SSLError is one too
        raise ConfigError(
            f"watchlist.tls_ca, tls_certificate or tls_key: {', '.join(named.values())}: "
            f"{error.strerror or error}; name PEM files that belong together"
        ) from None
    return named if "+" not in url.partition("://")[0] else {"ssl": True, **named}


def address(client: redis.Redis) -> str:
    """Where a client connects to, without credentials, for messages and logs."""
    pool = client.connection_pool
    options = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool):
        return f"redis+sentinel://…/{pool.service_name}"
    if "shown_as" in options:
        return str(options["shown_as"])
    if "path" in options:
        return f"unix://{options['path']}"
    secure = issubclass(pool.connection_class, redis.SSLConnection)
    scheme = "rediss" if secure else "redis"
    return f"{scheme}://{options.get('host', 'localhost')}:{options.get('port', 6379)}"


@contextmanager
def redis_errors(client: redis.Redis) -> Iterator[None]:
    """Turn every error of redis-py inside the block into ``StoreUnavailable``.

    The message names the server without its credentials, what is wrong and what to do.
    """
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(f"Redis at {address(client)}: {_explain(error)}") from error
    except OSError as error:
        raise StoreUnavailable(f"Redis at {address(client)}: {error}") from error


def _explain(error: redis.RedisError) -> str:
    said = redact(str(error))
    match error:
        case redis.AuthenticationError() | redis.exceptions.AuthorizationError():
            return f"refuses the user or password: {said}; correct watchlist.redis_url"
        case redis.exceptions.NoPermissionError():
            return f"does not allow this user that command: {said}; extend the user's ACL"
        case redis.BusyLoadingError():
            return "is still loading its data; try again in a moment"
        case redis.ResponseError() if "READONLY" in said or "read only replica" in said:
            return "is a read-only replica; send changes of the list to its primary"
        case redis.ResponseError() if "'maxmemory'" in said:
            return "is out of memory and refuses changes; raise its maxmemory"
        case redis.sentinel.MasterNotFoundError() | redis.sentinel.SlaveNotFoundError():
            return f"the Sentinels name no server: {said}; see that they run and know the service"
        case redis.TimeoutError():
            return "does not answer in time; see whether it is overloaded or unreachable"
        case redis.ConnectionError():
            return f"cannot be reached: {said}; see whether it runs and the address is right"
        case redis.ResponseError() if said.startswith(("MISCONF", "NOREPLICAS")):
            return f"refuses writes: {said}; see its disk and its log"
        case redis.ResponseError() if said.startswith("BUSY"):
            return "is busy with a long change; try again in a moment"
        case redis.ResponseError() if said.startswith(("NOAUTH", "WRONGPASS")):
            return f"refuses the user or password: {said}; correct watchlist.redis_url"
    return f"refuses: {said}"
