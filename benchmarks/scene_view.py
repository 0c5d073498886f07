"""The camera of a scene: where points of the road land in the picture.

World axes in metres: X to the right, Y up from the road, Z away from the camera along the road.
The camera stands at (x, height, 0) and looks down the road, pitched downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.scene_shapes import F32, f32

NEAR_M = 0.8
"""Nothing closer to the camera than this is drawn, metres."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera. ``focal_px`` is the focal length in pixels, ``pitch_rad`` downwards."""

    width: int = 1280
    height: int = 720
    focal_px: float = 3400.0
    pitch_rad: float = 0.194
    x_m: float = 0.0
    height_m: float = 3.35

    @property
    def axes(self) -> F32:
        """Rows: the camera's right, up and forward in world axes, (3, 3) float32."""
        sin, cos = np.sin(self.pitch_rad), np.cos(self.pitch_rad)
        return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)

    @property
    def position(self) -> F32:
        """Where the camera is, (3,) float32 metres."""
        return np.array([self.x_m, self.height_m, 0.0], np.float32)

    def project(self, points: ArrayLike) -> tuple[F32, F32]:
        """World points (N, 3) in metres to pixels (N, 2) and depths (N,) in metres.

        Points behind ``NEAR_M`` get meaningless pixels: look at the depth first.
        """
        seen = (np.asarray(points, np.float32) - self.position) @ self.axes.T
        depth = seen[:, 2]
        safe = np.maximum(depth, NEAR_M)
        u = self.width / 2 + self.focal_px * seen[:, 0] / safe
        v = self.height / 2 - self.focal_px * seen[:, 1] / safe
        return f32(np.stack([u, v], axis=1)), f32(depth)

    def rays(self, pixels: F32) -> F32:
        """Unit vectors (N, 3) in world axes from the camera through pixels (N, 2)."""
        local = np.empty((len(pixels), 3), np.float32)
        local[:, 0] = (pixels[:, 0] - self.width / 2) / self.focal_px
        local[:, 1] = (self.height / 2 - pixels[:, 1]) / self.focal_px
        local[:, 2] = 1.0
        world: F32 = local @ self.axes
        world /= np.sqrt(np.einsum("ij,ij->i", world, world))[:, None]
        return world

    def ground(self, pixels: F32) -> F32:
        """Where rays through pixels (N, 2) meet the road: (N, 2) X and Z in metres.

        Rays at or above the horizon land 500 m away.
        """
        rays = self.rays(pixels)
        reach = self.height_m / np.maximum(-rays[:, 1], self.height_m / 500)
        return f32(self.position[[0, 2]] + rays[:, [0, 2]] * reach[:, None])
