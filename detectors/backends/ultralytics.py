"""Weights of one's own: an ultralytics detection or pose model (``.pt``) as the scene detector.

Needs the ``gpu`` extra (torch, ultralytics). Classes are matched by name: ``plate`` or
``license_plate`` is a plate, the vehicle names are those of :class:`pipeline.types.VehicleClass`
and their usual spellings; other classes are ignored. A pose model with four keypoints gives
corners; a detection model's plates are taken as upright rectangles.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detectors.base import Detections
from pipeline.errors import WeightsError
from pipeline.types import ImageBgr, PlateDetection, VehicleClass, VehicleDetection

PLATE_NAMES = frozenset({"plate", "license_plate", "licence_plate", "license-plate", "车牌"})
VEHICLE_NAMES = {
    "car": VehicleClass.CAR,
    "van": VehicleClass.VAN,
    "bus": VehicleClass.BUS,
    "truck": VehicleClass.TRUCK,
    "motorcycle": VehicleClass.MOTORCYCLE,
    "motorbike": VehicleClass.MOTORCYCLE,
    "vehicle": VehicleClass.OTHER,
}


@dataclass(frozen=True, slots=True)
class Names:
    """What the classes of a model are to us, by their index; ``all`` has every class."""

    plates: frozenset[int]
    vehicles: dict[int, VehicleClass]
    all: tuple[int, ...]


def open_model(weights: Path) -> tuple[Any, Names]:
    """An ultralytics model that finds plates. Raises WeightsError with what is wrong with it."""
    if not weights.is_file():
        raise WeightsError(f"{weights}: no such file")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise WeightsError(
            f"{weights}: needs torch and ultralytics ({error}); "
            "install them with: pip install 'checkpoint-vehicles[gpu]'"
        ) from None
    try:
        model: Any = YOLO(str(weights))
        names = {int(k): str(v).lower() for k, v in model.names.items()}
    except Exception as error:
        raise WeightsError(f"{weights}: not an ultralytics model ({error})") from None
    plates = frozenset(k for k, v in names.items() if v in PLATE_NAMES)
    if not plates:
        known = ", ".join(sorted(names.values()))
        raise WeightsError(f"{weights}: has no class 'plate' (its classes: {known})")
    vehicles = {k: VEHICLE_NAMES[v] for k, v in names.items() if v in VEHICLE_NAMES}
    return model, Names(plates, vehicles, tuple(range(max(names) + 1)))


class UltralyticsDetector:
    """Implements :class:`detectors.base.SceneDetector` on the CPU."""

    def __init__(self, weights: Path, side: int = 640, threshold: float = 0.3) -> None:
        self._model, names = open_model(weights)
        self._plates, self._vehicles = names.plates, names.vehicles
        self._side, self._threshold = side, threshold

    def detect(self, images: Sequence[ImageBgr]) -> list[Detections]:
        """See :class:`detectors.base.SceneDetector`."""
        if not images:
            return []
        answers = self._model.predict(
            list(images),
            imgsz=self._side,
            conf=self._threshold,
            device="cpu",
            verbose=False,
        )
        return [self._interpret(answer) for answer in answers]

    def _interpret(self, answer: Any) -> Detections:
        boxes = answer.boxes.xyxy.cpu().numpy().astype(np.float32)
        scores = answer.boxes.conf.cpu().numpy()
        classes = answer.boxes.cls.cpu().numpy().astype(int)
        points = None
        if answer.keypoints is not None and answer.keypoints.xy.shape[1:] == (4, 2):
            points = answer.keypoints.xy.cpu().numpy().astype(np.float32)
        plates, vehicles = [], []
        for index in np.argsort(-scores, kind="stable"):
            box, score = boxes[index], float(scores[index])
            if classes[index] in self._plates:
                corners = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
                plates.append(PlateDetection(corners if points is None else points[index], score))
            elif classes[index] in self._vehicles:
                x1, y1, x2, y2 = (float(edge) for edge in box)
                name = self._vehicles[classes[index]]
                vehicles.append(VehicleDetection((x1, y1, x2, y2), name, score))
        return Detections(tuple(plates), tuple(vehicles))
