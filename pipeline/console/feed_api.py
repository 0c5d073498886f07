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

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import anyio
import grpc
import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from checkpoint.v1 import alerts_pb2 as pb
from pipeline import events
from pipeline.alerts.channel import Backoff
from pipeline.console.alerts_api import alert_json
from pipeline.console.context import ANY_ROLE, audited, context_of, invalid, require_role
from pipeline.console.link import link_of, refusal
from pipeline.console.login import doors_of
from pipeline.convert import alert_from_pb
from pipeline.convert_status import status_from_pb

_log = structlog.get_logger(__name__)

_PING_S: Final = 10.0
_SEND_S: Final = 20.0
_LOOK_S: Final = 5.0
"""How often a follower's session is looked at."""
_AUDIT_S: Final = 3600.0
_MOST_VIEWS: Final = 10_000
_PASSING: Final = frozenset({429, 502, 503})
_TOLD_AS: Final = {"alert": "alert", "reviewed": "review", "escalated": "escalation"}


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

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """What the browser is told; ends with the session, and when the console stops."""
        while True:
            try:
                async for event in self._stream():
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
        return _event("reset", {})

    async def _stream(self) -> AsyncIterator[ServerSentEvent]:
        message = pb.SubscribeRequest(
            after_sequence=self._after,
            feed_id=self._feed_id,
            include_reviews=True,
            include_escalations=True,
            include_checkpoints=True,
        )
        async for response in link_of(self._request).follow(self._request, message):
            kind = response.WhichOneof("event")
            if kind == "cursor":
                self._after = response.cursor.sequence
                self._feed_id = response.cursor.feed_id
                if self._live is not True:
                    self._live = True
                    self._backoff.reset()
                    yield _event("state", {"live": True, "problem": None}, self._place())
            elif kind == "checkpoint":
                self._after = response.checkpoint.sequence
                status = events.checkpoint(status_from_pb(response.checkpoint.status))
                yield _event("checkpoint", status, self._place())
            elif kind in _TOLD_AS:
                alert = alert_from_pb(getattr(response, kind))
                self._after = alert.sequence
                yield _event(_TOLD_AS[kind], alert_json(alert), self._place())

    def _place(self) -> str:
        return f"{self._feed_id}:{self._after}"


async def feed(request: Request) -> Response:
    """Follow the feed, from behind ``Last-Event-ID`` or ``after`` (``feed_id:sequence``)."""
    session = require_role(request, *ANY_ROLE)
    said = request.headers.get("last-event-id") or request.query_params.get("after", "")
    feed_id, after = _place(said)
    await _record_view(request)
    follower = Follower(request, feed_id, after)
    sessions, stopping = doors_of(request).sessions, request.app.state.stopping
    send, receive = anyio.create_memory_object_stream[ServerSentEvent](0)

    async def push() -> None:
        """Until the session ends, the console stops, or the browser goes."""
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                async for event in follower.events():
                    await send.send(event)
                tasks.cancel_scope.cancel()

            async def watch() -> None:
                while True:
                    with anyio.move_on_after(_LOOK_S):
                        await stopping.wait()
                        break
                    if not await run_in_threadpool(sessions.lasts, session):
                        await send.send(_event("logout", {"message": "the session is over"}))
                        break
                    await _record_view(request)
                tasks.cancel_scope.cancel()

            tasks.start_soon(follow)
            tasks.start_soon(watch)
        await send.aclose()

    return EventSourceResponse(
        receive,
        data_sender_callable=push,
        ping=_PING_S,
        sep="\n",
        send_timeout=_SEND_S,
        ping_message_factory=lambda: ServerSentEvent(comment="still here"),
    )


async def _record_view(request: Request) -> None:
    """Once for each session and hour: that this person sees the feed."""
    views: dict[str, float] = request.app.state.views
    session = require_role(request, *ANY_ROLE)
    now_s = context_of(request).clock.monotonic()
    last_s = views.get(session.id)
    if last_s is not None and now_s - last_s < _AUDIT_S:
        return
    await run_in_threadpool(audited, request, "console.feed", "alerts")
    views.pop(session.id, None)
    views[session.id] = now_s
    while len(views) > _MOST_VIEWS:
        del views[next(iter(views))]


def _place(said: str) -> tuple[str, int | None]:
    """Feed and sequence of ``feed_id:sequence``, or of a sequence alone."""
    if not said:
        return "", None
    feed_id, _, number = said.rpartition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and len(feed_id) < 100):
        raise invalid("after: write feed_id:sequence, as an event's id does", "after")
    return feed_id, int(number)


def _event(kind: str, data: Any, place: str | None = None) -> ServerSentEvent:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return ServerSentEvent(text, event=kind, id=place, retry=1000 if kind == "state" else None)


routes: Final[Sequence[BaseRoute]] = (Route("/api/feed", feed),)
