"""``CheckpointClient``: a plain, blocking client of the alert service.

    with CheckpointClient("alerts.example:50052", ca=Path("ca.pem"), token=token) as client:
        for alert in client.subscribe(after=0):
            print(alert.hit.passage.plate, alert.hit.entry.category)

It is ``pipeline.alerts.CheckpointClient``; docs/alerts.md says what other languages do.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypedDict, Unpack

import grpc
import structlog

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.channel import Backoff, explain, open_channel
from pipeline.convert import alert_from_pb
from pipeline.convert_history import history_from_pb, stats_from_pb
from pipeline.convert_status import state_to_pb, status_from_pb
from pipeline.convert_values import match_kind_to_pb, review_state_to_pb
from pipeline.errors import AlertServiceError
from pipeline.status import CheckpointState, CheckpointStatus
from pipeline.types import Alert, AlertStats, HistoryEvent, MatchKind, ReviewState

_log = structlog.get_logger(__name__)

_DEADLINE_S: Final = 10.0
_REMEMBERED: Final = 10_000
_PASSING: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)


class LinkState(StrEnum):
    """What ``subscribe`` tells of its connection.

    ``REPLACED``: the service's store is another one, or lost what came last. What is known of its
    alerts counts no more: all that it holds comes again, from its beginning.
    """

    LIVE = "live"
    LOST = "lost"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class FeedPlace:
    """A place in one feed: everything up to ``sequence`` is known."""

    feed_id: str
    sequence: int


class ListFilters(TypedDict, total=False):
    """Which alerts are listed; what is left out, empty or 0: any."""

    checkpoints: Sequence[str]
    cameras: Sequence[str]
    kinds: Sequence[MatchKind]
    reviews: Sequence[ReviewState]
    categories: Sequence[str]
    max_priority: int
    escalated_only: bool


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Alerts as they stand, the most recent first; who subscribes after ``place`` misses nothing.

    ``more``: older ones were left out.
    """

    alerts: Sequence[Alert]
    place: FeedPlace
    more: bool


class CheckpointClient:
    """One connection to an alert service; use it as a context manager, or ``close`` it.

    Any thread may call any method; one ``subscribe`` iterator belongs to one thread. Every
    failure is an ``AlertServiceError`` that says what to do.

    Args:
        target: ``host:port``, or ``unix:PATH``. Beyond this machine always over TLS.
        ca: PEM of the authority that signed the service's certificate; without it the system's
            authorities, and on loopback plain text.
        cert, key: PEM files of our own certificate, where the service asks for one; the key with
            mode 600.
        token: our own bearer token; see ``pipeline.config.given_token``.
    """

    def __init__(
        self,
        target: str,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        *,
        token: str | None = None,
    ) -> None:
        self.target = target
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._closed = threading.Event()
        self._channel = open_channel(target, ca, cert, key)
        self._stub: Any = alerts_pb2_grpc.AlertsStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> CheckpointClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a running ``subscribe`` ends."""
        self._closed.set()
        self._channel.close()

    def subscribe(
        self,
        after: int | FeedPlace | None = None,
        *,
        checkpoints: Sequence[str] = (),
        cameras: Sequence[str] = (),
        kinds: Sequence[MatchKind] = (),
        categories: Sequence[str] = (),
        max_priority: int = 0,
        evidence: bool = False,
        reviews: bool = False,
        escalations: bool = False,
        on_checkpoint: Callable[[CheckpointStatus], None] | None = None,
        on_link: Callable[[LinkState, str], None] | None = None,
        backoff_max_s: float = 5.0,
    ) -> Iterator[Alert]:
        """Alerts in order, from beyond sequence ``after`` (None: from now on; 0: all).

        Goes on for ever: after a break it connects again and resumes behind the last sequence
        seen, and no (id, revision) is given twice. With ``evidence`` each alert carries its JPEG.
        With ``reviews`` and ``escalations`` an alert comes again, as it then stands, after each.
        ``on_checkpoint`` is told, in the same order, where a checkpoint has gone silent or is back.
        ``on_link`` is told how the connection stands, and why it broke, instead of the log.

        Raises:
            AlertServiceError: the service could not be reached at the first try, or refuses. A
                ``FeedPlace`` came from the service: then it is tried again.
        """
        place = after if isinstance(after, FeedPlace) else FeedPlace("", after or 0)
        request = pb.SubscribeRequest(
            after_sequence=None if after is None else place.sequence,
            feed_id=place.feed_id,
            checkpoints=checkpoints,
            cameras=cameras,
            kinds=[match_kind_to_pb(kind) for kind in kinds],
            categories=categories,
            max_priority=max_priority,
            include_evidence=evidence,
            include_reviews=reviews,
            include_escalations=escalations,
            include_checkpoints=on_checkpoint is not None,
        )
        told = on_checkpoint or (lambda status: None)
        reached = isinstance(after, FeedPlace)  # who gave that place
        return self._subscribe(request, backoff_max_s, told, on_link, reached)

    def checkpoints(self, *states: CheckpointState) -> Sequence[CheckpointStatus]:
        """What the service knows of every checkpoint, or of those in these states, by name."""
        request = pb.ListCheckpointsRequest(states=[state_to_pb(state) for state in states])
        response = self._ask(self._stub.ListCheckpoints, request)
        return [status_from_pb(status) for status in response.checkpoints]

    def list(self, limit: int = 50, **wanted: Unpack[ListFilters]) -> list[Alert]:
        """The most recent alerts, each at its latest revision, most recent first."""
        return [*self.snapshot(limit, **wanted).alerts]

    def snapshot(self, limit: int = 50, **wanted: Unpack[ListFilters]) -> Snapshot:
        """As ``list``, with the place in the feed from which to subscribe."""
        request = pb.ListAlertsRequest(
            page_size=limit,
            checkpoints=wanted.get("checkpoints", ()),
            cameras=wanted.get("cameras", ()),
            kinds=[match_kind_to_pb(kind) for kind in wanted.get("kinds", ())],
            reviews=[review_state_to_pb(state) for state in wanted.get("reviews", ())],
            categories=wanted.get("categories", ()),
            max_priority=wanted.get("max_priority", 0),
            escalated_only=wanted.get("escalated_only", False),
        )
        alerts: list[Alert] = []
        place: FeedPlace | None = None
        while True:
            response = self._ask(self._stub.ListAlerts, request)
            place = place or FeedPlace(response.cursor.feed_id, response.cursor.sequence)
            alerts += [alert_from_pb(message) for message in response.alerts]
            if not response.next_page_token or len(alerts) >= limit:
                return Snapshot(alerts[:limit], place, bool(response.next_page_token))
            request.page_token = response.next_page_token
            request.page_size = limit - len(alerts)

    def get(self, alert_id: str) -> Alert:
        """One alert at its latest revision."""
        return alert_from_pb(self._ask(self._stub.GetAlert, pb.GetAlertRequest(id=alert_id)).alert)

    def history(self, alert_id: str) -> Sequence[HistoryEvent]:
        """Everything that happened to one alert, in order: revisions, reviews, escalations."""
        response = self._ask(self._stub.GetAlert, pb.GetAlertRequest(id=alert_id))
        return [history_from_pb(event) for event in response.history]

    def review(
        self,
        alert_id: str,
        decision: ReviewState,
        reviewer: str = "",
        note: str = "",
        *,
        outcome: str = "",
        seen_revision: int | None = None,
    ) -> Alert:
        """Confirm or reject an alert in a person's name; the alert as it then stands.

        ``reviewer``: leave it empty with a token or a person's certificate, which name the person.
        ``outcome``: what came of it, for example "stopped"; it can be added later by reviewing in
        the same way again.

        Raises:
            AlertServiceError: someone has decided already (the message names who), or the alert
                was amended since ``seen_revision``.
        """
        request = pb.ReviewAlertRequest(
            id=alert_id,
            decision=review_state_to_pb(decision),
            reviewer=reviewer,
            note=note,
            outcome=outcome,
            seen_revision=seen_revision,
        )
        return alert_from_pb(self._ask(self._stub.ReviewAlert, request).alert)

    def withdraw(self, alert_id: str, reviewer: str = "", note: str = "") -> Alert:
        """Take one's own decision back, within the time that the service is configured to allow.

        Returns the alert, unverified again. ``reviewer``: as for ``review``.

        Raises:
            AlertServiceError: someone else has decided, or the time is over; the message names
                who and when.
        """
        return self.review(alert_id, ReviewState.UNVERIFIED, reviewer, note)

    def escalate(self, alert_id: str, person: str = "", note: str = "") -> Alert:
        """Send an unreviewed alert up; the alert as it then stands. ``person``: as a reviewer.

        Raises:
            AlertServiceError: it was decided or escalated before; the message names who.
        """
        request = pb.EscalateAlertRequest(id=alert_id, person=person, note=note)
        return alert_from_pb(self._ask(self._stub.EscalateAlert, request).alert)

    def stats(
        self, since: datetime | None = None, *, checkpoints: Sequence[str] = ()
    ) -> AlertStats:
        """Counts of the alerts since then; None: of the last 24 hours."""
        request = pb.GetStatsRequest(checkpoints=checkpoints)
        if since is not None:
            request.since.FromDatetime(since)
        return stats_from_pb(self._ask(self._stub.GetStats, request))

    def evidence(self, alert_id: str, revision: int | None = None) -> bytes:
        """The JPEG of one revision (None: the latest that has one), checked by its SHA-256."""
        request = pb.GetEvidenceRequest(id=alert_id, revision=revision)
        try:
            call = self._stub.GetEvidence(request, timeout=_DEADLINE_S, metadata=self._metadata)
            pieces = list(call)
        except grpc.RpcError as error:
            raise explain(error, self.target) from error
        jpeg = b"".join(piece.piece for piece in pieces)
        if not pieces or hashlib.sha256(jpeg).hexdigest() != pieces[0].sha256:
            raise AlertServiceError(f"evidence of {alert_id}: arrived damaged; try again")
        return jpeg

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=_DEADLINE_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise explain(error, self.target) from error

    def _subscribe(
        self,
        request: pb.SubscribeRequest,
        backoff_max_s: float,
        on_checkpoint: Callable[[CheckpointStatus], None],
        on_link: Callable[[LinkState, str], None] | None,
        reached: bool,
    ) -> Iterator[Alert]:
        seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        backoff = Backoff(0.1, backoff_max_s)
        live = False
        while not self._closed.is_set():
            call = self._stub.Subscribe(request, metadata=self._metadata)
            try:
                for response in call:
                    if on_link is not None and not live:
                        on_link(LinkState.LIVE, "")
                    reached = live = True
                    backoff.reset()
                    event = response.WhichOneof("event")
                    if event == "cursor":
                        request.after_sequence = response.cursor.sequence
                        request.feed_id = response.cursor.feed_id
                        continue
                    if event is None:  # of a newer service
                        continue
                    if event == "checkpoint":
                        request.after_sequence = response.checkpoint.sequence
                        on_checkpoint(status_from_pb(response.checkpoint.status))
                        continue
                    alert = alert_from_pb(getattr(response, event))
                    request.after_sequence = alert.sequence
                    if event != "alert":
                        yield alert
                        continue
                    key = alert.id, alert.hit.revision
                    if key not in seen:
                        seen[key] = None
                        if len(seen) > _REMEMBERED:
                            seen.popitem(last=False)
                        yield alert
                problem: str = f"alert service at {self.target}: ended the stream"
            except grpc.RpcError as error:
                if self._closed.is_set():
                    return
                if not reached or error.code() not in _PASSING:
                    raise explain(error, self.target) from error
                if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                    request.after_sequence = 0
                    request.feed_id = ""
                    if on_link is not None:
                        seen.clear()
                        on_link(LinkState.REPLACED, "")
                problem = str(explain(error, self.target))
            except ValueError as error:  # the channel was closed under us
                if self._closed.is_set():
                    return
                raise AlertServiceError(f"alert service at {self.target}: {error}") from error
            finally:
                call.cancel()
            live = False
            if on_link is not None:
                on_link(LinkState.LOST, problem)
            elif backoff.failures == 0:
                _log.warning("feed interrupted; connecting again", reason=problem)
            self._closed.wait(backoff.next_s())
