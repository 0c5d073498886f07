"""Evidence: the picture that a hit is judged by, cut from the frame that carried the vote."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from pipeline.health import Health
from pipeline.tracking import Sighting
from pipeline.types import Box, Evidence, Frame, ImageBgr

_BLUR_FACTOR = 24  # by which the glass is shrunk and enlarged again: no face survives it


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """A vehicle cut out of its frame, kept until a passage needs it as evidence.

    ``image``: (H, W, 3) uint8 BGR, a copy. ``glass_bottom``: rows above this one may show
    people.
    """

    image: ImageBgr
    glass_bottom: int
    media_s: float
    captured_at: datetime


def cut(frame: Frame, sighting: Sighting) -> Cutting:
    """Cut the vehicle with its plate; around a plate alone, what a car of its size would fill."""
    height, width = frame.image.shape[:2]
    plate: Box | None = sighting.plate.detection.box if sighting.plate else None
    plate_width = plate[2] - plate[0] if plate else 0.0
    boxes = [sighting.vehicle.box] if sighting.vehicle else []
    if plate:
        boxes.append((plate[0] - 12, plate[1] - 12, plate[2] + 12, plate[3] + 12))
        if not sighting.vehicle:
            left, right = plate[0] - 1.8 * plate_width, plate[2] + 1.8 * plate_width
            boxes.append((left, plate[1] - 3.2 * plate_width, right, plate[3] + plate_width))
    x1, y1 = (max(int(min(box[i] for box in boxes)), 0) for i in (0, 1))
    x2 = min(int(max(box[2] for box in boxes)) + 1, width)
    y2 = min(int(max(box[3] for box in boxes)) + 1, height)
    glass = plate[1] - 1.2 * plate_width if plate else y1 + 0.55 * (y2 - y1)
    return Cutting(
        frame.image[y1:y2, x1:x2].copy(),
        min(max(int(glass) - y1, 0), y2 - y1),
        frame.media_s,
        frame.captured_at,
    )


class EvidenceStore:
    """Evidence pictures as JPEG files, one folder a day.

    Args:
        root: folder for the pictures, made when missing.
        health: told when the disk refuses a picture, and when it takes one again.
        quality: JPEG quality, 30 to 100.
        blur_occupants: blur the rows in which people may be seen.
    """

    def __init__(
        self, root: Path, health: Health, quality: int = 85, blur_occupants: bool = True
    ) -> None:
        self._root = root
        self._health = health
        self._quality = quality
        self._blur = blur_occupants

    def save(self, name: str, cutting: Cutting) -> Evidence:
        """Write one picture. Where the disk refuses it, it still travels with its hit."""
        image = blurred(cutting.image, cutting.glass_bottom) if self._blur else cutting.image
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        jpeg = encoded.tobytes()
        path = Path(cutting.captured_at.strftime("%Y-%m-%d")) / f"{name}.jpg"
        problem = None
        try:
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
            (self._root / path).write_bytes(jpeg)
        except OSError as error:
            problem = (
                f"evidence cannot be written to {self._root}: {error.strerror}; "
                "free the disk or name another data_dir"
            )
        self._health.report("evidence", problem)
        digest = hashlib.sha256(jpeg).hexdigest()
        return Evidence(path.as_posix(), digest, cutting.media_s, jpeg)


def blurred(image: ImageBgr, rows: int) -> ImageBgr:
    """A copy of ``image`` whose first ``rows`` rows show no detail."""
    if rows < 2:
        return image
    result: ImageBgr = image.copy()
    part = result[:rows]
    size = (max(part.shape[1] // _BLUR_FACTOR, 1), max(rows // _BLUR_FACTOR, 1))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, (part.shape[1], rows), interpolation=cv2.INTER_CUBIC)
    result[:rows] = np.asarray(coarse, dtype=np.uint8)
    return result
