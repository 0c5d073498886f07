"""The console beside the other parts of a process: what it is given of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from pipeline.access import token_store
from pipeline.archive import ARCHIVE_FILE, PassageArchive
from pipeline.audit import AUDIT_FILE, AuditLog
from pipeline.camera import CameraStatus
from pipeline.clock import Clock
from pipeline.config import CheckpointSettings
from pipeline.console.context import ConsoleContext
from pipeline.console.server import ConsoleServer
from pipeline.errors import ConsoleError
from pipeline.health import Health
from pipeline.meters import Counts
from watchlist.store import Watchlist

_log = structlog.get_logger(__name__)


class Console:
    """The console of one process, with what it opens for itself.

    Args:
        alerts_target: where the alert service is reached from within.
        archive: that of the recognising part; None: the one in the data folder, if there is one.
        any_port: where the port is taken, listen on a free one.

    Raises:
        ConfigError: it would expose what it must not.
        ConsoleError: it cannot listen.
        ArchiveError: the data folder's passages cannot be read.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        clock: Clock,
        health: Health,
        alerts_target: str,
        watchlist: Watchlist,
        archive: PassageArchive | None,
        cameras: Callable[[], Sequence[CameraStatus]],
        still: Callable[[str], bytes | None],
        counts: Callable[[], Counts] = Counts,
        *,
        any_port: bool = False,
    ) -> None:
        self._audit = _Shared(lambda: AuditLog(settings.data_dir / AUDIT_FILE, clock))
        self._archive: PassageArchive | None = None
        path = settings.data_dir / ARCHIVE_FILE
        if archive is not None or path.exists():
            # A connection of its own: a long search must not hold up whoever keeps passages.
            archive = self._archive = PassageArchive(archive.path if archive else path, clock)

        def server(of: CheckpointSettings) -> ConsoleServer:
            context = ConsoleContext(
                settings=of,
                clock=clock,
                health=health,
                alerts_target=alerts_target,
                cameras=cameras,
                still=still,
                watchlist=watchlist,
                archive=archive,
                audit=self._audit,
                tokens=token_store(settings, clock),
                counts=counts,
            )
            made = ConsoleServer(context)
            made.start()
            return made

        try:
            self.server = server(settings)
        except ConsoleError as error:
            if not any_port:
                self._close()
                raise
            host = settings.console.listen.rpartition(":")[0]
            elsewhere = settings.console.model_copy(update={"listen": f"{host}:0"})
            self.server = server(settings.model_copy(update={"console": elsewhere}))
            _log.warning("console listens elsewhere", reason=str(error), url=self.server.url)
        except BaseException:
            self._close()
            raise

    def request_stop(self) -> None:
        """Begin to stop, without waiting: the feeds that are followed end."""
        self.server.request_stop()

    def stop(self, deadline_s: float) -> bool:
        """Stop; False if not done in time. A second time changes nothing."""
        stopped = self.server.stop(deadline_s)
        self._close()
        return stopped

    def _close(self) -> None:
        self._audit.close()
        if self._archive is not None:
            self._archive.close()
            self._archive = None


class _Shared:
    """The audit log, opened at the first call and shared from then on."""

    def __init__(self, opened: Callable[[], AuditLog]) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._log: AuditLog | None = None

    def __call__(self) -> AuditLog:
        with self._lock:
            if self._log is None:
                self._log = self._opened()
            return self._log

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                self._log.close()
                self._log = None
