"""All sinks of one process: made from its settings, started and stopped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pipeline.alerts.store import AlertStore
from pipeline.clock import Clock
from pipeline.config import SinksSettings
from pipeline.health import Health
from pipeline.sinks.base import Sink
from pipeline.sinks.cursors import SINKS_FILE, Cursors
from pipeline.sinks.mqtt import MqttSink
from pipeline.sinks.runner import SinkRunner
from pipeline.sinks.webhook import WebhookSink


class Sinks:
    """The sinks that settings name, and those that the process itself has.

    Args:
        store: makes a store for each sink, which reads in a thread of its own.
        health: told what keeps a sink from delivering, as "sink NAME".
        own: sinks beside those of the settings.

    Raises:
        ConfigError: a sink's secret, certificate or library cannot be used.
    """

    def __init__(
        self,
        settings: SinksSettings,
        data_dir: Path,
        store: Callable[[], AlertStore],
        health: Health,
        clock: Clock,
        own: Sequence[Sink] = (),
    ) -> None:
        sinks: list[Sink] = [
            *own,
            *(WebhookSink(one, clock) for one in settings.webhooks),
            *(MqttSink(one, clock) for one in settings.mqtt),
        ]
        self._cursors = Cursors(data_dir / SINKS_FILE, clock)
        self.runners = [
            SinkRunner(sink, store(), self._cursors, partial(health.report, f"sink {sink.name}"))
            for sink in sinks
        ]

    def start(self) -> None:
        """Begin where an earlier run ended."""
        for runner in self.runners:
            runner.start()

    def stop(self, deadline_s: float) -> None:
        """End all of them; what was not delivered is at the next start."""
        for runner in self.runners:
            runner.request_stop()
        for runner in self.runners:
            runner.stop(deadline_s)
        self._cursors.close()
