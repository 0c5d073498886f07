"""Under which conditions a plate was seen: light, width, blur. Pure."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.accuracy.records import Light
from detectors.preprocess import rectify
from pipeline.types import Box, Corners, ImageBgr

NIGHT_GREY = 30.0
"""A picture is of the night when a quarter of it is darker than this grey value (0 to 255).

The darkest quarter is mostly road, which a flash or headlights hardly light; the mean would
follow how bright and how near the vehicle is. At the checkpoints looked at, night pictures lie
below 28 and day pictures above 30."""
LIGHT_NOTE = f"night: the darkest quarter of the picture lies below grey {NIGHT_GREY:g} of 255"
BLUR_NOTE = "variance of the Laplacian on the straightened plate, 168 x 48 pixels; low is blurred"
_THUMB = 256


def light(image: ImageBgr) -> Light:
    """Day or night, by the brightness of the whole picture."""
    scale = min(1.0, _THUMB / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    return Light.NIGHT if float(np.percentile(grey, 25)) < NIGHT_GREY else Light.DAY


def blur(image: ImageBgr, corners: Corners) -> float:
    """Variance of the Laplacian on the straightened plate; the lower, the more blurred."""
    grey = cv2.cvtColor(rectify(image, corners, margin=(0, 0)), cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def width_px(corners: Corners) -> float:
    """The plate's width in pixels: the mean length of its upper and lower edge."""
    upper = float(np.linalg.norm(corners[1] - corners[0]))
    lower = float(np.linalg.norm(corners[2] - corners[3]))
    return (upper + lower) / 2


def box_corners(box: Box) -> Corners:
    """The corners of a box, (4, 2) float32, from the top-left, clockwise."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)


def outline(image: ImageBgr) -> Corners:
    """The corners of a whole picture."""
    return box_corners((0.0, 0.0, float(image.shape[1]), float(image.shape[0])))
