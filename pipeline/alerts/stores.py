"""Which store the configuration names: Redis, or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis

from pipeline.alerts.redis_checkpoints import RedisCheckpoints
from pipeline.alerts.redis_store import RedisAlertStore
from pipeline.alerts.store import AlertStore, CheckpointStore
from pipeline.config import AlertSettings
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Stores:
    """The alerts and the checkpoints of one database; ``close`` ends our connections to it."""

    alerts: AlertStore
    checkpoints: CheckpointStore
    close: Callable[[], None]


def open_stores(
    settings: AlertSettings, redis: Redis, prefix: str = "checkpoint", *, own_server: bool = False
) -> Stores:
    """The stores that ``alerts.postgres_url`` names, else those in ``redis``; nothing is sent yet.

    Args:
        redis: a client whose values are bytes; whoever made it closes it.
        prefix: of every key in Redis; in PostgreSQL the name of our schema.
        own_server: Redis is the embedded one and may be switched to ``appendfsync always``.

    Raises:
        ConfigError: the URL cannot be used, or psycopg is not installed.
    """
    if settings.postgres_url is None:
        store = RedisAlertStore(redis, prefix, own_server=own_server)
        return Stores(store, RedisCheckpoints(store), lambda: None)
    try:
        from pipeline.alerts.postgres_checkpoints import PostgresCheckpoints
        from pipeline.alerts.postgres_store import PostgresAlertStore
    except ImportError as error:
        raise ConfigError(
            f"alerts.postgres_url: needs psycopg ({error}): "
            "pip install 'checkpoint-vehicles[postgres]'"
        ) from error
    kept = PostgresAlertStore(settings.postgres_url, prefix, password=settings.postgres_password)
    return Stores(kept, PostgresCheckpoints(kept), kept.close)
