"""What stands before every route: limits, who asks, protection against forged requests, headers.

``Guard`` is the outermost ASGI application, so that nothing can be reached around it. Only what
``PUBLIC`` names is answered without a session.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import anyio
import structlog
from cryptography import x509
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import Message, Receive, Scope, Send

from pipeline.access import TokenStore
from pipeline.alerts.limits import CallLimits, peer_key
from pipeline.alerts.status import CallRefused
from pipeline.clock import Clock
from pipeline.config import AccessRole, ConsoleSettings
from pipeline.console.context import ApiError, Session
from pipeline.console.login_limits import LoginLimits
from pipeline.console.sessions import Sessions
from pipeline.errors import AccessError

_log = structlog.get_logger(__name__)

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; media-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_HSTS: Final = "max-age=31536000"

PUBLIC: Final = frozenset({"/", "/favicon.ico", "/healthz", "/login", "/api/login"})
STATIC: Final = "/static/"
METRICS: Final = "/metrics"
"""Takes a bearer token as well, so that a collector needs no session."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LARGEST_BODY: Final = 64 * 1024
_LARGEST: Final = {"/api/watchlist/import": 64 * 1024 * 1024}
_BODY_S: Final = 20.0
_LONGEST_TOKEN: Final = 256


@dataclass(frozen=True, slots=True)
class Certificate:
    """The client certificate of a connection, which TLS has verified."""

    common_name: str
    sha256: str
    expires: datetime


def certificate_of(scope: Scope) -> Certificate | None:
    """What the browser has shown; None where nothing, or nothing that names anybody."""
    der = scope.get("checkpoint.certificate")
    if not isinstance(der, bytes):
        return None
    try:
        parsed = x509.load_der_x509_certificate(der)
        names = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        name = str(names[0].value).strip()
    except (ValueError, IndexError):
        return None
    if not name:
        return None
    return Certificate(name, hashlib.sha256(der).hexdigest(), parsed.not_valid_after_utc)


def cookie_name(scope: Scope, *, secure: bool) -> str:
    """The session cookie's name; under TLS one that no other host and no plain text can set.

    Browsers keep cookies by host, whatever the port: two consoles of one machine differ in name.
    """
    port = (scope.get("server") or ("", 0))[1]
    return f"{'__Host-' if secure else ''}checkpoint-{port}"


def address_key(scope: Scope) -> str:
    """What a peer counts as: its address, of IPv6 the /64 network."""
    host = str((scope.get("client") or ("unknown",))[0])
    kind = "ipv6" if ":" in host else "ipv4"
    return peer_key(f"{kind}:[{host}]:0") or host


class Guard:
    """Lets requests through to ``app``, or refuses them.

    Args:
        app: the routes.
        sessions: who is logged in.
        tokens: for ``/metrics``.
        logins: failed logins.
        secure: the console is reached over TLS.
    """

    def __init__(
        self,
        app: Starlette,
        settings: ConsoleSettings,
        sessions: Sessions,
        tokens: TokenStore,
        logins: LoginLimits,
        clock: Clock,
        *,
        secure: bool,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._tokens = tokens
        self._logins = logins
        self._limits = CallLimits(settings.limits, clock)
        self._clock = clock
        self._secure = secure

    def request_stop(self) -> None:
        """End the feeds that are followed; to be called in the event loop."""
        self._app.state.stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"]
        answer = self._with_headers(path, send)
        try:
            session = await self._session(scope, path)
            key = f"session {session.id}" if session else address_key(scope)
            try:
                self._limits.begin(key)
            except CallRefused as refused:
                raise ApiError(
                    429, "rate_limit", refused.message, retry_s=refused.retry_s
                ) from None
            try:
                _check_origin(scope)
                if session is None and not _is_public(path):
                    raise ApiError(401, "login_required", "log in first")
                if session is not None:
                    _check_csrf(scope, path, session)
                    scope["checkpoint.session"] = session
                await self._app(scope, _limited(scope, path, receive), answer)
            finally:
                self._limits.end(key)
        except ApiError as error:
            await error.response()(scope, receive, answer)

    async def _session(self, scope: Scope, path: str) -> Session | None:
        if path.startswith(STATIC):
            return None
        headers = Headers(scope=scope)
        if path == METRICS and "authorization" in headers:
            return await run_in_threadpool(self._bearer, scope, headers["authorization"])
        cookie = cookie_parser(headers.get("cookie", "")).get(
            cookie_name(scope, secure=self._secure)
        )
        if not cookie or len(cookie) > _LONGEST_TOKEN:
            return None
        certificate = certificate_of(scope)
        return await run_in_threadpool(
            self._sessions.find, cookie, certificate.sha256 if certificate else None
        )

    def _bearer(self, scope: Scope, header: str) -> Session:
        """A session for this one request, of who shows a token."""
        address = address_key(scope)
        self._logins.attempt(address)
        scheme, _, token = header.partition(" ")
        token = token.strip()
        try:
            if scheme.lower() != "bearer" or not token or len(token) > _LONGEST_TOKEN:
                raise AccessError("the token is not known here")
            person = self._tokens.verify(token)
        except AccessError:
            raise ApiError(
                401, "login_required", "show a token: 'Authorization: Bearer TOKEN'"
            ) from None
        self._logins.succeeded(address)
        if AccessRole.VIEWER not in person.roles:
            raise ApiError(403, "forbidden", f"{person.name} may not do this: it takes viewer")
        now = self._clock.now()
        return Session(id="metrics", person=person, expires_at=now, token=token, csrf="")

    def _with_headers(self, path: str, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._secure:
                    headers["Strict-Transport-Security"] = _HSTS
                if not path.startswith(STATIC) and path != "/":
                    headers["Cache-Control"] = "no-store"
                else:
                    headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        return answer


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(STATIC)


def _check_origin(scope: Scope) -> None:
    """Refuse what a page of another origin sends to change something.

    Raises:
        ApiError: 403.
    """
    if scope["method"] in _SAFE:
        return
    headers = Headers(scope=scope)
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    same = origin is None or origin.partition("://")[2] == headers.get("host")
    if site not in (None, "same-origin", "none") or not same:
        raise ApiError(403, "other_origin", "this request comes from another page")


def _check_csrf(scope: Scope, path: str, session: Session) -> None:
    if scope["method"] in _SAFE or path == "/api/login":
        return
    shown = Headers(scope=scope).get("x-csrf-token", "").encode()
    if not session.csrf or not hmac.compare_digest(shown, session.csrf.encode()):
        raise ApiError(403, "csrf", "send the header X-CSRF-Token, as /api/me names it")


def _limited(scope: Scope, path: str, receive: Receive) -> Receive:
    """``receive``, which refuses a body that is too large or does not come.

    Raises:
        ApiError: 413, now where the header says so, else while it is read; 408.
    """
    largest = _LARGEST.get(path, _LARGEST_BODY)
    refused = ApiError(413, "too_large", f"more than {largest} bytes, which are the most here")
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or len(length) > 15 or int(length) > largest:
        raise refused
    total, whole = 0, False

    async def limited() -> Message:
        nonlocal total, whole
        if whole:  # what comes now is the browser's going
            return await receive()
        try:
            with anyio.fail_after(_BODY_S):
                message = await receive()
        except TimeoutError:
            raise ApiError(408, "timeout", f"nothing came for {_BODY_S:g} s") from None
        whole = not message.get("more_body", False)
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            if total > largest:
                raise refused
        return message

    return limited
