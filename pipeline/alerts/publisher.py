"""The publisher: a thread that carries hits from the outbox to the alert service over gRPC.

At-least-once: a hit leaves the outbox only when the service has acknowledged it as durable; what
was under way when a connection broke is sent again, and the service recognises it. The path is the
same whether the service runs in this process, on this machine or in the province.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.channel import Backoff, explain, open_channel
from pipeline.alerts.outgoing import Outgoing
from pipeline.convert import parse_publish_request
from pipeline.errors import AlertServiceError, CheckpointError
from pipeline.outbox import HitKey, Outbox, WaitingHit

_log = structlog.get_logger(__name__)

WINDOW_HITS: Final = 256
"""How many hits may be under way without an acknowledgement …"""
WINDOW_BYTES: Final = 32 * 1024 * 1024
"""… and how large they may be together."""

_METHOD: Final = "/{}/Publish".format(pb.DESCRIPTOR.services_by_name["Alerts"].full_name)
_FORGET_HITS: Final = 64
_MESSAGE_HITS: Final = 64
_MESSAGE_BYTES: Final = 1024 * 1024
"""What waits goes into one message until it is so large; larger hits go alone."""
_WAIT_S: Final = 0.2
_SILENCE_S: Final = 30.0
"""With hits under way and no acknowledgement for this long, the connection is given up."""


@dataclass(frozen=True, slots=True)
class PublisherState:
    """How publishing stands; ages in seconds. ``last_error`` is None while connected."""

    connected: bool
    depth: int
    oldest_age_s: float | None
    last_error: str | None
    published: int
    refused: int


class Publisher:
    """Publishes what lies in an outbox for as long as it runs.

    Args:
        outbox: shared with whoever puts hits in; a new hit is noticed by itself.
        target: ``host:port`` or ``unix:PATH`` of the alert service.
        ca, cert, key: PEM files for TLS and mutual TLS.
        report: called from the publisher's thread with what is wrong when the service cannot be
            reached, and with None when it can again.
        urgent_priority: hits of this priority, or more urgent, go before what waited longer; see
            ``outgoing.py``. 0: every hit waits its turn.
    """

    def __init__(
        self,
        outbox: Outbox,
        target: str,
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        report: Callable[[str | None], None] | None = None,
        urgent_priority: int = 0,
        backoff_initial_s: float = 0.1,
        backoff_max_s: float = 5.0,
    ) -> None:
        open_channel(target, ca, cert, key).close()  # a wrong file is said at once
        self._outbox = outbox
        self._target = target
        self._files = ca, cert, key
        self._urgent_priority = urgent_priority
        self._report = report or (lambda problem: None)
        self._stopping = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._call: Any = None
        self._connected = False
        self._last_error: str | None = None
        self._published = 0
        self._refused = 0
        self._backoff = Backoff(backoff_initial_s, backoff_max_s)

    def start(self) -> None:
        """Begin, with what an earlier run left in the outbox."""
        self._thread.start()

    def state(self) -> PublisherState:
        """How publishing stands now."""
        return PublisherState(
            connected=self._connected,
            depth=self._outbox.depth(),
            oldest_age_s=self._outbox.oldest_age_s(),
            last_error=self._last_error,
            published=self._published,
            refused=self._refused,
        )

    def flush(self, deadline_s: float) -> int:
        """Wait until everything is acknowledged, at most ``deadline_s``; how many hits remain."""
        until = time.monotonic() + deadline_s
        with self._progress:
            while (remaining := self._outbox.depth()) and self._thread.is_alive():
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._progress.wait(min(left, _WAIT_S))
        return remaining

    def stop(self, deadline_s: float = 2.0) -> int:
        """End the thread; what is not acknowledged stays in the outbox; how many hits that is."""
        self._stopping.set()
        call = self._call
        if call is not None:
            call.cancel()
        if self._thread.is_alive():
            self._thread.join(deadline_s)
        return self._outbox.depth()

    def _run(self) -> None:
        while not self._stopping.is_set():
            problem: CheckpointError
            try:
                self._session()
                problem = AlertServiceError(f"alert service at {self._target}: ended the stream")
            except grpc.RpcError as error:
                problem = explain(error, self._target)
            except CheckpointError as error:
                problem = error
            except Exception as error:  # never stop publishing unseen
                _log.exception("publisher failed; it goes on")
                problem = AlertServiceError(f"publisher failed: {error}")
            self._connected = False
            if self._stopping.is_set():
                return
            self._fail(str(problem))
            self._stopping.wait(self._backoff.next_s())

    def _session(self) -> None:
        """One connection: send what waits, mark what is acknowledged, until it breaks."""
        with open_channel(self._target, *self._files) as channel:
            publish: Any = channel.stream_stream(
                _METHOD,
                request_serializer=bytes,  # what the outbox holds is serialised already
                response_deserializer=pb.PublishResponse.FromString,
            )
            requests = _Requests(
                self._outbox, Outgoing(self._outbox, self._urgent_priority), self._stopping
            )
            call = self._call = publish(requests)
            requests.begin(call)
            try:
                call.initial_metadata()  # returns when the service has taken the call, or failed
                if call.is_active():
                    self._succeed()
                acknowledged: list[HitKey] = []
                for response in call:
                    for answer in (response, *response.more):
                        if answer.HasField("refusal"):
                            self._set_aside((answer.hit_id, answer.revision), answer.refusal)
                        else:
                            acknowledged.append((answer.hit_id, answer.revision))
                    more = requests.settle(response)
                    if not more or len(acknowledged) >= _FORGET_HITS:
                        self._forget(acknowledged)
                        acknowledged = []
            except grpc.RpcError:
                if requests.failure is not None:
                    raise requests.failure from None
                raise
            finally:
                requests.end()
                call.cancel()

    def _forget(self, acknowledged: Sequence[HitKey]) -> None:
        """Take what is durable in the service out of the outbox; one step for many."""
        self._outbox.done(acknowledged)
        self._published += len(acknowledged)
        self._backoff.reset()
        with self._progress:
            self._progress.notify_all()

    def _set_aside(self, key: HitKey, refusal: pb.Refusal) -> None:
        reason = f"{refusal.field}: {refusal.message}"
        _log.error("hit refused for good, set aside in the outbox", hit=key[0], reason=reason)
        self._outbox.refuse(key, reason)
        self._refused += 1

    def _succeed(self) -> None:
        self._connected = True
        if self._last_error is not None:
            _log.info("alert service reached again", target=self._target)
        self._last_error = None
        self._report(None)

    def _fail(self, problem: str) -> None:
        if self._last_error is None:
            _log.warning("hits wait in the outbox", reason=problem, waiting=self._outbox.depth())
        self._last_error = problem
        self._report(problem)


class _Requests:
    """What one connection sends: the outbox's hits, at most a window ahead of the answers.

    gRPC draws from it in a thread of its own; ``settle`` and ``end`` come from the publisher's.
    """

    def __init__(self, outbox: Outbox, outgoing: Outgoing, stopping: threading.Event) -> None:
        self.call: Any = None
        self.failure: CheckpointError | None = None
        self._outbox = outbox
        self._outgoing = outgoing
        self._stopping = stopping
        self._changed = threading.Condition()
        self._under_way: dict[HitKey, int] = {}  # and their bytes
        self._bytes = 0
        self._ended = False
        self._last_progress_s = time.monotonic()

    def begin(self, call: Any) -> None:
        """The connection's call; nothing is sent before it is known here."""
        with self._changed:
            self.call = call
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            first = self._next_waiting()
            if first is None:
                raise StopIteration
            return self._message(first)
        except CheckpointError as error:  # the outbox cannot be read
            if not self._over():
                self.failure = error
                self.call.cancel()
            raise StopIteration from None

    def _message(self, first: WaitingHit) -> bytes:
        """One request with ``first`` and what waits behind it: what is there, and not too much."""
        size = len(first.payload)
        if size >= _MESSAGE_BYTES:
            return first.payload
        request = pb.PublishRequest()
        request.ParseFromString(first.payload)
        count = 1
        while count < _MESSAGE_HITS and size < _MESSAGE_BYTES:
            waiting = self._take()
            if waiting is None:
                break
            request.more.append(parse_publish_request(waiting.payload).hit)
            size += len(waiting.payload)
            count += 1
        return first.payload if count == 1 else request.SerializeToString()

    def settle(self, response: pb.PublishResponse) -> bool:
        """So many hits less under way; True while there are more."""
        with self._changed:
            for answer in (response, *response.more):
                self._bytes -= self._under_way.pop((answer.hit_id, answer.revision), 0)
            self._last_progress_s = time.monotonic()
            self._changed.notify_all()
            return bool(self._under_way)

    def end(self) -> None:
        """The connection is over."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _next_waiting(self) -> WaitingHit | None:
        """The next hit to send, once there is one and the window has room; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self.call is not None or self._ended)
        while not self._over():
            with self._changed:
                if self._full():
                    self._changed.wait(_WAIT_S)
                    self._give_up_if_silent()
                    continue
            arrivals = self._outbox.arrivals
            waiting = self._take()
            if waiting is not None:
                return waiting
            self._give_up_if_silent()
            self._outbox.wait(arrivals, _WAIT_S)
        return None

    def _take(self) -> WaitingHit | None:
        """The next hit, from now on under way; None where none waits or the window is full.

        What cannot be read is set aside.
        """
        with self._changed:
            if self._full():
                return None
        while (waiting := self._outgoing.next()) is not None:
            try:
                parse_publish_request(waiting.payload)
            except ValueError as error:
                _log.error("unreadable hit set aside in the outbox", hit=waiting.hit_id)
                self._outbox.refuse(waiting.key, str(error))
                continue
            with self._changed:
                if not self._under_way:
                    self._last_progress_s = time.monotonic()
                self._under_way[waiting.key] = len(waiting.payload)
                self._bytes += len(waiting.payload)
            return waiting
        return None

    def _full(self) -> bool:
        return len(self._under_way) >= WINDOW_HITS or self._bytes >= WINDOW_BYTES

    def _over(self) -> bool:
        return self._ended or self._stopping.is_set()

    def _give_up_if_silent(self) -> None:
        silent_s = time.monotonic() - self._last_progress_s
        if self._under_way and silent_s > _SILENCE_S:
            _log.warning("no acknowledgement: connecting anew", silent_s=round(silent_s))
            self.call.cancel()
