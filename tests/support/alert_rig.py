"""Everything from checkpoints to a subscriber, each a process that can be killed at any moment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import grpc

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from tests.integration.alerts_support import RedisServer
from tests.support.ports import free_port
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Link

PARTS = Path(__file__).with_name("alert_parts.py")
ROOT = Path(__file__).parents[2]
RATE = 120.0
"""Hits a second of each checkpoint."""


class Part:
    """One child process."""

    def __init__(self, *arguments: object, inside: tuple[str, ...] = ()) -> None:
        self.lines: list[str] = []
        self.log = ""
        self._process = subprocess.Popen(
            [*inside, sys.executable, str(PARTS), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """kill -9; what it said before is read to the end."""
        self._process.kill()
        self._process.wait()
        self._reader.join(90)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait_for(self, line: str, timeout_s: float) -> None:
        until(lambda: any(one.startswith(line) for one in self.lines), timeout_s, f"{line!r}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last one may be half a line
                self.lines.append(line.strip())


class Checkpoint:
    """A checkpoint that is started again where it was killed; ``accepted``: up to which number."""

    def __init__(self, folder: Path, name: str, target: str, inside: tuple[str, ...] = ()) -> None:
        self.name = name
        self.accepted = -1
        self.refused = 0
        self._arguments = ("checkpoint", folder / "outbox.sqlite", target, name)
        self._inside = inside
        self.picture_bytes = 4_000
        self.part: Part | None = None

    def start(self) -> None:
        more = (self.accepted + 1, RATE, self.picture_bytes)
        self.part = Part(*self._arguments, *more, inside=self._inside)

    def look(self) -> None:
        """Take note of what it has said."""
        assert self.part is not None
        said = list(self.part.lines)
        told = [int(line.split()[1]) for line in said if line.startswith("accepted")]
        self.accepted = max([self.accepted, *told])
        self.refused += said.count("refused")
        del self.part.lines[: len(said)]

    def kill(self) -> None:
        assert self.part is not None
        self.part.kill()
        self.look()

    def finish(self, timeout_s: float) -> None:
        """Stop putting, and wait until everything is acknowledged."""
        assert self.part is not None
        self.part.tell("stop")
        self.part.wait_for("drained", timeout_s)
        self.kill()


class Subscriber:
    """Reads the feed from its beginning, resumes after every break, and keeps all that came."""

    def __init__(self, target: str) -> None:
        self.arrivals: list[tuple[str, int]] = []
        self.breaks = 0
        self._target = target
        self._stopped = threading.Event()
        self._call: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(90)

    def _run(self) -> None:
        request = pb.SubscribeRequest(after_sequence=0)
        options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
        while not self._stopped.is_set():
            with grpc.insecure_channel(self._target, options=options) as channel:
                self._call = alerts_pb2_grpc.AlertsStub(channel).Subscribe(request)
                try:
                    for response in self._call:
                        if response.HasField("cursor"):
                            request.feed_id = response.cursor.feed_id
                            request.after_sequence = response.cursor.sequence
                        elif response.HasField("alert"):
                            alert = response.alert
                            self.arrivals.append((alert.hit.id, alert.sequence))
                            request.after_sequence = alert.sequence
                except grpc.RpcError as error:
                    self.breaks += 1
                    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                        raise AssertionError("acknowledged alerts are gone") from error
            self._stopped.wait(0.1)


class StoreServer(Protocol):
    """The database server that the service keeps its alerts in."""

    @property
    def url(self) -> str:
        """Where it is; the service takes it for what it is."""

    def start(self) -> None:
        """Start it on its files, and wait until it answers."""

    def kill(self) -> None:
        """kill -9."""

    def close(self) -> None:
        """End it."""

    def repeats(self) -> int:
        """Hits that the service was sent once more."""


class RedisStore(RedisServer):
    """Alerts in Redis."""

    @property
    def url(self) -> str:
        return str(self.socket)

    def repeats(self) -> int:
        return int(self.client().get("{checkpoint}:alerts:repeats") or 0)  # type: ignore[arg-type]


class PostgresStore(PostgresServer):
    """Alerts in PostgreSQL."""

    def __init__(self) -> None:
        super().__init__()
        self.create()

    def repeats(self) -> int:
        ((found,),) = self.execute("SELECT repeats FROM checkpoint.feed")
        return int(str(found))


@dataclass(frozen=True)
class Counts:
    """What a run amounted to.

    ``accepted``: hits that lay on a checkpoint's disk; ``sent``: hits that came to the service, of
    which ``repeated`` came once more; ``delivered``: those that the subscriber has, of which
    ``duplicated`` came to it twice; ``lost``: accepted and not delivered; ``disordered``: out of
    order; ``breaks``: of the subscriber's stream; ``refused``: by an outbox on a full disk.
    """

    rounds: int
    sent: int
    accepted: int
    delivered: int
    duplicated: int
    lost: int
    disordered: int
    repeated: int
    breaks: int
    refused: int


class Rig:
    """Two checkpoints over a link to a service over a store, and a subscriber over another link."""

    def __init__(
        self, folder: Path, store: StoreServer, outbox_inside: tuple[str, ...] = ()
    ) -> None:
        self.store = store
        self.port = free_port()
        self.up, self.down = Link(self.port), Link(self.port)
        self.checkpoints = []
        for name in ("north", "south"):
            (folder / name).mkdir(exist_ok=True)
            inside = outbox_inside if name == "north" else ()
            self.checkpoints.append(Checkpoint(folder / name, name, self.up.address, inside))
        self.service: Part | None = None
        self.subscriber: Subscriber | None = None
        self.rounds = 0

    def __enter__(self) -> Rig:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self.store.start()
        self.start_service()
        for one in self.checkpoints:
            one.start()
        subscriber = self.subscriber = Subscriber(self.down.address)
        until(lambda: len(subscriber.arrivals) > 20, 120, "the first alerts")

    def __exit__(self, *_: object) -> None:
        if self.subscriber is not None:
            self.subscriber.stop()
        for one in self.checkpoints:
            if one.part is not None:
                one.part.kill()
        if self.service is not None:
            self.service.kill()
        self.up.close()
        self.down.close()
        self.store.close()

    def start_service(self) -> None:
        self.service = Part("service", self.store.url, self.port)

    def kill_service(self) -> None:
        assert self.service is not None
        self.service.kill()

    def goes_on(self) -> None:
        """Wait until alerts of every checkpoint arrive again."""
        assert self.subscriber is not None
        before = len(self.subscriber.arrivals)

        def both() -> bool:
            assert self.subscriber is not None
            names = {one.rpartition("-")[0] for one, _ in self.subscriber.arrivals[before:]}
            return len(names) == len(self.checkpoints)

        until(both, 120, "alerts after the fault")
        for one in self.checkpoints:
            one.look()

    def finish(self) -> Counts:
        """End the load, wait for the rest, and count."""
        assert self.subscriber is not None
        for one in self.checkpoints:
            one.finish(120)
        ids = [f"{one.name}-{n}" for one in self.checkpoints for n in range(one.accepted + 1)]
        arrivals = self.subscriber.arrivals

        def all_here() -> bool:
            return set(ids) <= {one for one, _ in arrivals}

        with contextlib.suppress(AssertionError):
            until(all_here, 60, "everything accepted")
        times = Counter(one for one, _ in arrivals)
        sequences = [sequence for _, sequence in arrivals]
        disordered = sum(a >= b for a, b in pairwise(sequences))
        for one in self.checkpoints:
            numbers = [int(i[len(one.name) + 1 :]) for i, _ in arrivals if i.startswith(one.name)]
            disordered += sum(a >= b for a, b in pairwise(numbers))
        repeated = self.store.repeats()
        return Counts(
            rounds=self.rounds,
            sent=len(times) + repeated,
            accepted=len(ids),
            delivered=len(times),
            duplicated=len(arrivals) - len(times),
            lost=sum(one not in times for one in ids),
            disordered=disordered,
            repeated=repeated,
            breaks=self.subscriber.breaks,
            refused=sum(one.refused for one in self.checkpoints),
        )


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Wait for a condition; fails where it does not come about."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.02)
