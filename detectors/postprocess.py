"""The scene net's raw output → boxes, corners and scores. Pure; numpy only.

Raw output of one picture: (64 + classes + 8, N) float32, one column for each anchor point of
the strides 8, 16 and 32, row by row. Rows: four distributions of 16 bins over the distances
left, top, right, bottom (in strides); class logits; x and y of four corners (in strides, at
half scale, from the cell's corner).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.base import FloatArray, Size

STRIDES = (8, 16, 32)
BINS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What passed the score threshold, in input pixels, before suppression."""

    boxes: FloatArray  # (K, 4) x1, y1, x2, y2
    scores: FloatArray  # (K,) of the best class
    classes: NDArray[np.intp]  # (K,)
    corners: FloatArray  # (K, 4, 2)


@lru_cache(maxsize=64)
def anchors(size: Size) -> tuple[FloatArray, FloatArray]:
    """Anchor points (N, 2), in strides, and the stride of each (N, 1), for an input size."""
    points, strides = [], []
    for stride in STRIDES:
        columns, rows = size[0] // stride, size[1] // stride
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) + 0.5
        points.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(strides)


def sigmoid(values: FloatArray) -> FloatArray:
    """Logistic function without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float32)


def softmax(values: FloatArray, axis: int = -1) -> FloatArray:
    """Softmax along one axis, float32."""
    shifted = np.exp(values - values.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True), np.float32)


def decode_raw(raw: FloatArray, size: Size, thresholds: FloatArray) -> Candidates:
    """Decode one picture's raw output.

    ``size`` is the input's (width, height); ``thresholds`` (classes,) the least probability of
    each class. Only anchors that pass are decoded.
    """
    count = len(thresholds)
    logits = raw[4 * BINS : 4 * BINS + count]
    floor = np.log(thresholds / (1 - thresholds))[:, None]
    chosen = np.flatnonzero((logits >= floor).any(axis=0))
    points, strides = anchors(size)
    points, strides = points[chosen], strides[chosen]
    scores = np.where(logits[:, chosen] >= floor, sigmoid(logits[:, chosen]), 0.0)
    best = scores.argmax(axis=0)
    bins = softmax(raw[: 4 * BINS, chosen].reshape(4, BINS, -1), axis=1)
    reach = np.einsum("dbn,b->nd", bins, np.arange(BINS, dtype=np.float32))
    boxes = np.concatenate((points - reach[:, :2], points + reach[:, 2:]), axis=1) * strides
    relative = raw[4 * BINS + count :, chosen].T.reshape(-1, 4, 2) * 2.0
    corners = (relative + points[:, None] - 0.5) * strides[:, None]
    return Candidates(
        boxes.astype(np.float32),
        scores[best, np.arange(len(best))].astype(np.float32),
        best,
        corners.astype(np.float32),
    )


def overlaps(boxes: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Intersection over union, and over the smaller box: two (len(boxes), len(others)) arrays."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    mine = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)[:, None]
    theirs = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)[None]
    union = shared / np.maximum(mine + theirs - shared, 1e-9)
    smaller = shared / np.maximum(np.minimum(mine, theirs), 1e-9)
    return union.astype(np.float32), smaller.astype(np.float32)


def suppress(
    boxes: FloatArray, scores: FloatArray, iou: float, inside: float = 1.1
) -> NDArray[np.intp]:
    """Non-maximum suppression; kept indices, surest first.

    A box goes when a surer one overlaps it by more than ``iou``, or covers more than ``inside``
    of the smaller of the two (1.1: never).
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        first = int(order[0])
        kept.append(first)
        union, smaller = overlaps(boxes[[first]], boxes[order[1:]])
        order = order[1:][(union[0] <= iou) & (smaller[0] <= inside)]
    return np.array(kept, np.intp)


def corner_boxes(corners: FloatArray) -> FloatArray:
    """Axis-aligned boxes (K, 4) around corners (K, 4, 2)."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate((low, high), axis=1)


def reconcile(corners: FloatArray, boxes: FloatArray, share: float) -> FloatArray:
    """Stretch corners (K, 4, 2) upwards and downwards to the net's own boxes (K, 4).

    The corners know tilt and perspective; on plates in two rows they cut the rows' outer
    halves, and there the box knows the height better. Where the box is more than a tenth higher
    than the corners, the corners are stretched ``share`` of the way, fully from a quarter on.
    """
    low, high = corners[..., 1].min(axis=1), corners[..., 1].max(axis=1)
    height = np.maximum(high - low, 1e-3)
    excess = (boxes[:, 3] - boxes[:, 1]) / height - 1
    part = np.clip((excess - 0.1) / 0.15, 0, 1) * share
    new_low = low + (boxes[:, 1] - low) * part
    new_high = high + (boxes[:, 3] - high) * part
    stretched = corners.copy()
    scale = (new_high - new_low) / height
    stretched[..., 1] = (corners[..., 1] - low[:, None]) * scale[:, None] + new_low[:, None]
    return stretched


def merge_plates(
    corners: FloatArray, scores: FloatArray, iou: float = 0.4, together: float = 0.6
) -> tuple[FloatArray, FloatArray]:
    """Suppress plates by their corners' boxes, then refine each with its look-alikes.

    The corners of a plate are the mean, weighted by score, of the candidates that overlap it by
    more than ``together`` and are at least half as sure: neighbouring anchors see the same
    plate, and their errors are partly independent. Returns corners (P, 4, 2), scores (P,).
    """
    if not len(scores):
        return corners, scores
    boxes = corner_boxes(corners)
    kept = suppress(boxes, scores, iou, inside=0.7)
    union, _ = overlaps(boxes[kept], boxes)
    weights = np.where(
        (union >= together) & (scores[None] >= 0.5 * scores[kept][:, None]), scores[None], 0.0
    )
    weights[np.arange(len(kept)), kept] = scores[kept]
    merged = np.einsum("pk,kij->pij", weights, corners) / weights.sum(axis=1)[:, None, None]
    return merged.astype(np.float32), scores[kept]
