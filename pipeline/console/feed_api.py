"""The feed for the page, as server-sent events.

Each event's id is ``feed_id:sequence``; a browser that connects again names the last one that it
has seen, and nothing is lost or told twice. Each follower reads its own stream of the alert
service, as the person who is logged in, and holds one event at a time: a slow browser slows down
its own stream, is cut where it takes nothing for ``_SEND_S``, and resumes.

Events: ``alert``, ``review`` and ``escalation`` with an alert, ``checkpoint`` with a checkpoint,
``reset`` where the feed is another one (load again), ``state`` with ``{"live", "problem"}`` where
the alert service is away or back, ``logout`` where the session is over.
"""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
import grpc
import structlog
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import events
from pipeline.alerts.channel import Backoff
from pipeline.console.alerts_api import alert_json
from pipeline.console.context import ANY_ROLE, ApiError, invalid, require_role
from pipeline.console.link import link_of, refusal
from pipeline.console.login import doors_of
from pipeline.console.views import record_view
from pipeline.convert import alert_from_pb
from pipeline.convert_status import status_from_pb

_log = structlog.get_logger(__name__)

_PING_S: Final = 10.0
_SEND_S: Final = 20.0
_GONE_S: Final = 0.05
_KEPT: Final = 512
_LOOK_S: Final = 5.0
"""How often a follower's session is looked at."""
_PASSING: Final = frozenset({429, 502, 503})
_TOLD_AS: Final = {"alert": "alert", "reviewed": "review", "escalated": "escalation"}


class Texts:
    """The latest alerts as JSON text, made once however many follow; lives in the event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, str] = OrderedDict()

    def of(self, place: str, message: pb.Alert) -> str:
        """The text of the alert at one place of one feed.

        A store that was restored from a copy gives the same places to other alerts.
        """
        which = f"{place} {message.received_at.ToMicroseconds()} {message.hit.id}"
        text = self._kept.get(which)
        if text is None:
            text = self._kept[which] = _text(alert_json(alert_from_pb(message)))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return text

    def clear(self) -> None:
        """The feed is another one."""
        self._kept.clear()


class Follower:
    """One browser that follows the feed; lives in the console's event loop.

    Args:
        feed_id: the feed that ``after`` belongs to; empty: not known.
        after: the last sequence number seen; None: from now on.
    """

    def __init__(self, request: Request, feed_id: str, after: int | None) -> None:
        self._request = request
        self._feed_id = feed_id
        self._after = after
        self._live: bool | None = None
        self._backoff = Backoff(0.2, 5.0)

    async def events(self) -> AsyncGenerator[ServerSentEvent, None]:
        """What the browser is told; ends with the session, and when the console stops."""
        while True:
            try:
                async with contextlib.aclosing(self._stream()) as happens:
                    async for event in happens:
                        yield event
                problem = "the alert service has ended the feed"
            except grpc.aio.AioRpcError as error:
                refused = refusal(error)
                problem = str(refused)
                if refused.code == "feed_replaced":
                    yield self._reset()
                    continue
                if refused.status not in _PASSING:
                    yield _event("logout", {"message": problem})
                    return
            if self._live is not False:
                self._live = False
                yield _event("state", {"live": False, "problem": problem})
            await anyio.sleep(self._backoff.next_s())

    def _reset(self) -> ServerSentEvent:
        """The feed is another one: go on from its beginning once the page has loaded it again."""
        self._feed_id, self._after = "", None
        self._request.app.state.texts.clear()
        return _event("reset", {})

    async def _stream(self) -> AsyncGenerator[ServerSentEvent, None]:
        message = pb.SubscribeRequest(
            after_sequence=self._after,
            feed_id=self._feed_id,
            include_reviews=True,
            include_escalations=True,
            include_checkpoints=True,
        )
        feed = link_of(self._request).follow(self._request, message)
        async with contextlib.aclosing(feed) as responses:
            async for response in responses:
                event = self._told(response)
                if event is not None:
                    yield event

    def _told(self, response: pb.SubscribeResponse) -> ServerSentEvent | None:
        """What the browser gets for one response; nothing for a cursor that tells nothing new."""
        kind = response.WhichOneof("event")
        if kind == "cursor":
            self._after, self._feed_id = response.cursor.sequence, response.cursor.feed_id
            if self._live is True:
                return None
            self._live = True
            self._backoff.reset()
            return _event("state", {"live": True, "problem": None}, self._place())
        if kind == "checkpoint":
            self._after = response.checkpoint.sequence
            status = events.checkpoint(status_from_pb(response.checkpoint.status))
            return _event("checkpoint", status, self._place())
        if kind in _TOLD_AS:
            message = getattr(response, kind)
            self._after = message.sequence
            texts: Texts = self._request.app.state.texts
            text = texts.of(self._place(), message)
            return ServerSentEvent(text, event=_TOLD_AS[kind], id=self._place())
        return None  # of a newer service

    def _place(self) -> str:
        return f"{self._feed_id}:{self._after}"


async def feed(request: Request) -> Response:
    """Follow the feed, from behind ``Last-Event-ID`` or ``after`` (``feed_id:sequence``)."""
    session = require_role(request, *ANY_ROLE)
    said = request.headers.get("last-event-id") or request.query_params.get("after", "")
    feed_id, after = _place(said)
    await record_view(request, "console.feed", "alerts")
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    follower = Follower(request, feed_id, after)
    told, telling = anyio.create_memory_object_stream[ServerSentEvent](0)
    sessions, stopping = doors_of(request).sessions, request.app.state.stopping

    async def follow() -> None:
        async with contextlib.aclosing(follower.events()) as happens:
            async for event in happens:
                await told.send(event)

    async def watch() -> None:
        """Until the console stops, the session ends, or a view of it cannot be recorded."""
        while True:
            with anyio.move_on_after(_LOOK_S):
                await stopping.wait()
                return
            if not await run_in_threadpool(sessions.lasts, session):
                await told.send(_event("logout", {"message": "the session is over"}))
                return
            try:
                await record_view(request, "console.feed", "alerts")
            except ApiError as error:
                await told.send(_event("state", {"live": False, "problem": str(error)}))
                return

    async def push() -> None:
        async with told, anyio.create_task_group() as tasks:
            for one in (follow, watch):
                tasks.start_soon(_until, one, tasks)

    return _Events(
        told,
        telling,
        data_sender_callable=push,
        ping=_PING_S,
        sep="\n",
        send_timeout=_SEND_S,
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
    )


class _Events(EventSourceResponse):
    """Cuts a browser that takes nothing, at once and without waiting for what it has not taken."""

    def __init__(
        self,
        told: MemoryObjectSendStream[ServerSentEvent],
        telling: MemoryObjectReceiveStream[ServerSentEvent],
        **how: Any,
    ) -> None:
        super().__init__(telling, **how)
        self._ends = told, telling

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            _log.info("a slow browser is cut; it resumes", peer=scope.get("client"))
            scope.get("checkpoint.abort", lambda: None)()
            await anyio.sleep(_GONE_S)  # until the server knows that the browser has gone
        finally:
            for end in self._ends:
                end.close()


async def _until(work: Callable[[], Awaitable[None]], tasks: TaskGroup) -> None:
    with contextlib.suppress(anyio.BrokenResourceError):  # the browser has gone
        await work()
    tasks.cancel_scope.cancel()


def _place(said: str) -> tuple[str, int | None]:
    """Feed and sequence of ``feed_id:sequence``, or of a sequence alone."""
    if not said:
        return "", None
    feed_id, _, number = said.rpartition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and len(feed_id) < 100):
        raise invalid("after: write feed_id:sequence, as an event's id does", "after")
    return feed_id, int(number)


def _event(kind: str, data: Any, place: str | None = None) -> ServerSentEvent:
    retry_ms = 1000 if kind == "state" else None
    return ServerSentEvent(_text(data), event=kind, id=place, retry=retry_ms)


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


routes: Final[Sequence[BaseRoute]] = (Route("/api/feed", feed),)
