"""The reporter: a thread that tells the alert service how this checkpoint is.

A few hundred bytes every few seconds, over a connection of its own: they arrive even while a long
queue of hits is on its way. The answer tells the service's time, so that a clock that jumped is
noticed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import grpc
import structlog

from checkpoint.v1 import alerts_pb2 as pb
from checkpoint.v1 import alerts_pb2_grpc
from pipeline.alerts.channel import explain, open_channel
from pipeline.clock import Clock, SystemClock
from pipeline.convert_status import report_to_pb
from pipeline.convert_values import moment_from_pb
from pipeline.status import CheckpointReport

_log = structlog.get_logger(__name__)

MOST_CLOCK_OFFSET_S: Final = 5.0
"""A clock that is further from the service's is reported: times of passages are evidence."""

_DEADLINE_S: Final = 5.0


class Reporter:
    """Reports for as long as it runs; what cannot be sent is not kept.

    Args:
        target: ``host:port`` or ``unix:PATH`` of the alert service.
        report: makes the report, in the reporter's thread.
        ca, cert, key: PEM files for TLS and mutual TLS.
        every_s: how often.
        on_clock: called with what is wrong with this machine's clock, or with None.
    """

    def __init__(
        self,
        target: str,
        report: Callable[[], CheckpointReport],
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        every_s: float = 10.0,
        on_clock: Callable[[str | None], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._target = target
        self._files = ca, cert, key
        self._report = report
        self._every_s = every_s
        self._on_clock = on_clock or (lambda problem: None)
        self._clock = clock or SystemClock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._failed = False

    def start(self) -> None:
        """Begin with a first report at once."""
        self._thread.start()

    def stop(self, deadline_s: float = 1.0) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        with open_channel(self._target, *self._files) as channel:
            stub: Any = alerts_pb2_grpc.AlertsStub(channel)  # type: ignore[no-untyped-call]
            while not self._stopping.is_set():
                began_s = time.monotonic()
                try:
                    self._send(stub)
                    self._failed = False
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                        _log.info("the alert service takes no reports: it is older than this")
                        return
                    self._say_once(str(explain(error, self._target)))
                except Exception as error:  # a report must not end the thread unseen
                    self._say_once(str(error))
                self._stopping.wait(max(0.1, self._every_s - (time.monotonic() - began_s)))

    def _send(self, stub: Any) -> None:
        report = report_to_pb(self._report())
        sent_at, sent_s = self._clock.now(), self._clock.monotonic()
        answer = stub.ReportStatus(
            pb.ReportStatusRequest(report=report), timeout=min(_DEADLINE_S, self._every_s)
        )
        took_s = self._clock.monotonic() - sent_s
        theirs = moment_from_pb(answer.received_at)
        self._on_clock(clock_problem(sent_at, theirs, took_s))

    def _say_once(self, problem: str) -> None:
        if not self._failed:
            _log.warning("the checkpoint's status could not be reported", reason=problem)
        self._failed = True


def clock_problem(sent_at: datetime, received_at: datetime, took_s: float) -> str | None:
    """What is wrong with our clock, which said ``sent_at`` when a question began that took
    ``took_s`` and that the service received at ``received_at`` by its own."""
    ahead_s = (sent_at - received_at).total_seconds()
    off_s = abs(ahead_s) - took_s
    if off_s <= MOST_CLOCK_OFFSET_S:
        return None
    way = "ahead of" if ahead_s > 0 else "behind"
    return (
        f"this machine's clock is {off_s:.0f} s {way} the alert service's: times on hits are "
        "wrong; see whether NTP runs on both ('timedatectl')"
    )
