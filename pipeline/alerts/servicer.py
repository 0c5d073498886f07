"""The calls of the alert service, one method each; what they promise stands in alerts.proto."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.feed import AlertFeed, FeedEvent, alert_message
from pipeline.alerts.records import (
    EventKind,
    NewHit,
    ReviewRefusal,
    ReviewRefusedError,
    StoredAlert,
)
from pipeline.alerts.rules import LONGEST_ID, fault, listed, wanted_event
from pipeline.alerts.store import AlertStore
from pipeline.clock import Clock
from pipeline.convert import (
    review_state_from_pb,
    review_state_to_pb,
    timestamp_from_us,
)
from pipeline.errors import StoreUnavailable
from pipeline.types import ReviewState

_log = structlog.get_logger(__name__)

_BATCH_HITS: Final = 32
_READ_EVENTS: Final = 64
_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_SCANNED_PER_PAGE: Final = 5_000
_PIECE_BYTES: Final = 256 * 1024
_LONGEST_NOTE: Final = 4_000
_STOPPING: Final = "the alert service is stopping; connect again"

Context = grpc.aio.ServicerContext[Any, Any]


class AlertsServicer(alerts_pb2_grpc.AlertsServicer):
    """Answers the calls; lives in the service's event loop.

    Args:
        store: read and written through ``feed.call``.
        feed: what subscribers read.
        clock: for the times of arrival and review.
        stopping: set once the service has begun to stop; endless calls end then.
        heartbeat_s: how often a quiet subscriber is told where the feed stands.
    """

    def __init__(
        self,
        store: AlertStore,
        feed: AlertFeed,
        clock: Clock,
        stopping: asyncio.Event,
        heartbeat_s: float,
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._stopping = stopping
        self._heartbeat_s = heartbeat_s

    async def Publish(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.PublishRequest], context: Context
    ) -> AsyncIterator[pb.PublishResponse]:
        await context.send_initial_metadata(())  # tells the publisher that it is connected
        queue: asyncio.Queue[pb.PublishRequest | None] = asyncio.Queue(_BATCH_HITS)
        reader = asyncio.create_task(_read(request_iterator, queue))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while batch := await _next_batch(queue, stopping):
                try:
                    answers = await self._store_batch(batch)
                except StoreUnavailable as error:
                    await _abort(context, grpc.StatusCode.UNAVAILABLE, f"{error}; send again")
                for answer in answers:
                    yield answer
            if self._stopping.is_set():
                await _abort(context, grpc.StatusCode.UNAVAILABLE, _STOPPING)
            if wrong := await reader:
                await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, wrong)
        finally:
            reader.cancel()
            stopping.cancel()

    async def Subscribe(  # noqa: N802, D102
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        feed = self._feed
        if feed.problem is not None:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, feed.problem)
        feed_id = feed.id
        cursor = request.after_sequence if request.HasField("after_sequence") else feed.end
        await self._check_place(request, cursor, context)
        yield _cursor(cursor, feed_id)
        told = cursor
        while True:
            if self._stopping.is_set():
                await _abort(context, grpc.StatusCode.UNAVAILABLE, _STOPPING)
            if feed.problem is not None:
                await _abort(context, grpc.StatusCode.UNAVAILABLE, feed.problem)
            if feed.id != feed_id:
                await _abort(context, grpc.StatusCode.OUT_OF_RANGE, _replaced(feed))
            if feed.end <= cursor:
                if told != cursor:  # events were filtered out: say how far we have come
                    yield _cursor(cursor, feed_id)
                    told = cursor
                await feed.wait(cursor, self._heartbeat_s)
                if feed.end <= cursor and feed.problem is None:
                    yield _cursor(cursor, feed_id)
                continue
            try:
                for event in await feed.read(cursor, _READ_EVENTS):
                    if wanted_event(request, event):
                        yield await self._response(request, event)
                        told = event.sequence
                    cursor = event.sequence
            except StoreUnavailable as error:
                await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))

    async def ListAlerts(  # noqa: N802, D102
        self, request: pb.ListAlertsRequest, context: Context
    ) -> pb.ListAlertsResponse:
        try:
            before = int(request.page_token) if request.page_token else None
        except ValueError:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "page_token: is none of ours")
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        response = pb.ListAlertsResponse()
        scanned = 0
        while len(response.alerts) < size:
            found = await self._ask(context, self._store.latest, before, 100)
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
        stored = await self._alert(request.id, context)
        reviews = await self._ask(context, self._store.reviews, request.id)
        return pb.GetAlertResponse(
            alert=alert_message(stored),
            reviews=[
                pb.Review(
                    state=review_state_to_pb(ReviewState(review.state)),
                    reviewer=review.reviewer,
                    note=review.note,
                    reviewed_at=timestamp_from_us(review.reviewed_us),
                    revision=review.revision,
                )
                for review in reviews
            ],
        )

    async def ReviewAlert(  # noqa: N802, D102
        self, request: pb.ReviewAlertRequest, context: Context
    ) -> pb.ReviewAlertResponse:
        decision = review_state_from_pb(request.decision)
        reviewer = request.reviewer.strip()
        wrong = None
        if decision not in (ReviewState.CONFIRMED, ReviewState.REJECTED):
            wrong = "decision: must be CONFIRMED or REJECTED"
        elif not 0 < len(reviewer) <= LONGEST_ID:
            wrong = f"reviewer: must name a person in 1 to {LONGEST_ID} characters"
        elif len(request.note) > _LONGEST_NOTE:
            wrong = f"note: must have at most {_LONGEST_NOTE} characters"
        if wrong or decision is None:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, wrong or "decision: missing")
        seen = request.seen_revision if request.HasField("seen_revision") else None
        try:
            await self._ask(
                context,
                self._store.review,
                request.id,
                decision.value,
                reviewer,
                request.note,
                self._now_us(),
                seen,
            )
        except ReviewRefusedError as refusal:
            await _abort(context, *_refusal(request, refusal))
        _log.info("alert reviewed", alert=request.id, decision=decision.value, reviewer=reviewer)
        return pb.ReviewAlertResponse(alert=alert_message(await self._alert(request.id, context)))

    async def GetEvidence(  # noqa: N802, D102
        self, request: pb.GetEvidenceRequest, context: Context
    ) -> AsyncIterator[pb.GetEvidenceResponse]:
        revision = request.revision if request.HasField("revision") else None
        jpeg = await self._ask(context, self._store.evidence, request.id, revision)
        if jpeg is None:
            which = "" if revision is None else f" at revision {revision}"
            await _abort(
                context, grpc.StatusCode.NOT_FOUND, f"alert {request.id}{which}: has no picture"
            )
        for start in range(0, len(jpeg), _PIECE_BYTES):
            piece = pb.GetEvidenceResponse(piece=jpeg[start : start + _PIECE_BYTES])
            if start == 0:
                piece.sha256 = hashlib.sha256(jpeg).hexdigest()
                piece.total_bytes = len(jpeg)
            yield piece

    async def _store_batch(self, batch: list[pb.PublishRequest]) -> list[pb.PublishResponse]:
        """Store what can be stored, in order, and answer each request."""
        answers: list[pb.PublishResponse] = []
        new: list[NewHit] = []
        for request in batch:
            hit = request.hit
            answer = pb.PublishResponse(hit_id=hit.id, revision=hit.revision)
            refusal = fault(hit)
            if refusal is not None:
                _log.warning("hit refused", hit=hit.id, field=refusal.field, why=refusal.message)
                answer.refusal.CopyFrom(refusal)
            else:
                jpeg = hit.passage.evidence.jpeg
                if jpeg:
                    hit.passage.evidence.ClearField("jpeg")
                new.append(
                    NewHit(hit.id, hit.revision, hit.SerializeToString(), jpeg, self._now_us())
                )
            answers.append(answer)
        stored = iter(await self._feed.call(self._store.publish, new) if new else ())
        for answer in answers:
            if not answer.HasField("refusal"):
                published = next(stored)
                answer.sequence = published.sequence
                answer.duplicate = published.duplicate
        return answers

    async def _response(
        self, request: pb.SubscribeRequest, event: FeedEvent
    ) -> pb.SubscribeResponse:
        if event.kind is EventKind.REVIEW:
            return pb.SubscribeResponse(reviewed=event.alert)
        response = pb.SubscribeResponse(alert=event.alert)
        hit = response.alert.hit
        if request.include_evidence and hit.passage.HasField("evidence"):
            jpeg = await self._feed.call(self._store.evidence, hit.id, hit.revision)
            hit.passage.evidence.jpeg = jpeg or b""
        return response

    async def _check_place(
        self, request: pb.SubscribeRequest, cursor: int, context: Context
    ) -> None:
        feed = self._feed
        beyond = cursor > feed.end
        if beyond:  # the feed may be a moment behind an acknowledgement
            beyond = cursor > (await self._ask(context, self._store.feed)).last
        if beyond or (request.feed_id and request.feed_id != feed.id):
            await _abort(context, grpc.StatusCode.OUT_OF_RANGE, _replaced(feed))

    async def _alert(self, alert_id: str, context: Context) -> StoredAlert:
        stored: StoredAlert | None = await self._ask(context, self._store.alert, alert_id)
        if stored is None:
            await _abort(context, grpc.StatusCode.NOT_FOUND, f"alert {alert_id}: there is none")
        return stored

    async def _ask(self, context: Context, function: Any, *arguments: Any) -> Any:
        try:
            return await self._feed.call(function, *arguments)
        except StoreUnavailable as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


async def _read(
    requests: AsyncIterator[pb.PublishRequest], queue: asyncio.Queue[pb.PublishRequest | None]
) -> str | None:
    """Move requests into the bounded queue, then None; returns what was wrong with the last."""
    wrong = None
    try:
        async for request in requests:
            await queue.put(request)
    except DecodeError as error:
        wrong = f"this message is no PublishRequest: {error}"
    except Exception as error:
        _log.info("a publisher's stream broke", reason=str(error))
    await queue.put(None)
    return wrong


async def _next_batch(
    queue: asyncio.Queue[pb.PublishRequest | None], stopping: asyncio.Task[Any]
) -> list[pb.PublishRequest]:
    """What has arrived, at least one; empty at the end of the stream or of the service."""
    first = asyncio.create_task(queue.get())
    await asyncio.wait({first, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not first.done():
        first.cancel()
        return []
    batch = []
    request = first.result()
    while request is not None:
        batch.append(request)
        if queue.empty() or len(batch) == _BATCH_HITS:
            return batch
        request = queue.get_nowait()
    if batch:
        queue.put_nowait(None)
    return batch


def _cursor(sequence: int, feed_id: str) -> pb.SubscribeResponse:
    return pb.SubscribeResponse(cursor=pb.Cursor(sequence=sequence, feed_id=feed_id))


def _replaced(feed: AlertFeed) -> str:
    return (
        f"the feed ends at {feed.end}: its store was replaced or restored; "
        "subscribe after 0 and drop what you know"
    )


def _refusal(
    request: pb.ReviewAlertRequest, refusal: ReviewRefusedError
) -> tuple[grpc.StatusCode, str]:
    if refusal.why is ReviewRefusal.UNKNOWN:
        return grpc.StatusCode.NOT_FOUND, f"alert {request.id}: there is none"
    standing = refusal.standing
    if refusal.why is ReviewRefusal.AMENDED or standing is None:
        return grpc.StatusCode.ABORTED, (
            f"alert {request.id}: was amended to revision {refusal.revision} "
            f"since you saw revision {request.seen_revision}; look again"
        )
    when = timestamp_from_us(standing.reviewed_us).ToJsonString()
    return grpc.StatusCode.FAILED_PRECONDITION, (
        f"alert {request.id}: {standing.reviewer} has already {standing.state} it at {when}"
    )


async def _abort(context: Context, code: grpc.StatusCode, message: str) -> NoReturn:
    await context.abort(code, message)
    raise AssertionError("abort returned")
