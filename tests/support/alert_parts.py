"""Processes that fault runs kill: a service, and a checkpoint that puts and publishes hits.

usage: alert_parts.py service STORE PORT      (STORE: a socket of Redis, or postgresql://…)
       alert_parts.py checkpoint OUTBOX TARGET NAME FIRST RATE PICTURE_BYTES

A checkpoint says ``accepted N`` once hits up to N lie in its outbox, ``refused`` where the disk
does not take them (they are put again), after ``stop`` on stdin ``stopped``, and ``drained`` when
all that it had is acknowledged.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import structlog

from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings, WatchlistSettings
from pipeline.convert import OutgoingHit, publish_request
from pipeline.outbox import Outbox, OutboxError
from tests.integration.alerts_support import make_hit
from watchlist.connection import connect

_MOST_AT_ONCE = 4


def hit(name: str, number: int, picture: bytes) -> OutgoingHit:
    """The same hit for the same checkpoint and number, whoever makes it."""
    made = make_hit(number, checkpoint=name, jpeg=picture)
    return publish_request(replace(made, id=f"{name}-{number}"))


def serve(store: str, port: str) -> None:
    """Serve until killed."""
    postgres = store if store.startswith("postgresql://") else None
    client = connect(WatchlistSettings(redis_url="/nonexistent" if postgres else store))
    settings = AlertSettings(listen=f"127.0.0.1:{port}", postgres_url=postgres)
    service = AlertService(settings, client, heartbeat_s=0.5)
    print(service.start(), flush=True)
    while True:
        time.sleep(1)


def checkpoint(path: str, target: str, name: str, first: str, rate: str, size: str) -> None:
    """Put and publish until told to stop, then until everything is acknowledged."""
    picture = bytes(int(size))
    chance = random.Random(f"{name}{first}")
    outbox = _outbox(Path(path))
    publisher = Publisher(outbox, target, backoff_max_s=0.3)
    publisher.start()
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    number = int(first)
    while not stop.is_set():
        count = chance.randint(1, _MOST_AT_ONCE)
        _put(outbox, [hit(name, number + place, picture) for place in range(count)])
        number += count
        print(f"accepted {number - 1}", flush=True)
        stop.wait(count / float(rate))
    print("stopped", flush=True)
    while publisher.flush(1.0):
        pass
    print("drained", flush=True)
    while True:
        time.sleep(1)


def _outbox(path: Path) -> Outbox:
    while True:
        try:
            return Outbox(path)
        except OutboxError:
            print("refused", flush=True)
            time.sleep(0.05)


def _put(outbox: Outbox, hits: list[OutgoingHit]) -> None:
    while True:
        try:
            outbox.put_all(hits)
            return
        except OutboxError:
            print("refused", flush=True)
            time.sleep(0.05)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    {"service": serve, "checkpoint": checkpoint}[sys.argv[1]](*sys.argv[2:])
