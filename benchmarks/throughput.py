"""How many cameras a machine carries: N of them play a clip at its own pace through the whole path,
from decoding to the alert service, and the ceilings of its parts are measured in the same run.

Every figure is of the measured time, after a warm-up:

- ``decoded_fps``: frames decoded a second, all cameras together; ``expected_fps``: what the cameras
  sent. ``light_fps``: of those, left undecoded because the lane was empty.
- ``recognised_fps``: frames through detection, reading and tracking. ``still_fps``: sampled, and
  not looked at because nothing had moved; ``known_fps``: because all in view was known.
- ``dropped``: sampled frames that were lost, by cause.
- ``overlooked_s``: for how long, all cameras together, a vehicle could come and go unseen because
  of that: the times of a second or longer between two frames of a camera that were looked at.
- ``latency_ms``: from a frame's arrival to the passage that it settled; from then on a hit can be
  matched. A frame of a file arrives when it is due, one of a stream when its last packet is there.
  ``frame_ms``: from arrival to the frame's reads, of every frame that was looked at.
- ``passages``: new ones. With a truth beside the clip (its name with ``.json``), ``shown`` and
  ``right``: over the whole run, how many were shown and how many told with the right plate.
- ``camera_fps``: recognised frames a second of the camera that got least, and most; ``fairness``:
  Jain's index of all of them, 1 where each gets the same.
- ``memory``: whether it grows, see :class:`benchmarks.memory.Growth`.
- ``cpu_cores``, ``rss_mib``: of this process, which holds everything but Redis and the RTSP server.
- ``cpu_shares``: of that processor time, what decoding, detection and reading of as many frames and
  plates take when run alone; ``efficiency`` is their sum, ``other`` the rest.
- ``cpu_threads``: of that processor time, what the threads took that decode (``cameras``),
  recognise, deliver and serve alerts, this benchmark itself (``bench``), the ``rest`` of Python's,
  and ``native`` ones, which run the networks.
- ``profile``: the same by part of the pipeline, where that was asked for; it is taken after the
  measured time, which it would disturb.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import ceilings, memory, profile
from benchmarks.measuring import (
    THREADS,
    Cpu,
    Machine,
    Progress,
    ThreadCpu,
    quantiles_ms,
    rss_mib,
)
from benchmarks.playing import Clip, Observer, found, settings_for, sources
from benchmarks.savings import truth_of
from detectors.recogniser import load_recogniser
from pipeline.attention import KNOWN, LIGHT, STILL
from pipeline.camera import CameraStatus
from pipeline.config import RecognitionSettings, SavingSettings
from pipeline.errors import ShutdownError
from pipeline.recognition import Listener
from pipeline.runtime import Runtime

_TICK_S: Final = 0.5
_MOST_TICKS: Final = 1800
_START_S: Final = 30.0
_CEILING_SHARE: Final = 0.15
_CEILING_S: Final = (1.0, 6.0)
_PROFILE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured; ``fps`` are sampled from each camera in a second."""

    source: Path
    cameras: int
    seconds: float
    fps: float = 5.0
    rtsp: bool = False
    warm_s: float = 5.0
    savings: SavingSettings = field(default_factory=SavingSettings)
    recognition: RecognitionSettings = field(default_factory=RecognitionSettings)
    profile: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Memory and queues at one moment, for the plots of a long run."""

    at_s: float
    rss_mib: float
    waiting_frames: int
    recognised: int
    passages: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured; see the module."""

    settings: Settings
    machine: Machine
    seconds: float
    decoded_fps: float
    expected_fps: float
    recognised_fps: float
    skipped_fps: dict[str, float]
    dropped: dict[str, int]
    overlooked_s: float
    passages: int
    unsettled: int
    shown: int | None
    right: int | None
    latency_ms: dict[str, float | None]
    frame_ms: dict[str, float | None]
    camera_fps: dict[str, float]
    fairness: float
    cpu_cores: float
    cpu_shares: dict[str, float]
    cpu_threads: dict[str, float]
    rss_mib: float
    device: str
    ceiling: ceilings.Ceilings
    series: tuple[Moment, ...]
    growth: memory.Growth | None
    stacks: profile.Stacks | None

    @property
    def profile(self) -> dict[str, float] | None:
        """Share of the processor time of each part, greatest first; None: not asked for."""
        return None if self.stacks is None else profile.parts(self.stacks, self.cpu_threads)

    @property
    def efficiency(self) -> float:
        """Share of the processor time that decoding, detection and reading alone would take."""
        return sum(self.cpu_shares.values())


def measure(settings: Settings, progress: Progress) -> Report:
    """Play, measure, then measure the ceilings.

    Raises:
        InputError: the clip cannot be played, there is no RTSP server, or nothing to profile with.
        ConfigError, WeightsError, StoreUnavailable: the pipeline cannot start.
    """
    clip = Clip.of(settings.source)
    if settings.profile:
        profile.check()
    machine = Machine.here()
    with (
        tempfile.TemporaryDirectory(prefix="checkpoint-bench-") as folder,
        sources(clip, settings.cameras, rtsp=settings.rtsp) as addresses,
    ):
        run = _play(settings, clip, addresses, Path(folder), progress)
    recognition = settings.recognition
    seconds = min(max(_CEILING_SHARE * settings.seconds, _CEILING_S[0]), _CEILING_S[1])
    recogniser = load_recogniser(
        recognition.weights_dir, device=recognition.device, threads=recognition.threads
    )
    ceiling = ceilings.measure(
        clip.path,
        recogniser,
        seconds,
        progress,
        sample_fps=settings.fps,
        batch=recognition.batch_size or recogniser.batch,
        deblocks=not settings.savings.skip_deblocking,
    )
    return _report(settings, machine, clip, run, ceiling, recogniser.device)


@dataclass(frozen=True, slots=True)
class _Run:
    """Counters over the measured time, and what was told over the whole run."""

    seconds: float
    counts: Counter[str]
    dropped: Counter[str]
    overlooked_s: float
    observer: Observer
    cpu_s: float
    cpu_threads: dict[str, float]
    series: tuple[Moment, ...]
    ran_s: float
    cameras: tuple[str, ...]
    stacks: profile.Stacks | None


def _play(
    settings: Settings, clip: Clip, addresses: Sequence[str], folder: Path, progress: Progress
) -> _Run:
    observer = Observer()
    listener = Listener(observer.passage, observer.hit, observer.times)
    checkpoint = settings_for(
        addresses, folder, settings.fps, settings.savings, settings.recognition
    )
    what = f"{settings.cameras} cameras"
    progress(f"{what}: starting", 0.0)
    runtime = Runtime(checkpoint, listener)
    with runtime:
        _wait_until_all_stream(runtime, settings.cameras)
        began_s = time.monotonic()
        while time.monotonic() - began_s < settings.warm_s:
            runtime.check()
            time.sleep(0.1)
        cameras = runtime.cameras()
        before, dropped_before = _counts(cameras)
        overlooked_s = -_overlooked_s(cameras)
        with observer.lock:
            observer.measuring = True
        start_s, cpu, threads = time.monotonic(), Cpu(), ThreadCpu(THREADS)
        series: list[Moment] = []
        tick_s = max(_TICK_S, settings.seconds / _MOST_TICKS)
        while (passed_s := time.monotonic() - start_s) < settings.seconds:
            series.append(_moment(passed_s, runtime))
            progress(what, passed_s / settings.seconds)
            runtime.check()
            time.sleep(min(tick_s, settings.seconds - passed_s + 0.01))
        passed_s, cpu_s = time.monotonic() - start_s, cpu.seconds()
        cpu_threads = threads.shares()
        with observer.lock:
            observer.measuring = False
        series.append(_moment(passed_s, runtime))
        cameras = runtime.cameras()
        after, dropped_after = _counts(cameras)
        overlooked_s += _overlooked_s(cameras)
        stacks = None
        if settings.profile:
            progress("profile", 0.0)
            stacks = profile.record(min(_PROFILE_S, settings.seconds))
        ran_s = time.monotonic() - began_s
        with suppress(ShutdownError):  # overloaded: what still waited is not measured
            runtime.stop()
    names = tuple(camera.name for camera in checkpoint.cameras)
    after.subtract(before)
    dropped_after.subtract(dropped_before)
    return _Run(
        passed_s,
        after,
        dropped_after,
        overlooked_s,
        observer,
        cpu_s,
        cpu_threads,
        tuple(series),
        ran_s,
        names,
        stacks,
    )


def _wait_until_all_stream(runtime: Runtime, cameras: int) -> None:
    until_s = time.monotonic() + _START_S
    while sum(camera.decoded > 0 for camera in runtime.cameras()) < cameras:
        runtime.check()
        if time.monotonic() > until_s:
            return  # the report shows how many frames came
        time.sleep(0.05)


def _counts(cameras: Sequence[CameraStatus]) -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for camera in cameras:
        counts["decoded"] += camera.decoded
        counts.update(camera.skipped)
        dropped.update(camera.dropped)
    return counts, dropped


def _overlooked_s(cameras: Sequence[CameraStatus]) -> float:
    return sum(camera.overlooked_s for camera in cameras)


def _moment(at_s: float, runtime: Runtime) -> Moment:
    recognition = runtime.recognition
    assert recognition is not None
    return Moment(
        round(at_s, 2),
        round(rss_mib(), 1),
        recognition.mailboxes.depth(),
        recognition.stage.recognised,
        recognition.passages.count,
    )


def _report(
    settings: Settings,
    machine: Machine,
    clip: Clip,
    run: _Run,
    ceiling: ceilings.Ceilings,
    device: str,
) -> Report:
    observer, seconds = run.observer, run.seconds
    truth = truth_of(settings.source)
    shown = right = None
    if truth is not None:
        told = list(observer.latest.values())
        shown, right = found(truth, clip, run.cameras, run.ran_s, told)
    units = {
        "decode": run.counts["decoded"],
        "detect": len(observer.frames_s),
        "read": observer.reads,
    }
    shares = {
        name: count * ceiling.cpu_ms[name] / 1000 / max(run.cpu_s, 1e-9)
        for name, count in units.items()
    }
    camera_fps = sorted(observer.by_camera.get(name, 0) / seconds for name in run.cameras)
    return Report(
        settings=settings,
        machine=machine,
        seconds=seconds,
        decoded_fps=run.counts["decoded"] / seconds,
        expected_fps=settings.cameras * clip.fps,
        recognised_fps=len(observer.frames_s) / seconds,
        skipped_fps={name: run.counts[name] / seconds for name in (STILL, KNOWN, LIGHT)},
        dropped=dict(run.dropped),
        overlooked_s=run.overlooked_s,
        passages=observer.new_passages,
        unsettled=observer.unsettled,
        shown=shown,
        right=right,
        latency_ms=quantiles_ms(observer.settled_s),
        frame_ms=quantiles_ms(observer.frames_s),
        camera_fps={"least": camera_fps[0], "most": camera_fps[-1]},
        fairness=fairness(camera_fps),
        cpu_cores=run.cpu_s / seconds,
        cpu_shares=shares,
        cpu_threads=run.cpu_threads,
        rss_mib=max(moment.rss_mib for moment in run.series),
        device=device,
        ceiling=ceiling,
        series=run.series,
        growth=memory.growth([(one.at_s, one.rss_mib) for one in run.series]),
        stacks=run.stacks,
    )


def fairness(rates: Sequence[float]) -> float:
    """Jain's index: 1 where all are equal, 1 / N where one has everything."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 1.0


def as_json(report: Report) -> dict[str, Any]:
    """The report in the form of the command line's contract, and more beside it."""
    settings, ceiling = report.settings, report.ceiling
    return {
        "cameras": settings.cameras,
        "seconds": round(report.seconds, 2),
        "decoded_fps": report.decoded_fps,
        "recognised_fps": report.recognised_fps,
        "passages": report.passages,
        "dropped": report.dropped,
        "overlooked_s": report.overlooked_s,
        "latency_ms": report.latency_ms,
        "cpu_cores": report.cpu_cores,
        "rss_mib": report.rss_mib,
        "device": report.device,
        "ceiling": {
            "decode_only_fps": ceiling.decode_only_fps,
            "detect_only_fps": ceiling.detect_only_fps,
            "read_only_plates_s": ceiling.read_only_fps,
            "cpu_ms": ceiling.cpu_ms,
        },
        "source": settings.source.name,
        "rtsp": settings.rtsp,
        "sample_fps": settings.fps,
        "expected_fps": report.expected_fps,
        "light_fps": report.skipped_fps[LIGHT],
        "still_fps": report.skipped_fps[STILL],
        "known_fps": report.skipped_fps[KNOWN],
        "frame_ms": report.frame_ms,
        "camera_fps": report.camera_fps,
        "fairness": report.fairness,
        "memory": None if report.growth is None else asdict(report.growth),
        "unsettled": report.unsettled,
        "shown": report.shown,
        "right": report.right,
        "cpu_shares": report.cpu_shares | {"other": 1 - report.efficiency},
        "efficiency": report.efficiency,
        "cpu_threads": report.cpu_threads,
        "profile": report.profile,
        "savings": settings.savings.model_dump(),
        "machine": {
            "cpu": report.machine.cpu,
            "cores": report.machine.cores,
            "memory_gib": report.machine.memory_gib,
            "load": report.machine.load,
            "commit": report.machine.commit,
            "measured_at": report.machine.measured_at,
        },
    }
