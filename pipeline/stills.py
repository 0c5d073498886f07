"""What each camera sees, as a small picture that shows nobody.

A still is for a glance: does the camera see the road, is it dirty, has it been turned? It is not
evidence, and anybody who may log in sees it, so it must not identify anyone, whatever the
recogniser has missed. Three things see to that:

- The whole picture keeps no more detail than ``_DETAIL_PX`` across: of a 1920 pixels wide frame
  that is one value for 7.5 x 7.5 pixels. No face is left that a person or a program could make
  out, in a vehicle or beside the road, found or not, and no plate but of a vehicle so near that
  the recogniser sees it.
- A plate that the recogniser found in that very frame is left as a patch of its colour.
- Of each vehicle that it found there, the part above the bonnet line
  (above 55 % of its height at least) is all but gone: a camera may be so close that a windscreen
  fills the picture.

Only frames that were recognised are shown, with what was found in them. A camera that has ceased
to deliver shows its last one; its age is told beside it. Nothing is made while nobody looks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from pipeline.clock import Clock
from pipeline.types import Box, ImageBgr, Recognition

_DETAIL_PX: Final = 256
_SHOWN_PX: Final = 512
_QUALITY: Final = 70
_EVERY_S: Final = 1.0
_GLASS_SHARE: Final = 0.55
_GLASS_CELLS: Final = 4  # rows of detail that are left of a vehicle's upper part, at most
_MOST_COLUMNS: Final = 2  # for each of these rows


@dataclass(frozen=True, slots=True, eq=False)
class _Still:
    jpeg: bytes
    sequence: int
    made_s: float


class Stills:
    """The newest recognised frame of each camera, and the still made from it.

    Any thread may call any method. One frame is kept for each camera.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._newest: dict[str, Recognition] = {}
        self._made: dict[str, _Still] = {}

    def note(self, recognition: Recognition) -> None:
        """A frame was recognised."""
        self._newest[recognition.frame.camera] = recognition

    def forget(self, camera: str) -> None:
        """The camera has gone."""
        self._newest.pop(camera, None)
        self._made.pop(camera, None)

    def of(self, camera: str) -> bytes | None:
        """The camera's still as JPEG, made anew at most once a second; None before its first."""
        with self._lock:
            newest, made = self._newest.get(camera), self._made.get(camera)
            if newest is None:
                return None
            now_s = self._clock.monotonic()
            if made is None or (
                made.sequence != newest.frame.sequence and now_s - made.made_s >= _EVERY_S
            ):
                made = _Still(_jpeg(still(newest)), newest.frame.sequence, now_s)
                self._made[camera] = made
            return made.jpeg


def still(recognition: Recognition) -> ImageBgr:
    """The frame without what could identify anyone: (H, W, 3) uint8 BGR, ``_SHOWN_PX`` wide."""
    image = recognition.frame.image[:, :]  # of one in a GPU's memory, a copy on the host
    height, width = image.shape[:2]
    scale = min(1.0, _DETAIL_PX / width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    coarse: ImageBgr = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    for vehicle in recognition.vehicles:
        x1, y1, x2, _ = vehicle.box
        glass = (x1, y1, x2, _bonnet_line(recognition, vehicle.box))
        _flatten(coarse, glass, scale, _GLASS_CELLS)
    for plate in recognition.plates:
        _flatten(coarse, plate.detection.box, scale, 1)
    shown = (_SHOWN_PX, max(round(_SHOWN_PX * height / width), 1))
    return np.asarray(cv2.resize(coarse, shown, interpolation=cv2.INTER_LINEAR), np.uint8)


def _bonnet_line(recognition: Recognition, vehicle: Box) -> float:
    """The row of the frame above which people may be seen in a vehicle: as in evidence."""
    inside = [
        box
        for box in (plate.detection.box for plate in recognition.plates)
        if vehicle[0] <= (box[0] + box[2]) / 2 <= vehicle[2]
        and vehicle[1] <= (box[1] + box[3]) / 2 <= vehicle[3]
    ]
    share = vehicle[1] + _GLASS_SHARE * (vehicle[3] - vehicle[1])
    return max([share, *(box[1] - 1.2 * (box[2] - box[0]) for box in inside)])


def _flatten(coarse: ImageBgr, box: Box, scale: float, rows: int) -> None:
    """Leave at most so many rows of detail in a part of the picture, and as few columns."""
    height, width = coarse.shape[:2]
    left, top = (max(int(value * scale), 0) for value in box[:2])
    right, bottom = min(int(box[2] * scale) + 1, width), min(int(box[3] * scale) + 1, height)
    part = coarse[top:bottom, left:right]
    if not part.size:
        return
    tall, wide = part.shape[:2]
    cells = (min(max(rows * wide // tall, 1), _MOST_COLUMNS * rows), min(rows, tall))
    small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(small, (wide, tall), interpolation=cv2.INTER_LINEAR)


def _jpeg(image: ImageBgr) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
