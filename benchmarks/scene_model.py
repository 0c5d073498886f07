"""What a scene consists of: vehicles with plates, when and where they drive, and the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.scene_road import LANE_CENTRES_M
from benchmarks.scene_shapes import F32, SHAPES, Kind, Shape, f32
from benchmarks.scene_view import Camera
from pipeline.types import Corners, PlateClass, VehicleColour

START_M = 40.0
"""How far away a vehicle's front is when it enters: just above the picture's upper edge."""
PLATE_SIZE_MM = {PlateClass.GREEN_SMALL: (480, 140), PlateClass.GREEN_LARGE: (480, 140)}


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle's drive through the scene.

    ``enters_s`` is when it comes into view; it keeps ``speed_mps`` and its ``lane`` ("1" left,
    "2" right, seen from the camera), ``offset_m`` to the right of the lane's middle.
    """

    kind: Kind
    colour: VehicleColour
    plate: str
    plate_class: PlateClass
    lane: str
    enters_s: float
    speed_mps: float
    offset_m: float = 0.0
    lights: bool = False

    @property
    def shape(self) -> Shape:
        """The vehicle's outline."""
        return SHAPES[self.kind]

    @property
    def length_m(self) -> float:
        """From the front to the very end, a lorry's load included, metres."""
        return self.shape.length + (4.7 if self.kind is Kind.TRUCK else 0.0)

    @property
    def x_m(self) -> float:
        """Middle of the vehicle on the road, metres to the right of the camera."""
        return LANE_CENTRES_M[self.lane] + self.offset_m

    def front_m(self, time_s: float) -> float:
        """Distance of the vehicle's front along the road at a time, metres."""
        return START_M - (time_s - self.enters_s) * self.speed_mps

    def plate_corners_m(self, time_s: float) -> F32:
        """The plate's corners in the world, (4, 3) float32 metres, its own top-left first."""
        width, height = PLATE_SIZE_MM.get(self.plate_class, (440, 140))
        half_w, half_h = width / 2000, height / 2000
        x, y, z = self.x_m, self.shape.plate_y, self.front_m(time_s) - 0.035
        tilt = 0.012  # the lower edge stands a little forward
        return np.array(
            [
                [x - half_w, y + half_h, z],
                [x + half_w, y + half_h, z],
                [x + half_w, y - half_h, z - tilt],
                [x - half_w, y - half_h, z - tilt],
            ],
            np.float32,
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """Vehicles on a road before a camera.

    ``watchlist`` names the plate that is looked for; ``caption`` is written into the picture's
    upper left corner together with the clip's own time, as cameras do.
    """

    seed: int
    vehicles: tuple[Vehicle, ...]
    watchlist: str | None = None
    camera: Camera = field(default_factory=Camera)
    caption: str | None = None


def plate_corners(scene: Scene, vehicle: Vehicle, time_s: float) -> Corners | None:
    """The plate's corners in the picture, (4, 2) float32 pixels, or None while not all in view."""
    pixels, depth = scene.camera.project(vehicle.plate_corners_m(time_s))
    inside = (pixels > 1) & (pixels < f32([scene.camera.width, scene.camera.height]) - 1)
    return pixels if inside.all() and depth.min() > 2.0 else None


def scene_seconds(scene: Scene) -> float:
    """When the last vehicle has left the picture, whole seconds."""
    ends = (
        vehicle.enters_s + (START_M + vehicle.length_m) / vehicle.speed_mps
        for vehicle in scene.vehicles
    )
    return float(np.ceil(max(ends, default=0.0)))


def truth(scene: Scene, seconds: float, fps: int) -> dict[str, Any]:
    """What happens in the clip, in the form of its JSON file.

    A passage lasts from the first to the last frame that shows the whole plate, seconds.
    """
    frames = round(seconds * fps)
    passages = []
    for vehicle in scene.vehicles:
        seen = [
            index
            for index in range(frames)
            if plate_corners(scene, vehicle, index / fps) is not None
        ]
        if not seen:
            continue
        passages.append(
            {
                "start_s": round(seen[0] / fps, 2),
                "end_s": round((seen[-1] + 1) / fps, 2),
                "plates": [vehicle.plate],
                "main_plate": vehicle.plate,
                "class": vehicle.plate_class.value,
                "lane": vehicle.lane,
                "vehicle": {
                    "class": vehicle.kind.vehicle_class.value,
                    "colour": vehicle.colour.value,
                },
            }
        )
    passages.sort(key=lambda passage: float(str(passage["start_s"])))
    camera = scene.camera
    return {
        "fps": fps,
        "frames": frames,
        "width": camera.width,
        "height": camera.height,
        "watchlist": [scene.watchlist] if scene.watchlist else [],
        "passages": passages,
    }
