"""N cameras that play one clip, from its file or from an RTSP server, and what they amount to."""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av

from benchmarks.savings import Truth
from pipeline.config import (
    AlertSettings,
    CameraSettings,
    CheckpointSettings,
    RecognitionSettings,
    Role,
    SavingSettings,
)
from pipeline.errors import InputError
from pipeline.recognise import FrameTimes
from pipeline.rtsp_server import PACKAGES, RtspServer, available
from pipeline.types import Hit, Passage

EDGE_S = 3.0
"""A passage that ends so shortly before the end of a run need not have been told in it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The clip that is played: its length in seconds and its own frames a second."""

    path: Path
    seconds: float
    fps: float

    @classmethod
    def of(cls, path: Path) -> Clip:
        """What its container says.

        Raises:
            InputError: it is no video whose length and rate are known.
        """
        if not path.is_file():
            raise InputError(f"{path}: no such file; name a video file")
        try:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                rate, frames = stream.average_rate, stream.frames
                length_s = float((stream.duration or 0) * (stream.time_base or 0))
        except (av.FFmpegError, IndexError):
            raise InputError(f"{path}: is no video that can be decoded") from None
        if not rate or not (frames or length_s):
            raise InputError(f"{path}: says no frame rate or length; convert it to MP4")
        return cls(path, frames / float(rate) if frames else length_s, float(rate))


@contextmanager
def sources(clip: Clip, count: int, *, rtsp: bool) -> Iterator[list[str]]:
    """The address of the clip for each of ``count`` cameras, and a server behind it.

    Raises:
        InputError: no RTSP server is installed.
    """
    if not rtsp:
        yield [str(clip.path)] * count
        return
    if not available():
        raise InputError(f"no RTSP server is installed: apt-get install {' '.join(PACKAGES)}")
    with RtspServer({"camera": clip.path}) as server:
        yield [server.url("camera")] * count


def settings_for(
    addresses: Sequence[str],
    data_dir: Path,
    sample_fps: float,
    savings: SavingSettings,
    recognition: RecognitionSettings | None = None,
) -> CheckpointSettings:
    """A checkpoint of its own that reads these cameras."""
    recognition = recognition or RecognitionSettings()
    return CheckpointSettings(
        checkpoint="bench",
        data_dir=data_dir,
        roles=(Role.RECOGNISE, Role.ALERTS),
        cameras=tuple(
            CameraSettings(name=f"camera-{number}", source=address, sample_fps=sample_fps)
            for number, address in enumerate(addresses)
        ),
        recognition=recognition.model_copy(update={"savings": savings}),
        alerts=AlertSettings(listen="127.0.0.1:0"),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What is kept of a passage: in an hour there are many, and they must not fill the memory."""

    camera: str
    plate: str | None
    start_s: float
    end_s: float


def _seconds() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Observer:
    """Listens to the pipeline's threads and keeps what a report needs. Thread-safe."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    measuring: bool = False
    latest: dict[str, Told] = field(default_factory=dict)
    """By the passage's id."""
    settled_s: array[float] = field(default_factory=_seconds)
    """From a frame's arrival to the passage that it settled."""
    unsettled: int = 0
    """Passages that were told only when the vehicle had left."""
    frames_s: array[float] = field(default_factory=_seconds)
    """From a frame's arrival to its reads."""
    by_camera: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    new_passages: int = 0
    hits: int = 0

    def passage(self, passage: Passage) -> None:
        """A revision of a passage."""
        with self.lock:
            new = passage.id not in self.latest
            told = Told(passage.camera, passage.plate, passage.start_s, passage.end_s)
            self.latest[passage.id] = told
            if not (new and self.measuring):
                return
            self.new_passages += 1
            if passage.closed or passage.latency_s is None:
                self.unsettled += 1
            else:
                self.settled_s.append(passage.latency_s)

    def hit(self, hit: Hit) -> None:
        """A hit."""
        with self.lock:
            self.hits += self.measuring

    def times(self, times: Sequence[FrameTimes]) -> None:
        """The frames of a batch."""
        with self.lock:
            if self.measuring:
                self.frames_s.extend(one.total_s for one in times)
                self.by_camera.update(one.camera for one in times)
                self.reads += sum(one.reads for one in times)


def found(
    truth: Sequence[Truth],
    clip: Clip,
    cameras: Sequence[str],
    ran_s: float,
    told: Sequence[Told | Passage],
) -> tuple[int, int]:
    """How many passages were shown in ``ran_s`` seconds of every camera, and how many of them told.

    The clip is played in a loop, media time goes on.
    """
    by_camera: dict[str, list[Told | Passage]] = {name: [] for name in cameras}
    for passage in told:
        by_camera[passage.camera].append(passage)
    shown = right = 0
    for passages in by_camera.values():
        for lap in range(int(ran_s // clip.seconds) + 1):
            for one in truth:
                start_s, end_s = (lap * clip.seconds + at for at in (one.start_s, one.end_s))
                if end_s > ran_s - EDGE_S:
                    continue
                shown += 1
                right += any(
                    passage.plate == one.plate
                    and passage.start_s < end_s
                    and passage.end_s >= start_s
                    for passage in passages
                )
    return shown, right
