"""Pictures → network inputs: letterboxing for the scene net, straightening for the reader."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detectors.base import FloatArray, Size
from pipeline.types import Corners, ImageBgr

STRIDE = 32
"""Sides of the scene net's input are multiples of this."""
GREY = 114
"""Value of padding; the scene net saw it in training."""
PLATE_SIZE: Size = (168, 48)
"""Width and height of the reader's input."""
PLATE_MARGIN = (0.03, 0.06)
"""Share of a plate's width and height that is kept around its corners."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture lies inside a network input: scaled, then moved by ``left`` and ``top``."""

    size: Size
    scale: float
    left: int
    top: int

    def to_picture(self, points: FloatArray) -> FloatArray:
        """Input pixels → picture pixels; ``points`` is (..., 2) x, y."""
        offset = np.array([self.left, self.top], np.float32)
        return np.asarray((points - offset) / np.float32(self.scale), np.float32)

    def to_input(self, points: FloatArray) -> FloatArray:
        """Picture pixels → input pixels; ``points`` is (..., 2) x, y."""
        offset = np.array([self.left, self.top], np.float32)
        return np.asarray(points * np.float32(self.scale) + offset, np.float32)


def fit(size: Size, side: int, enlarge: float = 2.0) -> Letterbox:
    """Fit a picture of ``size`` (width, height) into an input whose longer side is ``side``.

    Small pictures are enlarged ``enlarge`` times at most. The input's sides are multiples of
    :data:`STRIDE`, with as little padding as that allows, so that cameras of one aspect ratio
    share one input shape.
    """
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"picture without pixels: {width} x {height}")
    scale = min(side / max(width, height), enlarge)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    outer = tuple(max(2, -(-edge // STRIDE)) * STRIDE for edge in inner)
    left, top = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    return Letterbox((outer[0], outer[1]), scale, left, top)


def letterbox(image: ImageBgr, box: Letterbox, out: NDArray[np.uint8] | None = None) -> ImageBgr:
    """The picture scaled and padded as ``box`` says, (H, W, 3) uint8 BGR; into ``out`` if given."""
    width, height = box.size
    target = np.empty((height, width, 3), np.uint8) if out is None else out
    inner_w = max(1, round(image.shape[1] * box.scale))
    inner_h = max(1, round(image.shape[0] * box.scale))
    method = cv2.INTER_AREA if box.scale < 0.5 else cv2.INTER_LINEAR
    inner = image
    if image.shape[1::-1] != (inner_w, inner_h):
        inner = np.asarray(cv2.resize(image, (inner_w, inner_h), interpolation=method), np.uint8)
    bottom, right = box.top + inner_h, box.left + inner_w
    target[: box.top], target[bottom:] = GREY, GREY
    target[:, : box.left], target[:, right:] = GREY, GREY
    target[box.top : bottom, box.left : right] = inner
    return target


def rectify(
    image: ImageBgr,
    corners: Corners,
    size: Size = PLATE_SIZE,
    margin: tuple[float, float] = PLATE_MARGIN,
) -> ImageBgr:
    """Cut a plate out and straighten it by its four corners.

    ``corners`` (4, 2) from the plate's own top-left, clockwise. The result has ``size`` (width,
    height) and keeps ``margin`` (shares of width and height) of surroundings on every side, as
    the reader saw in training. Parts outside the picture repeat its edge.
    """
    quad = np.asarray(corners, np.float32)
    length = max(float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[3])))
    # a plate much larger than the target is sampled at twice the size, then averaged
    factor = 2 if length > 2.0 * size[0] else 1
    width, height = size[0] * factor, size[1] * factor
    inset_x = width * margin[0] / (1 + 2 * margin[0])
    inset_y = height * margin[1] / (1 + 2 * margin[1])
    target = np.array(
        [
            [inset_x, inset_y],
            [width - inset_x, inset_y],
            [width - inset_x, height - inset_y],
            [inset_x, height - inset_y],
        ],
        np.float32,
    )
    matrix = cv2.getPerspectiveTransform(quad, target)
    flat = cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if factor > 1:
        flat = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
    return np.asarray(flat, np.uint8)


def resize_plate(plate: ImageBgr, size: Size = PLATE_SIZE) -> ImageBgr:
    """A plate picture of any size at the reader's input size."""
    if plate.shape[1::-1] == size:
        return plate
    shrink = plate.shape[1] > size[0] or plate.shape[0] > size[1]
    method = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plate, size, interpolation=method), np.uint8)


def crop_box(
    image: ImageBgr, box: tuple[float, float, float, float], least: int | None = None
) -> ImageBgr:
    """The part of a picture inside a box, at least one pixel.

    ``least``: pixels of its shorter side that are enough; a larger one is thinned out.
    """
    height, width = image.shape[:2]
    x1 = min(max(int(box[0]), 0), width - 1)
    y1 = min(max(int(box[1]), 0), height - 1)
    x2 = min(max(int(np.ceil(box[2])), x1 + 1), width)
    y2 = min(max(int(np.ceil(box[3])), y1 + 1), height)
    step = max(1, min(y2 - y1, x2 - x1) // least) if least else 1
    return image[y1:y2:step, x1:x2:step]
