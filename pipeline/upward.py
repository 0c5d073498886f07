"""What goes up from a checkpoint: its hits, out of the outbox, and word of how it is."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.alerts.publisher import Publisher
from pipeline.alerts.reporter import Reporter
from pipeline.clock import Clock
from pipeline.config import CheckpointSettings
from pipeline.errors import CheckpointError
from pipeline.health import Health
from pipeline.outbox import Outbox
from pipeline.status import CheckpointReport

ListState = Callable[[], tuple[int | None, float | None]]
"""Version and age of the watchlist; None while it cannot be read."""


class Upward:
    """One outbox with the publisher behind it and, to another machine, the reporter.

    Args:
        settings: whose name, files and order are used.
        path: the outbox's file.
        target: the alert service; where it is ``settings.alerts.target``, over TLS as configured.
        health: told what keeps hits from going up, as ``component``, and of damage to the file.
        list_state: what the reports tell of the watchlist.
    """

    def __init__(
        self,
        settings: CheckpointSettings,
        path: Path,
        target: str,
        health: Health,
        clock: Clock,
        list_state: ListState | None = None,
        component: str = "publishing",
    ) -> None:
        self.outbox = Outbox(path, clock)
        self._settings = settings
        self._health = health
        self._clock = clock
        self._list_state = list_state or (lambda: (None, None))
        self._started_at = clock.now()
        remote = target == settings.alerts.target
        tls = settings.alerts.tls if remote else None
        ca = settings.alerts.target_ca if remote else None
        cert, key = (tls.certificate, tls.key) if tls else (None, None)
        self.publisher = Publisher(
            self.outbox,
            target,
            ca=ca,
            cert=cert,
            key=key,
            urgent_priority=settings.outbox.urgent_first,
            report=lambda problem: health.report(component, problem),
        )
        self._reporter = (
            Reporter(
                target,
                self._report,
                ca=ca,
                cert=cert,
                key=key,
                every_s=settings.outbox.report_every_s,
                on_clock=lambda problem: health.report("clock", problem),
                clock=clock,
            )
            if remote
            else None
        )
        self.check()

    def start(self) -> None:
        """Begin, with what an earlier run left in the outbox."""
        self.publisher.start()
        if self._reporter:
            self._reporter.start()

    def check(self) -> None:
        """Report damage to health, for as long as the damaged file lies there."""
        report_damage(self.outbox, self._health)

    def stop(self, flush_s: float) -> int:
        """Publish what waits, for at most ``flush_s``, and end; how many hits are left on disk."""
        if self._reporter:
            self._reporter.stop(0.2)
        left = self.publisher.flush(flush_s)
        self.publisher.stop(0.5)
        return left

    def close(self) -> None:
        """Close the outbox."""
        self.outbox.close()

    def _report(self) -> CheckpointReport:
        try:
            list_version, list_age_s = self._list_state()
        except CheckpointError:
            list_version = list_age_s = None
        return CheckpointReport(
            checkpoint=self._settings.checkpoint,
            reported_at=self._clock.now(),
            started_at=self._started_at,
            version=program_version(),
            waiting_hits=self.outbox.depth(),
            oldest_waiting_s=self.outbox.oldest_age_s(),
            list_version=list_version,
            list_age_s=list_age_s,
            problems=self._health.problems(),
        )


def report_damage(outbox: Outbox, health: Health) -> None:
    """Tell health that a queue's file was damaged, until the one moved aside is taken away."""
    left = outbox.damaged()
    if not left:
        problem = None
    elif outbox.recovery is not None:
        problem = f"{outbox.path}: {outbox.recovery}"
    else:
        problem = (
            f"{outbox.path}: was damaged at an earlier run; what could not be rescued was not "
            f"delivered: keep {left[-1]} for whoever can read more from it, and take it away"
        )
    health.report(f"data in {outbox.path.name}", problem)


def program_version() -> str:
    """Of the installed package."""
    try:
        return version("checkpoint-vehicles")
    except PackageNotFoundError:
        return "unknown"
