"""The two endless calls: Publish and Subscribe."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.auth import CALLER, Caller
from pipeline.alerts.calls import RETRY_S, Calls, Context, invalid, stopping
from pipeline.alerts.feed import AlertFeed, FeedEvent
from pipeline.alerts.records import EventKind, NewHit
from pipeline.alerts.rules import fault, wanted_event
from pipeline.alerts.status import CallRefused, Reason
from pipeline.errors import StoreUnavailable

_log = structlog.get_logger(__name__)

_BATCH_HITS: Final = 64
_QUEUED_REQUESTS: Final = 8
_MOST_FURTHER: Final = 255
_READ_EVENTS: Final = 64


Hits = Sequence[pb.Hit]
"""The hits of one request."""


class StreamCalls(Calls):
    """Publish and Subscribe; what they promise stands in alerts.proto."""

    async def Publish(  # noqa: N802, D102
        self, request_iterator: AsyncIterator[pb.PublishRequest], context: Context
    ) -> AsyncIterator[pb.PublishResponse]:
        caller = CALLER.get()
        await context.send_initial_metadata(())  # tells the publisher that it is connected
        queue: asyncio.Queue[Hits | None] = asyncio.Queue(_QUEUED_REQUESTS)
        reader = asyncio.create_task(_read(request_iterator, queue))
        stopped = asyncio.create_task(self.stopping.wait())
        with self._counted_publisher():
            try:
                while batch := await _next_batch(queue, stopped):
                    allowed, refused = _allowed(caller, batch)
                    answers = iter(await self._store(allowed))
                    for hits in allowed:
                        answer, *more = itertools.islice(answers, len(hits))
                        answer.more.extend(more)
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

    async def _store(self, batch: Sequence[Hits]) -> list[pb.PublishResponse]:
        """Store what can be stored, in order, and answer each hit."""
        hits = [hit for group in batch for hit in group]
        answers: list[pb.PublishResponse] = []
        new: list[NewHit] = []
        for hit in hits:
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
        for hit, answer in zip(hits, answers, strict=True):
            if not answer.HasField("refusal"):
                published = next(stored)
                answer.sequence = published.sequence
                answer.duplicate = published.duplicate
                self.presence.hit(hit)
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


def _allowed(caller: Caller, batch: list[Hits]) -> tuple[list[Hits], CallRefused | None]:
    """The hits up to the first that this caller may not publish, and why not that one."""
    for place, hits in enumerate(batch):
        for number, hit in enumerate(hits):
            try:
                if hit.checkpoint:  # one that names none can be stored for nobody: see fault
                    caller.check_publishes(hit.checkpoint)
            except CallRefused as refused:
                before = [*batch[:place], hits[:number]]
                return [group for group in before if group], refused
    return batch, None


async def _read(
    requests: AsyncIterator[pb.PublishRequest], queue: asyncio.Queue[Hits | None]
) -> CallRefused | None:
    """Move requests into the bounded queue, then None; returns what was wrong with the last."""
    wrong = None
    try:
        async for request in requests:
            if len(request.more) > _MOST_FURTHER:
                raise invalid("more", f"must be at most {_MOST_FURTHER}")
            await queue.put([request.hit, *request.more])
    except CallRefused as refused:
        wrong = refused
    except Exception as error:
        _log.info("a publisher's stream broke", reason=str(error))
    await queue.put(None)
    return wrong


async def _next_batch(queue: asyncio.Queue[Hits | None], stopped: asyncio.Task[Any]) -> list[Hits]:
    """What has arrived, at least one; empty at the end of the stream or of the service."""
    first = asyncio.create_task(queue.get())
    await asyncio.wait({first, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not first.done():
        first.cancel()
        return []
    batch: list[Hits] = []
    hits, count = first.result(), 0
    while hits is not None:
        batch.append(hits)
        count += len(hits)
        if queue.empty() or count >= _BATCH_HITS:
            return batch
        hits = queue.get_nowait()
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
