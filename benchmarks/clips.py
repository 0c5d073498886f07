"""Clips to measure with: 1080p25 as a camera sends it, with a truth, from a real encoder.

    python -m benchmarks.clips --out DIR

They are made from the demo clip that ships, whose scene is drawn: enlarged, with a sensor's noise
(which is what a camera spends its bits on) and a clock in the corner, encoded by x264 and x265 at a
camera's bit rate, without B-frames. ``busy`` is never without a vehicle; ``quiet`` is the same
followed by as much of an empty road; ``layers`` is quiet with every second frame referred to by no
other, as cameras with temporal layers send it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import av
import cv2
import numpy as np

from pipeline.types import ImageBgr

DEMO: Final = Path(__file__).parents[1] / "pipeline" / "demo_assets" / "demo.mp4"
SIZE: Final = (1920, 1080)
FPS: Final = 25
GOP_S: Final = 2
_NOISE_LEVELS: Final = 2.0
_NOISE_PICTURES: Final = 6


@dataclass(frozen=True, slots=True)
class Kind:
    """How one clip is made."""

    codec: Literal["libx264", "libx265"]
    bit_rate: int
    quiet: bool
    layers: bool = False


KINDS: Final = {
    "busy_h264": Kind("libx264", 4_000_000, quiet=False),
    "busy_h265": Kind("libx265", 2_500_000, quiet=False),
    "quiet_h264": Kind("libx264", 4_000_000, quiet=True),
    "quiet_h265": Kind("libx265", 2_500_000, quiet=True),
    "layers_h264": Kind("libx264", 4_000_000, quiet=True, layers=True),
}


def make(
    folder: Path,
    names: tuple[str, ...] = tuple(KINDS),
    progress: Callable[[str, float], None] = lambda what, share: None,
    seconds: float | None = None,
) -> dict[str, Path]:
    """Make the clips that ``folder`` lacks; where they are, by name.

    ``seconds``: so much of the demo alone, for tests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name in names:
        path = folder / f"{name}.mp4"
        made[name] = path
        if not path.exists() or not path.with_suffix(".json").exists():
            _make(path, KINDS[name], partial(progress, name), seconds)
    return made


def _make(path: Path, kind: Kind, progress: Callable[[float], None], seconds: float | None) -> None:
    happened: dict[str, Any] = json.loads(DEMO.with_suffix(".json").read_text(encoding="utf-8"))
    demo = happened["frames"] if seconds is None else round(seconds * FPS)
    frames = 2 * demo if kind.quiet else demo
    unfinished = path.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(kind.codec, rate=FPS, options=_options(kind))
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = kind.bit_rate
        stream.gop_size = GOP_S * FPS
        for number, image in enumerate(_pictures(demo, quiet=kind.quiet)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
            progress(number / frames)
        for packet in stream.encode():
            container.mux(packet)
    passages = [one for one in happened["passages"] if one["end_s"] * FPS <= demo]
    happened |= {"frames": frames, "width": SIZE[0], "height": SIZE[1], "passages": passages}
    text = json.dumps(happened, ensure_ascii=False, indent=1)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)


def _options(kind: Kind) -> dict[str, str]:
    rate = kind.bit_rate // 1000
    limits = f"vbv-maxrate={rate * 3 // 2}:vbv-bufsize={2 * rate}"
    if kind.codec == "libx265":
        return {"preset": "veryfast", "x265-params": f"{limits}:bframes=0:log-level=error"}
    b_frames = "bframes=1:b-adapt=0:b-pyramid=none" if kind.layers else "bframes=0"
    return {"preset": "veryfast", "x264-params": f"{limits}:{b_frames}:scenecut=0"}


def _pictures(demo: int, *, quiet: bool) -> Iterator[ImageBgr]:
    """The demo's first ``demo`` frames, then as many of the empty road."""
    rng = np.random.default_rng(7)
    noise = [
        np.asarray(rng.normal(0, _NOISE_LEVELS, (SIZE[1], SIZE[0], 3)), np.float32).astype(np.int16)
        for _ in range(_NOISE_PICTURES)
    ]
    number = 0

    def developed(image: ImageBgr) -> ImageBgr:
        nonlocal number
        large = cv2.resize(image, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
        shift = int(rng.integers(SIZE[0]))
        large += np.roll(noise[number % _NOISE_PICTURES], shift, axis=1)
        shown = np.clip(large, 0, 255).astype(np.uint8)
        _clock(shown, number / FPS)
        number += 1
        return shown

    seen: list[ImageBgr] = []
    with av.open(str(DEMO)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index >= demo:
                break
            image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
            if quiet and index % max(1, demo // 45) == 0:
                seen.append(image)
            yield developed(image)
    if quiet:
        road = np.asarray(np.median(np.stack(seen), axis=0), np.uint8)  # no vehicle stays for long
        for _ in range(demo):
            yield developed(road)


def _clock(image: ImageBgr, time_s: float) -> None:
    """Write the time into the lower left corner, in place, as cameras do."""
    text = f"2026-03-01 08:{int(time_s) // 60:02d}:{int(time_s) % 60:02d}"
    at, font = (24, SIZE[1] - 30), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, text, at, font, 1.1, (20, 20, 20), 5, cv2.LINE_AA)
    cv2.putText(image, text, at, font, 1.1, (240, 240, 240), 2, cv2.LINE_AA)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and make the clips."""
    from rich.progress import Progress

    parser = argparse.ArgumentParser(prog="clips", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for clips and truths")
    parser.add_argument("names", nargs="*", default=list(KINDS), metavar="NAME")
    options = parser.parse_args(arguments)
    with Progress() as progress:
        tasks = {name: progress.add_task(name, total=1.0) for name in options.names}
        made = make(
            options.out,
            tuple(options.names),
            lambda name, share: progress.update(tasks[name], completed=share),
        )
    for path in made.values():
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
