"""The alert service: a gRPC server with its own event loop in its own thread.

It runs in the recognising process or alone under ``checkpoint serve``; publishers and subscribers
reach it over gRPC in both cases. It starts and goes on without Redis: health then answers
NOT_SERVING and calls UNAVAILABLE, until Redis is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from redis import Redis

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.channel import MAX_MESSAGE_BYTES, check_address, read_pem
from pipeline.alerts.feed import AlertFeed
from pipeline.alerts.servicer import AlertsServicer
from pipeline.alerts.store import AlertStore
from pipeline.clock import Clock, SystemClock
from pipeline.config import AlertSettings, TlsSettings
from pipeline.errors import AlertServiceError, ConfigError, StoreUnavailable

_log = structlog.get_logger(__name__)

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["Alerts"].full_name

_STORE_THREADS: Final = 8
_START_S: Final = 30.0
_STOP_MARGIN_S: Final = 0.5
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class AlertService:
    """One gRPC server over one alert store.

    Args:
        settings: where to listen, and the TLS files.
        redis: a client whose values are bytes; used from several threads.
        prefix: of every key in Redis.
        own_server: Redis is the embedded one and may be switched to ``appendfsync always``.
        heartbeat_s: how often a quiet subscriber is told where the feed stands.

    Raises:
        ConfigError: it would listen beyond this machine without TLS.
    """

    def __init__(
        self,
        settings: AlertSettings,
        redis: Redis,
        *,
        prefix: str = "checkpoint",
        own_server: bool = False,
        clock: Clock | None = None,
        heartbeat_s: float = 5.0,
    ) -> None:
        refuse_exposure(settings)
        self._settings = settings
        self._store = AlertStore(redis, prefix, own_server=own_server)
        self._clock = clock or SystemClock()
        self._heartbeat_s = heartbeat_s
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None
        self._stop_deadline_s = 0.0
        self._feed: AlertFeed | None = None
        self._local: str | None = None
        self._local_folder: str | None = None

    @property
    def problem(self) -> str | None:
        """What keeps the service from serving; None if it serves."""
        if self._feed is None:
            return "the alert service does not run"
        return self._feed.problem

    @property
    def local_target(self) -> str:
        """Where this machine's own publisher connects: the bound address, or, where that one
        speaks TLS, a Unix socket that only this user can open.

        Raises:
            AlertServiceError: the service does not run.
        """
        if self._local is None:
            raise AlertServiceError("the alert service does not run: start it first")
        return self._local

    def start(self) -> str:
        """Start serving; returns the bound address (``host:port``, the port chosen if 0).

        Raises:
            ConfigError: a TLS file cannot be used, or Redis may lose what it acknowledged.
            AlertServiceError: the address cannot be listened on.
        """
        if self._thread is not None:
            raise AlertServiceError("the alert service runs already")
        ready: Future[str] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="alert-service", daemon=True
        )
        self._thread.start()
        try:
            return ready.result(_START_S)
        except BaseException:
            self._thread.join(1.0)
            self._thread = None
            raise

    def stop(self, deadline_s: float = 4.0) -> bool:
        """Stop: not-serving, then end every call, then the server; False if not done in time.

        Subscribers and publishers are told UNAVAILABLE and connect again elsewhere or later.
        """
        thread, loop, requested = self._thread, self._loop, self._stop_requested
        if thread is None or loop is None or requested is None:
            return True
        self._stop_deadline_s = deadline_s
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(requested.set)
        thread.join(deadline_s)
        stopped = not thread.is_alive()
        if not stopped:
            _log.warning("alert service did not stop in time", deadline_s=deadline_s)
        self._thread = None
        return stopped

    def _run(self, ready: Future[str]) -> None:
        executor = ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="alert-store")
        try:
            asyncio.run(self._serve(ready, executor))
        except BaseException as error:
            if ready.done():
                _log.exception("alert service failed")
            else:
                ready.set_exception(error)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            self._feed = None
            self._local = None
            if self._local_folder is not None:
                shutil.rmtree(self._local_folder, ignore_errors=True)

    async def _serve(self, ready: Future[str], executor: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        stopping = asyncio.Event()
        server = grpc.aio.server(options=_OPTIONS)
        servicer: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]
        changes: asyncio.Queue[str | None] = asyncio.Queue()
        feed = AlertFeed(self._store, executor, changes.put_nowait)
        await _tell_health(servicer, feed.problem)
        try:
            await feed.connect()
        except StoreUnavailable as error:
            _log.warning("alert service starts without its store", reason=str(error))
        alerts_pb2_grpc.add_AlertsServicer_to_server(  # type: ignore[no-untyped-call]
            AlertsServicer(self._store, feed, self._clock, stopping, self._heartbeat_s), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        address = self._bind(server)
        await server.start()
        tasks = [
            asyncio.create_task(feed.follow()),
            asyncio.create_task(_report_changes(changes, servicer)),
        ]
        self._feed = feed
        try:
            ready.set_result(address)
            _log.info("alert service listens", address=address, tls=self._settings.tls is not None)
            await self._stop_requested.wait()
        finally:
            began = time.monotonic()
            await servicer.enter_graceful_shutdown()
            stopping.set()
            feed.wake()
            grace_s = max(0.1, self._stop_deadline_s - _STOP_MARGIN_S)
            await server.stop(grace_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            _log.info("alert service stopped", seconds=round(time.monotonic() - began, 2))

    def _bind(self, server: grpc.aio.Server) -> str:
        listen = self._settings.listen
        host = listen.rpartition(":")[0]
        try:
            if self._settings.tls is None:
                port = server.add_insecure_port(listen)
                self._local = f"{host}:{port}"
            else:
                port = server.add_secure_port(listen, _credentials(self._settings.tls))
                self._local_folder = tempfile.mkdtemp(prefix="checkpoint-")  # mode 700
                self._local = f"unix:{self._local_folder}/alerts.sock"
                server.add_insecure_port(self._local)
        except RuntimeError as error:
            raise AlertServiceError(
                f"alerts.listen = {listen}: cannot listen there; see whether another process uses "
                "the port ('ss -ltnp'), and whether certificate and key belong together"
            ) from error
        if port == 0:
            raise AlertServiceError(f"alerts.listen = {listen}: cannot listen there")
        return f"{host}:{port}"


def refuse_exposure(settings: AlertSettings) -> None:
    """Refuse to listen beyond this machine without TLS.

    Raises:
        ConfigError: naming what would be exposed, and to whom; or the address is none.
    """
    check_address(settings.listen, "alerts.listen")
    host = settings.listen.rpartition(":")[0].strip("[]")
    if host == "localhost" or _is_loopback(host):
        return
    if settings.tls is None:
        raise ConfigError(
            f"alerts.listen = {settings.listen}: without TLS this would expose every alert, "
            "plate and evidence picture, and the right to publish and review them, to everyone "
            "who reaches this machine; set [alerts.tls] certificate, key and client_ca, or "
            "listen on 127.0.0.1"
        )
    if settings.tls.client_ca is None:
        _log.warning(
            "alerts.tls has no client_ca: everyone who reaches this machine may read, publish and "
            "review alerts, over an encrypted connection",
            listen=settings.listen,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    _warn_if_readable(tls.key)
    pair = (
        read_pem(tls.key, "alerts.tls.key"),
        read_pem(tls.certificate, "alerts.tls.certificate"),
    )
    client_ca = read_pem(tls.client_ca, "alerts.tls.client_ca") if tls.client_ca else None
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )


def _warn_if_readable(key: Path) -> None:
    with contextlib.suppress(OSError):
        if os.stat(key).st_mode & 0o077:
            _log.warning("others can read the TLS key: chmod 600", key=str(key))


async def _tell_health(servicer: Any, problem: str | None) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    status = serving if problem is None else health_pb2.HealthCheckResponse.NOT_SERVING
    for name in ("", SERVICE_NAME):
        await servicer.set(name, status)


async def _report_changes(changes: asyncio.Queue[str | None], servicer: Any) -> None:
    """Carry every change of the store's state to health and the log."""
    while True:
        problem = await changes.get()
        if problem is None:
            _log.info("alert store answers: serving")
        else:
            _log.warning("alert store away: not serving", reason=problem)
        await _tell_health(servicer, problem)
