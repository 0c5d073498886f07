"""Refusals of the alert service: a status code, a reason for machines, and words for people.

Servicer, gate and limits raise ``CallRefused``; the gate alone turns it into a gRPC status with
google.rpc error details, as the head of alerts.proto lists them. ``reason_of`` reads them back on
a client's side.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pipeline.errors import redact

DOMAIN: Final = "checkpoint"
_LONGEST_MESSAGE: Final = 500
"""Characters. Percent-encoded and repeated in the details, it must fit into 8 KiB of trailers."""


class Reason(StrEnum):
    """``reason`` of the ErrorInfo; each goes with one status code."""

    ALERT_UNKNOWN = "ALERT_UNKNOWN"
    EVIDENCE_UNKNOWN = "EVIDENCE_UNKNOWN"
    FIELD_INVALID = "FIELD_INVALID"
    MESSAGE_UNREADABLE = "MESSAGE_UNREADABLE"
    ALREADY_DECIDED = "ALREADY_DECIDED"
    ALREADY_ESCALATED = "ALREADY_ESCALATED"
    AMENDED = "AMENDED"
    FEED_REPLACED = "FEED_REPLACED"
    CREDENTIALS_MISSING = "CREDENTIALS_MISSING"
    CREDENTIALS_INVALID = "CREDENTIALS_INVALID"
    ROLE_MISSING = "ROLE_MISSING"
    NOT_A_PUBLISHER = "NOT_A_PUBLISHER"
    OTHER_CHECKPOINT = "OTHER_CHECKPOINT"
    OTHER_PERSON = "OTHER_PERSON"
    RATE_LIMIT = "RATE_LIMIT"
    STREAM_LIMIT = "STREAM_LIMIT"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    AUDIT_UNAVAILABLE = "AUDIT_UNAVAILABLE"
    STOPPING = "STOPPING"
    DEADLINE = "DEADLINE"
    INTERNAL = "INTERNAL"


_CODES: Final = {
    Reason.ALERT_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Reason.EVIDENCE_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Reason.FIELD_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.MESSAGE_UNREADABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.ALREADY_DECIDED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ALREADY_ESCALATED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.AMENDED: grpc.StatusCode.ABORTED,
    Reason.FEED_REPLACED: grpc.StatusCode.OUT_OF_RANGE,
    Reason.CREDENTIALS_MISSING: grpc.StatusCode.UNAUTHENTICATED,
    Reason.CREDENTIALS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
    Reason.ROLE_MISSING: grpc.StatusCode.PERMISSION_DENIED,
    Reason.NOT_A_PUBLISHER: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OTHER_CHECKPOINT: grpc.StatusCode.PERMISSION_DENIED,
    Reason.OTHER_PERSON: grpc.StatusCode.PERMISSION_DENIED,
    Reason.RATE_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STREAM_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.MESSAGE_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.AUDIT_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STOPPING: grpc.StatusCode.UNAVAILABLE,
    Reason.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
}


class CallRefused(Exception):
    """A call that is not answered.

    Args:
        reason: for machines; gives the status code.
        message: for people; cut where it is longer than a trailer holds.
        field: the request's field at fault.
        metadata: what belongs to the reason, for example who has decided.
        retry_s: after how many seconds another try may succeed.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_s: float | None = None,
    ) -> None:
        message = redact(message)
        if len(message) > _LONGEST_MESSAGE:
            message = message[: _LONGEST_MESSAGE - 1] + "…"
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.metadata = dict(metadata or {})
        self.retry_s = retry_s

    @property
    def code(self) -> grpc.StatusCode:
        """The status code that belongs to the reason."""
        return _CODES[self.reason]

    def details(self) -> status_pb2.Status:
        """The google.rpc.Status of it."""
        number, _ = self.code.value
        status = status_pb2.Status(code=number, message=self.message)
        info = error_details_pb2.ErrorInfo(
            reason=self.reason.value, domain=DOMAIN, metadata=self.metadata
        )
        parts: list[Any] = [info]
        if self.field is not None:
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=self.field, description=self.message
            )
            parts.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_s is not None:
            delay = Duration()
            delay.FromMilliseconds(round(self.retry_s * 1000))
            parts.append(error_details_pb2.RetryInfo(retry_delay=delay))
        for part in parts:
            packed = AnyMessage()
            packed.Pack(part)
            status.details.append(packed)
        return status


async def abort(context: grpc.aio.ServicerContext[Any, Any], refused: CallRefused) -> None:
    """End a call with what was refused; raises, as ``context.abort`` does."""
    status = rpc_status.to_status(refused.details())
    await context.abort(refused.code, refused.message, status.trailing_metadata)


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of a failed call; None where it carries none, or none that can be read."""
    try:
        call: Any = error  # a failed call is both
        status = rpc_status.from_call(call)
        for packed in status.details if status else ():
            info = error_details_pb2.ErrorInfo()
            if packed.Unpack(info):
                return info
    except Exception:  # what a peer sends must not break the report of its error
        return None
    return None


def reason_of(error: grpc.RpcError) -> Reason | None:
    """The reason of a failed call, if it is one of ours."""
    info = error_info(error)
    if info is None or info.domain != DOMAIN or info.reason not in Reason.__members__:
        return None
    return Reason(info.reason)
