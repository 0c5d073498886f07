"""Scaling and straightening of stacked pictures, in tensors; as OpenCV does it on the CPU.

Pictures are (B, H, W, C) uint8: BGR with C = 3, or the planes of NV12, luma with C = 1 and, at
half the size, chroma with C = 2. Sampling is linear, so it is done on the planes as they are, and
colours are converted afterwards, where there are fewer pixels.
"""

# Torch is untyped for the check.
# mypy: disable-error-code="misc,no-any-return,untyped-decorator"

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.base import FloatArray, Size
from detectors.preprocess import GREY, Letterbox

Planes = tuple[torch.Tensor, ...]
"""(bgr,) or (luma, chroma)."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Luma's share of red and blue, and whether samples fill 0 to 255 instead of 16 to 235."""

    red: float = 0.299
    blue: float = 0.114
    full_range: bool = False


BT601 = Colours()
BT709 = Colours(0.2126, 0.0722)


def to_bgr(planes: Planes, colours: Colours) -> torch.Tensor:
    """Sampled planes of one size, float, as (…, 3) BGR from 0 to 255, rounded."""
    if len(planes) == 1:
        return planes[0].round()
    luma, chroma = planes
    if colours.full_range:
        y, centred = luma[..., 0], chroma - 128.0
    else:
        y, centred = (luma[..., 0] - 16.0) * (255 / 219), (chroma - 128.0) * (255 / 224)
    green = 1.0 - colours.red - colours.blue
    cb = 2.0 * (1.0 - colours.blue) * centred[..., 0]
    cr = 2.0 * (1.0 - colours.red) * centred[..., 1]
    middle = y - (colours.blue / green) * cb - (colours.red / green) * cr
    return torch.stack((y + cb, middle, y + cr), -1).round().clamp(0.0, 255.0)


@lru_cache(maxsize=256)
def taps(source: int, target: int, area: bool) -> tuple[NDArray[np.int64], FloatArray]:
    """Which source pixels make each target pixel, and with what weights: two (k, target) arrays.

    ``area``: the mean of what a pixel covers, as OpenCV's INTER_AREA when shrinking; else linear
    between the two nearest.
    """
    ratio = source / target
    start = np.arange(target) * ratio
    if area:
        count = int(np.ceil(ratio)) + 1
        index = np.floor(start + 1e-6).astype(np.int64) + np.arange(count)[:, None]
        covered = np.minimum(index + 1, start + ratio) - np.maximum(index, start)
        weights = np.clip(covered, 0.0, None)
        weights /= weights.sum(axis=0)
        used = weights.max(axis=1) > 1e-6  # one pixel less where the ratio is whole
        index, weights = index[used], weights[used]
    else:
        place = start + 0.5 * ratio - 0.5
        low = np.floor(place)
        index = low.astype(np.int64) + np.arange(2)[:, None]
        weights = np.stack((1.0 - (place - low), place - low))
    return np.clip(index, 0, source - 1), weights.astype(np.float32)


def scale(planes: Planes, size: Size, area: bool, dtype: torch.dtype) -> Planes:
    """All pictures at another size, as planes of that size."""
    height, width = planes[0].shape[1:3]
    scaled = []
    for plane, step in zip(planes, (1, 2), strict=False):
        for axis, source, target in ((1, height, size[1]), (2, width, size[0])):
            plane = _along(plane, axis, *_taps_on(plane.device, source, target, area, step), dtype)
        scaled.append(plane)
    return tuple(scaled)


@lru_cache(maxsize=256)
def _taps_on(
    device: torch.device, source: int, target: int, area: bool, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Taps on the device, for a plane whose pixels stand for ``step`` of the picture's each."""
    index, weights = taps(source, target, area)
    return torch.from_numpy(index // step).to(device), torch.from_numpy(weights).to(device)


def _along(
    plane: torch.Tensor, axis: int, places: torch.Tensor, shares: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    shape = [1] * plane.ndim
    shape[axis] = -1
    total = None
    for place, share in zip(places, shares.to(dtype), strict=True):
        part = plane.index_select(axis, place).to(dtype) * share.view(shape)
        total = part if total is None else total.add_(part)
    return total


def letterbox(planes: Planes, colours: Colours, box: Letterbox, dtype: torch.dtype) -> torch.Tensor:
    """Pictures of one size as the scene net's input: (B, 3, H, W) BGR from 0 to 1.

    Scaled and padded as :func:`detectors.preprocess.letterbox` does.
    """
    count, height, width = planes[0].shape[:3]
    inner = (max(1, round(width * box.scale)), max(1, round(height * box.scale)))
    bgr = to_bgr(scale(planes, inner, box.scale < 0.5, dtype), colours)
    batch = bgr.new_full((count, box.size[1], box.size[0], 3), float(GREY))
    batch[:, box.top : box.top + inner[1], box.left : box.left + inner[0]] = bgr
    return (batch / 255.0).permute(0, 3, 1, 2)


def straighten(
    planes: Planes, colours: Colours, owners: torch.Tensor, matrices: torch.Tensor, size: Size
) -> torch.Tensor:
    """Cut plates out and straighten them: (R, H, W, 3) BGR, 0 to 255, float32.

    ``owners`` (R,): the picture of each plate. ``matrices`` (R, 3, 3) float32: from the pixels of
    the result, which has ``size`` (width, height), to those of the picture. Parts outside the
    picture repeat its edge.

    Samples are gathered straight from the stacked pictures: ``grid_sample`` would want a whole
    picture in floating point for each plate.
    """
    height, width = planes[0].shape[1:3]
    places = torch.einsum("rij,hwj->rhwi", matrices, _grid(matrices.device, size))
    places = (places[..., :2] / places[..., 2:]).nan_to_num(0.0)  # four corners in one point
    x = places[..., 0].clamp(0.0, width - 1.0)
    y = places[..., 1].clamp(0.0, height - 1.0)
    left, top = x.floor(), y.floor()
    share_x, share_y = (x - left)[..., None], (y - top)[..., None]
    left, top = left.long(), top.long()
    right, bottom = (left + 1).clamp_max(width - 1), (top + 1).clamp_max(height - 1)
    sampled = []
    for plane, step in zip(planes, (1, 2), strict=False):
        flat = plane.reshape(-1, plane.shape[3])
        first = owners.view(-1, 1, 1) * (plane.shape[1] * plane.shape[2])

        def take(
            row: torch.Tensor,
            column: torch.Tensor,
            flat: torch.Tensor = flat,
            first: torch.Tensor = first,
            step: int = step,
            stride: int = plane.shape[2],
        ) -> torch.Tensor:
            return flat[first + (row // step) * stride + column // step].float()

        upper = torch.lerp(take(top, left), take(top, right), share_x)
        lower = torch.lerp(take(bottom, left), take(bottom, right), share_x)
        sampled.append(torch.lerp(upper, lower, share_y))
    return to_bgr(tuple(sampled), colours)


@lru_cache(maxsize=16)
def _grid(device: torch.device, size: Size) -> torch.Tensor:
    """Pixels (H, W, 3) of a picture of ``size`` as x, y, 1."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    pixels = np.stack((x, y, np.ones_like(x)), -1).astype(np.float32)
    return torch.from_numpy(pixels).to(device)


def to_picture(corners: FloatArray, margins: FloatArray, size: Size) -> FloatArray:
    """Matrices (R, 3, 3) from pixels of straightened plates to pixels of their pictures.

    ``corners`` (R, 4, 2) in the picture, ``margins`` (R, 2) as in
    :func:`detectors.preprocess.rectify`, ``size`` (width, height) of the straightened plates.
    """
    outer = np.asarray(size, np.float64)
    inset = outer * margins / (1.0 + 2.0 * margins)
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    flat = inset[:, None] + unit * (outer - 2.0 * inset)[:, None]
    x, y = flat[..., 0], flat[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    u, v = corners[..., 0].astype(np.float64), corners[..., 1].astype(np.float64)
    # the eight equations of a perspective through four points
    rows_u = np.stack((x, y, one, zero, zero, zero, -u * x, -u * y), -1)
    rows_v = np.stack((zero, zero, zero, x, y, one, -v * x, -v * y), -1)
    system = np.concatenate((rows_u, rows_v), axis=1)
    values = np.concatenate((u, v), axis=1)[..., None]
    try:
        solved = np.linalg.solve(system, values)[..., 0]
    except np.linalg.LinAlgError:  # corners of no area among them
        solved = (np.linalg.pinv(system) @ values)[..., 0]
    ends = np.ones((len(solved), 1))
    return np.concatenate((solved, ends), axis=1).reshape(-1, 3, 3).astype(np.float32)
