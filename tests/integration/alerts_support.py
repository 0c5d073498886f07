"""Real parts for the alert tests: a redis-server, certificates, and hits to send."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import redis

from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.certificates import Authority
from pipeline.config import AlertSettings, WatchlistSettings
from pipeline.convert import publish_request
from pipeline.types import (
    ALPHABET,
    SLOTS,
    Direction,
    Evidence,
    Hit,
    MatchKind,
    Passage,
    PlateClass,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)
from watchlist.connection import connect
from watchlist.embedded import find_server

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def make_hit(
    number: int = 0,
    *,
    revision: int = 0,
    jpeg: bytes = b"\xff\xd8 a picture \xff\xd9",
    camera: str = "east",
    kind: MatchKind = MatchKind.EXACT,
    retracted: bool = False,
    checkpoint: str = "north gate",
) -> Hit:
    """A complete hit; the same number is the same hit."""
    probs = np.full((SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32)
    evidence = Evidence(f"2026/{number}.jpg", hashlib.sha256(jpeg).hexdigest(), 1.5, jpeg)
    passage = Passage(
        id=f"passage-{number}",
        revision=revision,
        camera=camera,
        lane="1",
        direction=Direction.APPROACHING,
        started_at=NOON,
        ended_at=NOON + timedelta(seconds=1),
        start_s=1.0,
        end_s=2.0,
        plate="京A12345",
        plate_class=PlateClass.BLUE,
        probability=0.97,
        text_probabilities=(0.99, 0.98, 1.0, 1.0, 1.0, 1.0, 1.0),
        char_probs=probs,
        reads=4,
        vehicle_class=VehicleClass.CAR,
        vehicle_colour=VehicleColour.WHITE,
        evidence=evidence if jpeg else None,
        closed=False,
        latency_s=0.2,
    )
    entry = WatchlistEntry(
        id=f"entry-{number}",
        plate="京A12345",
        plate_class=PlateClass.BLUE,
        vehicle_class=None,
        vehicle_colour=VehicleColour.BLACK,
        category="stolen",
        priority=1,
        disposition="stop and hold",
        reason="reported stolen",
        case_number="2026-17",
        authoriser="Li",
        requester=None,
        valid_from=NOON - timedelta(days=1),
        expires_at=NOON + timedelta(days=30),
        audience=("traffic",),
        source="province",
    )
    return Hit(
        id=f"hit-{number}",
        revision=revision,
        checkpoint=checkpoint,
        passage=passage,
        entry=entry,
        kind=kind,
        probability=0.97,
        list_version=41,
        list_age_s=2.5,
        occurred_at=NOON,
        mismatches=("vehicle_colour",),
        retracted=retracted,
    )


def submit(publisher: Publisher, hit: Hit) -> None:
    """Put a hit into the publisher's outbox, as delivery does."""
    publisher._outbox.put(*publish_request(hit))


class RedisServer:
    """A redis-server of our own on a Unix socket, with what an embedded one has: AOF, always."""

    def __init__(self, folder: Path, *options: str, path: str | None = None) -> None:
        self.folder = folder
        self.socket = folder / "r.sock"
        self._options = options
        self.inside: tuple[str, ...] = ()
        """What stands before the command: see ``tests/support/disks.py``."""
        self._path = path or find_server()[0]
        self._process: subprocess.Popen[bytes] | None = None
        self.clients: list[redis.Redis] = []

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [*self.inside, self._path, "--port", "0", "--unixsocket", "r.sock", "--dir", "."]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(
            [*command, *self._options], cwd=self.folder, stdout=subprocess.DEVNULL
        )
        probe = redis.Redis(unix_socket_path=str(self.socket))
        with contextlib.closing(probe):
            for _ in range(3000):  # a long file takes a while to load
                with contextlib.suppress(redis.ConnectionError):
                    if probe.ping():
                        return
                time.sleep(0.01)
        raise AssertionError("redis-server does not answer")

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def client(self) -> redis.Redis:
        """A client as the pipeline makes them."""
        client = connect(WatchlistSettings(redis_url=str(self.socket)))
        self.clients.append(client)
        return client

    def close(self) -> None:
        """Close every client and the server."""
        for client in self.clients:
            client.close()
            client.connection_pool.disconnect()
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextlib.contextmanager
def redis_server(folder: Path, *options: str, path: str | None = None) -> Iterator[RedisServer]:
    """A running redis-server (``path``: this one) below ``folder``, ended on leaving."""
    server = RedisServer(folder, *options, path=path)
    try:
        server.start()
        yield server
    finally:
        server.close()


def make_certificates(folder: Path, *clients: str) -> Authority:
    """A small authority, and certificates for ``server`` (localhost), ``client`` and others."""
    authority, now = Authority(folder), datetime.now(UTC)
    authority.make("test authority", now)
    authority.issue("server", ("localhost", "127.0.0.1"), now)
    for name in ("client", *clients):
        authority.issue(name, (), now)
    return authority


@contextlib.contextmanager
def running_service(client: redis.Redis, **how: object) -> Iterator[AlertService]:
    """An alert service on a free loopback port, stopped on leaving."""
    service = AlertService(AlertSettings(listen="127.0.0.1:0"), client, **how)  # type: ignore[arg-type]
    service.start()
    try:
        yield service
    finally:
        assert service.stop(90)
