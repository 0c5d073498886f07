"""Wiring: builds one process from its settings, runs it, and takes it down in order.

Shutdown has one deadline for all of it: stop the sources, drain the batches, close the passages,
match, flush the outbox, stop the alert service. What is not done by then is named.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self

import structlog
from redis import Redis

from detectors.recogniser import Recogniser, load_recogniser
from pipeline.access import token_store
from pipeline.alerts.auth import ALL_CHECKPOINTS, Access
from pipeline.alerts.reviewed import ReviewedAlerts
from pipeline.alerts.service import AlertService
from pipeline.alerts.stores import Stores, open_stores
from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.audit import AUDIT_FILE, AuditLog
from pipeline.camera import CameraStatus, fault
from pipeline.clock import Clock, SystemClock
from pipeline.config import AlertSettings, CheckpointSettings, Role
from pipeline.console.beside import Console
from pipeline.console.imports import FOLDER as IMPORTS
from pipeline.console.imports import KEPT, PlannedImports
from pipeline.console.server import ConsoleServer
from pipeline.errors import AlertServiceError, ConfigError, ShutdownError
from pipeline.events import Summary
from pipeline.health import Health
from pipeline.meters import Meters
from pipeline.recognition import Listener, Recognition, list_state, metered
from pipeline.retention import RemoteSweep, Sweeper
from pipeline.rollup import FIGURES_FILE, Rollup
from pipeline.sinks.all import Sinks
from pipeline.sinks.base import Sink
from pipeline.sinks.figures import FiguresSink
from pipeline.sinks.relay import RelaySink
from pipeline.upward import ListState, Upward
from watchlist.embedded import open_redis
from watchlist.expired import OldEntries
from watchlist.keeper import Keeper
from watchlist.store import Watchlist, watchlist_of

_log = structlog.get_logger(__name__)
_LIST_SWEPT_EVERY_S = 6 * 3600.0  # for entries long expired: the whole list is read


class Runtime:
    """One process of a checkpoint: a context manager; leaving it shuts everything down.

    Args:
        settings: the whole configuration.
        listener: told of passages (each revision once) and hits.
        once: read file sources once, as fast as they can be read, instead of playing them in a
            loop at their own pace.
        any_port: where the alert service's port is taken, listen on a free one.
        clock: the time.
        cameras_later: begin without a camera; they come and go through ``recognition``.

    Raises:
        ConfigError, WeightsError, StoreUnavailable: on entering, when it cannot start.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        listener: Listener | None = None,
        *,
        once: bool = False,
        any_port: bool = False,
        clock: Clock | None = None,
        cameras_later: bool = False,
    ) -> None:
        if Role.RECOGNISE in settings.roles and not settings.cameras and not cameras_later:
            raise ConfigError("no camera is configured: add [[cameras]] or name a --source")
        self.health = Health()
        self.alert_address: str | None = None
        """Where the alert service of this process listens; None without that role."""
        self._settings = settings
        self._listener = listener or Listener()
        self._meters = Meters()
        self._once = once
        self._any_port = any_port
        self._cameras_later = cameras_later
        self._clock = clock or SystemClock()
        self._stack = ExitStack()
        self._service: AlertService | None = None
        self._recognition: Recognition | None = None
        self._sweeper: Sweeper | None = None
        self._relay: Upward | None = None
        self._sinks: Sinks | None = None
        self._console: Console | None = None
        self._summary: Summary | None = None
        self._started_s = 0.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def cameras(self) -> list[CameraStatus]:
        """Every camera now."""
        return self._recognition.cameras() if self._recognition else []

    @property
    def console(self) -> ConsoleServer | None:
        """The web page of this process; None without that role, or before it has started."""
        return self._console.server if self._console else None

    @property
    def recognition(self) -> Recognition | None:
        """The recognising part; None without that role, or before it has started."""
        return self._recognition

    def ended(self) -> bool:
        """True when every source has ended and all its frames are recognised."""
        return self._recognition is not None and self._recognition.stage.join(0)

    def check(self) -> None:
        """Report to health what nobody else notices; call it now and then."""
        for camera in self.cameras():
            self.health.report(f"camera {camera.camera}", fault(camera, self._clock.now()))
        if self._recognition:
            self._recognition.check(self.health)
        if self._relay:
            self._relay.check()
        if self._service:
            self.health.report("alert service", self._service.problem)
        if self._console:
            self.health.report("console", self._console.server.problem)

    def stop(self) -> Summary:
        """Shut down in order within the configured deadline; the second call changes nothing.

        Raises:
            ShutdownError: frames or passages were lost past the deadline.
        """
        if self._summary is None:
            until_s = self._clock.monotonic() + self._settings.shutdown_deadline_s
            lost: list[str] = []
            if self._sweeper:
                self._sweeper.request_stop()
            if self._console:
                self._console.request_stop()
            try:
                if self._recognition:
                    lost = self._recognition.stop(lambda: until_s - self._clock.monotonic())
            finally:
                if self._sinks:
                    self._sinks.stop(max(until_s - self._clock.monotonic() - 0.5, 0.3))
                if self._relay:
                    self._relay.stop(max(until_s - self._clock.monotonic() - 0.5, 0.1))
                if self._console and not self._console.stop(
                    max(until_s - self._clock.monotonic() - 0.5, 0.5)
                ):
                    _log.warning("console still ends; what people decided is stored")
                if self._service and not self._service.stop(
                    max(until_s - self._clock.monotonic(), 0.5)
                ):
                    _log.warning("alert service still ends; acknowledged alerts are stored")
                if self._sweeper:
                    self._sweeper.stop(max(until_s - self._clock.monotonic(), 0.5))
                self._summary = self._summarise()
                self._stack.close()
            if lost:
                raise ShutdownError(
                    f"the shutdown deadline of {self._settings.shutdown_deadline_s} s has passed: "
                    + "; ".join(lost)
                )
        return self._summary

    def _start(self) -> None:
        settings = self._settings
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"data_dir {settings.data_dir} cannot be made: {error.strerror}; name another"
            ) from error
        self._started_s = self._clock.monotonic()
        recogniser: Recogniser | None = None
        if Role.RECOGNISE in settings.roles:  # first: what is wrong with weights is said at once
            recognition = settings.recognition
            recogniser = load_recogniser(
                recognition.weights_dir,
                device=recognition.device,
                threads=recognition.threads,
                scene_weights=recognition.scene_weights,
                reader=recognition.reader,
                reader_model=recognition.reader_model,
            )
        redis = self._stack.enter_context(
            open_redis(settings.watchlist, settings.data_dir, fsync="always", check=False)
        )
        watchlist = watchlist_of(redis, settings.watchlist, settings.data_dir, self._clock)
        report_age = partial(self.health.report, "watchlist age")
        self._stack.enter_context(Keeper(watchlist, settings.watchlist.stale_after_s, report_age))
        if settings.serves:
            self._service, self.alert_address = self._serve(redis)
            self._stack.callback(self._service.stop, 0.5)  # where the start fails further on
            self._start_sinks(redis, partial(list_state, watchlist))
        archive: PassageArchive | None = None
        if recogniser is not None:
            archive = PassageArchive(settings.data_dir / ARCHIVE_FILE, self._clock)
            self._stack.callback(archive.close)
            self._recognition = Recognition(
                settings,
                recogniser,
                archive,
                watchlist,
                (None if settings.serves else settings.alerts.target) or self._own_service(),
                self.health,
                metered(self._listener, self._meters),
                self._clock,
                once=self._once,
                lasting=self._cameras_later,
            )
            self._recognition.start()
            self._meters.queues |= self._recognition.queues
        if Role.CONSOLE in settings.roles:
            self._console = self._open_console(watchlist, archive)
        remote: list[RemoteSweep] = []
        if settings.serves:
            reviewed = ReviewedAlerts(self._stores(redis).alerts)
            days = settings.retention.alerts_days
            remote.append(RemoteSweep("reviewed alerts", days, reviewed))
            entries = OldEntries(redis, settings.watchlist.key_prefix, watchlist)
            days = settings.retention.entries_days
            remote.append(RemoteSweep("watchlist entries", days, entries, _LIST_SWEPT_EVERY_S))
            remote.append(RemoteSweep("watchlist drafts", days, watchlist.drafts))
            planned = PlannedImports(settings.data_dir / IMPORTS)
            remote.append(RemoteSweep("planned imports", KEPT / timedelta(days=1), planned))
        self._sweeper = Sweeper(
            settings.retention,
            settings.audit.keep_days,
            settings.data_dir,
            lambda: AuditLog(settings.data_dir / AUDIT_FILE, self._clock),
            archive,
            remote,
            self.health,
            self._clock,
        )
        self._sweeper.start()

    def _open_console(self, watchlist: Watchlist, archive: PassageArchive | None) -> Console:
        recognition = self._recognition
        console = Console(
            self._settings,
            self._clock,
            self.health,
            self._own_service(),
            watchlist,
            archive,
            self.cameras,
            recognition.stills.of if recognition else lambda camera: None,
            self._meters.counts,
            any_port=self._any_port or "listen" not in self._settings.console.model_fields_set,
        )
        self._stack.callback(console.stop, 0.5)  # where the start fails further on
        return console

    def _own_service(self) -> str:
        """Where this process's own alert service is reached from within."""
        if self._service is None:
            raise ConfigError("name alerts.target, the service to publish to, or add role 'alerts'")
        return self._service.local_target

    def _start_sinks(self, redis: Redis, list_state: ListState) -> None:
        """What else the feed goes to: with a target, on to the service there."""
        settings = self._settings
        own: list[Sink] = []
        if settings.alerts.target:
            self._relay = Upward(
                settings,
                settings.data_dir / "relay.sqlite",
                settings.alerts.target,
                self.health,
                self._clock,
                list_state,
                component="publishing to the province",
            )
            self._stack.callback(self._relay.close)
            own.append(RelaySink(self._relay.outbox))
            self._meters.queues["relay"] = self._relay.outbox
        self._meters.service = self._service
        self._meters.rollup = rollup = Rollup(settings.data_dir / FIGURES_FILE, self._clock)
        self._stack.callback(rollup.close)
        self._meters.sink = FiguresSink(rollup)
        own.append(self._meters.sink)
        self._sinks = Sinks(
            settings.sinks,
            settings.data_dir,
            lambda: self._stores(redis).alerts,
            self.health,
            self._clock,
            own,
        )
        self._stack.callback(self._sinks.stop, 0.5)  # where the start fails further on
        self._sinks.start()
        if self._relay:
            self._relay.start()

    def _stores(self, redis: Redis) -> Stores:
        """Stores of their own for a reader of the feed, closed with the process."""
        stores = open_stores(
            self._settings.alerts,
            redis,
            self._settings.watchlist.key_prefix,
            own_server=self._settings.watchlist.redis_url is None,
        )
        self._stack.callback(stores.close)
        return stores

    def _serve(self, redis: Redis) -> tuple[AlertService, str]:
        settings = self._settings

        def service(listen: AlertSettings) -> tuple[AlertService, str]:
            made = AlertService(
                listen,
                redis,
                prefix=settings.watchlist.key_prefix,
                own_server=settings.watchlist.redis_url is None,
                clock=self._clock,
                access=Access(
                    settings.access,
                    token_store(settings, self._clock),
                    lambda: AuditLog(settings.data_dir / AUDIT_FILE, self._clock),
                ),
                expected=_expected(settings),
                silent_after_s=settings.province.silent_after_s,
            )
            return made, made.start()

        try:
            return service(settings.alerts)
        except AlertServiceError as error:
            if not self._any_port:
                raise
            host = settings.alerts.listen.rpartition(":")[0]
            made = service(settings.alerts.model_copy(update={"listen": f"{host}:0"}))
            _log.warning("alert service listens elsewhere", reason=str(error), address=made[1])
            return made

    def _summarise(self) -> Summary:
        cameras = self.cameras()
        dropped = Counter({"stale": 0})
        skipped: Counter[str] = Counter()
        for camera in cameras:
            dropped.update(camera.dropped)
            skipped.update(camera.skipped)
        recognition = self._recognition
        return Summary(
            decoded=sum(camera.decoded for camera in cameras),
            recognised=recognition.stage.recognised if recognition else 0,
            dropped=dict(dropped),
            passages=recognition.passages.count if recognition else 0,
            hits=recognition.hits.count if recognition else 0,
            wall_s=self._clock.monotonic() - self._started_s,
            skipped=dict(skipped),
            overlooked_s=sum(camera.overlooked_s for camera in cameras),
        )


def _expected(settings: CheckpointSettings) -> set[str]:
    """The checkpoints that must report to a province: those that it lets publish."""
    if Role.PROVINCE not in settings.roles:
        return set()
    named = {name for one in settings.alerts.publishers.values() for name in one}
    return named - {ALL_CHECKPOINTS}
