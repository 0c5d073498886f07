"""The parts of the GPU benchmark; imports torch."""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return"

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.frame import VideoFrame

from benchmarks.measuring import quantiles_ms
from detectors.device.pictures import Gallery
from detectors.device.recogniser import BATCH, Job, load_device_recogniser
from detectors.preprocess import PLATE_MARGIN
from detectors.scene import SceneOptions
from pipeline.errors import InputError
from pipeline.gpu_source import GpuDecoder
from pipeline.types import ImageBgr

PICTURES = 128
"""Pictures that lie in the device's memory, where decoding is left out."""
WARM_UP_S = 1.0
COMPARED, SURE, NEAR_PX = 16, 0.5, 20.0
"""Pictures that are compared; their plates count from this confidence on, and are one so near."""

_IDLE_S = 0.002
Stamped = tuple[ImageBgr, float]
"""A picture, and the monotonic second at which its frame was due."""


@dataclass(slots=True)
class Done:
    """What was recognised in so many seconds; the latency of each frame."""

    frames: int = 0
    plates: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)


class GpuBench:
    """A clip, the recogniser and the decoder of one device. Colours are left out."""

    def __init__(self, clip: Path, device: str, batch: int | None) -> None:
        on_gpu = device != "cpu"
        self._clip = clip
        self._batch = batch or (BATCH if on_gpu else 8)
        self._recogniser = load_device_recogniser(device, scene=SceneOptions(batch=self._batch))
        self._decoder = GpuDecoder(device)
        self._device = torch.device(device)
        self._fps, count = _rate_and_count(clip)
        wanted = min(PICTURES if on_gpu else 16, count)
        self._every = max(1, count // wanted)
        self._pictures = self._some(self._decoder, wanted)

    def described(self) -> dict[str, Any]:
        """The device, and what it is given."""
        name = "CPU"
        if self._device.type == "cuda":
            name = torch.cuda.get_device_name(self._device)
        height, width = self._pictures[0].shape[:2]
        box = self._recogniser.detector.first_boxes(self._pictures[:1])[0]
        return {
            "name": name,
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "nvdec": self._decoder.nvdec,
            "picture": [width, height],
            "input": list(box.size),
            "batch": self._batch,
        }

    def agreement(self) -> dict[str, Any]:
        """Whether this device says what the CPU says of the same frames, decoded there."""
        count = COMPARED if self._device.type == "cuda" else 4
        pictures = self._some(GpuDecoder("cpu"), count)
        wanted = load_device_recogniser("cpu").recognise(pictures)
        given = self._recogniser.recognise(self._pictures[:count])
        same, apart_px = [], [0.0]
        for (plates, _), (others, _) in zip(wanted, given, strict=True):
            for plate in (one for one in plates if one.detection.confidence > SURE):
                apart = {
                    float(np.abs(o.detection.corners - plate.detection.corners).max()): o
                    for o in others
                }
                nearest = min(apart, default=math.inf)
                found = nearest < NEAR_PX
                same.append(found and apart[nearest].read.text == plate.read.text)
                apart_px += [nearest] if found else []
        return {
            "pictures": len(pictures),
            "plates": len(same),
            "same_text": sum(same),
            "corners_px": max(apart_px),
        }

    def from_memory(self, seconds: float) -> dict[str, Any]:
        """Detection and reading of pictures that lie in the device's memory."""
        done = self._recognised(self._batches(), seconds)
        return {
            "frames_per_s": done.frames / done.seconds,
            "plates_per_frame": done.plates / max(done.frames, 1),
            "batch_ms": quantiles_ms(done.latencies_s),
            "detect_only_frames_per_s": self._detect_only(seconds / 2),
            "read_only_plates_per_s": self._read_only(seconds / 2),
        }

    def decoding(self, seconds: float, streams: int) -> dict[str, Any]:
        """Decoding alone, and when every frame is kept as a picture."""
        alone = self._decoded(seconds / 2, streams, lambda frame: None)
        kept = self._decoded(seconds / 2, streams, self._decoder.picture)
        return {"streams": streams, "frames_per_s": alone, "kept_frames_per_s": kept}

    def end_to_end(self, seconds: float, streams: int) -> dict[str, Any]:
        """As many frames as go through decoding, detection and reading."""
        done = self._streams(seconds, streams, None)
        return {
            "streams": streams,
            "frames_per_s": done.frames / done.seconds,
            "latency_ms": quantiles_ms(done.latencies_s),
        }

    def paced(self, seconds: float, cameras: int) -> dict[str, Any]:
        """Cameras at their own pace, every frame examined."""
        done = self._streams(seconds, cameras, self._fps)
        return {
            "cameras": cameras,
            "fps": self._fps,
            "frames_per_s": done.frames / done.seconds,
            "expected_frames_per_s": cameras * self._fps,
            "latency_ms": quantiles_ms(done.latencies_s),
        }

    def _some(self, decoder: GpuDecoder, count: int) -> list[ImageBgr]:
        """Frames of the clip, evenly spread."""
        frames = islice(_frames(self._clip, decoder), 0, count * self._every, self._every)
        return [decoder.picture(frame) for frame in frames]

    def _batches(self) -> Iterator[list[Stamped]]:
        """Batches of the pictures in memory, for ever."""
        endless = cycle(self._pictures)
        while True:
            chosen = list(islice(endless, self._batch))
            yield [(picture, time.monotonic()) for picture in chosen]

    def _recognised(self, batches: Iterator[list[Stamped]], seconds: float) -> Done:
        """Recognise batches for so long, after a warm-up; empty ones mean that nothing is ready.

        The next batch is submitted before an answer is waited for.
        """
        recogniser = self._recogniser
        done = Done()
        begins_s = time.monotonic() + WARM_UP_S
        waiting: tuple[Job, list[Stamped]] | None = None
        for batch in batches:
            job = recogniser.submit([picture for picture, _ in batch]) if batch else None
            if waiting is not None:
                answers = recogniser.collect(waiting[0])
                now_s = time.monotonic()
                if now_s >= begins_s:
                    done.frames += len(answers)
                    done.plates += sum(len(plates) for plates, _ in answers)
                    done.latencies_s += [now_s - due_s for _, due_s in waiting[1]]
            waiting = (job, batch) if job else None
            done.seconds = time.monotonic() - begins_s
            if done.frames and done.seconds >= seconds:
                break
        if waiting is not None:
            recogniser.collect(waiting[0])
        return done

    def _detect_only(self, seconds: float) -> float:
        detector = self._recogniser.detector
        batches = [
            self._pictures[start : start + self._batch]
            for start in range(0, len(self._pictures), self._batch)
        ]
        boxes = [detector.first_boxes(batch) for batch in batches]
        endless = cycle(zip(batches, boxes, strict=True))

        def look() -> int:
            batch, laid = next(endless)
            detector.finish(detector.start(batch, laid))
            return len(batch)

        return _rate(look, seconds)

    def _read_only(self, seconds: float) -> float:
        recogniser = self._recogniser
        with recogniser.lane.open():
            gallery = Gallery(self._pictures, recogniser.lane)
        held = gallery.held()
        views = [
            (image, plate.corners, PLATE_MARGIN)
            for image, found in zip(held, recogniser.detector.detect(held), strict=True)
            for plate in found.plates
        ]
        if not views:
            return 0.0
        most = recogniser.reader.options.batch
        many = list(islice(cycle(views), most))

        def read() -> int:
            return len(recogniser.reader.read_views(many))

        return _rate(read, seconds)

    def _decoded(self, seconds: float, streams: int, take: Callable[[VideoFrame], object]) -> float:
        """Frames a second of all streams together, each in a thread of its own."""
        counts = [0] * streams
        stop = threading.Event()

        def play(index: int) -> None:
            for frame in _frames(self._clip, self._decoder):
                take(frame)
                counts[index] += 1
                if stop.is_set():
                    return

        with _threads(play, streams, stop) as check:
            while not all(counts):
                check()
                time.sleep(0.01)
            before, began_s = sum(counts), time.monotonic()
            time.sleep(seconds)
            check()
            return (sum(counts) - before) / (time.monotonic() - began_s)

    def _streams(self, seconds: float, streams: int, fps: float | None) -> Done:
        """The whole path, each stream decoded in a thread of its own.

        ``fps``: of each stream; None: as fast as they go, held back where recognition is slower.
        Latencies run from when a frame is due, or from before it is decoded.
        """
        ready: queue.Queue[Stamped] = queue.Queue(2 * self._batch if fps is None else 0)
        stop = threading.Event()

        def play(index: int) -> None:
            frames = _frames(self._clip, self._decoder)
            step_s = 1.0 / fps if fps else 0.0
            due_s = time.monotonic() + step_s * index / streams
            while not stop.wait(max(0.0, due_s - time.monotonic()) if fps else 0.0):
                begun_s = due_s if fps else time.monotonic()
                item = self._decoder.picture(next(frames)), begun_s
                due_s += step_s
                while not stop.is_set():
                    with suppress(queue.Full):
                        ready.put(item, timeout=0.2)
                        break

        def batches(check: Callable[[], None]) -> Iterator[list[Stamped]]:
            while True:
                check()
                batch = []
                with suppress(queue.Empty):
                    batch.append(ready.get(timeout=_IDLE_S))
                    while len(batch) < self._batch:
                        batch.append(ready.get_nowait())
                yield batch

        with _threads(play, streams, stop) as check:
            return self._recognised(batches(check), seconds)


@contextmanager
def _threads(
    work: Callable[[int], None], count: int, stop: threading.Event
) -> Iterator[Callable[[], None]]:
    """``count`` threads of ``work`` until the end; what is given raises what one of them raised."""
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(work, index) for index in range(count)]

        def check() -> None:
            for one in running:
                if one.done():
                    one.result()

        try:
            yield check
        finally:
            stop.set()


def _rate(work: Callable[[], int], seconds: float) -> float:
    """Units a second of ``work``, which returns how many it did."""
    work()
    done, began_s = 0, time.monotonic()
    while time.monotonic() - began_s < seconds:
        done += work()
    return done / (time.monotonic() - began_s)


def _frames(clip: Path, decoder: GpuDecoder) -> Iterator[VideoFrame]:
    """The clip's frames over and over, by one decoder of its own."""
    with av.open(str(clip), hwaccel=decoder.hwaccel()) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        while True:
            yield from container.decode(stream)
            container.seek(0)


def _rate_and_count(clip: Path) -> tuple[float, int]:
    try:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            rate, count = stream.average_rate, stream.frames
    except (av.FFmpegError, IndexError):
        raise InputError(f"{clip}: is no video that can be decoded") from None
    if not rate or not count:
        raise InputError(f"{clip}: says no frame rate or length; convert it to MP4")
    return float(rate), count
