"""Logging in and out: by token, by client certificate, and by the program's one-time link."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from pipeline.access import Person, certificate_person, operating_system_person
from pipeline.config import AccessSettings, Role
from pipeline.console.context import (
    ApiError,
    Session,
    audited,
    context_of,
    forbidden,
    origin_of,
    reading,
    session_of,
    unavailable,
)
from pipeline.console.login_limits import LoginLimits
from pipeline.console.security import Certificate, address_key, certificate_of, cookie_name
from pipeline.console.sessions import Sessions
from pipeline.errors import AccessError, AuditError
from pipeline.upward import program_version

_log = structlog.get_logger(__name__)


class OneTimeCode:
    """The code in the link that the program prints: it counts once, and then there is another.

    Any thread may ask. ``enabled``: whether a link lets anybody in at all. ``changed``: called
    when there is another one.
    """

    def __init__(self, *, enabled: bool, changed: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._changed = changed
        self._code = secrets.token_urlsafe(32) if enabled else None

    @property
    def code(self) -> str | None:
        """The code that counts now."""
        with self._lock:
            return self._code

    def take(self, shown: str) -> bool:
        """Whether ``shown`` is the code; from then on it is another one."""
        with self._lock:
            if self._code is None or not hmac.compare_digest(shown.encode(), self._code.encode()):
                return False
            self._code = secrets.token_urlsafe(32)
        self._changed()
        return True


class Credentials(BaseModel):
    """What a person logs in with; without a token it is the certificate of the connection."""

    model_config = ConfigDict(extra="forbid")
    token: str | None = Field(default=None, max_length=256)


class Doors:
    """What logging in needs of the running console; ``app.state.doors``."""

    def __init__(
        self,
        sessions: Sessions,
        limits: LoginLimits,
        once: OneTimeCode,
        *,
        secure: bool,
        revoked: frozenset[str] = frozenset(),
    ) -> None:
        self.sessions = sessions
        self.limits = limits
        self.once = once
        self.secure = secure
        self.revoked = revoked
        """SHA-256 of client certificates that count no more."""


def doors_of(request: Request) -> Doors:
    """Of the console that serves this request."""
    found: Doors = request.app.state.doors
    return found


def index(request: Request) -> Response:
    """The page. Who comes with a certificate that has roles, and no session, is logged in."""
    response = FileResponse(request.app.state.static / "index.html")
    if request.method == "GET" and request.scope.get("checkpoint.session") is None:
        shown = certificate_of(request.scope)
        if shown is not None and _may_enter(request, shown):
            person = _by_certificate(request, shown)
            _, cookie = _enter(request, person, "certificate", shown=shown)
            _give(request, response, cookie)
    return response


@reading(Credentials)
def log_in(request: Request, body: Credentials) -> Response:
    """A session for who shows a token or a certificate."""
    address = address_key(request.scope)
    doors = doors_of(request)
    doors.limits.attempt(address)
    shown = certificate_of(request.scope)
    token = body.token.strip() if body.token else None
    try:
        if token:
            person, how = context_of(request).tokens.verify(token), "token"
        elif shown is not None:
            person, how = _by_certificate(request, shown), "certificate"
        else:
            raise AccessError("show a token; 'checkpoint access add' gives out tokens")
    except AccessError as error:
        _log.warning("a login failed", address=origin_of(request), reason=str(error))
        raise ApiError(401, "login_failed", _told(error), "token") from None
    doors.limits.succeeded(address)
    session, cookie = _enter(request, person, how, token=token, shown=None if token else shown)
    return _give(request, JSONResponse(_me(request, session)), cookie)


def log_in_once(request: Request) -> Response:
    """A session for who has the link that the program printed; then on to the page."""
    elsewhere = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if request.method != "GET" or elsewhere:  # who looks at links must not use them up
        return RedirectResponse("/#/login", 303)
    address = address_key(request.scope)
    doors = doors_of(request)
    doors.limits.attempt(address)
    if not doors.once.take(request.query_params.get("code", "")):
        _log.warning("a login link does not count", address=origin_of(request))
        return RedirectResponse("/#/login", 303)
    doors.limits.succeeded(address)
    _, cookie = _enter(request, operating_system_person(), "link")
    return _give(request, RedirectResponse("/", 303), cookie)


def log_out(request: Request) -> Response:
    """End the session."""
    session = session_of(request)
    doors = doors_of(request)
    try:
        audited(request, "console.logout", session.person.name)
    finally:  # whoever wants to leave must be able to
        doors.sessions.close(session)
    response = JSONResponse({})
    name = cookie_name(request.scope, secure=doors.secure)
    response.delete_cookie(name, secure=doors.secure, httponly=True, samesite="strict")
    return response


def me(request: Request) -> Response:
    """Who is logged in, and what the page must know."""
    return JSONResponse(_me(request, session_of(request)))


def alive(request: Request) -> Response:
    """For who watches over the process: whether it answers, and no more."""
    degraded = bool(context_of(request).health.problems())
    return JSONResponse({"status": "degraded" if degraded else "ok"})


def _me(request: Request, session: Session) -> dict[str, object]:
    settings = context_of(request).settings
    return {
        "person": session.person.name,
        "roles": sorted(session.person.roles),
        "by": session.person.source,
        "csrf": session.csrf,
        "expires_at": session.expires_at.isoformat(),
        "checkpoint": settings.checkpoint,
        "province": Role.PROVINCE in settings.roles,
        "recognises": Role.RECOGNISE in settings.roles,
        "undo_s": settings.alerts.undo_s,
        "categories": list(settings.watchlist.categories),
        "language": settings.console.language,
        "version": program_version(),
    }


def still_counts(
    access: AccessSettings,
    revoked: frozenset[str],
    by_link: bool,
    person: Person,
    certificate: str | None,
) -> bool:
    """Whether who logged in before a restart would get in now, with the same roles.

    A token is looked up by the session itself. ``by_link``: whether links let anybody in.
    """
    if person.source == "operating system":
        return by_link
    if person.source != "certificate":
        return True
    return certificate not in revoked and access.certificates.get(person.name) == person.roles


def _may_enter(request: Request, shown: Certificate) -> bool:
    try:
        _by_certificate(request, shown)
    except AccessError:
        return False
    return True


def _by_certificate(request: Request, shown: Certificate) -> Person:
    if shown.sha256 in doors_of(request).revoked:
        raise AccessError(f"certificate {shown.common_name!r} counts no more; ask for another")
    if context_of(request).clock.now() >= shown.expires:
        raise AccessError(f"certificate {shown.common_name!r} has expired")
    return certificate_person(context_of(request).settings.access, shown.common_name)


def _enter(
    request: Request,
    person: Person,
    how: str,
    *,
    token: str | None = None,
    shown: Certificate | None = None,
) -> tuple[Session, str]:
    """Open a session, which is always a new one; gives it and its cookie.

    Raises:
        ApiError: the person has no role, or it cannot be recorded.
    """
    if not person.roles:
        raise forbidden(f"{person.name} has no role")
    doors = doors_of(request)
    before = request.scope.get("checkpoint.session")
    try:
        cookie, session = doors.sessions.open(
            person,
            token=token,
            certificate=shown.sha256 if shown else None,
            until=shown.expires if shown else None,
        )
    except AccessError as error:
        _log.error("a session cannot be given a token", reason=str(error))
        raise unavailable("nobody can log in: the console's log says why") from None
    request.scope["checkpoint.session"] = session
    try:
        audited(request, "console.login", person.name, {"how": how})
    except (ApiError, AuditError):
        doors.sessions.close(session, "the login cannot be recorded")
        raise
    if isinstance(before, Session):
        doors.sessions.close(before, "logged in again")
    _log.info("logged in", person=person.name, how=how, session=session.id)
    return session, cookie


def _give(request: Request, response: Response, cookie: str) -> Response:
    secure = doors_of(request).secure
    name = cookie_name(request.scope, secure=secure)
    response.set_cookie(name, cookie, secure=secure, httponly=True, samesite="strict")
    return response


def _told(error: AccessError) -> str:
    """What a stranger may know: a token's fault, but not the trouble with our file."""
    said = str(error)
    known = said.startswith(("the token", "certificate", "show a token"))
    return said if known else "the token cannot be looked up; the console's log says why"


routes: Final[Sequence[BaseRoute]] = (
    Route("/", index),
    Route("/api/login", log_in, methods=["POST"]),
    Route("/login", log_in_once),
    Route("/api/logout", log_out, methods=["POST"]),
    Route("/api/me", me),
    Route("/healthz", alive),
)
