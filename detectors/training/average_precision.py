"""Mean average precision of boxes, by the COCO evaluation itself (pycocotools)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.types import Box, VehicleDetection


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """``map50``: at IoU 0.5; ``map50_95``: mean over IoU 0.5, 0.55, … 0.95; 0 to 1.

    Means are over the classes that are annotated at all; ``by_class`` holds the AP at IoU 0.5
    of each of those.
    """

    map50: float
    map50_95: float
    by_class: dict[str, float]


def average_precision(
    classes: Sequence[str],
    annotated: Sequence[Sequence[tuple[str, Box]]],
    found: Sequence[Sequence[VehicleDetection]],
) -> AveragePrecision:
    """Compare what was found with what is annotated, picture by picture.

    Annotations and detections of other ``classes`` are left out. Detections should reach down
    to very low confidences: their order makes the curve.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = {name: index for index, name in enumerate(classes, start=1)}
    truth = [
        {
            "image_id": image,
            "category_id": number[name],
            "bbox": _xywh(box),
            "area": (box[2] - box[0]) * (box[3] - box[1]),
            "iscrowd": 0,
        }
        for image, boxes in enumerate(annotated, start=1)
        for name, box in boxes
        if name in number
    ]
    results = [
        {
            "image_id": image,
            "category_id": number[vehicle.vehicle_class.value],
            "bbox": _xywh(vehicle.box),
            "score": vehicle.confidence,
        }
        for image, vehicles in enumerate(found, start=1)
        for vehicle in vehicles
        if vehicle.vehicle_class.value in number
    ]
    if not truth or not results:
        return AveragePrecision(0.0, 0.0, {})
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress by print
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(1, len(annotated) + 1)],
            "categories": [{"id": index, "name": name} for name, index in number.items()],
            "annotations": [{"id": k, **row} for k, row in enumerate(truth, start=1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU thresholds, recalls, classes, areas, most detections); -1: not annotated
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    known = [k for k in range(len(classes)) if (precision[:, :, k] > -1).any()]
    return AveragePrecision(
        float(np.mean([precision[0, :, k].mean() for k in known])),
        float(np.mean([precision[:, :, k].mean() for k in known])),
        {classes[k]: float(precision[0, :, k].mean()) for k in known},
    )


def _xywh(box: Box) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]
