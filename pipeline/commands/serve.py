"""``checkpoint serve``: the alert service alone."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import structlog
import typer

from pipeline import config
from pipeline.alert_service import AlertService, refuse_exposure
from pipeline.errors import ShutdownError
from watchlist.embedded import open_redis

_log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    file: Annotated[Path, typer.Option("--config", help="The checkpoint.toml to serve from.")],
) -> None:
    """Run the alert service until Ctrl-C or SIGTERM."""
    settings = config.load(file)
    refuse_exposure(settings.alerts)
    requested = threading.Event()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, lambda *_: requested.set())
    try:
        with open_redis(settings.watchlist, settings.data_dir, fsync="always") as redis:
            service = AlertService(
                settings.alerts,
                redis,
                prefix=settings.watchlist.key_prefix,
                own_server=settings.watchlist.redis_url is None,
            )
            service.start()
            requested.wait()
            _log.info("stopping")
            if not service.stop(settings.shutdown_deadline_s):
                raise ShutdownError(
                    f"the alert service did not stop within {settings.shutdown_deadline_s} s; "
                    "every acknowledged alert is stored"
                )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
