"""A sink that passes hits on to the province, through an outbox of its own.

A checkpoint with an alert service of its own publishes there; from its feed the hits go on to
``alerts.target``. Being in that outbox they are safe, and the publisher behind it does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.records import StoredAlert
from pipeline.outbox import Outbox, OutboxError
from pipeline.sinks.base import Event, SinkError


class RelaySink:
    """Puts hits, with their pictures, into an outbox; the same hit twice is one."""

    name = "province"
    events: Sequence[str] = ("alert",)
    evidence = True
    begin = "all"

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def deliver(self, events: Sequence[Event]) -> None:
        """Put hits into the outbox, all or none."""
        try:
            self._outbox.put_all(
                _outgoing(event.stored, event.jpeg)
                for event in events
                if isinstance(event.stored, StoredAlert)
            )
        except OutboxError as error:
            raise SinkError(str(error)) from error

    def close(self) -> None:
        """The outbox belongs to whoever made it."""


def _outgoing(stored: StoredAlert, jpeg: bytes) -> tuple[str, int, bytes, int]:
    hit = pb.Hit.FromString(stored.hit)
    if jpeg and hit.passage.HasField("evidence"):
        hit.passage.evidence.jpeg = jpeg
    payload = pb.PublishRequest(hit=hit).SerializeToString(deterministic=True)
    return hit.id, hit.revision, payload, hit.entry.priority
