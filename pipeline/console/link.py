"""The console's connection to the alert service; every call is made as the person who is logged in.

Lives in the console's event loop. The alert service checks role, limits and name, and records what
persons do; what it refuses becomes an ``ApiError``.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from typing import Any, Final

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from starlette.requests import Request

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.auth import ORIGIN
from pipeline.alerts.channel import MAX_MESSAGE_BYTES
from pipeline.alerts.status import Reason, reason_of
from pipeline.console.context import ApiError, Session, not_found, origin_of, session_of

_log = structlog.get_logger(__name__)

_DEADLINE_S: Final = 10.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)
_CONFLICTS: Final = frozenset({Reason.ALREADY_DECIDED, Reason.ALREADY_ESCALATED, Reason.AMENDED})
_ERRORS: Final = {
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "login_required"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "forbidden"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "conflict"),
    grpc.StatusCode.ABORTED: (409, "conflict"),
    grpc.StatusCode.OUT_OF_RANGE: (409, "feed_replaced"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "rate_limit"),
    grpc.StatusCode.INTERNAL: (502, "failed"),
}


class AlertLink:
    """One connection for all sessions.

    Args:
        target: where the alert service is reached from within.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub: Any = alerts_pb2_grpc.AlertsStub(self._channel)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """End it, and every call."""
        await self._channel.close(None)

    async def call(self, request: Request, method: str, message: Any) -> Any:
        """One call that is answered once, for example ``call(request, "GetAlert", …)``.

        Raises:
            ApiError: it was refused.
        """
        stub = getattr(self._stub, method)
        try:
            return await stub(message, timeout=_DEADLINE_S, metadata=_metadata(request))
        except grpc.aio.AioRpcError as error:
            raise refusal(error) from None

    async def picture(self, request: Request, alert_id: str, revision: int | None) -> bytes:
        """The JPEG of an alert, checked by its SHA-256; ``revision`` None: the latest with one.

        Raises:
            ApiError: there is none, or it was refused.
        """
        message = pb.GetEvidenceRequest(id=alert_id, revision=revision)
        call = self._stub.GetEvidence(message, timeout=_DEADLINE_S, metadata=_metadata(request))
        try:
            pieces = [piece async for piece in call]
        except grpc.aio.AioRpcError as error:
            raise refusal(error) from None
        jpeg = b"".join(piece.piece for piece in pieces)
        if not pieces:
            raise not_found("this alert carries no picture")
        if hashlib.sha256(jpeg).hexdigest() != pieces[0].sha256:
            raise ApiError(502, "failed", "the picture arrived damaged; try again")
        return jpeg

    async def follow(
        self, request: Request, message: pb.SubscribeRequest
    ) -> AsyncGenerator[pb.SubscribeResponse, None]:
        """The feed, as the alert service tells it. gRPC's flow control bounds what waits here.

        Raises:
            grpc.aio.AioRpcError: the feed has ended; see ``refusal``.
        """
        call = self._stub.Subscribe(message, metadata=_metadata(request))
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()


def link_of(request: Request) -> AlertLink:
    """The connection of the console that serves this request."""
    found: AlertLink = request.app.state.link
    return found


def refusal(error: grpc.RpcError) -> ApiError:
    """A failed call as the page is told of it."""
    code: grpc.StatusCode = error.code()
    reason = reason_of(error)
    status, name = _ERRORS.get(code, (503, "unavailable"))
    message = error.details() or "the alert service does not answer"
    if status == 503 and reason is None:
        message = "the alert service does not answer; its log says why"
    return ApiError(
        status,
        name,
        message,
        _field(error),
        more={"reason": reason.value} if reason in _CONFLICTS else None,
        retry_s=1.0 if status in (429, 503) else None,
    )


def _field(error: grpc.RpcError) -> str | None:
    """The field at fault, where the service names one."""
    call: Any = error
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        return None
    for packed in status.details if status else ():
        found = error_details_pb2.BadRequest()
        if packed.Unpack(found) and found.field_violations:
            return str(found.field_violations[0].field)
    return None


def _metadata(request: Request) -> tuple[tuple[str, str], ...]:
    session: Session = session_of(request)
    return (
        ("authorization", f"Bearer {session.token}"),
        (ORIGIN, f"{origin_of(request)} console"),
    )
