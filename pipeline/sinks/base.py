"""What a sink is given, and what it is."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.feed import feed_event
from pipeline.alerts.records import EventKind, StoredAlert, StoredChange
from pipeline.convert import alert_from_pb
from pipeline.convert_status import status_from_pb
from pipeline.errors import CheckpointError
from pipeline.events import Json
from pipeline.events import alert as alert_json
from pipeline.events import checkpoint as checkpoint_json

NAMES = {
    EventKind.HIT: "alert",
    EventKind.REVIEW: "review",
    EventKind.ESCALATION: "escalation",
    EventKind.CHECKPOINT: "checkpoint",
}
"""What sinks call the kinds of event."""


class SinkError(CheckpointError):
    """A sink did not take an event now: ``done`` events before it were taken, the rest is tried
    again, after ``retry_s`` at the earliest."""

    def __init__(self, message: str, *, done: int = 0, retry_s: float = 0.0) -> None:
        super().__init__(message)
        self.done = done
        self.retry_s = retry_s


class SinkRefusedError(SinkError):
    """A sink will never take an event: the one behind the ``done`` first ones."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the feed.

    ``key`` is the same whenever the event is sent again; ``jpeg`` is empty unless the sink wants
    the picture and there is one.
    """

    feed_id: str
    stored: StoredAlert | StoredChange
    jpeg: bytes = field(default=b"", repr=False)

    @property
    def key(self) -> str:
        """Of the feed and the place in it."""
        return f"{self.feed_id}:{self.stored.sequence}"

    @property
    def name(self) -> str:
        """What sinks call its kind."""
        return name_of(self.stored)

    @property
    def checkpoint(self) -> str:
        """Name of the checkpoint that it is about."""
        if isinstance(self.stored, StoredChange):
            return self.stored.name
        checkpoint: str = pb.Hit.FromString(self.stored.hit).checkpoint
        return checkpoint

    def body(self) -> bytes:
        """The event as one JSON object, UTF-8: that of ``checkpoint alerts watch --json``, with
        ``event``, ``key``, ``feed`` and, where the sink wants it, ``evidence_jpeg`` in Base64."""
        response = feed_event(self.stored).response
        told: Json
        if isinstance(self.stored, StoredChange):
            told = checkpoint_json(status_from_pb(response.checkpoint.status))
        else:
            told = alert_json(alert_from_pb(getattr(response, response.WhichOneof("event"))))
        told |= {
            "event": self.name,
            "key": self.key,
            "feed": self.feed_id,
            "sequence": self.stored.sequence,
        }
        if self.jpeg:
            told["evidence_jpeg"] = base64.b64encode(self.jpeg).decode()
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


class Sink(Protocol):
    """Takes events; used by one thread."""

    @property
    def name(self) -> str:
        """Under which its place is kept."""
        ...

    @property
    def events(self) -> Sequence[str]:
        """Names of the kinds that it wants."""
        ...

    @property
    def evidence(self) -> bool:
        """Whether it wants pictures."""
        ...

    @property
    def begin(self) -> str:
        """What it is sent at its very first start: ``all``, or what comes from ``now`` on."""
        ...

    def deliver(self, events: Sequence[Event]) -> None:
        """Send events in order; on return all are safe with the receiver.

        Raises:
            SinkError: one was not taken now.
            SinkRefusedError: one will never be taken.
        """
        ...

    def close(self) -> None:
        """End every connection."""
        ...


def name_of(stored: StoredAlert | StoredChange) -> str:
    """What sinks call an event's kind."""
    return NAMES[EventKind.CHECKPOINT if isinstance(stored, StoredChange) else stored.kind]
