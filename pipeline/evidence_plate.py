"""The plate in an evidence picture: cut out and enlarged for the eye, or made unreadable.

    picture = plate_picture(evidence.jpeg, evidence.plate_corners)

Pure functions over JPEGs. Corners are pixels of the picture, from the plate's own top-left,
clockwise, as ``Evidence.plate_corners`` keeps them.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from detectors.preprocess import rectify
from pipeline.types import Corners, ImageBgr

_MARGIN: Final = (0.04, 0.08)  # surroundings on each side, as shares of width and height
_FLATTEST, _TALLEST = 0.24, 0.7  # height by width: a long plate, a motorcycle's two rows
_BEYOND: Final = 0.5  # of the picture's size: so far outside a corner may lie
_QUALITY: Final = 90


def plate_picture(jpeg: bytes, corners: Corners, width_px: int = 480) -> bytes:
    """The plate alone, straightened and enlarged, as a JPEG ``width_px`` wide.

    Its height follows from the corners' own proportions, within those that plates have.

    Raises:
        ValueError: ``jpeg`` is no picture, or the corners enclose no plate in it.
    """
    image = _decoded(jpeg)
    quad = _checked(corners, image)
    across = max(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[3]))
    down = max(np.linalg.norm(quad[3] - quad[0]), np.linalg.norm(quad[2] - quad[1]))
    ratio = min(max(float(down / across), _FLATTEST), _TALLEST)
    return _encoded(rectify(image, quad, (width_px, round(width_px * ratio)), _MARGIN))


def plate_hidden(jpeg: bytes, corners: Corners) -> bytes:
    """The whole picture with its plate unreadable: for those who may see the vehicle alone.

    The plate's mean colour is all that is left of it: coarse pixels can be guessed back.

    Raises:
        ValueError: as for ``plate_picture``.
    """
    image = _decoded(jpeg)
    quad = _checked(corners, image)
    centre = quad.mean(axis=0)
    wider = centre + (quad - centre) * 1.15
    low = np.floor(wider.min(axis=0)).astype(int)
    high = np.ceil(wider.max(axis=0)).astype(int) + 1
    x1, y1 = max(int(low[0]), 0), max(int(low[1]), 0)
    x2, y2 = min(int(high[0]), image.shape[1]), min(int(high[1]), image.shape[0])
    part = image[y1:y2, x1:x2]
    mask = np.zeros(part.shape[:2], np.uint8)
    cv2.fillConvexPoly(mask, np.round(wider - (x1, y1)).astype(np.int32), 255)
    part[mask > 0] = np.asarray(cv2.mean(part, mask)[:3]).astype(np.uint8)
    return _encoded(image)


def _decoded(jpeg: bytes) -> ImageBgr:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        raise ValueError("the evidence is no picture that can be read")
    return np.asarray(image, np.uint8)


def _encoded(image: ImageBgr) -> bytes:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()


def _checked(corners: Corners, image: ImageBgr) -> Corners:
    """The corners as float32, if they go around something in or near the picture."""
    quad = np.asarray(corners, np.float32)
    size = np.array(image.shape[1::-1], np.float32)
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise ValueError("a plate has four corners, each with x and y")
    if (quad < -_BEYOND * size).any() or (quad > (1 + _BEYOND) * size).any():
        raise ValueError("the plate's corners lie outside the picture")
    if not cv2.isContourConvex(quad) or cv2.contourArea(quad) < 4:
        raise ValueError("the plate's corners go around nothing")
    if (quad.max(axis=0) < 1).any() or (quad.min(axis=0) > size - 1).any():
        raise ValueError("the plate's corners lie outside the picture")
    return quad
