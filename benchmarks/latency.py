"""From the camera to a subscriber: how long after a frame's arrival its hit is there.

Every plate that a first pass over the clip reads is put on the watchlist, then cameras play the
clip at its own pace and a subscriber of the alert service notes when each alert is in its hands.
Stages, each with its own quantiles:

- ``decode``: from the frame's arrival (when it is due, or its last packet is there) until it is
  decoded and in the camera's mailbox; ``wait``: until it is taken into a batch; ``recognise``:
  until its plates are read. Of every frame that was looked at.
- ``settle``: from the arrival of the frame that settled a passage's reading to the passage.
- ``match``: from there to the hit: spooled, matched, and in the outbox on the disk.
- ``publish``: from there to the subscriber: sent, stored on the disk, acknowledged, streamed.
- ``total``: ``settle``, ``match`` and ``publish`` of one hit together: camera to hit.
- ``in_view``: from the arrival of the first frame that showed the vehicle to the subscriber; more
  than ``total`` by the time in which its plate was too small, or read only once.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import Machine, Progress, quantiles_ms
from benchmarks.playing import Clip, settings_for, sources
from benchmarks.savings import replay
from detectors.recogniser import load_recogniser
from pipeline.alerts.client import CheckpointClient
from pipeline.clock import SystemClock
from pipeline.config import CheckpointSettings, RecognitionSettings, SavingSettings
from pipeline.errors import AlertServiceError, InputError, ShutdownError
from pipeline.recognise import FrameTimes
from pipeline.recognition import Listener
from pipeline.runtime import Runtime
from pipeline.types import Hit, Passage
from watchlist.entry import make_entry
from watchlist.store import open_watchlist

_PATIENCE_S: Final = 5.0
STAGES: Final = ("decode", "wait", "recognise", "settle", "match", "publish", "total", "in_view")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured; ``fps`` are sampled from each camera in a second."""

    source: Path
    cameras: int = 1
    seconds: float = 60.0
    fps: float = 5.0
    rtsp: bool = False
    warm_s: float = 3.0
    savings: SavingSettings = field(default_factory=SavingSettings)


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured; ``missing`` hits did not reach the subscriber in time."""

    settings: Settings
    machine: Machine
    device: str
    plates: int
    hits: int
    missing: int
    ms: dict[str, dict[str, float | None]]


def measure(settings: Settings, progress: Progress) -> Report:
    """Learn the clip's plates, then play it and follow every hit.

    Raises:
        InputError: the clip cannot be played, or no plate can be read in it.
        ConfigError, WeightsError, StoreUnavailable, AlertServiceError: the path cannot start.
    """
    clip = Clip.of(settings.source)
    machine = Machine.here()
    progress("reading the clip's plates", 0.0)
    recognition = RecognitionSettings()
    recogniser = load_recogniser(device=recognition.device)
    row = replay(clip.path, recogniser, "all", settings.savings, sample_fps=settings.fps)
    plates = sorted({plate for plate in row.plates if plate})
    if not plates:
        raise InputError(f"{clip.path}: no plate can be read in it; name another clip")
    with (
        tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as folder,
        sources(clip, settings.cameras, rtsp=settings.rtsp) as addresses,
    ):
        checkpoint = settings_for(
            addresses, Path(folder), settings.fps, settings.savings, recognition
        )
        listed = _list(checkpoint, plates)
        follower = _Follower()
        listener = Listener(follower.passage, follower.hit, follower.times)
        with Runtime(checkpoint, listener) as runtime:
            if runtime.alert_address is None:
                raise AlertServiceError("the alert service has not started")
            with _subscriber(runtime.alert_address, follower):
                began_s = time.monotonic()
                length_s = settings.warm_s + settings.seconds
                while (passed_s := time.monotonic() - began_s) < length_s:
                    follower.measuring = passed_s >= settings.warm_s
                    progress(f"{settings.cameras} cameras", passed_s / length_s)
                    runtime.check()
                    time.sleep(0.1)
                follower.measuring = False
                follower.wait(_PATIENCE_S)
            with suppress(ShutdownError):  # overloaded: what still waited is not measured
                runtime.stop()
    return Report(settings, machine, recogniser.device, listed, *follower.result())


@dataclass(slots=True)
class _Way:
    """One passage on its way, monotonic seconds."""

    arrived_s: float
    first_seen_s: float
    told_s: float
    hit_s: float | None = None
    alert_s: float | None = None


class _Follower:
    """Notes when each passage, hit and alert was there. Called in many threads."""

    def __init__(self) -> None:
        self.measuring = False
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._ways: dict[str, _Way] = {}
        self._frames: dict[str, list[float]] = {"decode": [], "wait": [], "recognise": []}

    def passage(self, passage: Passage) -> None:
        """A passage: only its first revision, and only where a frame settled it."""
        now_s = time.monotonic()
        with self._lock:
            new = passage.id not in self._told
            self._told.add(passage.id)
            settled = passage.latency_s is not None and not passage.closed
            if new and settled and self.measuring:
                arrived_s = now_s - (passage.latency_s or 0.0)
                seen_s = arrived_s - (passage.end_s - passage.start_s)
                self._ways[passage.id] = _Way(arrived_s, seen_s, now_s)

    def hit(self, hit: Hit) -> None:
        """A hit in the outbox."""
        now_s = time.monotonic()
        with self._lock:
            way = self._ways.get(hit.passage.id)
            if way is not None and way.hit_s is None:
                way.hit_s = now_s

    def alert(self, hit: Hit) -> None:
        """An alert in the subscriber's hands."""
        now_s = time.monotonic()
        with self._lock:
            way = self._ways.get(hit.passage.id)
            if way is not None and way.alert_s is None:
                way.alert_s = now_s

    def times(self, times: Sequence[FrameTimes]) -> None:
        """The frames of a batch."""
        if not self.measuring:
            return
        with self._lock:
            self._frames["decode"] += [one.decode_s for one in times]
            self._frames["wait"] += [one.wait_s for one in times]
            self._frames["recognise"] += [one.recognise_s for one in times]

    def wait(self, seconds: float) -> None:
        """Wait for what is still on its way, at most so long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            with self._lock:
                if all(way.alert_s is not None for way in self._ways.values()):
                    return
            time.sleep(0.05)

    def result(self) -> tuple[int, int, dict[str, dict[str, float | None]]]:
        """Hits that arrived, hits that did not, and the quantiles of every stage."""
        with self._lock:
            stages: dict[str, list[float]] = {name: [] for name in STAGES} | self._frames
            missing = 0
            for way in self._ways.values():
                if way.hit_s is None or way.alert_s is None:
                    missing += 1
                    continue
                stages["settle"].append(way.told_s - way.arrived_s)
                stages["match"].append(way.hit_s - way.told_s)
                stages["publish"].append(max(way.alert_s - way.hit_s, 0.0))
                stages["total"].append(way.alert_s - way.arrived_s)
                stages["in_view"].append(way.alert_s - way.first_seen_s)
            ms = {name: quantiles_ms(stages[name]) for name in STAGES}
            return len(self._ways) - missing, missing, ms


def _list(settings: CheckpointSettings, plates: Sequence[str]) -> int:
    """Put plates on the list; how many there are on it now."""
    clock = SystemClock()
    entries = [
        make_entry(
            {
                "plate": plate,
                "category": "stolen",
                "priority": 2,
                "disposition": "measure",
                "reason": "benchmark",
                "case_number": f"BENCH-{number}",
                "authoriser": "bench",
                "expires_at": clock.now() + timedelta(days=1),
            },
            clock.now(),
        )
        for number, plate in enumerate(plates)
    ]
    with open_watchlist(settings.watchlist, settings.data_dir, clock) as watchlist:
        watchlist.add(entries)
    return len(entries)


@contextmanager
def _subscriber(address: str, follower: _Follower) -> Iterator[None]:
    """Follow the alerts as any subscriber would, in a thread of its own."""
    with CheckpointClient(address) as client:

        def follow() -> None:
            with suppress(AlertServiceError):  # the end of the service ends the subscription
                for alert in client.subscribe(0):
                    follower.alert(alert.hit)

        thread = threading.Thread(target=follow, name="subscriber", daemon=True)
        thread.start()
        yield
    thread.join(2.0)


def as_json(report: Report) -> dict[str, Any]:
    """The report as one JSON object."""
    settings = report.settings
    return {
        "cameras": settings.cameras,
        "seconds": settings.seconds,
        "source": settings.source.name,
        "rtsp": settings.rtsp,
        "sample_fps": settings.fps,
        "plates": report.plates,
        "hits": report.hits,
        "missing": report.missing,
        "ms": report.ms,
        "device": report.device,
        "machine": asdict(report.machine),
    }
