"""The alert service: a gRPC server with its own event loop in its own thread.

It runs in the recognising process or alone under ``checkpoint serve``; publishers and subscribers
reach it over gRPC in both cases. It starts and goes on without its store: health then
answers NOT_SERVING and calls UNAVAILABLE, until the store is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from redis import Redis

from checkpoint.v1 import alerts_pb2 as pb
from pipeline.alerts.auth import Access, Authenticator
from pipeline.alerts.channel import MAX_MESSAGE_BYTES
from pipeline.alerts.escalation import Escalator
from pipeline.alerts.exposure import (
    Listener,
    check_certificate,
    listeners,
    open_here,
    refuse_exposure,
    tell_exposure,
)
from pipeline.alerts.feed import AlertFeed
from pipeline.alerts.gate import Gate
from pipeline.alerts.handlers import add_to_server
from pipeline.alerts.intake import Intake
from pipeline.alerts.limits import CallLimits
from pipeline.alerts.presence import Presence
from pipeline.alerts.province import Watch
from pipeline.alerts.servicer import AlertsServicer
from pipeline.alerts.stores import open_stores
from pipeline.clock import Clock, SystemClock
from pipeline.config import AlertSettings
from pipeline.errors import AlertServiceError, StoreUnavailable

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
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.server_handshake_timeout_ms", 10_000),  # or a peer that says nothing holds a place
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


class AlertService:
    """One gRPC server over one alert store.

    Args:
        settings: where to listen, the TLS files, and the store, where it is not Redis.
        redis: a client whose values are bytes; used from several threads.
        prefix: of every key in Redis, or of the schema in PostgreSQL.
        own_server: Redis is the embedded one and may be switched to ``appendfsync always``.
        heartbeat_s: how often a quiet subscriber is told where the feed stands.
        access: where tokens are looked up and where persons' actions are recorded; without it
            there are no persons but those of client certificates.
        expected: names of checkpoints that must report.
        silent_after_s: a checkpoint of which nothing was heard for so long is silent.

    Raises:
        ConfigError: it would listen beyond this machine without TLS, or the store's address
            cannot be used.
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
        access: Access | None = None,
        expected: Collection[str] = (),
        silent_after_s: float = 60.0,
    ) -> None:
        refuse_exposure(settings)
        self.addresses: tuple[str, ...] = ()
        """Every bound address, in the order of the settings."""
        self._settings = settings
        self._access = access or Access()
        self._stores = open_stores(settings, redis, prefix, own_server=own_server)
        self._expected = frozenset(expected)
        self._silent_after_s = silent_after_s
        self._clock = clock or SystemClock()
        self._heartbeat_s = heartbeat_s
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None
        self._stop_deadline_s = 0.0
        self._feed: AlertFeed | None = None
        self._calls: AlertsServicer | None = None
        self._local: str | None = None
        self._local_folder: str | None = None

    @property
    def problem(self) -> str | None:
        """What keeps the service from serving; None if it serves."""
        if self._feed is None:
            return "the alert service does not run"
        return self._feed.problem

    def connected(self) -> tuple[int, int]:
        """How many subscribers and publishers there are now."""
        calls = self._calls
        return (calls.subscribers, calls.publishers) if calls else (0, 0)

    @property
    def local_target(self) -> str:
        """Where this machine's own publisher connects: a Unix socket that only this user can open.

        Raises:
            AlertServiceError: the service does not run.
        """
        if self._local is None:
            raise AlertServiceError("the alert service does not run: start it first")
        return self._local

    def start(self) -> str:
        """Start serving; returns the bound address (``host:port``, the port chosen if 0).

        Raises:
            ConfigError: a TLS file cannot be used, or the store may lose what it acknowledged.
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
            self._stores.close()
            self._feed = None
            self._local = None
            if self._local_folder is not None:
                shutil.rmtree(self._local_folder, ignore_errors=True)

    async def _serve(self, ready: Future[str], executor: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        stopping = asyncio.Event()
        gate = self._gate()
        connections = ("grpc.max_allowed_incoming_connections", self._settings.limits.connections)
        server = grpc.aio.server(interceptors=(gate,), options=(*_OPTIONS, connections))
        servicer: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]
        changes: asyncio.Queue[str | None] = asyncio.Queue()
        feed = AlertFeed(self._stores.alerts, executor, changes.put_nowait)
        await _tell_health(servicer, feed.problem)
        try:
            await feed.connect()
        except StoreUnavailable as error:
            _log.warning("alert service starts without its store", reason=str(error))
        intake = Intake(self._stores.alerts, feed)
        watch = Watch(
            self._stores.checkpoints,
            feed,
            Presence(self._expected, self._silent_after_s, self._clock),
        )
        calls = (self._stores.alerts, feed, intake, watch.presence, self._clock)
        undo_s = self._settings.undo_s
        self._calls = AlertsServicer(*calls, stopping, self._heartbeat_s, undo_s)
        add_to_server(self._calls, server)
        after_s, priority = self._settings.escalate_after_s, self._settings.escalate_priority
        escalator = Escalator(self._stores.alerts, feed, self._clock, after_s, priority)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        address = self._bind(server)
        await server.start()
        tasks = [
            asyncio.create_task(feed.follow()),
            asyncio.create_task(intake.run()),
            asyncio.create_task(watch.run()),
            asyncio.create_task(_report_changes(changes, servicer)),
        ]
        if after_s:
            tasks.append(asyncio.create_task(escalator.run()))
        self._feed = feed
        try:
            ready.set_result(address)
            _log.info("alert service listens", address=address, tls=self._settings.tls is not None)
            tell_exposure(self._settings, self._access, self._clock.now())
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
            gate.close()
            _log.info("alert service stopped", seconds=round(time.monotonic() - began, 2))

    def _gate(self) -> Gate:
        settings, access = self._settings, self._access
        if settings.tls is not None:
            check_certificate(settings.tls, self._clock.now())
        here = open_here(settings, access.settings)
        authenticator = Authenticator(settings, access, self._clock, open_here=here)
        return Gate(authenticator, CallLimits(settings.limits, self._clock), access, self._clock)

    def _bind(self, server: grpc.aio.Server) -> str:
        """Listen; returns the first address. Our own publisher has a Unix socket to itself."""
        bound = [self._listen(server, one) for one in listeners(self._settings)]
        try:
            self._local_folder = tempfile.mkdtemp(prefix="checkpoint-")  # mode 700
            self._local = f"unix:{self._local_folder}/alerts.sock"
            server.add_insecure_port(self._local)
        except (OSError, RuntimeError) as error:
            raise AlertServiceError(
                f"{tempfile.gettempdir()}: holds no socket of ours: {error}; set TMPDIR to a "
                "folder with a short name that this user can write"
            ) from error
        self.addresses = tuple(bound)
        return bound[0]

    def _listen(self, server: grpc.aio.Server, one: Listener) -> str:
        credentials = one.credentials()
        try:
            if credentials is None:
                port = server.add_insecure_port(one.address)
            else:
                port = server.add_secure_port(one.address, credentials)
        except RuntimeError as error:
            raise AlertServiceError(
                f"{one.setting} = {one.address}: cannot listen there; see whether another process "
                "uses the port ('ss -ltnp'), and whether the certificates can be used"
            ) from error
        if port == 0:
            raise AlertServiceError(f"{one.setting} = {one.address}: cannot listen there")
        return f"{one.address.rpartition(':')[0]}:{port}"


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
