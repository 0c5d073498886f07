"""Plates and vehicles by the shipped scene net."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.base import Detections, FloatArray, Network
from detectors.postprocess import decode_raw, merge_plates, reconcile, suppress
from detectors.preprocess import Letterbox, fit, letterbox
from pipeline.types import ImageBgr, PlateDetection, VehicleClass, VehicleDetection

CLASSES: tuple[VehicleClass | None, ...] = (
    None,  # plate
    VehicleClass.CAR,
    VehicleClass.VAN,
    VehicleClass.BUS,
    VehicleClass.TRUCK,
    VehicleClass.MOTORCYCLE,
)


LARGE_PLATE = 170.0
"""Plates wider than this, in input pixels, are looked at again in a smaller input."""
GOOD_PLATE = 120.0
"""Width at which they are looked at then."""


SURE_PLATE = 0.6
"""A second look is taken where no plate is this sure."""


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """How pictures are looked at.

    ``side``: the input's longer side in pixels. ``second_look``: pictures without a sure plate are
    looked at again, larger if they have the pixels and smaller, for plates that are very small
    or fill the picture. It suits single pictures; in video it would double the cost of an empty
    road.
    """

    side: int = 640
    plate_threshold: float = 0.25
    vehicle_threshold: float = 0.30
    vehicle_iou: float = 0.45
    box_share: float = 0.8
    batch: int = 16
    second_look: bool = False


class SceneLooks(ABC):
    """Which looks are taken at a picture, and how large; :meth:`look` takes one.

    Implements :class:`detectors.base.SceneDetector`.
    """

    def __init__(self, options: SceneOptions | None = None) -> None:
        self.options = options or SceneOptions()
        self._thresholds = np.full(len(CLASSES), self.options.vehicle_threshold, np.float32)
        self._thresholds[0] = self.options.plate_threshold

    @abstractmethod
    def look(self, images: Sequence[ImageBgr], boxes: Sequence[Letterbox]) -> list[Detections]:
        """What is seen in each picture, laid into a network input as its box says."""

    def detect(self, images: Sequence[ImageBgr]) -> list[Detections]:
        """See :class:`detectors.base.SceneDetector`."""
        boxes = self.first_boxes(images)
        found = self.look(images, boxes)
        self.look_closer(images, boxes, found)
        return found

    def first_boxes(self, images: Sequence[ImageBgr]) -> list[Letterbox]:
        """How pictures are laid into the network's input at the first look."""
        return [fit(_size(image), self.options.side) for image in images]

    def look_closer(
        self, images: Sequence[ImageBgr], boxes: list[Letterbox], found: list[Detections]
    ) -> None:
        """After the first look, take those that it asks for; ``found`` is changed."""
        if self.options.second_look:
            self._look_again(images, boxes, found)
        self._step_back(images, boxes, found)

    def _look_again(
        self, images: Sequence[ImageBgr], boxes: list[Letterbox], found: list[Detections]
    ) -> None:
        """Where no plate is sure yet, look larger, then smaller; the surest look counts."""
        side = self.options.side
        for other, needed in ((2 * side, 1.2 * side), (side // 2, 0), (side // 4, 0)):
            empty = [
                index
                for index, image in enumerate(images)
                if _surest(found[index]) < SURE_PLATE and max(image.shape[:2]) >= needed
            ]
            again = [fit(_size(images[i]), other) for i in empty]
            looks = self.look([images[i] for i in empty], again)
            for index, box, look in zip(empty, again, looks, strict=True):
                if _surest(look) > _surest(found[index]):
                    boxes[index] = box
                    found[index] = Detections(look.plates, found[index].vehicles or look.vehicles)

    def _step_back(
        self, images: Sequence[ImageBgr], boxes: Sequence[Letterbox], found: list[Detections]
    ) -> None:
        """Look again, smaller, where a plate is larger than the net is good at: close-ups."""
        close: list[int] = []
        smaller: list[Letterbox] = []
        for index, (image, box) in enumerate(zip(images, boxes, strict=True)):
            widths = [plate.box[2] - plate.box[0] for plate in found[index].plates]
            width = max(widths, default=0.0) * box.scale
            if width > LARGE_PLATE:
                close.append(index)
                longest = max(image.shape[:2]) * box.scale
                smaller.append(fit(_size(image), max(64, round(longest * GOOD_PLATE / width))))
        looks = self.look([images[index] for index in close], smaller)
        for index, look in zip(close, looks, strict=True):
            if look.plates:
                found[index] = Detections(look.plates, found[index].vehicles)


class SceneNet(SceneLooks):
    """Looks through a raw network, one batch for pictures of one input shape."""

    def __init__(self, network: Network, options: SceneOptions | None = None) -> None:
        super().__init__(options)
        self._network = network

    def look(self, images: Sequence[ImageBgr], boxes: Sequence[Letterbox]) -> list[Detections]:
        """See :class:`SceneLooks`."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, box in enumerate(boxes):
            groups[box.size].append(index)
        found: list[Detections] = [Detections()] * len(images)
        for size, members in groups.items():
            for start in range(0, len(members), self.options.batch):
                part = members[start : start + self.options.batch]
                batch = np.empty((len(part), size[1], size[0], 3), np.uint8)
                for row, index in enumerate(part):
                    letterbox(images[index], boxes[index], batch[row])
                (raw,) = self._network(batch)
                for row, index in enumerate(part):
                    found[index] = self._interpret(raw[row], boxes[index], images[index])
        return found

    def _interpret(self, raw: FloatArray, box: Letterbox, image: ImageBgr) -> Detections:
        candidates = decode_raw(raw, box.size, self._thresholds)
        is_plate = candidates.classes == 0
        settled = reconcile(
            candidates.corners[is_plate], candidates.boxes[is_plate], self.options.box_share
        )
        corners, scores = merge_plates(settled, candidates.scores[is_plate])
        plates = tuple(
            PlateDetection(quad, float(score))
            for quad, score in zip(box.to_picture(corners), scores, strict=True)
        )
        boxes, sure = candidates.boxes[~is_plate], candidates.scores[~is_plate]
        names = candidates.classes[~is_plate]
        kept = suppress(boxes, sure, self.options.vehicle_iou, inside=0.8)
        limit = np.array([image.shape[1], image.shape[0]], np.float32)
        edges = np.clip(box.to_picture(boxes[kept].reshape(-1, 2, 2)), 0, limit).reshape(-1, 4)
        vehicles = tuple(
            VehicleDetection(
                (float(e[0]), float(e[1]), float(e[2]), float(e[3])),
                CLASSES[names[k]] or VehicleClass.OTHER,
                float(sure[k]),
            )
            for e, k in zip(edges, kept, strict=True)
        )
        return Detections(plates, vehicles)


def _surest(detections: Detections) -> float:
    return max((plate.confidence for plate in detections.plates), default=0.0)


def _size(image: ImageBgr) -> tuple[int, int]:
    return int(image.shape[1]), int(image.shape[0])
