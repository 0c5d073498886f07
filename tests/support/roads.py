"""Clips of the demo's road for the savings: quiet, slow, dark, or cut into from another view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.commands.demo import CLIP
from pipeline.types import ImageBgr

FPS = 25


def demo(start_s: float, end_s: float) -> Iterator[ImageBgr]:
    """The demo's frames from one time to another."""
    with av.open(str(CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= round(end_s * FPS):
                return
            if number >= round(start_s * FPS):
                yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


@cache
def empty_road() -> ImageBgr:
    """The road without a vehicle: none stays in one place for long."""
    frames = list(demo(0, 26))[::15]
    return np.asarray(np.median(np.stack(frames), axis=0), np.uint8)


def road(seconds: float) -> list[ImageBgr]:
    """So many seconds of an empty road."""
    return [empty_road()] * round(seconds * FPS)


def slowly(frames: Iterable[ImageBgr], factor: int) -> Iterator[ImageBgr]:
    """The same at a fraction of its pace."""
    for frame in frames:
        yield from [frame] * factor


def at_night(frames: Iterable[ImageBgr], light: float) -> Iterator[ImageBgr]:
    """The same with a share of its light and a sensor's noise."""
    rng = np.random.default_rng(3)
    for frame in frames:
        noise = rng.normal(0, 3.0, frame.shape[:2]).astype(np.float32)[..., None]
        yield np.clip(frame.astype(np.float32) * light + noise, 0, 255).astype(np.uint8)


def mirrored(frames: Iterable[ImageBgr]) -> Iterator[ImageBgr]:
    """Another view: what another camera might show."""
    for frame in frames:
        yield np.ascontiguousarray(cv2.GaussianBlur(frame[:, ::-1], (0, 0), 3))


def write(path: Path, frames: Iterable[ImageBgr], *, layers: bool = False) -> Path:
    """Encode frames as H.264 with a sensor's noise; ``layers``: see benchmarks.clips.

    The noise differs from frame to frame, so that no encoder can skip a still road.
    """
    rng = np.random.default_rng(5)
    grain = rng.normal(0, 2.0, (2, 760, 1320, 1)).astype(np.int16)
    b_frames = "bframes=1:b-adapt=0:b-pyramid=none" if layers else "bframes=0"
    options = {"preset": "ultrafast", "crf": "24", "x264-params": f"{b_frames}:scenecut=0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.pix_fmt, stream.gop_size = "yuv420p", 2 * FPS
        stream.height, stream.width = empty_road().shape[:2]
        for number, frame in enumerate(frames):
            height, width = frame.shape[:2]
            top, left = (int(value) for value in rng.integers(0, 40, 2))
            noise = grain[number % 2, top : top + height, left : left + width]
            image = np.clip(frame.astype(np.int16) + noise, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path
