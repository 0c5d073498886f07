"""Decoded pictures as their decoder left them: only parts that somebody looks at become BGR.

A 1080p picture is 3 MB so, and 6 MB as BGR; of most pictures nothing but a plate is looked at. The
planes are the decoder's own memory, which it uses again when the picture is gone: pictures that
wait are not allocated anew, so memory is not cut to pieces by them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from pipeline.types import ImageBgr

Plane: TypeAlias = NDArray[np.uint8]  # (H, W), a view with longer rows
Slices: TypeAlias = tuple[slice, slice]

_FORMATS: Final = ("yuv420p", "yuvj420p")
_BT709, _FULL_RANGE = 1, 2  # as FFmpeg numbers them
_RED_BLUE: Final = {True: (0.2126, 0.0722), False: (0.299, 0.114)}  # by whether it is BT.709


@dataclass(frozen=True, slots=True, eq=False)
class PlanarPicture:
    """A decoded picture, 4:2:0; indexed by two slices, it is a BGR array.

    It goes through the pipeline in the place of an (H, W, 3) uint8 BGR array: it has its ``shape``,
    and ``picture[y1:y2, x1:x2]`` is that part as such an array, a copy.

    ``luma`` is (H, W), ``blue`` and ``red`` are (ceil(H / 2), ceil(W / 2)), all uint8 and never
    written to. ``matrix`` (3, 4) float32: BGR from luma, blue, red and 1.
    """

    luma: Plane = field(repr=False)
    blue: Plane = field(repr=False)
    red: Plane = field(repr=False)
    matrix: NDArray[np.float32] = field(repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """As of a BGR array."""
        return (*cast(tuple[int, int], self.luma.shape), 3)

    def __getitem__(self, part: Slices) -> ImageBgr:
        rows, columns = (
            range(*one.indices(edge)) for one, edge in zip(part, self.luma.shape, strict=True)
        )
        if not (rows and columns):
            return np.empty((len(rows), len(columns), 3), np.uint8)
        if rows.step == columns.step == 1:
            chroma = [_doubled(plane, rows, columns) for plane in (self.blue, self.red)]
        else:
            places = np.ix_(np.array(rows) // 2, np.array(columns) // 2)
            chroma = [plane[places] for plane in (self.blue, self.red)]
        merged = cv2.merge([np.ascontiguousarray(self.luma[part]), *chroma])
        return np.asarray(cv2.transform(merged, self.matrix), np.uint8)


def planar(frame: VideoFrame) -> PlanarPicture | None:
    """A decoded frame's planes, not copied; None for one that is turned or in a rarer format."""
    if frame.format.name not in _FORMATS or frame.rotation:
        return None
    luma, blue, red = (_view(plane) for plane in frame.planes)
    full = frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE
    return PlanarPicture(luma, blue, red, _matrix(frame.colorspace == _BT709, full=full))


def _view(plane: VideoPlane) -> Plane:
    rows = np.frombuffer(cast(bytes, plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _doubled(plane: Plane, rows: range, columns: range) -> Plane:
    """A chroma plane's part for these rows and columns of the picture."""
    top, left = rows.start // 2, columns.start // 2
    part = plane[top : rows.stop // 2 + 1, left : columns.stop // 2 + 1]
    size = (2 * part.shape[1], 2 * part.shape[0])
    large = cv2.resize(part, size, interpolation=cv2.INTER_NEAREST)
    y, x = rows.start - 2 * top, columns.start - 2 * left
    return np.asarray(large[y : y + len(rows), x : x + len(columns)], np.uint8)


def _matrix(bt709: bool, *, full: bool) -> NDArray[np.float32]:
    """ITU-R BT.601 or BT.709, full or limited range (Y from 16 to 235, C from 16 to 240)."""
    of_red, of_blue = _RED_BLUE[bt709]
    of_green = 1 - of_red - of_blue
    black, luma, chroma = (0.0, 1.0, 1.0) if full else (16.0, 255 / 219, 255 / 224)
    blue, red = 2 * (1 - of_blue) * chroma, 2 * (1 - of_red) * chroma
    green = (-blue * of_blue / of_green, -red * of_red / of_green)
    matrix = np.array([[luma, blue, 0, 0], [luma, *green, 0], [luma, 0, red, 0]])
    matrix[:, 3] = -matrix[:, :3] @ np.array([black, 128.0, 128.0])
    return matrix.astype(np.float32)
