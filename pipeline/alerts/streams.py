"""The two endless calls: Publish and Subscribe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.auth import CALLER, Caller
from pipeline.alerts.calls import RETRY_S, Calls, Context, stopping
from pipeline.alerts.feed import AlertFeed, FeedEvent
from pipeline.alerts.records import EventKind, NewHit
from pipeline.alerts.rules import fault, wanted_event
from pipeline.alerts.status import CallRefused, Reason
from pipeline.errors import StoreUnavailable

_log = structlog.get_logger(__name__)

_BATCH_HITS: Final = 32
_READ_EVENTS: Final = 64


class StreamCalls(Calls):
    """Publish and Subscribe; what they promise stands in alerts.proto."""

    async def Publish(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.PublishRequest], context: Context
    ) -> AsyncIterator[pb.PublishResponse]:
        caller = CALLER.get()
        await context.send_initial_metadata(())  # tells the publisher that it is connected
        queue: asyncio.Queue[pb.PublishRequest | None] = asyncio.Queue(_BATCH_HITS)
        reader = asyncio.create_task(_read(request_iterator, queue))
        stopped = asyncio.create_task(self.stopping.wait())
        with self._counted_publisher():
            try:
                while batch := await _next_batch(queue, stopped):
                    allowed, refused = _allowed(caller, batch)
                    for answer in await self._store_batch(allowed):
                        yield answer
                    if refused is not None:
                        raise refused
                if self.stopping.is_set():
                    raise stopping()
                if wrong := await reader:
                    raise wrong
            finally:
                reader.cancel()
                stopped.cancel()

    async def Subscribe(  # noqa: N802, D102
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse | bytes]:
        feed = self.feed
        _check_serving(feed)
        feed_id = feed.id
        cursor = request.after_sequence if request.HasField("after_sequence") else feed.end
        await self._check_place(request, cursor)
        with self._counted_subscriber():
            yield _cursor(cursor, feed_id)
            told = cursor
            while True:
                if self.stopping.is_set():
                    raise stopping()
                _check_serving(feed)
                if feed.id != feed_id:
                    raise _replaced(feed)
                if feed.end <= cursor:
                    if told != cursor:  # events were filtered out: say how far we have come
                        yield _cursor(cursor, feed_id)
                        told = cursor
                    await feed.wait(cursor, self.heartbeat_s)
                    if feed.end <= cursor and feed.problem is None:
                        yield _cursor(cursor, feed_id)
                    continue
                page = await feed.read(cursor, _READ_EVENTS)
                for event in page.events:
                    if wanted_event(request, event):
                        yield await self._response(request, event)
                        told = event.sequence
                    cursor = event.sequence
                cursor = max(cursor, page.upto)

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
                    NewHit(hit.id, hit.revision, hit.SerializeToString(), jpeg, self.now_us())
                )
            answers.append(answer)
        try:
            stored = iter(await self.intake.store(new) if new else ())
        except StoreUnavailable as error:
            raise CallRefused(
                Reason.STORE_UNAVAILABLE, f"{error}; send again", retry_s=RETRY_S
            ) from None
        for answer in answers:
            if not answer.HasField("refusal"):
                published = next(stored)
                answer.sequence = published.sequence
                answer.duplicate = published.duplicate
        return answers

    async def _response(self, request: pb.SubscribeRequest, event: FeedEvent) -> bytes:
        """The event as bytes: the same ones for every subscriber."""
        if request.include_evidence and event.kind is EventKind.HIT:
            whole = await self.feed.pictures.along(event.sequence, event.response)
            return whole or event.wire
        return event.wire

    async def _check_place(self, request: pb.SubscribeRequest, cursor: int) -> None:
        feed = self.feed
        beyond = cursor > feed.end
        if beyond:  # the feed may be a moment behind an acknowledgement
            beyond = cursor > (await self.ask(self.store.feed)).last
        if beyond or (request.feed_id and request.feed_id != feed.id):
            raise _replaced(feed)

    @contextmanager
    def _counted_subscriber(self) -> Iterator[None]:
        self.subscribers += 1
        try:
            yield
        finally:
            self.subscribers -= 1

    @contextmanager
    def _counted_publisher(self) -> Iterator[None]:
        self.publishers += 1
        try:
            yield
        finally:
            self.publishers -= 1


def _check_serving(feed: AlertFeed) -> None:
    if feed.problem is not None:
        raise CallRefused(Reason.STORE_UNAVAILABLE, feed.problem, retry_s=RETRY_S)


def _allowed(
    caller: Caller, batch: list[pb.PublishRequest]
) -> tuple[list[pb.PublishRequest], CallRefused | None]:
    """The hits up to the first that this caller may not publish, and why not that one."""
    for place, request in enumerate(batch):
        try:
            if request.hit.checkpoint:  # one that names none can be stored for nobody: see fault
                caller.check_publishes(request.hit.checkpoint)
        except CallRefused as refused:
            return batch[:place], refused
    return batch, None


async def _read(
    requests: AsyncIterator[pb.PublishRequest], queue: asyncio.Queue[pb.PublishRequest | None]
) -> CallRefused | None:
    """Move requests into the bounded queue, then None; returns what was wrong with the last."""
    wrong = None
    try:
        async for request in requests:
            await queue.put(request)
    except CallRefused as refused:
        wrong = refused
    except Exception as error:
        _log.info("a publisher's stream broke", reason=str(error))
    await queue.put(None)
    return wrong


async def _next_batch(
    queue: asyncio.Queue[pb.PublishRequest | None], stopped: asyncio.Task[Any]
) -> list[pb.PublishRequest]:
    """What has arrived, at least one; empty at the end of the stream or of the service."""
    first = asyncio.create_task(queue.get())
    await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
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


def _replaced(feed: AlertFeed) -> CallRefused:
    return CallRefused(
        Reason.FEED_REPLACED,
        f"the feed ends at {feed.end}: its store was replaced or restored; "
        "subscribe after 0 and drop what you know",
        metadata={"feed_id": feed.id, "end": str(feed.end)},
    )
