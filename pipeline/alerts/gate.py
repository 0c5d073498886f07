"""The gate before every call: limits, credentials, roles, the audit log, and errors in gRPC's form.

One interceptor stands before the alert servicer, health and reflection alike, so that none of
them can be reached around it. The order: limits, who calls, what the caller may do, reading the
message, the audit record, the call itself. A message is not read for a caller who may not send it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import DecodeError

from pipeline.alerts.auth import (
    CALLER,
    HEADER,
    HEALTH,
    REFLECTION,
    RULES,
    SERVICE,
    Access,
    Authenticator,
    Caller,
    is_here,
)
from pipeline.alerts.limits import CallLimits, peer_key
from pipeline.alerts.records import LONGEST_ID
from pipeline.alerts.status import CallRefused, Reason, abort
from pipeline.audit import AuditLog
from pipeline.clock import Clock
from pipeline.errors import AuditError, StoreUnavailable, redact

_log = structlog.get_logger(__name__)

_THREADS: Final = 2
_LONGEST_S: Final = 30.0
"""A call that ends by itself is given up after this long, whatever the client's own deadline."""
_LARGEST_REQUEST: Final = 64 * 1024
"""Bytes of any message but a hit."""
_RENEW_S: Final = 10.0
_RETRY_S: Final = 1.0
_QUIET_S: Final = 1.0
"""The same refusal of the same peer is logged once in so long."""
_MOST_TOLD: Final = 1_000
_HITS: Final = SERVICE + "Publish"
_ENDLESS: Final = frozenset(
    {_HITS, SERVICE + "Subscribe", REFLECTION + "v1alpha.ServerReflection/ServerReflectionInfo"}
)

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets calls through, or refuses them. Lives in the service's event loop.

    Args:
        authenticator: knows who calls.
        limits: how much a peer may ask for.
        access: where what persons do is recorded.
        clock: for when credentials are looked at again.
    """

    def __init__(
        self, authenticator: Authenticator, limits: CallLimits, access: Access, clock: Clock
    ) -> None:
        self._authenticator = authenticator
        self._limits = limits
        self._access = access
        self._clock = clock
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="alert-access")
        self._handlers: dict[str, Handler] = {}
        self._audit: AuditLog | None = None
        self._told: OrderedDict[tuple[str | None, Reason], float] = OrderedDict()

    def close(self) -> None:
        """End the threads and close the audit log; no call may be under way."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._audit is not None:
            self._audit.close()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler behind this gate; None where there is no such method."""
        method: str = handler_call_details.method
        guarded = self._handlers.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            guarded = self._handlers[method] = self._guarded(method, handler)
        return guarded

    def _guarded(self, method: str, handler: Handler) -> Handler:
        behaviour: Any = (
            handler.stream_stream
            or handler.stream_unary
            or handler.unary_stream
            or handler.unary_unary
        )
        largest = None if method == _HITS else _LARGEST_REQUEST

        def read(message: bytes) -> Any:
            return _read(message, handler.request_deserializer, largest)

        async def opened(request: Any, session: _Session) -> Any:
            """What the behaviour is called with: one message, or an iterator of them."""
            if handler.request_streaming:
                return session.requests(request, read)
            message = read(request)
            await self._record(method, session.caller, message)
            return message

        async def one_answer(request: Any, context: Context) -> Any:
            async with self._admitted(method, context) as session:
                message = await opened(request, session)
                try:
                    async with asyncio.timeout(_LONGEST_S):
                        return await behaviour(message, context)
                except TimeoutError:
                    raise _too_long() from None
                except (CallRefused, StoreUnavailable) as error:
                    refused = _refused(error)
                    await self._record(method, session.caller, message, refused, "failed")
                    raise refused from None

        async def many_answers(request: Any, context: Context) -> None:
            async with self._admitted(method, context) as session:
                answers = behaviour(await opened(request, session), context)
                if not inspect.isasyncgen(answers):
                    await answers
                    return
                try:
                    async with (
                        contextlib.aclosing(answers),
                        asyncio.timeout(None if method in _ENDLESS else _LONGEST_S),
                    ):
                        async for answer in answers:
                            await session.renew()
                            await context.write(answer)
                except TimeoutError:
                    raise _too_long() from None

        make: dict[tuple[bool, bool], Any] = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        guarded: Handler = make[handler.request_streaming, handler.response_streaming](
            many_answers if handler.response_streaming else one_answer,
            request_deserializer=None,  # bytes: they are read behind the gate
            response_serializer=handler.response_serializer,
        )
        return guarded

    @contextlib.asynccontextmanager
    async def _admitted(self, method: str, context: Context) -> AsyncIterator[_Session]:
        """A call that is let in; every error becomes a status that says what a caller may know."""
        peer = context.peer()
        key = peer_key(peer)
        caller: Caller | None = None
        try:
            with self._counted(key):
                if method.startswith(HEALTH) and is_here(peer):
                    caller = Caller(peer, local=True)
                else:
                    caller = await self._caller(peer, context)
                    await self._check(method, caller)
                CALLER.set(caller)
                yield _Session(caller, self._renewed, self._clock)
        except (CallRefused, StoreUnavailable) as error:
            refused = _refused(error)
            self._tell(method, peer, caller, refused)
            await abort(context, refused)
        except grpc.aio.BaseError:
            raise
        except Exception as error:
            told = redact("".join(traceback.format_exception(error)))
            _log.error("call failed", method=method, exception=told)
            await abort(
                context,
                CallRefused(Reason.INTERNAL, "the service has failed here; its log tells more"),
            )

    @contextlib.contextmanager
    def _counted(self, key: str | None) -> Any:
        if key is None:
            yield
            return
        self._limits.begin(key)
        try:
            yield
        finally:
            self._limits.end(key)

    async def _caller(self, peer: str, context: Context) -> Caller:
        shown = peer, context.auth_context(), tuple(context.invocation_metadata() or ())
        if any(key == HEADER for key, _ in shown[2]):  # a token is looked up in a file
            caller: Caller = await self._in_thread(self._authenticator.caller, *shown)
            return caller
        return self._authenticator.caller(*shown)

    def _tell(self, method: str, peer: str, caller: Caller | None, refused: CallRefused) -> None:
        """Log a refusal, but not each of a flood of them."""
        now_s = self._clock.monotonic()
        what = peer_key(peer), refused.reason
        if refused.reason not in _TOLD or now_s - self._told.get(what, -_QUIET_S) < _QUIET_S:
            return
        self._told.pop(what, None)
        self._told[what] = now_s
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        _log.warning(
            "call refused",
            method=method.rpartition("/")[2],
            peer=peer,
            caller=caller.name if caller else None,
            reason=refused.reason.value,
            why=refused.message,
        )

    async def _check(self, method: str, caller: Caller) -> None:
        """Whether the caller may; a person's attempt is recorded where not."""
        try:
            caller.check(method)
        except CallRefused as refused:
            await self._record(method, caller, None, refused)
            raise

    async def _renewed(self, caller: Caller) -> None:
        await self._in_thread(self._authenticator.renew, caller)

    async def _record(
        self,
        method: str,
        caller: Caller,
        message: Any,
        refused: CallRefused | None = None,
        how: str = "refused",
    ) -> None:
        """Write down what a person does, before it is done; and where it was refused, or failed.

        Raises:
            CallRefused: it cannot be written down, so it must not be done.
        """
        rule = RULES.get(method)
        if rule is None or rule.roles is None or self._access.audit is None:
            return
        if refused is None and not rule.recorded:
            return
        claimed = getattr(message, "reviewer", "") or getattr(message, "person", "")
        actor = caller.person.name if caller.person else claimed.strip()[:LONGEST_ID]
        if not actor:
            return
        details: dict[str, object] = {"by": caller.named_by().value}
        if message is not None:
            details |= _as_dict(message)
        if refused is not None:
            details |= {"why": refused.reason.value, "message": refused.message}
        record = {
            "actor": actor,
            "action": rule.action + (f".{how}" if refused else ""),
            "subject": str(details.pop("id", "")) or "alerts",
            "reason": str(details.pop("note", "")) or None,
            "origin": caller.address,
            "details": details,
        }
        try:
            await self._in_thread(self._write, record)
        except AuditError as error:
            _log.error("the audit log cannot be written: persons are refused", reason=str(error))
            if refused is None:
                raise CallRefused(
                    Reason.AUDIT_UNAVAILABLE,
                    "the audit log cannot be written, so nothing was done; the service's log says "
                    "why",
                    retry_s=_RETRY_S,
                ) from None

    def _write(self, record: dict[str, Any]) -> None:
        if self._audit is None and self._access.audit is not None:
            self._audit = self._access.audit()
        if self._audit is not None:
            self._audit.record(**record)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, function, *arguments
        )


_TOLD: Final = frozenset(
    {
        Reason.CREDENTIALS_MISSING,
        Reason.CREDENTIALS_INVALID,
        Reason.ROLE_MISSING,
        Reason.NOT_A_PUBLISHER,
        Reason.OTHER_CHECKPOINT,
        Reason.OTHER_PERSON,
        Reason.MESSAGE_UNREADABLE,
        Reason.MESSAGE_TOO_LARGE,
    }
)
"""Refusals that the log tells; limits are not among them, or a flood would fill it."""


class _Session:
    """One call that was let in."""

    def __init__(
        self, caller: Caller, renewed: Callable[[Caller], Awaitable[None]], clock: Clock
    ) -> None:
        self.caller = caller
        self._renewed = renewed
        self._clock = clock
        self._looked_s = clock.monotonic()

    async def renew(self) -> None:
        """Look again at what the caller has shown, where it is time to.

        Raises:
            CallRefused: it counts no more.
        """
        if self.caller.token is None and self.caller.expires is None:
            return
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= _RENEW_S:
            self._looked_s = now_s
            await self._renewed(self.caller)

    async def requests(
        self, messages: AsyncIterator[bytes], read: Callable[[bytes], Any]
    ) -> AsyncIterator[Any]:
        """A caller's messages, read one by one."""
        async for message in messages:
            await self.renew()
            yield read(message)


def _refused(error: CallRefused | StoreUnavailable) -> CallRefused:
    if isinstance(error, CallRefused):
        return error
    return CallRefused(Reason.STORE_UNAVAILABLE, str(error), retry_s=_RETRY_S)


def _too_long() -> CallRefused:
    return CallRefused(Reason.DEADLINE, f"not done within {_LONGEST_S:g} s", retry_s=_RETRY_S)


def _as_dict(message: Any) -> dict[str, Any]:
    """A message for the audit log.

    Raises:
        CallRefused: it holds what no message of ours may, such as a time beyond the year 9999.
    """
    try:
        return dict(MessageToDict(message, preserving_proto_field_name=True))
    except (ValueError, SerializeToJsonError) as error:
        raise CallRefused(
            Reason.MESSAGE_UNREADABLE, f"this message cannot be read: {error}"
        ) from None


def _read(message: bytes, deserialise: Callable[[bytes], Any] | None, largest: int | None) -> Any:
    """One message.

    Raises:
        CallRefused: it is too large, or none of ours.
    """
    if largest is not None and len(message) > largest:
        raise CallRefused(
            Reason.MESSAGE_TOO_LARGE, f"{len(message)} bytes, where {largest} are the most"
        )
    if deserialise is None:
        return message
    try:
        found = deserialise(message)
    except (DecodeError, ValueError) as error:
        raise CallRefused(
            Reason.MESSAGE_UNREADABLE, f"this message cannot be read: {error}"
        ) from None
    if largest is not None:
        _as_dict(found)  # a hit is looked at by ``rules.fault``
    return found
