"""A whole console for a browser: Redis, alert service, console, persons with tokens; all real."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import structlog

from pipeline.access import TokenStore
from pipeline.alerts.auth import Access
from pipeline.alerts.publisher import Publisher
from pipeline.alerts.service import AlertService
from pipeline.archive import PassageArchive
from pipeline.audit import AuditLog
from pipeline.camera import CameraStatus
from pipeline.clock import SystemClock
from pipeline.config import AccessRole, AccessSettings, AlertSettings, CheckpointSettings
from pipeline.config.console import ConsoleSettings
from pipeline.console.context import ConsoleContext
from pipeline.console.server import ConsoleServer
from pipeline.convert import publish_request
from pipeline.health import Health
from pipeline.outbox import Outbox
from pipeline.types import Hit
from tests.integration.alerts_support import RedisServer
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S
from watchlist.store import Watchlist

_log = structlog.get_logger(__name__)

ROLES = {
    "张值班": (AccessRole.VIEWER, AccessRole.EDITOR),
    "李审批": (AccessRole.VIEWER, AccessRole.EDITOR, AccessRole.APPROVER),
    "赵查看": (AccessRole.VIEWER,),
}
"""Persons of every rig, each with a token."""


class ConsoleRig:
    """One checkpoint's servers below ``folder``. ``restart`` is what a power cut leaves behind."""

    def __init__(
        self,
        folder: Path,
        *,
        checkpoint: str = "辽宁 G1 山海关",
        cameras: Callable[[], Sequence[CameraStatus]] = tuple,
        still: Callable[[str], bytes | None] = lambda name: None,
        session_hours: float = 12.0,
    ) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.health = Health()
        self._cameras, self._still = cameras, still
        self.redis = RedisServer(folder)
        self.redis.start()
        self._client = self.redis.client()
        self.settings = CheckpointSettings(
            checkpoint=checkpoint,
            data_dir=folder,
            access=AccessSettings(required=True),
            alerts=AlertSettings(listen="127.0.0.1:0", undo_s=60.0),
            console=ConsoleSettings(listen=f"127.0.0.1:{free_port()}", session_hours=session_hours),
        )
        self.tokens = TokenStore(folder / "access.sqlite", self.clock)
        self.token_of = {
            name: self.tokens.issue(name, roles, timedelta(days=1), given_by="test").token
            for name, roles in ROLES.items()
        }
        self._audit = AuditLog(folder / "audit.sqlite", self.clock)
        self._archive = PassageArchive(folder / "passages.sqlite", self.clock)
        self.watchlist = Watchlist(self._client, "checkpoint", self.clock)
        self._outbox = Outbox(folder / "outbox.sqlite")
        self._start()

    @property
    def url(self) -> str:
        return self._console.url

    def publish(self, *hits: Hit) -> None:
        """Send hits up, and wait until the service has acknowledged them."""
        for start in range(0, len(hits), 200):
            self._outbox.put_all([publish_request(hit) for hit in hits[start : start + 200]])
            assert not self._publisher.flush(PATIENCE_S), "hits were not acknowledged"

    def stop_servers(self) -> None:
        """Console and alert service are gone; Redis and the outbox stay."""
        self._console.stop()
        self._publisher.stop()
        assert self._service.stop(90)

    def start_servers(self) -> None:
        """At the same address again."""
        self._start()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.stop_servers()
        self._outbox.close()
        self._archive.close()
        self._audit.close()
        self.redis.close()

    def _start(self) -> None:
        settings = self.settings
        access = Access(settings.access, self.tokens, lambda: self._audit)
        self._service = AlertService(settings.alerts, self._client, access=access, clock=self.clock)
        self._service.start()
        self._publisher = Publisher(self._outbox, self._service.local_target, backoff_max_s=0.3)
        self._publisher.start()
        context = ConsoleContext(
            settings=settings,
            clock=self.clock,
            health=self.health,
            alerts_target=self._service.local_target,
            cameras=self._cameras,
            still=self._still,
            watchlist=self.watchlist,
            archive=self._archive,
            audit=lambda: self._audit,
            tokens=self.tokens,
        )
        self._console = ConsoleServer(context)
        self._console.start()


@contextlib.contextmanager
def console_rig(folder: Path, **how: object) -> Iterator[ConsoleRig]:
    """A running rig, ended on leaving."""
    rig = ConsoleRig(folder, **how)  # type: ignore[arg-type]
    try:
        yield rig
    finally:
        rig.close()
