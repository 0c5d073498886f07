"""Checkpoint scenes: vehicles with known plates driving towards a roadside camera.

A scene is data (who drives when, in which lane, how fast); :func:`render` turns it into a clip,
:func:`truth` into what a recogniser ought to report. Everything is drawn: no photograph goes in,
and each plate has the real geometry of its class. The same seed gives the same pictures.

    scene = random_scene(seed=7, vehicles=20)
    render(scene, Path("clip.mp4"), Glyphs(Path("…/glyphs")), seconds=scene_seconds(scene), fps=25)
    Path("clip.json").write_text(json.dumps(truth(scene, scene_seconds(scene), 25)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.scene_model import Scene, Vehicle, plate_corners, scene_seconds, truth
from benchmarks.scene_render import Renderer
from benchmarks.scene_shapes import Kind
from detectors.training.render import Glyphs, random_plate
from pipeline.types import ImageBgr, PlateClass, VehicleColour

__all__ = [
    "Kind",
    "Renderer",
    "Scene",
    "Vehicle",
    "demo_scene",
    "frames",
    "plate_corners",
    "random_scene",
    "render",
    "scene_seconds",
    "truth",
]

_PLATES_OF = {
    Kind.BUS: (PlateClass.YELLOW_SINGLE,),
    Kind.TRUCK: (PlateClass.YELLOW_SINGLE,),
    Kind.ELECTRIC: (PlateClass.GREEN_SMALL,),
}


def demo_scene() -> Scene:
    """The scene of ``checkpoint demo``: eleven vehicles, one of them on the watchlist."""
    colour, plate = VehicleColour, PlateClass
    vehicles = (
        Vehicle(Kind.SALOON, colour.WHITE, "辽A6K582", plate.BLUE, "1", -0.5, 9.6, 0.10),
        Vehicle(Kind.TAXI, colour.BLUE, "辽BT4827", plate.BLUE, "2", 1.0, 9.0, -0.12, True),
        Vehicle(
            Kind.ELECTRIC, colour.SILVER, "辽AD61375", plate.GREEN_SMALL, "1", 3.4, 9.8, 0.05, True
        ),
        Vehicle(Kind.BUS, colour.GREEN, "辽C05316", plate.YELLOW_SINGLE, "2", 5.2, 8.0, 0.14),
        Vehicle(Kind.SALOON, colour.BLACK, "京N48R53", plate.BLUE, "1", 7.6, 10.4, -0.10),
        Vehicle(Kind.HATCHBACK, colour.RED, "辽K57H93", plate.BLUE, "1", 10.6, 9.2, 0.16, True),
        Vehicle(Kind.VAN, colour.SILVER, "冀F2J816", plate.BLUE, "2", 12.4, 8.8, 0.02),
        Vehicle(Kind.SUV, colour.BROWN, "黑E58A20", plate.BLUE, "1", 14.9, 9.8, -0.05, True),
        Vehicle(
            Kind.TRUCK, colour.BLUE, "吉C72934", plate.YELLOW_SINGLE, "2", 16.4, 7.6, 0.10, True
        ),
        Vehicle(Kind.HATCHBACK, colour.YELLOW, "辽F3E619", plate.BLUE, "1", 19.2, 9.4, 0.12),
        Vehicle(Kind.SUV, colour.BLACK, "辽M90X47", plate.BLUE, "2", 22.4, 10.0, -0.08),
    )
    return Scene(seed=20, vehicles=vehicles, watchlist="辽K57H93", caption="CHECKPOINT DEMO")


def random_scene(seed: int, vehicles: int, gap_s: float = 2.0) -> Scene:
    """``vehicles`` random vehicles with distinct legal plates, one about every ``gap_s`` seconds.

    Lanes alternate, so that vehicles in one lane keep their distance at any speed that is drawn.
    """
    rng = np.random.default_rng(seed)
    kinds, colours = list(Kind), list(VehicleColour)
    drawn: list[Vehicle] = []
    plates: set[str] = set()
    while len(drawn) < vehicles:
        kind = kinds[int(rng.integers(len(kinds)))]
        choices = _PLATES_OF.get(kind, (PlateClass.BLUE,))
        text, plate_class = random_plate(rng, choices[int(rng.integers(len(choices)))])
        if text in plates:
            continue
        plates.add(text)
        index = len(drawn)
        drawn.append(
            Vehicle(
                kind=kind,
                colour=colours[int(rng.integers(len(colours)))],
                plate=text,
                plate_class=plate_class,
                lane="12"[index % 2],
                enters_s=index * gap_s + float(rng.uniform(0, 0.2 * gap_s)),
                speed_mps=float(rng.uniform(8.5, 10.5)),
                offset_m=float(rng.uniform(-0.15, 0.15)),
                lights=bool(rng.random() < 0.4),
            )
        )
    return Scene(seed, tuple(drawn))


_worker: Renderer | None = None


def _start_worker(scene: Scene, glyphs: Glyphs) -> None:
    global _worker  # one renderer per worker process
    cv2.setNumThreads(1)
    _worker = Renderer(scene, glyphs)


def _work(job: tuple[int, int]) -> ImageBgr:
    assert _worker is not None
    return _worker.frame(*job)


def frames(
    scene: Scene, glyphs: Glyphs, seconds: float, fps: int, workers: int = 1
) -> Iterator[ImageBgr]:
    """All frames in order, drawn by ``workers`` processes (1: in this one)."""
    count = round(seconds * fps)
    if workers <= 1:
        renderer = Renderer(scene, glyphs)
        yield from (renderer.frame(index, fps) for index in range(count))
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(scene, glyphs)) as pool:
        yield from pool.map(_work, [(index, fps) for index in range(count)], chunksize=4)


def render(
    scene: Scene,
    path: Path,
    glyphs: Glyphs,
    seconds: float,
    fps: int,
    *,
    workers: int = 1,
    crf: int = 23,
    on_frame: Callable[[], None] | None = None,
) -> None:
    """Write the scene as an H.264 clip (yuv420p). ``on_frame`` is called after each frame."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = scene.camera.width, scene.camera.height
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "slow", "g": str(2 * fps), "threads": "1"}
        for image in frames(scene, glyphs, seconds, fps, workers):
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
            if on_frame is not None:
                on_frame()
        for packet in stream.encode():
            container.mux(packet)
