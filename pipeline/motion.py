"""Whether anything has moved in front of a camera, from the luma plane at low resolution. Pure.

A frame is held against the last one that was looked at, not against the one before it, so that
a vehicle that creeps in adds up to motion. What a gate misses is bounded all the same: a frame is
looked at every ``REFRESH_S`` whatever the gate says.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Luma: TypeAlias = NDArray[np.uint8]  # (H, W), possibly a view with longer rows
Grid: TypeAlias = NDArray[np.float32]  # (GRID[1], GRID[0])

GRID = (96, 54)
"""Columns and rows of cells; a vehicle whose plate can be read covers dozens of them."""
REFRESH_S = 1.0
"""Of an empty scene in which nothing moves, a frame is looked at this often."""
HOLD_S = 1.0
"""After motion, every frame is looked at for so long: a vehicle that stops is still in view."""

_ROWS_PER_CELL = 4  # a cell's mean is taken over so many of its rows: enough, and a fifth the work
_FLOOR = 5.0  # grey levels by which a quiet cell must change
_NOISE_FACTOR = 5.0
_LOUDEST = 3.0  # median change of all cells from which the whole picture counts as changed
_CELLS = 2  # changed cells that make motion
_RESTLESS = 0.1  # share of frames of an empty lane in which a cell changes, from which it is deaf
_RESTLESS_MEMORY = 0.01  # weight of the newest frame in that share: learnt in some 15 s
_MOST_DEAF = 0.05  # share of all cells that may be deaf; beyond it, none is


def luma_grid(luma: Luma) -> Grid:
    """The picture's brightness in ``GRID`` cells, grey levels."""
    step = max(1, luma.shape[0] // (GRID[1] * _ROWS_PER_CELL))
    small = cv2.resize(luma[::step], GRID, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


class MotionGate:
    """Says which frames of one camera are worth a look. Owned by the camera's thread.

    Cells that change all the time though no vehicle is there (a clock written into the picture, a
    flag) are learnt while the lane is empty, and count no more until they keep still.
    """

    def __init__(self) -> None:
        self._reference: Grid | None = None
        self._restless = np.zeros((GRID[1], GRID[0]), np.float32)
        self._looked_s = 0.0
        self._moved_s = 0.0

    def restart(self) -> None:
        """Another source, or the same from its beginning: the next frame is looked at."""
        self._reference = None

    def worth(self, grid: Grid, media_s: float, *, empty: bool, refresh_s: float) -> bool:
        """Whether the frame at ``media_s`` shows motion, followed motion, or is due.

        ``empty``: no vehicle was in view of late. ``refresh_s``: see ``REFRESH_S``.
        """
        if self._reference is None or media_s < self._looked_s:
            self._moved_s = media_s
            return True
        changed = _changed(grid, self._reference)
        moves = self._moves(changed)
        if empty:
            self._restless += _RESTLESS_MEMORY * (changed - self._restless)
        if moves:
            self._moved_s = media_s
        return media_s - self._moved_s <= HOLD_S or media_s - self._looked_s >= refresh_s

    def stirs(self, grid: Grid) -> bool:
        """Whether something has moved since the last look. Nothing is noted."""
        return self._reference is None or self._moves(_changed(grid, self._reference))

    def looked(self, grid: Grid, media_s: float) -> None:
        """The frame is being looked at: what comes next is held against it."""
        self._reference, self._looked_s = grid, media_s

    def _moves(self, changed: NDArray[np.bool_]) -> bool:
        deaf = self._restless > _RESTLESS
        if deaf.mean() <= _MOST_DEAF:
            changed = changed & ~deaf
        return bool(np.count_nonzero(changed) >= _CELLS)

    def still_s(self, media_s: float) -> float:
        """Seconds since something moved."""
        return media_s - self._moved_s


def _changed(grid: Grid, reference: Grid) -> NDArray[np.bool_]:
    """Cells that changed by more than the whole picture did, and more than its noise."""
    difference = grid - reference
    difference -= np.median(difference[::2, ::2])
    change = np.abs(difference)
    noise = float(np.median(change[::2, ::2]))
    if noise > _LOUDEST:
        return np.ones(change.shape, np.bool_)
    return np.asarray(change > _FLOOR + _NOISE_FACTOR * noise, np.bool_)
