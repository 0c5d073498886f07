"""The console as an ASGI application: its routes, and how an error reaches the page.

/                 the page; /static/ its files, which hold no data and are public
/login, /api/…    see the modules; everything but logging in takes a session
/healthz          whether the process answers
/metrics          for Prometheus; takes a session or a bearer token
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from pipeline.console import (
    alerts_api,
    cameras_api,
    evidence_api,
    feed_api,
    figures_api,
    login,
    metrics,
    passages_api,
    watchlist_api,
    watchlist_import_api,
)
from pipeline.console.context import ApiError, ConsoleContext, Session
from pipeline.console.feed_api import Texts
from pipeline.console.link import AlertLink
from pipeline.console.login import Doors, OneTimeCode, still_counts
from pipeline.console.login_limits import LoginLimits
from pipeline.console.security import Guard
from pipeline.console.session_file import SESSION_FILE, SessionFile
from pipeline.console.sessions import Sessions
from pipeline.console.views import Views
from pipeline.errors import (
    AccessError,
    AlertServiceError,
    ArchiveError,
    AuditError,
    CheckpointError,
    StoreUnavailable,
    WatchlistError,
    redact,
)

_log = structlog.get_logger(__name__)

STATIC: Final = Path(__file__).parent / "static"

_MODULES: Final = (
    login,
    alerts_api,
    feed_api,
    cameras_api,
    evidence_api,
    passages_api,
    watchlist_api,
    watchlist_import_api,
    figures_api,
    metrics,
)
_SWEEP_S: Final = 10.0
_STATUS: Final[dict[type[CheckpointError], tuple[int, str]]] = {
    AccessError: (403, "forbidden"),
    WatchlistError: (409, "refused"),
    StoreUnavailable: (503, "unavailable"),
    ArchiveError: (503, "unavailable"),
    AuditError: (503, "unavailable"),
    AlertServiceError: (503, "unavailable"),
}


def routes() -> Sequence[BaseRoute]:
    """Every route of every module."""
    found: list[BaseRoute] = [
        Route("/favicon.ico", _icon),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    for module in _MODULES:
        found += module.routes
    return found


def make_app(
    context: ConsoleContext,
    once: OneTimeCode | None = None,
    *,
    secure: bool = False,
) -> Guard:
    """The application.

    Args:
        context: the process that it belongs to.
        once: the code of the program's link; None: no link lets anybody in.
        secure: it is reached over TLS.
    """
    settings, clock = context.settings.console, context.clock
    limits = LoginLimits(settings.login_attempts, clock)
    once = once or OneTimeCode(enabled=False)
    told = settings.tls.revoked if settings.tls else ()
    revoked = frozenset(one.replace(":", "").lower() for one in told)
    sessions = Sessions(
        settings,
        context.tokens,
        clock,
        _tell_end,
        kept=SessionFile(context.settings.data_dir / SESSION_FILE),
        counts=partial(still_counts, context.settings.access, revoked, once.code is not None),
    )
    doors = Doors(sessions, limits, once, secure=secure, revoked=revoked)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.link = AlertLink(context.alerts_target)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_sweep, sessions)
                yield
                tasks.cancel_scope.cancel()
        finally:
            await app.state.link.close()
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(sessions.close_all, "the console stops")

    app = Starlette(
        routes=list(routes()),
        lifespan=lifespan,
        exception_handlers={
            ApiError: _api_error,
            CheckpointError: _checkpoint_error,
            HTTPException: _http_error,
            Exception: _failure,
        },
    )
    app.state.context = context
    app.state.doors = doors
    app.state.static = STATIC
    app.state.views = Views()
    app.state.texts = Texts()
    app.state.stopping = anyio.Event()
    return Guard(app, settings, sessions, context.tokens, limits, clock, secure=secure)


async def _sweep(sessions: Sessions) -> None:
    while True:
        await anyio.sleep(_SWEEP_S)
        await run_in_threadpool(sessions.sweep)


def _tell_end(session: Session, why: str) -> None:
    _log.info("session ended", person=session.person.name, session=session.id, why=why)


def _icon(request: Request) -> Response:
    return RedirectResponse("/static/icon.svg", 301)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - by the table above
    return error.response()


async def _checkpoint_error(request: Request, error: Exception) -> Response:
    status, code = next(
        (found for kind, found in _STATUS.items() if isinstance(error, kind)), (400, "invalid")
    )
    return ApiError(status, code, str(error)).response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - by the table above
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    response = ApiError(
        error.status_code, codes.get(error.status_code, "invalid"), error.detail
    ).response()
    response.headers.update(error.headers or {})
    return response


async def _failure(request: Request, error: Exception) -> Response:
    _log.error("a request failed", path=request.url.path, reason=redact(repr(error)))
    return ApiError(500, "failed", "the console has failed here; its log tells more").response()
