"""Connecting to Redis, and its errors in this project's words.

One client serves the watchlist and the alert service alike: ``decode_responses`` is off, so
values are bytes. The protocol is RESP2, which every Redis from 6.2 to 8 and Valkey speak.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from pipeline.config import WatchlistSettings
from pipeline.errors import ConfigError, StoreUnavailable, redact

_RETRIES = 2
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 0.2


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

    ``redis://``, ``rediss://`` (TLS; ``?ssl_ca_certs=FILE`` for an own authority) and
    ``unix://`` URLs, with ACL user and password, or the path of a socket.

    Raises:
        ConfigError: the URL cannot be understood.
    """
    url = settings.redis_url or ""
    if url.startswith("/"):
        url = f"unix://{quote(url)}"
    try:
        return redis.Redis.from_url(url, **connection_options(settings.timeout_s))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"watchlist.redis_url: {redact(url)!r} cannot be used: {error}; write "
            "redis://host:6379/0, rediss://user:password@host:6380/0 or unix:///path/to.sock"
        ) from None


def address(client: redis.Redis) -> str:
    """Where a client connects to, without credentials, for messages and logs."""
    options = client.connection_pool.connection_kwargs
    if "shown_as" in options:
        return str(options["shown_as"])
    if "path" in options:
        return f"unix://{options['path']}"
    secure = issubclass(client.connection_pool.connection_class, redis.SSLConnection)
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
