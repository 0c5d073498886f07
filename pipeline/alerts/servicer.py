"""The calls of the alert service, one method each; what they promise stands in alerts.proto.

Who calls, and whether that caller may, is settled before: see ``gate.py``. Here a call that cannot
be answered raises ``CallRefused`` or ``StoreUnavailable``; the gate turns them into a status.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts import stats
from pipeline.alerts.auth import CALLER, Caller
from pipeline.alerts.calls import Context, checked_id, invalid, unknown
from pipeline.alerts.checkpoint_calls import CheckpointCalls
from pipeline.alerts.messages import alert_message, history_messages, review_messages
from pipeline.alerts.records import (
    LONGEST_ID,
    ReviewRefusal,
    ReviewRefusedError,
    StoredEscalation,
    StoredReview,
)
from pipeline.alerts.rules import listed
from pipeline.alerts.status import CallRefused, Reason
from pipeline.alerts.streams import StreamCalls
from pipeline.convert_values import review_state_from_pb, timestamp_from_us
from pipeline.types import ReviewState

_log = structlog.get_logger(__name__)

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_SCANNED_PER_PAGE: Final = 5_000
_PIECE_BYTES: Final = 256 * 1024
_LONGEST_NOTE: Final = 4_000
_STATS_PERIOD: Final = timedelta(days=1)


class AlertsServicer(StreamCalls, CheckpointCalls, alerts_pb2_grpc.AlertsServicer):
    """Answers the calls; lives in the service's event loop."""

    async def ListAlerts(  # noqa: N802, D102
        self, request: pb.ListAlertsRequest, context: Context
    ) -> pb.ListAlertsResponse:
        before = _place(request.page_token)
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        response = pb.ListAlertsResponse()
        response.cursor.sequence, response.cursor.feed_id = self.feed.end, self.feed.id
        scanned = 0
        while len(response.alerts) < size:
            found = await self.ask(self.store.latest, before, 100)
            if not found:
                return response
            for stored in found:
                before = stored.sequence
                alert = alert_message(stored)
                if listed(request, alert):
                    response.alerts.append(alert)
                    if len(response.alerts) == size:
                        break
            scanned += len(found)
            if scanned >= _SCANNED_PER_PAGE:
                break
        response.next_page_token = str(before)
        return response

    async def GetAlert(  # noqa: N802, D102
        self, request: pb.GetAlertRequest, context: Context
    ) -> pb.GetAlertResponse:
        stored = await self.alert(request.id)
        acts = await self.ask(self.store.acts, request.id)
        revisions = await self.ask(self.store.revisions, request.id)
        return pb.GetAlertResponse(
            alert=alert_message(stored),
            reviews=review_messages(acts),
            history=history_messages(revisions, acts),
        )

    async def ReviewAlert(  # noqa: N802, D102
        self, request: pb.ReviewAlertRequest, context: Context
    ) -> pb.ReviewAlertResponse:
        caller = CALLER.get()
        checked_id(request.id)
        decision = review_state_from_pb(request.decision)
        if decision is None:
            raise invalid("decision", "must be CONFIRMED, REJECTED or UNVERIFIED")
        reviewer = _person(caller.person_named(request.reviewer, "reviewer"), "reviewer")
        _check_length("note", request.note, _LONGEST_NOTE)
        _check_length("outcome", request.outcome, LONGEST_ID)
        if decision is ReviewState.UNVERIFIED:
            await self._withdraw(request, reviewer, caller)
            return pb.ReviewAlertResponse(alert=alert_message(await self.alert(request.id)))
        try:
            await self.ask(
                self.store.review,
                request.id,
                decision.value,
                reviewer,
                request.note,
                self.now_us(),
                request.seen_revision if request.HasField("seen_revision") else None,
                request.outcome.strip(),
                caller.named_by(),
            )
        except ReviewRefusedError as refusal:
            raise _refused(request.id, refusal, request.seen_revision) from None
        _log.info("alert reviewed", alert=request.id, decision=decision.value, reviewer=reviewer)
        return pb.ReviewAlertResponse(alert=alert_message(await self.alert(request.id)))

    async def _withdraw(
        self, request: pb.ReviewAlertRequest, reviewer: str, caller: Caller
    ) -> None:
        """Take the reviewer's own decision back."""
        if request.outcome:
            raise invalid("outcome", "must be empty where a decision is taken back")
        try:
            await self.ask(
                self.store.withdraw,
                request.id,
                reviewer,
                request.note,
                self.now_us(),
                self.undo_us,
                caller.named_by(),
            )
        except ReviewRefusedError as refusal:
            raise _refused(request.id, refusal, undo_s=self.undo_us / 1e6) from None
        _log.info("review taken back", alert=request.id, reviewer=reviewer)

    async def EscalateAlert(  # noqa: N802, D102
        self, request: pb.EscalateAlertRequest, context: Context
    ) -> pb.EscalateAlertResponse:
        caller = CALLER.get()
        checked_id(request.id)
        person = _person(caller.person_named(request.person, "person"), "person")
        _check_length("note", request.note, _LONGEST_NOTE)
        try:
            await self.ask(
                self.store.escalate,
                request.id,
                person,
                request.note,
                self.now_us(),
                caller.named_by(),
            )
        except ReviewRefusedError as refusal:
            raise _refused(request.id, refusal) from None
        _log.info("alert escalated", alert=request.id, by=person)
        return pb.EscalateAlertResponse(alert=alert_message(await self.alert(request.id)))

    async def GetEvidence(  # noqa: N802, D102
        self, request: pb.GetEvidenceRequest, context: Context
    ) -> AsyncIterator[pb.GetEvidenceResponse]:
        revision = request.revision if request.HasField("revision") else None
        async with self.sending_pictures:
            jpeg = await self.ask(self.store.evidence, checked_id(request.id), revision)
            if jpeg is None:
                which = "" if revision is None else f" at revision {revision}"
                raise CallRefused(
                    Reason.EVIDENCE_UNKNOWN,
                    f"alert {request.id}{which}: has no picture",
                    metadata={"id": request.id},
                )
            for start in range(0, len(jpeg), _PIECE_BYTES):
                piece = pb.GetEvidenceResponse(piece=jpeg[start : start + _PIECE_BYTES])
                if start == 0:
                    piece.sha256 = hashlib.sha256(jpeg).hexdigest()
                    piece.total_bytes = len(jpeg)
                yield piece

    async def GetStats(  # noqa: N802, D102
        self, request: pb.GetStatsRequest, context: Context
    ) -> pb.GetStatsResponse:
        until_us = self.now_us()
        since_us = until_us - _STATS_PERIOD // timedelta(microseconds=1)
        if request.HasField("since"):
            try:
                since_us = request.since.ToMicroseconds()
                timestamp_from_us(since_us).ToJsonString()
            except ValueError:
                raise invalid("since", "must be a time from the year 1 to 9999") from None
        async with self.counting:
            counted = await self.ask(
                stats.count,
                self.store.latest,
                since_us,
                until_us,
                frozenset(request.checkpoints),
            )
        counted.subscribers = self.subscribers
        counted.publishers = self.publishers
        return counted


def _place(page_token: str) -> int | None:
    """The sequence number that a page ends before; None: the first page."""
    if not page_token:
        return None
    if not (page_token.isascii() and page_token.isdecimal() and len(page_token) <= 20):
        raise invalid("page_token", "is none of ours")
    return int(page_token)


def _person(name: str, field: str) -> str:
    if not 0 < len(name) <= LONGEST_ID or not name.isprintable():
        raise invalid(field, f"must name a person in 1 to {LONGEST_ID} characters")
    return name


def _check_length(field: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise invalid(field, f"must have at most {longest} characters")
    if "\0" in text:
        raise invalid(field, "must not hold the character NUL")


def _refused(
    alert_id: str,
    refusal: ReviewRefusedError,
    seen: int | None = None,
    undo_s: float | None = None,
) -> CallRefused:
    """Why a decision or escalation was not taken: who was first, or what has changed.

    ``undo_s``: a decision was to be taken back, which its reviewer can for so long.
    """
    standing = refusal.standing
    if refusal.why is ReviewRefusal.UNKNOWN:
        return unknown(alert_id)
    if isinstance(standing, StoredReview):
        when = timestamp_from_us(standing.reviewed_us).ToJsonString()
        told = f"alert {alert_id}: {standing.reviewer} has already {standing.state} it at {when}"
        if undo_s is not None:
            told += f"; only {standing.reviewer} can take that back, within {undo_s:g} s"
        return CallRefused(
            Reason.ALREADY_DECIDED,
            told,
            metadata={"reviewer": standing.reviewer, "decision": standing.state, "at": when},
        )
    if isinstance(standing, StoredEscalation):
        when = timestamp_from_us(standing.escalated_us).ToJsonString()
        return CallRefused(
            Reason.ALREADY_ESCALATED,
            f"alert {alert_id}: {standing.person} has already escalated it at {when}",
            metadata={"person": standing.person, "at": when},
        )
    return CallRefused(
        Reason.AMENDED,
        f"alert {alert_id}: was amended to revision {refusal.revision} "
        f"since you saw revision {seen}; look again",
        metadata={"revision": str(refusal.revision)},
    )
