"""What every route of the console works with: the process around it, and who asks.

    def list_something(request: Request) -> Response:      # plain def: runs in a thread
        session = require_role(request, AccessRole.VIEWER)
        with audited(request, "something.list", "all of it"):
            return JSONResponse(...)

An error is raised as ``ApiError``, or as one of ``pipeline.errors``; ``app.py`` turns both into
``{"error": {"code", "message", "field"}}``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from pipeline.access import Person, TokenStore
from pipeline.archive import PassageArchive
from pipeline.audit import AuditLog
from pipeline.camera import CameraStatus
from pipeline.clock import Clock
from pipeline.config import AccessRole, CheckpointSettings
from pipeline.errors import AuditError, CheckpointError, redact
from pipeline.health import Health
from pipeline.meters import Counts
from watchlist.store import Watchlist

Body = TypeVar("Body", bound=BaseModel)

ANY_ROLE: Final = tuple(AccessRole)
_LONGEST_SUBJECT: Final = 500


@dataclass(frozen=True, slots=True)
class ConsoleContext:
    """The process that the console belongs to.

    ``alerts_target``: where its alert service is reached from within. ``still``: a camera's last
    picture as JPEG, occupants blurred; None where there is none. ``archive``: None where this
    process recognises nothing and its data folder holds no passages. ``audit``: the log, opened
    at the first call and shared from then on. ``counts``: what the process counts, for /metrics.
    """

    settings: CheckpointSettings
    clock: Clock
    health: Health
    alerts_target: str
    cameras: Callable[[], Sequence[CameraStatus]]
    still: Callable[[str], bytes | None]
    watchlist: Watchlist
    archive: PassageArchive | None
    audit: Callable[[], AuditLog]
    tokens: TokenStore
    counts: Callable[[], Counts] = Counts


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one person. ``id`` names it in logs; it is not what the cookie holds.

    ``token`` is what the session shows to the alert service; ``csrf`` what the page sends along
    with everything that changes something.
    """

    id: str
    person: Person
    expires_at: datetime
    token: str = field(repr=False)
    csrf: str = field(repr=False)


class ApiError(Exception):
    """A request that is refused.

    Args:
        status: of HTTP.
        code: for the page, for example ``not_found``.
        message: for people: what is wrong, and what to do.
        field: the request's field at fault.
        more: what else belongs into the ``error`` object.
        retry_s: after how many seconds another try may succeed.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        *,
        more: Mapping[str, object] | None = None,
        retry_s: float | None = None,
    ) -> None:
        super().__init__(redact(message))
        self.status = status
        self.code = code
        self.field = field
        self.more = dict(more or {})
        self.retry_s = retry_s

    def response(self) -> JSONResponse:
        """What the page gets."""
        error = {"code": self.code, "message": str(self), "field": self.field, **self.more}
        headers = {} if self.retry_s is None else {"Retry-After": str(max(1, round(self.retry_s)))}
        return JSONResponse({"error": error}, self.status, headers)


def not_found(message: str) -> ApiError:
    """There is no such thing."""
    return ApiError(404, "not_found", message)


def invalid(message: str, field: str | None = None) -> ApiError:
    """The request's ``field`` cannot be used."""
    return ApiError(400, "invalid", message, field)


def forbidden(message: str) -> ApiError:
    """This person may not."""
    return ApiError(403, "forbidden", message)


def unavailable(message: str, retry_s: float = 1.0) -> ApiError:
    """What is needed is away; nothing was done."""
    return ApiError(503, "unavailable", message, retry_s=retry_s)


def context_of(request: Request) -> ConsoleContext:
    """The process around this request."""
    found: ConsoleContext = request.app.state.context
    return found


def session_of(request: Request) -> Session:
    """Who asks.

    Raises:
        ApiError: 401, nobody is logged in.
    """
    found = request.scope.get("checkpoint.session")
    if not isinstance(found, Session):
        raise ApiError(401, "login_required", "log in first")
    return found


def origin_of(request: Request) -> str:
    """From where: the address of the peer, for the audit log."""
    return request.client.host if request.client else "unknown"


def require_role(request: Request, *roles: AccessRole) -> Session:
    """The session, where its person has one of ``roles``.

    Raises:
        ApiError: 401, nobody is logged in; 403, the role is missing.
    """
    session = session_of(request)
    if not session.person.roles & set(roles):
        has = ", ".join(sorted(session.person.roles)) or "none"
        raise forbidden(
            f"{session.person.name} may not do this: it takes the role "
            f"{' or '.join(sorted(roles))} (has: {has})"
        )
    return session


class audited:  # noqa: N801 - reads as the function that it is, with a block that it may watch
    """Record what is about to be done; as a block, record also where it then failed.

    The record is on the disk when this returns, with or without a block. Blocks: call it in a
    thread (a plain ``def`` route is one).

    Args:
        action: as it stands in the log, for example ``passages.search``.
        subject: to what: an id, a plate, a file.
        details: what else belongs to it; never a secret.
        reason, case: why, where one was given.

    Raises:
        ApiError: 503, it could not be recorded, so it must not be done.
    """

    def __init__(
        self,
        request: Request,
        action: str,
        subject: str,
        details: Mapping[str, object] | None = None,
        *,
        reason: str | None = None,
        case: str | None = None,
    ) -> None:
        session = session_of(request)
        self._audit = context_of(request).audit
        self._action = action
        self._record: dict[str, Any] = {
            "actor": session.person.name,
            "subject": subject[:_LONGEST_SUBJECT],
            "reason": (reason or "").strip() or None,
            "case": (case or "").strip() or None,
            "origin": f"{origin_of(request)} console",
        }
        self._details = {
            **(details or {}),
            "by": session.person.source,
            "session": session.id,
        }
        self._write(action, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (CheckpointError, ApiError)):
            self._write(f"{self._action}.failed", {"message": str(error)})

    def _write(self, action: str, more: Mapping[str, object]) -> None:
        try:
            self._audit().record(action=action, details={**self._details, **more}, **self._record)
        except AuditError as error:
            raise unavailable(
                f"the audit log cannot be written, so nothing was done: {error}", 5.0
            ) from error


def reading(
    model: type[Body],
) -> Callable[[Callable[[Request, Body], Response]], Callable[[Request], Awaitable[Response]]]:
    """Make a route of ``def handler(request, body)``: the JSON body as ``model``, in a thread.

    The route answers 400 with the field at fault where the body is no such thing.
    """

    def route(
        handler: Callable[[Request, Body], Response],
    ) -> Callable[[Request], Awaitable[Response]]:
        @functools.wraps(handler)
        async def endpoint(request: Request) -> Response:
            body = await body_of(request, model)
            return await run_in_threadpool(handler, request, body)

        return endpoint

    return route


async def body_of(request: Request, model: type[Body]) -> Body:
    """The JSON body of a request as ``model``.

    Raises:
        ApiError: 400, it is no JSON, or a field cannot be used; 415, it says it is something else.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "not_json", "send JSON: Content-Type: application/json")
    try:
        return model.model_validate(json.loads(await request.body()))
    except ClientDisconnect:
        raise invalid("the request ended early") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise invalid(f"{where}: {message}" if where else message, where or None) from None
    except (ValueError, RecursionError):
        raise invalid("the body is no JSON") from None
