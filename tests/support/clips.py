"""Small test clips with moving content, made with libx264; each frame carries its number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.types import ImageBgr

_BITS = 12
_BIT_PX = 16
WIDTH, HEIGHT = 320, 240
_TICKS = 90_000


def numbered_picture(number: int) -> ImageBgr:
    """A (240, 320, 3) picture: a moving bar, and ``number`` as black and white blocks."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    left = (number * 7) % (WIDTH - 20)
    image[80:200, left : left + 20] = (40, 160, 220)
    for bit in range(_BITS):
        block = image[8 : 8 + _BIT_PX, 8 + bit * 24 : 8 + bit * 24 + _BIT_PX]
        block[:] = 255 if number >> bit & 1 else 0
    return image


def number_in(image: ImageBgr) -> int:
    """The number of a picture from :func:`numbered_picture`, after any lossy coding."""
    number = 0
    for bit in range(_BITS):
        block = image[10 : 6 + _BIT_PX, 10 + bit * 24 : 6 + bit * 24 + _BIT_PX]
        number |= int(block.mean() > 127) << bit
    return number


def make_clip(
    path: Path,
    *,
    frames: int = 50,
    fps: int = 25,
    times_s: Sequence[float] | None = None,
    offset_s: float = 0.0,
    b_frames: int = 0,
    still: bool = False,
    codec: str = "libx264",
) -> Path:
    """Write a clip, H.264 unless ``codec`` says otherwise, its container by the suffix of ``path``.

    ``times_s`` gives each frame's own time (a variable frame rate); ``offset_s`` moves the
    first timestamp away from 0; ``still`` makes all pictures the same, to the bit.
    """
    times = [number / fps for number in range(frames)] if times_s is None else list(times_s)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "bf": str(b_frames), "x264-params": "scenecut=0:slices=2"}
        if codec == "libx265":
            options = {"preset": "ultrafast"}
            options["x265-params"] = f"bframes={b_frames}:scenecut=0:log-level=none:pools=1"
        if still:  # rate control would make the first picture another one
            options["qp"] = "20"
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size = 1 if still else fps
        stream.codec_context.time_base = Fraction(1, _TICKS)
        for number, time_s in enumerate(times):
            frame = av.VideoFrame.from_ndarray(
                numbered_picture(0 if still else number), format="bgr24"
            )
            frame.pts = round((time_s + offset_s) * _TICKS)
            frame.time_base = Fraction(1, _TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
