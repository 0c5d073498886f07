"""The scene net's raw output → plates and vehicles, for a whole batch on the device.

As :mod:`detectors.postprocess` does for one picture on the host, but in fixed shapes, so that no
step waits for the host: of each picture the surest :data:`PLATE_CANDIDATES` and
:data:`VEHICLE_CANDIDATES` anchors are looked at, and the surest :data:`PLATES` and
:data:`VEHICLES` come out. What is left of these is filled up with probability 0.
"""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

import torch

from detectors.postprocess import BINS

PLATE_CANDIDATES, VEHICLE_CANDIDATES = 192, 384
PLATES, VEHICLES = 24, 48
ROUNDS = 12


def decode(
    raw: torch.Tensor,
    points: torch.Tensor,
    strides: torch.Tensor,
    thresholds: torch.Tensor,
    options: tuple[float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is seen in each picture, surest first, in input pixels.

    Args:
        raw: (B, 64 + classes + 8, N), see :mod:`detectors.postprocess`.
        points, strides: (N, 2) and (N, 1), the anchors.
        thresholds: (classes,) least probabilities; class 0 is the plate.
        options: share of the box in a plate's height, and IoU of two vehicles that are one.

    Returns:
        Plates (B, PLATES, 9): four corners, x before y, and the probability; vehicles
        (B, VEHICLES, 6): box, probability and class. Float32.
    """
    raw = raw.float()
    box_share, vehicle_iou = options
    logits = raw[:, 4 * BINS : 4 * BINS + len(thresholds)]
    scores = logits.sigmoid()
    scores, classes = scores.masked_fill(scores < thresholds[:, None], 0.0).max(1)  # (B, N)

    plate_scores, chosen = _surest(scores.masked_fill(classes != 0, 0.0), PLATE_CANDIDATES)
    some, at, stride = _columns(raw, points, strides, chosen)
    boxes = _boxes(some, at, stride)
    relative = some[..., 4 * BINS + len(thresholds) :].unflatten(-1, (4, 2)) * 2.0
    corners = (relative + at[:, :, None] - 0.5) * stride[:, :, None]
    corners, plate_scores = _merge(_reconcile(corners, boxes, box_share), plate_scores)
    plates = torch.cat((corners.flatten(2), plate_scores[..., None]), 2)

    vehicle_scores, chosen = _surest(scores.masked_fill(classes == 0, 0.0), VEHICLE_CANDIDATES)
    some, at, stride = _columns(raw, points, strides, chosen)
    boxes = _boxes(some, at, stride)
    union, smaller = overlaps(boxes, boxes)
    kept = greedy((union > vehicle_iou) | (smaller > 0.8), vehicle_scores > 0.0)
    vehicle_scores, best = _surest(vehicle_scores * kept, VEHICLES)
    names = classes.gather(1, chosen).gather(1, best).float()
    boxes = boxes.gather(1, best[..., None].expand(-1, -1, 4))
    return plates, torch.cat((boxes, vehicle_scores[..., None], names[..., None]), 2)


def overlaps(boxes: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection over union, and over the smaller box: two (B, K, K) of boxes (B, K, 4)."""
    low = torch.maximum(boxes[:, :, None, :2], others[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], others[:, None, :, 2:])
    shared = (high - low).clamp_min(0.0).prod(-1)
    mine = (boxes[..., 2:] - boxes[..., :2]).clamp_min(0.0).prod(-1)[:, :, None]
    theirs = (others[..., 2:] - others[..., :2]).clamp_min(0.0).prod(-1)[:, None]
    union = shared / (mine + theirs - shared).clamp_min(1e-9)
    return union, shared / torch.minimum(mine, theirs).clamp_min(1e-9)


def greedy(rivals: torch.Tensor, there: torch.Tensor, rounds: int = ROUNDS) -> torch.Tensor:
    """Non-maximum suppression: which of K candidates stay, (B, K) bool.

    ``rivals`` (B, K, K): pairs of which only one may stay, candidates surest first. ``there``
    (B, K): which are candidates at all. In each round those stay for good whom nobody surer
    rivals that is not out already, and their rivals go. That gives what going through them one
    by one gives, once no chain of rivals, each weaker than the one before, is longer than twice
    the rounds: what is undecided then stays.
    """
    above = rivals.triu(1).float()  # [i, j]: i is surer than j
    open_, kept = there.float(), torch.zeros_like(there, dtype=torch.float32)
    for _ in range(rounds):
        free = open_ * (torch.bmm(open_[:, None], above)[:, 0] == 0)
        kept = kept + free
        beaten = torch.bmm(free[:, None], above)[:, 0] > 0
        open_ = (open_ - free) * ~beaten
    return (kept + open_) > 0


def _surest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, chosen = scores.topk(min(count, scores.shape[1]), dim=1)
    return values, chosen


def _columns(
    raw: torch.Tensor, points: torch.Tensor, strides: torch.Tensor, chosen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The chosen anchors: their raw values (B, K, rows), points (B, K, 2), strides (B, K, 1)."""
    some = raw.gather(2, chosen[:, None].expand(-1, raw.shape[1], -1)).transpose(1, 2)
    return some, points[chosen], strides[chosen]


def _boxes(some: torch.Tensor, at: torch.Tensor, stride: torch.Tensor) -> torch.Tensor:
    """Boxes (B, K, 4) of chosen anchors."""
    bins = some[..., : 4 * BINS].unflatten(-1, (4, BINS)).softmax(-1)
    reach = bins @ torch.arange(BINS, dtype=bins.dtype, device=bins.device)
    return torch.cat((at - reach[..., :2], at + reach[..., 2:]), -1) * stride


def _reconcile(corners: torch.Tensor, boxes: torch.Tensor, share: float) -> torch.Tensor:
    """See :func:`detectors.postprocess.reconcile`."""
    y = corners[..., 1]
    low, high = y.amin(-1), y.amax(-1)
    height = (high - low).clamp_min(1e-3)
    excess = (boxes[..., 3] - boxes[..., 1]) / height - 1.0
    part = ((excess - 0.1) / 0.15).clamp(0.0, 1.0) * share
    new_low = low + (boxes[..., 1] - low) * part
    new_high = high + (boxes[..., 3] - high) * part
    scale = (new_high - new_low) / height
    moved = (y - low[..., None]) * scale[..., None] + new_low[..., None]
    return torch.stack((corners[..., 0], moved), -1)


def _merge(corners: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """See :func:`detectors.postprocess.merge_plates`; (B, PLATES, 4, 2) and (B, PLATES)."""
    boxes = torch.cat((corners.amin(2), corners.amax(2)), -1)
    union, smaller = overlaps(boxes, boxes)
    kept = greedy((union > 0.4) | (smaller > 0.7), scores > 0.0)
    alike = (union >= 0.6) & (scores[:, None] >= 0.5 * scores[:, :, None])
    alike |= torch.eye(alike.shape[1], dtype=torch.bool, device=alike.device)
    weights = alike * scores[:, None]
    total = weights.sum(2).clamp_min(1e-9)[..., None]
    merged = torch.bmm(weights, corners.flatten(2)) / total
    scores, best = _surest(scores * kept, PLATES)
    return merged.gather(1, best[..., None].expand(-1, -1, 8)).unflatten(-1, (4, 2)), scores
