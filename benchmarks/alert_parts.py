"""The processes of ``benchmarks/alerts.py``: a service, a checkpoint that publishes, subscribers.

Each is a child of its own, as on a checkpoint and in a province: they share no interpreter. A part
reads one JSON object a line from stdin, does what it says, and answers with one on stdout. A hit's
id holds the moment at which it was due, on the clock that all processes of a machine share.

usage: python -m benchmarks.alert_parts service | publisher | subscribers FOLDER
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.client import CheckpointClient
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.config import AlertSettings, LimitSettings, WatchlistSettings
from pipeline.convert import publish_request
from pipeline.outbox import Outbox
from pipeline.types import (
    ALPHABET,
    SLOTS,
    Evidence,
    Hit,
    MatchKind,
    Passage,
    PlateClass,
    VehicleClass,
    VehicleColour,
    WatchlistEntry,
)
from watchlist.embedded import open_redis

Json = dict[str, Any]

BATCH: Final = 64
"""Hits that are put with one wait for the disk: as many as delivery matches at once."""
_MOST_WAITING: Final = 2_000
"""While hits are put as fast as they go, the outbox is kept no longer than this."""
_PICTURES: Final = 8
_PREFIX: Final = "checkpoint_bench"


def hits(picture_bytes: int) -> Iterator[Callable[[int], Hit]]:
    """What makes a hit that is due at a moment (ns); each call is another hit."""
    now = datetime.now(UTC)
    pictures = [os.urandom(picture_bytes) if picture_bytes else b"" for _ in range(_PICTURES)]
    evidence = [
        Evidence(f"{number}.jpg", hashlib.sha256(jpeg).hexdigest(), 1.5, jpeg) if jpeg else None
        for number, jpeg in enumerate(pictures)
    ]
    passage = Passage(
        id="passage",
        revision=0,
        camera="lane-1",
        lane="1",
        direction=None,
        started_at=now,
        ended_at=now,
        start_s=1.0,
        end_s=2.0,
        plate="京A12345",
        plate_class=PlateClass.BLUE,
        probability=0.97,
        text_probabilities=(0.99,) * 7,
        char_probs=np.full((SLOTS, len(ALPHABET)), 1 / len(ALPHABET), np.float32),
        reads=4,
        vehicle_class=VehicleClass.CAR,
        vehicle_colour=VehicleColour.WHITE,
        evidence=None,
        closed=True,
    )
    entry = WatchlistEntry(
        id="entry",
        plate="京A12345",
        plate_class=PlateClass.BLUE,
        vehicle_class=None,
        vehicle_colour=None,
        category="stolen",
        priority=2,  # not one that is escalated
        disposition="stop",
        reason="made up for a benchmark",
        case_number="0",
        authoriser="benchmark",
        requester=None,
        valid_from=now,
        expires_at=now + timedelta(days=1),
    )
    first = Hit(
        id="",
        revision=0,
        checkpoint="benchmark",
        passage=passage,
        entry=entry,
        kind=MatchKind.EXACT,
        probability=0.97,
        list_version=1,
        list_age_s=1.0,
        occurred_at=now,
    )
    number = 0

    def due_at(moment_ns: int) -> Hit:
        nonlocal number
        number += 1
        with_picture = replace(
            passage, id=f"passage-{number}", evidence=evidence[number % _PICTURES]
        )
        return replace(first, id=f"{number}-{moment_ns}", passage=with_picture)

    while True:
        yield due_at


class PublisherPart:
    """A checkpoint: hits into its outbox, from there to the service."""

    def __init__(self, folder: Path, target: str) -> None:
        self._outbox = Outbox(folder / "outbox.sqlite")
        self._publisher = Publisher(self._outbox, target)
        self._publisher.start()

    def put(self, count: int, rate: float, seconds: float, picture_bytes: int) -> Json:
        """Put hits: ``rate`` a second on schedule, or as fast as they go where it is 0.

        Ends after ``seconds``, or after ``count`` hits where that is not 0.
        """
        make = next(hits(picture_bytes))
        began_ns = time.monotonic_ns()
        until_ns = began_ns + int(seconds * 1e9)
        put = 0
        while (now_ns := time.monotonic_ns()) < until_ns and not (count and put >= count):
            if rate:
                due = min(int((now_ns - began_ns) / 1e9 * rate) + 1 - put, BATCH)
                moments = [began_ns + int((put + place) / rate * 1e9) for place in range(due)]
            else:
                waiting = self._outbox.depth()
                if waiting > _MOST_WAITING:
                    time.sleep(0.01)
                moments = [now_ns] * (BATCH if waiting <= _MOST_WAITING else 0)
            if count:
                moments = moments[: count - put]
            if moments:
                self._outbox.put_all([publish_request(make(moment)) for moment in moments])
                put += len(moments)
            elif rate:
                time.sleep(max(0.0, (began_ns + put / rate * 1e9 - time.monotonic_ns()) / 1e9))
        seconds = (time.monotonic_ns() - began_ns) / 1e9
        waiting = self._publisher.flush(120)
        return {"put": put, "seconds": seconds, "waiting": waiting}


class SubscribersPart:
    """Subscribers, each with a connection of its own."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._client: CheckpointClient | None = None
        self._ages_ms = array("d")
        self._arrived_s = array("d")

    def one(self, evidence: bool) -> Json:
        """Have the client that we ship subscribe, from now on."""
        self._client = CheckpointClient(self._target)
        alerts = self._client.subscribe(evidence=evidence)
        threading.Thread(target=self._take, args=(alerts, evidence), daemon=True).start()
        time.sleep(0.5)
        return {}

    def seen(self, count: int, timeout_s: float) -> Json:
        """Wait until ``count`` alerts have come; their ages, and when they came."""
        until_s = time.monotonic() + timeout_s
        while len(self._arrived_s) < count and time.monotonic() < until_s:
            time.sleep(0.05)
        with self._lock:
            ages, arrived = self._ages_ms, self._arrived_s
            self._ages_ms, self._arrived_s = array("d"), array("d")
        if self._client is not None:
            self._client.close()
            self._client = None
        return {"ages_ms": ages.tolist(), "arrived_s": arrived.tolist()}

    def many(self, count: int, alerts: int, timeout_s: float) -> Json:
        """Subscribe ``count`` times at once, say so, and wait for so many alerts each."""
        return asyncio.run(self._many(count, alerts, timeout_s))

    def _take(self, alerts: Iterator[Any], evidence: bool) -> None:
        for alert in alerts:
            now_ns = time.monotonic_ns()
            if evidence and not alert.hit.passage.evidence.jpeg:
                raise RuntimeError("an alert came without its picture")
            with self._lock:
                self._ages_ms.append((now_ns - int(alert.id.partition("-")[2])) / 1e6)
                self._arrived_s.append(now_ns / 1e9)

    async def _many(self, count: int, alerts: int, timeout_s: float) -> Json:
        ready = asyncio.Semaphore(0)
        ages_ms: list[float] = []
        got = [0] * count

        async def subscribe(place: int) -> None:
            options = [("grpc.use_local_subchannel_pool", 1)]
            async with grpc.aio.insecure_channel(self._target, options) as channel:
                call = channel.unary_stream(
                    "/checkpoint.v1.Alerts/Subscribe",
                    request_serializer=pb.SubscribeRequest.SerializeToString,
                    response_deserializer=pb.SubscribeResponse.FromString,
                )(pb.SubscribeRequest())
                async for response in call:
                    if not response.HasField("alert"):
                        if not got[place]:
                            ready.release()
                        continue
                    due_ns = int(response.alert.hit.id.partition("-")[2])
                    ages_ms.append((time.monotonic_ns() - due_ns) / 1e6)
                    got[place] += 1
                    if got[place] == alerts:
                        return

        tasks = [asyncio.create_task(subscribe(place)) for place in range(count)]
        for _ in range(count):
            await asyncio.wait_for(ready.acquire(), timeout_s)
        _answer({"subscribed": count})
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return {"ages_ms": ages_ms, "missing": alerts * count - sum(got)}


def _serve(folder: Path) -> None:
    """Serve over Redis, or over the PostgreSQL that the first order names, in a schema of ours."""
    url = json.loads(sys.stdin.readline())["postgres_url"]
    limits = LimitSettings(calls_per_s=10_000, streams=5_000, all_streams=5_000)
    settings = AlertSettings(listen="127.0.0.1:0", limits=limits, postgres_url=url)
    with open_redis(WatchlistSettings(), folder, fsync="always") as redis:
        service = AlertService(settings, redis, prefix=_PREFIX, own_server=True)
        info: Any = redis.info()
        store = _Postgres(url) if url else None
        said = {"address": service.start(), "store": f"Redis {info['redis_version']}"}
        if store is None:
            said["pid"] = info["process_id"]
        else:
            said["store"] = store.version()
        _answer(said)
        for line in sys.stdin:
            used = store.bytes() if store else redis.info("memory")["used_memory"]
            _answer({"memory": used} if line.strip() else {})
        service.stop()
        if store is not None:
            store.close()


class _Postgres:
    """What a benchmark asks of the server, beside the service."""

    def __init__(self, url: str) -> None:
        from pipeline.alerts.postgres_store import PostgresAlertStore

        self._store = PostgresAlertStore(url, _PREFIX)
        self._store.ask(lambda one: one.execute(f"DROP SCHEMA IF EXISTS {_PREFIX} CASCADE"))

    def version(self) -> str:
        """Its name and version."""
        return f"PostgreSQL {self._answer('SHOW server_version').split()[0]}"

    def bytes(self) -> int:
        """Size of the database."""
        return int(self._answer("SELECT pg_database_size(current_database())"))

    def _answer(self, query: str) -> Any:
        row: Any = self._store.ask(lambda one: one.execute(query).fetchone())
        return row[0]

    def close(self) -> None:
        """Leave nothing behind."""
        self._store.ask(lambda one: one.execute(f"DROP SCHEMA IF EXISTS {_PREFIX} CASCADE"))
        self._store.close()


def _obey(part: Any) -> None:
    """Do what stdin says until it ends."""
    _answer({})
    for line in sys.stdin:
        order = json.loads(line)
        _answer(getattr(part, order.pop("do"))(**order))


def _answer(answer: Json) -> None:
    print(json.dumps(answer), flush=True)


def main(what: str, folder: str, target: str = "") -> None:
    """Be one part until stdin ends."""
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(30),
    )
    if what == "service":
        _serve(Path(folder))
    elif what == "publisher":
        _obey(PublisherPart(Path(folder), target))
    else:
        _obey(SubscribersPart(target))


if __name__ == "__main__":
    main(*sys.argv[1:])
