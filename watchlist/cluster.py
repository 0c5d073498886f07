"""Connections to the node of a Redis cluster that holds the list.

All keys of a list share one hash tag, so one node has them all. A plain client whose connections
find that node, as redis-py's own do through Sentinels, serves everything that a single Redis
does, pipelines and scripts too. When the slot moves, or its node fails over, the connection is
dropped, which is tried again, and finds the new node.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any, cast

import redis
from redis.crc import key_slot

_MOVED = ("MOVED", "CLUSTERDOWN", "TRYAGAIN", "READONLY")

Address = tuple[str, int]


class SlotOwner:
    """Finds the node that holds one key of a cluster."""

    def __init__(self, seeds: Sequence[Address], key: str, options: dict[str, Any]) -> None:
        self._seeds = tuple(seeds)
        self._known: tuple[Address, ...] = ()
        self._slot = key_slot(key.encode())
        self._options = options

    def find(self) -> Address:
        """Ask the nodes in turn, those that were heard of last first.

        Raises:
            redis.ConnectionError: none answers, or nobody holds the key.
        """
        failure = "no node is named"
        for host, port in dict.fromkeys((*self._known, *self._seeds)):
            try:
                with redis.Redis(host=host, port=port, **self._options) as node:
                    slots: Any = node.execute_command("CLUSTER", "SLOTS")
                    node.connection_pool.disconnect()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failure = str(error)
                continue
            self._known = tuple(_nodes(slots, host))
            for first, last, (name, its_port, *_), *_ in slots:
                if first <= self._slot <= last:
                    return (name.decode() or host), int(its_port)
            failure = f"the cluster has no node for slot {self._slot}"
        raise redis.ConnectionError(failure)


class _OwnerConnection(redis.Connection):
    """A connection to whichever node holds the list when it is opened."""

    def __init__(self, *, owner: SlotOwner, shown_as: str, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._owner = owner

    def _connect(self) -> socket.socket:
        self.host, self.port = self._owner.find()
        return cast(socket.socket, super()._connect())  # type: ignore[no-untyped-call]

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        """An answer; one that says that the key is elsewhere is a lost connection."""
        try:
            return super().read_response(*arguments, **options)
        except redis.ResponseError as error:
            elsewhere = (
                redis.exceptions.MovedError,
                redis.exceptions.ClusterDownError,
                redis.exceptions.TryAgainError,
                redis.exceptions.ReadOnlyError,
            )
            if isinstance(error, elsewhere) or str(error).startswith(_MOVED):
                self.disconnect()  # type: ignore[no-untyped-call]
                raise redis.ConnectionError(f"the cluster has moved the list: {error}") from error
            raise


class _OwnerSslConnection(_OwnerConnection, redis.SSLConnection):
    """The same over TLS."""


def cluster_pool(
    seeds: Sequence[Address], key: str, options: dict[str, Any]
) -> redis.ConnectionPool:
    """Connections to the node that holds ``key``; ``options`` as for ``redis.Redis``."""
    shown = ",".join(f"{host}:{port}" for host, port in seeds)
    rest = {name: value for name, value in options.items() if name != "ssl"}
    return redis.ConnectionPool(
        connection_class=_OwnerSslConnection if options.get("ssl") else _OwnerConnection,
        owner=SlotOwner(seeds, key, options),
        shown_as=f"redis+cluster://{shown}",
        **rest,
    )


def _nodes(slots: Any, asked: str) -> Iterator[Address]:
    for _, _, *nodes in slots:
        for name, port, *_ in nodes:
            yield (name.decode() or asked), int(port)
