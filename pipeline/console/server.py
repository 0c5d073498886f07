"""The console's web server: uvicorn with its own event loop in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, cast

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.alerts.channel import dial_target
from pipeline.config import ConsoleSettings
from pipeline.console.app import make_app
from pipeline.console.context import ConsoleContext
from pipeline.console.exposure import opens_by_link, refuse_exposure, tell_exposure
from pipeline.console.login import OneTimeCode
from pipeline.console.security import Guard
from pipeline.errors import ConsoleError

_log = structlog.get_logger(__name__)

LINK_FILE: Final = "console-login.url"
"""In the data folder, mode 600: the link that lets in once. It is gone while no console runs."""

_START_S: Final = 30.0
_LOOK_S: Final = 10.0
_MOST_LOOKS: Final = 3
"""A connection that has sent no whole request after so many looks is cut."""
_LARGEST_HEAD: Final = 32 * 1024
_KEEP_ALIVE_S: Final = 20
_BACKLOG: Final = 256


class ConsoleServer:
    """The console of one process.

    Args:
        context: the process that it belongs to.

    Raises:
        ConfigError: it would expose what it must not, or a TLS file cannot be used.
    """

    def __init__(self, context: ConsoleContext) -> None:
        refuse_exposure(context.settings, context.clock.now())
        self._context = context
        self._settings: ConsoleSettings = context.settings.console
        self._secure = self._settings.tls is not None
        self._once = OneTimeCode(enabled=opens_by_link(context.settings), changed=self._keep_link)
        self._app = make_app(context, self._once, secure=self._secure)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._address = ""

    @property
    def url(self) -> str:
        """Where a browser on this machine reaches it."""
        scheme = "https" if self._secure else "http"
        return f"{scheme}://{dial_target(self._address)}/"

    @property
    def login_url(self) -> str | None:
        """The link that lets in once; None where persons need a token or certificate."""
        code = self._once.code
        return None if code is None else f"{self.url}login?code={code}"

    @property
    def link_file(self) -> Path:
        """Where the link that counts now stands."""
        return self._context.settings.data_dir / LINK_FILE

    @property
    def problem(self) -> str | None:
        """What keeps the console from being reached; None if nothing does."""
        if self._thread is None or not self._thread.is_alive():
            return "the console does not run; the log says why"
        return None

    def start(self) -> str:
        """Start serving; returns the bound address (``host:port``, the port chosen if 0).

        Raises:
            ConsoleError: the address cannot be listened on.
        """
        # of requests that are none it would tell once each: any scanner could fill the log
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        listening = self._listen()
        host, port = self._settings.listen.rpartition(":")[0], listening.getsockname()[1]
        self._address = f"{host}:{port}"
        ready: Future[None] = Future()
        self._server = _Server(self._config(), ready)
        self._thread = threading.Thread(
            target=self._run, args=(self._server, listening, ready), name="console", daemon=True
        )
        self._thread.start()
        ready.result(_START_S)
        self._keep_link()
        _log.info("console listens", address=self._address, tls=self._secure)
        tell_exposure(
            self._context.settings, self._address, self._context.tokens, self._context.clock.now()
        )
        return self._address

    def request_stop(self, deadline_s: float = 2.0) -> None:
        """Begin to stop, without waiting: no new connections, and the feeds end."""
        if self._server is not None:
            self._server.stop(self._app, deadline_s)

    def stop(self, deadline_s: float = 2.0) -> bool:
        """Stop: what is under way is answered, and every session ends; False if not in time.

        Browsers connect again and resume where they were, once a console is back.
        """
        thread = self._thread
        if thread is None:
            return True
        with contextlib.suppress(OSError):
            self.link_file.unlink(missing_ok=True)
        self.request_stop(deadline_s)
        thread.join(deadline_s)
        stopped = not thread.is_alive()
        if not stopped:
            _log.warning("console did not stop in time", deadline_s=deadline_s)
        self._thread = None
        return stopped

    def _run(self, server: _Server, listening: socket.socket, ready: Future[None]) -> None:
        try:
            with listening:
                server.run([listening])
        except BaseException as error:
            if ready.done():
                _log.exception("console failed")
            else:
                ready.set_exception(error)
        finally:
            if not ready.done():
                ready.set_exception(ConsoleError("the console could not start; its log says why"))

    def _listen(self) -> socket.socket:
        host, _, port = self._settings.listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, int(port)))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise ConsoleError(
                f"console.listen = {self._settings.listen}: cannot listen there: {error.strerror}; "
                "see whether another process uses the port ('ss -ltnp'), or choose another"
            ) from error
        return listening

    def _config(self) -> uvicorn.Config:
        tls = self._settings.tls
        return uvicorn.Config(
            cast(Any, self._app),
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
            limit_concurrency=self._settings.limits.all_streams,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_OPTIONAL if tls and tls.client_ca else ssl.CERT_NONE,
        )

    def _keep_link(self) -> None:
        """Write down the link that counts now, for who needs it after the first one is used."""
        url = self.login_url
        if url is None or not self._address:
            return
        try:
            self.link_file.unlink(missing_ok=True)
            self.link_file.touch(mode=0o600)
            self.link_file.write_text(url + "\n", encoding="utf-8")
        except OSError as error:
            _log.warning("the login link cannot be written", reason=error.strerror)


class _Server(uvicorn.Server):
    """Says when it serves, and can be stopped from another thread."""

    def __init__(self, config: uvicorn.Config, ready: Future[None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._ready.set_result(None)

    def stop(self, app: Guard, deadline_s: float) -> None:
        """Ask for the end; followed feeds end first, so that nothing waits for them."""
        self.config.timeout_graceful_shutdown = max(1, round(deadline_s - 0.5))
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(app.request_stop)


class _Protocol(H11Protocol):
    """Tells the application of the client certificate, and cuts who sends no request."""

    _looks = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A browser has connected, and TLS has verified what it showed."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
        inner = cast(ASGIApp, self.app)

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope["checkpoint.certificate"] = shown
            scope["checkpoint.abort"] = transport.abort
            await inner(scope, receive, send)

        self.app = cast(Any, told)
        self._timer = self.loop.call_later(_LOOK_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The browser has gone."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """uvicorn waits for ever for a request that was begun."""
        busy = self.cycle is not None and not self.cycle.response_complete
        self._looks = 0 if busy else self._looks + 1
        if self._looks >= _MOST_LOOKS:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(_LOOK_S, self._look)
