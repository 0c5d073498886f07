"""Geometry and light for the scene net's training pictures."""

# OpenCV's stubs widen every dtype, and torch is untyped for the check.
# mypy: disable-error-code="arg-type,assignment,call-overload,misc,no-any-return,operator"
# mypy: disable-error-code="return-value,untyped-decorator,var-annotated"

from __future__ import annotations

import cv2
import numpy as np

from detectors.training.arrays import f32
from detectors.training.degrade import motion_blur, rain, video


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) through a 3 x 3 homography."""
    homogeneous = np.c_[points, np.ones(len(points))] @ matrix.T
    return f32(homogeneous[:, :2] / homogeneous[:, 2:])


def random_quad(rng: np.random.Generator, centre: np.ndarray, width: float) -> np.ndarray:
    """Corners of a plate of ``width`` pixels around ``centre``, a little turned and bent."""
    half = f32([width / 2, width / 6.28])
    quad = f32([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    quad += rng.normal(0, 0.015 * width, (4, 2)).astype(np.float32)
    angle = np.deg2rad(rng.normal(0, 5))
    turn = f32([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return f32(quad @ turn + centre)


def is_free(quad: np.ndarray, plates: list[np.ndarray]) -> bool:
    """Whether a quadrilateral's box meets no plate's box."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    return not any(
        (np.minimum(high, p.max(axis=0)) > np.maximum(low, p.min(axis=0))).all() for p in plates
    )


def warp_into(image: np.ndarray, patch: np.ndarray, quad: np.ndarray) -> None:
    """Warp ``patch`` onto the four corners ``quad`` of ``image``, in place, edges feathered."""
    side_y, side_x = image.shape[:2]
    x1, y1 = np.floor(np.clip(quad.min(axis=0) - 2, 0, [side_x, side_y])).astype(int)
    x2, y2 = np.ceil(np.clip(quad.max(axis=0) + 2, 0, [side_x, side_y])).astype(int)
    if x2 - x1 < 4 or y2 - y1 < 3:
        return
    width = float(np.linalg.norm(quad[1] - quad[0]))
    ratio = min(1.0, 1.3 * width / patch.shape[1])
    if ratio < 1:
        patch = cv2.resize(patch, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    height, wide = patch.shape[:2]
    start = f32([[0, 0], [wide, 0], [wide, height], [0, height]])
    matrix = cv2.getPerspectiveTransform(start, f32(quad - [x1, y1]))
    size = (int(x2 - x1), int(y2 - y1))
    warped = cv2.warpPerspective(patch, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(np.full((height, wide), 255, np.uint8), matrix, size)
    alpha = cv2.blur(mask, (3, 3)).astype(np.float32)[..., None] / 255
    region = image[y1:y2, x1:x2]
    region[:] = (region + (warped.astype(np.float32) - region) * alpha).astype(np.uint8)


def lay_over(
    image: np.ndarray, plate: np.ndarray, corners: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Paste a plate picture over the plate at ``corners``, in place and in its light.

    The pasted plate keeps the old one's width and direction and has its own height. Returns its
    corners (4, 2).
    """
    height, width = plate.shape[:2]
    stretch = 3.14 / (width / height)  # keep the width, give the quad the plate's own height
    centre = corners.mean(axis=0)
    left, right = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    up = ((corners[0] - corners[3]) + (corners[1] - corners[2])) / 4 * stretch
    grow = f32(rng.uniform(1.0, 1.06))  # cover what was there
    quad = f32([left + up, right + up, right - up, left - up])
    quad = (quad - centre) * grow + centre
    x1, y1 = np.clip(corners.min(axis=0).astype(int), 0, None)
    x2, y2 = corners.max(axis=0).astype(int) + 1
    region = image[y1:y2, x1:x2]
    tone = 160.0
    if region.size:
        tone = float(np.percentile(region, 75)) * rng.uniform(0.8, 1.15)
    gain = np.clip(tone / max(float(np.percentile(plate, 75)), 30.0), 0.12, 1.15)
    shade = np.linspace(rng.uniform(0.75, 1.1), rng.uniform(0.75, 1.1), width)
    shaded = np.clip(plate * (gain * shade)[None, :, None], 0, 255).astype(np.uint8)
    warp_into(image, shaded, quad)
    return quad


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light, weather, sensor and codec: gamma, gain, tint, rain, blur, noise, JPEG or H.264."""
    gain = np.exp(rng.normal(0, 0.25))
    gamma = np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.15:  # night
        gain *= rng.uniform(0.2, 0.6)
    table = np.clip(255 * (np.linspace(0, 1, 256) ** gamma) * gain + rng.normal(0, 8), 0, 255)
    tint = np.exp(rng.normal(0, 0.06, 3))
    image = cv2.LUT(image, np.clip(table[:, None] * tint, 0, 255).astype(np.uint8)[:, None, :])
    if rng.random() < 0.12:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        image = cv2.merge([grey, grey, grey])
    if rng.random() < 0.05:
        image = rain(image, rng, rng.uniform(0.6, 1.6))
    draw = rng.random()
    if draw < 0.12:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))
    elif draw < 0.22:
        image = motion_blur(image, rng, int(rng.integers(3, 8)))
    if rng.random() < 0.25:
        noise = np.empty(image.shape, np.int8)
        cv2.randn(noise, 0, float(rng.uniform(2, 12)))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    draw = rng.random()
    if draw < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    elif draw < 0.26:
        image = video(image, rng)
    return image
